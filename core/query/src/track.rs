//! The samples of one series that a window looks at, read when they are needed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sereno_model::{Sample, TimeRange, Timestamp};
use sereno_storage::{LOOKBACK, ReadError, Reads, Series, Summary, Want, Windows};

use crate::fold;
use crate::tally::Tally;

/// One series over a range. What is read once is kept, and serves everything that it can answer.
#[derive(Debug)]
pub(crate) struct Track {
    range: TimeRange,
    /// `None`: everything is at hand.
    stored: Option<Series>,
    tally: Arc<Tally>,
    samples: OnceLock<Vec<Sample>>,
    /// The newest sample before the range; few measures need it, and in old segments it costs a read.
    before: OnceLock<Option<Sample>>,
    summaries: [OnceLock<Summary>; 5],
    /// How many samples were decoded for it.
    decoded: AtomicU64,
}

impl Track {
    /// Samples of a series, not yet read.
    pub(crate) fn stored(series: &Series, range: TimeRange, tally: &Arc<Tally>) -> Self {
        Self {
            range,
            stored: Some(series.clone()),
            tally: tally.clone(),
            samples: OnceLock::new(),
            before: OnceLock::new(),
            summaries: Default::default(),
            decoded: AtomicU64::new(0),
        }
    }

    /// Samples at hand.
    pub(crate) fn of(
        range: TimeRange,
        samples: Vec<Sample>,
        before: Option<Sample>,
        tally: &Arc<Tally>,
    ) -> Self {
        Self {
            range,
            stored: None,
            tally: tally.clone(),
            samples: samples.into(),
            before: before.into(),
            summaries: Default::default(),
            decoded: AtomicU64::new(0),
        }
    }

    /// The samples; decodes them the first time.
    pub(crate) fn samples(&self) -> &[Sample] {
        self.samples.get_or_init(|| {
            let read = |series: &Series| self.read(|reads| series.read(self.range, reads));
            self.stored.as_ref().and_then(read).unwrap_or_default()
        })
    }

    fn before(&self) -> Option<Sample> {
        *self.before.get_or_init(|| {
            let series = self.stored.as_ref()?;
            self.read(|reads| series.last_before(self.range.start, reads)).flatten()
        })
    }

    /// When the newest sample was observed.
    pub(crate) fn last_time(&self) -> Option<Timestamp> {
        let Some(series) = self.stored.as_ref().filter(|_| self.samples.get().is_none()) else {
            return self.samples().last().map(|sample| sample.time);
        };
        // One look reaches back so far; a longer window takes several.
        let mut before = self.range.end;
        while before > self.range.start {
            if let Some(sample) = self.read(|reads| series.last_before(before, reads))? {
                return Some(sample.time).filter(|time| *time >= self.range.start);
            }
            before = before - LOOKBACK;
        }
        None
    }

    /// The summary, of which what is wanted holds. Rows serve where they can, unless the samples are decoded anyway.
    fn summary(&self, want: Want) -> Summary {
        let known = |want: Want| self.summaries[level(want)].get();
        if let Some(summary) = WANTS.into_iter().filter(|other| covers(*other, want)).find_map(known) {
            return *summary;
        }
        if let Some(samples) = self.samples.get() {
            return *self.summaries[level(Want::All)].get_or_init(|| fold::summary(samples));
        }
        // Who asks a second time may ask a third. What concerns counters is apart: few series keep rows of it.
        let asked_before = WANTS.into_iter().any(|want| known(want).is_some());
        let want = if asked_before && want != Want::All { Want::Values } else { want };
        *self.summaries[level(want)].get_or_init(|| self.fold(want))
    }

    fn fold(&self, want: Want) -> Summary {
        let mut whole = Summary::EMPTY;
        if let Some(series) = &self.stored {
            let windows = Windows::one(self.range);
            let read = self.read(|reads| series.fold(windows, want, reads, |_, summary| whole = *summary));
            if read.is_none() {
                return Summary::EMPTY;
            }
        }
        whole
    }

