//! Sinks: each has its own bounded queue and its own worker, so a dead one delays nobody but itself.
//!
//! A worker sends in order, one at a time. `Retry`, or no answer in time, is tried again after 1 s, 2 s, … 5 min, for
//! as long as the server runs; `Reject` and a panic are not. When too much waits, reminders are dropped for that sink,
//! and then events that newer ones of the same instance have overtaken.
//!
//! Self-metrics, each with the label `plugin`: `sink_pending`, `sink_delivered_total`, `sink_retries_total`,
//! `sink_rejected_total`, `sink_dropped_total`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sereno_model::{Confirmations, Lacking, Notification, Outgoing};
use sereno_plugin::{Backoff, Delivery, Sink, SinkInstance, caught};
use sereno_runtime::{Counter, Gauge, Metrics, Shutdown, Tasks};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::reminders::Reminders;
use crate::waiting::Waiting;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// All sinks.
pub(crate) struct Sinks {
    outlets: Vec<Outlet>,
    workers: Vec<Worker>,
    tasks: Tasks,
    closing: Shutdown,
    reminders: Reminders,
    /// Of what was on its way before a restart.
    again: Reminders,
    reminder: Duration,
}

/// The handler's end of one sink.
struct Outlet {
    name: String,
    waiting: Arc<Waiting>,
    pending: Gauge,
    dropped: Counter,
    /// Whether drops were told since nothing waited.
    dropping: AtomicBool,
}

/// The other end: owns the sink.
struct Worker {
    name: String,
    sink: Box<dyn Sink>,
    waiting: Arc<Waiting>,
    timeout: Duration,
    closing: Shutdown,
    pending: Gauge,
    delivered: Counter,
    retries: Counter,
    rejected: Counter,
}

impl Sinks {
    pub(crate) fn new(
        instances: Vec<SinkInstance>,
        config: &Config,
        confirmations: &Confirmations,
        metrics: &Metrics,
    ) -> Self {
        let closing = Shutdown::default();
        let ends = instances.into_iter().map(|SinkInstance { name, sink }| {
            let labels = [("plugin", name.as_str())];
            let waiting = Arc::new(Waiting::new(&name, config.sink_queue_len_max, confirmations));
            let pending = metrics.gauge("sink_pending", &labels);
            let outlet = Outlet {
                name: name.clone(),
                waiting: waiting.clone(),
                pending: pending.clone(),
                dropped: metrics.counter("sink_dropped_total", &labels),
                dropping: AtomicBool::new(false),
            };
            let worker = Worker {
                sink,
                waiting,
                pending,
                timeout: config.sink_timeout,
                closing: closing.clone(),
                delivered: metrics.counter("sink_delivered_total", &labels),
                retries: metrics.counter("sink_retries_total", &labels),
                rejected: metrics.counter("sink_rejected_total", &labels),
                name,
            };
            (outlet, worker)
        });
        let (outlets, workers) = ends.unzip();
        Self {
            outlets,
            workers,
            tasks: Tasks::default(),
            closing,
            reminders: Reminders::default(),
            again: Reminders::default(),
            reminder: config.sink_reminder,
        }
    }

    /// Takes a notification as told, that was before a restart.
    pub(crate) fn remember(&mut self, notification: &Notification) {
        self.reminders.pass(notification, self.reminder);
    }

    /// Starts the workers.
    pub(crate) fn start(&mut self) {
        for worker in self.workers.drain(..) {
            self.tasks.spawn(format!("sink {}", worker.name), worker.run());
        }
    }

    /// Gives a notification to every sink that lacks it, if sinks are told of it. Never waits.
    pub(crate) fn publish(&mut self, outgoing: &Outgoing) {
        let is_for_sinks = match outgoing.lacking {
            Lacking::All => self.reminders.pass(&outgoing.notification, self.reminder),
            // What is remembered may be just this one.
            Lacking::Only { .. } => self.again.pass(&outgoing.notification, self.reminder),
        };
        for outlet in &self.outlets {
            outlet.publish(outgoing, is_for_sinks && outgoing.lacking.sink(&outlet.name));
        }
    }

    /// Lets the sinks send what waits, each notification tried once more at most, for at most `limit`, not at
    /// all when forced; then tells what was left.
    pub(crate) async fn finish(&self, limit: Duration, stop: &Shutdown) {
        for outlet in &self.outlets {
            outlet.waiting.close();
        }
        self.closing.stop();
        tokio::select! {
            _late = self.tasks.join(limit) => {}
            () = stop.forced() => {}
        }
        for outlet in &self.outlets {
            let (sink, count) = (&outlet.name, outlet.waiting.len());
            if count > 0 {
                warn!(
                    sink,
                    count, "Notifications were not sent before the shutdown; the next start sends them."
                );
            }
        }
    }
}

impl Outlet {
    fn publish(&self, outgoing: &Outgoing, is_wanted: bool) {
        if self.waiting.is_empty() {
            self.dropping.store(false, Ordering::Relaxed);
        }
        let dropped = self.waiting.push(outgoing, is_wanted);
        self.pending.set(i64::try_from(self.waiting.len()).unwrap_or(i64::MAX));
        self.dropped.add(dropped as u64);
        if dropped > 0 && !self.dropping.swap(true, Ordering::Relaxed) {
            error!(
                sink = self.name,
                "Too much waits for a sink: reminders and events that newer ones have overtaken are dropped for it."
            );
        }
    }
}

impl Worker {
    async fn run(self) {
        while let Some(outgoing) = self.waiting.next().await {
            match self.deliver(&outgoing).await {
                true => self.waiting.done(outgoing.number),
                false => self.waiting.give_up(),
            }
            self.pending.set(i64::try_from(self.waiting.len()).unwrap_or(i64::MAX));
        }
    }

