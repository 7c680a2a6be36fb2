//! What rules would say now: evaluated once, as if they had just begun.

use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_storage::Snapshot;

use super::{events, look};
use crate::evaluate::{Detail, Parents, Tick};
use crate::generation::{Generation, Host};
use crate::instance::{RuleState, Standing};
use crate::report::{EvaluatedRule, InputLook, Seconds};
use crate::rule::Rule;
use crate::timeline::last_tick;

/// Evaluates a rule at its last tick at or before `at`. No state is read, none is kept.
pub(crate) fn evaluate_once(
    host: &Host,
    snapshot: &Snapshot,
    generation: &Arc<Generation>,
    rule: &Rule,
    at: Timestamp,
) -> EvaluatedRule {
    let start = host.clock.monotonic();
    let tick = last_tick(rule.every, at);
    let shown = snapshot.at(tick);
    let now = Tick {
        host,
        snapshot: &shown,
        tick,
        generation: generation.number,
        parents: &Nobody,
        detail: Detail::Everything,
    };
    let outcome = now.evaluate(rule, &mut RuleState::default());
    let instances = outcome.evidence.iter().map(|evidence| {
        let mut look = look::instance(rule, evidence, Some(snapshot));
        (look.before, look.would_tell) = (None, events(rule, evidence));
        look
    });
    let inputs = rule.inputs.iter().enumerate().map(|(number, input)| {
        let matched = outcome.matched.get(number).copied().unwrap_or_default() as u64;
        InputLook { matched, ..look::of_input(input, tick) }
    });
    EvaluatedRule {
        rule: rule.id.to_string(),
        inputs: inputs.collect(),
        instances: instances.collect(),
        errors: outcome.errors.iter().map(|error| error.text.clone()).collect(),
        unobserved: outcome.unobserved,
        operations: outcome.operations,
        samples: outcome.samples,
        seconds: Seconds(host.clock.monotonic().saturating_sub(start)),
    }
}

/// Nothing mutes what is only tried.
struct Nobody;

impl Parents for Nobody {
    fn standing(&self, _: &str) -> Option<Arc<[Standing]>> {
        None
    }
}
