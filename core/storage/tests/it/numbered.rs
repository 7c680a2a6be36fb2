//! A batch that is sent again is stored once; each reason why it might not be, for itself. Lives: `resend`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Selector, TimeRange};
use sereno_runtime::Metrics;
use sereno_runtime::sim_disk::{Call, EIO, Fault, Loss};
use sereno_storage::{Ack, BatchId, Config, Numbered, Refusal, Row, Selection, Snapshot, Store};

use crate::journal::{DAY, open_on};
use crate::power::{busy_config, disk_with_directory};
use crate::{NOW, clock, key, values};

fn number(number: u64, resent: bool) -> Numbered {
    Numbered { id: BatchId { client: 7, number }, resent, places: None }
}

/// Values for `foo`, stamped by the store.
fn rows(store: &Store, values: &[f64]) -> Vec<Row> {
    let id = store.series(&key("foo")).expect("room for a series");
    values.iter().map(|value| Row::now(id, *value)).collect()
}

#[test]
fn while_the_log_is_read_back_nobody_knows_and_afterwards_everybody() {
    let (disk, config) = (disk_with_directory(), busy_config());
    let (store, _) = open_on(&config, &disk, clock());
    assert!(store.append_numbered(rows(&store, &[1.0, 2.0]), Ack::Os, number(1, false)).wait().is_ok());
    drop(store);
    disk.fail(Fault::always(Call::Read, EIO).within(".wal"));
    let clock = clock();
    clock.advance(Duration::from_secs(1));
    let store = Store::open(&config, Arc::new(disk.clone()), clock, &Metrics::default()).unwrap();
    let again = |value: &[f64]| store.append_numbered(rows(&store, value), Ack::Os, number(1, true)).wait();
    assert_eq!(again(&[1.0, 2.0]).refused, [(0, Refusal::Recovering), (1, Refusal::Recovering)]);
    let fresh = store.append_numbered(rows(&store, &[3.0]), Ack::Os, number(2, false)).wait();
    assert!(fresh.is_ok(), "one that is new is taken at once");
    let mut selection = Selection::new(Selector::exact("foo"));
    let mut select = |snapshot: &Snapshot| {
        let found = selection.series(snapshot, TimeRange::ALL);
        found.map(|(series, changed)| (series.len(), changed)).map_err(|error| error.to_string())
    };
    let early = store.snapshot();
    assert!(early.recovering() && select(&early).is_err(), "nothing can be told yet");
    assert_eq!((store.refused_batches(), store.refusing_since()), (1, None), "the new one was stored since");
    disk.heal();
    let _recovery = store.wait_recovered();
    assert!(!store.snapshot().recovering());
    assert_eq!(select(&store.snapshot()), Ok((1, true)));
    assert!(early.recovering() && select(&early).is_err(), "a snapshot stays as it is");
    assert_eq!(select(&store.snapshot()), Ok((1, false)));
    let outcome = again(&[1.0, 2.0]);
    assert_eq!((outcome.repeated, outcome.is_ok()), (2, true));
    let outcome = store.append_numbered(rows(&store, &[3.0]), Ack::Os, number(2, true)).wait();
    assert_eq!((outcome.repeated, outcome.is_ok()), (1, true));
    assert_eq!(values(&store, "foo"), [1.0, 2.0, 3.0]);
}

#[test]
fn a_batch_is_remembered_through_flushes_and_restarts_without_another() {
    // What the log remembered went with its files.
    let (disk, config) = (disk_with_directory(), busy_config());
    let (mut store, _) = open_on(&config, &disk, clock());
    assert!(store.append_numbered(rows(&store, &[1.0]), Ack::Os, number(1, false)).wait().is_ok());
    for round in 0..4 {
        store.flush().unwrap();
        if round % 2 == 0 {
            store.close();
        }
        drop(store);
        store = open_on(&config, &disk, clock()).0;
        let outcome = store.append_numbered(rows(&store, &[1.0]), Ack::Disk, number(1, true)).wait();
        assert_eq!((outcome.repeated, outcome.is_ok()), (1, true), "round {round}");
        let files = disk.files();
        let logs = files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "wal"));
        assert!(logs.map(|(_, bytes)| bytes.len()).sum::<usize>() < 1_000, "it does not pile up");
    }
    assert_eq!(values(&store, "foo"), [1.0]);
    let memory = |number: u64| {
        let rows = rows(&store, &[number as f64]);
        let outcome = store.append_numbered(rows, Ack::Os, self::number(number, true)).wait();
        (outcome.repeated, outcome.refused.first().map(|(_, why)| *why))
    };
    for number in 2..=1_025 {
        assert_eq!(memory(number), (0, None));
    }
    assert_eq!(memory(1), (0, Some(Refusal::Forgotten)));
    assert_eq!(memory(2), (1, None), "the last 1,024 are known");
    store.flush().unwrap();
    drop(store);
    let (store, _) = open_on(&config, &disk, clock());
    let outcome = store.append_numbered(rows(&store, &[1.0]), Ack::Os, number(1, true)).wait();
    assert_eq!(outcome.refused, [(0, Refusal::Forgotten)], "that too is remembered");
    assert_eq!(values(&store, "foo").len(), 1_025);
}

#[test]
fn a_number_that_comes_late_for_the_first_time_is_taken() {
    // Batches to one writer may be through before earlier ones to another, which is slow.
    let (disk, config) = (disk_with_directory(), busy_config());
    let (store, _) = open_on(&config, &disk, clock());
    let send = |value, number| store.append_numbered(rows(&store, &[value]), Ack::Os, number).wait();
    assert!(send(1.0, number(5_000, false)).is_ok());
    assert!(send(2.0, number(3, false)).is_ok());
    assert_eq!(send(2.0, number(3, true)).refused, [(0, Refusal::Forgotten)]);
    assert_eq!(values(&store, "foo"), [1.0, 2.0]);
}