    /// Sends one notification, however often it takes; `false` if the server stopped before it was sent.
    async fn deliver(&self, notification: &Notification) -> bool {
        let (sink, event_id) = (&self.name, &notification.event_id);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let mut retries = 0;
        loop {
            match self.attempt(notification).await {
                Delivery::Ok => {
                    self.delivered.inc();
                    if retries > 0 {
                        info!(sink, event_id, retries, "Notification was sent at last.");
                    }
                    return true;
                }
                Delivery::Reject(reason) => {
                    self.rejected.inc();
                    error!(sink, event_id, reason, "Notification was rejected and is not sent again.");
                    return true;
                }
                Delivery::Retry(_) if self.closing.is_stopping() => return false,
                Delivery::Retry(reason) => {
                    self.retries.inc();
                    if retries == 0 {
                        warn!(sink, event_id, reason, "Notification was not sent; it is tried again.");
                    }
                    retries += 1;
                    tokio::select! {
                        () = tokio::time::sleep(backoff.pause()) => {}
                        () = self.closing.stopping() => {}
                    }
                }
            }
        }
    }

    async fn attempt(&self, notification: &Notification) -> Delivery {
        let attempt = caught(async { self.sink.deliver(notification).await });
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(panicked)) => Delivery::Reject(panicked.to_string()),
            Err(_) => Delivery::Retry(format!("no answer within {:?}", self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_plugin::{BoxFuture, testkit};
    use std::sync::Mutex;

    /// Answers with what `answer` says to the number of the attempt, from 0, and remembers what it got.
    struct Scripted {
        seen: Arc<Mutex<Vec<u64>>>,
        answer: fn(usize) -> BoxFuture<'static, Delivery>,
    }

    impl Sink for Scripted {
        fn deliver<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Delivery> {
            let mut seen = self.seen.lock().unwrap();
            seen.push(notification.generation);
            (self.answer)(seen.len() - 1)
        }
    }

    type Seen = Arc<Mutex<Vec<u64>>>;

    fn sink(name: &str, answer: fn(usize) -> BoxFuture<'static, Delivery>) -> (SinkInstance, Seen) {
        let seen = Seen::default();
        let sink = Box::new(Scripted { seen: seen.clone(), answer });
        (SinkInstance { name: name.into(), sink }, seen)
    }

    fn start(instances: Vec<SinkInstance>, metrics: &Metrics) -> Sinks {
        let config = Config { sink_queue_len_max: 3, ..Config::default() };
        let confirmations = Confirmations::new(instances.iter().map(|instance| instance.name.clone()));
        let mut sinks = Sinks::new(instances, &config, &confirmations, metrics);
        sinks.start();
        sinks
    }

    async fn publish(sinks: &mut Sinks, numbers: std::ops::Range<u64>) {
        for generation in numbers {
            let notification = Notification { generation, ..testkit::notification() };
            sinks.publish(&Outgoing { number: generation + 1, ..notification.into() });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn value(metrics: &Metrics, name: &str) -> f64 {
        metrics.snapshot().into_iter().find(|(key, _)| key == name).map_or(f64::NAN, |(_, value)| value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_sink_delays_nobody_and_its_drops_are_counted() {
        let metrics = Metrics::default();
        let (dead, _) = sink("t/dead", |_| Box::pin(std::future::pending()));
        let (good, seen) = sink("t/good", |_| Box::pin(async { Delivery::Ok }));
        let mut sinks = start(vec![dead, good], &metrics);
        publish(&mut sinks, 0..10).await;
        assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
        // One is being tried and three wait.
        assert_eq!(value(&metrics, "sink_dropped_total{plugin=\"t/dead\"}"), 6.0);
        assert_eq!(value(&metrics, "sink_pending{plugin=\"t/dead\"}"), 4.0);
        let began = tokio::time::Instant::now();
        sinks.finish(Duration::from_secs(1), &Shutdown::default()).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_keep_the_order_and_pauses_double() {
        let metrics = Metrics::default();
        let (flaky, seen) = sink("t/flaky", |attempt| {
            Box::pin(async move {
                match attempt {
                    0..3 => Delivery::Retry("no connection".into()),
                    3 => Delivery::Ok,
                    4 => panic!("a bug"),
                    _ => Delivery::Reject("malformed".into()),
                }
            })
        });
        let began = tokio::time::Instant::now();
        let mut sinks = start(vec![flaky], &metrics);
        publish(&mut sinks, 0..3).await;
        while value(&metrics, "sink_pending{plugin=\"t/flaky\"}") > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*seen.lock().unwrap(), [0, 0, 0, 0, 1, 2], "a panic is not tried again");
        assert_eq!(began.elapsed().as_secs(), 1 + 2 + 4);
        assert_eq!(value(&metrics, "sink_retries_total{plugin=\"t/flaky\"}"), 3.0);
        assert_eq!(value(&metrics, "sink_rejected_total{plugin=\"t/flaky\"}"), 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_cuts_the_pause_short_and_sends_what_it_can() {
        let metrics = Metrics::default();
        let (recovering, seen) = sink("t/a", |attempt| {
            Box::pin(async move { if attempt == 0 { Delivery::Retry("busy".into()) } else { Delivery::Ok } })
        });
        let mut sinks = start(vec![recovering], &metrics);
        publish(&mut sinks, 0..3).await;
        let began = tokio::time::Instant::now();
        sinks.finish(Duration::from_secs(10), &Shutdown::default()).await;
        assert_eq!((seen.lock().unwrap().len(), began.elapsed()), (4, Duration::ZERO));
        assert_eq!(value(&metrics, "sink_pending{plugin=\"t/a\"}"), 0.0);
    }
}
