//! What came after a tick had looked is told: never too little, whoever writes meanwhile. And whether the store takes
//! samples at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sereno_model::{SeriesKey, TimeRange, Timestamp};
use sereno_runtime::sim_disk::{Call, EIO, ENOSPC, Fault, SimDisk};
use sereno_runtime::{MemoryDisk, Metrics};
use sereno_storage::{Ack, BatchId, Config, Late, LateWhat, Numbered, Reads, Row, Snapshot, Store};

use crate::{NOW, clock, config, key, send};

fn open(writers: u32) -> Store {
    let config = Config {
        directory: PathBuf::from("/store"),
        queues: 4,
        writers,
        series_per_minute_max: 0,
        retention: Duration::ZERO,
        future_max: Duration::ZERO,
        ..Config::default()
    };
    Store::open(&config, Arc::new(MemoryDisk::new()), clock(), &Metrics::default()).unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1_000)
}

/// Sends samples of a series at these seconds.
fn append(store: &Store, series: &str, secs: &[i64]) {
    let id = store.series(&key(series)).unwrap();
    let rows = secs.iter().map(|secs| Row::at(id, at(*secs), 1.0)).collect();
    assert!(store.append(rows).wait().is_ok());
}

fn late(what: LateWhat, (first, last): (i64, i64), count: u64, settled: i64) -> Late {
    Late { what, first: at(first), last: at(last), count, settled: at(settled) }
}

fn of(series: &str) -> LateWhat {
    LateWhat::Series(key(series))
}

#[test]
fn a_sample_is_late_once_a_tick_has_looked_at_its_time() {
    let store = open(1);
    append(&store, "foo", &[10, 20, 5]);
    assert_eq!(store.take_late(), [], "nothing is late before the first tick");
    store.settle(at(20));
    append(&store, "foo", &[20, 21, 30]);
    assert_eq!(store.take_late(), [], "a tick looks at what is before it");
    append(&store, "foo", &[19, 20, 12, 40]);
    append(&store, "bar", &[21, 3]);
    store.settle(at(15));
    append(&store, "foo", &[18]);
    store.settle(at(25));
    append(&store, "bar", &[21]);
    let expected = [late(of("bar"), (3, 21), 2, 25), late(of("foo"), (12, 19), 3, 20)];
    assert_eq!(store.take_late(), expected, "a tick is never taken back, and an equal value replaces too");
    assert_eq!(store.take_late(), []);
}

#[test]
fn a_sample_that_the_store_stamps_is_late_when_the_clock_lags_behind_the_tick() {
    let store = open(1);
    store.settle(NOW);
    assert!(send(&store, "foo", [1.0]).is_ok());
    assert_eq!(store.take_late(), []);
    store.settle(NOW + Duration::from_secs(1));
    assert!(send(&store, "foo", [1.0]).is_ok());
    assert_eq!(store.take_late().len(), 1);
}

#[test]
fn what_is_not_stored_again_is_not_late() {
    let store = open(2);
    let id = store.series(&key("foo")).unwrap();
    let send = |secs: &[i64], resent| {
        let rows = secs.iter().map(|secs| Row::at(id, at(*secs), 1.0)).collect();
        let numbered = Numbered { id: BatchId { client: 1, number: 1 }, resent, places: None };
        store.append_numbered(rows, Ack::Os, numbered).wait()
    };
    assert!(send(&[1, 2], false).is_ok());
    store.settle(at(10));
    assert_eq!(send(&[1, 2], true).repeated, 2);
    assert_eq!(store.take_late(), []);
    assert_eq!(send(&[1, 2, 3], true).repeated, 2);
    assert_eq!(store.take_late(), [late(of("foo"), (3, 3), 1, 10)], "the one that is new");
}

/// Two late samples, at seconds 1 and 2, of so many series of each of so many metrics.
fn many(store: &Store, metrics: usize, series: usize) -> u64 {
    let mut rows = Vec::new();
    for (metric, series) in (0..metrics).flat_map(|metric| (0..series).map(move |series| (metric, series))) {
        let key = SeriesKey::new(&format!("m{metric:05}"), [("n", series.to_string())]).unwrap();
        let id = store.series(&key).unwrap();
        rows.extend([1, 2].map(|secs| Row::at(id, at(secs), 1.0)));
    }
    let count = rows.len() as u64;
    // No more than the queues take at once.
    for rows in rows.chunks(10_000) {
        assert!(store.append(rows.to_vec()).wait().is_ok());
    }
    count
}

