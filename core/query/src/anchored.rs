//! Queries of protocol version 1: windows anchored at the first sample of the period.
//!
//! All series of the selector are pooled, whatever the aggregation. With t0 the time of the first sample, window k
//! holds the samples with `floor((t - t0) / window) = k`, in whole nanoseconds; windows without samples, and windows
//! for which the reducer has no answer, are left out.

use std::sync::Arc;

use sereno_model::{Sample, Selector, TimeRange, Timestamp};
use sereno_storage::{Series, Snapshot, Windows};

use crate::budget::{Budget, QueryError};
use crate::native::Native;
use crate::reduce::{Reduced, Reducer};
use crate::tally::Tally;
use crate::window::Window;

/// What a query found.
#[derive(Clone, Debug, PartialEq)]
pub enum Anchored {
    /// No series matches.
    UnknownSeries,
    /// Series match, but have no sample in the period.
    Empty,
    /// One value per window, in time order; with window 0 every sample's.
    Values(Vec<f64>),
}

/// Executes a query. `window_secs` of 0 gives the raw values in time order; below 1 ns it counts as 1 ns, and one
/// longer than time makes one window. One series and a native reducer that summaries answer cost one fold; everything
/// else costs the decoding of the period, and one reduction per window.
///
/// # Errors
/// [`QueryError`]: the window is negative or no finite number, the budget is broken, the reducer fails or gives
/// several values, the store cannot be read.
pub fn anchored(
    snapshot: &Snapshot,
    selector: &Selector,
    range: TimeRange,
    window_secs: f64,
    reducer: &dyn Reducer,
    budget: &Budget,
) -> Result<Anchored, QueryError> {
    let length = WindowLength::from_secs(window_secs)?;
    let series = snapshot.select(selector, range)?;
    if series.is_empty() {
        // A series may be known by what it sent at other times.
        let known = snapshot.select(selector, TimeRange::ALL)?;
        return Ok(if known.is_empty() { Anchored::UnknownSeries } else { Anchored::Empty });
    }
    budget.check_series(series.len())?;
    budget.check_time()?;
    let tally = budget.tally();
    let native = reducer.native().filter(|native| native.want().is_some());
    let answer = match (&series[..], native, length) {
        ([one], Some(native), WindowLength::Nanos(nanos)) => folded(one, range, nanos, native, &tally),
        _ => values(&Window::pool(&series, range, &tally), length, reducer, budget),
    };
    tally.check()?;
    answer
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum WindowLength {
    /// No windows: every sample for itself.
    Raw,
    /// At least 1.
    Nanos(u64),
}

impl WindowLength {
    fn from_secs(secs: f64) -> Result<Self, QueryError> {
        match secs {
            0.0 => Ok(Self::Raw),
            // `as` saturates, so a length beyond all time is one window.
            _ if secs.is_finite() && secs > 0.0 => Ok(Self::Nanos(((secs * 1e9).round() as u64).max(1))),
            _ => Err(QueryError::Window { secs }),
        }
    }
}

/// One series, summarized window by window in one pass.
fn folded(
    series: &Series,
    range: TimeRange,
    nanos: u64,
    native: Native,
    tally: &Arc<Tally>,
) -> Result<Anchored, QueryError> {
    let Some(Some(origin)) = tally.read(|reads| series.first_in(range, reads)) else {
        return Ok(Anchored::Empty);
    };
    let Some(want) = native.want() else { return Ok(Anchored::Empty) };
    let mut before = match native.looks_before() {
        true => tally.read(|reads| series.last_before(origin, reads)).flatten().map(|sample| sample.value),
        false => None,
    };
    let windows = Windows::new(TimeRange::new(origin, range.end), nanos);
    let mut values = Vec::new();
    tally.read(|reads| {
        series.fold(windows, want, reads, |index, summary| {
            let secs = if native == Native::Rate { secs(window_at(origin, nanos, index)) } else { 0.0 };
            values.extend(native.of_summary(summary, before.filter(|value| !value.is_nan()), secs));
            before = Some(summary.last);
        })
    });
    Ok(Anchored::Values(values))
}

fn values(
    all: &Window,
    length: WindowLength,
    reducer: &dyn Reducer,
    budget: &Budget,
) -> Result<Anchored, QueryError> {
    let Some(origin) = all.samples().first().map(|sample| sample.time) else { return Ok(Anchored::Empty) };
    let WindowLength::Nanos(nanos) = length else { return Ok(Anchored::Values(all.values().collect())) };
    let mut values = Vec::new();
    let mut start = 0;
    while let Some(first) = all.samples().get(start) {
        budget.check_time()?;
        let since = i128::from(first.time.nanos()) - i128::from(origin.nanos());
        let range = window_at(origin, nanos, u64::try_from(since).unwrap_or(0) / nanos);
        let len = run_len(&all.samples()[start..], range.end);
        match reducer.reduce(&all.run(range, start..start + len))? {
            Reduced::None => {}
            Reduced::Number(number) => values.push(number),
            Reduced::Map(_) => return Err(QueryError::Map),
        }
        start += len;
    }
    Ok(Anchored::Values(values))
}

/// The window of this number.
fn window_at(origin: Timestamp, nanos: u64, index: u64) -> TimeRange {
    let edge = |index: i128| {
        let nanos = i128::from(origin.nanos()).saturating_add(index.saturating_mul(i128::from(nanos)));
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    };
    TimeRange::new(edge(index.into()), edge(i128::from(index) + 1))
}

fn secs(range: TimeRange) -> f64 {
    range.end.since(range.start).as_secs_f64()
}

/// How many samples come before `end`; at least the first, also at the very end of time. Doubling steps cost the
/// logarithm of the window, not of the period.
fn run_len(samples: &[Sample], end: Timestamp) -> usize {
    let mut bound = 1;
    while samples.get(bound).is_some_and(|sample| sample.time < end) {
        bound *= 2;
    }
    let from = bound / 2;
    let within = &samples[from..bound.min(samples.len())];
    (from + within.partition_point(|sample| sample.time < end)).max(1)
}
