//! A client that sends its batches again, in all that may happen to a store: what it sends is there once.
//! `SERENO_TEST_THOROUGH=1` tries more lives, and every loss of power at every moment; `SERENO_TEST_SEED=n` tries others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use sereno_runtime::sim_disk::{Call, EIO, ENOSPC, Fault, Loss, Moment, Part, Rng, SimDisk};
use sereno_runtime::{Disk, DiskFile, Metrics};
use sereno_storage::{Ack, Config, Store};

use crate::journal::{After, DAY, open_on};
use crate::power::{busy_config, disk_with_directory, seed_from_outside};
use crate::sender::Sender;
use crate::{clock, dump, thorough};

const WRITERS: [u32; 4] = [1, 2, 3, 4];

/// A life of a store with a client that sends again what it likes: batches that find no room, that are sent in two parts,
/// that have samples which are too old; flushes, merges, restarts with any number of writers.
struct Life<'a> {
    disk: &'a SimDisk,
    config: Config,
    rng: Rng,
    sender: Sender,
}

impl<'a> Life<'a> {
    fn new(disk: &'a SimDisk, writers: u32, seed: u64) -> Self {
        let config = Config { writers, ..life_config() };
        let rng = Rng::new(seed + seed_from_outside());
        Self { disk, config, rng, sender: Sender::new(1 + seed) }
    }

    fn open(&self) -> Store {
        open_on(&self.config, self.disk, clock()).0
    }

    fn step(&mut self, store: Store) -> Store {
        let ack = if self.rng.chance(1, 3) { Ack::Disk } else { Ack::Os };
        match self.rng.below(100) {
            0..40 => {
                let rows = if self.rng.chance(1, 30) { 400 } else { 1 + self.rng.below(12) };
                let batch = self.sender.draw(&mut self.rng, rows, true);
                self.sender.send(&store, self.disk, batch, ack, false);
            }
            40..50 => {
                // As one whose series were given up: the rest comes with what is known of them now.
                let batch = self.sender.draw(&mut self.rng, 12, false);
                let (even, odd) = ([0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]);
                self.sender.send_places(&store, self.disk, batch, &even, ack, false);
                if self.rng.chance(2, 3) {
                    self.sender.send_places(&store, self.disk, batch, &odd, ack, false);
                }
            }
            50..75 => {
                let sent = self.sender.sent();
                let recent = &sent[sent.len().saturating_sub(10)..];
                if let Some(batch) = recent.get(self.rng.below(10) as usize) {
                    self.sender.send(&store, self.disk, *batch, ack, true);
                }
            }
            75..85 => store.flush().unwrap(),
            85..90 => store.compact().unwrap(),
            choice => {
                if choice < 95 {
                    store.close();
                }
                drop(store);
                self.config.writers = WRITERS[self.rng.below(4) as usize];
                return self.open();
            }
        }
        store
    }
}

fn life_config() -> Config {
    Config { queue_samples_max: 60, retention: 10 * DAY, ..busy_config() }
}

#[test]
fn every_sample_is_stored_once_however_often_it_is_sent() {
    for seed in 0..if thorough() { 400 } else { 24 } {
        let disk = disk_with_directory();
        let writers = WRITERS[seed as usize % 4];
        let mut life = Life::new(&disk, writers, seed);
        let mut store = life.open();
        for step in 0..120 {
            store = life.step(store);
            if step % 8 == 0 {
                life.sender.check(&dump(&store.snapshot()), &format!("seed {seed}, step {step}"));
            }
        }
        for batch in life.sender.sent() {
            life.sender.insist(&store, &disk, batch, Ack::Os, &format!("seed {seed}"));
        }
        life.sender.check(&dump(&store.snapshot()), &format!("seed {seed}, in the end"));
        drop(store);
        life.sender.check(&dump(&life.open().snapshot()), &format!("seed {seed}, reopened"));
    }
}

/// Opens what a crash left, and has the client send everything again that it had begun to send.
fn check_after_crash(
    config: &Config,
    disk: &SimDisk,
    sender: &Sender,
    (calls, after): (u64, After),
    again: bool,
    what: &str,
) {
    let (store, recovery) = open_on(config, disk, clock());
    assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
    let mut sender = sender.after_crash(calls, after);
    sender.check(&dump(&store.snapshot()), &format!("{what}, opened"));
    for batch in sender.sent() {
        let ack = if again && batch % 2 == 0 { Ack::Disk } else { Ack::Os };
        sender.insist(&store, disk, batch, ack, &what);
    }
    sender.check(&dump(&store.snapshot()), &format!("{what}, sent again"));
    if !again {
        return;
    }
    store.flush().unwrap();
    let next = match after {
        After::Kill => disk.kill(),
        After::PowerLoss => disk.crash(1, Loss::Unsynced),
    };
    drop(store);
    let config = Config { writers: 5 - config.writers, ..config.clone() };
    check_after_crash(
        &config,
        &next,
        &sender,
        (u64::MAX - 1, after),
        false,
        &format!("{what}, a second time"),
    );
}

/// A loss of power, and how much of it to try.
fn losses(moment: u64) -> Vec<(Loss, u64)> {
    let fixed = Loss::ALL.into_iter().filter(|loss| *loss != Loss::Random).map(|loss| (loss, 0));
    let all: Vec<_> = fixed.chain((0..8).map(|seed| (Loss::Random, seed))).collect();
    match thorough() {
        true => all,
        false if moment.is_multiple_of(3) => Vec::new(),
        false => vec![all[if moment % 3 == 1 { moment % 5 } else { 5 + moment % 7 } as usize]],
    }
}

