//! Why a rule decided as it did, and what it would say now: from the series over values and branches taken to state,
//! clocks and events.
//!
//! Invariants:
//! * nothing is changed: what is evaluated is evaluated on copies;
//! * what was recorded at a tick is told before anything that is computed again, which is told as such.
//!
//! Not here: how it looks (`sereno`).

mod look;
mod once;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_storage::Snapshot;

use self::look::{level_of, seen_text};
pub(crate) use self::look::{mode_text, then_text};
pub(crate) use self::once::evaluate_once;

use crate::evaluate::{Detail, Evidence};
use crate::generation::{Generation, Host};
use crate::instance::{InstanceState, RuleState};
use crate::message::{Context, notification};
use crate::report::{Event, Explanation, InstanceLook, Recent, SCHEMA_VERSION, Time, label_map};
use crate::rule::{Labels, Rule};
use crate::timeline::{Timeline, last_tick};

/// How many instances are named when the one asked for is not there.
const KNOWN_MAX: usize = 50;

/// What to explain.
pub(crate) struct Request<'a> {
    pub host: &'a Host,
    pub snapshot: &'a Snapshot,
    pub generation: Arc<Generation>,
    pub rule: Arc<Rule>,
    /// Labels that the instance must have; of several the worst is explained.
    pub instance: Labels,
    /// At or before which time; `None` for the last tick.
    pub tick: Option<Timestamp>,
    /// Whether to evaluate again, whatever was recorded.
    pub rerun: bool,
    /// Where the live rule stands, if it runs.
    pub live: Option<RuleState>,
    /// What was recorded about the instance at that tick.
    pub recorded: &'a dyn Fn(&Labels, Timestamp) -> Option<Kept>,
    /// The last events of the instance.
    pub history: &'a dyn Fn(&Labels) -> Vec<Event>,
    pub health: String,
}

/// What was recorded of a tick of an instance.
pub(crate) struct Kept {
    pub evidence: Evidence,
    pub events: Vec<Event>,
}

/// Explains.
pub(crate) fn explain(request: &Request<'_>) -> Explanation {
    let rule = &request.rule;
    let live = request.live.as_ref();
    let newest = live.and_then(|live| live.last);
    let now = last_tick(rule.every, request.snapshot.time());
    let tick = last_tick(rule.every, request.tick.or(newest).unwrap_or(now));
    let is_newest = newest == Some(tick);
    let mut explanation = Explanation {
        schema_version: SCHEMA_VERSION,
        rule: rule.id.to_string(),
        path: rule.path.display().to_string(),
        line: rule.line,
        health: request.health.clone(),
        generation: request.generation.number,
        ..Explanation::default()
    };
    let again = Again::run(request, tick);
    let Some(labels) = again.choose(request, is_newest) else {
        explanation.why = again.nothing(request);
        explanation.known = again.known(live);
        return explanation;
    };
    let kept = (request.recorded)(&labels, tick).filter(|_| !request.rerun);
    let (evidence, kept_events) = match kept {
        Some(kept) => (Some(kept.evidence), Some(kept.events)),
        None => (again.evidence(&labels), None),
    };
    let source = match (&kept_events, is_newest && !request.rerun) {
        (Some(_), _) => "recorded",
        (None, true) => "live",
        (None, false) => "rerun",
    };
    explanation.source = source.to_owned();
    explanation.instance = match &evidence {
        Some(evidence) => look::instance(rule, evidence, Some(request.snapshot)),
        None => InstanceLook { instance: label_map(&labels), tick: Time(tick), ..InstanceLook::default() },
    };
    if let Some(kept) = evidence.as_ref().filter(|_| source == "recorded") {
        explanation.generation = kept.generation;
    }
    let instance = live.and_then(|live| live.instances.get(&labels));
    if let Some(instance) = instance {
        explanation.recent = instance.recent.iter().map(recent).collect();
        if source == "live" {
            show_live(&mut explanation.instance, rule, &labels, instance);
        }
    }
    let computed = || evidence.as_ref().map(|evidence| events(rule, evidence)).unwrap_or_default();
    explanation.events = kept_events.unwrap_or_else(computed);
    explanation.history = (request.history)(&labels);
    explanation.told = told(&explanation.events);
    explanation.why = why::why(&explanation.instance);
    explanation
}

/// The state of the live instance is what counts, whatever an evaluation with colder clocks gives.
fn show_live(look: &mut InstanceLook, rule: &Rule, labels: &Labels, instance: &InstanceState) {
    let policy = &rule.variants[rule.variant_of(labels)].policy;
    look.before = None;
    look.after = Some(look::state(&instance.state, policy));
    for level in &mut look.levels {
        let known = level.level.parse::<sereno_model::Level>().ok();
        let held = known.and_then(|level| instance.state.held[level as usize]);
        level.held_seconds = held.map(crate::report::Seconds);
    }
    if let Some(seen) = instance.seen {
        look.seen = seen_text(seen).to_owned();
    }
}

fn recent(brief: &crate::instance::Brief) -> Recent {
    Recent {
        tick: Time(brief.tick),
        seen: seen_text(brief.seen).to_owned(),
        level: level_of(brief.seen).map(|level| level.to_string()),
        value: brief.value.map(crate::report::Number),
    }
}

