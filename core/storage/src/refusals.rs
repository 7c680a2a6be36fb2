//! Whether the store takes samples: what is missing while it does not tells nothing about its sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sereno_model::Timestamp;
use sereno_runtime::Clock;

use crate::batch::Refusal;

/// What was refused for reasons of the store's own.
#[derive(Debug)]
pub(crate) struct Refusals {
    clock: Arc<dyn Clock>,
    batches: AtomicU64,
    /// When the first one came since something was stored, in nanoseconds of the wall clock; [`TAKING`] if none has.
    since: AtomicI64,
}

const TAKING: i64 = i64::MIN;

impl Refusals {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, batches: AtomicU64::new(0), since: AtomicI64::new(TAKING) }
    }

    /// Takes note of how a batch, or a part of one, ended. `unknown`: it was to be made durable and may not be.
    pub(crate) fn note(&self, refused: &[(u32, Refusal)], unknown: bool) {
        let is_refused = refused.iter().any(|(_, why)| why.is_of_the_store());
        if is_refused || unknown {
            self.batches.fetch_add(1, Ordering::Relaxed);
        }
        if is_refused {
            let now = self.clock.now().nanos().max(TAKING + 1);
            // One that came before stands.
            self.since.compare_exchange(TAKING, now, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }

    /// Takes note that samples were stored.
    pub(crate) fn stored(&self) {
        if self.since.load(Ordering::Relaxed) != TAKING {
            self.since.store(TAKING, Ordering::Relaxed);
        }
    }

    pub(crate) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    pub(crate) fn since(&self) -> Option<Timestamp> {
        let since = self.since.load(Ordering::Relaxed);
        (since != TAKING).then(|| Timestamp::from_nanos(since))
    }
}