#[test]
fn whenever_power_is_lost_or_the_process_dies_what_is_sent_again_is_there_once() {
    for seed in 0..if thorough() { 12 } else { 2 } {
        let disk = disk_with_directory();
        disk.record();
        let writers = WRITERS[(seed as usize + 1) % 4];
        let mut life = Life::new(&disk, writers, 100 + seed);
        let mut store = life.open();
        for _ in 0..if thorough() { 100 } else { 32 } {
            store = life.step(store);
        }
        drop(store);
        let sender = life.sender;
        let history = disk.history();
        assert!(history.len() > 100, "{} calls", history.len());
        for (index, moment) in (0..).zip(&history) {
            let Moment { calls, next, path, .. } = moment;
            let config = Config { writers: WRITERS[index as usize % 4], ..life_config() };
            let what = format!("seed {seed}, before call {calls} ({next:?} {})", path.display());
            let again = index % 7 == 0;
            let kill = (index % 3 == 0 || thorough())
                .then(|| (moment.disk.kill(), After::Kill, "killed".to_owned()));
            let lost = losses(index).into_iter().map(|(loss, seed)| {
                (moment.disk.crash(seed, loss), After::PowerLoss, format!("{loss:?} {seed}"))
            });
            for (disk, after, how) in kill.into_iter().chain(lost) {
                let what = format!("{what}, {how}");
                check_after_crash(&config, &disk, &sender, (moment.calls, after), again, &what);
            }
        }
    }
}

#[test]
fn whatever_call_of_the_disk_fails_what_is_sent_again_is_there_once() {
    let calls =
        [Call::Append, Call::Sync, Call::SyncDir, Call::Create, Call::Truncate, Call::Rename, Call::Remove];
    for call in calls {
        for nth in 1..if thorough() { 120 } else { 24 } {
            for fault in
                [Fault::nth(call, nth, EIO), Fault::nth(call, nth, ENOSPC).part(Part::Half).forever()]
            {
                let what = format!("{fault:?}");
                let (disk, config) = (disk_with_directory(), Config { writers: 2, ..life_config() });
                let (store, _) = open_on(&config, &disk, clock());
                disk.fail(fault);
                let (mut sender, mut rng) = (Sender::new(1), Rng::new(nth + seed_from_outside()));
                for step in 0..12 {
                    let batch = sender.draw(&mut rng, 9, false);
                    sender.send(&store, &disk, batch, if step % 3 == 0 { Ack::Disk } else { Ack::Os }, false);
                    sender.send(&store, &disk, batch / 2, Ack::Disk, true);
                    if step % 4 == 3 {
                        let _may_fail = store.flush().is_ok();
                    }
                }
                disk.heal();
                store.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
                for batch in sender.sent() {
                    sender.insist(&store, &disk, batch, Ack::Disk, &what);
                }
                sender.check(&dump(&store.snapshot()), &what);
                for (disk, after) in
                    [(disk.kill(), After::Kill), (disk.crash(1, Loss::Unsynced), After::PowerLoss)]
                {
                    check_after_crash(&config, &disk, &sender, (u64::MAX - 1, after), false, &what);
                }
            }
        }
    }
}

/// A disk on which something happens whenever a segment is begun: in the middle of a flush.
struct Hooked<F> {
    disk: SimDisk,
    hook: F,
}

impl<F> fmt::Debug for Hooked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl<F: Fn() + Send + Sync> Disk for Hooked<F> {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if path.starts_with("/store/segments") {
            (self.hook)();
        }
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }
}

#[test]
fn what_is_stored_while_a_flush_runs_is_not_called_stored_by_what_outlives_it() {
    // A flush writes down what is remembered of batches. Those that came while it ran were in it too, and a loss of power
    // that took their samples left that: what the client sent again was thrown away.
    let (disk, config) = (disk_with_directory(), Config { writers: 3, ..life_config() });
    disk.record();
    let (sender, current) = (Arc::new(Mutex::new(Sender::new(1))), Arc::new(Mutex::new(None::<Store>)));
    let rng = Mutex::new(Rng::new(5 + seed_from_outside()));
    let send = {
        let (disk, sender, current) = (disk.clone(), sender.clone(), current.clone());
        move || {
            let store = current.lock().unwrap().clone();
            let (mut sender, mut rng) = (sender.lock().unwrap(), rng.lock().unwrap());
            let Some(store) = store else { return };
            let batch = sender.draw(&mut rng, 9, false);
            assert!(sender.send(&store, &disk, batch, Ack::Os, false).is_ok());
        }
    };
    let hooked = Arc::new(Hooked { disk: disk.clone(), hook: send });
    let store = Store::open(&config, hooked.clone(), clock(), &Metrics::default()).unwrap();
    *current.lock().unwrap() = Some(store.clone());
    for _ in 0..4 {
        (hooked.hook)();
        store.flush().unwrap();
    }
    *current.lock().unwrap() = None;
    drop((store, hooked));
    let sender = sender.lock().unwrap();
    for (index, moment) in (0..).zip(disk.history()) {
        for (loss, seed) in losses(index) {
            let what = format!("before call {} ({:?}), {loss:?} {seed}", moment.calls, moment.next);
            let crashed = moment.disk.crash(seed, loss);
            check_after_crash(&config, &crashed, &sender, (moment.calls, After::PowerLoss), false, &what);
        }
    }
}
