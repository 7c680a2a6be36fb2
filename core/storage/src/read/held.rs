//! The samples of a span of a series in memory, for whoever looks at many windows of it.
//!
//! They are those of one snapshot, so they answer for it at any of its times. Looks at them cost a binary search and the
//! samples of the window, and are not counted: what is here was counted when it was read.

use std::ops::Range;

use sereno_model::{Sample, TimeRange, Timestamp};

use super::Measure;
use super::fold::{Want, summarize, summarize_each};
use crate::summary::{Summary, Windows};

/// See the module.
#[derive(Debug)]
pub(crate) struct Held {
    range: TimeRange,
    times: Vec<i64>,
    values: Vec<f64>,
    /// The newest sample before the span, unless it is too old to be looked for.
    before: Option<Sample>,
}

impl Held {
    pub(crate) fn new(range: TimeRange, samples: &[Sample], before: Option<Sample>) -> Self {
        let times = samples.iter().map(|sample| sample.time.nanos()).collect();
        let values = samples.iter().map(|sample| sample.value).collect();
        Self { range, times, values, before }
    }

    pub(crate) fn covers(&self, range: TimeRange) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    pub(crate) fn measure(&self, range: TimeRange, want: Want) -> Measure {
        let (times, values) = self.within(range);
        let summary = summarize(want, times.iter().copied().zip(values.iter().copied()));
        Measure { summary, newest: times.last().map(|time| Timestamp::from_nanos(*time)) }
    }

    pub(crate) fn fold(&self, windows: Windows, want: Want, emit: impl FnMut(u64, &Summary)) {
        let (times, values) = self.within(windows.range());
        summarize_each(want, windows, times, values, emit);
    }

    pub(crate) fn samples(&self, range: TimeRange) -> Vec<Sample> {
        let (times, values) = self.within(range);
        let sample =
            |(time, value): (&i64, &f64)| Sample { time: Timestamp::from_nanos(*time), value: *value };
        times.iter().zip(values).map(sample).collect()
    }

    pub(crate) fn first_in(&self, range: TimeRange) -> Option<Timestamp> {
        self.within(range).0.first().map(|time| Timestamp::from_nanos(*time))
    }

    /// The newest sample before `end`, if that is within the span or at its end; `None` if it must be looked for elsewhere.
    pub(crate) fn last_before(&self, end: Timestamp) -> Option<Option<Sample>> {
        if end < self.range.start || self.range.end < end {
            return None;
        }
        let count = self.times.partition_point(|time| *time < end.nanos());
        let Some(last) = count.checked_sub(1) else { return Some(self.before) };
        Some(Some(Sample { time: Timestamp::from_nanos(self.times[last]), value: self.values[last] }))
    }

    fn within(&self, range: TimeRange) -> (&[i64], &[f64]) {
        let positions = self.positions(range);
        (&self.times[positions.clone()], &self.values[positions])
    }

    fn positions(&self, range: TimeRange) -> Range<usize> {
        let start = self.times.partition_point(|time| *time < range.start.nanos());
        let len = self.times[start..].partition_point(|time| *time < range.end.nanos());
        start..start + len
    }
}
