//! The window: a lazy handle on the samples of a span of time, of one series or of several pooled.
//!
//! Invariants:
//! * a window is cheap to clone and `'static`, so a script can hold it;
//! * the samples of a pool are ordered by time, then by the key of their series;
//! * what compares neighbours (`delta`, `increase`, `rate`, `changes`, `resets`) is taken within each series of a pool
//!   and summed: counters are never interleaved. Sums too are folded within each series, then over the series in
//!   order of their keys;
//! * an empty window counts 0 and has no value.
//!
//! NaN: `sum mean stddev slope forecast delta` become NaN, as arithmetic does; everything that orders or compares
//! (`min max median quantile between count_above count_below increase rate changes resets`) leaves NaN out;
//! `count first last values` take it as any value. Infinities follow IEEE 754 throughout.
//!
//! Nothing is read before it is needed. `count sum mean min max first last delta increase rate resets is_empty` come from
//! rows of hours and minutes wherever those cover the window; the other measures decode the samples, once, and then
//! everything comes from them, with the same bits. (`first` and `last` of a pool decode too: rows do not tell whose sample
//! is the older one.) A read that fails is remembered in the [`Tally`]: the window then looks empty, and who asked for
//! the answer must look there.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sereno_model::{Sample, TimeRange, Timestamp};
use sereno_storage::{Series, Summary, Want, larger, smaller};

use crate::fold;
use crate::tally::Tally;
use crate::track::{Part, Track, positions};

/// The samples of `[start, end)`; see the module for what all methods have in common.
#[derive(Clone, Debug)]
pub struct Window {
    range: TimeRange,
    tally: Arc<Tally>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    One(Part),
    Pool(Arc<Pool>),
    /// A run of the union of a pool.
    Run(Arc<Pool>, Range<usize>),
}

/// Several series, in order of their keys.
#[derive(Debug)]
struct Pool {
    tracks: Vec<Arc<Track>>,
    union: OnceLock<Vec<Sample>>,
}

impl Pool {
    /// All samples, by time, then by series.
    fn union(&self) -> &[Sample] {
        self.union.get_or_init(|| {
            let mut union: Vec<Sample> =
                self.tracks.iter().flat_map(|track| track.samples().iter().copied()).collect();
            // Stable: at one time the series keep their order. The runs are sorted already, which makes this a merge.
            union.sort_by_key(|sample| sample.time);
            union
        })
    }
}

impl Window {
    /// A window over samples at hand, which must be in time order and inside `range`. `before` is the newest sample
    /// before them; without one the series is born inside the window.
    #[must_use]
    pub fn new(range: TimeRange, samples: Vec<Sample>, before: Option<Sample>) -> Self {
        let tally = Arc::new(Tally::default());
        let track = Track::of(range, samples, before, &tally);
        Self::of_tracks(range, vec![track], tally)
    }

    /// The samples of one series.
    #[must_use]
    pub fn of(series: &Series, range: TimeRange, tally: &Arc<Tally>) -> Self {
        Self::pool(std::slice::from_ref(series), range, tally)
    }

    /// The samples of several series, given in order of their keys.
    #[must_use]
    pub fn pool(series: &[Series], range: TimeRange, tally: &Arc<Tally>) -> Self {
        // By far the most frequent; a list of one would be two allocations more.
        if let [series] = series {
            let part = Part::whole(Arc::new(Track::stored(series, range, tally)));
            return Self { range, tally: tally.clone(), content: Content::One(part) };
        }
        let tracks = series.iter().map(|series| Track::stored(series, range, tally)).collect();
        Self::of_tracks(range, tracks, tally.clone())
    }

    pub(crate) fn of_tracks(range: TimeRange, tracks: Vec<Track>, tally: Arc<Tally>) -> Self {
        let mut tracks: Vec<Arc<Track>> = tracks.into_iter().map(Arc::new).collect();
        let content = match tracks.len() {
            1 => Content::One(Part::whole(tracks.remove(0))),
            _ => Content::Pool(Arc::new(Pool { tracks, union: OnceLock::new() })),
        };
        Self { range, tally, content }
    }

    /// What the reads of this window and its kin are counted in.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// How many samples were decoded for it so far, and for the windows that it was cut from.
    #[must_use]
    pub fn decoded(&self) -> u64 {
        match &self.content {
            Content::One(part) => part.track().decoded(),
            Content::Pool(pool) | Content::Run(pool, _) => {
                pool.tracks.iter().map(|track| track.decoded()).sum()
            }
        }
    }

