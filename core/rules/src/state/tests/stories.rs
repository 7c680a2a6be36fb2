//! Every row of the table, and the corners between them.

use super::*;

fn check(policy: &Policy, story: &str, told: &str) {
    assert_eq!(events(policy, story), told, "{story}");
}

/// `for` of `crit` in seconds.
fn crit_for(hold: u64) -> Policy {
    with(|policy| policy.hold[Level::Crit as usize] = Some(secs(hold)))
}

fn both_for(warn: u64, crit: u64) -> Policy {
    with(|policy| policy.hold = [None, Some(secs(warn)), Some(secs(crit))])
}

fn recover_for(time: u64) -> Policy {
    with(|policy| policy.recover_for = secs(time))
}

fn absent(then: Then, close_after: Option<u64>) -> Policy {
    with(|policy| {
        policy.absence = Absence { after: After::Time(secs(30)), then, close_after: close_after.map(secs) }
    })
}

#[test]
fn it_fires_at_once_or_after_for_and_resolves_when_clear() {
    check(&policy(), "1 96 97 1", "10 firing crit 96, 30 resolved crit 1");
    // The boundary is on ticks: 20 s have passed at the third that saw it.
    check(&both_for(20, 20), "1 96 97 98 1", "30 firing crit 98, 40 resolved crit 1");
    check(&both_for(60, 60), &"96 ".repeat(7), "60 firing crit 96");
    check(&both_for(60, 60), &"96 ".repeat(6), "");
    check(&both_for(20, 20), "96 97 1 96 97 1", "");
    assert_eq!(end(&both_for(20, 20), "96").phase, Phase::Pending(Level::Crit));
    assert_eq!(end(&both_for(20, 20), "96 1").phase, Phase::Inactive);
    assert_eq!(end(&policy(), "96 1").phase, Phase::Inactive);
}

#[test]
fn each_level_has_its_own_clock() {
    check(&both_for(40, 20), "96 96 96 1", "20 firing crit 96, 30 resolved crit 1");
    check(&both_for(20, 40), "96 96 96 96 96", "20 firing warn 96, 40 escalated crit 96");
    // The clock of `crit` begins again where it did not hold, that of `warn` does not.
    check(&both_for(40, 20), "96 96 90 96 96 96", "40 firing warn 96, 50 escalated crit 96");
}

#[test]
fn levels_rise_and_fall_within_one_episode() {
    check(
        &policy(),
        "85 96 82 1",
        "0 firing warn 85, 10 escalated crit 96, 20 deescalated warn 82, 30 resolved warn 1",
    );
    let mut teller = Teller::new();
    teller.tell("85 96 82 1 96", &policy());
    let numbers: Vec<_> =
        teller.told.iter().map(|event| (event.episode, event.number, event.previous)).collect();
    let (warn, crit) = (Some(Level::Warn), Some(Level::Crit));
    assert_eq!(numbers, [(1, 1, None), (1, 2, warn), (1, 3, crit), (1, 4, None), (2, 1, None)]);
}

#[test]
fn between_two_thresholds_nothing_changes() {
    // 90 is no `when` of `crit` and not clear of it either; 75 is the same to `warn`.
    check(&policy(), "96 90 90 75 75 60", "0 firing crit 96, 30 deescalated warn 75, 50 resolved warn 60");
    check(&policy(), "90 75 90 75 69", "0 firing warn 90, 40 resolved warn 69");
    check(&policy(), "75 75", "");
}

#[test]
fn a_higher_level_that_is_pending_is_no_recovery() {
    // Conditions that exclude each other: `warn` from 80 to 95, `crit` from 95 on, for 30 s.
    let policy = crit_for(30);
    let seen = |when, clear: Levels| Look { seen: Seen::Judged { when, clear }, value: None, newest: None };
    let warn = Levels::only(Level::Warn);
    let crit = Levels::only(Level::Crit);
    let (mut state, mut told) = (State::default(), Vec::new());
    state.step(&seen(warn, warn.complement()), at(0), &policy, &mut told);
    for tick in 1..=4 {
        state.step(&seen(crit, crit.complement()), at(10 * tick), &policy, &mut told);
    }
    let kinds: Vec<_> = told.iter().map(|event| (event.kind, event.level)).collect();
    assert_eq!(kinds, [(EventKind::Firing, Level::Warn), (EventKind::Escalated, Level::Crit)]);
}

