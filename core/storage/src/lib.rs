//! The store: queues, their writers, WAL, head, snapshots.

use std::sync::Arc;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// A view of everything committed before now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {}
    }
}

/// A view of the store that never changes: the samples committed before its cut, with timestamps up to its time.
#[derive(Clone, Debug)]
pub struct Snapshot {}

impl Snapshot {
    /// The time `T` of the view: samples later than it are not seen.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::default()
    }

    /// The same cut, seen at an earlier (or equal) time: samples after `at` are not seen.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Self {
        let _ = at;
        self.clone()
    }

    /// The series that match and have a sample before the cut, in order of their keys.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Vec<Series> {
        let _ = selector;
        Vec::new()
    }
}

/// One series in a snapshot.
#[derive(Clone, Debug)]
pub struct Series {}

impl Series {
    /// Its identity.
    #[must_use]
    pub fn key(&self) -> &SeriesKey {
        unreachable!()
    }

    /// Its samples in `range`, in order of time, each time once.
    #[must_use]
    pub fn read(&self, range: TimeRange) -> Arc<[Sample]> {
        let _ = range;
        Arc::new([])
    }

    /// Its newest sample before `before`, however old.
    #[must_use]
    pub fn last_before(&self, before: Timestamp) -> Option<Sample> {
        let _ = before;
        None
    }
}
