//! What writers, readers and the maintenance of one store share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sereno_runtime::Clock;

use crate::batch::{Refusal, STAMP_AT_COMMIT};
use crate::head::{Generation, Words};
use crate::late::Lateness;
use crate::numbered::{Memory, memory};
use crate::refusals::Refusals;
use crate::registry::{Registry, SeriesId};
use crate::segment::Segment;
use crate::wal::stream::WalContext;

/// What there is to read. Replaced as a whole, so a reader that holds one sees the same segments and generations for as
/// long as it likes.
#[derive(Debug, Default)]
pub(crate) struct Version {
    /// Another one whenever the segments are others.
    pub edition: u64,
    /// By group, day and the flushes that they hold, the earlier first.
    pub segments: Vec<Arc<Segment>>,
    /// The earlier first; the last one is being filled.
    pub generations: Vec<Arc<Generation>>,
}

/// The limits that writes are measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteLimits {
    pub head_bytes_max: u64,
    pub wal_bytes_max: u64,
    /// Zero for no limit.
    pub future_max: Duration,
}

/// See the module.
pub(crate) struct Shared {
    pub registry: Registry,
    pub clock: Arc<dyn Clock>,
    pub version: ArcSwap<Version>,
    pub queues: u32,
    pub groups: u32,
    pub limits: WriteLimits,
    /// The newest time that a writer had given to a sample before this process began.
    pub boot_stamp: i64,
    /// The newest time that a writer gave to a sample.
    pub newest_stamp: AtomicI64,
    /// Commit positions of this process are above this, and those of every process before it are below.
    pub first_order: u64,
    /// Samples before this are not kept.
    pub oldest: AtomicI64,
    /// Whether the log is still being read back.
    pub recovering: AtomicBool,
    /// Which numbered batches are stored.
    memory: Mutex<Memory>,
    /// Whether somebody waits for a flush, to know at last that something is durable.
    pub flush_wanted: AtomicBool,
    /// What came late, and what counts as late.
    pub lateness: Lateness,
    /// What was refused through no fault of the sender.
    pub refusals: Arc<Refusals>,
    /// The last commit position of each queue that readers may see.
    committed: Vec<AtomicU64>,
    /// Per queue and ordinal, the position of the first commit with a sample of the series; 0 before it.
    born: Vec<Words>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("queues", &self.queues).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        registry: Registry,
        clock: Arc<dyn Clock>,
        version: Version,
        (queues, groups): (u32, u32),
        limits: WriteLimits,
        boot_stamp: i64,
        first_order: u64,
    ) -> Self {
        Self {
            refusals: Arc::new(Refusals::new(clock.clone())),
            registry,
            clock,
            version: ArcSwap::from_pointee(version),
            queues,
            groups,
            limits,
            boot_stamp,
            newest_stamp: AtomicI64::new(boot_stamp),
            first_order,
            oldest: AtomicI64::new(i64::MIN),
            recovering: AtomicBool::new(false),
            flush_wanted: AtomicBool::new(false),
            memory: Mutex::new(Memory::new(memory_bytes_max(limits.wal_bytes_max))),
            lateness: Lateness::default(),
            committed: (0..queues).map(|_| AtomicU64::new(first_order)).collect(),
            born: (0..queues).map(|_| Words::default()).collect(),
        }
    }

    /// What is remembered of numbered batches. Taken for a moment, by whoever holds a seat or reads the log back.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which group a queue belongs to; segments hold whole groups.
    pub(crate) fn group_of(&self, queue: u32) -> u32 {
        queue % self.groups
    }

    /// Makes what a queue has committed visible up to a position.
    pub(crate) fn commit(&self, queue: u32, order: u64) {
        self.committed[queue as usize].store(order, Ordering::Release);
    }

    /// The version, and the commit position of every queue, such that all samples up to it are in the version.
    pub(crate) fn cut(&self) -> (Arc<Version>, Box<[u64]>) {
        loop {
            let version = self.version.load_full();
            let cut = self.committed.iter().map(|order| order.load(Ordering::Acquire)).collect();
            // A generation is in the version before anything is committed to it.
            if Arc::ptr_eq(&version, &self.version.load()) {
                return (version, cut);
            }
        }
    }

    /// Takes note of the first commit with a sample of a series.
    pub(crate) fn mark_born(&self, id: SeriesId, order: u64) {
        let words = &self.born[id.queue as usize];
        words.reach(id.ordinal as usize + 1);
        let Some(word) = words.get(id.ordinal as usize) else { return };
        let earlier = |born: u64| (born == 0 || born > order).then_some(order);
        // An earlier one stands; the outcome tells nothing new.
        word.fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier).ok();
    }

    /// Whether a series has a sample at or before a commit position.
    pub(crate) fn is_born(&self, id: SeriesId, cut: u64) -> bool {
        (1..=cut).contains(&self.born(id))
    }

    /// The position of the first commit with a sample of a series; 0 if there is none.
    pub(crate) fn born(&self, id: SeriesId) -> u64 {
        let born = self.born[id.queue as usize].get(id.ordinal as usize);
        born.map_or(0, |born| born.load(Ordering::Acquire))
    }

    /// Why nothing can be stored now, if so.
    pub(crate) fn full(&self, wal: &WalContext) -> Option<Refusal> {
        // What was found at the start may fill the log; it must not keep out what comes while it is read back.
        if wal.inventory.written() >= self.limits.wal_bytes_max {
            return Some(Refusal::LogFull);
        }
        (self.head_bytes() >= self.limits.head_bytes_max).then_some(Refusal::MemoryFull)
    }

    /// How full log and head are, whichever is fuller: from 1 on nothing can be stored.
    pub(crate) fn fullness(&self, wal: &WalContext) -> f64 {
        let share = |bytes: u64, bytes_max: u64| bytes as f64 / bytes_max.max(1) as f64;
        let log = share(wal.inventory.written(), self.limits.wal_bytes_max);
        log.max(share(self.head_bytes(), self.limits.head_bytes_max))
    }

    /// The memory of all generations.
    pub(crate) fn head_bytes(&self) -> u64 {
        self.version.load().generations.iter().map(|generation| generation.bytes()).sum()
    }

    /// Which times can be stored now, asked for a batch.
    pub(crate) fn bounds(&self, times: impl Iterator<Item = i64> + Clone) -> Bounds {
        let oldest = self.oldest.load(Ordering::Relaxed);
        let future_max = self.limits.future_max;
        // The clock is read only for batches with times of their own.
        let stamped = times.clone().any(|time| time != STAMP_AT_COMMIT);
        let newest = match stamped && !future_max.is_zero() {
            true => (self.clock.now() + future_max).nanos(),
            false => i64::MAX,
        };
        Bounds { oldest, newest }
    }
}

/// The memory is in the log, and must never be what fills it.
fn memory_bytes_max(wal_bytes_max: u64) -> usize {
    usize::try_from(wal_bytes_max / 8).unwrap_or(usize::MAX).min(memory::BYTES_MAX)
}

/// The times that can be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    oldest: i64,
    newest: i64,
}

impl Bounds {
    pub(crate) fn refusal(&self, time: i64) -> Option<Refusal> {
        match time {
            STAMP_AT_COMMIT => None,
            _ if time < self.oldest => Some(Refusal::TooOld),
            _ if time > self.newest => Some(Refusal::TooFarAhead),
            _ => None,
        }
    }
}
