//! Writes end as stored or refused, whatever the disk does.

use std::sync::Arc;

use sereno_runtime::Metrics;
use sereno_storage::{Config, OpenError, Refusal, Row, Store};

use crate::disk::FailingDisk;
use crate::{clock, config, key, open, send, values};

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
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (store, _) = open(&config);
    assert!(send(&store, "foo", [1.0, 2.0]).is_ok());
    // The process is gone without a word: the lock is released with its descriptors, here by a copy of the files.
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(directory.path()).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let copied = copy.path().join(directory.path().file_name().unwrap());
    let (again, _) = open(&Config { directory: copied, ..config });
    assert_eq!(values(&again, "foo"), [1.0, 2.0]);
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    for truncate_works in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (config, disk) = (config(directory.path()), FailingDisk::default());
        let open = || Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default()).unwrap();
        let (store, _) = open();
        assert!(send(&store, "foo", [1.0]).is_ok());
        if !truncate_works {
            disk.refuse_truncate();
        }
        disk.fill(true);
        assert_eq!(send(&store, "foo", [2.0, 3.0]).refused, [(0, Refusal::DiskFull), (1, Refusal::DiskFull)]);
        assert_eq!(send(&store, "new", [2.0]).refused, [(0, Refusal::DiskFull)]);
        assert_eq!(values(&store, "foo"), [1.0], "queries go on, and see nothing that was refused");
        disk.fill(false);
        assert!(send(&store, "foo", [4.0]).is_ok(), "no restart is needed");
        assert!(send(&store, "new", [5.0]).is_ok(), "the definition that was refused is written again");
        drop(store);
        let (store, recovery) = crate::open(&config);
        assert!(!recovery.is_damaged(), "{recovery:?}");
        assert_eq!((values(&store, "foo"), values(&store, "new")), (vec![1.0, 4.0], vec![5.0]));
    }
}

#[test]
fn after_a_failed_sync_the_file_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let metrics = Metrics::default();
    let config = Config { sync_interval: std::time::Duration::ZERO, ..config(directory.path()) };
    let (store, _) = Store::open(&config, Arc::new(disk.clone()), clock(), &metrics).unwrap();
    disk.fail_sync(true);
    assert!(send(&store, "foo", [1.0]).is_ok());
    let failures = metrics.counter("wal_sync_failures_total", &[]);
    while failures.get() == 0 {
        std::thread::yield_now();
    }
    disk.fail_sync(false);
    assert!(send(&store, "foo", [2.0]).is_ok());
    store.close();
    let files = std::fs::read_dir(directory.path().join("wal")).unwrap().count();
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
    let directory = tempfile::tempdir().unwrap();
    let config = Config { series_max: 1, head_bytes_max: 48, ..config(directory.path()) };
    let (store, _) = open(&config);
    assert!(send(&store, "foo", [1.0, 2.0]).is_ok());
    assert_eq!(send(&store, "foo", [3.0]).refused, [(0, Refusal::MemoryFull)]);
    let error = store.series(&key("bar")).unwrap_err().to_string();
    assert!(error.contains("`bar` is refused; raise `storage.series_max`"), "{error}");
    store.close();
    drop(store);
    let (store, _) = open(&config);
    store.close();
    assert_eq!(send(&store, "foo", [3.0]).refused.len(), 1, "a closed store refuses");
}

#[test]
fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (_store, _) = open(&config);
    let second = Store::open(&config, Arc::new(FailingDisk::default()), clock(), &Metrics::default());
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
