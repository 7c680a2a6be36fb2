//! Reads that see one state of the store, whenever they happen.

use std::fmt;
use std::sync::Arc;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};

use crate::registry::SeriesId;
use crate::store::Shared;

/// A view of the store that never changes: the samples committed before its cut, with times up to [`Snapshot::time`].
///
/// The cut is the commit position of every queue when the snapshot was taken. So whoever got its acknowledgement
/// before sees its sample, and everyone who holds a clone gets the same answer, bit for bit, while writers go on.
/// Holding one copies nothing; reads copy what they read.
#[derive(Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
    time: Timestamp,
    cut: Arc<[u64]>,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, time: Timestamp, cut: Arc<[u64]>) -> Self {
        Self { shared, time, cut }
    }

    /// The time `T` of the view: samples later than it are not seen. It is the wall clock when the snapshot was taken,
    /// or the newest time that the store had given to a sample, whichever is later.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The same cut, seen at `time` or at its own, whichever is earlier.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Self {
        Self { time: time.min(self.time), ..self.clone() }
    }

    /// The series that match and have a sample before the cut, in order of their keys.
    ///
    /// Cost: one step per series of the name; for a glob, one per name too.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Vec<Series> {
        let found = self.shared.registry.select(selector).into_iter();
        let known = found.filter(|(_, id)| self.shared.head(id.queue).has_sample(*id, self.cut_of(*id)));
        known.map(|(key, id)| Series { snapshot: self.clone(), key, id }).collect()
    }

    fn cut_of(&self, id: SeriesId) -> u64 {
        self.cut[id.queue as usize]
    }

    /// `range` without what lies after `T`.
    fn visible(&self, range: TimeRange) -> TimeRange {
        TimeRange { end: range.end.min(self.time + std::time::Duration::from_nanos(1)), ..range }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("time", &self.time).finish_non_exhaustive()
    }
}

/// One series in a snapshot.
#[derive(Clone, Debug)]
pub struct Series {
    snapshot: Snapshot,
    key: SeriesKey,
    id: SeriesId,
}

impl Series {
    /// Its identity.
    #[must_use]
    pub fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// Its samples in `range`, in order of time, each time once. Linear in the samples of the chunks that overlap.
    #[must_use]
    pub fn read(&self, range: TimeRange) -> Arc<[Sample]> {
        let (range, cut) = (self.snapshot.visible(range), self.snapshot.cut_of(self.id));
        let pinned = self.snapshot.shared.head(self.id.queue).pin(self.id, range, cut);
        pinned.samples(range, cut).into()
    }

    /// Its newest sample before `before`, however old.
    #[must_use]
    pub fn last_before(&self, before: Timestamp) -> Option<Sample> {
        let range = self.snapshot.visible(TimeRange::new(Timestamp::MIN, before));
        let cut = self.snapshot.cut_of(self.id);
        let pinned = self.snapshot.shared.head(self.id.queue).pin(self.id, range, cut);
        pinned.last(range.end, cut)
    }
}
