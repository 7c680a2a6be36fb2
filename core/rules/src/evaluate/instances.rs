//! The instances of a rule at one tick, one after the other.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{EventKind, Level, Notification, SeriesKey, Timestamp};
use sereno_query::Native;
use sereno_script::{Instance, Trace};
use sereno_storage::{Reads, Series};

use super::evidence::{Detail, Evidence, Measurement};
use super::group::{Found, Group, Members, always, is_one_of_all, range};
use super::judge::{Truth, judge, names, value_of};
use super::mute::Mutes;
use super::read::{Failure, Unwatched};
use super::{FAILING_TICKS, FORGET_AFTER, InstanceError, Outcome, Tick, script};
use crate::expression::Reading;
use crate::instance::{Brief, InstanceState, Muting, RuleState};
use crate::message::{Context, instance_name, notification};
use crate::rule::{By, Decision, How, Input, Labels, Mode, OnError, Rule, Value, Variant};
use crate::state::{Absence, After, Event, Levels, Look, Policy, Reason, Seen, State, Then, is_neighbour};

/// What is known of the instances of a rule.
type Instances = BTreeMap<Arc<Labels>, InstanceState>;

/// One rule at one tick, on its way through the instances.
pub(super) struct Pass<'a, 'b> {
    pub(super) tick: &'a Tick<'a>,
    pub(super) rule: &'a Rule,
    pub(super) found: Found<'b>,
    pub(super) outcome: &'a mut Outcome,
    mutes: Mutes,
    started: Duration,
    /// What the inputs gave the instance at hand.
    readings: Vec<Reading>,
    /// Room for its series.
    room: Vec<Series>,
}

/// What an instance saw, and why.
pub(super) struct Looked {
    pub seen: Seen,
    pub value: Option<f64>,
    pub newest: Option<Timestamp>,
    /// How much of the time since the newest sample nobody has looked, where that was found out.
    pub unwatched: Option<Duration>,
    pub truth: Truth,
    pub why: Option<String>,
    /// What its script was asked with.
    pub asked: Option<Arc<Instance>>,
    /// What its script showed on its way.
    pub traces: Vec<Trace>,
    pub memory_changed: bool,
    pub broke_budget: bool,
    /// Whether there was anything of it.
    pub is_here: bool,
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            seen: Seen::Failed,
            value: None,
            newest: None,
            unwatched: None,
            truth: Truth::default(),
            why: None,
            asked: None,
            traces: Vec::new(),
            memory_changed: false,
            broke_budget: false,
            is_here: false,
        }
    }
}

impl<'a, 'b> Pass<'a, 'b> {
    pub fn new(tick: &'a Tick<'a>, rule: &'a Rule, found: Found<'b>, outcome: &'a mut Outcome) -> Self {
        outcome.matched.clone_from(&found.grouping.matched);
        if rule.by == By::Unsaid {
            outcome.ungrouped_series = found.grouping.matched.iter().copied().filter(|n| *n > 1).sum();
        }
        let started = tick.host.clock.monotonic();
        let mutes = Mutes::of(rule, tick.parents);
        Self { tick, rule, found, outcome, mutes, started, readings: Vec::new(), room: Vec::new() }
    }

    pub fn run(mut self, state: &mut RuleState) {
        state.last = Some(self.tick.tick);
        self.admit(state);
        if self.rule.is_decided_as_a_whole() {
            self.decide(state);
        } else {
            self.each(&mut state.instances);
        }
        self.count_expected(&mut state.instances);
        self.mind_errors(state);
        self.forget(&mut state.instances);
        let outcome = self.outcome;
        outcome.operations = self.found.account.budget.operations();
        outcome.samples = self.found.account.used();
        outcome.refused = state.refused;
        outcome.notifications.sort_by(|a, b| a.instance.cmp(&b.instance));
        outcome.evidence.sort_by(|a, b| a.instance.cmp(&b.instance));
        outcome.changed.sort();
    }

