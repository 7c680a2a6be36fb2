//! Stores samples, and sees to it that they are stored: whoever pushes fills columns, a task sends them in numbered
//! batches, and sends again what was not answered.
//!
//! Invariants:
//! * a batch keeps its number and its samples for as long as it lives, so that a server stores each sample once however
//!   often it comes;
//! * every sample that was pushed is in the end counted once: stored, rejected, dropped or unknown;
//! * memory is bounded by [`WriterConfig::buffer_samples`] and the series that the writer knows.

mod columns;
mod dictionary;
mod shared;
mod task;
mod verdict;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_protocol::v2::messages::{Ack, Reason};

use crate::backoff::random;
use crate::error::ClientError;
use crate::link::{connect_patiently, spawn};
use crate::options::Options;
use shared::Shared;

/// What to do with samples when there is no room for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// Whoever pushes waits.
    #[default]
    Block,
    /// They are dropped, and counted.
    Drop,
}

/// How a writer batches, and how hard it tries. What may be stored later is sent again; but for samples of series that are
/// one too many (`Reason::SeriesLimit`), which are told as rejected: the limit may stand for days, and known series go on.
#[derive(Clone)]
pub struct WriterConfig {
    /// Samples in a batch, at most; fewer if the server takes fewer. 10,000 unless said otherwise.
    pub batch_samples: usize,
    /// How long samples wait for more to come before their batch is sent as it is. 100 ms unless said otherwise.
    pub linger: Duration,
    /// Batches under way at once, at most; 16 unless said otherwise, and never more than 512: a server does not remember
    /// many more.
    pub in_flight_batches: usize,
    /// Samples that are pushed and not yet answered, at most; 1,000,000 unless said otherwise.
    pub buffer_samples: usize,
    /// What happens when there is no room for more. Whoever pushes waits unless said otherwise.
    pub full: Full,
    /// What an acknowledgement promises; what the server's configuration says unless said otherwise.
    pub ack: Ack,
    /// How long to try one batch; `None`, unless said otherwise: for ever.
    pub give_up: Option<Duration>,
    /// The longest pause before another attempt to connect, or to send again what the server had no room for; 5 s unless
    /// said otherwise. The first pauses are shorter, and what the server asks for is kept to.
    pub pause_max: Duration,
    /// Called with every sample that is rejected, by the writer's task or by whoever pushes: be quick, do not
    /// block, and do not push.
    pub on_rejected: Option<OnRejected>,
}

type OnRejected = Arc<dyn Fn(&Rejected) + Send + Sync>;

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            batch_samples: 10_000,
            linger: Duration::from_millis(100),
            in_flight_batches: 16,
            buffer_samples: 1_000_000,
            full: Full::default(),
            ack: Ack::default(),
            give_up: None,
            pause_max: Duration::from_secs(5),
            on_rejected: None,
        }
    }
}

impl fmt::Debug for WriterConfig {
    /// Without the callback.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterConfig")
            .field("batch_samples", &self.batch_samples)
            .field("linger", &self.linger)
            .field("in_flight_batches", &self.in_flight_batches)
            .field("buffer_samples", &self.buffer_samples)
            .field("full", &self.full)
            .field("ack", &self.ack)
            .field("give_up", &self.give_up)
            .field("pause_max", &self.pause_max)
            .finish_non_exhaustive()
    }
}

/// A series that a writer knows; of no meaning to another writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesRef(pub(crate) u32);

/// A sample that is not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// What came with the sample in [`Writer::push_tagged`], else 0.
    pub tag: u64,
    /// Its series.
    pub series: SeriesKey,
    /// Its time, unless the server stamps.
    pub time: Option<Timestamp>,
    /// Its value.
    pub value: f64,
    /// Why, in a word that programs understand. [`Reason::Forgotten`]: nobody knows whether it is stored.
    pub reason: Reason,
    /// Why, for people. Comes from elsewhere: escape it before it reaches a terminal.
    pub message: String,
}

