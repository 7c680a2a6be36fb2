//! The value of a window, how many samples it rests on, and when the newest of them was observed.
//!
//! A rule needs all three at every tick, so they come from one look at each series. A reducer that summaries answer builds
//! no window: nothing is allocated, and of a live series nothing is read but the samples of the window, in memory.

use std::sync::Arc;

use sereno_model::{TimeRange, Timestamp};
use sereno_storage::{Measure, ReadError, Reads, Selection, Series, Snapshot, Want};

use crate::across::{Across, Cell, Joined};
use crate::budget::QueryError;
use crate::native::Native;
use crate::reduce::{Reduced, Reducer};
use crate::tally::Tally;
use crate::window::Window;

/// A value, and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The answer, that of [`reduce_group`](crate::reduce_group).
    pub value: Reduced,
    /// How many samples the windows of all series hold.
    pub count: u64,
    /// When the newest of them was observed.
    pub newest: Option<Timestamp>,
}

/// [`reduce_group`](crate::reduce_group), and what its answer rests on.
///
/// # Errors
/// As [`reduce_group`](crate::reduce_group).
pub fn measure(
    series: &[Series],
    range: TimeRange,
    reducer: &dyn Reducer,
    across: Option<Across>,
    tally: &Arc<Tally>,
) -> Result<Measured, QueryError> {
    let across = match (across, series.len()) {
        (Some(across), _) => across,
        (None, 0 | 1) => Across::Pool,
        (None, several) => return Err(QueryError::AcrossMissing { series: several }),
    };
    let plan = reducer.native().and_then(|native| Plan::of(native, across, series.len()));
    let measured = match plan {
        Some(plan) => Ok(plan.measure(series, range, tally)),
        None if across == Across::Pool => pooled(&Window::pool(series, range, tally), reducer),
        None => {
            let windows = series.iter().map(|series| Window::of(series, range, tally));
            each(windows, reducer, across)
        }
    };
    // A failed read made some window look empty, and whatever followed from that is void.
    tally.check()?;
    measured
}

fn pooled(window: &Window, reducer: &dyn Reducer) -> Result<Measured, QueryError> {
    let value = reducer.reduce(window)?;
    Ok(Measured { value, count: window.count() as u64, newest: window.last_time() })
}

fn each(
    windows: impl Iterator<Item = Window>,
    reducer: &dyn Reducer,
    across: Across,
) -> Result<Measured, QueryError> {
    let (mut cell, mut count, mut newest) = (Cell::default(), 0, None);
    for window in windows {
        cell.add(across, reducer.reduce(&window)?);
        count += window.count() as u64;
        newest = newest.max(window.last_time());
    }
    Ok(Measured { value: cell.finish(across), count, newest })
}

/// How summaries answer a reducer: what each series answers, and how the answers are joined.
#[derive(Clone, Copy)]
struct Plan {
    native: Native,
    each: Native,
    want: Want,
    across: Across,
    /// A series takes part with as much weight as it has samples.
    is_weighted: bool,
    /// The answer is that of the series with the newest sample.
    is_newest: bool,
    /// The series are one window: an empty one among them is not there.
    is_pool: bool,
}

impl Plan {
    /// `None` if the samples themselves are needed.
    fn of(native: Native, across: Across, series: usize) -> Option<Self> {
        let want = if native == Native::Age { Want::Count } else { native.want()? };
        let is_pool = across == Across::Pool;
        let plan = Self { native, each: native, want, across, is_weighted: false, is_newest: false, is_pool };
        if !is_pool {
            return Some(plan);
        }
        // Of one series there is nothing to join. Otherwise counters, sums and extremes of a pool are those of its series.
        let one = series == 1;
        Some(match native {
            Native::Mean if !one => {
                Self { each: Native::Sum, across: Across::Mean, is_weighted: true, ..plan }
            }
            Native::Rate if !one => Self { each: Native::Increase, across: Across::Sum, ..plan },
            Native::Min => Self { across: Across::Min, ..plan },
            Native::Max => Self { across: Across::Max, ..plan },
            Native::First if !one => return None,
            // The youngest series is as old as all of them.
            Native::Age => Self { across: Across::Min, ..plan },
            Native::Last => Self { across: Across::Sum, is_newest: true, ..plan },
            _ => Self { across: Across::Sum, ..plan },
        })
    }

    /// Nothing if a read fails, which the account remembers.
    fn measure(&self, series: &[Series], range: TimeRange, tally: &Tally) -> Measured {
        let secs = range.end.since(range.start).as_secs_f64();
        let (mut joined, mut count, mut newest) = (Joined::default(), 0, None);
        tally.read(|reads| {
            for series in series {
                let measure = series.measure(range, self.want, reads)?;
                let answer = self.answer(series, range, secs, &measure, reads)?;
                let samples = measure.summary.count;
                count += samples;
                if self.is_newest && measure.newest >= newest {
                    // Of one time, the sample of the later series is the newer one.
                    joined = Joined::default();
                } else if self.is_newest {
                    continue;
                }
                newest = newest.max(measure.newest);
                if let Some(number) = answer {
                    joined.add(self.across, number, if self.is_weighted { samples } else { 1 });
                }
            }
            Ok(())
        });
        let mut number = joined.finish(self.across);
        match self.native {
            Native::Rate if self.each == Native::Increase => {
                number = number.filter(|_| secs > 0.0).map(|increase| increase / secs);
            }
            Native::Count if self.is_pool => number = number.or(Some(0.0)),
            Native::Age if self.is_pool => number = number.or(Some(secs)),
            _ => {}
        }
        Measured { value: number.into(), count, newest }
    }

    /// What one series answers.
    fn answer(
        &self,
        series: &Series,
        range: TimeRange,
        secs: f64,
        measure: &Measure,
        reads: &mut Reads<'_>,
    ) -> Result<Option<f64>, ReadError> {
        if self.each == Native::Age {
            return Ok(Some(range.end.since(measure.newest.unwrap_or(range.start)).as_secs_f64()));
        }
        if measure.summary.count == 0 {
            return Ok((self.each == Native::Count && !self.is_pool).then_some(0.0));
        }
        let before = match self.each.looks_before() {
            true => series.last_before(range.start, reads)?.map(|sample| sample.value),
            false => None,
        };
        Ok(self.each.of_summary(&measure.summary, before, secs))
    }
}

/// [`Selection::prefetch`] on the account of `tally`.
///
/// # Errors
/// What went wrong with reading, or more samples than the account may have.
pub fn prefetch(
    selection: &mut Selection,
    snapshot: &Snapshot,
    range: TimeRange,
    tally: &Tally,
) -> Result<(), QueryError> {
    tally.read(|reads| selection.prefetch(snapshot, range, reads));
    tally.check()
}
