//! What is handed to the store, and what comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::Deserialize;
use sereno_model::Timestamp;

use crate::refusals::Refusals;
use crate::registry::SeriesId;

/// A sample on its way to the store.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub(crate) series: SeriesId,
    /// [`STAMP_AT_COMMIT`], or nanoseconds.
    pub(crate) time: i64,
    pub(crate) value: f64,
}

/// Stands for "the writer gives the time"; as a time of its own it lies in the year 1677.
pub(crate) const STAMP_AT_COMMIT: i64 = i64::MIN;

impl Row {
    /// A sample that gets its time from the writer at commit: the millisecond, and a nanosecond more for each further
    /// one of the same series in it, so that no two are merged.
    #[must_use]
    pub const fn now(series: SeriesId, value: f64) -> Self {
        Self { series, time: STAMP_AT_COMMIT, value }
    }

    /// A sample with a time of its own. It replaces an earlier sample of the series at the same time.
    #[must_use]
    pub fn at(series: SeriesId, time: Timestamp, value: f64) -> Self {
        Self { series, time: time.nanos().max(STAMP_AT_COMMIT + 1), value }
    }
}

/// Which batch of which client: what makes sending it again harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Chosen at random by the client, for itself.
    pub client: u64,
    /// Rises by 1 with every batch of the client, from 1.
    pub number: u64,
}

/// A batch that may be sent more than once, until its outcome is known. However often it is, each of its samples is stored
/// at most once, and what was refused gets another chance.
///
/// The store remembers the last 1,024 numbers of a client, of 4,096 clients, in at most 8 MiB (or an eighth of
/// `storage.wal_bytes_max`), through restarts. A client that is not remembered counts as new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Which batch it is.
    pub id: BatchId,
    /// Whether it may have been sent before. Then nothing is refused for want of room that is stored already, and
    /// the batch is refused as a whole while nobody can tell.
    pub resent: bool,
    /// For each row, which sample of the client's batch it is, in rising order; `None`: row i is sample i.
    pub places: Option<Vec<u32>>,
}

impl Numbered {
    /// Which sample of the client's batch a row is.
    pub(crate) fn place(&self, row: u32) -> u32 {
        self.places.as_ref().and_then(|places| places.get(row as usize)).copied().unwrap_or(row)
    }
}

/// Why a sample was not stored. It never appears later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its queue holds as many samples as it may; retry after a moment.
    QueueFull,
    /// The head holds as much as it may.
    MemoryFull,
    /// The disk is full; ingest resumes by itself when there is room.
    DiskFull,
    /// The disk failed; the log has the detail.
    DiskFailed,
    /// The log holds as much as it may, and what it holds cannot be moved to segments now; the log tells why.
    LogFull,
    /// The time lies before what `storage.retention` keeps.
    TooOld,
    /// The time lies further ahead of the clock than `storage.future_max`.
    TooFarAhead,
    /// The series was quiet for long and its id was given up: ask [`Store::series`](crate::Store::series) again.
    Retired,
    /// Of a batch that was sent before: nobody knows yet whether it was stored, since the log is being read back, or too
    /// much waits that was sent again. Retry.
    Recovering,
    /// Of a batch that was sent before: nobody knows whether it was stored, for its client has sent too many since.
    Forgotten,
    /// The store is closing. Of a batch that was sent before, it tells nothing.
    Closed,
}

impl Refusal {
    /// Whether it has to do with the state of the store, and not with what was sent.
    pub(crate) const fn is_of_the_store(self) -> bool {
        match self {
            Self::QueueFull
            | Self::MemoryFull
            | Self::DiskFull
            | Self::DiskFailed
            | Self::LogFull
            | Self::Recovering
            | Self::Closed => true,
            Self::TooOld | Self::TooFarAhead | Self::Retired | Self::Forgotten => false,
        }
    }

    /// The name in self-metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::MemoryFull => "memory_full",
            Self::DiskFull => "disk_full",
            Self::DiskFailed => "disk_failed",
            Self::LogFull => "log_full",
            Self::TooOld => "too_old",
            Self::TooFarAhead => "too_far_ahead",
            Self::Retired => "retired",
            Self::Recovering => "recovering",
            Self::Forgotten => "forgotten",
            Self::Closed => "closed",
        }
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The samples survive the death of the process; a loss of power may take those of the last
    /// `storage.sync_interval`, as a tail.
    #[default]
    Os,
    /// The samples survive the loss of power.
    Disk,
}

/// What became of a batch: everything is stored but the refused rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The refused rows by their index in the batch, in rising order, and why.
    pub refused: Vec<(u32, Refusal)>,
    /// How many rows an earlier sending of the batch had stored already. They count as stored.
    pub repeated: u32,
    /// [`Ack::Disk`] was asked for and the sync failed: rows that are not refused can be read now, and may or may not
    /// survive the loss of power. Send them again to be sure; of a numbered batch it stays unknown until they are in
    /// segments, which happens soon then.
    pub unknown: bool,
}

impl Outcome {
    /// Whether every row is stored as was asked.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.refused.is_empty() && !self.unknown
    }
}

/// A batch on its way; completes when the last of its rows is in the kernel or refused. Dropping it does not undo
/// anything. No runtime is needed: it is polled as a future or waited for by a thread.
#[derive(Debug)]
#[must_use = "nothing is known about the batch before its outcome"]
pub struct Append(pub(crate) Arc<Ticket>);

impl Append {
    /// Of a batch that nobody has taken in.
    pub(crate) fn refused(rows: usize, why: Refusal, refusals: &Arc<Refusals>) -> Self {
        let ticket = Ticket::new(1, refusals);
        ticket.complete_part((0..rows as u32).map(|row| (row, why)).collect(), 0, false);
        Self(ticket)
    }

    /// Blocks until the outcome is known.
    #[must_use]
    pub fn wait(self) -> Outcome {
        let mut state = self.0.lock();
        while state.parts_open > 0 {
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.outcome)
    }
}

impl Future for Append {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.lock();
        if state.parts_open == 0 {
            return Poll::Ready(std::mem::take(&mut state.outcome));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Collects the outcomes of the parts of a batch, one per writer.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: Mutex<TicketState>,
    done: Condvar,
    refusals: Arc<Refusals>,
}

#[derive(Debug)]
struct TicketState {
    parts_open: u32,
    outcome: Outcome,
    waker: Option<Waker>,
}

impl Ticket {
    pub(crate) fn new(parts: u32, refusals: &Arc<Refusals>) -> Arc<Self> {
        let state = TicketState { parts_open: parts, outcome: Outcome::default(), waker: None };
        Arc::new(Self { state: Mutex::new(state), done: Condvar::new(), refusals: refusals.clone() })
    }

    /// One part is through, but for these rows.
    pub(crate) fn complete_part(&self, refused: Vec<(u32, Refusal)>, repeated: u32, unknown: bool) {
        if unknown || !refused.is_empty() {
            self.refusals.note(&refused, unknown);
        }
        let mut state = self.lock();
        state.outcome.unknown |= unknown;
        state.outcome.repeated += repeated;
        if !refused.is_empty() {
            state.outcome.refused.extend(refused);
            state.outcome.refused.sort_unstable_by_key(|(index, _)| *index);
        }
        state.parts_open -= 1;
        if state.parts_open == 0 {
            let waker = state.waker.take();
            drop(state);
            self.done.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, TicketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
