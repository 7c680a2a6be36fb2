//! The engine and the journal together: what is noted of every tick restores what the engine has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::SeriesKey;
use sereno_runtime::sim_disk::Rng;
use sereno_runtime::{Clock as _, ManualClock, MemoryDisk, Metrics};
use sereno_script::Limits;
use sereno_storage::{Row, Store};

use super::super::convert::{put, take};
use super::super::mirror::Mirror;
use super::super::record::{Record, SavedRule, TickRecord};
use super::super::{through_restart, wire};
use super::world::at;
use crate::evaluate::{Detail, Parents, Tick};
use crate::files::Files;
use crate::generation::{Generation, Host, load};
use crate::timeline::Timeline;

const RULES: &str = "
defaults: { every: 10s }
rules:
  - id: levels
    metric: cpu
    by: [host]
    agg: max
    window: 20s
    levels:
      warn: { when: 'v >= 2', clear: 'v < 1.5', for: 20s }
      crit: { when: 'v >= 3', for: 10s }
    recover_for: 20s
    absent: { after: 3x, close_after: 2m }
  - { id: errors, metric: cpu, by: [host], agg: mean, window: 30s, limit: 2, require: 'n >= 2', suppressed_by: [levels] }
  - { id: beat, metric: cpu, by: [host], absent: { after: 1m, then: alert } }
  - { id: aged, metric: cpu, by: [host], agg: age, lookback: 10m, limit: 45s }
  - { id: script, metric: cpu, by: [host], agg: mean, window: 30s, script: odd.rhai }
