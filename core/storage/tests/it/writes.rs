//! Writes end as stored or refused, whatever the disk does.

use std::path::Path;
use std::sync::Arc;

use sereno_runtime::sim_disk::{Call, EIO, ENOSPC, Fault, Loss, Part, SimDisk};
use sereno_runtime::{Disk as _, Metrics};
use sereno_storage::{Ack, Config, OpenError, Refusal, Row, Store};

use crate::{NOW, clock, config, key, open, reopen, send, values};

#[test]
fn server_stamps_are_unique_and_survive() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (store, _) = open(&config);
    assert!(send(&store, "foo", (0..1_000).map(f64::from)).is_ok());
    assert_eq!(values(&store, "foo").len(), 1_000, "a thousand in one millisecond, none merged");
    store.close();
    drop(store);
    let (store, recovery) = open(&config);
    assert_eq!((recovery.samples, recovery.is_damaged()), (1_000, false));
    assert_eq!(values(&store, "foo"), (0..1_000).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn what_is_acknowledged_needs_no_close() {
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    assert!(send(&store, "foo", [1.0, 2.0]).is_ok());
    let (again, _) = reopen(&config, &disk);
    assert_eq!(values(&again, "foo"), [1.0, 2.0]);
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    for truncate_works in [true, false] {
        let (config, disk) = (config(Path::new("/store")), SimDisk::new());
        let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
        assert!(send(&store, "foo", [1.0]).is_ok());
        disk.fail(Fault::always(Call::Append, ENOSPC).part(Part::Half));
        if !truncate_works {
            disk.fail(Fault::always(Call::Truncate, EIO));
        }
        assert_eq!(send(&store, "foo", [2.0, 3.0]).refused, [(0, Refusal::DiskFull), (1, Refusal::DiskFull)]);
        assert_eq!(send(&store, "new", [2.0]).refused, [(0, Refusal::DiskFull)]);
        assert_eq!(values(&store, "foo"), [1.0], "queries go on, and see nothing that was refused");
        disk.heal();
        if !truncate_works {
            disk.fail(Fault::always(Call::Truncate, EIO));
        }
        assert!(send(&store, "foo", [4.0]).is_ok(), "no restart is needed");
        assert!(send(&store, "new", [5.0]).is_ok(), "the definition that was refused is written again");
        drop(store);
        let (store, recovery) = reopen(&config, &disk);
        assert!(!recovery.is_damaged(), "{recovery:?}");
        assert_eq!((values(&store, "foo"), values(&store, "new")), (vec![1.0, 4.0], vec![5.0]));
    }
}

#[test]
fn after_a_failed_sync_the_file_is_given_up() {
    let (disk, metrics) = (SimDisk::new(), Metrics::default());
    let config = Config { sync_interval: std::time::Duration::ZERO, ..config(Path::new("/store")) };
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &metrics).unwrap();
    disk.fail(Fault::always(Call::Sync, EIO));
    assert!(send(&store, "foo", [1.0]).is_ok());
    let failures = metrics.counter("wal_sync_failures_total", &[]);
    while failures.get() == 0 {
        std::thread::yield_now();
    }
    disk.heal();
    assert!(send(&store, "foo", [2.0]).is_ok());
    store.close();
    let files = disk.list(Path::new("/store/wal")).unwrap().len();
    assert_eq!(files, 2, "the file whose sync failed is not appended to");
    assert_eq!(values(&store, "foo"), [1.0, 2.0]);
}

#[test]
fn a_queue_that_is_full_refuses_its_own_samples_only() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { queue_samples_max: 3, ..config(directory.path()) };
    let (store, _) = open(&config);
    let (foo, bar) = (store.series(&key("foo")).unwrap(), store.series(&key("bar")).unwrap());
    assert_ne!(key("foo").queue(8), key("bar").queue(8), "two queues");
    let rows = [1, 2, 3, 4, 5].map(|value| Row::now(foo, value.into()));
    let rows = rows.into_iter().chain([Row::now(bar, 6.0)]).collect();
    assert_eq!(store.append(rows).wait().refused, [(3, Refusal::QueueFull), (4, Refusal::QueueFull)]);
    assert_eq!((values(&store, "foo"), values(&store, "bar")), (vec![1.0, 2.0, 3.0], vec![6.0]));
    assert!(send(&store, "foo", [7.0]).is_ok(), "what was committed makes room");
}

