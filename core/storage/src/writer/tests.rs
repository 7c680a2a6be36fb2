//! What happens to batches that come while somebody else holds the seat.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_runtime::sim_disk::{Call, EIO, Fault};
use sereno_runtime::{ManualClock, Metrics, SimDisk};

use super::*;
use crate::batch::{BatchId, Outcome};
use crate::config::Config;
use crate::read::Reads;
use crate::store::Store;

fn open(config: Config) -> Store {
    open_on(&SimDisk::new(), config)
}

fn open_on(disk: &SimDisk, config: Config) -> Store {
    let config = Config { directory: Path::new("/store").to_owned(), ..config };
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    Store::open(&config, Arc::new(disk.clone()), clock, &Metrics::default()).unwrap()
}

fn rows(store: &Store, from: u32, count: u32) -> Vec<Row> {
    let id = store.series(&"foo".parse().unwrap()).unwrap();
    (from..from + count).map(|value| Row::now(id, value.into())).collect()
}

fn numbered(resent: bool) -> Numbered {
    Numbered { id: BatchId { client: 1, number: 1 }, resent, places: None }
}

fn is_open(append: &mut Append) -> bool {
    std::pin::Pin::new(append).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn values(store: &Store) -> Vec<f64> {
    let series = store.snapshot().select(&Selector::exact("foo"), TimeRange::ALL).unwrap();
    let samples = series[0].read(TimeRange::ALL, &mut Reads::default()).unwrap();
    samples.iter().map(|sample| sample.value).collect()
}

/// Has three sendings wait while the seat is taken, the first not sent before; gives what became of them.
fn wait_together(store: &Store, count: u32, acks: [Ack; 3]) -> [Outcome; 3] {
    let writer = store.writer(0);
    let seat = writer.seat();
    let mut sent = [(acks[0], false), (acks[1], true), (acks[2], true)]
        .map(|(ack, resent)| store.append_numbered(rows(store, 0, count), ack, numbered(resent)));
    assert!(sent.iter_mut().all(is_open), "nobody is answered before it is committed");
    drop(seat);
    writer.with_seat(|_| {});
    sent.map(Append::wait)
}

#[test]
fn a_second_sending_knows_nothing_of_a_first_whose_write_failed() {
    // Both were in one commit, and the second was answered as stored because the first was to be.
    let disk = SimDisk::new();
    let store = open_on(&disk, Config { wal_reserve_bytes: 0, ..Config::default() });
    disk.fail(Fault::nth(Call::Append, 2, EIO).within(".wal"));
    let outcomes = wait_together(&store, 3, [Ack::Os; 3]);
    assert_eq!(outcomes[0].refused.len(), 3, "the write after that of the header failed: {outcomes:?}");
    assert_eq!([1, 2].map(|n: usize| (outcomes[n].repeated, outcomes[n].is_ok())), [(0, true), (3, true)]);
    assert_eq!(values(&store), [0.0, 1.0, 2.0]);
}

#[test]
fn a_second_sending_finds_the_first_that_still_waits() {
    // In one commit, and in several: a part has 16,384 rows, a commit ends at 32,768.
    for count in [3, 16_384, 20_000] {
        for acks in [[Ack::Os; 3], [Ack::Disk; 3], [Ack::Os, Ack::Disk, Ack::Os]] {
            let config = Config { queue_samples_max: 1 << 20, ..Config::default() };
            let store = open(config);
            let outcomes = wait_together(&store, count, acks);
            assert!(outcomes.iter().all(Outcome::is_ok), "{count} rows: {outcomes:?}");
            assert_eq!(outcomes.map(|outcome| outcome.repeated), [0, count, count]);
            assert_eq!(values(&store), (0..count).map(f64::from).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_the_first_had_no_room_for_the_second_may_bring() {
    let store = open(Config { queue_samples_max: 5, ..Config::default() });
    let outcomes = wait_together(&store, 7, [Ack::Os; 3]);
    let full = |outcome: &Outcome| outcome.refused.iter().map(|(row, why)| (*row, *why)).collect::<Vec<_>>();
    let over = vec![(5, Refusal::QueueFull), (6, Refusal::QueueFull)];
    // The queue was full already when the others came.
    assert_eq!(outcomes.each_ref().map(full), [over.clone(), over.clone(), over]);
    assert_eq!(outcomes.map(|outcome| outcome.repeated), [0, 5, 5]);
    let again = store.append_numbered(rows(&store, 0, 7), Ack::Os, numbered(true)).wait();
    assert_eq!((again.repeated, again.is_ok()), (5, true));
    assert_eq!(values(&store), (0..7).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_first_sending_that_comes_late_is_not_stored_again() {
    // The client gave the connection up, and what was in it is read after what it sent on another one.
    let store = open(Config::default());
    for (resent, repeated) in [(true, 0), (false, 4), (true, 4)] {
        let outcome = store.append_numbered(rows(&store, 0, 4), Ack::Os, numbered(resent)).wait();
        assert_eq!((outcome.repeated, outcome.is_ok()), (repeated, true));
    }
    assert_eq!(values(&store).len(), 4);
}

#[test]
fn what_waits_and_was_sent_before_is_bounded() {
    let store = open(Config::default());
    let writer = store.writer(0);
    let seat = writer.seat();
    let mut sent: Vec<Append> = (1..=20)
        .map(|number| {
            let numbered = Numbered { id: BatchId { client: 1, number }, ..numbered(true) };
            store.append_numbered(rows(&store, 0, 16_384), Ack::Os, numbered)
        })
        .collect();
    let open = sent.iter_mut().map(is_open).filter(|is_open| *is_open).count();
    assert_eq!(open, RESENT_ROWS_MAX / 16_384);
    drop(seat);
    writer.with_seat(|_| {});
}

#[test]
fn sendings_of_many_threads_are_stored_once() {
    let store = open(Config { writers: 3, queue_samples_max: 1 << 20, ..Config::default() });
    let ids: Vec<SeriesId> =
        (0..8).map(|n| store.series(&format!(r#"foo{{n="{n}"}}"#).parse().unwrap()).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, ids) = (&store, &ids);
            scope.spawn(move || {
                for number in 1..=300_u64 {
                    let row = |n: u64| Row::now(ids[((n + number) % 8) as usize], (number * 20 + n) as f64);
                    let id = BatchId { client: 1, number };
                    let numbered = Numbered { id, resent: thread > 0, places: None };
                    assert!(
                        store.append_numbered((0..20).map(row).collect(), Ack::Os, numbered).wait().is_ok()
                    );
                }
            });
        }
    });
    let series = store.snapshot().select(&Selector::exact("foo"), TimeRange::ALL).unwrap();
    let read = |series: &crate::Series| series.read(TimeRange::ALL, &mut Reads::default()).unwrap();
    let mut found: Vec<u64> = series.iter().flat_map(read).map(|sample| sample.value as u64).collect();
    found.sort_unstable();
    assert_eq!(found, (20..20 * 301).collect::<Vec<_>>());
}
