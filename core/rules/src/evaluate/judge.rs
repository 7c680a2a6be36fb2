//! From what the inputs give to what it means: `require`, `value`, and the conditions of the levels.

use sereno_model::{Level, Timestamp};

use crate::expression::{Names, Reading};
use crate::rule::{Labels, Rule, Variant};
use crate::state::{Levels, Seen};

/// What the conditions of a rule say, for people too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Whether `require` holds; `None` where something is missing in it. Holds where there is none.
    pub require: Option<bool>,
    /// The levels whose `when` holds.
    pub when: Levels,
    /// The levels in whose `when` something is missing.
    pub unknown: Levels,
    /// The levels whose `clear` holds.
    pub clear: Levels,
}

/// The names that the rule's expressions may use.
pub(super) fn names<'a>(
    labels: &'a Labels,
    variant: &'a Variant,
    readings: &'a [Reading],
    value: Option<f64>,
    level: Option<Level>,
    tick: Timestamp,
) -> Names<'a> {
    Names { value, inputs: readings, now: tick, level, labels, params: &variant.params }
}

/// The number that is compared: `value`, or the first input's.
pub(super) fn value_of(rule: &Rule, names: &Names<'_>) -> Option<f64> {
    match &rule.value {
        Some(value) => value.number(names),
        None => names.inputs.first().and_then(|reading| reading.value),
    }
}

/// What is seen before anything is compared: that there is no data, or too little. `None` if there is enough.
pub(super) fn ahead(rule: &Rule, names: &Names<'_>, truth: &mut Truth) -> Option<Seen> {
    let needed = || rule.inputs.iter().zip(names.inputs).filter(|(input, _)| input.otherwise.is_none());
    let has_data = needed().count() == 0 || needed().any(|(_, reading)| reading.value.is_some());
    if names.value.is_none() && !has_data && !rule.inputs.is_empty() {
        return Some(Seen::Absent);
    }
    truth.require = match &rule.require {
        Some(require) => require.holds(names),
        None => Some(true),
    };
    (truth.require != Some(true)).then_some(Seen::Held)
}

/// What the levels say of the value.
pub(super) fn judge(rule: &Rule, variant: &Variant, names: &Names<'_>) -> (Seen, Truth) {
    let mut truth = Truth::default();
    if let Some(seen) = ahead(rule, names, &mut truth) {
        return (seen, truth);
    }
    for level in &variant.levels {
        let only = Levels::only(level.level);
        let when = level.when.as_ref().and_then(|when| when.holds(names));
        match when {
            Some(true) => truth.when = truth.when.or(only),
            Some(false) => {}
            None => truth.unknown = truth.unknown.or(only),
        }
        let clear = match &level.clear {
            Some(clear) => clear.holds(names),
            None => when.map(|when| !when),
        };
        if clear == Some(true) {
            truth.clear = truth.clear.or(only);
        }
    }
    let seen = match (names.value, truth.unknown) {
        (None, unknown) if unknown != Levels::NONE || variant.levels.is_empty() => Seen::Absent,
        (Some(_), unknown) if unknown != Levels::NONE => Seen::Held,
        _ => Seen::Judged { when: truth.when, clear: truth.clear },
    };
    (seen, truth)
}
