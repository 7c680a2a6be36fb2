//! A selector whose answer is remembered.
//!
//! What a selector means changes when series of its metric come or go, and when other segments overlap the range that is
//! looked at. Both can be told by a few comparisons, and mostly nothing has changed, so whoever asks again and again pays
//! for the comparisons alone.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use sereno_model::{Selector, SeriesKey, TimeRange};

use crate::read::{Held, ReadError, Reads};
use crate::registry::{Changes, SeriesId};
use crate::segment::{Segment, SeriesData};
use crate::series::{Found, Series};
use crate::shared::Shared;
use crate::snapshot::{Snapshot, View};

/// The series of one selector, remembered from tick to tick. Not shared: each rule owns its own.
#[derive(Debug)]
pub struct Selection {
    selector: Selector,
    /// What was found, shown in the snapshot of the last call …
    shown: Vec<Series>,
    /// … or without it, after [`Selection::release`]; one of the two is empty.
    idle: Vec<Found>,
    /// What must be so still for that to hold; `None` while nothing is known.
    basis: Option<Basis>,
    /// Whether what was found last was given.
    is_told: bool,
    prefetched: Option<Prefetched>,
}

/// What an answer rests on.
#[derive(Debug)]
struct Basis {
    /// Of which store; held so that its address is not given again.
    shared: Weak<Shared>,
    /// The counter of births and retirements, and where it stood.
    changes: Changes,
    seen: u64,
    /// By queue, the first position at which all that was found is born.
    born: Vec<(u32, u64)>,
    /// Series that match and had no sample yet.
    unborn: Vec<SeriesId>,
    edition: u64,
    overlap: Overlap,
}

/// Which segments overlap a range, and for which other ranges it would be the same ones.
#[derive(Debug, PartialEq, Eq)]
struct Overlap {
    segments: Vec<u64>,
    bounds: Bounds,
}

/// Ranges that begin after `start.0` and not after `start.1`, and likewise end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    start: (i64, i64),
    end: (i64, i64),
}

/// Samples in memory, and which cut they are of.
#[derive(Debug)]
struct Prefetched {
    view: Weak<View>,
    held: BTreeMap<SeriesKey, Arc<Held>>,
}

impl Selection {
    /// Nothing is looked up before it is asked for.
    #[must_use]
    pub fn new(selector: Selector) -> Self {
        let (shown, idle) = (Vec::new(), Vec::new());
        Self { selector, shown, idle, basis: None, is_told: false, prefetched: None }
    }

    /// What it selects.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The same as [`Snapshot::select`], in the same order, and whether their keys may differ from what the last call
    /// that worked gave: if not, whoever grouped them can keep the groups.
    ///
    /// Holds the snapshot, and so the memory and files that it may read, until the next call or
    /// [`Selection::release`].
    ///
    /// Cost: some comparisons and a count of references for each series, unless series of the metric (of any metric, for
    /// a pattern) were born or retired, or segments came or went in the days of `range`; then that of a selection.
    ///
    /// # Errors
    /// As [`Snapshot::select`].
    pub fn series(&mut self, snapshot: &Snapshot, range: TimeRange) -> Result<(&[Series], bool), ReadError> {
        if snapshot.recovering() {
            return Err(ReadError::Recovering);
        }
        self.drop_prefetched_of_others(snapshot);
        let looked = snapshot.visible(range);
        let holds = self.basis.as_mut().is_some_and(|basis| basis.holds(&snapshot.view, looked));
        let mut changed = false;
        if holds {
            self.show(snapshot, looked);
        } else {
            changed = self.look_up(snapshot, looked)?;
        }
        changed |= !std::mem::replace(&mut self.is_told, true);
        Ok((&self.shown, changed))
    }

    /// Lets go of the snapshot of the last call, and remembers the rest. To be called when the series have been read: a
    /// snapshot keeps the memory of the head as it was, which a rule that is due once an hour must not do for so long.
    /// Segments that overlapped the range stay open; who does not come back for days should be dropped.
    pub fn release(&mut self) {
        self.idle.extend(self.shown.drain(..).map(Series::into_found));
    }