    /// Takes up the instances that series have made, as long as there may be more.
    fn admit(&mut self, state: &mut RuleState) {
        let is_settled = !self.found.grouping.changed && !self.found.grouping.waits && state.refused == 0;
        if self.rule.is_decided_as_a_whole() || is_settled {
            return;
        }
        let RuleState { instances, refused, .. } = state;
        let (mut new, mut waits) = (Vec::new(), false);
        for group in &mut self.found.grouping.groups {
            match instances.get_key_value(&group.labels) {
                // The labels that both know are the same ones in memory, and quickly compared.
                Some((labels, _)) => group.labels = labels.clone(),
                None if !group.joined => {}
                None if is_born(self.rule, group, &self.found.series, self.tick.tick) => {
                    new.push(group.labels.clone());
                }
                None => waits = true,
            }
        }
        self.found.grouping.waits = waits;
        let room = self.rule.max_instances.saturating_sub(instances.len());
        if new.len() > room {
            let groups = std::mem::take(&mut self.found.grouping.groups);
            let is_here = |labels: &Arc<Labels>| {
                let found = groups.binary_search_by(|group| group.labels.cmp(labels));
                found.is_ok_and(|index| groups[index].joined)
            };
            self.make_room(instances, new.len() - room, is_here);
            self.found.grouping.groups = groups;
        }
        let room = self.rule.max_instances.saturating_sub(instances.len());
        *refused = new.len().saturating_sub(room);
        for labels in new.into_iter().take(room) {
            instances.insert(labels, self.fresh());
        }
    }

    /// An instance that begins at this tick.
    pub(super) fn fresh(&self) -> InstanceState {
        InstanceState { seen_at: Some(self.tick.tick), ..InstanceState::default() }
    }

    /// Forgets instances that nothing would be lost with, those that have been without data for the longest first.
    pub(super) fn make_room(
        &mut self,
        instances: &mut Instances,
        wanted: usize,
        is_here: impl Fn(&Arc<Labels>) -> bool,
    ) {
        let mut idle: Vec<_> = instances
            .iter()
            .filter(|(labels, instance)| instance.state.is_inactive() && !is_here(labels))
            .map(|(labels, instance)| (instance.seen_at, labels.clone()))
            .collect();
        idle.sort();
        for (_, labels) in idle.into_iter().take(wanted) {
            instances.remove(&labels);
            self.outcome.forgotten.push(labels);
        }
    }

    /// Visits every instance that is known.
    fn each(&mut self, instances: &mut Instances) {
        let mut later = Vec::new();
        let mut next = 0;
        for (labels, instance) in instances.iter_mut() {
            let group = self.group_of(labels, &mut next);
            if self.is_special(labels) {
                continue;
            }
            if instance.broke_budget {
                later.push((labels.clone(), group));
                continue;
            }
            if self.must_end() {
                return;
            }
            self.visit(labels, instance, group);
        }
        for (labels, group) in later {
            if self.must_end() {
                return;
            }
            if let Some(instance) = instances.get_mut(&labels) {
                self.visit(&labels, instance, group);
            }
        }
    }

    /// The group of an instance, looked for from `next` on: both are in order of their labels.
    pub(super) fn group_of(&self, labels: &Arc<Labels>, next: &mut usize) -> Option<usize> {
        let groups = &self.found.grouping.groups;
        while let Some(group) = groups.get(*next) {
            if Arc::ptr_eq(&group.labels, labels) || group.labels == *labels {
                *next += 1;
                return Some(*next - 1);
            }
            if group.labels > *labels {
                return None;
            }
            *next += 1;
        }
        None
    }

    /// Whether it is no instance of series: the one that tells of errors, or the one that counts the others.
    pub(super) fn is_special(&self, labels: &Labels) -> bool {
        labels.is_empty() && self.counts_instances() || is_of_errors(self.rule, labels)
    }

    pub(super) fn must_end(&self) -> bool {
        let took = || self.tick.host.clock.monotonic().saturating_sub(self.started);
        self.outcome.broke_budget && took() >= self.tick.host.limits.deadline
    }

