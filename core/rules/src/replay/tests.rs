//! What was told live is what a replay of the stored history tells.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Notification, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{ManualClock, MemoryDisk, Metrics};
use sereno_script::Limits;
use sereno_storage::{Row, Store};

use super::recorded::Gap;
use super::{Recorded, Request, replay};
use crate::files::{Files, Script};
use crate::generation::{Generation, Host, load};
use crate::report::{Event, ReplayReport};
use crate::timeline::Timeline;

const START: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

fn second(second: u64) -> Timestamp {
    START + Duration::from_secs(second)
}

/// A server in virtual time, and what it has told.
struct Live {
    clock: Arc<ManualClock>,
    host: Host,
    store: Store,
    generation: Arc<Generation>,
    timeline: Timeline,
    told: Vec<Notification>,
    recorded: Recorded,
    after: Timestamp,
}

impl Live {
    fn new(rules: &str, scripts: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let host = Host { limits: Limits::default(), clock: clock.clone(), retention: None };
        let config = sereno_storage::Config {
            directory: "/".into(),
            queues: 2,
            writers: 1,
            future_max: Duration::ZERO,
            ..sereno_storage::Config::default()
        };
        let store =
            Store::open(&config, Arc::new(MemoryDisk::new()), clock.clone(), &Metrics::default()).unwrap();
        let _recovery = store.wait_recovered();
        let generation = Arc::new(generation(rules, scripts, &host));
        let timeline = Timeline::new(host.clone(), generation.clone());
        let after = START - Duration::from_nanos(1);
        let recorded = Recorded { since: Some(START), ..Recorded::default() };
        Self { clock, host, store, generation, timeline, told: Vec::new(), recorded, after }
    }

    fn send(&self, series: &str, time: Timestamp, value: f64) {
        let id = self.store.series(&series.parse::<SeriesKey>().unwrap()).unwrap();
        assert!(self.store.append(vec![Row::at(id, time, value)]).wait().is_ok());
    }

    /// Evaluates every tick up to a moment.
    fn run_to(&mut self, until: Timestamp) {
        while let Some(tick) = self.timeline.next_tick(self.after).filter(|tick| *tick <= until) {
            self.step_clock(tick);
            self.store.settle(tick);
            let snapshot = self.store.snapshot();
            self.told.extend(self.timeline.tick(tick, &snapshot).notifications);
            self.after = tick;
        }
        self.step_clock(until);
    }

    fn step_clock(&self, to: Timestamp) {
        self.clock.step_to(to);
    }

    /// Is down until a moment.
    fn down_until(&mut self, until: Timestamp) {
        let from = self.after + Duration::from_nanos(1);
        let to = until - Duration::from_nanos(1);
        if from <= to {
            for id in self.generation.rules.keys() {
                self.recorded.gaps.entry(id.clone()).or_default().push(Gap { from, to });
            }
            self.after = to;
        }
    }

    fn replay(&mut self, range: TimeRange, warm_up: bool) -> ReplayReport {
        self.recorded.late.extend(self.store.take_late());
        self.recorded.events = self.told.iter().map(Event::from).collect();
        let rules: BTreeSet<Arc<str>> = self.generation.rules.keys().cloned().collect();
        replay(&Request {
            host: &self.host,
            snapshot: &self.store.snapshot(),
            generation: self.generation.clone(),
            rules,
            instance: Vec::new(),
            range,
            warm_up,
            recorded: &self.recorded,
            compare: true,
            go_on: &|| true,
        })
    }
}

fn generation(rules: &str, scripts: &[(&str, &str)], host: &Host) -> Generation {
    let mut files = Files::default();
    files.rules.insert("rules.yaml".into(), Ok(rules.into()));
    for (place, text) in scripts {
        let script = Script { display: Path::new(place).to_owned(), content: Ok((*text).into()) };
        files.scripts.insert((*place).to_owned(), script);
    }
    let generation = load(files, host, None);
    assert!(!generation.has_errors(), "{:?}", generation.diagnostics);
    generation
}