/// What became of the samples. `pushed` is the sum of `stored`, `rejected`, `dropped`, `unknown`, and of what is not yet
/// answered.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Samples that were pushed.
    pub pushed: u64,
    /// Samples that are stored as the acknowledgement says.
    pub stored: u64,
    /// Samples that are not stored, and will not be.
    pub rejected: u64,
    /// Samples that found no room, see [`Full::Drop`].
    pub dropped: u64,
    /// Samples that may be stored or not: the writer gave up before it knew.
    pub unknown: u64,
    /// Batches that were answered.
    pub batches: u64,
    /// Batches that were sent again.
    pub resent: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// The last few that were rejected, the latest at the end.
    pub last_rejected: Vec<Rejected>,
    /// What interrupted the connection last.
    pub last_error: Option<ClientError>,
}

impl Counters {
    /// Samples of which nothing can be said yet.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.pushed.saturating_sub(self.stored + self.rejected + self.dropped + self.unknown)
    }
}

/// The writer has ended; the sample was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the writer has ended")]
pub struct Closed(#[source] pub ClientError);

/// Batches samples and sees them stored. Connects again by itself, and sends again what was not answered.
///
/// Samples are stored in the order in which they were pushed, as far as the server takes them at the first try. A clone
/// is another handle of the same writer. Close it: a writer that is only dropped delivers what it has within the timeout
/// for answers, and nobody learns what became of it.
#[derive(Clone)]
pub struct Writer {
    handle: Arc<Handle>,
}

/// All clones of a writer.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Writer {
    /// Connects, and starts the writer's task on the current runtime.
    ///
    /// # Errors
    /// [`ClientError`]: the first connection must succeed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(options: Options, config: WriterConfig) -> Result<Self, ClientError> {
        // 0 would mean that batches are not numbered.
        let client_id = random().max(1);
        let link = connect_patiently(&options, client_id).await?;
        let shared = Arc::new(Shared::new(config, &link.limits));
        spawn(task::run(Arc::clone(&shared), options, client_id, link));
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Learns a series, or finds it again. Costs a look-up by its text: do it once, and push often.
    #[must_use]
    pub fn series(&self, key: &SeriesKey) -> SeriesRef {
        self.handle.shared.series(key)
    }

    /// Adds a sample; without a time, the server stamps it.
    ///
    /// Cancel safe: a sample is taken when it returns, and not before.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn push(&self, series: SeriesRef, time: Option<Timestamp>, value: f64) -> Result<(), Closed> {
        self.push_all(&[(series, time, value)]).await
    }

    /// Adds a sample that bears a mark, for example the number of its line: [`Rejected::tag`].
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn push_tagged(
        &self,
        series: SeriesRef,
        time: Option<Timestamp>,
        value: f64,
        tag: u64,
    ) -> Result<(), Closed> {
        self.push_all_tagged(&[(series, time, value)], &[tag]).await
    }

    /// Adds samples, millions per second: the cost of a lock or a wake-up is per batch. Samples with and without times
    /// do not go into one batch, so they should come in long runs of the same kind.
    ///
    /// When it is dropped before it returns, a first part of the samples may have been taken.
    ///
    /// # Errors
    /// [`Closed`]; a first part of the samples may have been taken.
    pub async fn push_all(&self, samples: &[(SeriesRef, Option<Timestamp>, f64)]) -> Result<(), Closed> {
        self.push_all_tagged(samples, &[]).await
    }

    /// Adds samples, each with the mark at its place in `tags`; 0 for those beyond its end.
    ///
    /// # Errors
    /// [`Closed`]; a first part of the samples may have been taken.
    pub async fn push_all_tagged(
        &self,
        samples: &[(SeriesRef, Option<Timestamp>, f64)],
        tags: &[u64],
    ) -> Result<(), Closed> {
        self.handle.shared.push_all(samples, tags).await
    }

    /// Waits until everything that was pushed before is answered: stored, or counted as what became of it. With
    /// [`WriterConfig::give_up`] unset, that is as long as there is no server.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`] if the writer has ended before. That samples were rejected is not an error; see
    /// [`Self::counters`].
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.handle.shared.flush().await
    }

    /// Flushes and ends the writer, for all its clones, and tells what became of the samples.
    pub async fn close(self) -> Counters {
        // Why it ended before, if it did, is in the counters.
        drop(self.flush().await);
        self.handle.shared.leave();
        self.counters()
    }

    /// What became of the samples so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.handle.shared.counters()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
