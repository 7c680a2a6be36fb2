//! A store, and how it is filled.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{ManualClock, Metrics, RealDisk};
use sereno_storage::{Config, DAY_NANOS, HOUR_NANOS, Row, SeriesId, Store};
use tempfile::TempDir;

use super::data::{self, Kind, Source};

/// The start of the data: of a whole day (UTC), 2023-11-14.
pub const START: Timestamp = Timestamp::from_nanos(19_675 * DAY_NANOS);
pub const HOUR: Duration = Duration::from_nanos(HOUR_NANOS as u64);
pub const DAY: TimeRange = TimeRange::new(START, Timestamp::from_nanos(START.nanos() + DAY_NANOS));

/// Nothing is flushed, refused or given up unless the benchmark says so.
pub fn config(directory: &Path) -> Config {
    Config {
        directory: directory.to_owned(),
        queue_samples_max: 1 << 20,
        head_bytes_max: 64 << 30,
        wal_bytes_max: 64 << 30,
        series_max: 4_000_000,
        series_per_minute_max: 0,
        series_idle: Duration::ZERO,
        flush_interval: Duration::from_secs(10 * 365 * 86_400),
        retention: Duration::ZERO,
        future_max: Duration::ZERO,
        ..Config::default()
    }
}

/// A store in a temporary folder, in the time of its data.
pub struct Bench {
    // Before the folder, so that it is closed when that is removed.
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub metrics: Metrics,
    pub folder: TempDir,
}

impl Bench {
    pub fn new() -> io::Result<Self> {
        let (folder, clock) = (tempfile::tempdir()?, Arc::new(ManualClock::new(START)));
        Self::open(folder, clock)
    }

    /// The same store as another process would find it.
    pub fn reopen(self) -> io::Result<Self> {
        let Self { store, clock, folder, .. } = self;
        store.close();
        drop(store);
        Self::open(folder, clock)
    }

    fn open(folder: TempDir, clock: Arc<ManualClock>) -> io::Result<Self> {
        let metrics = Metrics::default();
        let store = Store::open(&config(folder.path()), Arc::new(RealDisk), clock.clone(), &metrics);
        let store = store.map_err(io::Error::other)?;
        begin(&store)?;
        Ok(Self { store, clock, metrics, folder })
    }

    /// A day of samples, flushed every hour, and compacted when the day is over. Gives how many there are.
    pub fn fill_day(&self, plan: Plan) -> io::Result<u64> {
        let mut feed = Feed::new(&self.store, plan)?;
        let mut samples = 0;
        for _ in 0..24 {
            for batch in feed.hour() {
                samples += batch.len() as u64;
                send(&self.store, batch)?;
            }
            self.clock.advance(HOUR);
            self.store.flush().map_err(io::Error::other)?;
        }
        self.clock.advance(3 * HOUR);
        self.store.compact().map_err(io::Error::other)?;
        Ok(samples)
    }

    /// The bytes of the files in a folder of the store.
    pub fn file_bytes(&self, folder: &str) -> io::Result<u64> {
        std::fs::read_dir(self.folder.path().join(folder))?.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }
}

/// What is appended.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub jitter: bool,
    pub series: u32,
    pub interval_secs: u32,
    /// How many samples of each series are in a batch.
    pub ticks_per_batch: u32,
}

impl Plan {
    /// 1,000 series every 10 s, a batch for each time.
    pub const fn usual(kind: Kind) -> Self {
        Self { kind, jitter: false, series: 1_000, interval_secs: 10, ticks_per_batch: 1 }
    }
}

/// The samples of a plan, hour by hour.
pub struct Feed {
    plan: Plan,
    series: Vec<(SeriesId, Source)>,
    tick: i64,
}

impl Feed {
    pub fn new(store: &Store, plan: Plan) -> io::Result<Self> {
        let series = |series| Ok((create(store, &data::key(series))?, Source::new(plan.kind, series)));
        Ok(Self { plan, series: (0..plan.series).map(series).collect::<io::Result<_>>()?, tick: 0 })
    }

    /// The batches of the next hour.
    pub fn hour(&mut self) -> Vec<Vec<Row>> {
        let batches = 3_600 / self.plan.interval_secs / self.plan.ticks_per_batch;
        (0..batches).map(|_| self.batch()).collect()
    }

    /// The next batch; the samples of a series stand together.
    pub fn batch(&mut self) -> Vec<Row> {
        let Plan { jitter, interval_secs, ticks_per_batch, .. } = self.plan;
        let mut rows = Vec::with_capacity(self.series.len() * ticks_per_batch as usize);
        for (id, source) in &mut self.series {
            for tick in self.tick..self.tick + i64::from(ticks_per_batch) {
                let time = START.nanos() + tick * i64::from(interval_secs) * 1_000_000_000;
                let delay = if jitter { source.delay_nanos() } else { 0 };
                rows.push(Row::at(*id, Timestamp::from_nanos(time + delay), source.value()));
            }
        }
        self.tick += i64::from(ticks_per_batch);
        rows
    }
}

/// Waits until the log is read back and what it held is in segments. Otherwise that would come within the first second,
/// together with what was appended by then.
pub fn begin(store: &Store) -> io::Result<()> {
    // Whether there was anything is not of interest.
    let _recovery = store.wait_recovered();
    store.flush().map_err(io::Error::other)
}

pub fn create(store: &Store, key: &SeriesKey) -> io::Result<SeriesId> {
    store.series(key).map_err(io::Error::other)
}

/// Appends a batch; all of it must be stored.
pub fn send(store: &Store, rows: Vec<Row>) -> io::Result<()> {
    let outcome = store.append(rows).wait();
    match outcome.refused.first() {
        Some((_, why)) => Err(io::Error::other(format!("a sample was refused: {}", why.as_str()))),
        None => Ok(()),
    }
}

/// Starts this program again as a [`child`](super::child), waits for its end, and gives the numbers that it printed.
pub fn figures<const N: usize>(words: &[&str]) -> io::Result<[f64; N]> {
    let program = std::env::current_exe()?;
    let child = Command::new(program).arg("storage-child").args(words).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&child.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().map_err(|_| io::Error::other(format!("{words:?} failed: {}", child.status)))
}