    /// Reads the samples of `range` of all series into memory, for whoever looks at many windows within: with this
    /// snapshot, at whatever times ([`Snapshot::at`]), they are read from there, and answers stay the same, bit for bit.
    /// With a snapshot of another cut what was read is dropped. Costs 16 bytes a sample.
    ///
    /// # Errors
    /// As [`Selection::series`] and [`Series::read`]; nothing is in memory then.
    pub fn prefetch(
        &mut self,
        snapshot: &Snapshot,
        range: TimeRange,
        reads: &mut Reads<'_>,
    ) -> Result<(), ReadError> {
        self.prefetched = None;
        self.hand_out_held();
        let was_told = self.is_told;
        let changed = self.series(snapshot, range)?.1;
        // Nobody has seen these yet.
        self.is_told = was_told && !changed;
        let mut held = BTreeMap::new();
        for series in &self.shown {
            held.insert(series.key().clone(), series.hold(range, reads)?);
        }
        self.prefetched = Some(Prefetched { view: Arc::downgrade(&snapshot.view), held });
        self.hand_out_held();
        Ok(())
    }

    /// Shows what is remembered in this snapshot.
    fn show(&mut self, snapshot: &Snapshot, looked: TimeRange) {
        if self.shown.is_empty() {
            let shown =
                self.idle.drain(..).map(|found| Series::new(snapshot.clone(), Found { looked, ..found }));
            self.shown.extend(shown);
        } else {
            self.shown.iter_mut().for_each(|series| series.move_to(snapshot, looked));
        }
    }

    /// Finds out anew, and whether that brought other keys.
    fn look_up(&mut self, snapshot: &Snapshot, looked: TimeRange) -> Result<bool, ReadError> {
        let view = &*snapshot.view;
        // What was counted before the look is in the answer.
        let changes = match self.basis.take() {
            Some(basis) if basis.is_of(view) => basis.changes,
            _ => view.shared.registry.watch(&self.selector.name),
        };
        let seen = changes.load(Ordering::Acquire);
        let LookedUp { found, unborn } = look_up(view, &self.selector, looked)?;
        self.release();
        let is_same = self.idle.iter().map(|known| &known.key).eq(found.iter().map(|found| &found.key));
        self.idle.clear();
        self.shown.extend(found.into_iter().map(|found| Series::new(snapshot.clone(), found)));
        self.hand_out_held();
        self.basis = Some(Basis {
            shared: Arc::downgrade(&view.shared),
            changes,
            seen,
            born: born(view, &self.shown),
            unborn,
            edition: view.version.edition,
            overlap: Overlap::of(&view.version.segments, looked),
        });
        Ok(!is_same)
    }

    fn drop_prefetched_of_others(&mut self, snapshot: &Snapshot) {
        let is_of_another =
            |prefetched: &Prefetched| !std::ptr::eq(prefetched.view.as_ptr(), &raw const *snapshot.view);
        if self.prefetched.as_ref().is_some_and(is_of_another) {
            self.prefetched = None;
            self.hand_out_held();
        }
    }

    /// Gives each series what is in memory of it.
    fn hand_out_held(&mut self) {
        let prefetched = self.prefetched.as_ref();
        let held = |key: &SeriesKey| prefetched.and_then(|prefetched| prefetched.held.get(key)).cloned();
        let shown = self.shown.iter_mut().map(Series::found_mut);
        shown.chain(&mut self.idle).for_each(|found| found.held = held(&found.key));
    }
}

impl Basis {
    fn is_of(&self, view: &View) -> bool {
        std::ptr::eq(self.shared.as_ptr(), &raw const *view.shared)
    }

    /// Whether a look-up would find the same.
    fn holds(&mut self, view: &View, looked: TimeRange) -> bool {
        self.is_of(view)
            && self.changes.load(Ordering::Acquire) == self.seen
            && self.born.iter().all(|(queue, born)| view.cut[*queue as usize] >= *born)
            && !self.unborn.iter().any(|id| view.shared.is_born(*id, view.cut[id.queue as usize]))
            && self.overlaps_the_same(view, looked)
    }

    fn overlaps_the_same(&mut self, view: &View, looked: TimeRange) -> bool {
        let edition = view.version.edition;
        if self.edition == edition && self.overlap.bounds.hold(looked) {
            return true;
        }
        let overlap = Overlap::of(&view.version.segments, looked);
        let is_same = overlap.segments == self.overlap.segments;
        if is_same {
            (self.edition, self.overlap) = (edition, overlap);
        }
        is_same
    }
}

impl Overlap {
    fn of(segments: &[Arc<Segment>], range: TimeRange) -> Self {
        let (start, end) = (range.start.nanos(), range.end.nanos());
        let mut bounds = Bounds { start: (i64::MIN, i64::MAX), end: (i64::MIN, i64::MAX) };
        let mut overlapping = Vec::new();
        for meta in segments.iter().map(|segment| &segment.meta) {
            // A segment overlaps what begins not after its end, and ends after its beginning.
            if meta.overlaps(range) {
                overlapping.push(meta.id);
                bounds.start.1 = bounds.start.1.min(meta.time_max);
                bounds.end.0 = bounds.end.0.max(meta.time_min);
            } else if meta.time_max < start {
                bounds.start.0 = bounds.start.0.max(meta.time_max);
            } else {
                debug_assert!(meta.time_min >= end, "it does not overlap");
                bounds.end.1 = bounds.end.1.min(meta.time_min);
            }
        }
        Self { segments: overlapping, bounds }
    }
}

