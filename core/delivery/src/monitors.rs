//! Live clients, of two kinds, neither of which publishing ever waits for. A subscription has its own bounded queue; a
//! client whose queue is full has stopped reading, is dropped and counted, and the others notice nothing. A watch is a
//! place in the shared history; one that falls behind is told of its gap.
//!
//! Self-metrics: `monitors_connected`, `monitors_dropped_total`, `monitors_missed_total`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_model::Notification;
use sereno_runtime::{Counter, Gauge, Metrics, Queue};
use tokio::sync::watch;
use tracing::warn;

use crate::config::Config;
use crate::history::{History, Since};
use crate::sequenced::Sequenced;
use crate::watch::{Stream, Watch};

/// The live clients. Clones share them.
#[derive(Clone, Debug)]
pub struct Monitors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stream: Stream,
    monitors_max: usize,
    queue_len_max: usize,
    connected: Gauge,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    live: Vec<Live>,
    /// How many watch.
    watches: usize,
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Live {
    id: u64,
    queue: Queue<Arc<Notification>>,
    end: watch::Sender<Option<End>>,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client did not read, and its queue was full.
    Dropped,
    /// The server is stopping.
    Stopping,
}

impl Monitors {
    pub(crate) fn new(config: &Config, history: History, metrics: &Metrics) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            stream: Stream::new(history, metrics.counter("monitors_missed_total", &[])),
            monitors_max: config.monitors_max,
            queue_len_max: config.monitor_queue_len_max,
            connected: metrics.gauge("monitors_connected", &[]),
            dropped: metrics.counter("monitors_dropped_total", &[]),
        }))
    }

    /// Registers a client; it gets every notification from now on, but for those of rules that only run along. `None` when there are `monitors_max` already, or
    /// the server is stopping.
    #[must_use]
    pub fn subscribe(&self) -> Option<Subscription> {
        let mut state = self.lock();
        if !self.has_room(&state) {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        // Clients come and go without number, so none has metrics of its own.
        let queue = Queue::bounded("monitor", self.0.queue_len_max, &Metrics::default());
        let (sender, end) = watch::channel(None);
        state.live.push(Live { id, queue: queue.clone(), end: sender });
        self.count(&state);
        Some(Subscription { id, queue, end, monitors: self.clone() })
    }

    /// Registers a client that watches from some place on, and may be as slow as it likes. `None` when there are
    /// `monitors_max` already, or the server is stopping.
    #[must_use]
    pub fn watch(&self, since: Since) -> Option<Watch> {
        let mut state = self.lock();
        if !self.has_room(&state) {
            return None;
        }
        state.watches += 1;
        self.count(&state);
        drop(state);
        Some(self.0.stream.watch(since, Place(self.clone())))
    }

    fn has_room(&self, state: &State) -> bool {
        !state.closed && state.live.len() + state.watches < self.0.monitors_max
    }

    pub(crate) fn publish(&self, event: &Arc<Sequenced>) {
        self.0.stream.publish(event);
        if event.notification.marks.shadow {
            // Whoever only subscribes cannot ask for what merely runs along.
            return;
        }
        let mut state = self.lock();
        state.live.retain(|live| {
            let kept = live.queue.try_send(event.notification.clone()).is_ok();
            if !kept {
                live.end.send_replace(Some(End::Dropped));
                self.0.dropped.inc();
                warn!(queue_len_max = self.0.queue_len_max, "Monitor dropped: its client does not read.");
            }
            kept
        });
        self.count(&state);
    }

    /// Ends every subscription and every watch once all that came before is read, and accepts no new ones.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for live in state.live.drain(..) {
            live.end.send_replace(Some(End::Stopping));
            live.queue.close();
        }
        self.count(&state);
        drop(state);
        self.0.stream.close();
    }

    fn remove(&self, id: u64) {
        let mut state = self.lock();
        state.live.retain(|live| live.id != id);
        self.count(&state);
    }

    fn count(&self, state: &State) {
        self.0.connected.set(i64::try_from(state.live.len() + state.watches).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one that watches among the monitors; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place(Monitors);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.watches -= 1;
        self.0.count(&state);
    }
}

/// One client's place among the monitors; given up when dropped.
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    queue: Queue<Arc<Notification>>,
    end: watch::Receiver<Option<End>>,
    monitors: Monitors,
}

impl Subscription {
    /// The next notification, in order; `None` when it is over, and [`Subscription::end`] tells why. When the server
    /// stops, what is queued still comes; a client that was dropped gets `None` at once. Cancel safe.
    pub async fn recv(&self) -> Option<Arc<Notification>> {
        tokio::select! {
            biased;
            () = self.dropped() => None,
            notification = self.queue.recv() => notification,
        }
    }

    /// Completes when the client was dropped because it does not read: whoever is stuck writing to it should stop.
    /// Never completes otherwise. Cancel safe.
    pub async fn dropped(&self) {
        let mut end = self.end.clone();
        let was_dropped = end.wait_for(|end| *end == Some(End::Dropped)).await.is_ok();
        if !was_dropped {
            std::future::pending::<()>().await;
        }
    }

    /// Why it ended; `None` while it lasts.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        *self.end.borrow()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.monitors.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sequenced;
    use sereno_plugin::testkit;

    fn monitors() -> (Monitors, Metrics) {
        let metrics = Metrics::default();
        let config = Config { monitors_max: 2, monitor_queue_len_max: 3, ..Config::default() };
        (Monitors::new(&config, History::new(10, 1), &metrics), metrics)
    }

    fn numbered(generation: u64) -> Arc<Sequenced> {
        let notification = Notification { generation, ..testkit::notification() };
        Arc::new(sequenced(notification, generation + 1))
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_dropped_and_the_others_notice_nothing() {
        let (monitors, metrics) = monitors();
        let (reads, sleeps) = (monitors.subscribe().unwrap(), monitors.subscribe().unwrap());
        for number in 0..10 {
            monitors.publish(&numbered(number));
            assert_eq!(reads.recv().await.unwrap().generation, number);
        }
        assert_eq!((sleeps.recv().await, sleeps.end()), (None, Some(End::Dropped)));
        sleeps.dropped().await;
        assert_eq!(reads.end(), None);
        let expected = [
            ("monitors_connected".into(), 1.0),
            ("monitors_dropped_total".into(), 1.0),
            ("monitors_missed_total".into(), 0.0),
        ];
        assert_eq!(metrics.snapshot(), expected);
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let (monitors, _) = monitors();
        let (first, _second) = (monitors.subscribe().unwrap(), monitors.subscribe());
        assert!(monitors.subscribe().is_none());
        drop(first);
        assert!(monitors.subscribe().is_some());
    }

    #[tokio::test]
    async fn what_is_queued_still_comes_when_the_server_stops() {
        let (monitors, _) = monitors();
        let subscription = monitors.subscribe().unwrap();
        monitors.publish(&numbered(1));
        monitors.close();
        assert_eq!(subscription.recv().await.unwrap().generation, 1);
        assert_eq!((subscription.recv().await, subscription.end()), (None, Some(End::Stopping)));
        assert!(monitors.subscribe().is_none());
    }
}