/// The events of a tick, as they were or would be told, but for what only their messages know.
fn events(rule: &Rule, evidence: &Evidence) -> Vec<Event> {
    let tell = |event: &crate::state::Event| {
        let context = Context {
            readings: evidence.inputs.iter().map(|input| input.reading).collect(),
            traces: evidence.traces.clone(),
            ..Context::default()
        };
        let mut told =
            notification(rule, &evidence.instance, event, evidence.tick, evidence.generation, &context);
        told.suppressed_by = evidence.muted_by.as_ref().map(ToString::to_string);
        Event::from(&told)
    };
    evidence.events.iter().map(tell).collect()
}

/// Where events go.
fn told(events: &[Event]) -> Vec<String> {
    let mut all = BTreeSet::new();
    for event in events {
        let quiet = match event {
            Event { suppressed_by: Some(by), .. } => Some(format!("not sinks: `{by}` mutes it")),
            Event { shadow: true, .. } => Some("not sinks: the rule only runs along".to_owned()),
            Event { flapping: true, kind, .. } if kind != "flapping" => {
                Some("not sinks: it begins to fire too often".to_owned())
            }
            _ => None,
        };
        all.insert("log".to_owned());
        all.insert("monitors".to_owned());
        all.insert(quiet.unwrap_or_else(|| "sinks".to_owned()));
    }
    all.into_iter().collect()
}

/// The rule evaluated again up to a tick, from early enough that its clocks are warm.
struct Again {
    evidence: Vec<Evidence>,
    errors: Vec<String>,
    matched: usize,
    unobserved: bool,
}

impl Again {
    fn run(request: &Request<'_>, tick: Timestamp) -> Self {
        let mut timeline = Timeline::new(request.host.clone(), request.generation.clone());
        let only = BTreeSet::from([request.rule.id.clone()]);
        timeline.narrow(crate::replay::with_parents(&only, &request.generation));
        let first = tick - crate::replay::warm_up(&request.generation, &only);
        let mut after = first - Duration::from_nanos(1);
        while let Some(next) = timeline.next_tick(after).filter(|next| *next < tick) {
            drop(timeline.tick(next, request.snapshot));
            after = next;
        }
        timeline.detail = Detail::Everything;
        let outcomes: BTreeMap<_, _> = timeline.tick(tick, request.snapshot).rules.into_iter().collect();
        match outcomes.into_iter().find(|(id, _)| *id == request.rule.id) {
            Some((_, outcome)) => Self {
                evidence: outcome.evidence,
                errors: outcome.errors.into_iter().map(|error| error.text).collect(),
                matched: outcome.matched.iter().sum(),
                unobserved: outcome.unobserved,
            },
            None => Self { evidence: Vec::new(), errors: Vec::new(), matched: 0, unobserved: false },
        }
    }

    fn evidence(&self, labels: &Labels) -> Option<Evidence> {
        self.evidence.iter().find(|evidence| *evidence.instance == *labels).cloned()
    }

    /// The instance that is meant; of several the worst.
    fn choose(&self, request: &Request<'_>, is_newest: bool) -> Option<Arc<Labels>> {
        let fits = |labels: &Labels| request.instance.iter().all(|label| labels.contains(label));
        let rank = |state: &crate::state::State| {
            let is_active = !state.is_inactive();
            (state.level(), is_active)
        };
        let live = request.live.iter().flat_map(|live| &live.instances);
        let live = live.filter(|(labels, _)| is_newest && fits(labels));
        // Of equals the first in order, which `max_by_key` would not give.
        let live = live.rev().max_by_key(|(_, instance)| rank(&instance.state));
        let again = self.evidence.iter().filter(|evidence| fits(&evidence.instance));
        let again = again.rev().max_by_key(|evidence| rank(&evidence.after));
        live.map(|(labels, _)| labels.clone()).or_else(|| again.map(|evidence| evidence.instance.clone()))
    }

    /// Why there is nothing to explain.
    fn nothing(&self, request: &Request<'_>) -> String {
        let known = request.live.as_ref().map_or(0, |live| live.instances.len()).max(self.evidence.len());
        match (self.errors.first(), self.matched) {
            _ if !request.rule.is_on() => "the rule is turned off".to_owned(),
            _ if self.unobserved => "the store is still reading its log back".to_owned(),
            (Some(error), _) => format!("its evaluation fails: {}", error.lines().next().unwrap_or_default()),
            _ if known > 0 => "it has no such instance".to_owned(),
            (None, 0) => {
                let selectors = request.rule.inputs.iter().map(|input| format!("`{}`", input.selector));
                format!("no series matches {}", selectors.collect::<Vec<_>>().join(" and "))
            }
            (None, _) => {
                "series match, and none has samples in the window, so there is no instance".to_owned()
            }
        }
    }

    fn known(&self, live: Option<&RuleState>) -> Vec<crate::report::LabelMap> {
        let live = live.iter().flat_map(|live| live.instances.keys());
        let again = self.evidence.iter().map(|evidence| &evidence.instance);
        let all: BTreeSet<&Arc<Labels>> = live.chain(again).collect();
        all.into_iter().take(KNOWN_MAX).map(|labels| label_map(labels)).collect()
    }
}
