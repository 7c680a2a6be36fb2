//! The same snapshot gives the same bits, whatever is written meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_storage::{Row, Store};

use crate::{NOW, clock, config, dump, key, open, open_at, send};

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
    let series = snapshot.select(&Selector::exact("foo"));
    assert_eq!(series[0].read(TimeRange::ALL).len(), 3);
    assert!(snapshot.time() > NOW);
    assert!(send(&store, "foo", [4.0]).is_ok());
    assert_eq!(series[0].read(TimeRange::ALL).len(), 3, "what came after the cut is not seen");
    assert_eq!(store.snapshot().select(&Selector::exact("foo"))[0].read(TimeRange::ALL).len(), 4);
}

#[test]
fn series_are_selected_by_the_cut_and_read_by_the_range() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(&config(directory.path()));
    let before = store.snapshot();
    let id = store.series(&key(r#"cpu{host="a"}"#)).unwrap();
    assert!(store.snapshot().select(&Selector::exact("cpu")).is_empty(), "no sample yet, so no series");
    let at = |millis| Timestamp::from_millis(millis);
    assert!(store.append([3, 1, 2].map(|n| Row::at(id, at(n), n as f64)).to_vec()).wait().is_ok());
    assert!(before.select(&Selector::exact("cpu")).is_empty());
    let series = &store.snapshot().select(&r#"c*{host=~"a|b"}"#.parse().unwrap())[0];
    let read = |start, end| {
        series.read(TimeRange::new(at(start), at(end))).iter().map(|s| s.value).collect::<Vec<_>>()
    };
    assert_eq!(read(1, 3), [1.0, 2.0], "the end lies outside");
    assert_eq!(read(3, 4), [3.0]);
    assert_eq!(series.last_before(at(3)).unwrap().value, 2.0);
    assert_eq!(series.last_before(at(1)), None);
}
