//! One test of rules, from its first sample to its last tick, in virtual time on a store of its own.
//!
//! At each moment in this order: samples up to it arrive, steps are done, rules are evaluated. While the server is down
//! nothing arrives: senders hold back what they have, and bring it when it is there again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, SeriesKey, Timestamp};
use sereno_runtime::{MemoryDisk, Metrics};
use sereno_storage::{Row, SeriesId, Store};

use super::file::{Action, RuleTest, Step};
use super::notation::At;
use super::sinks::Down;
use super::stage::Stage;
use crate::durable::through_restart;
use crate::generation::Generation;
use crate::report::Finding;
use crate::rule::{How, Rule};
use crate::timeline::{TickOutcome, Timeline};

/// How many ticks a test may have.
const TICKS_MAX: u64 = 1_000_000;
/// How much longer than its series a test lasts at most, where it does not say.
const TAIL_MAX: Duration = Duration::from_secs(86_400);

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// In the order in which it was decided.
    pub told: Vec<Notification>,
    /// The times in which each sink, or all of them, took nothing.
    pub down: BTreeMap<String, Vec<Down>>,
    /// The times in which the server was down.
    pub server_down: Vec<Down>,
    pub ticks: u64,
    /// What is wrong in the rules and scripts.
    pub findings: Vec<Finding>,
    /// What went wrong in evaluations of each rule, each once.
    pub errors: BTreeMap<String, BTreeSet<String>>,
    /// How each rule fared at the end.
    pub health: BTreeMap<String, &'static str>,
    /// How many samples came late.
    pub late: u64,
    /// The generations that ran, in order.
    pub generations: Vec<Arc<Generation>>,
    /// The rules that were evaluated over at least one series.
    pub evaluated: BTreeSet<String>,
}

/// Why a test could not be run.
#[derive(Debug)]
pub(super) struct Broken {
    pub text: String,
    pub findings: Vec<Finding>,
}

/// Runs a test.
pub(super) fn play(path: &Path, test: &RuleTest, stage: &mut Stage) -> Result<Played, Broken> {
    let scripts = stage.scripts(path, test.scripts.as_deref());
    let generation = stage.rules(path, &test.rules, &scripts, None).map_err(|error| Broken {
        text: "its rules cannot be read".into(),
        findings: vec![(&error).into()],
    })?;
    if generation.has_errors() {
        let errors = generation.diagnostics.iter().filter(|found| found.is_error());
        let findings = errors.map(Finding::from).collect();
        return Err(Broken { text: "its rules or scripts have mistakes".into(), findings });
    }
    stage.go_to(test.start);
    let generation = Arc::new(generation);
    let world = World::open(test, stage)?;
    let mut run = Run {
        path,
        test,
        timeline: Timeline::new(stage.host.clone(), generation.clone()),
        stage,
        scripts,
        world,
        fares: BTreeMap::new(),
        played: Played { generations: vec![generation], ..Played::default() },
    };
    run.go_through()?;
    Ok(run.finish())
}

/// The store of a test, and what has not arrived there yet.
struct World {
    store: Store,
    ids: BTreeMap<SeriesKey, SeriesId>,
    /// In order of time, the next one last.
    coming: Vec<(Timestamp, SeriesId, f64)>,
}

impl World {
    fn open(test: &RuleTest, stage: &Stage) -> Result<Self, Broken> {
        let broken = |text: String| Broken { text, findings: Vec::new() };
        let config = sereno_storage::Config {
            directory: "/".into(),
            queues: 1,
            writers: 1,
            series_per_minute_max: 0,
            series_idle: Duration::ZERO,
            wal_reserve_bytes: 0,
            retention: Duration::ZERO,
            future_max: Duration::ZERO,
            ..sereno_storage::Config::default()
        };
        let disk = Arc::new(MemoryDisk::new());
        let store = Store::open(&config, disk, stage.clock.clone(), &Metrics::default())
            .map_err(|error| broken(error.to_string()))?;
        let _recovery = store.wait_recovered();
        let mut world = Self { store, ids: BTreeMap::new(), coming: Vec::new() };
        for (key, samples) in &test.series {
            let id = world.id(key).map_err(broken)?;
            world.coming.extend(samples.iter().map(|(at, value)| (test.start + *at, id, *value)));
        }
        world.coming.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        Ok(world)
    }

