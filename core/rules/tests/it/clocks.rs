//! Wall clocks that step: no tick is evaluated twice, and none is lost without being counted.

use std::collections::BTreeMap;

use sereno_model::Timestamp;

use crate::ticks::{Story, at};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const YEARS: f64 = 3_650.0 * DAY;

/// Tells something at every tick: it fires and resolves in turn.
const TURNS: (&str, &str) =
    ("scripts/rules/turns.rhai", "fn init() { #{ on: false } } fn check(s) { this.on = !this.on; this.on }");

/// The ticks of each rule, as they were told.
fn ticks(story: &mut Story, seen: &mut BTreeMap<String, Vec<Timestamp>>) {
    while let Some(told) = story.bench.notifications.try_recv() {
        if told.rule != "sereno.rules" {
            seen.entry(told.rule.clone()).or_default().push(told.tick);
        }
    }
}

#[test]
fn no_tick_is_doubled_and_none_is_lost_uncounted() {
    let rules = "
rules:
  - { id: one, metric: m, by: [], script: turns.rhai, window: 1s, every: 1s }
  - { id: five, metric: m, by: [], script: turns.rhai, window: 5s, every: 5s }
  - { id: minute, metric: m, by: [], script: turns.rhai, window: 1m, every: 1m, settle: 2s }
";
    let everies = [("one", 1.0), ("five", 5.0), ("minute", 60.0)];
    for steps in [
        vec![1.0, -1.0, 1.0, 1.0],
        vec![HOUR, -HOUR, 2.0 * HOUR],
        vec![30.0, -DAY, DAY, 60.0],
        vec![7.0, -YEARS, YEARS, 5.0, 0.3, -0.2, 1.0],
        vec![YEARS, 3.0, 61.0],
    ] {
        let mut story = Story::new(rules, &[TURNS]);
        story.sample("m", -0.75, 1.0);
        let (mut seen, mut now, mut newest) = (BTreeMap::new(), 0.0, 0.0_f64);
        for step in std::iter::once(0.0).chain(steps.iter().copied()) {
            now += step;
            newest = newest.max(now);
            story.clock.step_to(at(now));
            story.bench.rules.wake();
            // Every slot up to now has been evaluated or counted as missed.
            let due = |every: f64, settle: f64| ((now - settle) / every).floor();
            story.bench.until("the ticks", |bench| {
                let rules = bench.rules.rules();
                everies.iter().all(|(id, every)| {
                    let status = rules.iter().find(|status| &*status.id == *id).unwrap();
                    let settle = if *id == "minute" { 2.0 } else { 0.0 };
                    // The first slot is the one at 0, but for `settle`, which lets the one before in.
                    let slots = due(*every, settle) + 1.0;
                    (status.evaluations + status.missed_ticks) as f64 >= slots
                })
            });
        }
        let evaluated: u64 = story.bench.rules.rules().iter().map(|status| status.evaluations).sum();
        // What is told comes a little later, when it has been kept.
        story.bench.until("the word", |bench| bench.metric("rule_evaluations_total") >= evaluated as f64);
        story
            .bench
            .until("all to be told", |bench| bench.metric("queue_depth{queue=\"rules_journal\"}") == 0.0);
        ticks(&mut story, &mut seen);
        for status in story.bench.rules.rules() {
            // A rule that was first due when the sample was too old to be kept has nothing to tell of.
            let Some(told) = seen.get(&*status.id) else { continue };
            assert!(told.is_sorted_by(|a, b| a < b), "{steps:?}: {} was told {told:?}", status.id);
            assert_eq!(told.len() as u64, status.evaluations, "{steps:?}: {}", status.id);
            let every = everies.iter().find(|(id, _)| *id == &*status.id).unwrap().1;
            // A tick may be missed because the rule was still being told of; then it is counted as missed.
            let settle = if *status.id == *"minute" { 2.0 } else { 0.0 };
            let slots = ((newest - settle) / every).floor() as u64 + 1;
            assert_eq!(status.evaluations + status.missed_ticks, slots, "{steps:?}: {}", status.id);
        }
    }
}
