//! What a rule would have told over stored history: the whole state machine over every tick of a time, without any
//! effect.
//!
//! Invariants:
//! * it is the evaluator that runs live, over the same windows; so over the same samples it tells the same events, byte
//!   for byte but for what only a live run has (positions, wall times);
//! * ticks that the live rule did not evaluate are not evaluated here either, where that is known;
//! * where it cannot be exact it says so: samples that came late, history that is not complete, another rule than today's;
//! * nothing is written: neither samples of `record`, nor state, nor notifications.
//!
//! Not here: where what was recorded comes from (`recorded` is given), how it looks (`sereno`).

mod compare;
mod episodes;
mod plot;
mod recorded;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, TimeRange, Timestamp};
use sereno_runtime::units::format_duration;
use sereno_storage::Snapshot;

pub(crate) use self::compare::with_replay;
pub(crate) use self::recorded::Recorded;

use self::episodes::Tracker;
use self::plot::Canvas;
use crate::generation::{Generation, Host};
use crate::report::{Event, Note, ReplayReport, SCHEMA_VERSION, Seconds, Time};
use crate::rule::{Decision, Labels, Rule};
use crate::state::After;
use crate::timeline::{TickOutcome, Timeline};

/// How much history is read into memory at a time.
const CHUNK: Duration = Duration::from_secs(86_400);
/// How many samples of a rule are held in memory at a time; 16 bytes each.
const PREFETCHED_MAX: u64 = 4_000_000;
/// How many ticks pass until it is asked again whether anybody still waits for the answer.
const TICKS_BETWEEN_QUESTIONS: u64 = 256;
/// How many events are told; all are counted.
const EVENTS_MAX: usize = 100_000;
/// How long clocks run before the start, at most.
const WARM_UP_MAX: Duration = Duration::from_secs(86_400);
const ERRORS_MAX: usize = 10;

/// What to replay.
pub(crate) struct Request<'a> {
    pub host: &'a Host,
    pub snapshot: &'a Snapshot,
    /// The rules, and scripts.
    pub generation: Arc<Generation>,
    /// Those of them that are replayed; the rules that these wait for are evaluated too.
    pub rules: BTreeSet<Arc<str>>,
    /// Only instances with these labels.
    pub instance: Labels,
    /// The ticks: at or after the start, before the end.
    pub range: TimeRange,
    /// Whether ticks before the start are evaluated too, so that clocks run as they would have.
    pub warm_up: bool,
    /// What is known of the live rules.
    pub recorded: &'a Recorded,
    /// Whether the answer is compared with the events that were recorded.
    pub compare: bool,
    /// Whether somebody still waits for the answer.
    pub go_on: &'a dyn Fn() -> bool,
}

/// Replays.
pub(crate) fn replay(request: &Request<'_>) -> ReplayReport {
    let start = request.host.clock.monotonic();
    let mut run = Run::new(request);
    run.go_through();
    let mut report = run.report();
    if request.compare {
        report.against = Some(compare::with_recorded(&report, request));
    }
    report.seconds = Seconds(request.host.clock.monotonic().saturating_sub(start));
    report
}

/// The rules to be evaluated for the sake of these: themselves, and all that they wait for.
pub(crate) fn with_parents(rules: &BTreeSet<Arc<str>>, generation: &Generation) -> BTreeSet<Arc<str>> {
    let mut all = BTreeSet::new();
    let mut open: Vec<Arc<str>> = rules.iter().cloned().collect();
    while let Some(id) = open.pop() {
        let parents = generation.rules.get(&id).map(|rule| rule.after.clone()).unwrap_or_default();
        if all.insert(id) {
            open.extend(parents);
        }
    }
    all
}

struct Run<'a> {
    request: &'a Request<'a>,
    timeline: Timeline,
    tracker: Tracker,
    canvas: Canvas,
    events: Vec<Event>,
    report: ReplayReport,
}

