//! The summaries of windows are those of their samples, bit for bit, whatever stands for the samples.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{TimeRange, Timestamp};
use sereno_runtime::ManualClock;
use sereno_storage::{
    Config, DAY_NANOS, HOUR_NANOS, MINUTE_NANOS, Reads, Row, Series, Store, Summary, Want, Windows,
};

use crate::{config, key, open_at, select};

const SECOND: i64 = 1_000_000_000;
/// A midnight, 2023-11-15.
const MIDNIGHT: i64 = 19_676 * DAY_NANOS;

#[derive(Clone, Debug)]
enum Step {
    /// (start in seconds before midnight, step in seconds, values in tenths)
    Run(i64, i64, Vec<i32>),
    /// A special value at a second.
    Special(i64, u64),
    Flush,
    Compact,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let values = proptest::collection::vec(-20..200_i32, 1..400);
    let run = (0_i64..30_000, prop_oneof![Just(1_i64), Just(10), Just(15), 1_i64..100], values)
        .prop_map(|(start, step, values)| Step::Run(start, step, values));
    let special = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(f64::MAX), Just(1e-310)];
    let special = (-30_000_i64..30_000, special).prop_map(|(at, value)| Step::Special(at, value.to_bits()));
    let step = prop_oneof![
        8 => run, 1 => special, 4 => Just(Step::Flush), 2 => Just(Step::Compact), 1 => Just(Step::Reopen)
    ];
    proptest::collection::vec(step, 1..12)
}

fn open(config: &Config) -> Store {
    // A day after all samples, so that none lies ahead of the clock.
    let now = Timestamp::from_nanos(MIDNIGHT + 2 * DAY_NANOS);
    open_at(config, Arc::new(ManualClock::new(now))).0
}

type Samples = BTreeMap<i64, f64>;

fn put(store: &Store, model: &mut Samples, rows: impl Iterator<Item = (i64, f64)>) {
    let id = store.series(&key("m")).unwrap();
    let rows: Vec<_> = rows.collect();
    let batch = rows.iter().map(|(time, value)| Row::at(id, Timestamp::from_nanos(*time), *value));
    assert!(store.append(batch.collect()).wait().is_ok());
    model.extend(rows);
}

/// The fold as the contract words it.
fn expected(model: &Samples, start: i64, end: i64) -> Summary {
    let mut window = Summary::EMPTY;
    let inside: Vec<_> = model.range(start..end).collect();
    for hour in inside.chunk_by(|a, b| a.0.div_euclid(HOUR_NANOS) == b.0.div_euclid(HOUR_NANOS)) {
        let mut whole = Summary::EMPTY;
        for minute in hour.chunk_by(|a, b| a.0.div_euclid(MINUTE_NANOS) == b.0.div_euclid(MINUTE_NANOS)) {
            let mut samples = Summary::EMPTY;
            minute.iter().for_each(|(_, value)| samples.push(**value));
            whole.append(&samples);
        }
        window.append(&whole);
    }
    window
}

/// The parts of a summary that were wanted, as bits.
fn bits(summary: &Summary, want: Want) -> Vec<u64> {
    let ends = [summary.first, summary.last];
    let numbers = match want {
        Want::Count => vec![],
        Want::Sum => vec![summary.sum],
        Want::Extremes => vec![summary.min, summary.max],
        Want::Values => vec![summary.sum, summary.min, summary.max],
        Want::All => vec![summary.sum, summary.min, summary.max, summary.dropped, summary.falls as f64],
    };
    let numbers = ends.into_iter().chain(numbers);
    // Arithmetic may give NaN any bits.
    let bits = numbers.map(|number| if number.is_nan() { u64::MAX } else { number.to_bits() });
    std::iter::once(summary.count).chain(bits).collect()
}