#[test]
fn limits_refuse_and_say_which() {
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let config = Config { series_max: 1, head_bytes_max: 1 << 20, ..config };
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    // The head cannot be moved to segments, so it fills up.
    disk.fail(Fault::always(Call::Create, ENOSPC).within("segments"));
    let mut stored = 0;
    while send(&store, "foo", [0.0; 1_000]).is_ok() {
        stored += 1_000;
    }
    assert!((20_000..80_000).contains(&stored), "{stored} samples of 24 bytes in 1 MiB");
    assert_eq!(send(&store, "foo", [3.0]).refused, [(0, Refusal::MemoryFull)]);
    let error = store.series(&key("bar")).unwrap_err().to_string();
    assert!(error.contains("`bar` is refused; raise `storage.series_max`"), "{error}");
    disk.heal();
    store.flush().unwrap();
    assert!(send(&store, "foo", [4.0]).is_ok(), "what is in segments makes room");
    assert_eq!(values(&store, "foo").len(), stored + 1);
    store.close();
    assert_eq!(send(&store, "foo", [3.0]).refused, [(0, Refusal::Closed)]);
}

#[test]
fn a_log_that_is_full_refuses_until_it_is_in_segments() {
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let config = Config { wal_bytes_max: 1 << 20, ..config };
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    disk.fail(Fault::always(Call::Sync, EIO).within("segments"));
    while send(&store, "foo", [0.0; 1_000]).is_ok() {}
    assert_eq!(send(&store, "foo", [3.0]).refused, [(0, Refusal::LogFull)]);
    let before = values(&store, "foo").len();
    disk.heal();
    store.flush().unwrap();
    assert!(send(&store, "foo", [4.0]).is_ok());
    assert_eq!(values(&store, "foo").len(), before + 1);
    assert!(store.stats().wal_bytes < 1_000, "the log has shrunk: {:?}", store.stats());
}

#[test]
fn times_that_are_not_kept_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let config = Config { retention: 10 * day, future_max: day, ..config(directory.path()) };
    let (store, _) = open(&config);
    let foo = store.series(&key("foo")).unwrap();
    let rows = [NOW - 12 * day, NOW - 9 * day, NOW, NOW + day / 2, NOW + 2 * day]
        .map(|time| Row::at(foo, time, 1.0));
    let refused = store.append(rows.to_vec()).wait().refused;
    assert_eq!(refused, [(0, Refusal::TooOld), (4, Refusal::TooFarAhead)]);
}

#[test]
fn an_acknowledgement_of_the_disk_waits_for_it() {
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let hour = std::time::Duration::from_secs(3_600);
    let config = Config { ack: Ack::Disk, sync_interval: hour, ..config };
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    assert!(send(&store, "foo", [1.0, 2.0]).is_ok());
    let (after, _) = reopen(&config, &disk.crash(1, Loss::Unsynced));
    assert_eq!(values(&after, "foo"), [1.0, 2.0], "nothing else was synced within the hour");
    drop(after);
    disk.fail(Fault::always(Call::Sync, EIO).within(".wal"));
    let outcome = send(&store, "foo", [3.0]);
    assert_eq!((outcome.unknown, outcome.refused), (true, vec![]), "neither stored for good nor refused");
    disk.heal();
    assert!(send(&store, "foo", [4.0]).is_ok(), "another file takes over");
}

#[test]
fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (_store, _) = open(&config);
    let second = Store::open(&config, Arc::new(sereno_runtime::RealDisk), clock(), &Metrics::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
}

#[test]
fn nobody_waits_for_the_next_commit_of_someone_else() {
    // A batch that came while the writer's thread held the seat to sync was once answered only when the next one came.
    let directory = tempfile::tempdir().unwrap();
    let config = Config { sync_interval: std::time::Duration::ZERO, ..config(directory.path()) };
    let (store, _) = open(&config);
    for value in 0..20_000 {
        assert!(
            send(&store, "foo", [f64::from(value)]).is_ok(),
            "each is answered without another behind it"
        );
    }
    assert_eq!(values(&store, "foo").len(), 20_000);
}