#[test]
fn it_recovers_only_after_recover_for() {
    check(&recover_for(20), "96 1 2 3 4", "0 firing crit 96, 30 resolved crit 3");
    assert_eq!(end(&recover_for(20), "96 1 2").phase, Phase::Recovering(secs(10)));
    // Once more is no new episode, and the time begins again.
    check(&recover_for(20), "96 1 2 97 1 2 3", "0 firing crit 96, 60 resolved crit 3");
    // Between the thresholds it is not clear.
    check(
        &recover_for(20),
        "96 1 2 75 1 2 3",
        "0 firing crit 96, 30 deescalated warn 75, 60 resolved warn 3",
    );
    // What stands still goes on.
    check(&recover_for(20), "96 1 2 x x h 3 4", "0 firing crit 96, 70 resolved crit 4");
    check(&recover_for(20), "96 1 2 ~60 3 4", "0 firing crit 96, 640 resolved crit 4");
}

#[test]
fn clocks_stand_still_while_nobody_sees() {
    let policy = both_for(30, 30);
    check(&policy, "96 96 96 96", "30 firing crit 96");
    check(&policy, "96 96 x 96 96 96", "50 firing crit 96");
    check(&policy, "96 96 - 96 96 96", "50 firing crit 96");
    check(&policy, "96 96 h h h h h h 96 96 96", "100 firing crit 96");
    // An outage or a restart in the middle: it goes on where it was, and the gap does not count.
    check(&policy, "96 96 ~100 96 96 96", "1040 firing crit 96");
    // One missed tick hides little, and counts.
    check(&policy, "96 96 ~1 96 1", "30 firing crit 96, 40 resolved crit 1");
    check(&policy, "96 96 ~2 96 96 96", "60 firing crit 96");
}

#[test]
fn what_cannot_be_judged_changes_nothing() {
    check(&policy(), "96 x x x x x x x x 96", "0 firing crit 96");
    check(&policy(), "96 h h h h h h h h 96", "0 firing crit 96");
    check(&policy(), "96 ~1000 96", "0 firing crit 96");
    check(&policy(), "x h - - - - - x", "");
}

#[test]
fn a_tick_is_seen_once() {
    let mut teller = Teller::new();
    teller.tell("96", &policy());
    let before = teller.state.clone();
    teller.now = -20;
    teller.tell("1 1", &policy());
    assert_eq!((teller.state, teller.told.len()), (before, 1));
}

#[test]
fn absent_data_marks_an_alert_and_leaves_it() {
    let keep = absent(Then::Keep, None);
    check(&keep, "96 - - - - - - 96 1", "0 firing crit 96, 30 stale crit, 80 resolved crit 1");
    // Once in an episode, unless data came in between.
    check(&keep, "96 - - - - 96 - - - -", "0 firing crit 96, 30 stale crit, 80 stale crit");
    assert!(end(&keep, "96 - - - -").data.absent);
    assert!(!end(&keep, "96 - - - - +h").data.absent, "data that cannot be judged is data");
    // While it recovers, too.
    let slow = Policy { recover_for: secs(20), ..keep };
    check(&slow, "96 1 - - - - 1 1 1", "0 firing crit 96, 40 stale crit, 80 resolved crit 1");
}

#[test]
fn pending_is_frozen_and_then_dropped() {
    let policy = Policy { absence: absent(Then::Keep, None).absence, ..both_for(30, 30) };
    assert_eq!(end(&policy, "96 - -").phase, Phase::Pending(Level::Crit));
    assert_eq!(end(&policy, "96 - - -").phase, Phase::Inactive);
    check(&policy, "96 96 - - - 96 96 96", "");
}

#[test]
fn a_kept_alert_is_closed_after_a_while() {
    let policy = absent(Then::Keep, Some(20));
    check(&policy, "96 - - - - - 1", "0 firing crit 96, 30 stale crit, 50 closed crit");
    let mut teller = Teller::new();
    teller.tell("96 96 - - - - -", &policy);
    assert_eq!(teller.told[2].reason, Some(Reason::Absent(secs(51))), "the sample was one second old");
}