    /// The part of this window that lies in `range`; it remembers what came before it. Decodes.
    #[must_use]
    pub fn within(&self, range: TimeRange) -> Self {
        let positions = positions(self.samples(), range);
        let range = TimeRange::new(range.start.max(self.range.start), range.end.min(self.range.end));
        self.run(range, positions)
    }

    /// The samples at these positions, which must be those of `range`.
    pub(crate) fn run(&self, range: TimeRange, positions: Range<usize>) -> Self {
        let content = match &self.content {
            Content::One(part) => Content::One(part.run(positions)),
            Content::Pool(pool) => Content::Run(pool.clone(), positions),
            Content::Run(pool, run) => {
                Content::Run(pool.clone(), run.start + positions.start..run.start + positions.end)
            }
        };
        Self { range, tally: self.tally.clone(), content }
    }

    /// The samples with `low <= value <= high`. What compares neighbours starts at the first sample that is left.
    #[must_use]
    pub fn between(&self, low: f64, high: f64) -> Self {
        let tracks = self.parts().map(|part| part.filter(|value| low <= value && value <= high)).collect();
        Self::of_tracks(self.range, tracks, self.tally.clone())
    }

    /// The span of time that was asked for, whether or not samples fill it.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.content {
            Content::Run(_, run) => run.len(),
            Content::One(part) if part.is_run() => part.samples().len(),
            _ => self.parts().map(|part| part.summary(Want::Count).count as usize).sum(),
        }
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The sum, folded minute by minute, hour by hour, series by series.
    #[must_use]
    pub fn sum(&self) -> Option<f64> {
        self.fold(Part::sum, |a, b| a + b)
    }

    /// The sum divided by the count.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        Some(self.sum()? / self.count() as f64)
    }

    /// The lowest value.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.fold(Part::min, smaller)
    }

    /// The highest value.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.fold(Part::max, larger)
    }

    /// The value of the oldest sample.
    #[must_use]
    pub fn first(&self) -> Option<f64> {
        self.edge(|summary| summary.first, <[Sample]>::first)
    }

    /// The value of the newest sample.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.edge(|summary| summary.last, <[Sample]>::last)
    }

    /// When the newest sample was observed. Decodes no more than the blocks in which it is looked for.
    #[must_use]
    pub fn last_time(&self) -> Option<Timestamp> {
        match &self.content {
            Content::One(part) if !part.is_run() => part.track().last_time(),
            Content::Pool(pool) => pool.tracks.iter().filter_map(|track| track.last_time()).max(),
            _ => self.samples().last().map(|sample| sample.time),
        }
    }

    /// The newest value minus the oldest.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        self.fold(Part::delta, |a, b| a + b)
    }

    /// What a counter gained, from the newest sample before the window to the newest inside. A fall is a restart from
    /// 0, a series born inside the window counts from 0, nothing is extrapolated: the increases of adjacent windows
    /// add up to that of their union.
    #[must_use]
    pub fn increase(&self) -> Option<f64> {
        self.fold(Part::increase, |a, b| a + b)
    }

    /// The increase per second of the window's range, filled or not; `None` when the range is empty.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let secs = self.range.end.since(self.range.start).as_secs_f64();
        self.increase().filter(|_| secs > 0.0).map(|increase| increase / secs)
    }

    /// How often a value differs from the one before it, the one before the window included.
    #[must_use]
    pub fn changes(&self) -> Option<f64> {
        self.fold(Part::changes, |a, b| a + b)
    }

    /// How often a value is below the one before it, the one before the window included.
    #[must_use]
    pub fn resets(&self) -> Option<f64> {
        self.fold(Part::resets, |a, b| a + b)
    }

    /// The standard deviation of the population.
    #[must_use]
    pub fn stddev(&self) -> Option<f64> {
        let mean = self.mean()?;
        let squares: f64 = self.samples().iter().fold(0.0, |sum, sample| {
            let distance = sample.value - mean;
            sum + distance * distance
        });
        Some((squares / self.count() as f64).sqrt())
    }

    /// The 0.5 quantile.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The value below which the share `q` of the samples lies, interpolated between neighbours; `q` is taken into
    /// `0..=1`. Linear in the samples, which are copied.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        fold::quantile(&mut self.samples().iter().map(|sample| sample.value).collect(), q)
    }

    /// The slope of the least squares line, per second; `None` with fewer than two different times.
    #[must_use]
    pub fn slope(&self) -> Option<f64> {
        self.line().map(|line| line.slope)
    }

    /// Where the least squares line will be `ahead` of the window's end; `None` with fewer than two different times.
    #[must_use]
    pub fn forecast(&self, ahead: Duration) -> Option<f64> {
        let line = self.line()?;
        let end = secs_between(line.origin, self.range.end) + ahead.as_secs_f64();
        Some(line.mean_value + line.slope * (end - line.mean_secs))
    }

    /// How many values are above `limit`.
    #[must_use]
    pub fn count_above(&self, limit: f64) -> usize {
        self.samples().iter().filter(|sample| sample.value > limit).count()
    }

    /// How many values are below `limit`.
    #[must_use]
    pub fn count_below(&self, limit: f64) -> usize {
        self.samples().iter().filter(|sample| sample.value < limit).count()
    }

    /// The values in order. The iterator owns what it reads.
    #[must_use]
    pub fn values(&self) -> Values {
        Values { window: self.clone(), next: 0 }
    }

    /// The samples, by time, then by series.
    pub(crate) fn samples(&self) -> &[Sample] {
        match &self.content {
            Content::One(part) => part.samples(),
            Content::Pool(pool) => pool.union(),
            Content::Run(pool, run) => &pool.union()[run.clone()],
        }
    }

    /// The part of each series, in order of their keys.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let (one, pool) = match &self.content {
            Content::One(part) => (Some(part.clone()), None),
            Content::Pool(pool) | Content::Run(pool, _) => (None, Some(pool)),
        };
        let cut = matches!(self.content, Content::Run(..)).then_some(self.range);
        let several = pool.into_iter().flat_map(|pool| &pool.tracks).map(move |track| {
            let part = Part::whole(track.clone());
            cut.map_or_else(|| part.clone(), |range| part.within(range))
        });
        one.into_iter().chain(several)
    }

    fn fold(&self, measure: fn(&Part) -> Option<f64>, join: fn(f64, f64) -> f64) -> Option<f64> {
        match &self.content {
            Content::One(part) => measure(part),
            _ => self.parts().filter_map(|part| measure(&part)).reduce(join),
        }
    }

    fn edge(
        &self,
        of_summary: fn(&Summary) -> f64,
        of_samples: fn(&[Sample]) -> Option<&Sample>,
    ) -> Option<f64> {
        match &self.content {
            Content::One(part) if !part.is_run() => {
                let summary = part.summary(Want::Count);
                (summary.count > 0).then(|| of_summary(&summary))
            }
            _ => of_samples(self.samples()).map(|sample| sample.value),
        }
    }

    fn line(&self) -> Option<Line> {
        let samples = self.samples();
        let origin = samples.first()?.time;
        let count = samples.len() as f64;
        let secs = |sample: &Sample| secs_between(origin, sample.time);
        let mean_secs = samples.iter().fold(0.0, |sum, sample| sum + secs(sample)) / count;
        let mean_value = self.mean()?;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for sample in samples {
            let distance = secs(sample) - mean_secs;
            covariance += distance * (sample.value - mean_value);
            variance += distance * distance;
        }
        (variance > 0.0).then(|| Line { origin, mean_secs, mean_value, slope: covariance / variance })
    }
}

/// A least squares line through (`mean_secs` after `origin`, `mean_value`).
struct Line {
    origin: Timestamp,
    mean_secs: f64,
    mean_value: f64,
    slope: f64,
}

fn secs_between(from: Timestamp, to: Timestamp) -> f64 {
    (i128::from(to.nanos()) - i128::from(from.nanos())) as f64 / 1e9
}

/// The values of a window, in order.
#[derive(Clone, Debug)]
pub struct Values {
    window: Window,
    next: usize,
}

impl Iterator for Values {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let sample = self.window.samples().get(self.next)?;
        self.next += 1;
        Some(sample.value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.window.count() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Values {}

impl IntoIterator for Window {
    type Item = f64;
    type IntoIter = Values;

    fn into_iter(self) -> Values {
        Values { window: self, next: 0 }
    }
}