    fn visit(&mut self, labels: &Arc<Labels>, instance: &mut InstanceState, group: Option<usize>) {
        let rule = self.rule;
        let variant = &rule.variants[rule.variant_of(labels)];
        if variant.mode == Mode::Off {
            return self.turn_off(labels, instance);
        }
        let body = AssertUnwindSafe(|| self.look(labels, variant, instance, group));
        let looked = catch_unwind(body).unwrap_or_else(|_| {
            let failure = Failure::text("its evaluation panicked, which is a mistake in the server");
            self.fail(labels, failure, None)
        });
        self.step(labels, variant, instance, looked, group);
    }

    /// What an instance sees. Changes nothing of it but the memory of its script, and that only if the script succeeds.
    fn look(
        &mut self,
        labels: &Arc<Labels>,
        variant: &Variant,
        instance: &mut InstanceState,
        group: Option<usize>,
    ) -> Looked {
        let unwatched = self.unwatched(instance, &variant.policy);
        if let Err(failure) = self.read(group, unwatched) {
            return self.fail(labels, failure, None);
        }
        let newest = self.readings.iter().filter_map(|reading| reading.newest).max();
        let known = newest.max(instance.state.data.newest);
        let mut looked = match &self.rule.decision {
            Decision::Script(_) => self.ask(labels, variant, instance, group),
            Decision::Levels if self.rule.is_heartbeat() => Looked { seen: Seen::Beat, ..Looked::default() },
            Decision::Levels => self.compare(labels, variant, instance.state.level()),
        };
        looked.newest = newest;
        looked.unwatched = Some(known.map_or(Duration::ZERO, |newest| unwatched.since(newest)));
        looked.is_here = newest.is_some();
        looked
    }

    /// How much of the time since the newest sample of an instance nobody has looked.
    fn unwatched(&self, instance: &InstanceState, policy: &Policy) -> Unwatched {
        let gap = instance.state.last.map(|last| (last, self.tick.tick));
        let gap = gap.filter(|(last, tick)| !is_neighbour(*last, *tick, policy));
        Unwatched { newest: instance.state.data.newest, before: instance.unwatched, gap }
    }

    fn read(&mut self, group: Option<usize>, unwatched: Unwatched) -> Result<(), Failure> {
        self.readings.clear();
        let is_read = self.rule.script().is_none() || self.reads_values();
        let Found { grouping, series, account } = &mut self.found;
        let members = group.map(|group| &grouping.groups[group].members);
        for (number, input) in self.rule.inputs.iter().enumerate() {
            let all = series.get(number).copied().unwrap_or_default();
            let series = members.map_or(&[][..], |members| members[number].gather(all, &mut self.room));
            let reading = match is_read {
                true => account.read(series, input, self.tick.tick, unwatched)?,
                false => account.presence(series, input, self.tick.tick)?,
            };
            self.readings.push(reading);
        }
        Ok(())
    }

    fn compare(&self, labels: &Labels, variant: &Variant, level: Option<Level>) -> Looked {
        let value = self.value(labels, variant, level);
        let names = names(labels, variant, &self.readings, value, level, self.tick.tick);
        let (seen, truth) = judge(self.rule, variant, &names);
        Looked { seen, value, truth, ..Looked::default() }
    }

    /// The number that is compared.
    fn value(&self, labels: &Labels, variant: &Variant, level: Option<Level>) -> Option<f64> {
        value_of(self.rule, &names(labels, variant, &self.readings, None, level, self.tick.tick))
    }