const RULES: &str = r#"
rules:
  - { id: high, metric: cpu, by: [host], agg: mean, window: 30s, every: 10s, limit: 50 }
  - { id: low, metric: cpu, by: [host], agg: last, window: 20s, every: 5s, below: 20 }
  - { id: busy, metric: cpu, by: [], agg: count, window: 40s, every: 20s, limit: 6, else: 0 }
  - { id: grows, metric: cpu, by: [host], agg: increase, window: 30s, every: 10s, limit: 100 }
  - { id: odd, metric: cpu, by: [host], script: odd.rhai, window: 20s, every: 10s }
  - { id: silent, metric: cpu, by: [host], agg: age, lookback: 5m, every: 10s, limit: 40s }
  - { id: oldest, metric: cpu, by: [], agg: age, lookback: 2m, every: 20s, limit: 1m }
  - { id: beats, metric: cpu, by: [host], every: 10s, absent: 30s, expect: [ { host: "0" }, { host: "9" } ] }
  - id: both
    by: [host]
    every: 10s
    inputs:
      a: { metric: cpu, agg: max, window: 40s }
      b: { metric: mem, agg: min, window: 1m }
      c: { metric: cpu, agg: count, window: 20s, offset: 30s, else: 0 }
    value: "a - b"
    levels:
      warn: { when: "v > 10", for: 20s }
      crit: { when: "v > 60 && c > 0", clear: "v < 30" }
    require: "b.n >= 1"
    suppressed_by: [ silent ]
    absent: { after: 30s, then: resolve }
"#;
const ODD: (&str, &str) = (
    "rules/odd.rhai",
    "fn init() { #{ n: 0 } } fn check(s) { let v = s.series(\"20s\").last(); if v == () { return absent(\"none\") } if v > 60.0 { this.n += 1 } else { this.n = 0 } if this.n >= 2 { alert(\"warn\", v) } else { ok(v) } }",
);

/// What happens to a server.
#[derive(Clone, Debug)]
enum Deed {
    /// A sample of a host, some seconds before now.
    Send { metric: &'static str, host: u8, ago: u64, value: u8 },
    /// Time passes.
    Wait(u64),
    /// The server is down.
    Down(u64),
    /// The samples go to segments.
    Flush,
}

fn deed(ago: u64) -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => ("cpu|mem", 0..3_u8, 0..=ago, 0..100_u8).prop_map(|(metric, host, ago, value)| {
            Deed::Send { metric: if metric == "cpu" { "cpu" } else { "mem" }, host, ago, value }
        }),
        4 => (1..25_u64).prop_map(Deed::Wait),
        1 => (1..90_u64).prop_map(Deed::Down),
        1 => Just(Deed::Flush),
    ]
}

/// Does it all.
fn live(deeds: &[Deed]) -> Live {
    let mut live = Live::new(RULES, &[ODD]);
    let mut now: u64 = 0;
    for deed in deeds {
        match deed {
            Deed::Send { metric, host, ago, value } => {
                // In the middle of a second: a tick at this moment has looked at everything before it.
                let time = second(now.saturating_sub(*ago)) + Duration::from_millis(500);
                live.send(&format!("{metric}{{host=\"{host}\"}}"), time, f64::from(*value));
            }
            Deed::Wait(seconds) => {
                now += seconds;
                live.run_to(second(now));
            }
            Deed::Down(seconds) => {
                now += seconds;
                live.down_until(second(now));
            }
            Deed::Flush => live.store.flush().unwrap(),
        }
    }
    live
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_tells_what_was_told_live(deeds in proptest::collection::vec(deed(0), 1..60)) {
        let mut live = live(&deeds);
        let report = live.replay(TimeRange::new(START, live.after + Duration::from_nanos(1)), false);
        let told: Vec<Event> = live.told.iter().map(Event::from).collect();
        let against = report.against.unwrap();
        prop_assert_eq!(against.first_difference, None);
        prop_assert!(against.identical && report.inexact.is_none());
        prop_assert_eq!(serde_json::to_string(&report.events).unwrap(), serde_json::to_string(&in_order(told)).unwrap());
    }

    /// Where samples came late, either it says so or it makes no difference.
    #[test]
    fn a_replay_knows_when_it_is_inexact(deeds in proptest::collection::vec(deed(40), 1..60)) {
        let mut live = live(&deeds);
        let report = live.replay(TimeRange::new(START, live.after + Duration::from_nanos(1)), false);
        let identical = report.against.unwrap().identical;
        prop_assert!(identical || report.inexact.is_some());
    }
}

fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by(|a, b| (a.tick, &a.rule, &a.instance).cmp(&(b.tick, &b.rule, &b.instance)));
    events
}
