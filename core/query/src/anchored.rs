//! Queries of protocol version 1: windows anchored at the first sample of the period.
//!
//! All series of the selector are pooled, whatever the aggregation. With t0 the time of the first sample, window k
//! holds the samples with `floor((t - t0) / window) = k`, in whole nanoseconds; windows without samples, and windows
//! for which the reducer has no answer, are left out.

use sereno_model::{Sample, Selector, TimeRange, Timestamp};
use sereno_storage::Snapshot;

use crate::budget::{Budget, QueryError};
use crate::reduce::{Reduced, Reducer};
use crate::track::Track;
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
/// longer than time makes one window. Costs the decoding of the period, and one reduction per window.
///
/// # Errors
/// [`QueryError`]: the window is negative or no finite number, the budget is broken, the reducer fails or gives
/// several values.
pub fn anchored(
    snapshot: &Snapshot,
    selector: &Selector,
    range: TimeRange,
    window_secs: f64,
    reducer: &dyn Reducer,
    budget: &Budget<'_>,
) -> Result<Anchored, QueryError> {
    let length = WindowLength::from_secs(window_secs)?;
    let series = snapshot.select(selector);
    if series.is_empty() {
        return Ok(Anchored::UnknownSeries);
    }
    let mut tracks = Vec::with_capacity(series.len());
    let mut read = 0;
    for series in &series {
        budget.check_time()?;
        let track = Track::read(series, range);
        read += track.samples().len();
        budget.check_samples(read)?;
        tracks.push(track);
    }
    values(&Window::of_tracks(range, tracks), length, reducer, budget)
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

fn values(
    all: &Window,
    length: WindowLength,
    reducer: &dyn Reducer,
    budget: &Budget<'_>,
) -> Result<Anchored, QueryError> {
    let Some(origin) = all.samples().first().map(|sample| sample.time) else { return Ok(Anchored::Empty) };
    let WindowLength::Nanos(nanos) = length else { return Ok(Anchored::Values(all.values().collect())) };
    let mut values = Vec::new();
    let mut start = 0;
    while let Some(first) = all.samples().get(start) {
        budget.check_time()?;
        let range = window_of(first.time, origin, nanos);
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

/// The window that holds `time`, which is not before `origin`.
fn window_of(time: Timestamp, origin: Timestamp, nanos: u64) -> TimeRange {
    let (origin, nanos) = (i128::from(origin.nanos()), i128::from(nanos));
    let index = (i128::from(time.nanos()) - origin) / nanos;
    let edge = |index: i128| Timestamp::from_nanos(i64::try_from(origin + index * nanos).unwrap_or(i64::MAX));
    TimeRange::new(edge(index), edge(index + 1))
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