    fn id(&mut self, key: &SeriesKey) -> Result<SeriesId, String> {
        if let Some(id) = self.ids.get(key) {
            return Ok(*id);
        }
        let id = self.store.series(key).map_err(|error| format!("`{key}`: {error}"))?;
        self.ids.insert(key.clone(), id);
        Ok(id)
    }

    /// What has been sent up to a time arrives.
    fn arrive(&mut self, until: Timestamp) -> Result<(), String> {
        let split = self.coming.partition_point(|(time, ..)| *time > until);
        let rows =
            self.coming.drain(split..).rev().map(|(time, id, value)| Row::at(id, time, value)).collect();
        self.append(rows)
    }

    fn append(&self, rows: Vec<Row>) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        // A queue takes so many at a time.
        for rows in rows.chunks(8_192) {
            let outcome = self.store.append(rows.to_vec()).wait();
            if !outcome.is_ok() {
                return Err(format!("the store refused samples: {outcome:?}"));
            }
        }
        Ok(())
    }

    fn append_at(&mut self, series: &[(SeriesKey, Vec<At>)], start: Timestamp) -> Result<(), String> {
        let mut rows = Vec::new();
        for (key, samples) in series {
            let id = self.id(key)?;
            rows.extend(samples.iter().map(|(at, value)| Row::at(id, start + *at, *value)));
        }
        self.append(rows)
    }
}

/// How a rule has fared.
#[derive(Clone, Copy, Debug, Default)]
struct Fares {
    matched: bool,
    failed: bool,
    limited: bool,
}

struct Run<'a> {
    path: &'a Path,
    test: &'a RuleTest,
    stage: &'a mut Stage,
    scripts: Arc<Generation>,
    world: World,
    timeline: Timeline,
    fares: BTreeMap<Arc<str>, Fares>,
    played: Played,
}

