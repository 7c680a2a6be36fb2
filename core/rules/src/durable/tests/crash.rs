//! Kill and loss of power, at every call and at every byte: no transition is lost, none invented.

use sereno_runtime::SimDisk;
use sereno_runtime::sim_disk::{Call, ENOSPC, Fault, Loss, Part};

use super::super::frame::HEADER_BYTES;
use super::super::log::log_path;
use super::world::*;

/// A run of some groups of one to three records.
fn run(seed: u64, groups: usize, snapshot_bytes: u64) -> Run {
    let mut run = Run::new(seed, snapshot_bytes);
    run.disk.record();
    for group in 0..groups {
        run.group(1 + group % 3);
    }
    run
}

/// What a start on this disk finds must be one of the truths, and none before the record `least`. All that goes with
/// it must be known to be on its way.
#[track_caller]
fn check(run: &Run, disk: &SimDisk, least: usize, what: &str) {
    let keeper = open(disk, &run.clock, settings(1 << 20));
    let record = run
        .matches(&keeper)
        .unwrap_or_else(|| panic!("{what}: states that never were: {:#?}", found(&keeper)));
    assert!(
        record >= least,
        "{what}: the states after record {least} are lost, those after {record} are found"
    );
    let expected: Vec<String> = run.told[..record].concat();
    let told = unconfirmed(&keeper);
    assert_eq!(told, expected, "{what}: what goes out is not what the states say");
    assert!(keeper.is_sound(), "{what}: it cannot be gone on from");
}

#[test]
fn the_power_can_go_at_any_call() {
    for seed in 0..3 {
        // Rotations and snapshots every few groups, or never.
        for snapshot_bytes in [6_000, 1 << 20] {
            let run = run(seed, 14, snapshot_bytes);
            let durable_after = run.shown.lock().unwrap().durable_after.clone();
            for moment in run.disk.history() {
                let least = durable_after.iter().take_while(|calls| **calls <= moment.calls).count();
                let what = format!("seed {seed}, before call {} ({:?})", moment.calls, moment.next);
                check(&run, &moment.disk.kill(), least, &format!("{what}, killed"));
                for loss in Loss::ALL {
                    check(&run, &moment.disk.crash(seed, loss), least, &format!("{what}, {loss:?}"));
                }
            }
            assert_eq!(
                run.matches(&open(&run.disk.kill(), &run.clock, settings(1 << 20))),
                Some(run.told.len())
            );
        }
    }
}

#[test]
fn a_call_can_be_torn() {
    for part in [Part::Half, Part::Random(1), Part::Random(2), Part::All] {
        let whole = run(7, 8, 4_000);
        for call in 0..whole.disk.calls() {
            let mut torn = Run::new(7, 4_000);
            let begin = torn.disk.calls();
            torn.disk.crash_within(call, part);
            for group in 0..8 {
                torn.group(1 + group % 3);
                if torn.disk.is_stopped() {
                    break;
                }
            }
            let what = format!("call {begin} + {call}, {part:?}");
            // The machine has stopped in the last group: what was said of it does not count any more.
            let shown = torn.shown.lock().unwrap().durable_after.clone();
            let stopped = torn.disk.calls();
            let least = shown.iter().filter(|calls| **calls < stopped).count().saturating_sub(3);
            check(&torn, &torn.disk.kill(), least, &format!("{what}, killed"));
            check(&torn, &torn.disk.crash(5, Loss::Random), least, &format!("{what}, power lost"));
        }
    }
}

#[test]
fn a_log_can_end_at_any_byte() {
    let run = run(11, 10, 1 << 20);
    let path = log_path(&directory(), 1);
    let bytes = run.disk.files()[&path].clone();
    let mut before = 0;
    for end in HEADER_BYTES..=bytes.len() {
        let disk = run.disk.fork();
        disk.cut(&path, end as u64);
        let keeper = open(&disk, &run.clock, settings(1 << 20));
        let record = run.matches(&keeper).unwrap_or_else(|| panic!("cut at {end}: states that never were"));
        assert!(record >= before, "a longer log knows less: {record} after {before} at {end}");
        assert_eq!(unconfirmed(&keeper), run.told[..record].concat(), "cut at {end}");
        assert!(!is_lost_for_somebody(&keeper), "cut at {end}: nobody has confirmed anything");
        before = record;
    }
    assert_eq!(before, run.told.len());
}

#[test]
fn a_run_that_crashes_all_the_time_is_one_that_never_did() {
    for seed in 0..20 {
        let mut run = Run::new(seed, 5_000);
        for life in 0..8 {
            for group in 0..3 {
                run.group(1 + (group + life) % 2);
            }
            let disk = if life % 2 == 0 { run.disk.kill() } else { run.disk.crash(seed, Loss::Random) };
            let (truth, told) = (run.world.truth.clone(), run.told.concat());
            let next = Run::on(disk, run.world.clone(), 5_000);
            assert!(is_same(&truth, &next.truths[0]), "seed {seed}, life {life}");
            let waiting = unconfirmed(&next.keeper);
            assert!(waiting.ends_with(&told), "seed {seed}, life {life}");
            // As the engine does it, with what the windows show.
            run = Run { truths: vec![truth.clone()], ..next };
            run.world.resume(truth);
        }
    }
}

#[test]
fn damage_costs_what_it_hits_and_is_told() {
    let run = run(3, 8, 1 << 20);
    let path = log_path(&directory(), 1);
    let bytes = run.disk.files()[&path].clone();
    for place in (HEADER_BYTES..bytes.len()).step_by(7) {
        let disk = run.disk.fork();
        disk.flip(&path, place as u64, 0x40);
        let (_, found) = super::super::recover::read(&disk, &directory()).unwrap();
        assert!(found.damaged > 0 || found.torn_bytes > 0, "byte {place}");
        // Whatever it is, a start works, and goes on.
        assert!(open(&disk, &run.clock, settings(1 << 20)).is_sound());
    }
}

#[test]
fn a_bad_snapshot_is_set_aside_and_the_one_before_it_is_enough() {
    let run = run(5, 30, 4_000);
    let names = |disk: &SimDisk, part: &str| {
        disk.files().into_keys().filter(|path| path.to_string_lossy().contains(part)).collect::<Vec<_>>()
    };
    let snapshots = names(&run.disk, "snapshot-");
    assert_eq!(snapshots.len(), 2, "two are kept");
    let disk = run.disk.fork();
    disk.flip(&snapshots[1], 100, 1);
    check(&run, &disk, run.told.len(), "with the older snapshot");
    assert_eq!(names(&disk, ".bad").len(), 1);
    // Without any, the logs are enough as long as all are there.
    let disk = run.disk.fork();
    for snapshot in &snapshots {
        disk.flip(snapshot, 100, 1);
    }
    check(&run, &disk, run.told.len(), "with logs alone");
}

#[test]
fn what_a_start_tells_is_durable_before() {
    let run = run(2, 4, 1 << 20);
    // Killed between writing and syncing, and the next start cannot write a snapshot either.
    let moments = run.disk.history().into_iter().filter(|moment| moment.next == Call::Sync);
    for moment in moments.skip(1) {
        let disk = moment.disk.kill();
        disk.fail(Fault::always(Call::Create, ENOSPC).within("snapshot"));
        let keeper = open(&disk, &run.clock, settings(1 << 20));
        let found = run.matches(&keeper).unwrap();
        check(&run, &disk.crash(0, Loss::Unsynced), found, &format!("before call {}", moment.calls));
    }
}
