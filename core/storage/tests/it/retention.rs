//! What is deleted, and what never is: by age, by size, whatever the wall clock does; and ids that are given up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::ManualClock;
use sereno_runtime::sim_disk::SimDisk;
use sereno_storage::{Config, Refusal, Row, Store};

use crate::journal::{DAY, open_on};
use crate::power::disk_with_directory;
use crate::{NOW, clock, config, dump, key, values};

const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

fn by_age() -> Config {
    Config { retention: 10 * DAY, flush_interval: 10 * YEARS, ..config(Path::new("/store")) }
}

/// A sample for each of so many days up to today, the value saying how many days ago; each day in a segment.
fn fill(store: &Store, days: u32) {
    for name in ["foo", "bar"] {
        let id = store.series(&key(name)).unwrap();
        let rows = (0..days).rev().map(|ago| Row::at(id, NOW - DAY * ago, f64::from(ago)));
        assert!(store.append(rows.collect()).wait().is_ok());
    }
    store.flush().unwrap();
}

fn days_kept(store: &Store) -> Vec<f64> {
    let kept = values(store, "foo");
    assert_eq!(values(store, "bar"), kept);
    kept
}

fn at(time: Timestamp) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(time))
}

fn segments(disk: &SimDisk) -> usize {
    disk.files().keys().filter(|path| path.starts_with("/store/segments")).count()
}

#[test]
fn a_clock_that_jumped_deletes_nothing_and_a_clock_that_went_on_does() {
    let (disk, config, clock) = (disk_with_directory(), by_age(), clock());
    let (store, _) = open_on(&config, &disk, clock.clone());
    fill(&store, 4);
    clock.step_to(NOW + YEARS);
    for _ in 0..3 {
        store.expire().unwrap();
        clock.advance(Duration::from_secs(600));
    }
    assert_eq!(days_kept(&store), [3.0, 2.0, 1.0, 0.0]);
    // What was trusted before the jump is in the manifest, and in the one before it.
    drop(store);
    let damaged = disk.kill();
    let newest =
        damaged.files().into_keys().filter(|path| path.starts_with("/store/manifest")).max().unwrap();
    damaged.flip(newest, 50, 1);
    let lost = disk.kill();
    for path in lost.files().into_keys().filter(|path| path.starts_with("/store/manifest")) {
        sereno_runtime::Disk::remove(&lost, &path).unwrap();
    }
    for disk in [disk.kill(), damaged, lost] {
        let clock = at(NOW + YEARS);
        let (store, _) = open_on(&config, &disk, clock.clone());
        store.expire().unwrap();
        assert_eq!(days_kept(&store), [3.0, 2.0, 1.0, 0.0], "also after a restart");
        clock.advance(DAY + Duration::from_secs(1));
        store.expire().unwrap();
        assert!(days_kept(&store).is_empty(), "what stands for a day is believed");
        assert_eq!(segments(&disk), 0);
    }
}

#[test]
fn days_go_when_they_are_old_enough() {
    let (disk, config, clock) = (disk_with_directory(), by_age(), clock());
    let (store, _) = open_on(&config, &disk, clock.clone());
    fill(&store, 4);
    clock.advance(6 * DAY);
    store.expire().unwrap();
    assert_eq!(days_kept(&store).len(), 4, "none is ten days old");
    for left in (0..4).rev() {
        clock.advance(DAY);
        store.expire().unwrap();
        // A day goes as a whole, once its end is old enough.
        let expected: Vec<f64> = (0..=left).rev().map(f64::from).collect();
        assert_eq!(days_kept(&store), expected);
    }
    let foo = store.series(&key("foo")).unwrap();
    let late = store.append(vec![Row::at(foo, NOW - DAY, 1.0), Row::at(foo, NOW, 7.0)]).wait();
    assert_eq!(late.refused, [(0, Refusal::TooOld)], "it would be deleted at once");
}

#[test]
fn the_oldest_days_go_when_there_is_too_much_and_the_newest_stays() {
    let (disk, clock) = (disk_with_directory(), clock());
    let whole = {
        let (store, _) = open_on(&by_age(), &disk, clock.clone());
        fill(&store, 5);
        store.stats().segments().bytes
    };
    for (limit, left) in [(whole, 5), (whole - 1, 4), (whole / 2, 2), (1, 1)] {
        let config = Config { retention_bytes: limit, retention: Duration::ZERO, ..by_age() };
        let disk = disk.kill();
        let (store, _) = open_on(&config, &disk, clock.clone());
        store.expire().unwrap();
        let expected: Vec<f64> = (0..left).rev().map(f64::from).collect();
        assert_eq!(days_kept(&store), expected, "{limit} bytes of {whole}");
        assert!(left == 1 || store.stats().segments().bytes <= limit);
    }
}

