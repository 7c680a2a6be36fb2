//! A batch of samples, for whoever sends batches by hand.

use sereno_model::{SeriesKey, Timestamp};
use sereno_protocol::v2::messages::Ack;

/// Samples for [`Client::write`](crate::Client::write), by columns. The fields must fit each other as the message `Write`
/// says; the server checks.
///
/// References are names of series on one connection, below `Limits::dictionary_len_max`. Whoever writes batches chooses
/// them, defines each before or with the batch that names it first, and shares them with all clones of the client. The
/// [`Writer`](crate::Writer) does all that by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// What references mean from now on.
    pub series: Vec<(u32, SeriesKey)>,
    /// Per run of samples of the same series, its reference.
    pub refs: Vec<u32>,
    /// Per run, how many samples it has; empty if each has one.
    pub counts: Vec<u32>,
    /// The times.
    pub times: BatchTimes,
    /// Per sample.
    pub values: Vec<f64>,
    /// Which acknowledgement is wanted.
    pub ack: Ack,
}

/// The times of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BatchTimes {
    /// The server stamps.
    #[default]
    Server,
    /// All samples have this one.
    One(Timestamp),
    /// One per sample, in nanoseconds since the epoch.
    Each(Vec<i64>),
}

impl Batch {
    /// An empty batch that wants this acknowledgement; the server stamps.
    #[must_use]
    pub fn new(ack: Ack) -> Self {
        Self { ack, ..Self::default() }
    }

    /// Defines a series with this batch.
    pub fn define(&mut self, reference: u32, key: &SeriesKey) {
        self.series.push((reference, key.clone()));
    }

    /// Adds a run of one sample. Not for batches whose `counts` are given.
    pub fn push(&mut self, reference: u32, value: f64) {
        self.refs.push(reference);
        self.values.push(value);
    }

    /// How many samples there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets samples and definitions, and keeps the memory for the next batch.
    pub fn clear(&mut self) {
        self.series.clear();
        self.refs.clear();
        self.counts.clear();
        self.values.clear();
        if let BatchTimes::Each(times) = &mut self.times {
            times.clear();
        }
    }
}
