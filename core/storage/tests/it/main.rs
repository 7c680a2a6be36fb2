#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "the tests break files on purpose")]
//! What the store promises, tried on real directories and on a disk that fails.

mod damage;
mod faults;
mod fold;
mod full;
mod golden;
mod golden_numbered;
mod journal;
mod late;
mod model;
mod numbered;
mod power;
mod resend;
mod retention;
mod rot;
mod selection;
mod sender;
mod snapshots;
mod writers;
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{Clock, ManualClock, Metrics, RealDisk, SimDisk};
use sereno_storage::{Config, Outcome, ReadError, Reads, Recovery, Row, Series, Snapshot, Store};

/// 2023-11-14, so that nothing depends on the day of the run.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn config(directory: &Path) -> Config {
    let directory = directory.to_owned();
    // Any time goes: the tests live in 1970 and in 2023.
    let (retention, future_max) = (Duration::ZERO, Duration::ZERO);
    Config { directory, queues: 8, wal_file_bytes: 1 << 20, retention, future_max, ..Config::default() }
}

/// Whether to try everything, for minutes, rather than a sample of it: `SERENO_TEST_THOROUGH=1`.
fn thorough() -> bool {
    std::env::var_os("SERENO_TEST_THOROUGH").is_some()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

fn open(config: &Config) -> (Store, Recovery) {
    open_at(config, clock())
}

fn open_at(config: &Config, clock: Arc<dyn Clock>) -> (Store, Recovery) {
    let store = Store::open(config, Arc::new(RealDisk), clock, &Metrics::default()).expect("the store opens");
    let recovery = store.wait_recovered();
    (store, recovery)
}

/// Opens what is on a simulated disk, without faults and without the process that was there.
fn reopen(config: &Config, disk: &SimDisk) -> (Store, Recovery) {
    let store =
        Store::open(config, Arc::new(disk.kill()), clock(), &Metrics::default()).expect("the store opens");
    let recovery = store.wait_recovered();
    (store, recovery)
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
    try_dump(snapshot).expect("no damage")
}

fn try_dump(snapshot: &Snapshot) -> Result<Vec<(String, Vec<Sample>)>, ReadError> {
    let everything: Selector = "*".parse().expect("a selector");
    let mut found = Vec::new();
    for series in snapshot.select(&everything, TimeRange::ALL)? {
        let samples = series.read(TimeRange::ALL, &mut Reads::default())?;
        if !samples.is_empty() {
            found.push((series.key().to_string(), samples));
        }
    }
    Ok(found)
}

fn read(series: &Series) -> Vec<Sample> {
    series.read(TimeRange::ALL, &mut Reads::default()).expect("no damage")
}

fn select(snapshot: &Snapshot, name: &str) -> Vec<Series> {
    snapshot.select(&Selector::exact(name), TimeRange::ALL).expect("no damage")
}

fn values(store: &Store, name: &str) -> Vec<f64> {
    let series = select(&store.snapshot(), name);
    series.iter().flat_map(read).map(|sample| sample.value).collect()
}
