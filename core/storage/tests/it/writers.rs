//! The number of writers may change at every start: no file is touched, no answer changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sereno_runtime::sim_disk::SimDisk;
use sereno_storage::{Config, Row, Store};

use crate::journal::open_on;
use crate::power::{busy_config, disk_with_directory};
use crate::{NOW, clock, dump, key};

fn append(store: &Store, round: u64) {
    for batch in 0..20 {
        let row = |n: u64| {
            let id = store.series(&key(&format!(r#"m{{n="{n}"}}"#))).unwrap();
            // Late and replacing ones too.
            let time = NOW - Duration::from_secs((batch * 7 + n) % 50) - Duration::from_secs(round % 2);
            Row::at(id, time, (round * 1_000 + batch * 10 + n) as f64)
        };
        assert!(store.append((0..30).map(row).collect()).wait().is_ok());
    }
}

fn files(disk: &SimDisk, end: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == end)).collect()
}

#[test]
fn files_stay_as_they_are_whoever_reads_them() {
    for is_closed in [true, false] {
        let disk = disk_with_directory();
        let mut config = Config { writers: 1, queues: 8, ..busy_config() };
        let (mut store, _) = open_on(&config, &disk, clock());
        append(&store, 0);
        store.flush().unwrap();
        append(&store, 1);
        for (round, writers) in (2..).zip([4, 2, 8, 1]) {
            let before = dump(&store.snapshot());
            if is_closed {
                store.close();
            }
            drop(store);
            let (segments, logs) = (files(&disk, "seg"), files(&disk, "wal"));
            config = Config { writers, ..config };
            store = open_on(&config, &disk, clock()).0;
            assert_eq!(dump(&store.snapshot()), before, "{writers} writers");
            append(&store, round);
            for (path, bytes) in &logs {
                let now = &files(&disk, "wal")[path];
                // One that was not closed is, with a mark at its end.
                assert!(now.starts_with(bytes) && (!is_closed || now == bytes), "{}", path.display());
            }
            let after = dump(&store.snapshot());
            if round % 2 == 0 {
                store.flush().unwrap();
                assert!(files(&disk, "wal").keys().all(|path| !logs.contains_key(path)), "it is in segments");
            }
            assert_eq!(dump(&store.snapshot()), after);
            let now = files(&disk, "seg");
            assert!(segments.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "sealed is sealed");
        }
    }
}
