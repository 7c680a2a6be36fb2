//! What holds for every story.

use proptest::prelude::*;

use super::*;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0_u64), Just(10), Just(20), Just(50)].prop_map(secs)
}

fn levels() -> impl Strategy<Value = Levels> {
    (0..8_u8).prop_map(Levels::from_bits)
}

fn level() -> impl Strategy<Value = Level> {
    proptest::sample::select(vec![Level::Info, Level::Warn, Level::Crit])
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let hold = proptest::array::uniform3(proptest::option::of(duration()));
    let then = prop_oneof![Just(Then::Keep), Just(Then::Resolve), level().prop_map(Then::Alert)];
    let after =
        prop_oneof![(1..5_u8).prop_map(|count| After::Intervals(count.into())), Just(After::Time(secs(30)))];
    let absence = (after, then, proptest::option::of(duration()));
    let every = prop_oneof![4 => Just(10_u64), 1 => Just(5), 1 => Just(30)];
    let flap = (1..4_usize, 20..200_u64);
    (hold, duration(), duration(), absence, flap, every, any::<bool>()).prop_map(
        |(hold, recover_for, reminder, (after, then, close_after), (max, window), every, lower)| Policy {
            every: secs(every),
            hold,
            recover_for,
            reminder,
            worse: if lower { Worse::Lower } else { Worse::Higher },
            flap: Flap { window: secs(window), max },
            absence: Absence { after, then, close_after },
        },
    )
}

fn any_seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        4 => (levels(), levels()).prop_map(|(when, clear)| Seen::Judged { when, clear: clear.and_not(when) }),
        2 => Just(Seen::Judged { when: Levels::NONE, clear: Levels::ALL }),
        1 => Just(Seen::Beat),
        2 => Just(Seen::Absent),
        1 => Just(Seen::Held),
        1 => Just(Seen::Failed),
    ]
}

#[derive(Clone, Debug)]
struct Step {
    seen: Seen,
    value: Option<f64>,
    /// How many seconds before the tick a sample came, if one did.
    age: Option<i64>,
    /// Ticks since the last one.
    ticks: i64,
    /// How often the same comes again.
    times: usize,
}

fn any_step() -> impl Strategy<Value = Step> {
    let value = proptest::option::of(-10.0..10.0_f64);
    let ticks = prop_oneof![8 => Just(1_i64), 1 => Just(2), 1 => 3..9_i64];
    (any_seen(), value, proptest::option::of(0..40_i64), ticks, 1..4_usize)
        .prop_map(|(seen, value, age, ticks, times)| Step { seen, value, age, ticks, times })
}

/// What a run does at each of its ticks: the states before and after, what was seen and told.
fn run(
    story: &[(Step, Policy)],
    mut each: impl FnMut(&State, &State, &Look, &Policy, &[Event]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut state, mut now, mut sample) = (State::default(), 0, None);
    for (step, policy) in story {
        for _ in 0..step.times {
            now += step.ticks * 10;
            sample = sample.max(step.age.map(|age| at(now - age)));
            // What the window holds is read again at every tick that reads anything.
            let newest = sample.filter(|_| !matches!(step.seen, Seen::Absent | Seen::Failed));
            let look = Look { seen: step.seen, value: step.value, newest };
            let (before, mut events) = (state.clone(), Vec::new());
            state.step(&look, at(now), policy, &mut events);
            each(&before, &state, &look, policy, &events)?;
        }
    }
    Ok(())
}