#[test]
fn absence_can_resolve_where_the_rule_says_so() {
    check(
        &absent(Then::Resolve, None),
        "96 - - - - 96",
        "0 firing crit 96, 30 resolved crit, 50 firing crit 96",
    );
    check(&absent(Then::Resolve, None), "96 x x x x x x x x - - 96", "0 firing crit 96");
    check(&absent(Then::Resolve, None), "96 ~100 - - 96", "0 firing crit 96");
}

#[test]
fn absence_can_be_the_alarm() {
    let warn = absent(Then::Alert(Level::Warn), Some(20));
    // `close_after` does not close what absence began.
    let deadman = format!("1 {} 1", "- ".repeat(20));
    check(&warn, &deadman, "30 firing warn, 210 resolved warn 1");
    // It raises what fires at a lower level, and leaves what fires at a higher one.
    check(&warn, "96 - - -", "0 firing crit 96, 30 stale crit");
    let crit = absent(Then::Alert(Level::Crit), None);
    check(&crit, "85 - - - 82", "0 firing warn 85, 30 stale warn, 30 escalated crit, 40 deescalated warn 82");
    // What recovers is an alarm again.
    let slow = Policy { recover_for: secs(100), ..crit };
    assert_eq!(end(&slow, "96 1 1 - - - -").phase, Phase::Firing);
}

#[test]
fn a_level_that_the_rule_lacks_ends_with_the_absence() {
    let info = absent(Then::Alert(Level::Info), None);
    check(&info, "- - - - - 1", "30 firing info, 50 resolved info 1");
}

#[test]
fn a_heartbeat_that_stops_and_comes_back() {
    let policy = absent(Then::Alert(Level::Crit), None);
    check(&policy, "b q b q q q q b", "50 firing crit, 70 resolved crit");
    check(&policy, "b ~100 q q b", "");
    // Never seen, only expected: the clock runs from the first look.
    check(&policy, "- - - -", "30 firing crit");
}

#[test]
fn patience_follows_the_samples() {
    let policy = with(|policy| policy.absence.after = After::Intervals(3.0));
    // Every tick, so three ticks are the patience.
    check(&policy, "96 96 - - -", "0 firing crit 96, 40 stale crit");
    // Every third tick: it is patient for ninety seconds.
    let slow = format!("{}{}", "96 h h ".repeat(3), "- ".repeat(7));
    check(&policy, &slow, "0 firing crit 96, 150 stale crit");
    assert_eq!(end(&policy, &"96 h h ".repeat(3)).data.interval, Some(secs(30)));
    // It grows at once, and comes back in steps.
    let mut teller = Teller::new();
    teller.tell(&"96 h h ".repeat(2), &policy);
    let mut seen = Vec::new();
    for _ in 0..9 {
        teller.tell("96", &policy);
        seen.extend(teller.state.data.interval.map(|interval| interval.as_millis()));
    }
    assert_eq!(seen, [30_000, 25_000, 20_000, 17_500, 15_000, 12_500, 10_000, 10_000, 10_000]);
}

#[test]
fn reminders_come_while_it_fires_whatever_is_seen() {
    let policy = with(|policy| policy.reminder = secs(30));
    check(&policy, "96 97 99 98 97", "0 firing crit 96, 30 reminder crit 98");
    check(&policy, "96 x x x x x x", "0 firing crit 96, 30 reminder crit, 60 reminder crit");
    // Not while it recovers, and counted from the last word.
    let slow = Policy { recover_for: secs(300), ..policy };
    check(&slow, "96 1 1 1 1 1", "0 firing crit 96");
    check(&policy, "85 85 96 96 96 96", "0 firing warn 85, 20 escalated crit 96, 50 reminder crit 96");
}

#[test]
fn the_worst_value_is_told_and_that_of_the_whole() {
    let policy = with(|policy| policy.reminder = secs(20));
    let mut teller = Teller::new();
    teller.tell("96 99 97 98 1", &policy);
    let worst: Vec<_> = teller.told.iter().map(|event| (event.extreme, event.peak)).collect();
    let (first, peak) = (Some((96.0, at(0))), Some((99.0, at(10))));
    assert_eq!(worst, [(Some(96.0), first), (Some(99.0), peak), (Some(98.0), peak)]);
    let lower = Policy { worse: Worse::Lower, ..policy };
    let mut teller = Teller::new();
    teller.tell("98 96 97", &lower);
    assert_eq!(teller.told[1].extreme, Some(96.0));
}