    fn read<T>(&self, read: impl FnOnce(&mut Reads<'_>) -> Result<T, ReadError>) -> Option<T> {
        self.tally.read(|reads| {
            let found = read(reads);
            self.decoded.fetch_add(reads.samples, Ordering::Relaxed);
            found
        })
    }

    pub(crate) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}

const WANTS: [Want; 5] = [Want::All, Want::Values, Want::Extremes, Want::Sum, Want::Count];

fn level(want: Want) -> usize {
    match want {
        Want::Count => 0,
        Want::Sum => 1,
        Want::Extremes => 2,
        Want::Values => 3,
        Want::All => 4,
    }
}

/// Whether a summary of which `other` holds answers what `want` asks.
fn covers(other: Want, want: Want) -> bool {
    match want {
        Want::Count => true,
        Want::Sum => matches!(other, Want::Sum | Want::Values | Want::All),
        Want::Extremes => matches!(other, Want::Extremes | Want::Values | Want::All),
        Want::Values => matches!(other, Want::Values | Want::All),
        Want::All => other == Want::All,
    }
}

/// All of a track, or a run of its decoded samples.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    track: Arc<Track>,
    run: Option<Range<usize>>,
}

impl Part {
    pub(crate) fn whole(track: Arc<Track>) -> Self {
        Self { track, run: None }
    }

    /// Whether its samples are decoded, and no more than some of a track.
    pub(crate) fn is_run(&self) -> bool {
        self.run.is_some()
    }

    /// The samples at these positions of this part.
    pub(crate) fn run(&self, positions: Range<usize>) -> Self {
        let first = self.run.as_ref().map_or(0, |run| run.start);
        Self { track: self.track.clone(), run: Some(first + positions.start..first + positions.end) }
    }

    pub(crate) fn track(&self) -> &Track {
        &self.track
    }

    /// What lies in `range`; decodes.
    pub(crate) fn within(&self, range: TimeRange) -> Self {
        self.run(positions(self.samples(), range))
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        let samples = self.track.samples();
        self.run.as_ref().map_or(samples, |run| &samples[run.clone()])
    }

    pub(crate) fn summary(&self, want: Want) -> Summary {
        match self.run {
            Some(_) => fold::summary(self.samples()),
            None => self.track.summary(want),
        }
    }

    pub(crate) fn sum(&self) -> Option<f64> {
        let summary = self.summary(Want::Sum);
        (summary.count > 0).then_some(summary.sum)
    }

    pub(crate) fn min(&self) -> Option<f64> {
        Some(self.summary(Want::Extremes).min).filter(|min| !min.is_nan())
    }

    pub(crate) fn max(&self) -> Option<f64> {
        Some(self.summary(Want::Extremes).max).filter(|max| !max.is_nan())
    }

    pub(crate) fn delta(&self) -> Option<f64> {
        let summary = self.summary(Want::Count);
        (summary.count > 0).then_some(summary.last - summary.first)
    }

    pub(crate) fn increase(&self) -> Option<f64> {
        let summary = self.summary(Want::All);
        (summary.count > 0).then(|| summary.increase(self.number_before())).flatten()
    }

    pub(crate) fn resets(&self) -> Option<f64> {
        let summary = self.summary(Want::All);
        (summary.count > 0).then(|| summary.resets(self.number_before())).flatten()
    }

    pub(crate) fn changes(&self) -> Option<f64> {
        let mut numbers =
            self.samples().iter().map(|sample| sample.value).filter(|value| !value.is_nan()).peekable();
        let first = *numbers.peek()?;
        let mut previous = self.number_before().unwrap_or(first);
        let mut changes = 0_u64;
        for number in numbers {
            changes += u64::from(number != previous);
            previous = number;
        }
        Some(changes as f64)
    }

    /// Only the samples that `keep` wants. Nothing comes before the first of them, so neighbours are compared from
    /// there on.
    pub(crate) fn filter(&self, keep: impl Fn(f64) -> bool) -> Track {
        let samples: Vec<Sample> =
            self.samples().iter().filter(|sample| keep(sample.value)).copied().collect();
        let first = samples.first().copied();
        Track::of(self.track.range, samples, first, &self.track.tally)
    }

    /// The value before this part; NaN tells nothing to start from.
    fn number_before(&self) -> Option<f64> {
        let before = match self.run.as_ref().and_then(|run| run.start.checked_sub(1)) {
            Some(index) => self.track.samples().get(index).copied(),
            None => self.track.before(),
        };
        before.map(|sample| sample.value).filter(|value| !value.is_nan())
    }
}

/// Where the samples of `range` are among those in time order.
pub(crate) fn positions(samples: &[Sample], range: TimeRange) -> Range<usize> {
    let start = samples.partition_point(|sample| sample.time < range.start);
    let len = samples[start..].partition_point(|sample| sample.time < range.end);
    start..start + len
}