#[test]
fn a_snapshot_reads_what_was_deleted_and_merged_since() {
    let (disk, config, clock) = (disk_with_directory(), by_age(), clock());
    let (store, _) = open_on(&config, &disk, clock.clone());
    fill(&store, 4);
    let foo = store.series(&key("foo")).unwrap();
    assert!(store.append(vec![Row::at(foo, NOW, 50.0), Row::at(foo, NOW - 3 * DAY, 53.0)]).wait().is_ok());
    let in_head = store.snapshot();
    store.flush().unwrap();
    let in_segments = store.snapshot();
    let before = dump(&in_head);
    assert_eq!(dump(&in_segments), before);
    store.compact().unwrap();
    let merged = store.snapshot();
    let files = segments(&disk);
    clock.advance(9 * DAY);
    store.expire().unwrap();
    assert_eq!(segments(&disk), files, "they are removed when nobody can read them any more");
    assert!(dump(&store.snapshot()) != before, "days are gone");
    assert_eq!(dump(&in_head), before);
    assert_eq!(dump(&in_segments), before);
    assert_eq!(dump(&merged), before);
    let held = segments(&disk);
    drop((in_head, in_segments, merged));
    assert!(segments(&disk) < held, "files go with the last who may read them");
    assert_eq!(segments(&disk) as u64, store.stats().segments().segments);
}

#[test]
fn a_series_that_was_quiet_gets_a_new_id_and_keeps_its_samples() {
    let (disk, clock) = (disk_with_directory(), clock());
    let hour = Duration::from_secs(3_600);
    let config = Config { series_idle: hour, flush_interval: 10 * YEARS, ..config(Path::new("/store")) };
    let (store, _) = open_on(&config, &disk, clock.clone());
    let id = |name| store.series(&key(name)).unwrap();
    let (foo, bar) = (id("foo"), id("bar"));
    let time = |n: u64| NOW - Duration::from_secs(n);
    assert!(store.append(vec![Row::at(foo, time(3), 1.0), Row::at(foo, time(2), 2.0)]).wait().is_ok());
    store.flush().unwrap();
    clock.advance(2 * hour);
    assert!(store.append(vec![Row::at(bar, time(1), 3.0)]).wait().is_ok());
    assert_eq!(store.stats().series, 2, "nothing is given up before a flush");
    store.flush().unwrap();
    assert_eq!(store.stats().series, 1, "the one that was quiet");
    let rows = vec![Row::at(bar, time(1), 4.0), Row::at(foo, time(1), 5.0), Row::now(foo, 6.0)];
    assert_eq!(store.append(rows).wait().refused, [(1, Refusal::Retired), (2, Refusal::Retired)]);
    assert_eq!((values(&store, "foo"), values(&store, "bar")), (vec![1.0, 2.0], vec![4.0]));
    let again = id("foo");
    assert_ne!(again, foo);
    assert_eq!(id("foo"), again);
    assert!(store.append(vec![Row::at(again, time(2), 7.0), Row::at(again, time(1), 8.0)]).wait().is_ok());
    assert_eq!(store.append(vec![Row::at(foo, time(1), 5.0)]).wait().refused, [(0, Refusal::Retired)]);
    let merged = vec![1.0, 7.0, 8.0];
    let check =
        |store: &Store| assert_eq!((values(store, "foo"), values(store, "bar")), (merged.clone(), vec![4.0]));
    check(&store);
    check(&open_on(&config, &disk.kill(), clock.clone()).0);
    store.flush().unwrap();
    check(&store);
    store.compact().unwrap();
    check(&store);
    check(&open_on(&config, &disk.kill(), clock.clone()).0);
    assert_eq!(store.stats().series, 2, "neither has been quiet since");
}

#[test]
fn the_first_and_the_last_times_there_are_can_be_kept() {
    let (disk, clock) = (disk_with_directory(), at(Timestamp::MAX - Duration::from_secs(3_600)));
    let config = config(Path::new("/store"));
    let (store, _) = open_on(&config, &disk, clock.clone());
    let foo = store.series(&key("foo")).unwrap();
    let near = Duration::from_nanos(1);
    let times = [
        Timestamp::MIN + near,
        Timestamp::MIN + near * 2,
        Timestamp::MIN + DAY,
        Timestamp::from_nanos(-1),
        Timestamp::from_nanos(0),
        Timestamp::MAX - 2 * DAY,
        Timestamp::MAX - Duration::from_secs(3_600) - near,
        Timestamp::MAX - Duration::from_secs(3_600),
    ];
    let check = |store: &Store, count: usize| {
        let series = crate::select(&store.snapshot(), "foo");
        let read: Vec<_> = crate::read(&series[0]).iter().map(|sample| sample.time).collect();
        assert_eq!(read, times[..count]);
        let mut folded = 0;
        let windows = sereno_storage::Windows::one(sereno_model::TimeRange::ALL);
        let reads = &mut sereno_storage::Reads::default();
        series[0].fold(windows, sereno_storage::Want::All, reads, |_, all| folded += all.count).unwrap();
        assert_eq!(folded, count as u64);
    };
    for (index, time) in times.iter().enumerate() {
        assert!(store.append(vec![Row::at(foo, *time, 1.0)]).wait().is_ok());
        check(&store, index + 1);
        store.flush().unwrap();
        check(&store, index + 1);
    }
    store.compact().unwrap();
    check(&store, times.len());
    store.expire().unwrap();
    check(&open_on(&config, &disk.kill(), clock).0, times.len());
}
