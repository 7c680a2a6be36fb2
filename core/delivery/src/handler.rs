//! The handler itself: one task, one batch at a time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Confirmations, LOG, Lacking, Outgoing};
use sereno_plugin::SinkInstance;
use sereno_runtime::{Clock, Counter, Disk, Metrics, Queue, Shutdown};
use tracing::error;

use crate::config::Config;
use crate::event::to_json;
use crate::history::History;
use crate::log::LogFile;
use crate::monitors::Monitors;
use crate::sequenced::{Numbers, Sequenced};
use crate::sinks::Sinks;
use crate::tail::{self, Tail};

/// How many notifications share one opening of the log file.
const BATCH_LEN_MAX: usize = 256;

/// The notification messages handler. Owns the log file and the sinks.
pub struct Handler {
    inbox: Queue<Outgoing>,
    /// Taken from the inbox and not yet given to all; those that the log has already have no place in the stream.
    in_hand: Vec<(Outgoing, Option<Arc<Sequenced>>)>,
    numbers: Numbers,
    log: Arc<LogFile>,
    /// The events in the log that may come again, because they were not confirmed before a restart.
    logged: HashSet<String>,
    confirmations: Confirmations,
    monitors: Monitors,
    sinks: Sinks,
    /// `notifications_total`: those given to all.
    handled: Counter,
    drain_timeout: Duration,
}

impl Handler {
    /// A handler that takes from `inbox`, the queue `notification_messages`. Nothing starts and nothing is written
    /// before [`Handler::run`], but the end of the log is read, so this blocks for as long as that takes. The log and
    /// each sink tell `confirmations` how far they are.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "what it stands between, each given once")]
    pub fn new(
        config: &Config,
        inbox: Queue<Outgoing>,
        confirmations: Confirmations,
        log_path: PathBuf,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        sinks: Vec<SinkInstance>,
        metrics: &Metrics,
    ) -> Self {
        let tail = tail::read(&*disk, &log_path, config.history_len());
        let logged = tail.events.iter().map(|event| event.notification.event_id.clone()).collect();
        let mut sinks = Sinks::new(sinks, config, &confirmations, metrics);
        tail.events.iter().for_each(|event| sinks.remember(&event.notification));
        let (numbers, history) = resume(config, tail, clock);
        Self {
            inbox,
            in_hand: Vec::new(),
            numbers,
            log: Arc::new(LogFile::new(log_path, disk, metrics)),
            monitors: Monitors::new(config, history, metrics),
            sinks,
            logged,
            confirmations,
            handled: metrics.counter("notifications_total", &[]),
            drain_timeout: config.drain_timeout,
        }
    }

    /// Where live clients subscribe and watch.
    #[must_use]
    pub fn monitors(&self) -> Monitors {
        self.monitors.clone()
    }

