//! Where the windows of a range query lie.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{TimeRange, Timestamp};
use sereno_storage::Series;

use super::{Alignment, RangeQuery};
use crate::budget::QueryError;
use crate::tally::Tally;

/// Window k is `[origin + k * step, origin + k * step + window)`, cut at the bounds of the range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    origin: i64,
    range: TimeRange,
    pub window: u64,
    pub step: u64,
}

impl Grid {
    /// `None` if there is nothing to lay it over.
    pub fn new(
        query: &RangeQuery,
        range: TimeRange,
        series: &[Series],
        tally: &Arc<Tally>,
    ) -> Option<Result<Self, QueryError>> {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let (window, step) = (nanos(query.window), nanos(query.step));
        if window == 0 || step == 0 {
            return Some(Err(QueryError::Step { window: query.window, step: query.step }));
        }
        if range.start >= range.end || series.is_empty() {
            return None;
        }
        let is_open = range.start == Timestamp::MIN;
        let start = match query.alignment {
            Alignment::FirstSample => first_sample(range, series, tally)?,
            _ if is_open => first_sample(range, series, tally)?,
            Alignment::Epoch | Alignment::Start => range.start,
        };
        let origin = match query.alignment {
            Alignment::FirstSample | Alignment::Start => start,
            Alignment::Epoch => before_or_at(start, step),
        };
        // Nobody cut a period without a start, so its first window is whole.
        let start = if is_open { origin } else { start };
        Some(Ok(Self { origin: origin.nanos(), range: TimeRange::new(start, range.end), window, step }))
    }

    /// What the windows cover, and what lies between them.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Where the first window begins, if it were not cut.
    pub fn origin(&self) -> Timestamp {
        Timestamp::from_nanos(self.origin)
    }

    /// How many windows there are.
    pub fn count(&self) -> u64 {
        let span = i128::from(self.range.end.nanos()) - i128::from(self.origin);
        let step = i128::from(self.step);
        u64::try_from((span + step - 1) / step).unwrap_or(0)
    }

    /// Where window `index` starts, uncut.
    pub fn start(&self, index: u64) -> Timestamp {
        Timestamp::from_nanos(self.edge(index, 0))
    }

    /// What window `index` covers.
    pub fn cut(&self, index: u64) -> TimeRange {
        let start = self.edge(index, 0).max(self.range.start.nanos());
        let end = self.edge(index, self.window).min(self.range.end.nanos());
        TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end))
    }

    /// How long it is, cut.
    pub fn secs(&self, index: u64) -> f64 {
        let range = self.cut(index);
        range.end.since(range.start).as_secs_f64()
    }

    fn edge(&self, index: u64, more: u64) -> i64 {
        let nanos = i128::from(self.origin)
            .saturating_add(i128::from(index).saturating_mul(self.step.into()))
            .saturating_add(more.into());
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

/// The time of the first sample of any of the series.
fn first_sample(range: TimeRange, series: &[Series], tally: &Arc<Tally>) -> Option<Timestamp> {
    let first = |series: &Series| tally.read(|reads| series.first_in(range, reads)).flatten();
    series.iter().filter_map(first).min()
}

/// The last multiple of the step since the epoch that is not after `time`.
fn before_or_at(time: Timestamp, step: u64) -> Timestamp {
    let origin = i128::from(time.nanos()).div_euclid(step.into()) * i128::from(step);
    // Before the beginning of time there is nothing: the first window is cut there anyway.
    Timestamp::from_nanos(i64::try_from(origin).unwrap_or(i64::MIN))
}
