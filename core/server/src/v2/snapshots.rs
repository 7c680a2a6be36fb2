//! What queries saw a moment ago, so that others can see the very same: a page of graphs is of one moment.
//!
//! A query that names no moment takes a snapshot and leaves it here under its time; one that names that time gets it,
//! whatever was written since. A snapshot pins memory and files, so few are kept, and not for long.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::Clock;
use sereno_storage::{Snapshot, Store};

/// How long a snapshot is kept.
const KEPT: Duration = Duration::from_secs(5);
/// How many are kept.
const KEPT_MAX: usize = 64;
/// Snapshots that are taken at the same moment get names this far ahead of the clock at most.
const AHEAD_MAX: Duration = Duration::from_millis(1);

/// The snapshots of the last seconds. Clones share them.
#[derive(Clone)]
pub(crate) struct Snapshots(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    /// The oldest first.
    kept: VecDeque<Kept>,
    /// The time that was given out last.
    told: Timestamp,
    /// Whether somebody lets go of what is old.
    forgetting: bool,
}

struct Kept {
    snapshot: Snapshot,
    since: Duration,
}

/// The store as a query sees it.
pub(crate) struct Seen {
    pub snapshot: Snapshot,
    /// Whether it is what the queries of that moment saw.
    pub exact: bool,
}

impl Snapshots {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State { kept: VecDeque::new(), told: Timestamp::MIN, forgetting: false };
        Self(Arc::new(Shared { clock, state: Mutex::new(state) }))
    }

    /// The store as it is now or, if `as_of` is given, as it was then: exactly, if the snapshot of that time is still
    /// here; else what is there now, cut at that time. To be called on a thread with an event loop, in a local set.
    pub(crate) fn see(&self, store: &Store, as_of: Option<Timestamp>) -> Seen {
        match as_of {
            None => Seen { snapshot: self.remember(store.snapshot()), exact: true },
            Some(time) => match self.find(time) {
                Some(snapshot) => Seen { snapshot, exact: true },
                None => Seen { snapshot: store.snapshot().at(time), exact: false },
            },
        }
    }

    fn find(&self, time: Timestamp) -> Option<Snapshot> {
        let mut state = self.lock();
        state.forget(self.0.clock.monotonic());
        let kept = state.kept.iter().find(|kept| kept.snapshot.time() == time)?;
        Some(kept.snapshot.clone())
    }

    /// Keeps a snapshot, under a time of its own: two may be taken in one nanosecond, and have different cuts.
    fn remember(&self, snapshot: Snapshot) -> Snapshot {
        let now = self.0.clock.monotonic();
        let mut state = self.lock();
        state.forget(now);
        let next = state.told + Duration::from_nanos(1);
        // A clock that was set back does not make all that follows carry a time of the future.
        let is_near = next.since(snapshot.time()) <= AHEAD_MAX;
        let snapshot = if is_near { snapshot.not_before(next) } else { snapshot };
        state.told = snapshot.time();
        if state.kept.len() == KEPT_MAX {
            state.kept.pop_front();
        }
        state.kept.push_back(Kept { snapshot: snapshot.clone(), since: now });
        if !std::mem::replace(&mut state.forgetting, true) {
            tokio::task::spawn_local(self.clone().forget());
        }
        snapshot
    }

    /// Lets go of what is old until nothing is left, though nobody asks any more.
    async fn forget(self) {
        loop {
            let now = self.0.clock.monotonic();
            let wait = {
                let mut state = self.lock();
                state.forget(now);
                let Some(oldest) = state.kept.front() else {
                    state.forgetting = false;
                    return;
                };
                KEPT.saturating_sub(now.saturating_sub(oldest.since))
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Duration) {
        while self.kept.front().is_some_and(|oldest| now.saturating_sub(oldest.since) >= KEPT) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
impl Snapshots {
    /// How many are kept.
    pub(crate) fn kept(&self) -> usize {
        self.lock().kept.len()
    }
}