impl<'a> Run<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let mut timeline = Timeline::new(request.host.clone(), request.generation.clone());
        timeline.narrow(with_parents(&request.rules, &request.generation));
        let report = ReplayReport {
            schema_version: SCHEMA_VERSION,
            rules: request.rules.iter().map(ToString::to_string).collect(),
            start: Time(request.range.start),
            end: Time(request.range.end),
            generation: request.generation.number,
            ..ReplayReport::default()
        };
        Self {
            request,
            timeline,
            tracker: Tracker::new(request.range),
            canvas: Canvas::new(request.range),
            events: Vec::new(),
            report,
        }
    }

    fn go_through(&mut self) {
        let range = self.request.range;
        let mut chunk = self.first_tick();
        while chunk < range.end {
            let end = (chunk + CHUNK).min(range.end);
            self.timeline.prefetch(self.request.snapshot, TimeRange::new(chunk, end), PREFETCHED_MAX);
            if !self.chunk(chunk, end) {
                self.report.cancelled = true;
                return;
            }
            chunk = end;
        }
    }

    /// Where evaluation begins: early enough that windows and clocks are what they would have been.
    fn first_tick(&mut self) -> Timestamp {
        let start = self.request.range.start;
        if !self.request.warm_up {
            return start;
        }
        let wanted = wanted_warm_up(&self.request.generation, &self.request.rules);
        if wanted > WARM_UP_MAX {
            let (wanted, given) = (format_duration(wanted), format_duration(WARM_UP_MAX));
            let text = format!("its clocks look back {wanted}; they begin {given} before the start");
            self.report.notes.push(Note { at: None, text });
        }
        let first = start - wanted.min(WARM_UP_MAX);
        // Before anything was recorded no live rule looked either.
        let since = self.request.recorded.since.filter(|since| *since <= start);
        let first = since.map_or(first, |since| first.max(since));
        self.report.warm_up_from = Some(Time(first));
        first
    }

    /// Evaluates the ticks in [start, end). Gives false when nobody waits for the answer any more.
    fn chunk(&mut self, start: Timestamp, end: Timestamp) -> bool {
        let mut after = start - Duration::from_nanos(1);
        let mut until_asked = 0;
        while let Some(tick) = self.timeline.next_tick(after).filter(|tick| *tick < end) {
            after = tick;
            if until_asked == 0 {
                if !(self.request.go_on)() {
                    return false;
                }
                until_asked = TICKS_BETWEEN_QUESTIONS;
            }
            until_asked -= 1;
            self.tick(tick);
        }
        true
    }

    fn tick(&mut self, tick: Timestamp) {
        let request = self.request;
        let counts = tick >= request.range.start;
        let mut missed = 0;
        let outcome = self.timeline.tick_where(tick, request.snapshot, &mut |rule| {
            let is_gap = request.recorded.is_gap(&rule.id, tick);
            missed += u64::from(is_gap && counts && request.rules.contains(&rule.id));
            !is_gap
        });
        self.report.missed_ticks += missed;
        if counts {
            self.count(&outcome);
        }
        for told in outcome.notifications {
            self.tell(told, counts);
        }
        if counts {
            for id in &self.request.rules {
                if let Some(state) = self.timeline.states().get(id) {
                    self.canvas.paint(id, state, tick, &self.request.instance);
                }
            }
        }
    }

    fn count(&mut self, outcome: &TickOutcome) {
        for (id, outcome) in &outcome.rules {
            if !self.request.rules.contains(id) {
                continue;
            }
            match outcome.unobserved {
                true => self.report.unobserved_ticks += 1,
                false => self.report.ticks += 1,
            }
            self.report.errors += outcome.errors.len() as u64;
            for error in &outcome.errors {
                if self.report.first_errors.len() < ERRORS_MAX
                    && !self.report.first_errors.contains(&error.text)
                {
                    self.report.first_errors.push(error.text.clone());
                }
            }
        }
    }

    fn tell(&mut self, mut told: Notification, counts: bool) {
        let is_meant = self.request.rules.contains(told.rule.as_str())
            && self.request.instance.iter().all(|label| told.instance.contains(label));
        if !is_meant {
            return;
        }
        if let Some(generation) = self.request.recorded.generation_of(&told) {
            told.generation = generation;
        }
        told.episode = self.request.recorded.episode_number(&told);
        let held = self.held(&told);
        self.tracker.note(&told, held);
        if counts && self.events.len() < EVENTS_MAX {
            self.events.push(Event::from(&told));
        }
    }

    /// How long the condition of the level of an instance that begins to fire has held.
    fn held(&self, told: &Notification) -> Option<Duration> {
        let state = self.timeline.states().get(told.rule.as_str())?;
        let instance = state.instances.get(&told.instance)?;
        let of_absence = instance.state.episode.as_ref().is_some_and(|episode| episode.of_absence);
        instance.state.held[told.level as usize].filter(|_| !of_absence)
    }

    fn report(mut self) -> ReplayReport {
        let mut report = std::mem::take(&mut self.report);
        let states = self.timeline.states();
        let is_meant = |labels: &Labels| self.request.instance.iter().all(|label| labels.contains(label));
        let instances = self
            .request
            .rules
            .iter()
            .filter_map(|id| states.get(id))
            .map(|state| state.instances.keys().filter(|labels| is_meant(labels)).count() as u64);
        report.instances = instances.sum();
        let tracked = self.tracker.finish();
        report.totals = tracked.totals;
        report.noisiest = tracked.noisiest;
        report.episodes = tracked.episodes;
        report.plot = self.canvas.finish(&report, &self.request.generation);
        report.events = self.events;
        if report.events.len() == EVENTS_MAX {
            let text = format!("only the first {EVENTS_MAX} events are listed; all are counted");
            report.notes.push(Note { at: None, text });
        }
        let evaluated = with_parents(&self.request.rules, &self.request.generation);
        let rules = |ids: &BTreeSet<Arc<str>>| -> Vec<Arc<Rule>> {
            ids.iter().filter_map(|id| self.request.generation.rules.get(id)).cloned().collect()
        };
        let first = report.warm_up_from.unwrap_or(report.start);
        let evaluated_in = TimeRange::new(first.0, report.end.0);
        report.inexact = self.request.recorded.inexact(&rules(&evaluated), evaluated_in);
        report.notes.extend(self.request.recorded.notes(&rules(&self.request.rules), self.request.range));
        report
    }
}

