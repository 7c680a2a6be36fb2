//! Windows and range queries over a store that is flushed, compacted and reopened at random, against a model that keeps
//! everything in a map and does everything the slow way. Answers must agree bit for bit.

mod measures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{ManualClock, Metrics, RealDisk};
use sereno_storage::{Config, HOUR_NANOS, MINUTE_NANOS, Row, Snapshot, Store};

use super::METHODS;
use crate::tally::Tally;
use crate::track::Track;
use crate::{
    Across, Alignment, Budget, Grouping, Identity, Native, RangeQuery, Reduced, Window, range_query,
};

/// Four hours before a midnight, UTC.
const BEGIN: i64 = 20_000 * 24 * HOUR_NANOS - 4 * HOUR_NANOS;
const SERIES: [(&str, &str); 3] = [("a", "x"), ("b", "x"), ("c", "y")];

#[derive(Clone, Debug)]
enum Op {
    /// Samples of a series: from a second, so many, so many milliseconds apart, of a kind.
    Run(usize, i64, i64, i64, Kind),
    One(usize, i64, f64),
    Flush,
    Compact,
    Reopen,
    Snapshot,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Gauge(u64),
    Counter(u64),
}

impl Kind {
    fn value(self, index: i64) -> f64 {
        match self {
            Self::Gauge(seed) => (splitmix(seed.wrapping_add(index as u64)) % 10_000) as f64 / 7.0,
            // Falls back to its start now and then.
            Self::Counter(seed) => (index % (50 + (seed % 2_000) as i64)) as f64 * 1.5,
        }
    }
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn op() -> impl Strategy<Value = Op> {
    let odd = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(0.0),
        Just(f64::MAX),
        Just(5e-324),
        -1e9..1e9_f64,
    ];
    let kind = prop_oneof![any::<u64>().prop_map(Kind::Gauge), any::<u64>().prop_map(Kind::Counter)];
    let step = prop_oneof![Just(5_000), Just(10_000), Just(60_000), 700..90_000_i64];
    prop_oneof![
        4 => (0..3_usize, 0..30_000_i64, 1..2_000_i64, step, kind)
            .prop_map(|(series, start, len, step, kind)| Op::Run(series, start, len, step, kind)),
        4 => (0..3_usize, 0..30_000_i64, odd).prop_map(|(series, second, value)| Op::One(series, second, value)),
        3 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Reopen),
        1 => Just(Op::Snapshot),
    ]
}

type Model = [BTreeMap<i64, f64>; 3];

struct World {
    config: Config,
    _directory: tempfile::TempDir,
    store: Option<Store>,
    model: Model,
    /// Taken earlier, with what there was.
    earlier: Vec<(Snapshot, Model)>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            directory: directory.path().to_owned(),
            queues: 4,
            retention: Duration::ZERO,
            future_max: Duration::ZERO,
            wal_reserve_bytes: 0,
            ..Config::default()
        };
        let store = Some(open(&config));
        Self { config, _directory: directory, store, model: Model::default(), earlier: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Run(series, start, len, step, kind) => {
                let at = |index: i64| BEGIN + start * 1_000_000_000 + index * step * 1_000_000;
                self.write(series, (0..len).map(|index| (at(index), kind.value(index))).collect());
            }
            Op::One(series, second, value) => {
                self.write(series, vec![(BEGIN + second * 1_000_000_000, value)]);
            }
            Op::Flush => self.store().flush().unwrap(),
            Op::Compact => self.store().compact().unwrap(),
            Op::Reopen => {
                // Snapshots live as long as their process.
                self.earlier.clear();
                self.store().close();
                self.store = None;
                self.store = Some(open(&self.config));
            }
            Op::Snapshot => self.earlier.push((self.store().snapshot(), self.model.clone())),
        }
    }

    fn write(&mut self, series: usize, points: Vec<(i64, f64)>) {
        let (host, zone) = SERIES[series];
        let key = SeriesKey::new("m", [("host", host), ("zone", zone)]).unwrap();
        let id = self.store().series(&key).unwrap();
        let rows = points.iter().map(|(time, value)| Row::at(id, Timestamp::from_nanos(*time), *value));
        assert!(self.store().append(rows.collect()).wait().is_ok());
        self.model[series].extend(points);
    }
}

fn open(config: &Config) -> Store {
    let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(BEGIN + 100 * 24 * HOUR_NANOS)));
    let store = Store::open(config, Arc::new(RealDisk), clock, &Metrics::default()).unwrap();
    assert!(!store.wait_recovered().is_damaged());
    store
}