fn any_story(len_max: usize) -> impl Strategy<Value = Vec<(Step, Policy)>> {
    // A few policies, each for some steps: reloads in the middle.
    let part = (any_policy(), proptest::collection::vec(any_step(), 1..len_max));
    proptest::collection::vec(part, 1..4).prop_map(|parts| {
        parts
            .into_iter()
            .flat_map(|(policy, steps)| steps.into_iter().map(move |step| (step, policy)))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn only_a_verdict_or_the_rules_own_word_resolves(story in any_story(30)) {
        run(&story, |before, after, look, policy, events| {
            let resolved = events.iter().any(|event| event.kind == EventKind::Resolved);
            let all_clear = matches!(look.seen, Seen::Judged { when, .. } if when.is_empty())
                || look.seen == Seen::Beat;
            let may = all_clear || (after.data.absent && policy.absence.then == Then::Resolve);
            prop_assert!(!resolved || may, "{before:?} {look:?}");
            // Nor does it end without a word.
            let ended = before.episode.is_some() && after.episode.is_none();
            let told = events.iter().any(|event| matches!(event.kind, EventKind::Resolved | EventKind::Closed));
            prop_assert_eq!(ended, told);
            Ok(())
        })?;
    }

    #[test]
    fn what_cannot_be_judged_leaves_everything_as_it_was(story in any_story(30)) {
        run(&story, |before, after, look, _, events| {
            let held = matches!(look.seen, Seen::Held | Seen::Failed);
            if held || (look.seen == Seen::Absent && !after.data.absent) {
                prop_assert_eq!(after.phase, before.phase);
                prop_assert_eq!(after.held, before.held);
                prop_assert_eq!(after.level(), before.level());
                prop_assert!(events.iter().all(|event| event.kind == EventKind::Reminder));
            }
            if look.seen == Seen::Failed && look.newest.is_none() {
                prop_assert_eq!(after.data.quiet, before.data.quiet);
            }
            Ok(())
        })?;
    }

    #[test]
    fn state_and_events_agree(story in any_story(30)) {
        run(&story, |before, after, _, policy, events| {
            prop_assert_eq!(after.episode.is_some(), matches!(after.phase, Phase::Firing | Phase::Recovering(_)));
            // The level of the last event is the level that stands, and events count without a hole.
            let mut expected = before.episode.as_ref().map_or(0, |episode| episode.events);
            let mut firing = before.episode.is_some();
            for event in events {
                if event.kind == EventKind::Firing {
                    prop_assert!(!firing);
                    expected = 0;
                    firing = true;
                }
                prop_assert!(firing, "{:?} of nothing", event.kind);
                expected += 1;
                prop_assert_eq!(event.number, expected);
                firing &= !matches!(event.kind, EventKind::Resolved | EventKind::Closed);
            }
            prop_assert_eq!(firing, after.episode.is_some());
            let level = events.last().filter(|_| firing).map(|event| event.level).or(before.level());
            prop_assert!(!firing || after.level() == level);
            prop_assert!(after.begins.len() <= policy.flap.max + 1);
            Ok(())
        })?;
    }

    #[test]
    fn a_longer_for_demotes_nothing(story in any_story(30), more in duration()) {
        // Two states side by side from the first firing on; one of them under a longer `for`.
        let mut other: Option<State> = None;
        run(&story, |_, after, look, policy, _| {
            let longer = Policy { hold: policy.hold.map(|hold| hold.map(|hold| hold + more)), ..*policy };
            let tick = after.last.unwrap_or(at(0));
            match &mut other {
                Some(patient) => {
                    let level = patient.level();
                    patient.step(look, tick, &longer, &mut Vec::new());
                    prop_assert_eq!(patient.episode.is_some() && after.episode.is_none(), false);
                    if patient.episode.is_none() || after.episode.is_none() || patient.level() < level {
                        // Over, or lower for a reason that both had; what follows may differ.
                        other = None;
                    }
                }
                None if after.episode.is_some() => other = Some(after.clone()),
                None => {}
            }
            Ok(())
        })?;
    }

    /// What a log that keeps only the ticks at which more happened than went on restores.
    #[test]
    fn what_only_went_on_is_restored_without_being_written(story in any_story(30)) {
        let mut restored = State::default();
        run(&story, |before, after, look, policy, events| {
            let tick = after.last.unwrap_or(at(0));
            let went_on = after.only_went_on(before, policy.every);
            prop_assert!(!went_on || events.is_empty());
            if went_on { restored.go_on(tick, policy.every) } else { restored = after.clone() }
            // A server that starts again here reads the same window once more.
            let mut recalled = restored.clone();
            recalled.recall(look.newest);
            prop_assert_eq!(&recalled, after);
            Ok(())
        })?;
    }

    #[test]
    fn to_go_on_is_to_see_the_same(story in any_story(20), times in 1..5_i64) {
        let mut last = None;
        run(&story, |_, after, look, policy, _| {
            last = Some((after.clone(), *look, *policy));
            Ok(())
        })?;
        let Some((mut state, look, policy)) = last else { return Ok(()) };
        for _ in 0..times {
            let before = state.clone();
            let tick = before.last.unwrap_or(at(0)) + secs(10);
            let mut events = Vec::new();
            state.step(&Look { newest: None, value: None, ..look }, tick, &policy, &mut events);
            let mut gone_on = before.clone();
            gone_on.go_on(tick, policy.every);
            // Unless a clock ran out, both are one.
            prop_assert_eq!(gone_on == state, state.only_went_on(&before, policy.every) && gone_on.data == state.data);
            prop_assert!(state.only_went_on(&before, policy.every) || gone_on != state);
        }
    }
}
