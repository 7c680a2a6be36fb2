//! When rules are evaluated, over what, and what follows: on a clock that stands still until it is told.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_rules::Config;
use sereno_runtime::sim_disk::{Call, EIO, Fault};
use sereno_runtime::{ManualClock, Metrics, SimDisk};
use sereno_storage::{Row, Store};

use crate::Bench;

/// A second in the middle of a day, on the grid of every rule here.
const START: i64 = 1_700_000_040;

pub(crate) struct Story {
    pub(crate) bench: Bench,
    pub(crate) clock: Arc<ManualClock>,
    evaluated: f64,
}

impl Story {
    /// The clock stands half a second before [`START`].
    pub(crate) fn new(rules: &str, scripts: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(at(-0.5)));
        let mut files = vec![("rules/all.yaml", rules)];
        files.extend(scripts);
        Self::of(Bench::start_at(&files, Config::default(), clock.clone()), clock)
    }

    pub(crate) fn of(bench: Bench, clock: Arc<ManualClock>) -> Self {
        let found = &bench.rules.generation().diagnostics;
        assert!(found.is_empty(), "{found:?}");
        Self { bench, clock, evaluated: 0.0 }
    }

    /// The rules stop, and start again at the same moment.
    pub(crate) fn restart(self) -> Self {
        let Self { bench, clock, .. } = self;
        assert_eq!(bench.rules.stop(crate::PATIENCE), Vec::<String>::new());
        let Bench { folder, store, .. } = bench;
        Self::of(Bench::start_rules(folder, Config::default(), clock.clone(), store), clock)
    }

    /// Stores a sample of `series`, in the text form, `second` seconds after the start.
    pub(crate) fn sample(&self, series: &str, second: f64, value: f64) {
        let key: SeriesKey = series.parse().unwrap();
        let id = self.bench.store.series(&key).unwrap();
        assert!(self.bench.store.append(vec![Row::at(id, at(second), value)]).wait().is_ok());
    }

    /// Moves the clock, and waits until this many rules have been evaluated.
    pub(crate) fn go_to(&mut self, second: f64, evaluations: u32) {
        self.clock.step_to(at(second));
        self.bench.rules.wake();
        self.evaluated += f64::from(evaluations);
        let wanted = self.evaluated;
        self.bench.until("the evaluations", |bench| bench.metric("rule_evaluations_total") >= wanted);
        assert_eq!(self.bench.metric("rule_evaluations_total"), wanted);
    }

    pub(crate) fn rule_count(&self) -> usize {
        self.bench.rules.generation().rules.len()
    }

    /// What was told since the last look, with seconds since the start; not what the engine says of itself.
    pub(crate) fn told(&mut self) -> String {
        let mut told = Vec::new();
        while let Some(notification) = self.bench.notifications.try_recv() {
            if notification.rule == "sereno.rules" {
                continue;
            }
            let second = notification.tick.since(at(0.0)).as_secs_f64();
            told.push(format!("{second}s {} | {}", notification.event_id, notification.message));
        }
        told.sort();
        told.join("\n")
    }
}

pub(crate) fn at(second: f64) -> Timestamp {
    Timestamp::from_nanos(START * 1_000_000_000 + (second * 1e9) as i64)
}