/// How long before the start of a replay rules are evaluated.
pub(crate) fn warm_up(generation: &Generation, rules: &BTreeSet<Arc<str>>) -> Duration {
    wanted_warm_up(generation, rules).min(WARM_UP_MAX)
}

fn wanted_warm_up(generation: &Generation, rules: &BTreeSet<Arc<str>>) -> Duration {
    let evaluated = with_parents(rules, generation);
    let rules = evaluated.iter().filter_map(|id| generation.rules.get(id));
    rules.map(|rule| memory(rule)).max().unwrap_or_default()
}

/// How far back what a rule says depends on: its windows, and its clocks.
fn memory(rule: &Rule) -> Duration {
    let clocks = rule.variants.iter().map(|variant| {
        let policy = &variant.policy;
        let hold = policy.hold.iter().flatten().max().copied().unwrap_or_default();
        let patience = match policy.absence.after {
            After::Time(time) => time,
            After::Intervals(count) => policy.every.mul_f64(count.clamp(0.0, 1e6)),
        };
        // The first tick begins a clock, the one after it moves it.
        hold.max(policy.recover_for).max(patience).saturating_add(rule.every)
    });
    let clocks = clocks.max().unwrap_or_default();
    match &rule.decision {
        // What a script remembers has no length that could be known; its window is a good guess.
        Decision::Script(_) => clocks.max(rule.window()),
        Decision::Levels => clocks,
    }
}

/// Events by (rule, instance), for comparing.
fn by_instance(events: &[Event]) -> BTreeMap<(&str, &crate::report::LabelMap), Vec<&Event>> {
    let mut all: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        all.entry((event.rule.as_str(), &event.instance)).or_default().push(event);
    }
    all
}