fn check(series: &Series, model: &Samples, range: (i64, i64), length: i64) {
    for want in [Want::Count, Want::Sum, Want::Extremes, Want::Values, Want::All] {
        let (start, end) = range;
        let windows = Windows::new(
            TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end)),
            length as u64,
        );
        let mut seen = Vec::new();
        series
            .fold(windows, want, &mut Reads::default(), |index, summary| {
                seen.push((index, bits(summary, want)))
            })
            .unwrap();
        let mut wanted = Vec::new();
        let mut at = start;
        for index in 0.. {
            if at >= end {
                break;
            }
            let summary = expected(model, at, end.min(at.saturating_add(length)));
            if summary.count > 0 {
                wanted.push((index, bits(&summary, want)));
            }
            at = at.saturating_add(length);
        }
        assert_eq!(seen, wanted, "{want:?}, {range:?}, windows of {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_samples_agree(
        steps in steps(),
        start in -40_000_i64..40_000, length in 0_i64..40_000,
        window in prop_oneof![Just(60_i64), Just(300), Just(3_600), Just(7_200), Just(86_400), 30_i64..9_000],
        aligned in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut store = open(&config);
        let mut model = Samples::new();
        for step in &steps {
            match step {
                Step::Run(start, step, values) => {
                    let times = (0..).map(|n| MIDNIGHT + (n * step - start) * SECOND);
                    put(&store, &mut model, times.zip(values.iter().map(|value| f64::from(*value) / 10.0)));
                }
                Step::Special(at, bits) => {
                    put(&store, &mut model, std::iter::once((MIDNIGHT + at * SECOND, f64::from_bits(*bits))));
                }
                Step::Flush => store.flush().unwrap(),
                Step::Compact => store.compact().unwrap(),
                Step::Reopen => {
                    drop(store);
                    store = open(&config);
                }
            }
        }
        let unit = if aligned { 3_600 } else { 1 };
        let start = MIDNIGHT + start / unit * unit * SECOND;
        let end = start + length / unit * unit * SECOND;
        for series in select(&store.snapshot(), "m") {
            check(&series, &model, (start, end), window * SECOND);
            check(&series, &model, (MIDNIGHT - DAY_NANOS, MIDNIGHT + DAY_NANOS), window * SECOND);
            for before in [start, end, MIDNIGHT] {
                let last = series.last_before(Timestamp::from_nanos(before), &mut Reads::default()).unwrap();
                let wanted = model.range(..before).next_back();
                prop_assert_eq!(
                    last.map(|sample| (sample.time.nanos(), sample.value.to_bits())),
                    wanted.map(|(time, value)| (*time, value.to_bits()))
                );
            }
        }
    }
}

#[test]
fn whole_hours_are_answered_without_decoding() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&config(directory.path()));
    let mut model = Samples::new();
    for hour in 0..6 {
        let start = MIDNIGHT + hour * HOUR_NANOS;
        put(&store, &mut model, (0..360).map(|n| (start + n * 10 * SECOND, n as f64 / 10.0)));
        store.flush().unwrap();
    }
    store.compact().unwrap();
    let snapshot = store.snapshot();
    let series = &select(&snapshot, "m")[0];
    let mut reads = Reads::default();
    let hours = |from: i64, to: i64| {
        let at = |hour| Timestamp::from_nanos(MIDNIGHT + hour * HOUR_NANOS);
        TimeRange::new(at(from), at(to))
    };
    series.fold(Windows::one(hours(1, 5)), Want::All, &mut reads, |_, _| {}).unwrap();
    assert_eq!((reads.samples, reads.rows), (0, 4));
    let later = TimeRange { start: hours(1, 5).start + Duration::from_secs(30), ..hours(1, 5) };
    series.fold(Windows::one(later), Want::All, &mut reads, |_, _| {}).unwrap();
    assert_eq!(
        (reads.samples, reads.rows),
        (2_160, 7),
        "the hour that is cut is decoded, the others are not"
    );
}

#[test]
fn windows_that_cut_minutes_decode_each_block_once() {
    // Each cut minute once decoded its whole block anew: windows of 90 s cost twenty times their samples.
    let directory = tempfile::tempdir().unwrap();
    let store = open(&config(directory.path()));
    let mut model = Samples::new();
    let samples = 6 * 3_600_u64;
    put(&store, &mut model, (0..samples as i64).map(|n| (MIDNIGHT + n * SECOND, (n % 97) as f64)));
    store.flush().unwrap();
    let snapshot = store.snapshot();
    let series = &select(&snapshot, "m")[0];
    let range = (MIDNIGHT, MIDNIGHT + 6 * HOUR_NANOS);
    let whole = TimeRange::new(Timestamp::from_nanos(range.0), Timestamp::from_nanos(range.1));
    for window in [90, 100, 5_400] {
        let mut reads = Reads::default();
        let windows = Windows::new(whole, window * SECOND as u64);
        series.fold(windows, Want::Values, &mut reads, |_, _| {}).unwrap();
        assert!(reads.samples <= samples, "windows of {window} s: {reads:?}");
        check(series, &model, range, window as i64 * SECOND);
    }
}