#[test]
fn too_many_to_tell_are_told_as_their_metrics_and_then_as_everything() {
    let store = open(1);
    store.settle(at(100));
    assert_eq!(many(&store, 2, 5_000), 20_000);
    assert_eq!(store.take_late().len(), 10_000, "one by one");
    many(&store, 2, 5_001);
    append(&store, "foo", &[3]);
    let metric = |name: &str| LateWhat::Metric(name.into());
    let expected = [
        late(metric("foo"), (3, 3), 1, 100),
        late(metric("m00000"), (1, 2), 10_002, 100),
        late(metric("m00001"), (1, 2), 10_002, 100),
    ];
    assert_eq!(store.take_late(), expected);
    let count = many(&store, 10_001, 1);
    append(&store, "foo", &[7]);
    assert_eq!(store.take_late(), [late(LateWhat::Everything, (1, 7), count + 1, 100)]);
    append(&store, "foo", &[8]);
    assert_eq!(store.take_late(), [late(of("foo"), (8, 8), 1, 100)], "as exact as before");
}

/// The times of every series.
fn times(snapshot: &Snapshot, range: TimeRange) -> BTreeMap<SeriesKey, Vec<Timestamp>> {
    let all = snapshot.select(&"*".parse().unwrap(), TimeRange::ALL).unwrap().into_iter();
    let times = all.map(|series| {
        let samples = series.read(range, &mut Reads::default()).unwrap();
        (series.key().clone(), samples.iter().map(|sample| sample.time).collect())
    });
    times.collect()
}

/// Writers whose samples are of just now, and ticks that settle and look at the same time: what a tick did not see is
/// told, by whichever call.
#[test]
fn what_a_tick_did_not_see_is_told() {
    const BATCHES: i64 = 60;
    // Long ones, so that a tick often comes in the middle of a commit.
    const BATCH: i64 = 400;
    let store = open(2);
    let (time, running) = (AtomicI64::new(1), AtomicUsize::new(2));
    let mut ticks: Vec<(Timestamp, Snapshot)> = Vec::new();
    let mut told = Vec::new();
    thread::scope(|scope| {
        for name in ["foo", "bar"] {
            let (store, time, running) = (&store, &time, &running);
            scope.spawn(move || {
                let id = store.series(&key(name)).unwrap();
                for _ in 0..BATCHES {
                    let first = time.fetch_add(BATCH, Ordering::SeqCst);
                    let rows =
                        (first..first + BATCH).map(|time| Row::at(id, Timestamp::from_nanos(time), 1.0));
                    assert!(store.append(rows.collect()).wait().is_ok());
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            let tick = Timestamp::from_nanos(time.load(Ordering::SeqCst));
            store.settle(tick);
            let snapshot = store.snapshot();
            told.extend(store.take_late());
            if ticks.last().is_none_or(|(last, _)| *last < tick) {
                ticks.push((tick, snapshot));
            }
        }
    });
    told.extend(store.take_late());
    let all = times(&store.snapshot(), TimeRange::ALL);
    assert_eq!(all.values().map(|times| times.len() as i64).sum::<i64>(), 2 * BATCHES * BATCH);
    for (tick, snapshot) in &ticks {
        let range = TimeRange::new(Timestamp::MIN, *tick);
        let seen = times(snapshot, range);
        for (key, all) in &all {
            let seen = seen.get(key).map_or(&[][..], |seen| &seen[..]);
            for missing in all.iter().filter(|time| *time < tick && seen.binary_search(time).is_err()) {
                let covers = |late: &&Late| {
                    late.what == LateWhat::Series(key.clone())
                        && (late.first..=late.last).contains(missing)
                        && late.settled >= *tick
                };
                assert!(told.iter().any(|late| covers(&late)), "{key} at {missing} is not in {tick}");
            }
        }
    }
}

#[test]
fn who_looks_knows_since_when_the_store_refuses() {
    let (disk, clock) = (SimDisk::new(), clock());
    let day = Duration::from_secs(86_400);
    let config = Config { retention: 10 * day, ..config(Path::new("/store")) };
    let store = Store::open(&config, Arc::new(disk.clone()), clock.clone(), &Metrics::default()).unwrap();
    let told = || (store.refused_batches(), store.refusing_since());
    assert_eq!(told(), (0, None));
    let id = store.series(&key("foo")).unwrap();
    assert!(!store.append(vec![Row::at(id, NOW - 20 * day, 1.0)]).wait().is_ok());
    assert_eq!(told(), (0, None), "too old is its sender's affair");
    disk.fail(Fault::always(Call::Append, ENOSPC));
    for secs in [0, 5] {
        clock.advance(Duration::from_secs(secs));
        assert!(!send(&store, "foo", [1.0]).is_ok());
    }
    assert_eq!(told(), (2, Some(NOW)), "since the first one");
    disk.heal();
    assert!(send(&store, "foo", [2.0]).is_ok());
    assert_eq!(told(), (2, None));
    disk.fail(Fault::always(Call::Sync, EIO).within(".wal"));
    assert!(store.append_with(vec![Row::now(id, 3.0)], Ack::Disk).wait().unknown);
    assert_eq!(told(), (3, None), "it can be read, and may not last");
}
