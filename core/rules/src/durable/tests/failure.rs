//! A disk that fails or is full: events go out all the same, and nothing is missing once it works again.

use std::time::Duration;

use sereno_runtime::sim_disk::{Call, EIO, ENOSPC, Fault, Part};

use super::world::*;

fn sent(run: &Run) -> Vec<String> {
    run.shown.lock().unwrap().sent.iter().map(|(_, event)| event.clone()).collect()
}

#[test]
fn after_any_failed_call_the_states_are_whole_again() {
    for call in
        [Call::Append, Call::Sync, Call::Create, Call::SyncDir, Call::Rename, Call::Reserve, Call::Truncate]
    {
        for nth in 1..6 {
            for part in [Part::None, Part::Half, Part::All] {
                let what = format!("{call:?} {nth} {part:?}");
                let mut run = Run::new(4, 3_000);
                run.disk.fail(Fault::nth(call, nth, EIO).part(part));
                for _ in 0..20 {
                    run.group(2);
                    run.clock.advance(Duration::from_secs(2));
                }
                assert!(run.keeper.is_sound(), "{what}");
                assert_eq!(sent(&run), run.told.concat(), "{what}: each is sent, once, in order");
                for disk in [run.disk.kill(), run.disk.crash(9, sereno_runtime::sim_disk::Loss::Random)] {
                    let keeper = open(&disk, &run.clock, settings(1 << 20));
                    assert_eq!(run.matches(&keeper), Some(run.told.len()), "{what}");
                    assert_eq!(unconfirmed(&keeper), run.told.concat(), "{what}");
                }
            }
        }
    }
}

#[test]
fn while_the_disk_is_full_events_are_marked_and_later_all_is_there() {
    let mut run = Run::new(4, 1 << 20);
    run.group(3);
    run.disk.fail(Fault::always(Call::Append, ENOSPC));
    run.disk.fail(Fault::always(Call::Create, ENOSPC));
    for _ in 0..10 {
        run.group(3);
        run.clock.advance(Duration::from_secs(2));
    }
    assert!(!run.keeper.is_sound());
    assert_eq!(sent(&run), run.told.concat());
    let marked = run.keeper.mirror.outbox.waiting().filter(|outgoing| outgoing.marks.undurable).count();
    assert_eq!(marked, run.told[3..].concat().len());
    // A start now finds what was durable, and nothing else.
    let keeper = open(&run.disk.kill(), &run.clock, settings(1 << 20));
    assert_eq!(run.matches(&keeper), Some(3));
    run.disk.heal();
    run.group(1);
    assert!(run.keeper.is_sound());
    let keeper = open(&run.disk.kill(), &run.clock, settings(1 << 20));
    assert_eq!(run.matches(&keeper), Some(run.told.len()));
}

#[test]
fn room_is_kept_so_that_alerts_are_written_on_a_full_disk() {
    let mut run = Run::new(6, 1 << 20);
    run.group(1);
    run.disk.set_capacity(Some(run.disk.used_bytes()));
    for _ in 0..50 {
        run.group(2);
    }
    assert!(run.keeper.is_sound(), "a mebibyte is more than that");
    let keeper = open(&run.disk.kill(), &run.clock, settings(1 << 20));
    assert_eq!(run.matches(&keeper), Some(run.told.len()));
}

#[test]
fn a_disk_that_takes_nothing_at_the_start_keeps_nobody_from_starting() {
    let run = {
        let mut run = Run::new(8, 1 << 20);
        run.group(5);
        run
    };
    let disk = run.disk.kill();
    disk.fail(Fault::always(Call::AnyChange, EIO).within("state-"));
    let keeper = open(&disk, &run.clock, settings(1 << 20));
    assert_eq!(run.matches(&keeper), Some(5));
    assert!(!keeper.is_sound());
}
