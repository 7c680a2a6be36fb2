//! The disk is full at every stage, and has room again.

use sereno_runtime::sim_disk::Rng;
use sereno_storage::{Ack, Refusal};

use crate::journal::{After, Journal, Shape, open_on};
use crate::power::{busy_config, disk_with_directory};
use crate::{clock, dump};

#[test]
fn a_full_disk_takes_nothing_and_needs_no_restart() {
    let (disk, config) = (disk_with_directory(), busy_config());
    let (mut rng, mut journal) = (Rng::new(11), Journal::new(&config));
    let (mut store, _) = open_on(&config, &disk, clock());
    let (mut refused_flushes, mut refused_merges) = (0, 0);
    for round in 0..20 {
        let what = format!("round {round}");
        let look = |journal: &Journal, store: &sereno_storage::Store| {
            journal.check(&dump(&store.snapshot()), disk.calls(), After::Kill, &what);
        };
        // Sometimes the log fills the disk, sometimes a segment, or a manifest.
        let room = rng.below([60_000, 6_000, 1_000][round % 3]);
        if round % 3 != 0 {
            let rows = journal.draw(&mut rng, Shape { rows: 400, days: 2, times: 40 });
            assert!(journal.send(&store, &disk, &rows, Ack::Os).is_ok(), "{what}");
        }
        disk.set_capacity(Some(disk.used_bytes() + room));
        for _ in 0..3 {
            refused_flushes += u32::from(store.flush().is_err());
            refused_merges += u32::from(store.compact().is_err());
            look(&journal, &store);
        }
        let full = disk.used_bytes();
        for _ in 0..3 {
            if store.flush().is_err() {
                let used = disk.used_bytes();
                assert!(used <= full, "{what}: attempts that failed leave {used} bytes of {full}");
            }
        }
        for attempt in 0.. {
            let rows = journal.draw(&mut rng, Shape { rows: 300, days: 2, times: 40 });
            let ack = if attempt % 2 == 0 { Ack::Os } else { Ack::Disk };
            let outcome = journal.send(&store, &disk, &rows, ack);
            look(&journal, &store);
            if !outcome.is_ok() {
                let full = outcome.refused.iter().all(|(_, why)| *why == Refusal::DiskFull);
                assert!(full, "{what}: {outcome:?}");
                break;
            }
        }
        for _ in 0..3 {
            refused_flushes += u32::from(store.flush().is_err());
            refused_merges += u32::from(store.compact().is_err());
            look(&journal, &store);
        }
        disk.set_capacity(None);
        let rows = journal.draw(&mut rng, Shape { rows: 300, days: 2, times: 40 });
        let outcome = journal.send(&store, &disk, &rows, Ack::Disk);
        assert!(outcome.is_ok(), "{what}: the next append finds the room: {outcome:?}");
        look(&journal, &store);
        store.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
        if round % 2 == 0 {
            store.compact().unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        look(&journal, &store);
        let named = store.stats().segments().segments;
        let there = disk.files().keys().filter(|path| path.starts_with("/store/segments")).count() as u64;
        assert_eq!(there, named, "{what}: nothing is left over");
        let (after, recovery) = open_on(&config, &disk.kill(), clock());
        assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
        look(&journal, &after);
        if round % 5 == 4 {
            store.close();
            drop(store);
            store = open_on(&config, &disk, clock()).0;
        }
    }
    assert!(refused_flushes > 10 && refused_merges > 3, "{refused_flushes} flushes, {refused_merges} merges");
}
