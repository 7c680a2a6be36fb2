//! Every call of the disk fails, once or for ever, in the middle of everything a store does.

use std::sync::Arc;

use sereno_runtime::sim_disk::{Call, EIO, ENOSPC, Fault, Loss, Moment, Part, Rng, SimDisk};
use sereno_runtime::{ManualClock, Metrics};
use sereno_storage::{Ack, Config, Refusal, Store};

use crate::journal::{After, DAY, Journal, Shape, open_on, refused_by_disk};
use crate::power::{busy_config, disk_with_directory};
use crate::{clock, dump, thorough, try_dump};

/// A run of a store on a disk that fails.
struct Run<'a> {
    config: &'a Config,
    disk: SimDisk,
    clock: Arc<ManualClock>,
    journal: Journal,
    rng: Rng,
    what: String,
    /// Whether reads may fail.
    reads_fail: bool,
}

impl Run<'_> {
    fn open(&self) -> Store {
        let open =
            || Store::open(self.config, Arc::new(self.disk.clone()), self.clock.clone(), &Metrics::default());
        let store = open().unwrap_or_else(|error| {
            assert!(!error.to_string().is_empty());
            self.disk.heal();
            open().unwrap_or_else(|error| panic!("{}: opens after the disk is well: {error}", self.what))
        });
        // What cannot be read is read again until it can.
        if self.reads_fail {
            self.disk.heal();
        }
        assert!(!store.wait_recovered().is_damaged(), "{}", self.what);
        store
    }

    fn send(&mut self, store: &Store, ack: Ack) {
        let rows = self.journal.draw(&mut self.rng, Shape { rows: 12, days: 3, times: 4 });
        let outcome = self.journal.send(store, &self.disk, &rows, ack);
        let expired = |(_, why): &(u32, Refusal)| *why == Refusal::TooOld;
        assert!(
            refused_by_disk(&outcome) || outcome.refused.iter().any(expired),
            "{}: {outcome:?}",
            self.what
        );
        self.look(store);
    }

    /// Queries go on, and see what was acknowledged and nothing that was refused.
    fn look(&self, store: &Store) {
        match try_dump(&store.snapshot()) {
            Ok(found) => self.journal.check(&found, self.disk.calls(), After::Kill, &self.what),
            Err(error) => assert!(self.reads_fail, "{}: {error}", self.what),
        }
    }

    fn flush(&mut self, store: &Store) -> bool {
        let flushed = store.flush().is_ok();
        if flushed {
            self.journal.all_durable(&self.disk);
        }
        self.look(store);
        flushed
    }

    /// What is not in segments expires once it is.
    fn expire(&mut self, store: &Store, flushed: bool) -> bool {
        let today = crate::NOW.nanos() / DAY.as_nanos() as i64;
        let kept_from = sereno_model::Timestamp::from_nanos((today - 1) * DAY.as_nanos() as i64);
        let expired = store.expire().is_ok();
        self.journal.expired(kept_from, 0, &self.disk, expired && flushed);
        self.look(store);
        expired
    }

    fn live(&mut self) {
        let mut store = self.open();
        for ack in [Ack::Os, Ack::Disk, Ack::Os] {
            self.send(&store, ack);
        }
        self.flush(&store);
        self.send(&store, Ack::Disk);
        self.send(&store, Ack::Os);
        self.flush(&store);
        self.send(&store, Ack::Os);
        let _may_fail = store.compact().is_ok();
        self.look(&store);
        self.send(&store, Ack::Disk);
        store.close();
        drop(store);
        store = self.open();
        self.look(&store);
        self.send(&store, Ack::Os);
        self.send(&store, Ack::Disk);
        let flushed = self.flush(&store);
        self.clock.advance(9 * DAY);
        self.expire(&store, flushed);
        self.flush(&store);
        let _may_fail = store.compact().is_ok();
        self.look(&store);
        self.send(&store, Ack::Os);

        self.disk.heal();
        self.reads_fail = false;
        let what = self.what.clone();
        for ack in [Ack::Os, Ack::Disk] {
            let rows = self.journal.draw(&mut self.rng, Shape { rows: 12, days: 1, times: 4 });
            let outcome = self.journal.send(&store, &self.disk, &rows, ack);
            assert!(outcome.is_ok(), "{what}: works when the disk does: {outcome:?}");
        }
        assert!(store.flush().is_ok(), "{what}: flush works when the disk does");
        self.journal.all_durable(&self.disk);
        assert!(self.expire(&store, true), "{what}: expire works when the disk does");
        assert!(store.compact().is_ok(), "{what}: compact works when the disk does");
        self.look(&store);
        let segments = store.stats().segments().segments;
        assert!(segments <= 8, "{what}: one for each of two days and four groups, not {segments}");
        self.send(&store, Ack::Disk);
        self.send(&store, Ack::Os);

        let (after, recovery) = open_on(self.config, &self.disk.crash(1, Loss::Unsynced), clock());
        assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
        self.journal.check_durable(&dump(&after.snapshot()), &what);
        let (after, recovery) = open_on(self.config, &self.disk.kill(), clock());
        assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
        self.journal.check(&dump(&after.snapshot()), self.disk.calls(), After::Kill, &what);
        drop(store);
    }
}

