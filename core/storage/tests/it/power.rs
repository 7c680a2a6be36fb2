//! What a loss of power or a kill leaves of a store, whenever it comes. `SERENO_TEST_THOROUGH=1` tries every loss at every
//! moment of a longer life, `SERENO_TEST_SEED=n` another life.

use std::path::Path;
use std::sync::Arc;

use std::time::Duration;

use sereno_runtime::sim_disk::{Loss, Moment, Rng, SimDisk};
use sereno_runtime::{Disk, ManualClock, Metrics};
use sereno_storage::{Ack, Config, Store};

use crate::journal::{After, DAY, Journal, Shape, goes_on, open_on};
use crate::{clock, config, dump, reopen, send, thorough, values};

const SEEDS: u64 = 30;

#[test]
fn what_a_closed_store_held_is_there_and_the_rest_is_cut_where_it_is_torn() {
    let disk = SimDisk::new();
    // Whoever creates the directory of the store makes it durable.
    disk.create_dir_all(Path::new("/store")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let config = Config { sync_interval: std::time::Duration::ZERO, ..config(Path::new("/store")) };
    disk.record();
    let write = |from: u32| {
        let store = Store::open(&config, Arc::new(disk.clone()), clock(), &Metrics::default())
            .expect("the store opens");
        for value in from..from + 20 {
            assert!(send(&store, "foo", [f64::from(value)]).is_ok());
        }
        store.close();
        disk.calls()
    };
    let durable = [write(0), write(20)];
    let sent: Vec<f64> = (0..40).map(f64::from).collect();
    for moment in disk.history() {
        let promised = 20 * durable.iter().filter(|calls| moment.calls >= **calls).count();
        for loss in Loss::ALL {
            for seed in 0..if loss == Loss::Random { SEEDS } else { 1 } {
                let what = format!("before call {} ({:?}), {loss:?}, seed {seed}", moment.calls, moment.next);
                let disk = moment.disk.crash(seed, loss);
                let (store, recovery) = reopen(&config, &disk);
                let found = values(&store, "foo");
                assert!(found.len() >= promised, "{what}: {} samples, {recovery:?}", found.len());
                assert_eq!(found, sent[..found.len()], "{what}");
                assert!(send(&store, "foo", [99.0]).is_ok(), "{what}: it goes on");
            }
        }
    }
}

/// The directory of the store; whoever creates it makes it durable.
pub fn disk_with_directory() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/store")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// Two writers, small files; nothing happens by the clock.
pub fn busy_config() -> Config {
    let never = Duration::from_secs(86_400 * 365);
    Config {
        writers: 2,
        wal_file_bytes: 64 << 10,
        wal_reserve_bytes: 4 << 10,
        sync_interval: never,
        flush_interval: never,
        series_idle: Duration::ZERO,
        retention: 10 * DAY,
        queues: 4,
        ..config(Path::new("/store"))
    }
}

/// A life of a store: both acknowledgements, late and replacing samples, files of the log that fill up, flushes,
/// merges, retention, restarts. Ends without closing it.
pub fn live(disk: &SimDisk, config: &Config, seed: u64, steps: u64) -> Journal {
    let mut rng = Rng::new(seed + seed_from_outside());
    let mut journal = Journal::new(config);
    let clock = clock();
    let open = |clock: Arc<ManualClock>| open_on(config, disk, clock).0;
    let mut store = open(clock.clone());
    let expire_at = steps * 3 / 4;
    for step in 0..steps {
        match rng.below(100) {
            _ if step == expire_at => expire(&store, disk, &clock, &mut journal),
            // Enough for one file of the log.
            0..4 => {
                let rows = journal.draw(&mut rng, Shape { rows: 2_500, days: 3, times: 6 });
                assert!(journal.send(&store, disk, &rows, Ack::Os).refused.len() < rows.len());
            }
            4..9 => {
                store.flush().unwrap();
                journal.all_durable(disk);
            }
            9..14 => store.compact().unwrap(),
            14..16 => {
                store.close();
                journal.all_durable(disk);
                drop(store);
                store = open(clock.clone());
            }
            choice => {
                let ack = if choice < 35 { Ack::Disk } else { Ack::Os };
                let rows = journal.draw(&mut rng, Shape { rows: 8, days: 3, times: 6 });
                let outcome = journal.send(&store, disk, &rows, ack);
                assert!(step > expire_at || outcome.is_ok(), "{outcome:?}");
            }
        }
    }
    drop(store);
    journal
}

/// `SERENO_TEST_SEED=n` makes another run of the same kind; 0 without it.
pub fn seed_from_outside() -> u64 {
    std::env::var("SERENO_TEST_SEED").map_or(0, |seed| seed.parse().expect("a number"))
}

/// Nine days pass, and the first of the three goes.
fn expire(store: &Store, disk: &SimDisk, clock: &ManualClock, journal: &mut Journal) {
    store.flush().unwrap();
    journal.all_durable(disk);
    clock.advance(9 * DAY);
    let begun = disk.calls();
    store.expire().unwrap();
    let today = crate::NOW.nanos() / DAY.as_nanos() as i64;
    let kept_from = sereno_model::Timestamp::from_nanos((today - 1) * DAY.as_nanos() as i64);
    journal.expired(kept_from, begun, disk, true);
}

/// Each kind of loss with its seeds, of which a moment gets some, unless the run is to be thorough.
fn losses(moment: u64, seeds: u64) -> Vec<(Loss, u64)> {
    let fixed = Loss::ALL.into_iter().filter(|loss| *loss != Loss::Random).map(|loss| (loss, 0));
    let all: Vec<_> = fixed.chain((0..seeds).map(|seed| (Loss::Random, seed))).collect();
    if thorough() {
        return all;
    }
    let mine = [moment % 5, 5 + moment % seeds];
    mine.into_iter().map(|index| all[index as usize]).collect()
}

/// Loses power at a moment and looks at what is left.
fn crash(
    journal: &Journal,
    config: &Config,
    moment: &Moment,
    (loss, seed): (Loss, u64),
    calls: u64,
    again: bool,
    who: &str,
) {
    let Moment { next, path, .. } = moment;
    let what =
        format!("{who}before call {} ({next:?} {}), {loss:?}, seed {seed}", moment.calls, path.display());
    let disk = moment.disk.crash(seed, loss);
    let (store, recovery) = open_on(config, &disk, clock());
    assert!(!recovery.is_damaged(), "{what}: a loss of power is no damage: {recovery:?}");
    let found = dump(&store.snapshot());
    journal.check(&found, calls, After::PowerLoss, &what);
    if again {
        goes_on(config, &disk, store, &found, After::PowerLoss, &what);
    }
}

#[test]
fn a_loss_of_power_before_any_call_leaves_a_prefix_of_every_writer() {
    let (disk, config) = (disk_with_directory(), busy_config());
    let steps = if thorough() { 900 } else { 140 };
    disk.record();
    let journal = live(&disk, &config, 1, steps);
    let history = disk.history();
    assert!(history.len() > 400 && journal.len() > 110, "{} calls, {} parts", history.len(), journal.len());
    for (index, moment) in (0..).zip(&history) {
        for (loss, seed) in losses(index, 8) {
            crash(&journal, &config, moment, (loss, seed), moment.calls, index % 7 == 0, "");
        }
    }
}

#[test]
fn a_loss_of_power_while_the_log_is_read_back_takes_nothing_more() {
    let (disk, config) = (disk_with_directory(), busy_config());
    disk.record();
    let journal = live(&disk, &config, 2, 80);
    let history = disk.history();
    for (index, moment) in (0..).zip(history.iter().step_by(if thorough() { 3 } else { 61 })) {
        let (loss, seed) = losses(index, 8)[(index % 2) as usize];
        let first = moment.disk.crash(seed, loss);
        first.record();
        let (store, _) = open_on(&config, &first, clock());
        store.flush().unwrap();
        store.compact().unwrap();
        drop(store);
        for (index, second) in (0..).zip(first.history()) {
            let who = format!("crashed before call {} with {loss:?}, seed {seed}; then ", moment.calls);
            let (loss, seed) = losses(index, 8)[(index % 2) as usize];
            crash(&journal, &config, &second, (loss, seed), moment.calls, index % 5 == 0, &who);
        }
    }
}

#[test]
fn a_kill_before_any_call_takes_nothing_that_was_acknowledged() {
    let (disk, config) = (disk_with_directory(), busy_config());
    disk.record();
    let journal = live(&disk, &config, 3, if thorough() { 900 } else { 80 });
    let history = disk.history();
    for (index, moment) in history.iter().enumerate() {
        let what =
            format!("killed before call {} ({:?} {})", moment.calls, moment.next, moment.path.display());
        let disk = moment.disk.kill();
        if index % 25 == 0 {
            disk.record();
        }
        let (store, recovery) = open_on(&config, &disk, clock());
        assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
        let found = dump(&store.snapshot());
        journal.check(&found, moment.calls, After::Kill, &what);
        if index % 7 == 0 {
            goes_on(&config, &disk, store, &found, After::Kill, &what);
            continue;
        }
        store.flush().unwrap();
        drop(store);
        for second in disk.history() {
            let what = format!("{what}, then before call {} ({:?})", second.calls, second.next);
            let (store, recovery) = open_on(&config, &second.disk.kill(), clock());
            assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
            journal.check(&dump(&store.snapshot()), moment.calls, After::Kill, &what);
        }
    }
}

#[test]
fn files_of_the_log_that_reach_the_disk_in_any_order_leave_no_hole() {
    // A writer goes on in its next file before the one before is durable. When the later one reached the disk first, its
    // commits were read back without those before them.
    for writers in [1, 2] {
        let (disk, config) = (disk_with_directory(), Config { writers, ..busy_config() });
        let mut journal = Journal::new(&config);
        let mut rng = Rng::new(5 + seed_from_outside());
        let (store, _) = open_on(&config, &disk, clock());
        for step in 0..24 {
            let rows = if step % 4 == 0 { 5_000 } else { 6 };
            let rows = journal.draw(&mut rng, Shape { rows, days: 1, times: 12 });
            let ack = if step == 5 { Ack::Disk } else { Ack::Os };
            assert!(journal.send(&store, &disk, &rows, ack).is_ok());
        }
        assert!(store.stats().wal_files > 4, "{:?}", store.stats());
        for seed in 0..if thorough() { 2_000 } else { 100 } {
            let what = format!("{writers} writers, seed {seed}");
            let crashed = disk.crash(seed, Loss::Random);
            let (store, recovery) = open_on(&config, &crashed, clock());
            assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
            let found = dump(&store.snapshot());
            journal.check(&found, disk.calls(), After::PowerLoss, &what);
            if seed % 10 == 0 {
                goes_on(&config, &crashed, store, &found, After::PowerLoss, &what);
            }
        }
    }
}

#[test]
fn a_loss_of_power_after_a_kill_finds_what_the_next_start_relied_on() {
    // The next start took a manifest for good whose name was not durable yet, and removed what only the one before named;
    // and it took the log for durable whose files had no durable names.
    let (disk, config) = (disk_with_directory(), busy_config());
    disk.record();
    let journal = live(&disk, &config, 4, if thorough() { 400 } else { 50 });
    for moment in disk.history() {
        let what =
            format!("killed before call {} ({:?} {})", moment.calls, moment.next, moment.path.display());
        let disk = moment.disk.kill();
        disk.record();
        let (store, _) = open_on(&config, &disk, clock());
        drop(store);
        let (after, recovery) = open_on(&config, &disk.crash(1, Loss::Unsynced), clock());
        assert!(!recovery.is_damaged(), "{what}, started: {recovery:?}");
        journal.check(&dump(&after.snapshot()), moment.calls, After::Kill, &format!("{what}, started"));
        let history = disk.history();
        let seconds = history.len().min(if thorough() { usize::MAX } else { 3 });
        for (index, second) in (0..).zip(history.iter().rev().take(seconds)) {
            let who = format!("{what}, then ");
            let (loss, seed) = losses(index + moment.calls, 8)[(index % 2) as usize];
            crash(&journal, &config, second, (loss, seed), moment.calls, false, &who);
        }
    }
}