    fn ask(
        &mut self,
        labels: &Arc<Labels>,
        variant: &Variant,
        instance: &mut InstanceState,
        group: Option<usize>,
    ) -> Looked {
        let Some(used) = self.rule.script() else { return Looked::default() };
        let mut truth = Truth::default();
        let level = instance.state.level();
        let mut value = None;
        if self.reads_values() {
            let number = self.value(labels, variant, level);
            let names = names(labels, variant, &self.readings, number, level, self.tick.tick);
            if self.is_judged_ahead()
                && let Some(seen) = super::judge::ahead(self.rule, &names, &mut truth)
            {
                return Looked { seen, value: number, truth, ..Looked::default() };
            }
            value = Some(number);
        }
        let inputs = self.rule.inputs.iter().enumerate();
        let inputs = inputs.map(|(number, input)| script::view(input, self.series_of(group, number)));
        let (tick, snapshot, inputs) = (self.tick.tick, self.tick.snapshot, inputs.collect());
        let asked = script::ask(self.rule, labels, variant, &instance.state, tick, snapshot, inputs, value);
        self.found.account.settle();
        let answer = script::check(self.rule, used, &asked, &mut instance.memory, self.found.account);
        self.found.account.renew(self.tick.host);
        match answer {
            Ok((answer, memory_changed)) => {
                let (seen, value, why) = script::meaning(answer.given);
                let (asked, traces) = (Some(asked), answer.traces);
                Looked { seen, value, truth, why, asked, traces, memory_changed, ..Looked::default() }
            }
            Err(failure) => self.fail(labels, failure, Some(asked)),
        }
    }

    /// Whether something is decided by the values of the inputs before the script is asked.
    fn is_judged_ahead(&self) -> bool {
        let is_age = |input: &Input| matches!(&input.value, Some(Value { how: How::Age, .. }));
        self.rule.require.is_some() || self.rule.value.is_some() || self.rule.main_input().is_some_and(is_age)
    }

    /// Whether the values of the inputs are read though a script decides: where they cost no more than to see that there
    /// are samples. All others are read when the script asks, so that nothing is read twice.
    fn reads_values(&self) -> bool {
        let is_cheap = |value: &Value| match &value.how {
            How::Reducer(reducer) => {
                value.across.is_some() && reducer.native().is_some_and(Native::is_summarized)
            }
            How::Age => true,
        };
        let has_value = self.rule.main_input().is_some_and(|input| input.value.is_some());
        let values = || self.rule.inputs.iter().filter_map(|input| input.value.as_ref());
        self.is_judged_ahead() || has_value && values().all(is_cheap)
    }

    /// The series of one input of an instance.
    fn series_of(&self, group: Option<usize>, input: usize) -> Vec<Series> {
        let all = self.found.series.get(input).copied().unwrap_or_default();
        let members = group.and_then(|group| self.found.grouping.groups[group].members.get(input));
        members.map_or_else(Vec::new, |members| members.collect(all))
    }

    /// Takes down what went wrong.
    pub(super) fn fail(
        &mut self,
        labels: &Arc<Labels>,
        failure: Failure,
        asked: Option<Arc<Instance>>,
    ) -> Looked {
        self.found.account.renew(self.tick.host);
        self.outcome.broke_budget |= failure.broke_budget;
        let text = format!("{}: {}", instance_name(self.rule, labels), failure.text);
        let (labels, broke_budget) = (Some(labels.clone()), failure.broke_budget);
        self.outcome.errors.push(InstanceError { labels, text, broke_budget });
        Looked { why: Some(failure.text), asked, broke_budget, ..Looked::default() }
    }

    /// Brings an instance to this tick, and tells what is to be told.
    pub(super) fn step(
        &mut self,
        labels: &Arc<Labels>,
        variant: &Variant,
        instance: &mut InstanceState,
        looked: Looked,
        group: Option<usize>,
    ) {
        let tick = self.tick.tick;
        let before = Before::of(instance);
        let evidence_of = (self.tick.detail > Detail::None).then(|| instance.state.clone());
        let Looked { seen, value, newest, .. } = looked;
        let mut events = Vec::new();
        instance.state.step(&Look { seen, value, newest }, tick, &variant.policy, &mut events);
        instance.value = value.or(instance.value);
        instance.seen = Some(seen);
        instance.unwatched = looked.unwatched.unwrap_or(instance.unwatched);
        instance.broke_budget = looked.broke_budget;
        if looked.is_here {
            instance.seen_at = Some(tick);
        }
        instance.recent.push(Brief { tick, seen, value });
        let is_unmuted = self.mutes.apply(labels, &mut instance.muting);
        if is_unmuted && events.is_empty() {
            events.extend(instance.state.repeat(value, tick));
        }
        self.record(labels, variant, value, group);
        if !events.is_empty() || looked.memory_changed || before.is_changed(instance, variant.policy.every) {
            self.outcome.changed.push(labels.clone());
        }
        for event in &events {
            self.tell(labels, instance, event, &looked);
        }
        if let Some(before) = evidence_of
            && (!events.is_empty() || self.tick.detail == Detail::Everything)
        {
            let evidence = self.evidence(labels, instance, before, looked, events, group);
            self.outcome.evidence.push(evidence);
        }
    }

