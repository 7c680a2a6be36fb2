//! Windows, groups and queries against naive models, and the promises that others build on.

mod model;
mod ranges;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{Clock, ManualClock, Metrics, RealDisk};
use sereno_storage::{Config, Row, Store};

use crate::tally::Tally;
use crate::track::Track;
use crate::{Across, Anchored, Budget, Native, QueryError, ReduceError, Reduced, Reducer, Window};
use crate::{anchored, reduce_group};

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_000 * secs)
}

fn sample(time: i64, value: f64) -> Sample {
    Sample { time: secs(time), value }
}

/// A window of `[0, 100)` with a sample each second from 0, after `before` at -1.
fn window(values: &[f64], before: Option<f64>) -> Window {
    let samples = values.iter().enumerate().map(|(index, value)| sample(index as i64, *value)).collect();
    Window::new(TimeRange::new(secs(0), secs(100)), samples, before.map(|value| sample(-1, value)))
}

fn pool(tracks: &[&[(i64, f64)]]) -> Window {
    let (range, tally) = (TimeRange::new(secs(0), secs(100)), Arc::new(Tally::default()));
    let track = |points: &&[(i64, f64)]| {
        Track::of(range, points.iter().map(|(time, value)| sample(*time, *value)).collect(), None, &tally)
    };
    Window::of_tracks(range, tracks.iter().map(track).collect(), tally.clone())
}

#[test]
fn an_empty_window_counts_zero_and_has_no_value() {
    let empty = window(&[], Some(7.0));
    assert_eq!((empty.count(), empty.is_empty(), empty.count_above(0.0)), (0, true, 0));
    for (method, arguments) in METHODS {
        let answer = Native::from_call(method, arguments).unwrap().answer(&empty);
        let expected = match method {
            "age" => Some(100.0),
            _ => method.starts_with("count").then_some(0.0),
        };
        assert_eq!(answer, expected, "{method}");
    }
    assert_eq!((empty.forecast(Duration::ZERO), empty.last_time()), (None, None));
}

const METHODS: [(&str, &[f64]); 20] = [
    ("count", &[]),
    ("sum", &[]),
    ("mean", &[]),
    ("min", &[]),
    ("max", &[]),
    ("first", &[]),
    ("last", &[]),
    ("delta", &[]),
    ("increase", &[]),
    ("rate", &[]),
    ("changes", &[]),
    ("resets", &[]),
    ("stddev", &[]),
    ("median", &[]),
    ("mad", &[]),
    ("age", &[]),
    ("slope", &[]),
    ("quantile", &[0.25]),
    ("count_above", &[2.0]),
    ("count_below", &[2.0]),
];

#[test]
fn each_method_on_a_small_window() {
    let answers = METHODS.map(|(method, arguments)| {
        Native::from_call(method, arguments)
            .unwrap()
            .answer(&window(&[4.0, 1.0, 1.0, 2.0], Some(3.0)))
            .unwrap()
    });
    let slope = -0.6;
    let expected = [
        4.0,
        8.0,
        2.0,
        1.0,
        4.0,
        4.0,
        2.0,
        -2.0,
        3.0,
        0.03,
        3.0,
        1.0,
        1.5_f64.sqrt(),
        1.5,
        0.5,
        97.0,
        slope,
        1.0,
        1.0,
        2.0,
    ];
    assert_eq!(answers.map(|answer| (answer * 1e9).round()), expected.map(|answer| (answer * 1e9).round()));
}

#[test]
fn counters_are_corrected_and_adjacent_windows_add_up() {
    assert_eq!(window(&[5.0, 7.0], None).increase(), Some(7.0), "a series born inside counts from 0");
    assert_eq!(window(&[5.0, 7.0], Some(4.0)).increase(), Some(3.0), "else from the sample before");
    assert_eq!(window(&[5.0, 2.0, 3.0], Some(5.0)).increase(), Some(3.0), "a fall is a restart from 0");
    assert_eq!(window(&[f64::NAN, 6.0, f64::NAN], Some(4.0)).increase(), Some(2.0), "NaN says nothing");
    let whole = window(&[1.0, 4.0, 2.0, 9.0, 9.0], Some(0.5));
    let parts =
        [(0, 2), (2, 3), (3, 100)].map(|(from, to)| whole.within(TimeRange::new(secs(from), secs(to))));
    for measure in [Window::increase, Window::changes, Window::resets] {
        let sum: f64 = parts.iter().map(|part| measure(part).unwrap()).sum();
        assert_eq!(Some(sum), measure(&whole));
    }
}

