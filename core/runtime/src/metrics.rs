//! The server's own counters and gauges. They are ordinary atomics: adding to one costs a few nanoseconds, and
//! whoever wants to see them takes a [`Metrics::snapshot`].
//!
//! Names follow the field's habit: base units, `_total` for counters, e.g. `wal_sync_duration_seconds`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sereno_model::SeriesKey;

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
enum Metric {
    Counter(Counter),
    Gauge(Gauge),
}

/// All self-metrics of one server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, Metric>>>);

impl Metrics {
    /// The counter of that name and labels; the same one for the same name and labels.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        let fresh = || Metric::Counter(Counter::default());
        match self.entry(name, labels, fresh) {
            Metric::Counter(counter) => counter,
            // A name used for both kinds is our mistake; the second user counts apart rather than panic.
            Metric::Gauge(_) => Counter::default(),
        }
    }

    /// The gauge of that name and labels; the same one for the same name and labels.
    #[must_use]
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        match self.entry(name, labels, || Metric::Gauge(Gauge::default())) {
            Metric::Gauge(gauge) => gauge,
            Metric::Counter(_) => Gauge::default(),
        }
    }

    /// Every metric in its text form (`name{label="v"}`) with its value, in order of the names.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(String, f64)> {
        let value = |metric: &Metric| match metric {
            Metric::Counter(counter) => counter.get() as f64,
            Metric::Gauge(gauge) => gauge.get() as f64,
        };
        self.lock().iter().map(|(name, metric)| (name.clone(), value(metric))).collect()
    }

    fn entry(&self, name: &str, labels: &[(&str, &str)], fresh: impl FnOnce() -> Metric) -> Metric {
        let key = SeriesKey::new(name, labels.iter().copied())
            .map_or_else(|_| name.to_owned(), |key| key.to_string());
        self.lock().entry(key).or_insert_with(fresh).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Metric>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_metric() {
        let metrics = Metrics::default();
        metrics.counter("queue_refused_total", &[("queue", "a")]).inc();
        metrics.counter("queue_refused_total", &[("queue", "a")]).inc();
        metrics.gauge("queue_depth", &[]).set(-3);
        let expected = [("queue_depth".into(), -3.0), ("queue_refused_total{queue=\"a\"}".into(), 2.0)];
        assert_eq!(metrics.snapshot(), expected);
    }
}