#[test]
fn a_flush_waits_until_the_log_is_read_back() {
    // A flush called while the log was being read back wrote down that everything before it was in segments, so the next
    // start did not read what had not been read back.
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let open =
        |disk: &SimDisk| Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    let at = |store: &Store, value| {
        Row::at(store.series(&key("foo")).unwrap(), NOW - std::time::Duration::from_secs(1), value)
    };
    let store = open(&disk);
    assert!(send(&store, "foo", [1.0]).is_ok());
    assert!(store.append(vec![at(&store, 2.0)]).wait().is_ok());
    drop(store);
    disk.fail(Fault::always(Call::Read, EIO).within(".wal"));
    let store = open(&disk);
    let row = at(&store, 3.0);
    assert!(store.append(vec![row]).wait().is_ok(), "writes are taken at once");
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| store.flush());
        // Reading is tried again after a second, and a flush that does not wait is through long before.
        while !flush.is_finished() && store.stats().recovering {
            disk.heal();
            std::thread::yield_now();
        }
        flush.join().unwrap().unwrap();
    });
    let (after, _) = reopen(&config, &disk);
    let mut found = values(&after, "foo");
    found.sort_by(f64::total_cmp);
    assert_eq!(found, [1.0, 3.0], "the old log is there, and does not replace what is newer");
}

#[test]
fn a_store_that_is_dropped_answers_who_waits_for_the_disk() {
    // The thread that syncs ended without answering, and the caller waited for ever.
    for _ in 0..50 {
        let (config, disk) = (config(Path::new("/store")), SimDisk::new());
        let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
        let foo = store.series(&key("foo")).unwrap();
        let waits = store.append_with(vec![Row::now(foo, 1.0)], Ack::Disk);
        drop(store);
        assert!(waits.wait().is_ok());
        assert_eq!(values(&reopen(&config, &disk.crash(1, Loss::Unsynced)).0, "foo"), [1.0]);
    }
}

#[test]
fn a_day_that_could_not_be_read_is_merged_when_it_can() {
    // A read that failed was taken for damage, and the day was left alone until the next start.
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    for value in [1.0, 2.0] {
        assert!(send(&store, "foo", [value]).is_ok());
        store.flush().unwrap();
    }
    disk.fail(Fault::always(Call::Read, EIO).within("segments"));
    assert!(store.compact().is_err());
    disk.heal();
    store.compact().unwrap();
    assert_eq!(store.stats().segments().segments, 1);
    assert_eq!(values(&store, "foo"), [1.0, 2.0]);
}

#[test]
fn a_closing_mark_that_finds_no_room_is_no_failed_sync() {
    let (config, disk, metrics) = (config(Path::new("/store")), SimDisk::new(), Metrics::default());
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &metrics).unwrap();
    assert!(send(&store, "foo", [1.0]).is_ok());
    disk.fail(Fault::always(Call::Append, ENOSPC).part(Part::Half));
    store.close();
    assert_eq!(metrics.counter("wal_sync_failures_total", &[]).get(), 0);
    let (after, recovery) = reopen(&config, &disk.crash(1, Loss::Unsynced));
    assert_eq!((values(&after, "foo"), recovery.is_damaged()), (vec![1.0], false));
}

#[test]
fn what_a_failed_write_left_is_cut_off_as_soon_as_it_can() {
    // A frame that was written although the call failed, and could not be cut off, was read back by the next start.
    let (config, disk) = (config(Path::new("/store")), SimDisk::new());
    let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
    assert!(send(&store, "foo", [1.0]).is_ok());
    disk.fail(Fault::nth(Call::Append, 1, EIO).part(Part::All));
    disk.fail(Fault::nth(Call::Truncate, 1, EIO));
    assert_eq!(send(&store, "foo", [2.0]).refused, [(0, Refusal::DiskFailed)]);
    assert!(send(&store, "foo", [3.0]).is_ok());
    store.close();
    assert_eq!(values(&reopen(&config, &disk).0, "foo"), [1.0, 3.0]);
}