";
const SCRIPT: &str = "
fn init() { #{ seen: 0 } }
fn check(s) {
    if s.value > 3.7 { throw \"too much\" }
    if s.value > 2.5 { this.seen += 1; }
    trace(\"seen\", this.seen);
    if this.seen % 3 == 2 { alert(\"warn\", s.value) } else { ok(s.value) }
}
";

/// Nothing is asked of other rules.
struct Alone;

impl Parents for Alone {
    fn standing(&self, _: &str) -> Option<Arc<[crate::instance::Standing]>> {
        None
    }
}

fn host() -> (Host, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at(0)));
    (Host { limits: Limits::default(), clock: clock.clone(), retention: None }, clock)
}

fn generation(host: &Host) -> Arc<Generation> {
    let mut files = Files::default();
    files.rules.insert("a.yaml".into(), Ok(RULES.into()));
    let place = PathBuf::from("scripts/rules/odd.rhai");
    let script = crate::files::Script { display: place.clone(), content: Ok(SCRIPT.into()) };
    files.scripts.insert("rules/odd.rhai".into(), script);
    let generation = load(files, host, None);
    let found: Vec<String> = generation.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(generation.rules.len(), 5, "{}", found.join("\n"));
    Arc::new(generation)
}

fn store(host: &Host) -> Store {
    let config = sereno_storage::Config {
        directory: "/".into(),
        queues: 1,
        writers: 1,
        wal_reserve_bytes: 0,
        future_max: Duration::ZERO,
        retention: Duration::ZERO,
        ..sereno_storage::Config::default()
    };
    let store =
        Store::open(&config, Arc::new(MemoryDisk::new()), host.clock.clone(), &Metrics::default()).unwrap();
    drop(store.wait_recovered());
    store
}

/// Through bytes and back.
fn written(tick: TickRecord) -> Record {
    let bytes = prost::Message::encode_to_vec(&put(&Record::Tick(tick), 1));
    let frame: wire::Frame = prost::Message::decode(&bytes[..]).unwrap();
    take(frame.body.unwrap()).unwrap().0
}

/// The state of a rule as a start restores it, once it has read the windows of the last tick again.
fn restarted(
    mirror: &Mirror,
    number: u32,
    rule: &crate::rule::Rule,
    host: &Host,
    store: &Store,
) -> SavedRule {
    let mut state = mirror.rules.get(&number).cloned().unwrap_or_default().restore();
    if let Some(last) = state.last {
        let snapshot = store.snapshot().at(last);
        let tick = Tick {
            host,
            snapshot: &snapshot,
            tick: last,
            generation: 1,
            parents: &Alone,
            detail: Detail::None,
        };
        tick.recall(rule, &mut state);
    }
    SavedRule::of(&state)
}

/// Without what a quiet instance shows to people only.
fn decisive(mut rule: SavedRule) -> SavedRule {
    rule.instances.values_mut().for_each(|instance| instance.value = None);
    rule
}

#[test]
fn what_is_noted_of_every_tick_restores_what_the_engine_has() {
    for seed in 0..6 {
        let (host, clock) = host();
        let generation = generation(&host);
        let store = store(&host);
        let keys = ["a", "b"].map(|host| SeriesKey::new("cpu", [("host", host)]).unwrap());
        let ids: Vec<_> = keys.iter().map(|key| store.series(key).unwrap()).collect();
        let mut timeline = Timeline::new(host.clone(), generation.clone());
        timeline.detail = Detail::Events;
        let (mut rng, mut mirror, mut now) = (Rng::new(seed), Mirror::default(), 1_000);
        let (mut quiet, mut values, mut evidence) = ([0_u64; 2], [0.0; 2], 0);
        let (mut instances, mut written_instances) = (0, 0);
        for _ in 0..150 {
            let step = if rng.chance(1, 25) { 10 * (1 + rng.below(8) as i64) } else { 10 };
            for (index, id) in ids.iter().enumerate() {
                if quiet[index] == 0 && rng.chance(1, 15) {
                    quiet[index] = rng.below(12);
                }
                quiet[index] = quiet[index].saturating_sub(1);
                if quiet[index] == 0 {
                    if rng.chance(1, 8) {
                        values[index] = rng.below(40) as f64 / 10.0;
                    }
                    let value = values[index];
                    let time = at(now + step) - Duration::from_millis(4_000 + rng.below(900));
                    assert!(store.append(vec![Row::at(*id, time, value)]).wait().is_ok());
                }
            }
            now += step;
            let tick = at(now);
            clock.advance(tick.since(clock.now()));
            let outcome = timeline.tick(tick, &store.snapshot());
            let mut record = TickRecord { tick, every: Duration::from_secs(10), ..TickRecord::default() };
            for (id, mut outcome) in outcome.rules {
                let number = generation.rules.keys().position(|known| *known == id).unwrap() as u32;
                record.note(number, &timeline.states()[&id], &mut outcome);
            }
            evidence += record.evidence.len();
            instances += timeline.states().values().map(|state| state.instances.len()).sum::<usize>();
            written_instances += record.changed.iter().map(|rule| rule.instances.len()).sum::<usize>();
            mirror.apply(written(record), 1);
            for (number, (id, rule)) in (0..).zip(&generation.rules) {
                let live = SavedRule::of(&timeline.states()[id]);
                let found = restarted(&mirror, number, rule, &host, &store);
                assert_eq!(decisive(found), decisive(live.clone()), "seed {seed}, {id} at {now}s");
                let through = through_restart(&timeline.states()[id]).unwrap();
                assert_eq!(SavedRule::of(&through), live, "seed {seed}, {id} at {now}s");
            }
        }
        assert!(evidence > 20, "{evidence}");
        assert!(written_instances * 3 < instances * 2, "{written_instances} of {instances} were written");
    }
}

#[test]
fn evidence_is_read_as_it_was_written() {
    let (host, clock) = host();
    let generation = generation(&host);
    let store = store(&host);
    let id = store.series(&SeriesKey::new("cpu", [("host", "a")]).unwrap()).unwrap();
    let mut timeline = Timeline::new(host, generation);
    timeline.detail = Detail::Events;
    let (mut all, mut count) = (Vec::new(), 0);
    for tick in 1..20 {
        let row = Row::at(id, at(10 * tick) - Duration::from_secs(1), 2.6);
        assert!(store.append(vec![row]).wait().is_ok());
        clock.advance(Duration::from_secs(10));
        let outcome = timeline.tick(at(10 * tick), &store.snapshot());
        let mut record = TickRecord { tick: at(10 * tick), ..TickRecord::default() };
        for (rule, mut outcome) in outcome.rules {
            all.extend(outcome.evidence.iter().cloned());
            record.note(0, &timeline.states()[&rule], &mut outcome);
        }
        let Record::Tick(read) = written(record) else { unreachable!() };
        for evidence in read.evidence {
            let read = super::super::save::take_evidence(evidence).unwrap();
            let mut seen = all.remove(0);
            seen.events.clear();
            count += 1;
            assert_eq!(read, seen);
        }
    }
    assert!(count > 5, "{count}");
}
