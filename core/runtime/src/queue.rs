//! Named, bounded queues: what joins every stage of the pipeline to the next.
//!
//! A queue is usable from tasks and from threads alike. It never grows past its capacity and never drops silently:
//! a sender learns at once that it is full, and the refusal is counted.
//! Self-metrics: `queue_capacity`, `queue_depth`, `queue_refused_total`, each with the label `queue`.

use async_channel::{Receiver, Sender, TryRecvError, TrySendError};

use crate::metrics::{Counter, Gauge, Metrics};

/// Both ends of a queue; clones share it. Whoever holds one may send and receive: items go to one receiver each, in
/// the order sent.
#[derive(Debug)]
pub struct Queue<T> {
    name: std::sync::Arc<str>,
    sender: Sender<T>,
    receiver: Receiver<T>,
    depth: Gauge,
    refused: Counter,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            sender: self.sender.clone(),
            receiver: self.receiver.clone(),
            depth: self.depth.clone(),
            refused: self.refused.clone(),
        }
    }
}

/// What a full or closed queue gives back.
#[derive(Debug)]
pub enum Refused<T> {
    /// No room; trying again later may help.
    Full(T),
    /// The server is stopping.
    Closed(T),
}

impl<T> Queue<T> {
    /// A queue that holds at most `capacity` items (at least 1).
    #[must_use]
    pub fn bounded(name: &str, capacity: usize, metrics: &Metrics) -> Self {
        let (sender, receiver) = async_channel::bounded(capacity.max(1));
        let labels = [("queue", name)];
        metrics.gauge("queue_capacity", &labels).set(i64::try_from(capacity).unwrap_or(i64::MAX));
        Self {
            name: name.into(),
            sender,
            receiver,
            depth: metrics.gauge("queue_depth", &labels),
            refused: metrics.counter("queue_refused_total", &labels),
        }
    }

    /// The queue's name, as in the drawing in `core/ARCHITECTURE.md`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Puts an item in, if there is room now.
    ///
    /// # Errors
    /// The item comes back, with the reason; a refusal for want of room is counted.
    pub fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        let outcome = self.sender.try_send(item).map_err(|error| match error {
            TrySendError::Full(item) => {
                self.refused.inc();
                Refused::Full(item)
            }
            TrySendError::Closed(item) => Refused::Closed(item),
        });
        self.measure();
        outcome
    }

    /// Puts an item in, waiting for room. Cancel safe: an item is either in the queue or dropped with the future.
    ///
    /// # Errors
    /// The item comes back if the queue is closed.
    pub async fn send(&self, item: T) -> Result<(), T> {
        let outcome = self.sender.send(item).await.map_err(|error| error.0);
        self.measure();
        outcome
    }

    /// The same for a thread, which blocks.
    ///
    /// # Errors
    /// The item comes back if the queue is closed.
    pub fn send_blocking(&self, item: T) -> Result<(), T> {
        let outcome = self.sender.send_blocking(item).map_err(|error| error.0);
        self.measure();
        outcome
    }

    /// Takes the next item, waiting for one; `None` when the queue is closed and empty. Cancel safe.
    pub async fn recv(&self) -> Option<T> {
        let item = self.receiver.recv().await.ok();
        self.measure();
        item
    }

    /// The same for a thread, which blocks.
    #[must_use]
    pub fn recv_blocking(&self) -> Option<T> {
        let item = self.receiver.recv_blocking().ok();
        self.measure();
        item
    }

    /// Takes the next item if one waits.
    #[must_use]
    pub fn try_recv(&self) -> Option<T> {
        match self.receiver.try_recv() {
            Ok(item) => {
                self.measure();
                Some(item)
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Refuses further items; those inside can still be taken.
    pub fn close(&self) {
        self.sender.close();
    }

    fn measure(&self) {
        self.depth.set(i64::try_from(self.receiver.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_counts() {
        let metrics = Metrics::default();
        let queue = Queue::bounded("connections", 1, &metrics);
        assert!(queue.try_send(1).is_ok());
        assert!(matches!(queue.try_send(2), Err(Refused::Full(2))));
        queue.close();
        assert_eq!(queue.recv_blocking(), Some(1), "what was accepted is still delivered");
        assert_eq!(queue.recv_blocking(), None);
        assert_eq!(metrics.counter("queue_refused_total", &[("queue", "connections")]).get(), 1);
    }
}
