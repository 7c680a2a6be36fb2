//! The samples of one series that a window looks at.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use sereno_model::{Sample, TimeRange};
use sereno_storage::Series;

use crate::fold;

/// Decoded samples of one series in time order, and what came before them.
#[derive(Debug)]
pub(crate) struct Track {
    samples: Arc<[Sample]>,
    before: Before,
}

/// The newest sample before the first of a track; measures that compare neighbours start from it.
#[derive(Debug)]
enum Before {
    Known(Option<Sample>),
    /// Looked up when first asked for: few measures need it, and in old segments it costs a read.
    Stored {
        series: Series,
        range: TimeRange,
        found: OnceLock<Option<Sample>>,
    },
}

impl Track {
    pub(crate) fn new(samples: Arc<[Sample]>, before: Option<Sample>) -> Self {
        Self { samples, before: Before::Known(before) }
    }

    pub(crate) fn read(series: &Series, range: TimeRange) -> Self {
        let before = Before::Stored { series: series.clone(), range, found: OnceLock::new() };
        Self { samples: series.read(range), before }
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The part that lies in `range`.
    pub(crate) fn slice(self: &Arc<Self>, range: TimeRange) -> Slice {
        let start = self.samples.partition_point(|sample| sample.time < range.start);
        let len = self.samples[start..].partition_point(|sample| sample.time < range.end);
        Slice { track: self.clone(), span: start..start + len }
    }

    fn before(&self) -> Option<Sample> {
        match &self.before {
            Before::Known(sample) => *sample,
            Before::Stored { series, range, found } => *found.get_or_init(|| series.last_before(range.start)),
        }
    }
}

/// A run of a track's samples.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    track: Arc<Track>,
    span: Range<usize>,
}

impl Slice {
    pub(crate) fn whole(track: Arc<Track>) -> Self {
        let span = 0..track.samples.len();
        Self { track, span }
    }

    /// A run of this run, given by positions in it.
    pub(crate) fn run(&self, positions: Range<usize>) -> Self {
        let span = self.span.start + positions.start..self.span.start + positions.end;
        Self { track: self.track.clone(), span }
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        &self.track.samples[self.span.clone()]
    }

    pub(crate) fn sum(&self) -> Option<f64> {
        (!self.span.is_empty()).then(|| fold::sum(self.samples()))
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.numbers().reduce(fold::smaller)
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.numbers().reduce(fold::larger)
    }

    pub(crate) fn delta(&self) -> Option<f64> {
        Some(self.samples().last()?.value - self.samples().first()?.value)
    }

    pub(crate) fn increase(&self) -> Option<f64> {
        let mut numbers = self.numbers().peekable();
        numbers.peek()?;
        // A series born inside the window counts from 0.
        let mut previous = self.number_before().unwrap_or(0.0);
        let mut increase = 0.0;
        for value in numbers {
            increase += fold::gained(previous, value);
            previous = value;
        }
        Some(increase)
    }

    pub(crate) fn changes(&self) -> Option<f64> {
        self.count_steps(|earlier, later| earlier != later)
    }

    pub(crate) fn resets(&self) -> Option<f64> {
        self.count_steps(|earlier, later| later < earlier)
    }

    /// Only the samples that `keep` wants. Nothing comes before the first of them, so neighbours are compared from
    /// there on.
    pub(crate) fn filter(&self, keep: impl Fn(f64) -> bool) -> Track {
        let samples: Arc<[Sample]> =
            self.samples().iter().filter(|sample| keep(sample.value)).copied().collect();
        let first = samples.first().copied();
        Track::new(samples, first)
    }

    fn count_steps(&self, counts: impl Fn(f64, f64) -> bool) -> Option<f64> {
        let mut numbers = self.numbers().peekable();
        let mut previous = self.number_before().or(numbers.peek().copied())?;
        let mut steps = 0_u64;
        let mut seen = false;
        for value in numbers {
            steps += u64::from(counts(previous, value));
            previous = value;
            seen = true;
        }
        seen.then_some(steps as f64)
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        self.samples().iter().map(|sample| sample.value).filter(|value| !value.is_nan())
    }

    fn before(&self) -> Option<Sample> {
        match self.span.start.checked_sub(1) {
            Some(index) => self.track.samples.get(index).copied(),
            None => self.track.before(),
        }
    }

    /// The value before the run; NaN tells nothing to start from.
    fn number_before(&self) -> Option<f64> {
        self.before().map(|sample| sample.value).filter(|value| !value.is_nan())
    }
}
