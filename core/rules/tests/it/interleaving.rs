//! However many workers there are, and however they interleave: the same events in the same order within each rule, and
//! the same listing after each tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_rules::Config;
use sereno_runtime::ManualClock;

use crate::Bench;
use crate::ticks::{Story, at};

const COUNTS: (&str, &str) = (
    "scripts/rules/counts.rhai",
    "fn init() { #{ ticks: 0 } }
     fn check(s) {
         this.ticks += 1;
         let v = s.value;
         if v == () { absent(\"nothing\") } else if v + this.ticks % 3 > 6 { alert(\"warn\", v + this.ticks) } else { ok(v) }
     }
     fn message(a) { `${a.labels.host} after ${a.value}` }",
);

/// Many rules, some of which wait for others.
fn rules() -> String {
    let mut text = String::from("rules:\n");
    for n in 0..300 {
        let every = [1, 2, 5][n % 3];
        let keys = format!("metric: m{}, window: {every}s, every: {every}s", n % 7);
        text.push_str(&match n % 5 {
            0 => format!("  - {{ id: a{n}, {keys}, by: [host], agg: max, limit: 5 }}\n"),
            1 => format!("  - {{ id: b{n}, {keys}, by: [], agg: sum, limit: 8, for: {every}s }}\n"),
            2 => format!("  - {{ id: c{n}, {keys}, by: [host], agg: max, script: counts.rhai }}\n"),
            3 => format!(
                "  - {{ id: d{n}, {keys}, by: [host], agg: min, limit: 4, suppressed_by: [ {{ rule: a{} }} ] }}\n",
                (n / 3 * 3 + 270) / 15 * 15 % 300
            ),
            _ => format!("  - {{ id: e{n}, {keys}, by: [host], agg: mean, limit: 3, after: [ b{} ] }}\n", n - 3),
        });
    }
    text
}

type Events = BTreeMap<String, Vec<String>>;

/// What is told of each rule, and what is listed after each tick.
fn play(workers: usize, seed: u64) -> (Events, Vec<String>) {
    let clock = Arc::new(ManualClock::new(at(-0.5)));
    let rules = rules();
    let config = Config { workers, ..Config::default() };
    let mut story =
        Story::of(Bench::start_at(&[("rules/all.yaml", &rules), COUNTS], config, clock.clone()), clock);
    let mut random = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut events, mut listings) = (Events::new(), Vec::new());
    for second in 0..12 {
        for metric in 0..7 {
            for host in ["x", "y", "z"] {
                if next(4) > 0 {
                    let value = next(10) as f64;
                    let time = f64::from(second) - 0.25;
                    story.sample(&format!("m{metric}{{host=\"{host}\"}}"), time, value);
                }
            }
        }
        let due = (0..300_u32).filter(|n| second % [1, 2, 5][(*n % 3) as usize] == 0).count() as u32;
        story.go_to(f64::from(second), due);
        while let Some(told) = story.bench.notifications.try_recv() {
            if told.rule == "sereno.rules" {
                continue;
            }
            let muted = told.suppressed_by.as_deref().unwrap_or("-");
            let line = format!("{} {} {muted} {}", told.tick, told.event_id, told.message);
            events.entry(told.rule.clone()).or_default().push(line);
        }
        listings.push(format!("{:?}", story.bench.rules.alerts()));
    }
    (events, listings)
}

#[test]
fn workers_change_nothing_but_the_time_it_takes() {
    let seeds = if std::env::var_os("SERENO_TEST_THOROUGH").is_some() { 1..=5 } else { 1..=1 };
    for seed in seeds {
        let (events, listings) = play(1, seed);
        assert!(events.len() > 100 && events.values().flatten().any(|line| !line.contains(" - ")), "{seed}");
        for workers in [2, 8] {
            let (others, listed) = play(workers, seed);
            for (rule, told) in &events {
                assert_eq!(Some(told), others.get(rule), "{rule} with {workers} workers, seed {seed}");
            }
            assert_eq!(events.len(), others.len());
            assert_eq!(listings, listed, "{workers} workers, seed {seed}");
        }
    }
}