    /// Makes the notification of an event.
    pub(super) fn tell(
        &mut self,
        labels: &Arc<Labels>,
        instance: &mut InstanceState,
        event: &Event,
        looked: &Looked,
    ) {
        let (readings, traces) = (self.readings.clone(), looked.traces.clone());
        let mut context = Context { readings, traces, script_text: None };
        let (rule, tick, reading) = (self.rule, self.tick.tick, self.readings.first());
        match script::message(rule, labels, event, tick, looked, reading, self.found.account) {
            Ok(text) => context.script_text = text,
            Err(failure) => drop(self.fail(labels, failure, None)),
        }
        let told = notification(self.rule, labels, event, self.tick.tick, self.tick.generation, &context);
        self.outcome.notifications.push(mute(told, instance));
    }

    fn evidence(
        &self,
        labels: &Arc<Labels>,
        instance: &InstanceState,
        before: State,
        looked: Looked,
        events: Vec<Event>,
        group: Option<usize>,
    ) -> Evidence {
        let members = group.map(|group| &self.found.grouping.groups[group].members);
        let inputs = self.rule.inputs.iter().enumerate().map(|(number, input)| Measurement {
            name: input.name.clone(),
            selector: input.selector.to_string(),
            series: members.and_then(|members| members.get(number)).map_or(0, Members::len),
            window: input.window,
            offset: input.offset,
            reading: self.readings.get(number).copied().unwrap_or_default(),
        });
        Evidence {
            tick: self.tick.tick,
            rule: self.rule.id.clone(),
            instance: labels.clone(),
            generation: self.tick.generation,
            inputs: inputs.collect(),
            value: looked.value,
            truth: looked.truth,
            seen: looked.seen,
            why: looked.why,
            traces: looked.traces,
            before,
            after: instance.state.clone(),
            events,
            muted_by: instance.muting.by.clone(),
        }
    }

    /// Writes the value to the series of `record`.
    fn record(&mut self, labels: &Labels, variant: &Variant, value: Option<f64>, group: Option<usize>) {
        let (Some(name), Some(value)) = (&self.rule.record, value) else { return };
        let key = || series_key(name, labels, &variant.labels);
        let group = group.and_then(|group| self.found.grouping.groups.get_mut(group));
        let key = match group {
            Some(Group { recorded: Some(key), .. }) => Ok(key.clone()),
            Some(group) => key().inspect(|key| group.recorded = Some(key.clone())),
            None => key(),
        };
        match key {
            Ok(key) => self.outcome.recorded.push((key, value)),
            Err(error) => {
                let text = format!("{}: `record` cannot write: {error}", instance_name(self.rule, labels));
                let labels = Some(Arc::new(labels.clone()));
                self.outcome.errors.push(InstanceError { labels, text, broke_budget: false });
            }
        }
    }

    /// An override has turned it off.
    pub(super) fn turn_off(&mut self, labels: &Arc<Labels>, instance: &mut InstanceState) {
        let reason = Reason::Other("the rule was turned off for it".to_owned());
        if instance.state.is_inactive() {
            return;
        }
        let event = instance.state.close(self.tick.tick, reason);
        self.outcome.changed.push(labels.clone());
        if let Some(event) = event {
            self.readings.clear();
            self.tell(labels, instance, &event, &Looked::default());
        }
    }