impl Run<'_> {
    fn go_through(&mut self) -> Result<(), Broken> {
        let test = self.test;
        let mut steps = test.steps.iter().peekable();
        // The tick of the start itself is the first.
        let mut after = test.start - Duration::from_nanos(1);
        let mut end = self.end();
        loop {
            let tick = self.timeline.next_tick(after).filter(|tick| *tick <= end);
            let is_due = |step: &&Step| tick.is_none_or(|tick| test.start + step.at <= tick);
            if let Some(step) = steps.next_if(is_due) {
                after = self.step(step, after).map_err(|text| Broken { text, findings: Vec::new() })?;
                end = end.max(self.end());
                continue;
            }
            let Some(tick) = tick else { return Ok(()) };
            self.tick(tick).map_err(|text| Broken { text, findings: Vec::new() })?;
            after = tick;
        }
    }

    /// When the test ends: where it does not say, once all windows and clocks have run out after its last sample or step.
    fn end(&self) -> Timestamp {
        let last_step = self.test.steps.iter().map(|step| step.at).max().unwrap_or_default();
        let tail = self.timeline.generation().rules.values().map(|rule| tail(rule)).max().unwrap_or_default();
        let length = self.test.length.max(last_step) + tail.min(TAIL_MAX);
        self.test.start + self.test.until.unwrap_or(length)
    }

    fn tick(&mut self, tick: Timestamp) -> Result<(), String> {
        self.played.ticks += 1;
        if self.played.ticks > TICKS_MAX {
            return Err(format!("it has more than {TICKS_MAX} ticks; end it sooner with `until`"));
        }
        self.stage.go_to(tick);
        self.world.arrive(tick)?;
        self.world.store.settle(tick);
        let snapshot = self.world.store.snapshot();
        let outcome = self.timeline.tick(tick, &snapshot);
        for (key, value) in &outcome.recorded {
            let id = self.world.id(key)?;
            self.world.append(vec![Row::at(id, tick, *value)])?;
        }
        self.note(outcome);
        Ok(())
    }

    fn note(&mut self, outcome: TickOutcome) {
        self.played.told.extend(outcome.notifications);
        for (rule, outcome) in outcome.rules {
            let fares = self.fares.entry(rule.clone()).or_default();
            let matched = outcome.matched.iter().any(|series| *series > 0);
            fares.matched |= matched || self.timeline.generation().rules[&rule].inputs.is_empty();
            fares.failed = !outcome.errors.is_empty();
            fares.limited = outcome.refused > 0;
            if fares.matched {
                self.played.evaluated.insert(rule.to_string());
            }
            if fares.failed {
                let errors = self.played.errors.entry(rule.to_string()).or_default();
                errors.extend(outcome.errors.into_iter().map(|error| error.text));
            }
        }
    }

    /// Does a step. Gives the moment after which the next tick is.
    fn step(&mut self, step: &Step, after: Timestamp) -> Result<Timestamp, String> {
        let at = self.test.start + step.at;
        self.stage.go_to(at);
        self.world.arrive(at)?;
        match &step.action {
            Action::Reload(source) => {
                let current = self.timeline.generation().clone();
                let loaded = self.stage.rules(self.path, source, &self.scripts, Some(&current));
                let generation = Arc::new(loaded.map_err(|found| found.to_string())?);
                self.played.told.extend(self.timeline.reload(generation.clone(), at));
                self.played.generations.push(generation);
            }
            Action::Late(series) => self.world.append_at(series, self.test.start)?,
            Action::SinkDown(sink, lasts) => {
                self.played.down.entry(sink.clone()).or_default().push((at, at + *lasts));
            }
            Action::Restart(down) => {
                self.restart()?;
                self.played.server_down.push((at, at + *down));
                // What would have been evaluated in the meantime is not.
                return Ok(after.max(at + *down - Duration::from_nanos(1)));
            }
        }
        Ok(after)
    }

    /// The states go through their durable form: the bytes that a server writes and reads back.
    fn restart(&mut self) -> Result<(), String> {
        let mut states = BTreeMap::new();
        for (id, state) in self.timeline.states() {
            let state =
                through_restart(state).ok_or_else(|| format!("the state of `{id}` cannot be read back"))?;
            states.insert(id.clone(), state);
        }
        let generation = self.timeline.generation().clone();
        self.timeline = Timeline::new(self.stage.host.clone(), generation);
        self.timeline.set_states(states);
        Ok(())
    }

    fn finish(self) -> Played {
        let Self { timeline, fares, mut played, world, .. } = self;
        played.late = world.store.take_late().iter().map(|late| late.count).sum();
        for generation in &played.generations {
            let found = generation.diagnostics.iter().filter(|found| found.is_error());
            played.findings.extend(found.map(Finding::from));
        }
        let generation = timeline.generation();
        for (id, rule) in &generation.rules {
            let health = health(rule, fares.get(id).copied(), generation.stale.contains(id));
            played.health.insert(id.to_string(), health);
        }
        world.store.close();
        played
    }
}

fn health(rule: &Rule, fares: Option<Fares>, is_stale: bool) -> &'static str {
    match fares {
        _ if !rule.is_on() => "off",
        Some(fares) if fares.failed => "error",
        Some(fares) if fares.limited => "limited",
        _ if is_stale => "stale",
        None => "waiting",
        Some(fares) if !fares.matched => "unmatched",
        Some(_) => "ok",
    }
}

/// How long after the last sample something may still follow from it.
fn tail(rule: &Rule) -> Duration {
    let reads = rule.inputs.iter().filter(|input| {
        // How far back an age looks says nothing of how long it takes.
        !matches!(input.value.as_ref().map(|value| &value.how), Some(How::Age))
    });
    let window = reads.map(|input| input.window + input.offset).max().unwrap_or_default();
    let clock = rule.variants.iter().map(|variant| {
        let policy = &variant.policy;
        policy.hold.iter().flatten().max().copied().unwrap_or_default().max(policy.recover_for)
    });
    window + clock.max().unwrap_or_default() + rule.every
}
