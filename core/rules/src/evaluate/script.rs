//! What a rule's script says.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::{EventKind, Level, Timestamp};
use sereno_script::{
    AlertView, Answer, Budget, Decided, ErrorKind, InputView, Instance, Memory, RuleScript, ScriptError,
    Verdict, Whole,
};
use sereno_storage::{Series, Snapshot};

use super::instances::Looked;
use super::mute::Parents;
use super::read::{Account, Failure};
use crate::expression::Reading;
use crate::instance::{RuleState, ScriptMemory, Standing};
use crate::rule::{By, How, Input, Labels, Rule, ScriptUse, Variant};
use crate::state::{Event, Levels, Seen, State};

/// One input of an instance, as its script asks about it.
pub(super) fn view(input: &Input, series: Vec<Series>) -> InputView {
    let value = input.value.as_ref().and_then(|value| match &value.how {
        How::Reducer(reducer) => {
            Some(sereno_script::Value { reducer: reducer.clone(), across: value.across })
        }
        How::Age => None,
    });
    InputView {
        name: input.name.clone(),
        series,
        window: input.window,
        offset: input.offset,
        value,
        otherwise: input.otherwise,
    }
}

/// An instance, as its script asks about it.
#[expect(clippy::too_many_arguments, reason = "the parts of what a script sees, put together once")]
pub(super) fn ask(
    rule: &Rule,
    labels: &Arc<Labels>,
    variant: &Variant,
    state: &State,
    tick: Timestamp,
    snapshot: &Snapshot,
    inputs: Vec<InputView>,
    value: Option<Option<f64>>,
) -> Arc<Instance> {
    Arc::new(Instance {
        now: tick,
        labels: labels.clone(),
        params: variant.params.clone(),
        level: state.level(),
        state: state.name(),
        window: rule.window(),
        snapshot: snapshot.clone(),
        inputs,
        value,
    })
}

/// A whole rule, as its script asks about it.
pub(super) fn ask_whole(
    rule: &Rule,
    state: &RuleState,
    tick: Timestamp,
    snapshot: &Snapshot,
    parents: &dyn Parents,
) -> Arc<Whole> {
    let of_others = rule.after.iter().map(|id| (id.clone(), parents.standing(id)));
    let of_others: BTreeMap<Arc<str>, Option<Arc<[Standing]>>> = of_others.collect();
    let alerts = move |id: &str| {
        let standing = of_others.get(id)?.iter().flat_map(|standing| standing.iter());
        let firing = standing.filter_map(|it| Some((it.labels.to_vec(), it.level?)));
        Some(firing.collect::<Vec<(Labels, Level)>>())
    };
    let by = match &rule.by {
        By::Labels(labels) => labels.clone(),
        By::Unsaid | By::Series => Vec::new(),
    };
    let known = state.instances.iter().map(|(labels, it)| (labels.to_vec(), it.state.level()));
    Arc::new(Whole {
        now: tick,
        params: rule.variants[0].params.clone(),
        window: rule.window(),
        snapshot: snapshot.clone(),
        by,
        known: known.collect(),
        alerts: Arc::new(alerts),
    })
}

/// Asks the script about an instance. Gives its answer, and whether the memory has changed.
pub(super) fn check(
    rule: &Rule,
    used: &ScriptUse,
    asked: &Arc<Instance>,
    memory: &mut ScriptMemory,
    account: &mut Account,
) -> Result<(Answer<Verdict>, bool), Failure> {
    call(rule, used, memory, account, |script, this, budget| script.check(this, asked, budget))
}

/// Asks the script about the whole rule. Gives its answer, and whether the memory has changed.
pub(super) fn decide(
    rule: &Rule,
    used: &ScriptUse,
    whole: &Arc<Whole>,
    memory: &mut ScriptMemory,
    account: &mut Account,
) -> Result<(Answer<Decided>, bool), Failure> {
    call(rule, used, memory, account, |script, this, budget| script.decide(this, whole, budget))
}

/// Memory of another `state_version` is migrated. Memory that another version of the script left behind is tried first,
/// and thrown away if the new version cannot use it.
fn call<T>(
    rule: &Rule,
    used: &ScriptUse,
    memory: &mut ScriptMemory,
    account: &mut Account,
    ask: impl Fn(&RuleScript, &mut Memory, &mut Budget) -> Result<T, ScriptError>,
) -> Result<(T, bool), Failure> {
    let before = memory.this.clone();
    if memory.version != rule.state_version {
        let migrated = used.script.migrate(&mut memory.this, memory.version, &mut account.budget);
        migrated.map_err(|error| Failure::script(&error))?;
        (memory.crc32, memory.version) = (used.crc32, rule.state_version);
    }
    let foreign = memory.crc32 != used.crc32;
    let mut answer = ask(&used.script, &mut memory.this, &mut account.budget);
    if foreign && answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Failed) {
        let mut fresh = Memory::default();
        answer = ask(&used.script, &mut fresh, &mut account.budget);
        if answer.is_ok() {
            memory.this = fresh;
        }
    }
    if answer.is_ok() {
        memory.crc32 = used.crc32;
    }
    let changed = memory.this != before;
    answer.map(|answer| (answer, changed)).map_err(|error| Failure::script(&error))
}

/// What a verdict means to the state machine, its value, and its reason.
pub(super) fn meaning(verdict: Verdict) -> (Seen, Option<f64>, Option<String>) {
    let judged = |when: Levels| Seen::Judged { when, clear: when.complement() };
    match verdict {
        Verdict::Ok(value) => (judged(Levels::NONE), value, None),
        Verdict::Alert(level, value) => (judged(Levels::ALL.up_to(level)), value, None),
        Verdict::Absent(why) => (Seen::Absent, None, Some(why)),
        Verdict::Skip(why) => (Seen::Held, None, Some(why)),
    }
}

/// What the script wants to be said; nothing of its own where all is well again, or where it has no words.
pub(super) fn message(
    rule: &Rule,
    labels: &Arc<Labels>,
    event: &Event,
    tick: Timestamp,
    looked: &Looked,
    reading: Option<&Reading>,
    account: &mut Account,
) -> Result<Option<String>, Failure> {
    let (Some(used), None) = (rule.script(), &rule.message) else { return Ok(None) };
    if matches!(event.kind, EventKind::Resolved | EventKind::Closed) || !used.script.has_message() {
        return Ok(None);
    }
    let view = AlertView {
        rule: rule.id.clone(),
        kind: event.kind,
        level: event.level,
        previous: event.previous,
        value: event.value,
        extreme: event.extreme,
        n: reading.and_then(|reading| reading.samples).map(|samples| samples as f64),
        labels: labels.clone(),
        params: rule.variants[rule.variant_of(labels)].params.clone(),
        traces: looked.traces.clone(),
        now: tick,
        fired_at: event.fired_at,
        duration: tick.since(event.fired_at),
        runbook: rule.runbook.clone(),
        instance: looked.asked.clone(),
    };
    used.script.message(&view, &mut account.budget).map_err(|error| Failure::script(&error))
}