#[test]
fn flapping_is_told_once_until_it_is_calm() {
    let policy = with(|policy| policy.flap = Flap { window: secs(100), max: 2 });
    check(
        &policy,
        "96 1 96 1 96 1 96",
        "0 firing crit 96, 10 resolved crit 1, 20 firing crit 96, 30 resolved crit 1, \
         40 firing crit 96, 40 flapping crit 96, 50 resolved crit 1, 60 firing crit 96",
    );
    let mut teller = Teller::new();
    teller.tell("96 1 96 1 96", &policy);
    assert_eq!(
        teller.told.iter().map(|event| event.flapping).collect::<Vec<_>>(),
        [false, false, false, false, true, true]
    );
    teller.tell("96 96 96 96 96 96 96", &policy);
    assert!(teller.state.flapping, "two beginnings of the last hundred seconds are left");
    teller.tell("96", &policy);
    assert!(!teller.state.flapping, "one is left");
    // To fire again after it was nearly over counts as well.
    let slow = Policy { recover_for: secs(50), ..policy };
    check(&slow, "96 1 96 1 96", "0 firing crit 96, 40 flapping crit 96");
    assert!(end(&slow, &"96 1 ".repeat(40)).begins.len() <= 3, "what is kept has a bound");
}

#[test]
fn what_only_goes_on_costs_nothing() {
    let written = |policy: &Policy, story: &str| {
        let mut teller = Teller::new();
        teller.tell(story, policy);
        teller.written
    };
    let quiet = "1 2 3 4 5 6 7 8 9";
    // The first tick, and the third, which knows the interval.
    assert_eq!(written(&policy(), quiet), 2);
    assert_eq!(written(&both_for(600, 600), "96 97 98 99 98 97"), 2, "while it is pending");
    assert_eq!(written(&policy(), "96 95 95 95 95 95"), 3, "while it fires, and gets no worse");
    assert_eq!(written(&recover_for(600), "96 1 2 3 4 5 6"), 3, "while it recovers");
    assert_eq!(written(&policy(), "1 x x x x x x h h h h h h"), 3);
    // A gap is written, and what comes behind it goes on.
    assert_eq!(written(&policy(), &format!("{quiet} ~100 {quiet}")), 3);
}

#[test]
fn an_end_without_recovery_is_closed() {
    let mut state = end(&policy(), "85 96");
    let closed = state.close(at(20), Reason::Other("the rule was removed".into())).unwrap();
    assert_eq!((closed.kind, closed.level, closed.value), (EventKind::Closed, Level::Crit, None));
    assert_eq!(closed.reason, Some(Reason::Other("the rule was removed".into())));
    assert_eq!((state.phase, state.episode.clone(), state.held), (Phase::Inactive, None, [None; 3]));
    assert_eq!(state.close(at(30), Reason::Other(String::new())), None);
    let mut pending = end(&both_for(30, 30), "96");
    assert_eq!(pending.close(at(20), Reason::Other(String::new())), None);
    assert_eq!(pending.phase, Phase::Inactive);
}

#[test]
fn an_edit_decides_nothing_by_itself() {
    let mut teller = Teller::new();
    teller.tell("96 96", &policy());
    // `for` grows: what fires stays.
    teller.tell("96 96", &both_for(600, 600));
    assert_eq!((teller.state.level(), teller.told.len()), (Some(Level::Crit), 1));
    // The level is taken away: the next tick that can judge puts it where it belongs.
    let warn_only = with(|policy| policy.hold = [None, Some(Duration::ZERO), None]);
    teller.tell("x h -", &warn_only);
    assert_eq!(teller.state.level(), Some(Level::Crit));
    teller.tell("90", &warn_only);
    assert_eq!(teller.told.last().map(|event| event.kind), Some(EventKind::Deescalated));
    // A longer `for` keeps a pending instance, a shorter one lets it fire.
    let mut teller = Teller::new();
    teller.tell("96 96 96", &both_for(60, 60));
    teller.tell("96", &both_for(20, 20));
    assert_eq!(teller.told.len(), 1);
}