#[test]
fn a_rule_of_the_original_fires_reminds_and_resolves() {
    let mut story = Story::new(
        "rules: [{ id: foo_high, metric: foo, agg: mean, window: 10s, limit: 10, reminder: 20s }]",
        &[],
    );
    let mut told = Vec::new();
    for (window, value) in [9.0, 12.0, 14.0, 11.0, 3.0, 2.0].into_iter().enumerate() {
        let start = 10.0 * window as f64;
        story.sample("foo", start + 1.0, value);
        story.go_to(start + 5.0, if window == 0 { 1 } else { 0 });
        story.go_to(start + 10.0, 1);
        told.push(story.told());
    }
    insta::assert_snapshot!(told.join("\n"), @r"

    20s foo_high/1700000060/firing/1 | foo_high: mean(foo) over 10s is 12 (>= 10)

    40s foo_high/1700000060/reminder/2 | foo_high: mean(foo) over 10s is 11 (>= 10), highest 14
    50s foo_high/1700000060/resolved/3 | foo_high: resolved, mean(foo) over 10s is 3
    ");
}

#[test]
fn windows_are_right_open_and_lie_on_the_grid() {
    let mut story = Story::new("rules: [{ id: seen, metric: m, agg: max, window: 10s, limit: 1 }]", &[]);
    story.sample("m", 10.0, 5.0);
    // Late by three seconds: the tick is the one that was due, and the sample on its edge belongs to the next.
    story.go_to(13.0, 1);
    assert_eq!(story.told(), "");
    story.go_to(20.0, 1);
    insta::assert_snapshot!(story.told(), @"20s seen/1700000060/firing/1 | seen: max(m) over 10s is 5 (>= 1)");
    // Nothing is in the window any more: the alert is held, not resolved.
    story.go_to(30.0, 1);
    assert_eq!(story.told(), "");
}

#[test]
fn a_clock_that_steps_neither_repeats_nor_makes_up() {
    let mut story = Story::new("rules: [{ id: c, metric: m, agg: count, window: 10s, limit: 1 }]", &[]);
    story.go_to(0.0, 1);
    story.sample("m", 1.0, 5.0);
    story.go_to(10.0, 1);
    insta::assert_snapshot!(story.told(), @"10s c/1700000050/firing/1 | c: count(m) over 10s is 1 (>= 1)");
    // Back by an hour: the ticks that were seen are not seen again.
    story.go_to(-3_600.0, 0);
    story.go_to(10.0, 0);
    // Forward over five ticks: the newest is evaluated, four are missed.
    assert_eq!(story.bench.metric("rule_missed_ticks_total"), 0.0);
    story.go_to(61.0, 1);
    assert_eq!(story.bench.metric("rule_missed_ticks_total"), 4.0);
    insta::assert_snapshot!(story.told(), @"60s c/1700000050/resolved/2 | c: resolved, count(m) over 10s is 0");
}

#[test]
fn instances_are_told_apart_by_labels() {
    let rules = r#"
rules:
  - { id: each, metric: "disk.*", where: { mount: "!/tmp" }, by: [mount], agg: max, window: 10s, below: 5,
      message: "${labels.mount} has ${fmt(v, 1)} from ${n}" }
  - { id: every, metric: disk.free, by: "*", agg: min, window: 10s, below: 5, level: warn }
  - { id: all, metric: disk.free, by: [], agg: sum, window: 10s, below: 5 }
"#;
    let mut story = Story::new(rules, &[]);
    story.go_to(0.0, 3);
    story.sample(r#"disk.free{host="a",mount="/"}"#, 1.0, 2.0);
    story.sample(r#"disk.free{host="a",mount="/"}"#, 2.0, 3.0);
    story.sample(r#"disk.free{host="b",mount="/data"}"#, 1.0, 9.0);
    story.sample(r#"disk.free{host="b",mount="/tmp"}"#, 1.0, 1.0);
    story.go_to(10.0, 3);
    insta::assert_snapshot!(story.told(), @r#"
    10s each{mount="/"}/1700000050/firing/1 | / has 3.0 from 2
    10s every{host="a",mount="/"}/1700000050/firing/1 | every{host="a",mount="/"}: min(disk.free) over 10s is 2 (< 5)
    10s every{host="b",mount="/tmp"}/1700000050/firing/1 | every{host="b",mount="/tmp"}: min(disk.free) over 10s is 1 (< 5)
    "#);
}

#[test]
fn an_empty_window_counts_nothing_and_else_stands_in() {
    let rules = "
rules:
  - { id: count, metric: m, agg: count, window: 10s, below: 1 }
  - { id: mean, metric: m, agg: mean, window: 10s, below: 1 }
  - { id: else, metric: never, agg: mean, window: 10s, below: 1, else: 0 }
";
    let mut story = Story::new(rules, &[]);
    story.sample("m", -5.0, 7.0);
    story.go_to(0.0, 3);
    insta::assert_snapshot!(story.told(), @"0s else/1700000040/firing/1 | else: mean(never) over 10s is 0 (< 1)");
    story.go_to(10.0, 3);
    insta::assert_snapshot!(story.told(), @"10s count/1700000050/firing/1 | count: count(m) over 10s is 0 (< 1)");
}

#[test]
fn scripts_remember_and_an_error_holds_the_alert() {
    let script = r#"
fn init() { #{ seen: 0 } }
fn check(s) {
    this.seen += 1;
    if s.value < 0 { throw "negative" }
    if s.value >= s.params.limit { alert("warn", s.value) } else { ok(this.seen) }
}
fn message(a) { `${a.labels.host} is at ${a.value}` }
"#;
    let rules = "rules: [{ id: odd, metric: m, by: [host], agg: max, script: odd.rhai, window: 10s, every: 10s, params: { limit: 5 } }]";
    let mut story = Story::new(rules, &[("scripts/rules/odd.rhai", script)]);
    story.go_to(0.0, 1);
    let mut told = Vec::new();
    for (window, value) in [1.0, 6.0, -1.0, 2.0].into_iter().enumerate() {
        let start = 10.0 * window as f64;
        story.sample(r#"m{host="a"}"#, start + 1.0, value);
        story.go_to(start + 10.0, 1);
        told.push(story.told());
    }
    // The failed tick changed nothing: the last one is the third that the memory counts.
    insta::assert_snapshot!(told.join("\n"), @r#"

    20s odd{host="a"}/1700000060/firing/1 | a is at 6.0

    40s odd{host="a"}/1700000060/resolved/2 | odd{host="a"}: resolved, value is 3
    "#);
    assert_eq!(story.bench.metric("rule_errors_total"), 1.0);
}

/// Until the log is read back nobody knows what there is: the rule that would take silence for an alert must not.
#[test]
fn a_tick_over_a_store_that_recovers_is_unobserved() {
    let (disk, clock) = (SimDisk::new(), Arc::new(ManualClock::new(at(-0.5))));
    let config = sereno_storage::Config { directory: "/data".into(), ..Default::default() };
    let open = |disk: &SimDisk| {
        Store::open(&config, Arc::new(disk.clone()), clock.clone(), &Metrics::default()).unwrap()
    };
    let store = open(&disk);
    let id = store.series(&"m".parse().unwrap()).unwrap();
    let rows = [-5.0, 5.0, 15.0].map(|second| Row::at(id, at(second), 7.0));
    assert!(store.append(rows.to_vec()).wait().is_ok());
    let disk = disk.kill();
    disk.fail(Fault::always(Call::Read, EIO).within("/wal/"));
    let rules = "
rules:
  - { id: silent, metric: m, agg: count, window: 10s, below: 1, else: 0 }
  - { id: high, metric: m, agg: max, window: 10s, limit: 5 }
";
    let store = open(&disk);
    let bench = Bench::start_over(&[("rules/all.yaml", rules)], clock.clone(), store.clone());
    let mut story = Story::of(bench, clock.clone());
    for tick in [0.0, 10.0] {
        clock.step_to(at(tick));
        story.bench.rules.wake();
        let unobserved = 2.0 * (tick / 10.0 + 1.0);
        story.bench.until("the tick", |bench| bench.metric("rule_unobserved_ticks_total") >= unobserved);
    }
    assert_eq!(story.told(), "");
    assert_eq!(story.bench.metric("rule_errors_total") + story.bench.metric("rule_evaluations_total"), 0.0);
    disk.heal();
    assert!(!store.wait_recovered().is_damaged());
    story.go_to(20.0, 2);
    insta::assert_snapshot!(story.told(), @"20s high/1700000060/firing/1 | high: max(m) over 10s is 7 (>= 5)");
}

#[test]
fn stopping_waits_for_what_was_started() {
    let mut story = Story::new("rules: [{ id: c, metric: m, agg: count, window: 10s, limit: 1 }]", &[]);
    story.sample("m", 1.0, 5.0);
    story.clock.advance(Duration::from_secs(11));
    story.bench.rules.wake();
    story.bench.until("the tick", |bench| bench.metric("rule_evaluations_total") > 0.0);
    assert_eq!(story.bench.rules.stop(crate::PATIENCE), [""; 0]);
    assert!(!story.told().is_empty());
    assert!(story.bench.rules.reload(true).is_none(), "who comes too late is told so");
}
