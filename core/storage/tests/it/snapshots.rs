//! The same snapshot gives the same bits, whatever is written meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sereno_model::{TimeRange, Timestamp};
use sereno_storage::{Config, HOUR_NANOS, Reads, Row, Snapshot, Store, Want, Windows};

use crate::journal::open_on;
use crate::{NOW, clock, config, dump, key, open, open_at, select, send};

fn write_until(store: &Store, stop: &AtomicBool, writer: i64) {
    let ids: Vec<_> = (0..5).map(|n| store.series(&key(&format!(r#"m{{n="{n}"}}"#))).unwrap()).collect();
    let mut round = 0_i64;
    // Bounded, for every look at the store sorts all that was ever written.
    while !stop.load(Ordering::Relaxed) && round < 4_000 {
        round += 1;
        // Late, replacing, and new ones.
        let rows = ids.iter().enumerate().map(|(n, id)| {
            let time = NOW - Duration::from_millis(((round * 7 + n as i64) % 500) as u64);
            Row::at(*id, time, (round * 10 + writer) as f64)
        });
        assert!(store.append(rows.collect()).wait().is_ok());
    }
}

#[test]
fn a_snapshot_never_changes_while_writers_run() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(&config(directory.path()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || write_until(store, stop, writer));
        }
        for _ in 0..20 {
            let snapshot = store.snapshot();
            let first = dump(&snapshot);
            let earlier = NOW - Duration::from_millis(250);
            let at = dump(&snapshot.at(earlier));
            let (mut seen, mut tries) = (first.clone(), 0);
            // Let the writers replace something before looking again.
            while seen == first && tries < 20 {
                seen = dump(&store.snapshot());
                tries += 1;
            }
            assert_eq!(dump(&snapshot), first);
            assert_eq!(dump(&snapshot.at(earlier)), at);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn who_got_ok_sees_its_sample() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, _) = open_at(&config(directory.path()), clock.clone());
    assert!(send(&store, "foo", [1.0, 2.0, 3.0]).is_ok());
    // The third stamp lies 2 ns ahead of the clock, and even a clock that stepped back does not hide it.
    clock.step_to(NOW - Duration::from_secs(3_600));
    let snapshot = store.snapshot();
    let series = select(&snapshot, "foo");
    assert_eq!(series[0].read(TimeRange::ALL, &mut Reads::default()).unwrap().len(), 3);
    assert!(snapshot.time() > NOW);
    assert!(send(&store, "foo", [4.0]).is_ok());
    assert_eq!(
        series[0].read(TimeRange::ALL, &mut Reads::default()).unwrap().len(),
        3,
        "what came after the cut is not seen"
    );
    assert_eq!(
        select(&store.snapshot(), "foo")[0].read(TimeRange::ALL, &mut Reads::default()).unwrap().len(),
        4
    );
}

#[test]
fn series_are_selected_by_the_cut_and_read_by_the_range() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(&config(directory.path()));
    let before = store.snapshot();
    let id = store.series(&key(r#"cpu{host="a"}"#)).unwrap();
    assert!(select(&store.snapshot(), "cpu").is_empty(), "no sample yet, so no series");
    let at = |millis| Timestamp::from_millis(millis);
    assert!(store.append([3, 1, 2].map(|n| Row::at(id, at(n), n as f64)).to_vec()).wait().is_ok());
    assert!(select(&before, "cpu").is_empty());
    let series = &store.snapshot().select(&r#"c*{host=~"a|b"}"#.parse().unwrap(), TimeRange::ALL).unwrap()[0];
    let read = |start, end| {
        series
            .read(TimeRange::new(at(start), at(end)), &mut Reads::default())
            .unwrap()
            .iter()
            .map(|s| s.value)
            .collect::<Vec<_>>()
    };
    assert_eq!(read(1, 3), [1.0, 2.0], "the end lies outside");
    assert_eq!(read(3, 4), [3.0]);
    assert_eq!(series.last_before(at(3), &mut Reads::default()).unwrap().unwrap().value, 2.0);
    assert_eq!(series.last_before(at(1), &mut Reads::default()).unwrap(), None);
}

#[test]
fn the_newest_sample_before_a_time_may_be_in_a_segment_though_a_late_one_is_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(&config(directory.path()));
    let id = store.series(&key("foo")).unwrap();
    let at = |secs: u64| NOW - Duration::from_secs(1_000 - secs);
    let append = |secs, value| assert!(store.append(vec![Row::at(id, at(secs), value)]).wait().is_ok());
    let before = |secs| {
        let series = &select(&store.snapshot(), "foo")[0];
        series.last_before(at(secs), &mut Reads::default()).unwrap().map(|sample| sample.value)
    };
    append(100, 1.0);
    append(200, 2.0);
    store.flush().unwrap();
    append(150, 3.0);
    assert_eq!([100, 101, 151, 200, 201].map(before), [None, Some(1.0), Some(3.0), Some(3.0), Some(2.0)]);
    append(200, 4.0);
    assert_eq!(before(201), Some(4.0), "of one time, what came later counts");
    store.flush().unwrap();
    assert_eq!([151, 201].map(before), [Some(3.0), Some(4.0)]);
    // Days before, in a segment of their own.
    append(0, 5.0);
    let week = Duration::from_secs(7 * 86_400);
    let old = store.series(&key("old")).unwrap();
    assert!(store.append(vec![Row::at(old, NOW - week, 6.0)]).wait().is_ok());
    store.flush().unwrap();
    let series = &store.snapshot().select(&"old".parse().unwrap(), TimeRange::ALL).unwrap()[0];
    let old = |time| series.last_before(time, &mut Reads::default()).unwrap().map(|sample| sample.value);
    assert_eq!((old(NOW), old(NOW + Duration::from_nanos(1))), (Some(6.0), None), "a week and no more");
}

#[test]
fn a_series_can_be_read_outside_the_range_that_it_was_selected_by() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(&config(directory.path()));
    let id = store.series(&key("foo")).unwrap();
    let day = Duration::from_secs(86_400);
    let rows = (0..4).map(|ago| Row::at(id, NOW - day * ago, f64::from(ago)));
    assert!(store.append(rows.collect()).wait().is_ok());
    store.flush().unwrap();
    let second = Duration::from_secs(1);
    assert!(store.append(vec![Row::at(id, NOW - second, 9.0)]).wait().is_ok());
    let days = |from: u32, to: u32| TimeRange::new(NOW - day * from - second, NOW - day * to + second);
    for looked in [days(0, 0), days(1, 1), days(2, 1), days(4, 4), TimeRange::new(NOW, NOW)] {
        let series = &store.snapshot().select(&"foo".parse().unwrap(), looked).unwrap()[0];
        for (range, count) in
            [(days(0, 0), 2), (days(1, 0), 3), (days(3, 1), 3), (days(3, 0), 5), (days(9, 4), 0)]
        {
            let mut reads = Reads::default();
            let measure = series.measure(range, Want::Sum, &mut reads).unwrap();
            let samples = series.read(range, &mut reads).unwrap();
            assert_eq!(
                (measure.summary.count, samples.len()),
                (count, count as usize),
                "{looked:?} {range:?}"
            );
            assert_eq!(measure.newest, samples.last().map(|sample| sample.time));
            let held =
                series.prefetched(looked, &mut reads).unwrap().measure(range, Want::Sum, &mut reads).unwrap();
            assert_eq!(format!("{held:?}"), format!("{measure:?}"), "{looked:?} {range:?}");
        }
    }
}

/// Appends to its own series, looks whether it is there once it is acknowledged, and replaces what was sent for the days
/// before, which retention deletes.
fn write_and_read_back(store: &Store, writer: u64) {
    let name = format!("own{writer}");
    for round in 0..250_u64 {
        let id = store.series(&key(&name)).unwrap();
        let time = NOW - Duration::from_millis(round);
        let mut rows = vec![Row::at(id, time, round as f64)];
        rows.extend(
            (1..40).map(|n| Row::at(id, NOW - Duration::from_secs(86_400 * (n % 3 + 1) + n), round as f64)),
        );
        assert!(store.append(rows).wait().is_ok());
        let series = select(&store.snapshot(), &name);
        let range = TimeRange::new(time, time + Duration::from_nanos(1));
        let read = series[0].read(range, &mut Reads::default()).unwrap();
        assert_eq!(
            read.first().map(|sample| sample.value),
            Some(round as f64),
            "{name}: who got ok sees its sample"
        );
    }
}

/// The folds of every series into hours, and the samples, of a snapshot.
fn everything(snapshot: &Snapshot) -> String {
    let mut all = format!("{:?}", dump(snapshot));
    for series in snapshot.select(&"*".parse().unwrap(), TimeRange::ALL).unwrap() {
        let range = TimeRange::new(NOW - Duration::from_secs(5 * 86_400), NOW + Duration::from_secs(1));
        let windows = Windows::new(range, HOUR_NANOS as u64);
        series
            .fold(windows, Want::All, &mut Reads::default(), |n, hour| all += &format!("{n} {hour:?}"))
            .unwrap();
    }
    all
}

#[test]
fn a_snapshot_never_changes_while_files_come_and_go() {
    let (disk, config) = (crate::power::disk_with_directory(), crate::power::busy_config());
    // Too small for all days.
    let config = Config { retention_bytes: 6_000, retention: Duration::ZERO, ..config };
    let (store, _) = open_on(&config, &disk, clock());
    let running = AtomicUsize::new(2);
    let mut held: Vec<(Snapshot, String)> = Vec::new();
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, running) = (&store, &running);
            scope.spawn(move || {
                write_and_read_back(store, writer);
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            // Bounded, in case a writer fails.
            for _ in (0..2_000).take_while(|_| running.load(Ordering::SeqCst) > 0) {
                store.flush().unwrap();
                store.compact().unwrap();
                store.expire().unwrap();
            }
        });
        for _ in 0..12 {
            let snapshot = store.snapshot();
            let first = everything(&snapshot);
            assert_eq!(everything(&snapshot.clone()), first);
            held.push((snapshot, first));
        }
    });
    store.flush().unwrap();
    store.compact().unwrap();
    store.expire().unwrap();
    store.close();
    for (snapshot, first) in &held {
        assert_eq!(everything(snapshot), *first);
    }
    drop(held);
    let there = disk.files().keys().filter(|path| path.starts_with("/store/segments")).count() as u64;
    assert_eq!(there, store.stats().segments().segments, "nothing is held any longer");
    assert!(there <= 16);
}
