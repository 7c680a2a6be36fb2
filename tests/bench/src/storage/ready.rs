//! How long after a crash the store takes writes, and how long until all can be read, when the log is as full as it may
//! be: the flush that should have emptied it did not come.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sereno_model::{SeriesKey, Timestamp};
use sereno_runtime::{ManualClock, Metrics, RealDisk, SystemClock};
use sereno_storage::{Config, Row, Stats, Store};

use super::data::Kind;
use super::setup::{Feed, Plan, START, begin, config, create, figures, send};
use super::table::{Table, round, with_goal};
use super::usage::resident_bytes_peak;

/// What `storage.wal_bytes_max` is by default.
const LOG_BYTES: u64 = 512 << 20;
/// How long the store may take until it has moved what was read back to segments.
const SETTLE_MAX: Duration = Duration::from_secs(60);

pub fn run() -> io::Result<()> {
    let columns = [
        "first write, s",
        "goal",
        "ratio",
        "all to read, s",
        "goal",
        "ratio",
        "log empty, s",
        "refused, s",
        "samples, M",
        "peak, MB",
    ];
    let table = Table::new("ready: a log of 512 MiB after a crash", &columns);
    for series in [10_000, 100_000] {
        let folder = tempfile::tempdir()?;
        let directory = folder.path().to_string_lossy();
        let [sent] = figures(&["fill", &directory, &f64::from(series).to_string()])?;
        let [first, readable, settled, refused, kept, peak] = figures(&["reopen", &directory])?;
        if kept != sent {
            return Err(io::Error::other(format!("{sent} samples were stored, {kept} are there")));
        }
        let times = with_goal(first, Some(0.5)).into_iter().chain(with_goal(readable, Some(5.0)));
        let rest = [settled, refused, sent / 1e6, peak / 1e6].map(round);
        table.row(&format!("{series} series, 4 samples a batch"), times.chain(rest));
    }
    Ok(())
}

/// Fills the log of a new store up to its bound, prints how many samples it took, and dies.
pub fn fill(directory: &Path, series: u32) -> io::Result<()> {
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::open(&config(directory), Arc::new(RealDisk), clock, &Metrics::default());
    let store = store.map_err(io::Error::other)?;
    begin(&store)?;
    let plan = Plan { series, ticks_per_batch: 4, ..Plan::usual(Kind::Gauge) };
    let mut feed = Feed::new(&store, plan)?;
    let mut samples = 0;
    // As the store itself goes about it: a batch is taken while the log is below its bound.
    while store.stats().wal_bytes < LOG_BYTES {
        let batch = feed.batch();
        samples += batch.len();
        send(&store, batch)?;
    }
    if store.stats().segments().samples > 0 {
        return Err(io::Error::other("some of the log went to segments"));
    }
    println!("{samples}");
    // Nothing is closed, as if it had been killed.
    std::process::exit(0)
}

/// Opens it with the usual bounds; prints seconds until the first write is taken, until all can be read, until the log
/// is moved to segments, for which writes were refused meanwhile; the samples that were there; and the peak of memory.
pub fn reopen(directory: &Path) -> io::Result<()> {
    let unbounded = config(directory);
    let usual = Config::default();
    let config = Config {
        head_bytes_max: usual.head_bytes_max,
        wal_bytes_max: usual.wal_bytes_max,
        flush_interval: usual.flush_interval,
        ..unbounded
    };
    let start = Instant::now();
    let store = Store::open(&config, Arc::new(RealDisk), Arc::new(SystemClock::new()), &Metrics::default());
    let store = store.map_err(io::Error::other)?;
    let probe = SeriesKey::from_name("bench.probe").map_err(io::Error::other)?;
    let probe = create(&store, &probe)?;
    while !store.append(vec![Row::at(probe, time(0), 0.0)]).wait().is_ok() {
        if start.elapsed() > SETTLE_MAX {
            return Err(io::Error::other("the store takes no writes"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = start.elapsed();
    let done = AtomicBool::new(false);
    let (readable, settled, (probes, refused)) = std::thread::scope(|scope| {
        let prober = scope.spawn(|| {
            let (mut taken, mut refused) = (1_i64, Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(Duration::from_millis(2));
                if store.append(vec![Row::at(probe, time(taken), 0.0)]).wait().is_ok() {
                    taken += 1;
                } else {
                    refused += start.elapsed();
                }
            }
            (taken, refused)
        });
        let _recovery = store.wait_recovered();
        let readable = start.elapsed();
        while store.stats().wal_bytes > LOG_BYTES / 2 && start.elapsed() < SETTLE_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
        let settled = start.elapsed();
        done.store(true, Ordering::Relaxed);
        prober.join().map(|probes| (readable, settled, probes)).map_err(|_| io::Error::other("panic"))
    })?;
    let Stats { head_samples, .. } = store.stats();
    let kept = head_samples + store.stats().segments().samples - probes as u64;
    let secs = [first, readable, settled, refused].map(|time| time.as_secs_f64());
    println!("{} {} {} {} {kept} {}", secs[0], secs[1], secs[2], secs[3], resident_bytes_peak()?);
    Ok(())
}

fn time(probe: i64) -> Timestamp {
    Timestamp::from_nanos(START.nanos() + probe)
}
