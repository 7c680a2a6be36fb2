//! What earlier programs remembered of numbered batches is known for ever: `testdata/wal-v3`.

use std::fs;
use std::path::Path;

use sereno_storage::{Ack, BatchId, Numbered, Outcome, Refusal, Row, Store};

use crate::golden::{answers_of, check, copy, open, testdata, version_of, versions_in};
use crate::key;

/// In segments, as the memory tells; and only in the log.
const SEALED: std::ops::RangeInclusive<u64> = 1..=6;
const LOGGED: std::ops::RangeInclusive<u64> = 7..=9;
/// A client that has got so far that nothing is known of its first batches.
const FAR: BatchId = BatchId { client: u64::MAX, number: 5_000 };

/// Batch `number` has as many samples, of as many series.
fn send(store: &Store, id: BatchId, places: Option<Vec<u32>>, resent: bool) -> Outcome {
    let row = |n: u64| {
        let series = store.series(&key(&format!(r#"batch{{n="{n}"}}"#))).unwrap();
        Row::now(series, (id.number * 100 + n) as f64)
    };
    let all = (0..id.number.min(9)).map(row);
    let rows = match &places {
        Some(places) => {
            all.enumerate().filter(|(n, _)| places.contains(&(*n as u32))).map(|(_, row)| row).collect()
        }
        None => all.collect(),
    };
    store.append_numbered(rows, Ack::Os, Numbered { id, resent, places }).wait()
}

#[test]
fn what_version_3_of_the_log_remembers_is_known_for_ever() {
    let golden = testdata("wal-v3");
    assert_eq!(version_of(&golden.join("STORE")), 2);
    assert_eq!(versions_in(&golden.join("wal")), [3, 3]);
    assert_eq!(versions_in(&golden.join("manifest")).last(), Some(&2));
    let recovery = check("wal-v3", |_, store| {
        for number in SEALED.chain(LOGGED) {
            // Of one batch the last samples were never sent.
            let stored = if number == 5 { Some(vec![0, 1, 3]) } else { None };
            let count = stored.as_ref().map_or(number, |places| places.len() as u64);
            let outcome = send(store, BatchId { client: 7, number }, stored, true);
            assert_eq!((u64::from(outcome.repeated), outcome.is_ok()), (count, true), "batch {number}");
        }
        assert_eq!(send(store, FAR, None, true).repeated, 9);
        let outcome = send(store, BatchId { number: 3, ..FAR }, None, true);
        assert!(outcome.refused.iter().all(|(_, why)| *why == Refusal::Forgotten), "{outcome:?}");
    });
    assert_eq!(recovery.files, 2);
}

#[test]
#[ignore = "made the golden store once; a store of a later version gets a folder of its own"]
fn make() {
    let target = std::env::var_os("SERENO_GOLDEN_TARGET").expect("a folder that does not exist yet");
    let target = Path::new(&target);
    assert!(!target.exists(), "golden stores are never written again");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = open(&path, 2).0;
    for number in SEALED {
        let places = (number == 5).then(|| vec![0, 1, 3]);
        assert!(send(&store, BatchId { client: 7, number }, places, false).is_ok());
    }
    assert!(send(&store, FAR, None, false).is_ok());
    store.flush().unwrap();
    for number in LOGGED {
        assert!(send(&store, BatchId { client: 7, number }, None, false).is_ok());
    }
    // As a process leaves it that is killed.
    copy(&path, target);
    fs::write(target.join("expected.txt"), answers_of(&store)).unwrap();
}