#[test]
fn nan_and_infinity_do_what_is_written() {
    let odd = window(&[2.0, f64::NAN, 1.0], None);
    assert!(odd.sum().unwrap().is_nan() && odd.mean().unwrap().is_nan() && odd.stddev().unwrap().is_nan());
    assert_eq!((odd.min(), odd.max(), odd.median()), (Some(1.0), Some(2.0), Some(1.5)));
    assert_eq!((odd.count(), odd.count_above(0.0), odd.between(0.0, 9.0).count()), (3, 2, 2));
    let nothing = window(&[f64::NAN], None);
    assert_eq!(
        (nothing.min(), nothing.max(), nothing.median(), nothing.increase()),
        (None, None, None, None)
    );
    assert!(nothing.last().unwrap().is_nan());
    let endless = window(&[f64::INFINITY, 1.0], None);
    assert_eq!(
        (endless.sum(), endless.max(), endless.min()),
        (Some(f64::INFINITY), Some(f64::INFINITY), Some(1.0))
    );
    let zeros = window(&[0.0, -0.0], None);
    assert!(zeros.min().unwrap().is_sign_negative() && zeros.max().unwrap().is_sign_positive());
}

#[test]
fn a_line_is_continued_past_the_end_of_the_window() {
    let rising = window(&[10.0, 12.0, 14.0], None);
    assert_eq!(rising.slope(), Some(2.0));
    assert_eq!(rising.forecast(Duration::from_secs(5)), Some(10.0 + 2.0 * 105.0));
    assert_eq!(window(&[10.0], None).slope(), None, "one time makes no line");
}

#[test]
fn a_pool_never_interleaves_counters() {
    let one: &[(i64, f64)] = &[(0, 100.0), (2, 101.0), (4, 102.0)];
    let other: &[(i64, f64)] = &[(1, 1.0), (3, 2.0), (4, 3.0)];
    let both = pool(&[one, other]);
    assert_eq!(both.values().collect::<Vec<_>>(), [100.0, 1.0, 101.0, 2.0, 102.0, 3.0]);
    assert_eq!((both.increase(), both.resets()), (Some(105.0), Some(0.0)));
    assert_eq!((both.delta(), both.sum(), both.mean()), (Some(4.0), Some(309.0), Some(51.5)));
    assert_eq!((both.first(), both.last()), (Some(100.0), Some(3.0)), "at one time the key decides");
    let late = both.within(TimeRange::new(secs(3), secs(100)));
    assert_eq!(late.increase(), Some(1.0 + 2.0), "each part starts from the sample before it");
    assert_eq!(both.between(2.0, 101.0).values().collect::<Vec<_>>(), [100.0, 101.0, 2.0, 3.0]);
}

/// A store with samples of one or several series of the metric `m`.
struct Stored {
    _directory: tempfile::TempDir,
    store: Store,
    clock: Arc<ManualClock>,
}

impl Stored {
    fn new(series: &[(&str, &[(i64, f64)])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config =
            Config { directory: directory.path().to_owned(), retention: Duration::ZERO, ..Config::default() };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(secs(1_000_000)));
        let store = Store::open(&config, Arc::new(RealDisk), clock, &Metrics::default()).unwrap();
        for (host, points) in series {
            let id = store.series(&SeriesKey::new("m", [("host", *host)]).unwrap()).unwrap();
            let rows = points.iter().map(|(time, value)| Row::at(id, secs(*time), *value));
            assert!(store.append(rows.collect()).wait().is_ok());
        }
        Self { _directory: directory, store, clock: Arc::new(ManualClock::new(secs(0))) }
    }

    fn budget(&self) -> Budget {
        Budget { samples_max: 1_000, ..Budget::new(self.clock.clone(), Duration::from_secs(1)) }
    }

    fn query(
        &self,
        range: TimeRange,
        window_secs: f64,
        reducer: &dyn Reducer,
    ) -> Result<Anchored, QueryError> {
        let snapshot = self.store.snapshot();
        anchored(&snapshot, &Selector::exact("m"), range, window_secs, reducer, &self.budget())
    }