fn samples(points: &BTreeMap<i64, f64>, range: TimeRange) -> Vec<Sample> {
    let within = points.range(range.start.nanos()..range.end.nanos().max(range.start.nanos()));
    within.map(|(time, value)| Sample { time: Timestamp::from_nanos(*time), value: *value }).collect()
}

fn before(points: &BTreeMap<i64, f64>, start: Timestamp) -> Option<Sample> {
    let (time, value) = points.range(..start.nanos()).next_back()?;
    Some(Sample { time: Timestamp::from_nanos(*time), value: *value })
}

fn naive(points: &BTreeMap<i64, f64>, range: TimeRange) -> Window {
    Window::new(range, samples(points, range), before(points, range.start))
}

/// All that the store may answer in more than one way; `age` is checked apart, `mad` is a median twice over.
fn natives() -> Vec<Native> {
    let methods = METHODS.iter().filter(|(method, _)| !["age", "mad"].contains(method));
    methods.map(|(method, arguments)| Native::from_call(method, arguments).unwrap()).collect()
}

/// NaN is NaN: which one arithmetic gives is the processor's affair.
fn bits(number: Option<f64>) -> Option<u64> {
    number.map(|number| if number.is_nan() { u64::MAX } else { number.to_bits() })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(BEGIN + second * 1_000_000_000)
}

/// Whole minutes and hours as often as any second.
fn instant() -> impl Strategy<Value = i64> {
    prop_oneof![0..40_000_i64, (0..660_i64).prop_map(|m| m * 60), (0..11_i64).prop_map(|h| h * 3_600)]
}

fn length() -> impl Strategy<Value = i64> {
    let named = [30, 60, 120, 300, 600, 900, 3_600, 7_200, 10_800];
    prop_oneof![3 => proptest::sample::select(named.to_vec()), 1 => 7..5_000_i64]
}

fn check_windows(snapshot: &Snapshot, model: &Model, range: TimeRange) -> Result<(), TestCaseError> {
    let series = snapshot.select(&Selector::exact("m"), TimeRange::ALL).unwrap();
    let mut naives = Vec::new();
    let known = (0..3).filter(|index| !model[*index].is_empty());
    prop_assert_eq!(series.len(), known.clone().count());
    let tally = Arc::new(Tally::default());
    for (series, index) in series.iter().zip(known) {
        prop_assert_eq!(series.key().label("host"), SERIES[index].0);
        naives.push(naive(&model[index], range));
        let decoded = Window::of(series, range, &tally);
        prop_assert_eq!(decoded.values().count(), naives.last().unwrap().count());
        for native in natives() {
            let expected = bits(native.answer(naives.last().unwrap()));
            let lazy = Window::of(series, range, &tally);
            prop_assert_eq!(bits(native.answer(&lazy)), expected, "{:?} of {}", native, series.key());
            prop_assert_eq!(
                bits(native.answer(&decoded)),
                expected,
                "{:?}, decoded, of {}",
                native,
                series.key()
            );
        }
    }
    let tracks =
        (0..3).filter(|index| !model[*index].is_empty()).map(|index| track(&model[index], range, &tally));
    let expected = Window::of_tracks(range, tracks.collect(), tally.clone());
    for native in natives() {
        let pool = Window::pool(&series, range, &tally);
        prop_assert_eq!(bits(native.answer(&pool)), bits(native.answer(&expected)), "{:?} of all", native);
    }
    let fresh = Window::pool(&series, range, &tally);
    prop_assert_eq!((fresh.last_time(), fresh.age()), (expected.last_time(), expected.age()), "of all");
    tally.check().unwrap();
    Ok(())
}

fn track(points: &BTreeMap<i64, f64>, range: TimeRange, tally: &Arc<Tally>) -> Track {
    Track::of(range, samples(points, range), before(points, range.start), tally)
}

struct Shape {
    range: TimeRange,
    window: i64,
    step: i64,
    alignment: Alignment,
    by: Grouping,
    across: Across,
}

