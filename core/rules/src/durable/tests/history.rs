//! What can be looked up in what was written.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::Disk;
use sereno_storage::{Late, LateWhat};

use super::super::history::{History, Stretch};
use super::super::keeper::Commit;
use super::super::record::{Missed, Record, TickRecord};
use super::super::wire;
use super::world::*;
use crate::rule::Labels;

fn history(run: &Run) -> History {
    History::new(Arc::new(run.disk.clone()) as Arc<dyn Disk>, directory())
}

fn write(run: &mut Run, record: Record) {
    run.keeper.write(vec![Commit { record, then: None }], &mut |_| {});
}

fn number(run: &Run, rule: &str) -> u32 {
    run.keeper.numbers.lock().unwrap().number(&rule.into())
}

#[test]
fn every_event_is_found_with_its_evidence() {
    let mut run = Run::new(1, 1 << 20);
    let number = number(&run, "cpu");
    let labels: Labels = vec![("host".into(), "a".into())];
    for second in [10, 20, 30] {
        let evidence = wire::Evidence {
            rule: "cpu".into(),
            tick: at(second).nanos(),
            instance: vec![wire::Label { name: "host".into(), value: "a".into() }],
            value: Some(second as f64),
            seen: Some(wire::Seen { what: 5, ..wire::Seen::default() }),
            before: Some(wire::State::default()),
            after: Some(wire::State::default()),
            ..wire::Evidence::default()
        };
        let tick = TickRecord {
            tick: at(second),
            every: EVERY,
            evaluated: vec![number],
            notifications: vec![
                notification("cpu", &labels, second, "firing", 1),
                notification("other", &labels, second, "firing", 1),
            ],
            evidence: vec![evidence],
            ..TickRecord::default()
        };
        write(&mut run, Record::Tick(tick));
    }
    let history = history(&run);
    let found = history.transitions("cpu", Some(&labels), at(10), at(20)).unwrap();
    let values: Vec<_> = found
        .iter()
        .map(|transition| {
            (transition.notification.tick, transition.evidence.as_ref().and_then(|it| it.value))
        })
        .collect();
    assert_eq!(values, [(at(10), Some(10.0)), (at(20), Some(20.0))]);
    assert_eq!(history.transitions("cpu", Some(&Labels::new()), at(10), at(20)).unwrap(), []);
    assert_eq!(history.transitions("other", None, Timestamp::MIN, Timestamp::MAX).unwrap().len(), 3);
}

#[test]
fn ticks_are_told_as_stretches_and_what_is_in_none_was_not_noticed() {
    let mut run = Run::new(1, 1 << 20);
    let number = number(&run, "cpu");
    let tick = |second| {
        Record::Tick(TickRecord {
            tick: at(second),
            every: EVERY,
            evaluated: vec![number],
            ..TickRecord::default()
        })
    };
    for second in [10, 20, 30] {
        write(&mut run, tick(second));
    }
    let missed = Missed { rules: vec![number], first: at(40), last: at(50), reason: "too late".into() };
    write(&mut run, Record::Missed(missed));
    for second in [60, 90, 100] {
        write(&mut run, tick(second));
    }
    let stretch = |first, last| Stretch { first: at(first), last: at(last), every: EVERY, missed: None };
    let missed = Stretch { every: Duration::ZERO, missed: Some("too late".into()), ..stretch(40, 50) };
    let history = history(&run);
    let expected = [stretch(10, 30), missed, stretch(60, 60), stretch(90, 100)];
    assert_eq!(history.ticks("cpu", at(0), at(1_000)).unwrap(), expected);
    assert_eq!(history.ticks("cpu", at(20), at(20)).unwrap(), [stretch(20, 20)]);
    assert_eq!(history.ticks("mem", at(0), at(1_000)).unwrap(), []);
    assert_eq!(history.begins().unwrap(), Some(at(10)));
}

#[test]
fn late_samples_and_generations_are_found() {
    let mut run = Run::new(1, 1 << 20);
    let late =
        Late { what: LateWhat::Metric("cpu".into()), first: at(5), last: at(8), count: 3, settled: at(10) };
    write(&mut run, Record::Late(vec![late.clone()]));
    let history = history(&run);
    assert_eq!(history.late(at(8), at(20)).unwrap(), [late]);
    assert_eq!(history.late(at(9), at(20)).unwrap(), []);
    let generation = super::super::record::GenerationRecord {
        number: 4,
        at: at(7),
        why: "SIGHUP".into(),
        ..Default::default()
    };
    write(&mut run, Record::Generation(generation));
    let found = history.generations().unwrap();
    assert_eq!((found.len(), found[0].generation, found[0].why.as_str()), (1, 4, "SIGHUP"));
}

#[test]
fn it_reads_all_logs_and_old_ones_go() {
    let mut run = Run::new(2, 3_000);
    for _ in 0..60 {
        run.group(1);
    }
    let count = |run: &Run| {
        run.disk.files().into_keys().filter(|path| path.to_string_lossy().ends_with(".log")).count()
    };
    assert!(count(&run) > 3, "{}", count(&run));
    let of_rules = |history: &History| -> usize {
        let rules = ["r0", "r1", "r2", "r9"].into_iter();
        rules.map(|rule| history.transitions(rule, None, Timestamp::MIN, Timestamp::MAX).unwrap().len()).sum()
    };
    let history = history(&run);
    assert_eq!(of_rules(&history), run.told.concat().len());
    assert_eq!(of_rules(&history), run.told.concat().len(), "the same with what is remembered of the files");
    // A month later, only what a start needs is left.
    run.clock.advance(Duration::from_secs(31 * 24 * 3_600));
    run.group(1);
    while run.keeper.log_size() > 200 {
        run.group(1);
    }
    assert!(count(&run) <= 3, "{}", count(&run));
    let keeper = open(&run.disk.kill(), &run.clock, settings(1 << 20));
    assert_eq!(run.matches(&keeper), Some(run.told.len()));
}