impl Bounds {
    fn hold(&self, range: TimeRange) -> bool {
        let (start, end) = (range.start.nanos(), range.end.nanos());
        // All of time begins at the very first moment, and nothing is before that.
        let begins = (self.start.0 < start || self.start.0 == i64::MIN) && start <= self.start.1;
        begins && (self.end.0 < end || self.end.0 == i64::MIN) && end <= self.end.1
    }
}

/// By queue, the first position at which all of these are born.
fn born(view: &View, series: &[Series]) -> Vec<(u32, u64)> {
    let ids = series.iter().filter_map(Series::id);
    let mut born: Vec<(u32, u64)> = ids.map(|id| (id.queue, view.shared.born(id))).collect();
    born.sort_unstable_by(|a, b| b.cmp(a));
    born.dedup_by_key(|(queue, _)| *queue);
    born
}

/// What a look-up found.
pub(crate) struct LookedUp {
    /// In order of their keys.
    pub found: Vec<Found>,
    /// Series that match and have no sample before the cut.
    pub unborn: Vec<SeriesId>,
}

/// Looks in the live index and in that of each segment that overlaps `looked`.
pub(crate) fn look_up(view: &View, selector: &Selector, looked: TimeRange) -> Result<LookedUp, ReadError> {
    if view.recovering {
        return Err(ReadError::Recovering);
    }
    let new = |key, id| Found { key, id, segments: Vec::new(), looked, held: None };
    let (mut found, mut unborn) = (Vec::new(), Vec::new());
    for (key, id) in view.shared.registry.select(selector) {
        match view.shared.is_born(id, view.cut[id.queue as usize]) {
            true => found.push(new(key, Some(id))),
            false => unborn.push(id),
        }
    }
    let mut sealed: BTreeMap<SeriesKey, Vec<SeriesData>> = BTreeMap::new();
    for segment in view.version.segments.iter().filter(|segment| segment.meta.overlaps(looked)) {
        for (key, data) in segment.select(selector)? {
            sealed.entry(key).or_default().push(data);
        }
    }
    if sealed.is_empty() {
        return Ok(LookedUp { found, unborn });
    }
    let mut merged = Vec::with_capacity(found.len().max(sealed.len()));
    let mut live = found.into_iter().peekable();
    for (key, segments) in sealed {
        while let Some(before) = live.next_if(|found| found.key < key) {
            merged.push(before);
        }
        let one = live.next_if(|found| found.key == key).unwrap_or_else(|| new(key, None));
        merged.push(Found { segments, ..one });
    }
    merged.extend(live);
    Ok(LookedUp { found: merged, unborn })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use sereno_model::Timestamp;
    use sereno_runtime::{ManualClock, MemoryDisk, Metrics};

    use super::*;
    use crate::{Config, Row, Store};

    #[test]
    fn what_is_released_holds_no_snapshot() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let config = Config { directory: PathBuf::from("/store"), queues: 1, ..Config::default() };
        let clock = Arc::new(ManualClock::new(now));
        let store = Store::open(&config, Arc::new(MemoryDisk::new()), clock, &Metrics::default()).unwrap();
        let id = store.series(&"cpu".parse().unwrap()).unwrap();
        assert!(store.append(vec![Row::now(id, 1.0)]).wait().is_ok());
        let mut selection = Selection::new(Selector::exact("cpu"));
        let range = TimeRange::before(now, Duration::from_secs(60));
        for changed in [true, false] {
            let snapshot = store.snapshot();
            let view = Arc::downgrade(&snapshot.view);
            let (found, is_changed) = selection.series(&snapshot, range).unwrap();
            assert_eq!((found.len(), is_changed), (1, changed));
            drop(snapshot);
            assert_eq!(view.strong_count(), 1);
            selection.release();
            assert_eq!(view.strong_count(), 0);
        }
    }

    #[test]
    fn ranges_within_the_bounds_overlap_the_same() {
        let bounds = Bounds { start: (10, 20), end: (i64::MIN, 90) };
        let holds = |start, end| {
            bounds.hold(TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end)))
        };
        assert!(holds(11, 90) && holds(20, i64::MIN));
        assert!(!holds(10, 90) && !holds(21, 90) && !holds(11, 91));
    }
}