/// What a range query has to answer, window by window.
fn expected(model: &Model, shape: &Shape, native: Native) -> Vec<(Identity, Vec<(i64, u64)>)> {
    let seconds = 1_000_000_000;
    let (window, step) = (shape.window * seconds, shape.step * seconds);
    let members = |zone: &str| -> Vec<usize> {
        (0..3)
            .filter(|index| !model[*index].is_empty() && (zone.is_empty() || SERIES[*index].1 == zone))
            .collect()
    };
    let groups: Vec<(Identity, Vec<usize>)> = match &shape.by {
        Grouping::All => vec![(Identity::All, members(""))],
        Grouping::Series => members("")
            .into_iter()
            .map(|index| {
                let (host, zone) = SERIES[index];
                let key = SeriesKey::new("m", [("host", host), ("zone", zone)]).unwrap();
                (Identity::Series(key), vec![index])
            })
            .collect(),
        Grouping::Labels(_) => {
            ["x", "y"].map(|zone| (Identity::Labels(vec![zone.into()]), members(zone))).into()
        }
    };
    let firsts =
        model.iter().filter_map(|points| samples(points, shape.range).first().map(|s| s.time.nanos()));
    let Some(first) = firsts.min() else { return Vec::new() };
    let (origin, start) = match shape.alignment {
        Alignment::FirstSample => (first, first),
        Alignment::Start => (shape.range.start.nanos(), shape.range.start.nanos()),
        Alignment::Epoch => (shape.range.start.nanos().div_euclid(step) * step, shape.range.start.nanos()),
    };
    let tally = Arc::new(Tally::default());
    let mut answers = Vec::new();
    for (identity, members) in groups.into_iter().filter(|(_, members)| !members.is_empty()) {
        let mut points = Vec::new();
        let mut from = origin;
        while from < shape.range.end.nanos() {
            let cut = TimeRange::new(
                Timestamp::from_nanos(from.max(start)),
                Timestamp::from_nanos((from + window).min(shape.range.end.nanos())),
            );
            let filled: Vec<usize> =
                members.iter().copied().filter(|index| !samples(&model[*index], cut).is_empty()).collect();
            let number = if filled.is_empty() {
                None
            } else if shape.across == Across::Pool {
                let tracks = filled.iter().map(|index| track(&model[*index], cut, &tally)).collect();
                native.answer(&Window::of_tracks(cut, tracks, tally.clone()))
            } else {
                let numbers: Vec<f64> =
                    filled.iter().filter_map(|index| native.answer(&naive(&model[*index], cut))).collect();
                join(shape.across, &numbers)
            };
            points.extend(bits(number).map(|number| (from, number)));
            from += step;
        }
        answers.push((identity, points));
    }
    answers
}

fn join(across: Across, numbers: &[f64]) -> Option<f64> {
    let sum = numbers.iter().copied().reduce(|a, b| a + b);
    let real = numbers.iter().copied().filter(|number| !number.is_nan());
    match across {
        Across::Sum => sum,
        Across::Mean => sum.map(|sum| sum / numbers.len() as f64),
        Across::Min => real.reduce(|a, b| if b.total_cmp(&a).is_lt() { b } else { a }),
        Across::Max => real.reduce(|a, b| if b.total_cmp(&a).is_gt() { b } else { a }),
        Across::Count => (!numbers.is_empty()).then_some(numbers.len() as f64),
        Across::Pool => None,
    }
}

fn answers(
    snapshot: &Snapshot,
    shape: &Shape,
    native: Native,
    threads: usize,
) -> Vec<(Identity, Vec<(i64, u64)>)> {
    let query = RangeQuery {
        selector: Selector::exact("m"),
        range: shape.range,
        window: Duration::from_secs(shape.window.unsigned_abs()),
        step: Duration::from_secs(shape.step.unsigned_abs()),
        alignment: shape.alignment,
        by: shape.by.clone(),
        across: Some(shape.across),
        reducer: Arc::new(native),
    };
    let clock = Arc::new(ManualClock::new(at(0)));
    let budget = Budget { threads, ..Budget::new(clock, Duration::from_secs(1)) };
    let answer = range_query(snapshot, &query, &budget).unwrap();
    let point = |(start, reduced): (Timestamp, Reduced)| (start.nanos(), bits(reduced.number()).unwrap());
    answer
        .groups
        .into_iter()
        .map(|group| (group.identity, group.points.into_iter().map(point).collect()))
        .collect()
}

fn check_ranges(snapshot: &Snapshot, model: &Model, shape: &Shape) -> Result<(), TestCaseError> {
    for native in natives() {
        let mut expected = expected(model, shape, native);
        let mut found = answers(snapshot, shape, native, 2);
        // Which series without samples in the period are listed is the store's affair.
        expected.retain(|(_, points)| !points.is_empty());
        found.retain(|(_, points)| !points.is_empty());
        prop_assert_eq!(found, expected, "{:?}", native);
    }
    Ok(())
}