    /// Whether an instance without labels counts the others.
    fn counts_instances(&self) -> bool {
        self.rule.expect.min > 0 && !is_one_of_all(self.rule)
    }

    /// `expect: { min: … }`: an instance without labels is absent while too few others report.
    fn count_expected(&mut self, instances: &mut Instances) {
        if !self.counts_instances() {
            return;
        }
        let reports = |instance: &InstanceState| {
            !instance.state.data.absent && instance.seen.is_some_and(|seen| seen != Seen::Absent)
        };
        let others = instances.iter().filter(|(labels, _)| !self.is_special(labels));
        let count = others.filter(|(_, instance)| reports(instance)).count();
        let enough = count >= self.rule.expect.min;
        let seen = match enough {
            true => Seen::Judged { when: Levels::NONE, clear: Levels::ALL },
            false => Seen::Absent,
        };
        // To report is to be seen now.
        let newest = enough.then_some(self.tick.tick);
        self.readings.clear();
        let looked = Looked { seen, value: Some(count as f64), newest, is_here: true, ..Looked::default() };
        self.extra(instances, Labels::new(), &self.rule.variants[0].policy, looked);
    }

    /// `on_error: alert`: an instance of its own fires while the rule fails.
    fn mind_errors(&mut self, state: &mut RuleState) {
        let failed = self.outcome.errors.len();
        state.failing_ticks = if failed > 0 { state.failing_ticks.saturating_add(1) } else { 0 };
        let labels = labels_of_errors();
        let exists = state.instances.keys().any(|known| is_of_errors(self.rule, known));
        let wanted = self.rule.on_error == OnError::Alert && state.failing_ticks >= FAILING_TICKS;
        if !wanted && !exists {
            return;
        }
        let seen = match state.failing_ticks {
            0 => Seen::Judged { when: Levels::NONE, clear: Levels::ALL },
            _ if wanted => Seen::Judged { when: Levels::only(Level::Warn), clear: Levels::NONE },
            _ => Seen::Held,
        };
        let why = self.outcome.errors.first().map(|error| error.text.clone());
        self.readings.clear();
        let looked = Looked { seen, value: Some(failed as f64), why, is_here: true, ..Looked::default() };
        let policy = policy_of_errors(&self.rule.variants[0].policy);
        self.extra(&mut state.instances, labels, &policy, looked);
    }

    /// Steps an instance that no series make.
    fn extra(&mut self, instances: &mut Instances, labels: Labels, policy: &Policy, looked: Looked) {
        let labels = Arc::new(labels);
        let mut instance = instances.remove(&labels).unwrap_or_else(|| self.fresh());
        let variant = Variant { policy: *policy, ..self.rule.variants[0].clone() };
        self.step(&labels, &variant, &mut instance, looked, None);
        instances.insert(labels, instance);
    }

    /// Forgets the instances that have been inactive and without data for long.
    fn forget(&mut self, instances: &mut Instances) {
        let (tick, rule) = (self.tick.tick, self.rule);
        let is_over = |instance: &InstanceState| {
            let since = instance.seen_at.map_or(Duration::ZERO, |seen_at| tick.since(seen_at));
            since >= FORGET_AFTER && instance.state.is_inactive()
        };
        if !instances.values().any(is_over) {
            return;
        }
        let groups = &self.found.grouping.groups;
        let stays = |labels: &Labels| {
            let found = groups.binary_search_by(|group| group.labels.as_ref().cmp(labels));
            found.is_ok_and(|index| groups[index].joined)
                || labels.is_empty() && rule.expect.min > 0
                || rule.expect.instances.contains(labels)
        };
        let forgotten = &mut self.outcome.forgotten;
        instances.retain(|labels, instance| {
            let goes = is_over(instance) && !stays(labels);
            if goes {
                forgotten.push(labels.clone());
            }
            !goes
        });
    }
}

