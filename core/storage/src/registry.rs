//! Which series there are: from a key to its id, from a name to its series.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use sereno_model::{NamePattern, Selector, SeriesKey};

/// A series within this process: its queue and its ordinal there. Not stored: after a restart ids differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesId {
    pub(crate) queue: u32,
    pub(crate) ordinal: u32,
}

/// Why a series cannot be created. Known series are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There are as many series as there may be.
    #[error(
        "there are {max} series already, so `{key}` is refused; raise `storage.series_max` or send fewer"
    )]
    TooMany {
        /// The limit.
        max: u32,
        /// The series that was refused.
        key: String,
    },
}

/// All series of the store.
///
/// Invariant: `keys[q][o]` is the key of the series with queue `q` and ordinal `o`; ordinals are dense.
#[derive(Debug)]
pub(crate) struct Registry {
    inner: RwLock<Inner>,
    series_max: u32,
}

#[derive(Debug)]
struct Inner {
    by_name: BTreeMap<Box<str>, BTreeMap<SeriesKey, SeriesId>>,
    keys: Vec<Vec<SeriesKey>>,
    count: u32,
}

impl Registry {
    pub(crate) fn new(queues: u32, series_max: u32) -> Self {
        let keys = (0..queues).map(|_| Vec::new()).collect();
        Self { inner: RwLock::new(Inner { by_name: BTreeMap::new(), keys, count: 0 }), series_max }
    }

    /// The id of a series, which is created if it is new.
    pub(crate) fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, CreateError> {
        // A binding of its own, so that the read lock is gone before `create` takes the write lock.
        let known = self.read().find(key);
        known.map_or_else(|| self.create(key, self.series_max), Ok)
    }

    /// The same for a series that the log holds: it was accepted once, so no limit applies.
    pub(crate) fn restore(&self, key: &SeriesKey) -> SeriesId {
        let found = self.read().find(key);
        // With the highest limit there is creating cannot fail, short of four billion series.
        found.or_else(|| self.create(key, u32::MAX).ok()).unwrap_or(SeriesId { queue: 0, ordinal: u32::MAX })
    }

    fn create(&self, key: &SeriesKey, series_max: u32) -> Result<SeriesId, CreateError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = inner.find(key) {
            return Ok(id);
        }
        if inner.count >= series_max {
            return Err(CreateError::TooMany { max: series_max, key: key.to_string() });
        }
        let queue_count = u32::try_from(inner.keys.len()).unwrap_or(u32::MAX);
        let queue = key.queue(queue_count);
        let keys = &mut inner.keys[queue as usize];
        let ordinal = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        keys.push(key.clone());
        let id = SeriesId { queue, ordinal };
        inner.by_name.entry(key.name().into()).or_default().insert(key.clone(), id);
        inner.count += 1;
        Ok(id)
    }

    /// The key of a series of this store.
    pub(crate) fn key(&self, id: SeriesId) -> SeriesKey {
        self.read().keys[id.queue as usize][id.ordinal as usize].clone()
    }

    /// The series that match, in order of their keys.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<(SeriesKey, SeriesId)> {
        let inner = self.read();
        let matching = |series: &BTreeMap<SeriesKey, SeriesId>| {
            let matching = series.iter().filter(|(key, _)| selector.matches_labels(key));
            matching.map(|(key, id)| (key.clone(), *id)).collect::<Vec<_>>()
        };
        match &selector.name {
            NamePattern::Exact(name) => inner.by_name.get(&**name).map_or_else(Vec::new, matching),
            pattern @ NamePattern::Glob { .. } => {
                let names = inner.by_name.iter().filter(|(name, _)| pattern.matches(name));
                let mut found: Vec<_> = names.flat_map(|(_, series)| matching(series)).collect();
                found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                found
            }
        }
    }

    /// How many series there are.
    pub(crate) fn count(&self) -> u32 {
        self.read().count
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.by_name.get(key.name())?.get(key).copied()
    }
}