    fn values(&self, window_secs: f64, reducer: Native) -> Vec<f64> {
        match self.query(TimeRange::ALL, window_secs, &reducer).unwrap() {
            Anchored::Values(values) => values,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn windows_are_anchored_at_the_first_sample() {
    let stored =
        Stored::new(&[("a", &[(100, 1.0), (104, 2.0), (105, 3.0), (121, 4.0)]), ("b", &[(103, 10.0)])]);
    assert_eq!(stored.values(0.0, Native::Mean), [1.0, 10.0, 2.0, 3.0, 4.0], "0 is no aggregation");
    assert_eq!(stored.values(5.0, Native::Count), [3.0, 1.0, 1.0], "windows without samples are left out");
    assert_eq!(stored.values(5.0, Native::Increase), [12.0, 1.0, 1.0], "counters of the pool stay apart");
    assert_eq!(stored.values(1e300, Native::Sum), [20.0], "one window holds all time");
    assert_eq!(stored.values(1e-300, Native::Last).len(), 5, "the shortest window is a nanosecond");
    assert_eq!(stored.values(21.0, Native::Max), [10.0, 4.0], "a window is right-open");
    let from = TimeRange::new(secs(104), secs(121));
    assert_eq!(stored.query(from, 5.0, &Native::Sum).unwrap(), Anchored::Values(vec![5.0]));
}

#[test]
fn unknown_and_empty_are_told_apart() {
    let stored = Stored::new(&[("a", &[(100, 1.0)])]);
    let early = TimeRange::new(secs(0), secs(100));
    assert_eq!(stored.query(early, 5.0, &Native::Mean).unwrap(), Anchored::Empty);
    let snapshot = stored.store.snapshot();
    let nobody = Selector::exact("n");
    let unknown = anchored(&snapshot, &nobody, TimeRange::ALL, 0.0, &Native::Mean, &stored.budget());
    assert_eq!(unknown.unwrap(), Anchored::UnknownSeries);
}

/// Answers as it is told.
#[derive(Debug)]
struct Told(fn(&Window) -> Reduced);

impl Reducer for Told {
    fn reduce(&self, window: &Window) -> Result<Reduced, ReduceError> {
        Ok((self.0)(window))
    }
}

#[test]
fn what_cannot_be_answered_is_an_error_with_its_reason() {
    let stored = Stored::new(&[("a", &[(100, 1.0), (101, 2.0), (110, 3.0)])]);
    for bad in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(stored.query(TimeRange::ALL, bad, &Native::Mean), Err(QueryError::Window { .. })));
    }
    let map = Told(|_| Reduced::Map(BTreeMap::new()));
    assert!(matches!(stored.query(TimeRange::ALL, 1.0, &map), Err(QueryError::Map)));
    let none_first = Told(|window| if window.count() > 1 { Reduced::None } else { window.last().into() });
    assert_eq!(stored.query(TimeRange::ALL, 5.0, &none_first).unwrap(), Anchored::Values(vec![3.0]));
    let snapshot = stored.store.snapshot();
    let run = |budget: &Budget| {
        anchored(&snapshot, &Selector::exact("m"), TimeRange::ALL, 1.0, &Native::Mean, budget)
    };
    let few = Budget { samples_max: 2, ..stored.budget() };
    assert!(matches!(run(&few), Err(QueryError::TooManySamples { limit: 2 })));
    let late = stored.budget();
    stored.clock.advance(Duration::from_secs(2));
    assert!(matches!(run(&late), Err(QueryError::Deadline)));
}

#[test]
fn a_group_is_joined_as_it_is_told() {
    let stored = Stored::new(&[
        ("a", &[(10, 1.0), (20, 3.0)]),
        ("b", &[(10, 7.0), (15, 1.0), (20, 6.0)]),
        ("c", &[(99, 1.0)]),
    ]);
    let range = TimeRange::new(secs(5), secs(30));
    let series = stored.store.snapshot().select(&Selector::exact("m"), range).unwrap();
    let tally = Arc::new(Tally::default());
    let reduce =
        |reducer: Native, across| reduce_group(&series, range, &reducer, across, &tally).unwrap().number();
    assert_eq!(reduce(Native::Last, Some(Across::Sum)), Some(9.0));
    assert_eq!(
        reduce(Native::Last, Some(Across::Mean)),
        Some(4.5),
        "a series without an answer takes no part"
    );
    assert_eq!(reduce(Native::Last, Some(Across::Min)), Some(3.0));
    assert_eq!(reduce(Native::Last, Some(Across::Max)), Some(6.0));
    assert_eq!(reduce(Native::Last, Some(Across::Count)), Some(2.0));
    assert_eq!(reduce(Native::Median, Some(Across::Pool)), Some(3.0));
    assert_eq!(reduce(Native::Count, Some(Across::Sum)), Some(5.0));
    let open = reduce_group(&series, range, &Native::Last, None, &tally).unwrap_err();
    assert_eq!(
        open.to_string(),
        "3 series are matched; say how to join them with `across`: `sum`, `mean`, `min`, `max`, `count` or `pool`"
    );
    assert_eq!(reduce_group(&series[..1], range, &Native::Last, None, &tally).unwrap(), Reduced::Number(3.0));
    let nobody = reduce_group(&[], range, &Native::Last, Some(Across::Sum), &tally).unwrap();
    assert_eq!(nobody, Reduced::None);
    let spread = Told(|w| {
        Reduced::Map(
            [("low", w.min()), ("high", w.max())]
                .into_iter()
                .filter_map(|(name, v)| Some((name.to_owned(), v?)))
                .collect(),
        )
    });
    let map = reduce_group(&series[..2], range, &spread, Some(Across::Sum), &tally).unwrap();
    assert_eq!(map, Reduced::Map(BTreeMap::from([("high".into(), 10.0), ("low".into(), 2.0)])));
}

#[test]
fn each_aggregation_has_its_natural_way_to_join() {
    let ways = ["count", "rate", "resets", "min", "max", "age", "mean", "p95", "custom", "last", "slope"]
        .map(|name| Across::default_for(name).map_or("none", Across::as_str));
    assert_eq!(ways.join(" "), "sum sum sum min max max pool pool pool none none");
    assert_eq!("pool".parse(), Ok(Across::Pool));
    assert!("median".parse::<Across>().is_err());
}

fn points() -> impl Strategy<Value = BTreeMap<i64, f64>> {
    proptest::collection::btree_map(0..400_i64, -1e3..1e3_f64, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Queries agree with a model that does everything the slow way, and with themselves bit for bit.
    #[test]
    fn anchored_windows_are_those_of_a_naive_model(
        a in points(), b in points(), window in 1..90_i64, start in 0..200_i64, len in 1..300_i64,
    ) {
        let as_points = |points: &BTreeMap<i64, f64>| points.iter().map(|(t, v)| (*t, *v)).collect::<Vec<_>>();
        let (a, b) = (as_points(&a), as_points(&b));
        let stored = Stored::new(&[("a", &a), ("b", &b)]);
        let mut all: Vec<(i64, usize, f64)> = Vec::new();
        for (series, points) in [&a, &b].into_iter().enumerate() {
            all.extend(points.iter().filter(|(t, _)| (start..start + len).contains(t)).map(|(t, v)| (*t, series, *v)));
        }
        all.sort_by_key(|point| (point.0, point.1));
        let mut windows: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (time, _, value) in &all {
            windows.entry((time - all[0].0) / window).or_default().push(*value);
        }
        let range = TimeRange::new(secs(start), secs(start + len));
        let run = |reducer: Native| stored.query(range, window as f64, &reducer).unwrap();
        if a.is_empty() && b.is_empty() {
            prop_assert_eq!(run(Native::Count), Anchored::UnknownSeries);
            return Ok(());
        }
        if all.is_empty() {
            prop_assert_eq!(run(Native::Count), Anchored::Empty);
            return Ok(());
        }
        let model = |f: fn(&Vec<f64>) -> f64| Anchored::Values(windows.values().map(f).collect());
        prop_assert_eq!(run(Native::Count), model(|w| w.len() as f64));
        prop_assert_eq!(run(Native::Max), model(|w| w.iter().copied().fold(f64::MIN, f64::max)));
        prop_assert_eq!(run(Native::First), model(|w| w[0]));
        prop_assert_eq!(run(Native::Last), model(|w| w[w.len() - 1]));
        let (Anchored::Values(once), Anchored::Values(again)) = (run(Native::Mean), run(Native::Mean)) else { panic!() };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&once), bits(&again));
        for (mean, values) in once.iter().zip(windows.values()) {
            let expected = values.iter().sum::<f64>() / values.len() as f64;
            prop_assert!((mean - expected).abs() < 1e-9 * 1e3);
        }
    }
}