    /// Works until the word to stop is given or the inbox is closed, and then until the inbox is empty. Ends within
    /// twice `drain_timeout` of that word, at once when forced; what did not reach the log by then goes, in full, to
    /// the server's log. Ends the monitors last.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn run(mut self, stop: Shutdown) {
        self.sinks.start();
        let limit = self.drain_timeout;
        let in_time = tokio::select! {
            biased;
            () = self.work(&stop) => true,
            () = overdue(&stop, limit) => false,
        };
        if !in_time {
            self.tell_the_rest();
        }
        self.sinks.finish(limit, &stop).await;
        self.monitors.close();
    }

    async fn work(&mut self, stop: &Shutdown) {
        while let Some(first) = self.next(stop).await {
            self.take(first);
            while self.in_hand.len() < BATCH_LEN_MAX
                && let Some(more) = self.inbox.try_recv()
            {
                self.take(more);
            }
            let is_logged = self.write_log().await;
            for (outgoing, event) in self.in_hand.drain(..) {
                if let Some(event) = &event {
                    self.monitors.publish(event);
                }
                if is_logged {
                    self.confirmations.confirm(LOG, outgoing.number);
                }
                self.sinks.publish(&outgoing);
                self.handled.inc();
            }
        }
    }

    /// Gives a notification its place, unless the log has it from before a restart.
    fn take(&mut self, outgoing: Outgoing) {
        let is_known = match outgoing.lacking {
            Lacking::All => false,
            Lacking::Only { log, .. } => !log || self.logged.contains(&outgoing.event_id),
        };
        let event = (!is_known).then(|| self.numbers.number(outgoing.notification.clone()));
        self.in_hand.push((outgoing, event));
    }

    async fn next(&self, stop: &Shutdown) -> Option<Outgoing> {
        tokio::select! {
            biased;
            outgoing = self.inbox.recv() => outgoing,
            () = stop.stopping() => self.inbox.try_recv(),
        }
    }

    /// Whether the log has all of it.
    async fn write_log(&self) -> bool {
        let batch: Vec<_> = self.in_hand.iter().filter_map(|(_, event)| event.clone()).collect();
        if batch.is_empty() {
            return true;
        }
        let log = self.log.clone();
        // Disks stall, and a stalled one must not hold up the threads that serve everyone else.
        tokio::task::spawn_blocking(move || log.append(&batch)).await.unwrap_or_else(|error| {
            error!(%error, count = self.in_hand.len(), "Notifications could not be given to the log.");
            false
        })
    }

    fn tell_the_rest(&mut self) {
        while let Some(queued) = self.inbox.try_recv() {
            self.take(queued);
        }
        for (_, event) in self.in_hand.drain(..) {
            if let Some(event) = event {
                error!(event = to_json(&event), "Notification was not delivered before the shutdown.");
            }
        }
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Takes up the stream where the log ends.
fn resume(config: &Config, tail: Tail, clock: Arc<dyn Clock>) -> (Numbers, History) {
    let numbers = Numbers::new(clock, tail.events.last().map(|newest| &**newest));
    let mut history = History::new(config.history_len(), numbers.epoch());
    for event in tail.events {
        history.push(event);
    }
    if tail.has_earlier {
        history.forget_earlier();
    }
    (numbers, history)
}

async fn overdue(stop: &Shutdown, limit: Duration) {
    stop.stopping().await;
    tokio::select! {
        () = tokio::time::sleep(limit) => {}
        () = stop.forced() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitors::End;
    use sereno_model::Notification;
    use sereno_plugin::testkit;
    use sereno_runtime::{RealDisk, SystemClock};

    struct Bench {
        inbox: Queue<Outgoing>,
        handler: Handler,
        stop: Shutdown,
        dir: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let metrics = Metrics::default();
        let inbox = Queue::bounded("notification_messages", 1_000, &metrics);
        let dir = tempfile::tempdir().unwrap();
        let (config, path) = (Config::default(), dir.path().join("n.jsonl"));
        let clock = Arc::new(SystemClock::new());
        let (confirmations, disk) = (Confirmations::default(), Arc::new(RealDisk));
        let handler =
            Handler::new(&config, inbox.clone(), confirmations, path, disk, clock, Vec::new(), &metrics);
        Bench { inbox, handler, stop: Shutdown::default(), dir }
    }

    fn numbered(generation: u64) -> Outgoing {
        Notification { generation, ..testkit::notification() }.into()
    }

    #[tokio::test]
    async fn a_stop_drains_the_queue_to_log_and_monitors_in_order() {
        let Bench { inbox, handler, stop, dir, .. } = bench();
        let monitor = handler.monitors().subscribe().unwrap();
        for number in 0..600 {
            inbox.try_send(numbered(number)).unwrap();
        }
        stop.stop();
        handler.run(stop).await;
        let mut seen = Vec::new();
        while let Some(notification) = monitor.recv().await {
            seen.push(notification.generation);
        }
        assert_eq!(monitor.end(), Some(End::Stopping));
        let log = String::from_utf8(RealDisk.read(&dir.path().join("n.jsonl")).unwrap()).unwrap();
        let read =
            |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["generation"].as_u64().unwrap();
        assert_eq!(seen, (0..600).collect::<Vec<_>>());
        assert_eq!(log.lines().map(read).collect::<Vec<_>>(), seen);
    }

    #[tokio::test]
    async fn the_log_has_what_a_monitor_sees() {
        let Bench { inbox, handler, stop, dir, .. } = bench();
        let monitor = handler.monitors().subscribe().unwrap();
        let seen_before = async {
            inbox.send(numbered(7)).await.unwrap();
            let seen = monitor.recv().await.unwrap();
            let log = RealDisk.read(&dir.path().join("n.jsonl")).unwrap();
            stop.stop();
            String::from_utf8(log).unwrap().contains(&seen.event_id)
        };
        let (logged, ()) = tokio::join!(seen_before, handler.run(stop.clone()));
        assert!(logged);
    }

    #[tokio::test]
    async fn a_forced_stop_waits_for_nothing_and_leaves_nothing_untold() {
        let Bench { inbox, handler, stop, dir: _dir, .. } = bench();
        let monitor = handler.monitors().subscribe().unwrap();
        for number in 0..600 {
            inbox.try_send(numbered(number)).unwrap();
        }
        stop.force();
        handler.run(stop).await;
        assert!(inbox.is_empty(), "what was not delivered went to the server's log");
        assert_eq!((monitor.recv().await, monitor.end()), (None, Some(End::Stopping)));
    }
}
