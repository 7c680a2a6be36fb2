#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "the tests break files on purpose")]
//! What the store promises, tried on real directories.

mod damage;
mod disk;
mod model;
mod snapshots;
mod writes;

use std::path::Path;
use std::sync::Arc;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{Clock, ManualClock, Metrics, RealDisk};
use sereno_storage::{Config, Outcome, Recovery, Row, Snapshot, Store};

/// 2023-11-14, so that nothing depends on the day of the run.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn config(directory: &Path) -> Config {
    let directory = directory.to_owned();
    Config { directory, queues: 8, wal_file_bytes: 1 << 20, ..Config::default() }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

fn open(config: &Config) -> (Store, Recovery) {
    open_at(config, clock())
}

fn open_at(config: &Config, clock: Arc<dyn Clock>) -> (Store, Recovery) {
    Store::open(config, Arc::new(RealDisk), clock, &Metrics::default()).expect("the store opens")
}

fn key(text: &str) -> SeriesKey {
    text.parse().expect("a series")
}

/// Appends `values` to `series`, stamped by the store.
fn send(store: &Store, series: &str, values: impl IntoIterator<Item = f64>) -> Outcome {
    let id = store.series(&key(series)).expect("room for a series");
    store.append(values.into_iter().map(|value| Row::now(id, value)).collect()).wait()
}

/// Every series with its samples.
fn dump(snapshot: &Snapshot) -> Vec<(String, Vec<Sample>)> {
    let everything: Selector = "*".parse().expect("a selector");
    let series = snapshot.select(&everything).into_iter();
    series.map(|series| (series.key().to_string(), series.read(TimeRange::ALL).to_vec())).collect()
}

fn values(store: &Store, name: &str) -> Vec<f64> {
    let series = store.snapshot().select(&Selector::exact(name));
    series.iter().flat_map(|series| series.read(TimeRange::ALL).to_vec()).map(|sample| sample.value).collect()
}
