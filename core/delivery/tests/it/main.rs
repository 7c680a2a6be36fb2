//! The handler as a whole, over a real log file: who watches sees everything in order, across restarts too, and
//! delays nobody.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod outgoing;
mod restart;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_delivery::{Config, Handler, Monitors, Sequenced, Since, Step, Watch};
use sereno_model::{Confirmations, Notification, Outgoing, Position, Timestamp};
use sereno_plugin::{SinkInstance, testkit};
use sereno_runtime::{Disk, ManualClock, Metrics, Queue, RealDisk, Shutdown, Tasks};

/// The wall clock of the first run, in milliseconds.
const START: i64 = 1_767_225_600_000;
/// Long enough for a machine under load; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// One run of the handler.
struct Run {
    inbox: Queue<Outgoing>,
    confirmations: Confirmations,
    monitors: Monitors,
    metrics: Metrics,
    stop: Shutdown,
    running: Tasks,
}

impl Run {
    fn start(log: &Path, config: &Config, clock: &Arc<ManualClock>) -> Self {
        Self::start_with(log, config, clock, Vec::new())
    }

    /// The same, with sinks.
    fn start_with(log: &Path, config: &Config, clock: &Arc<ManualClock>, sinks: Vec<SinkInstance>) -> Self {
        let metrics = Metrics::default();
        let inbox = Queue::bounded("notification_messages", 100_000, &metrics);
        let (disk, clock) = (Arc::new(RealDisk), clock.clone());
        let confirmations = Confirmations::new(sinks.iter().map(|sink| sink.name.clone()));
        let (log, confirmed) = (log.to_owned(), confirmations.clone());
        let handler = Handler::new(config, inbox.clone(), confirmed, log, disk, clock, sinks, &metrics);
        let (monitors, stop) = (handler.monitors(), Shutdown::default());
        let running = Tasks::default();
        running.spawn("notification messages handler", handler.run(stop.clone()));
        Self { inbox, confirmations, monitors, metrics, stop, running }
    }

    fn watch(&self, since: Since) -> Watch {
        self.monitors.watch(since).unwrap()
    }

    /// Sends notifications that say these numbers.
    fn send(&self, numbers: std::ops::Range<u64>) {
        for generation in numbers {
            // A value whose shortest text has all its digits.
            let value = Some(1.0 / (generation as f64 + 3.0));
            let told = Notification { generation, value, ..testkit::notification() };
            self.inbox.try_send(told.into()).unwrap();
        }
    }

    async fn stop(self) {
        self.stop.stop();
        assert_eq!(self.running.join(PATIENCE).await, [""; 0]);
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics
            .snapshot()
            .into_iter()
            .find(|(metric, _)| metric == name)
            .map_or(f64::NAN, |(_, value)| value)
    }
}

/// A folder with a log in it, and a clock.
fn bench() -> (tempfile::TempDir, PathBuf, Arc<ManualClock>) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("logs/n.jsonl");
    (dir, log, Arc::new(ManualClock::new(Timestamp::from_millis(START))))
}

fn config(history: usize) -> Config {
    Config { history, monitor_queue_len_max: 1, ..Config::default() }
}

fn position(epoch: i64, sequence: u64) -> Position {
    Position { epoch: epoch as u64, sequence }
}

async fn event(watch: &mut Watch) -> Arc<Sequenced> {
    match in_time(watch.next()).await {
        Step::Event(event) => event,
        other => panic!("an event was due, not {other:?}"),
    }
}

/// The next events.
async fn events(watch: &mut Watch, count: usize) -> Vec<Arc<Sequenced>> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(event(watch).await);
    }
    events
}

/// What the events say.
fn numbers(events: &[Arc<Sequenced>]) -> Vec<u64> {
    events.iter().map(|event| event.notification.generation).collect()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}
