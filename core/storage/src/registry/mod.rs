//! Which series there are: from a key to its id, from a selector to the series it means.
//!
//! ```text
//!  resolve ─► shard of the queue: key ─► ordinal         a short read lock, whatever else goes on
//!     └ new ─► one at a time: limits, counters ─► fresh index ─► shard
//!  select ─► base (immutable, in order of the keys) + frozen + fresh, merged
//!  maintain: freeze fresh ─► merge with base, under no lock ─► the next base
//! ```
//!
//! Invariants:
//! * ids hold for the life of the process, and an ordinal is never given twice;
//! * whoever can resolve a series can select it: the index learns of it first;
//! * locks are taken in the order maintenance, creation, view, fresh, shard, and nothing slow happens under the last four:
//!   patterns are tried and parts merged under none of them.
//!
//! Not here: samples, and which series still have some (the caller retires those that have not).

mod base;
mod births;
mod cardinality;
mod fresh;
mod limits;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::DefaultHashBuilder;
use sereno_model::{NamePattern, Selector, SeriesKey};
use sereno_runtime::Clock;

pub(crate) use self::births::Changes;
pub use self::cardinality::{Cardinality, Share};
pub use self::limits::CreateError;
pub(crate) use self::limits::Limits;

use self::base::Base;
use self::births::Births;
use self::cardinality::Counters;
use self::fresh::{Fresh, FreshView};
use self::limits::Pace;
use self::shard::Shard;
use crate::labels;

/// A series within this process: its queue and its ordinal there. Not stored: after a restart ids differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesId {
    pub(crate) queue: u32,
    pub(crate) ordinal: u32,
}

/// All series of the store.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[RwLock<Shard>]>,
    hasher: DefaultHashBuilder,
    limits: Limits,
    clock: Arc<dyn Clock>,
    creation: Mutex<Creation>,
    view: RwLock<View>,
    /// Held while a base is built, so that there is one at a time.
    maintenance: Mutex<()>,
    count: AtomicU32,
    births: Births,
}

/// What creations share; its lock makes them come one at a time.
#[derive(Debug)]
struct Creation {
    pace: Pace,
    counters: Counters,
}

/// The parts of the label index. Cloning shares them.
#[derive(Clone, Debug, Default)]
struct View {
    base: Arc<Base>,
    /// The fresh part of before, while it is merged into the next base.
    frozen: Option<Arc<RwLock<Fresh>>>,
    fresh: Arc<RwLock<Fresh>>,
    /// Series that were retired and that the parts still hold.
    dead: Arc<HashSet<SeriesId>>,
}

/// Where a key belongs.
#[derive(Clone, Copy)]
struct Place {
    queue: u32,
    hash: u32,
}

/// Fresh series that are always left alone, however small the base.
const FRESH_MIN: u32 = 1_024;
/// A base of up to so many series is merged by the thread that creates, in a few milliseconds; for a larger one that
/// waits for [`Registry::maintain`].
const INLINE_MAX: u32 = 16_384;
/// So many more fresh series than settled ones are merged by the thread that creates after all.
const OVERDUE: u32 = 65_536;

impl Registry {
    pub(crate) fn new(queues: u32, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let pace = Pace::new(limits.series_per_minute_max, clock.monotonic());
        Self {
            shards: (0..queues.max(1)).map(|_| RwLock::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            limits,
            clock,
            creation: Mutex::new(Creation { pace, counters: Counters::default() }),
            view: RwLock::default(),
            maintenance: Mutex::new(()),
            count: AtomicU32::new(0),
            births: Births::default(),
        }
    }

    /// The id of a series, which is created if it is new.
    ///
    /// A known series costs a look-up under a short read lock of its queue's shard.
    ///
    /// # Errors
    /// [`CreateError`] if the series is new and a limit excludes it.
    pub(crate) fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, CreateError> {
        let place = self.place(key);
        match self.find_at(place, key) {
            Some(id) => Ok(id),
            None => self.create(place, key),
        }
    }

    /// The same for a series that the log holds: it was accepted once, so no limit applies.
    pub(crate) fn restore(&self, key: &SeriesKey) -> SeriesId {
        let place = self.place(key);
        if let Some(id) = self.find_at(place, key) {
            return id;
        }
        let (id, overdue) = {
            let mut creation = self.creation();
            let known = self.find_at(place, key).map(|id| (id, false));
            known.unwrap_or_else(|| self.insert(&mut creation, place, key, false))
        };
        self.maintain_if(overdue);
        id
    }

    /// The id of a series if it exists.
    #[cfg(test)]
    pub(crate) fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.find_at(self.place(key), key)
    }

