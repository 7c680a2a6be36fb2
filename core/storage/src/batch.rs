//! What is handed to the store, and what comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::Deserialize;
use sereno_model::Timestamp;

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
    /// The store is closing.
    Closed,
}

impl Refusal {
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
    /// [`Ack::Disk`] was asked for and the sync failed: rows that are not refused can be read now, and may or may not
    /// survive the loss of power. Send them again to be sure.
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
}

#[derive(Debug)]
struct TicketState {
    parts_open: u32,
    outcome: Outcome,
    waker: Option<Waker>,
}

impl Ticket {
    pub(crate) fn new(parts: u32) -> Arc<Self> {
        let state = TicketState { parts_open: parts, outcome: Outcome::default(), waker: None };
        Arc::new(Self { state: Mutex::new(state), done: Condvar::new() })
    }

    /// One part is through, but for these rows.
    pub(crate) fn complete_part(&self, refused: Vec<(u32, Refusal)>, unknown: bool) {
        let mut state = self.lock();
        state.outcome.unknown |= unknown;
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