fn run(config: &Config, fault: Option<Fault>) -> SimDisk {
    let what = format!("{fault:?}");
    let reads_fail =
        fault.as_ref().is_some_and(|fault| matches!(fault.call, Call::Read | Call::Open | Call::Size));
    let disk = disk_with_directory();
    match fault {
        Some(fault) => disk.fail(fault),
        None => disk.record(),
    }
    let journal = Journal::new(config);
    let (rng, clock) = (Rng::new(7), clock());
    let mut run = Run { config, disk, clock, journal, rng, what, reads_fail };
    run.live();
    run.disk
}

#[test]
fn every_change_of_the_disk_fails_once_and_for_ever() {
    let config = busy_config();
    let history = run(&config, None).history();
    let mut runs = 0;
    for (call, within) in [
        (Call::Append, ".wal"),
        (Call::Append, "segments"),
        (Call::Append, "manifest"),
        (Call::Append, "STORE"),
        (Call::Sync, ""),
        (Call::SyncDir, ""),
        (Call::Rename, ""),
        (Call::Create, ""),
        (Call::CreateDir, ""),
        (Call::Remove, ""),
        (Call::Truncate, ""),
        (Call::Reserve, ""),
    ] {
        let is_such =
            |moment: &&Moment| moment.next == call && moment.path.to_string_lossy().contains(within);
        let count = history.iter().filter(is_such).count() as u64;
        assert!(count > 0, "{call:?} {within} is never tried");
        for nth in 1..=count {
            let fault = Fault::nth(call, nth, EIO).within(within);
            let faults = [
                fault.clone(),
                fault.clone().forever(),
                Fault { errno: ENOSPC, ..fault.clone() }.part(Part::Half).forever(),
                fault.clone().part(Part::All),
                Fault { errno: ENOSPC, ..fault }.part(Part::Random(nth)),
            ];
            // One of them at each place, some more for the log; in a thorough run all of them.
            for (kind, fault) in (0..).zip(faults) {
                if thorough() || (within == ".wal" && kind % 4 == 0) || kind == nth % 5 {
                    run(&config, Some(fault));
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 250, "{runs}");
}

#[test]
fn every_read_of_the_disk_fails_once_and_for_ever() {
    let config = busy_config();
    for (call, within, count) in [
        (Call::Read, "segments", 60),
        (Call::Read, "manifest", 6),
        (Call::Read, "STORE", 2),
        // Reading the log is tried again after a second.
        (Call::Read, ".wal", 2),
        (Call::Open, "", 30),
        (Call::Size, "", 30),
        (Call::List, "", 12),
        (Call::Lock, "", 2),
    ] {
        for nth in 1..=count {
            run(&config, Some(Fault::nth(call, nth, EIO).within(within)));
            if within != ".wal" && (thorough() || nth % 3 == 1) {
                run(&config, Some(Fault::nth(call, nth, EIO).within(within).forever()));
            }
        }
    }
}

#[test]
fn a_manifest_that_may_count_keeps_the_segments_that_it_names() {
    // Storing a manifest failed after it had its name, and it could not be taken away again. Its segments were removed,
    // and the next start found the manifest and not them.
    let (disk, config) = (disk_with_directory(), busy_config());
    let (store, _) = open_on(&config, &disk, clock());
    let mut expected = Vec::new();
    let mut send = |value: f64| {
        assert!(crate::send(&store, "foo", [value]).is_ok());
        expected.push(value);
        expected.clone()
    };
    let fail = || {
        disk.fail(Fault::always(Call::SyncDir, EIO).within("manifest"));
        disk.fail(Fault::always(Call::Remove, EIO).within("manifest"));
    };
    for round in 0..4 {
        let sent = send(f64::from(round));
        fail();
        assert!(store.flush().is_err());
        let check = |what: &str| {
            let (after, recovery) = open_on(&config, &disk.kill(), clock());
            assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
            assert_eq!(crate::values(&after, "foo"), sent, "{what}");
        };
        check("flush");
        disk.heal();
        store.flush().unwrap();
        if round > 0 {
            fail();
            assert!(store.compact().is_err());
            check("compact");
            disk.heal();
            store.compact().unwrap();
        }
        check("healed");
        let segments = disk.files().keys().filter(|path| path.starts_with("/store/segments")).count();
        assert_eq!(segments, 1, "what is in doubt goes once it is not");
    }
}