    /// The key of a series; `None` when it is retired.
    pub(crate) fn key(&self, id: SeriesId) -> Option<SeriesKey> {
        self.shard(id.queue).key(id.ordinal).cloned()
    }

    /// The series that match, in order of their keys, as they were at some moment of the call.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<(SeriesKey, SeriesId)> {
        let view = self.view();
        let mut young = Vec::new();
        for part in view.frozen.iter().chain([&view.fresh]) {
            let part = FreshView::new(part.clone());
            let Ok(docs) = labels::select(&part, selector);
            young.extend(part.series(&docs));
        }
        let Ok(docs) = labels::select(&*view.base, selector);
        let settled = view.base.series(&docs);
        young.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut found = if young.is_empty() { settled } else { merge(settled, young) };
        if !view.dead.is_empty() {
            found.retain(|(_, id)| !view.dead.contains(id));
        }
        found
    }

    /// A counter that rises after series came or went that a selector of this name may mean, before anybody learns their
    /// ids. Whoever looks at it before [`Registry::select`] can tell later, by a look at it, whether the answer still holds.
    pub(crate) fn watch(&self, name: &NamePattern) -> Changes {
        self.births.watch(name)
    }

    /// Forgets series: their keys can be resolved to new ids at once. Selections that began before may still see them.
    ///
    /// Cost: a new base, about 0.2 µs for each series there is; so retire many at a time, on a thread that may take
    /// that long.
    pub(crate) fn retire(&self, ids: &[SeriesId]) {
        let _one = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut creation = self.creation();
            let dead = ids.iter().copied().filter(|id| self.key(*id).is_some());
            Arc::make_mut(&mut self.view_mut().dead).extend(dead);
            ids.iter().for_each(|id| self.remove(&mut creation, *id));
        }
        self.rebuild();
    }

    /// Settles fresh series if there are many. A background thread calls it about once a second; nobody waits for it.
    ///
    /// Cost: as [`Registry::retire`], each time the number of series has grown by a fifth.
    pub(crate) fn maintain(&self) {
        let _one = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        if self.view().is_ripe() {
            self.rebuild();
        }
    }

    /// How many series there are.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many ordinals were ever given in a queue.
    pub(crate) fn len(&self, queue: u32) -> usize {
        self.shard(queue).ordinals()
    }

    /// The `k` metric names and labels that bring the most series. Linear in names and labels, not in series.
    pub(crate) fn cardinality(&self, k: usize) -> Cardinality {
        let creation = self.creation();
        let view = self.view();
        let fresh = fresh::read(&view.fresh);
        let frozen = view.frozen.as_deref().map(fresh::read);
        let frozen_values = |label: &str| frozen.as_ref().map_or(0, |frozen| frozen.new_value_count(label));
        creation.counters.top(k, |label| {
            view.base.value_count(label) + frozen_values(label) + fresh.new_value_count(label)
        })
    }

    fn place(&self, key: &SeriesKey) -> Place {
        let hash = self.hasher.hash_one(key) as u32;
        Place { queue: key.queue(self.shards.len() as u32), hash }
    }

    fn find_at(&self, place: Place, key: &SeriesKey) -> Option<SeriesId> {
        let ordinal = self.shard(place.queue).find(place.hash, key)?;
        Some(SeriesId { queue: place.queue, ordinal })
    }

    fn create(&self, place: Place, key: &SeriesKey) -> Result<SeriesId, CreateError> {
        self.limits.check_labels(key)?;
        let (id, overdue) = {
            let mut creation = self.creation();
            if let Some(id) = self.find_at(place, key) {
                return Ok(id);
            }
            let max = self.limits.series_max;
            if self.count() >= max {
                return Err(CreateError::TooMany { max, key: key.to_string() });
            }
            if !creation.pace.take(self.clock.monotonic()) {
                let max = self.limits.series_per_minute_max;
                return Err(CreateError::TooFast { max, key: key.to_string() });
            }
            self.insert(&mut creation, place, key, true)
        };
        self.maintain_if(overdue);
        Ok(id)
    }

    /// Also tells whether the index can wait for no background thread.
    fn insert(
        &self,
        creation: &mut Creation,
        place: Place,
        key: &SeriesKey,
        created: bool,
    ) -> (SeriesId, bool) {
        // Only whoever holds the creation lock adds ordinals.
        let ordinal = self.len(place.queue) as u32;
        let id = SeriesId { queue: place.queue, ordinal };
        let view = self.view();
        let overdue = {
            let frozen = view.frozen.as_deref().map(fresh::read);
            let known = |label: &str, value: &str| {
                frozen.as_ref().is_some_and(|frozen| frozen.knows(label, value))
                    || view.base.knows(label, value)
            };
            let mut fresh = view.fresh.write().unwrap_or_else(PoisonError::into_inner);
            fresh.push(key, id, known);
            let (fresh, base) = (fresh.len(), view.base.len());
            is_ripe(fresh, base) && (base <= INLINE_MAX || fresh > base + OVERDUE)
        };
        self.shard_mut(place.queue).insert(place.hash, key.clone());
        creation.counters.add(key, created);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.births.count(key.name());
        (id, overdue)
    }

    fn remove(&self, creation: &mut Creation, id: SeriesId) {
        let Some(key) = self.shard_mut(id.queue).retire(id.ordinal) else { return };
        creation.counters.remove(&key);
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.births.count(key.name());
    }

    fn maintain_if(&self, overdue: bool) {
        // Whoever holds the lock is at it already.
        if overdue && let Ok(_one) = self.maintenance.try_lock() {
            self.rebuild();
        }
    }

    /// Makes the next base. The caller holds the maintenance lock.
    fn rebuild(&self) {
        let View { base, frozen, dead, .. } = {
            let _creation = self.creation();
            let mut view = self.view_mut();
            // There is one already if its merge ended in a panic.
            if view.frozen.is_none() {
                view.frozen = Some(std::mem::take(&mut view.fresh));
            }
            view.clone()
        };
        let next = match &frozen {
            Some(frozen) => Arc::new(Base::merge(&base, &fresh::read(frozen), |id| dead.contains(&id))),
            None => return,
        };
        let mut view = self.view_mut();
        view.base = next;
        view.frozen = None;
        view.dead = Arc::default();
        // The old parts are freed when `base` and `frozen` are dropped, after the lock.
    }

    fn creation(&self) -> MutexGuard<'_, Creation> {
        self.creation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, queue: u32) -> RwLockReadGuard<'_, Shard> {
        self.shards[queue as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_mut(&self, queue: u32) -> RwLockWriteGuard<'_, Shard> {
        self.shards[queue as usize].write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Whether the fresh series are worth a merge.
    fn is_ripe(&self) -> bool {
        is_ripe(fresh::read(&self.fresh).len(), self.base.len())
    }
}

fn is_ripe(fresh: u32, base: u32) -> bool {
    fresh > FRESH_MIN + base / 4
}

/// Merges two runs that are in order of their keys.
fn merge(a: Vec<(SeriesKey, SeriesId)>, b: Vec<(SeriesKey, SeriesId)>) -> Vec<(SeriesKey, SeriesId)> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let mut a = a.into_iter();
    for series in b {
        let before = a.as_slice().partition_point(|(key, _)| *key < series.0);
        merged.extend(a.by_ref().take(before));
        merged.push(series);
    }
    merged.extend(a);
    merged
}