fn shape() -> impl Strategy<Value = Shape> {
    let alignment = prop_oneof![Just(Alignment::Epoch), Just(Alignment::FirstSample), Just(Alignment::Start)];
    let by = prop_oneof![
        Just(Grouping::All),
        Just(Grouping::Series),
        Just(Grouping::Labels(vec!["zone".to_owned()])),
    ];
    let ways =
        [Across::Sum, Across::Mean, Across::Min, Across::Max, Across::Count, Across::Pool, Across::Pool];
    let across = proptest::sample::select(ways.to_vec());
    let steps = (length(), length(), any::<bool>())
        .prop_map(|(window, step, same)| (window, if same { window } else { step }));
    (instant(), 60..40_000_i64, steps, alignment, by, across).prop_map(
        |(start, len, (window, step), alignment, by, across)| Shape {
            range: TimeRange::new(at(start), at(start + len)),
            window,
            step: step.max(len / 500),
            alignment,
            by,
            across,
        },
    )
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { range, window, step, alignment, by, across } = self;
        write!(f, "{window} s every {step} s over {range:?} at {alignment:?} by {by:?} across {across:?}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_was_flushed_the_answers_are_those_of_the_model(
        ops in proptest::collection::vec(op(), 1..16),
        spans in proptest::collection::vec((instant(), 1..40_000_i64), 4),
        shapes in proptest::collection::vec(shape(), 3),
    ) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.apply(op));
        let spans: Vec<TimeRange> = spans.iter().map(|(start, len)| TimeRange::new(at(*start), at(start + len))).collect();
        let now = (world.store().snapshot(), world.model.clone());
        // What a snapshot shows does not depend on what became of the files since.
        for (snapshot, model) in world.earlier.iter().chain([&now]) {
            for span in spans.iter().chain([&TimeRange::ALL]) {
                check_windows(snapshot, model, *span)?;
            }
            for shape in &shapes {
                check_ranges(snapshot, model, shape)?;
            }
        }
        world.store().flush().unwrap();
        world.store().compact().unwrap();
        for shape in &shapes {
            check_ranges(&now.0, &now.1, shape)?;
            check_ranges(&world.store().snapshot(), &now.1, shape)?;
        }
        check_windows(&now.0, &now.1, spans[0])?;
    }
}

/// Two days of a sample every 5 s, in segments, with rows of minutes.
#[test]
fn rows_answer_whole_hours_without_decoding() {
    let mut world = World::new();
    world.apply(&Op::Run(0, 0, 17_280, 5_000, Kind::Gauge(7)));
    world.apply(&Op::Flush);
    world.apply(&Op::Compact);
    let snapshot = world.store().snapshot();
    let series = snapshot.select(&Selector::exact("m"), TimeRange::ALL).unwrap();
    let hours = TimeRange::new(at(3_600), at(9 * 3_600));
    let tally = Arc::new(Tally::default());
    let window = Window::of(&series[0], hours, &tally);
    assert!(window.mean().is_some() && window.max().is_some() && window.count() == 8 * 720);
    assert_eq!((tally.cost().samples, tally.cost().blocks, window.decoded()), (0, 0, 0));
    assert!(tally.cost().rows <= 2 * 8, "{:?}", tally.cost());
    assert!(window.median().is_some());
    let decoded = tally.cost();
    assert!(decoded.samples >= 8 * 720);
    assert!(window.stddev().is_some() && window.sum().is_some());
    assert_eq!(tally.cost(), decoded, "decoded once");
    // Minutes too, and a range query over them.
    let minutes = TimeRange::new(at(3_600 + 60), at(3_600 + 600));
    assert!(Window::of(&series[0], minutes, &tally).mean().is_some());
    assert_eq!(tally.cost().samples, decoded.samples);
    let clock = Arc::new(ManualClock::new(at(0)));
    let query = RangeQuery {
        selector: Selector::exact("m"),
        range: hours,
        window: Duration::from_nanos(5 * MINUTE_NANOS.unsigned_abs()),
        step: Duration::from_nanos(MINUTE_NANOS.unsigned_abs()),
        alignment: Alignment::Epoch,
        by: Grouping::All,
        across: None,
        reducer: Arc::new(Native::Mean),
    };
    let answer = range_query(&snapshot, &query, &Budget::new(clock, Duration::from_secs(1))).unwrap();
    assert_eq!((answer.groups[0].points.len(), answer.cost.samples), (480, 0));
}
