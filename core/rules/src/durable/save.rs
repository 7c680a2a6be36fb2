//! Between what the engine keeps and what is saved of it.
//!
//! The rest of a state is found again by itself (`cache`), or is missing after a start (the last ticks of an instance,
//! the value of a quiet one until its next tick).

use std::sync::Arc;

use sereno_script::{Memory, Trace, TraceValue};
use tracing::warn;

use super::convert::{
    levels, nanos, put_labels, put_seen, put_state, take_labels, take_seen, take_state, time,
};
use super::mirror::Mirror;
use super::record::{ChangedRule, SavedInstance, SavedMemory, SavedOwn, SavedRule, TickRecord};
use super::wire;
use crate::evaluate::{Evidence, Measurement, Outcome, Truth};
use crate::expression::Reading;
use crate::instance::{InstanceState, Muting, RuleState, ScriptMemory};
use crate::rule::Labels;

impl TickRecord {
    /// Notes what a rule has come to at this tick. Its notifications and evidence are taken out of `outcome`. One that
    /// did not look is left out.
    pub fn note(&mut self, number: u32, state: &RuleState, outcome: &mut Outcome) {
        self.notifications.append(&mut outcome.notifications);
        self.evidence.extend(outcome.evidence.drain(..).map(|evidence| put_evidence(&evidence)));
        if outcome.unobserved || state.last != Some(self.tick) {
            return;
        }
        // Where the budget broke, or the rule as a whole failed, some instances were not looked at.
        let failed_whole = outcome.errors.iter().any(|error| error.labels.is_none());
        let is_whole = !outcome.broke_budget && !failed_whole;
        let own_changed = outcome.memory_changed || !outcome.errors.is_empty();
        if is_whole {
            self.evaluated.push(number);
        }
        if is_whole && !own_changed && outcome.changed.is_empty() && outcome.forgotten.is_empty() {
            return;
        }
        let saved = |(labels, instance): (&Arc<Labels>, &InstanceState)| {
            (labels.clone(), Some(SavedInstance::of(instance)))
        };
        let mut instances: Vec<_> = match is_whole {
            true => {
                outcome.changed.iter().filter_map(|it| state.instances.get_key_value(it)).map(saved).collect()
            }
            false => state.instances.iter().map(saved).collect(),
        };
        let forgotten = outcome.forgotten.iter().filter(|labels| !state.instances.contains_key(*labels));
        instances.extend(forgotten.map(|labels| (labels.clone(), None)));
        self.changed.push(ChangedRule { number, own: own_changed.then(|| SavedOwn::of(state)), instances });
    }
}

impl SavedOwn {
    fn of(state: &RuleState) -> Self {
        Self { memory: SavedMemory::of(&state.memory), failing_ticks: state.failing_ticks }
    }
}

impl SavedRule {
    /// What is saved of a rule.
    pub fn of(state: &RuleState) -> Self {
        let instances = state.instances.iter();
        Self {
            own: SavedOwn::of(state),
            last: state.last,
            pause: None,
            instances: instances.map(|(labels, it)| (labels.clone(), SavedInstance::of(it))).collect(),
        }
    }

    /// Whether an instance fires.
    pub fn fires(&self) -> bool {
        self.instances.values().any(|instance| instance.state.episode.is_some())
    }

    /// What the engine goes on with.
    pub fn restore(self) -> RuleState {
        let instances = self.instances.into_iter();
        RuleState {
            instances: instances.map(|(labels, instance)| (labels, instance.restore())).collect(),
            memory: self.own.memory.restore(),
            last: self.last,
            failing_ticks: self.own.failing_ticks,
            ..RuleState::default()
        }
    }
}

/// The state of a rule as a restart leaves it: through bytes, and back. `None` would be a mistake in here.
pub(crate) fn through_restart(state: &RuleState) -> Option<RuleState> {
    let mut mirror = Mirror::default();
    mirror.names.insert(0, Arc::from("rule"));
    mirror.rules.insert(0, SavedRule::of(state));
    let frames = mirror.frames();
    let bytes: Vec<Vec<u8>> = frames.iter().map(prost::Message::encode_to_vec).collect();
    let bodies = bytes.iter().map(|bytes| <wire::Frame as prost::Message>::decode(&bytes[..]).ok()?.body);
    Mirror::restore(bodies)?.rules.remove(&0).map(SavedRule::restore)
}

impl SavedInstance {
    fn of(instance: &InstanceState) -> Self {
        Self {
            state: instance.state.clone(),
            value: instance.value,
            memory: SavedMemory::of(&instance.memory),
            seen: instance.seen,
            seen_at: instance.seen_at,
            unwatched: instance.unwatched,
            muted_by: instance.muting.by.clone(),
            mute_is_over: instance.muting.is_over,
            told: instance.told,
        }
    }