#[test]
fn what_is_stored_is_not_refused_for_want_of_room_or_age() {
    let (disk, clock) = (disk_with_directory(), clock());
    let config = Config { queue_samples_max: 3, retention: 10 * DAY, writers: 1, ..busy_config() };
    let (store, _) = open_on(&config, &disk, clock.clone());
    let foo = store.series(&key("foo")).unwrap();
    let rows: Vec<Row> =
        (0..5_u32).map(|n| Row::at(foo, NOW + Duration::from_secs(n.into()), n.into())).collect();
    let send = |resent| store.append_numbered(rows.clone(), Ack::Os, number(1, resent)).wait();
    assert_eq!(send(false).refused, [(3, Refusal::QueueFull), (4, Refusal::QueueFull)]);
    let outcome = send(true);
    assert_eq!((outcome.repeated, outcome.is_ok()), (3, true), "what is stored takes no room");
    clock.advance(20 * DAY);
    store.expire().unwrap();
    assert!(store.append(rows.clone()).wait().refused.iter().all(|(_, why)| *why == Refusal::TooOld));
    let outcome = send(true);
    assert_eq!((outcome.repeated, outcome.is_ok()), (5, true));
    let more = Numbered { places: Some(vec![4, 5]), ..number(1, true) };
    let outcome = store.append_numbered(rows[3..].to_vec(), Ack::Os, more).wait();
    assert_eq!(outcome.refused, [(1, Refusal::TooOld)], "what is not stored is measured");
}

#[test]
fn series_that_were_given_up_since_do_not_bring_a_sample_again() {
    let (disk, clock) = (disk_with_directory(), clock());
    let hour = Duration::from_secs(3_600);
    let config = Config { series_idle: hour, writers: 1, retention: Duration::ZERO, ..busy_config() };
    let (store, _) = open_on(&config, &disk, clock.clone());
    let old = rows(&store, &[1.0, 2.0]);
    assert!(store.append_numbered(old[..1].to_vec(), Ack::Os, number(1, false)).wait().is_ok());
    for _ in 0..3 {
        let bar = store.series(&key("bar")).unwrap();
        assert!(store.append(vec![Row::now(bar, 0.0)]).wait().is_ok());
        store.flush().unwrap();
        clock.advance(2 * hour);
    }
    let outcome = store.append_numbered(old, Ack::Os, number(1, true)).wait();
    assert_eq!((outcome.repeated, outcome.refused), (1, vec![(1, Refusal::Retired)]));
    let rest = Numbered { places: Some(vec![1]), ..number(1, true) };
    assert!(store.append_numbered(rows(&store, &[2.0]), Ack::Os, rest).wait().is_ok());
    assert_eq!(values(&store, "foo"), [1.0, 2.0]);
}

#[test]
fn what_was_not_synced_is_not_called_durable_because_it_is_known() {
    let (disk, config) = (disk_with_directory(), Config { writers: 1, ..busy_config() });
    let (store, _) = open_on(&config, &disk, clock());
    let send = |ack, resent| store.append_numbered(rows(&store, &[1.0]), ack, number(1, resent)).wait();
    assert!(send(Ack::Os, false).is_ok());
    assert_eq!(send(Ack::Disk, true).repeated, 1);
    let (after, _) = open_on(&config, &disk.crash(1, Loss::Unsynced), clock());
    assert_eq!(values(&after, "foo"), [1.0]);
    drop(after);
    let send = |ack, resent| store.append_numbered(rows(&store, &[2.0]), ack, number(2, resent)).wait();
    disk.fail(Fault::nth(Call::Sync, 1, EIO).within(".wal"));
    assert!(send(Ack::Disk, false).unknown);
    let outcome = send(Ack::Disk, true);
    assert!(outcome.unknown && outcome.repeated == 1, "another file was synced: {outcome:?}");
    store.flush().unwrap();
    let outcome = send(Ack::Disk, true);
    assert!(outcome.is_ok() && outcome.repeated == 1, "{outcome:?}");
    let (after, _) = open_on(&config, &disk.crash(1, Loss::Unsynced), clock());
    assert_eq!(values(&after, "foo"), [1.0, 2.0]);
}

#[test]
fn a_batch_without_a_number_is_written_as_ever() {
    let log = |numbered: bool| {
        let (disk, config) = (disk_with_directory(), Config { writers: 1, ..busy_config() });
        disk.write_file(
            "/store/STORE",
            &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/store-v2/STORE"))
                .unwrap(),
        );
        let (store, _) = open_on(&config, &disk, clock());
        let rows = rows(&store, &[1.0, 2.0]);
        let append = match numbered {
            true => store.append_numbered(rows, Ack::Os, number(1, false)),
            false => store.append(rows),
        };
        assert!(append.wait().is_ok());
        let files = disk.files();
        files.into_iter().find(|(path, _)| path.extension().is_some_and(|end| end == "wal")).unwrap().1
    };
    let (plain, numbered) = (log(false), log(true));
    // Header, the definition of `foo`, a commit of one run of two samples.
    assert_eq!(plain.len(), 64 + (12 + 4 + 12 + 3) + (12 + 12 + 16 + 2 * 20));
    assert_eq!(numbered.len(), plain.len() + 4 + 8 + 1 + 3, "a tag of one run");
}
