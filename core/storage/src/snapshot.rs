//! Reads that see one state of the store, whenever they happen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};

use crate::read::ReadError;
use crate::selection::look_up;
use crate::series::Series;
use crate::shared::{Shared, Version};

/// A view of the store that never changes: the samples committed before its cut, with times up to [`Snapshot::time`].
///
/// The cut is the commit position of every queue when the snapshot was taken. So whoever got its acknowledgement
/// before sees its sample, and everyone who holds a clone gets the same answer, bit for bit, while writers, flushes,
/// compaction and retention go on. Holding one copies nothing, but keeps the memory and files that it may read.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) view: Arc<View>,
    time: Timestamp,
}

/// What there is to see, apart from the time. In one allocation, for every series in hand holds it.
pub(crate) struct View {
    pub shared: Arc<Shared>,
    pub version: Arc<Version>,
    pub cut: Box<[u64]>,
    pub recovering: bool,
}

impl Snapshot {
    pub(crate) fn take(shared: &Arc<Shared>) -> Self {
        // Asked first: if the log is read back by then, the version holds what it held.
        let recovering = shared.recovering.load(Ordering::Acquire);
        // The cut before the stamp: a stamp is published before the position that shows it, so the time covers the cut.
        let (version, cut) = shared.cut();
        let newest_stamp = Timestamp::from_nanos(shared.newest_stamp.load(Ordering::Acquire));
        let time = shared.clock.now().max(newest_stamp);
        Self { view: Arc::new(View { shared: shared.clone(), version, cut, recovering }), time }
    }

    /// The time `T` of the view: samples later than it are not seen. It is the wall clock when the snapshot was taken,
    /// or the newest time that the store had given to a sample, whichever is later.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Whether the log was still being read back when it was taken: nothing can be told from it then.
    #[must_use]
    pub fn recovering(&self) -> bool {
        self.view.recovering
    }

    /// The same cut, seen at `time` or at its own, whichever is earlier.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Self {
        Self { time: time.min(self.time), view: self.view.clone() }
    }

    /// The same cut, seen at `time` or at its own, whichever is later: as if the clock had been a little ahead.
    #[must_use]
    pub fn not_before(&self, time: Timestamp) -> Self {
        Self { time: time.max(self.time), view: self.view.clone() }
    }

    /// The series that match, in order of their keys: those with samples in segments of the days of `range`, and the
    /// live ones (sent since the server started, or in its log) that have a sample before the cut.
    ///
    /// Cost: one look-up in the live index and one in the index of each segment of those days.
    ///
    /// # Errors
    /// [`ReadError::Recovering`] until the log is read back; [`ReadError::Damaged`] if an index is.
    pub fn select(&self, selector: &Selector, range: TimeRange) -> Result<Vec<Series>, ReadError> {
        let found = look_up(&self.view, selector, self.visible(range))?.found;
        Ok(found.into_iter().map(|found| Series::new(self.clone(), found)).collect())
    }

    /// Whether it is the same cut at the same time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.time == other.time && Arc::ptr_eq(&self.view, &other.view)
    }

    /// `range` without what lies after `T`.
    pub(crate) fn visible(&self, range: TimeRange) -> TimeRange {
        TimeRange { end: range.end.min(self.time + Duration::from_nanos(1)), ..range }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("time", &self.time).finish_non_exhaustive()
    }
}