/// An instance before a tick, as far as it has to be known whether a log is to be told of it: the rest follows from the
/// passing of time.
struct Before {
    state: State,
    seen: Option<Seen>,
    unwatched: Duration,
    muting: Muting,
}

impl Before {
    fn of(instance: &InstanceState) -> Self {
        let InstanceState { state, seen, unwatched, muting, .. } = instance;
        Self { state: state.clone(), seen: *seen, unwatched: *unwatched, muting: muting.clone() }
    }

    fn is_changed(&self, instance: &InstanceState, every: Duration) -> bool {
        !instance.state.only_went_on(&self.state, every)
            || (self.seen, self.unwatched) != (instance.seen, instance.unwatched)
            || self.muting != instance.muting
    }
}

/// Ends an instance for a reason that is no recovery: what there is to tell, and its state is that of a new one.
pub(crate) fn closed(
    rule: &Rule,
    labels: &Labels,
    instance: &mut InstanceState,
    tick: Timestamp,
    reason: &str,
    generation: u64,
) -> Option<Notification> {
    let event = instance.state.close(tick, Reason::Other(reason.to_owned()))?;
    let told = notification(rule, labels, &event, tick, generation, &Context::default());
    Some(mute(told, instance))
}

/// Says what mutes a notification. Who was told that an instance fires is told that it ends.
fn mute(mut told: Notification, instance: &mut InstanceState) -> Notification {
    let ends = matches!(told.kind, EventKind::Resolved | EventKind::Closed);
    if !(ends && instance.told) {
        told.suppressed_by = instance.muting.by.as_ref().map(|rule| rule.to_string());
    }
    instance.told = !ends && (instance.told || told.is_for_sinks());
    told
}

/// Whether an instance has begun by this tick: each input that needs series has one with a sample before it, or there is
/// such an instance whatever the series. A series whose first sample is later must not look like one that has fallen
/// silent: in a replay all series are known from the start.
fn is_born(rule: &Rule, group: &Group, series: &[&[Series]], tick: Timestamp) -> bool {
    if always(rule).contains(&group.labels) {
        return true;
    }
    let has_begun = |(number, input): &(usize, &Input)| {
        let (Some(members), Some(all)) = (group.members.get(*number), series.get(*number)) else {
            return false;
        };
        let before = range(input, tick).end;
        // What cannot be read is told when the instance is evaluated.
        let begins = |series: &Series| !matches!(series.last_before(before, &mut Reads::default()), Ok(None));
        members.collect(all).iter().any(begins)
    };
    let inputs = || rule.inputs.iter().enumerate();
    let mut needed = inputs().filter(|(_, input)| input.otherwise.is_none()).peekable();
    match needed.peek() {
        Some(_) => needed.all(|input| has_begun(&input)),
        None => inputs().any(|input| has_begun(&input)),
    }
}

fn series_key(name: &str, labels: &Labels, more: &Labels) -> Result<SeriesKey, sereno_model::KeyError> {
    let is_new = |(label, _): &&(String, String)| labels.iter().all(|(known, _)| known != label);
    let all = labels.iter().chain(more.iter().filter(is_new));
    SeriesKey::new(name, all.filter(|(_, value)| !value.is_empty()).map(|(label, value)| (label, value)))
}

fn labels_of_errors() -> Labels {
    vec![("error".to_owned(), "evaluation".to_owned())]
}

fn is_of_errors(rule: &Rule, labels: &Labels) -> bool {
    let is_own = || matches!(&rule.by, By::Labels(by) if by.len() == 1 && by[0] == "error");
    let is_it = labels.len() == 1 && labels[0].0 == "error" && labels[0].1 == "evaluation";
    is_it && !is_own()
}

fn policy_of_errors(policy: &Policy) -> Policy {
    let absence = Absence { after: After::Time(Duration::MAX), then: Then::Keep, close_after: None };
    let mut hold = [None; 3];
    hold[Level::Warn as usize] = Some(Duration::ZERO);
    Policy { hold, recover_for: Duration::ZERO, absence, ..*policy }
}