#[test]
fn newer_samples_weigh_more() {
    let ewma = |values: &[f64], half_life| window(values, None).ewma(Duration::from_secs(half_life));
    assert_eq!(ewma(&[0.0, 0.0, 7.0], 1), Some(4.0));
    assert_eq!(ewma(&[5.0; 40], 3).map(f64::round), Some(5.0));
    assert_eq!(ewma(&[], 3), None);
    assert_eq!(ewma(&[1.0], 0), None);
    assert!(ewma(&[1.0, f64::NAN], 3).unwrap().is_nan());
    // Two thousand half-lives ago: it weighs nothing, whatever it was.
    let long_ago = [&[f64::INFINITY][..], &[1.0; 2_000]].concat();
    assert_eq!(ewma(&long_ago, 1), Some(1.0));
}

#[test]
fn an_outlier_does_not_move_what_is_usual() {
    assert_eq!(window(&[1.0, 2.0, 3.0, 4.0, 1e9], None).mad(), Some(1.0));
    assert_eq!(window(&[1.0, f64::NAN, 3.0], None).mad(), Some(1.0));
    assert_eq!(window(&[f64::INFINITY; 3], None).mad(), Some(0.0), "no distance from itself");
    assert_eq!(window(&[f64::NAN], None).mad(), None);
}