    fn restore(self) -> InstanceState {
        InstanceState {
            state: self.state,
            value: self.value,
            memory: self.memory.restore(),
            seen: self.seen,
            seen_at: self.seen_at,
            unwatched: self.unwatched,
            muting: Muting { by: self.muted_by, is_over: self.mute_is_over },
            told: self.told,
            ..InstanceState::default()
        }
    }
}

impl SavedMemory {
    fn of(memory: &ScriptMemory) -> Self {
        Self { bytes: memory.this.to_bytes(), crc32: memory.crc32, version: memory.version }
    }

    /// A memory that cannot be read begins anew: its script's `init` runs.
    fn restore(&self) -> ScriptMemory {
        match Memory::from_bytes(&self.bytes) {
            Ok(this) => ScriptMemory { this, crc32: self.crc32, version: self.version },
            Err(error) => {
                warn!(%error, "What a script remembered cannot be read back; it begins anew.");
                ScriptMemory::default()
            }
        }
    }
}

fn put_evidence(evidence: &Evidence) -> wire::Evidence {
    let Truth { require, when, unknown, clear } = evidence.truth;
    wire::Evidence {
        tick: evidence.tick.nanos(),
        rule: evidence.rule.to_string(),
        instance: put_labels(&evidence.instance),
        generation: evidence.generation,
        inputs: evidence.inputs.iter().map(put_measurement).collect(),
        value: evidence.value,
        require,
        when: when.bits().into(),
        unknown: unknown.bits().into(),
        clear: clear.bits().into(),
        seen: Some(put_seen(evidence.seen)),
        why: evidence.why.clone(),
        traces: evidence.traces.iter().map(put_trace).collect(),
        before: Some(put_state(&evidence.before)),
        after: Some(put_state(&evidence.after)),
        muted_by: evidence.muted_by.as_deref().map(str::to_owned),
    }
}

/// Back from what was written; the events stand beside it. `None` if it cannot be understood.
pub(super) fn take_evidence(evidence: wire::Evidence) -> Option<Evidence> {
    Some(Evidence {
        tick: time(evidence.tick),
        rule: evidence.rule.into(),
        instance: Arc::new(take_labels(evidence.instance)),
        generation: evidence.generation,
        inputs: evidence.inputs.into_iter().map(take_measurement).collect(),
        value: evidence.value,
        truth: Truth {
            require: evidence.require,
            when: levels(evidence.when),
            unknown: levels(evidence.unknown),
            clear: levels(evidence.clear),
        },
        seen: take_seen(evidence.seen?)?,
        why: evidence.why,
        traces: evidence.traces.into_iter().map(take_trace).collect(),
        before: take_state(evidence.before?)?,
        after: take_state(evidence.after?)?,
        events: Vec::new(),
        muted_by: evidence.muted_by.map(Into::into),
    })
}

fn put_measurement(input: &Measurement) -> wire::Measurement {
    wire::Measurement {
        name: input.name.to_string(),
        selector: input.selector.clone(),
        series: input.series as u64,
        window: nanos(input.window),
        offset: nanos(input.offset),
        value: input.reading.value,
        samples: input.reading.samples,
        newest: input.reading.newest.map(sereno_model::Timestamp::nanos),
    }
}

fn take_measurement(input: wire::Measurement) -> Measurement {
    Measurement {
        name: input.name.into(),
        selector: input.selector,
        series: usize::try_from(input.series).unwrap_or(usize::MAX),
        window: std::time::Duration::from_nanos(input.window),
        offset: std::time::Duration::from_nanos(input.offset),
        reading: Reading { value: input.value, samples: input.samples, newest: input.newest.map(time) },
    }
}

fn put_trace(trace: &Trace) -> wire::Trace {
    let name = trace.name.to_string();
    let nothing = wire::Trace { name, ..wire::Trace::default() };
    match &trace.value {
        TraceValue::Number(number) => wire::Trace { number: Some(*number), ..nothing },
        TraceValue::Text(text) => wire::Trace { text: Some(text.clone()), ..nothing },
        TraceValue::Flag(flag) => wire::Trace { flag: Some(*flag), ..nothing },
        TraceValue::Nothing => nothing,
    }
}

fn take_trace(trace: wire::Trace) -> Trace {
    let value = match (trace.number, trace.text, trace.flag) {
        (Some(number), ..) => TraceValue::Number(number),
        (None, Some(text), _) => TraceValue::Text(text),
        (None, None, Some(flag)) => TraceValue::Flag(flag),
        (None, None, None) => TraceValue::Nothing,
    };
    Trace { name: trace.name.into(), value }
}
