//! The schema of rule files.

use serde_json::{Value, json};

use super::{DRAFT, block, definitions, key, list_of, one_of, shared};
use crate::expression::RESERVED;

const ID: &str = "^[A-Za-z0-9_.-]{1,100}$";
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// Keys that cannot stand beside each other in one rule.
const EITHER: &[(&str, &str)] = &[
    ("limit", "below"),
    ("limit", "when"),
    ("below", "when"),
    ("levels", "limit"),
    ("levels", "below"),
    ("levels", "when"),
    ("levels", "level"),
    ("levels", "clear"),
    ("script", "limit"),
    ("script", "below"),
    ("script", "when"),
    ("script", "clear"),
    ("script", "level"),
];

pub(super) fn schema() -> Value {
    let mut defaults = rule_keys();
    if let Some(keys) = defaults.as_object_mut() {
        keys.remove("id");
        keys.remove("renamed_from");
    }
    let defaults = key(
        block(defaults),
        "What every rule of the file has that does not say otherwise. `where`, `params` and `labels` are joined.",
    );
    json!({
        "$schema": DRAFT,
        "title": "Sereno rules",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "defaults": defaults,
            "rules": key(json!({ "type": ["array", "null"], "items": shared("rule") }), "The rules."),
        },
        "definitions": definitions(),
    })
}

/// One rule.
pub(super) fn rule() -> Value {
    let either: Vec<Value> = EITHER.iter().map(|(a, b)| json!({ "not": { "required": [a, b] } })).collect();
    let mut rule = block(rule_keys());
    rule["required"] = json!(["id"]);
    rule["allOf"] = either.into();
    rule
}

/// The keys of a rule.
fn rule_keys() -> Value {
    let mut keys = json!({});
    for part in [identity(), reads(), inputs(), compares(), absence(), others(), says()] {
        if let (Some(keys), Value::Object(part)) = (keys.as_object_mut(), part) {
            keys.extend(part);
        }
    }
    keys
}

fn identity() -> Value {
    json!({
        "id": key(id(), "The name of the rule, unique over all files. Its state belongs to it, and to the labels of the instance, and to nothing else."),
        "renamed_from": key(id(), "The id that the rule had before: its state is taken over."),
        "by": key(
            json!({ "anyOf": [{ "const": "*" }, { "type": "array", "items": { "type": "string", "minLength": 1 }, "uniqueItems": true }] }),
            "The labels that tell instances apart; \"*\" for one instance per series; [] for one of all.",
        ),
    })
}

fn id() -> Value {
    json!({ "type": "string", "pattern": ID })
}

/// The keys of an input.
pub(super) fn reads() -> Value {
    json!({
        "metric": key(json!({ "type": "string" }), "The name of the series; `*` and `?` stand for any characters."),
        "where": key(shared("conditions"), "Conditions on labels: v, \"!v\", \"~regex\", \"!~regex\", or a list: any of its values, and none of the negated ones."),
        "agg": key(agg(), "What is computed of the window: an aggregation, or `age`, the seconds since the last sample. Of several numbers one is meant: apdex.score."),
        "across": key(one_of(&["sum", "mean", "min", "max", "count", "pool"]), "How several series of one instance are joined; by itself what suits the aggregation."),
        "window": key(shared("duration"), "How far back is read: [tick - window, tick)."),
        "lookback": key(shared("duration"), "How far back `age` and heartbeats look for the last sample. Default 24h."),
        "offset": key(shared("duration"), "How long before the tick the window ends: 7d is a week ago. Default 0s."),
        "else": key(json!({ "type": "number" }), "The value where there are no samples."),
        "keep": key(list_of(json!({ "type": "string" })), "Labels beyond `by` that a script's vectors keep, like `le`."),
    })
}

fn inputs() -> Value {
    let inputs = json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 32,
        "propertyNames": { "pattern": NAME, "not": { "enum": RESERVED } },
        "additionalProperties": shared("input"),
    });
    let text = "Several inputs, joined by the labels of `by`, and named in expressions: `err`, `err.n`. What they do not say themselves the rule says for all.";
    json!({ "inputs": key(inputs, text) })
}

fn agg() -> Value {
    let mut long = block(json!({
        "name": key(json!({ "type": "string" }), "The aggregation."),
        "params": key(json!({ "type": "object" }), "What it is given."),
        "value": key(json!({ "type": "string" }), "Which of its numbers is meant."),
    }));
    long["required"] = json!(["name"]);
    json!({ "anyOf": [{ "type": "string" }, long] })
}

fn compares() -> Value {
    json!({
        "require": key(expression(), "What must hold for a verdict, like \"n >= 5\"; else the state stands."),
        "value": key(json!({ "type": ["string", "number"] }), "The number that is compared, like \"ratio(err, all)\"; by itself the only input."),
        "limit": key(shared("limit"), "Fires at or over it. A number, a duration (in seconds), a size (in bytes); or \"< 14d\"."),
        "below": key(shared("limit"), "Fires under it."),
        "when": key(shared("limit"), "Fires when it holds: \"v >= 80 && n >= 5\"."),
        "clear": key(shared("limit"), "When it has ceased to hold: 70, or \"v < 70\". By itself when it does not hold."),
        "for": key(shared("duration"), "How long it must hold before it fires. Default 0s."),
        "recover_for": key(shared("duration"), "How long everything must be clear before it is resolved. Default 0s."),
        "level": key(shared("level"), "The level of the short form. Default crit."),
        "levels": key(shared("levels"), "Several levels in one rule."),
        "script": key(json!({ "type": "string" }), "A file below scripts/rules, with fn check(s) or fn decide(ctx)."),
        "params": key(json!({ "type": "object" }), "What the script reads as s.params, and expressions as params.NAME."),
        "state_version": key(json!({ "type": "integer", "minimum": 0 }), "The version of the shape of the script's memory; another one calls fn migrate(old, from)."),
        "overrides": key(list_of(over()), "What is different for some instances; the first that matches counts."),
    })
}

fn expression() -> Value {
    json!({ "type": ["string", "boolean"] })
}

pub(super) fn levels() -> Value {
    let long = block(json!({
        "when": key(shared("limit"), "When it holds: \"v >= 80\", 80 or \"< 14d\"."),
        "clear": key(shared("limit"), "When it has ceased to hold."),
        "for": key(shared("duration"), "How long it must hold before it fires."),
    }));
    let level = json!({ "anyOf": [long, { "type": ["string", "number", "boolean", "null"] }] });
    let mut levels = block(json!({
        "info": key(level.clone(), "Worth knowing."),
        "warn": key(level.clone(), "Somebody should look."),
        "crit": key(level.clone(), "Somebody must act."),
        "warning": level.clone(),
        "critical": level,
    }));
    levels["minProperties"] = json!(1);
    levels
}

fn over() -> Value {
    let labels = json!({ "allOf": [shared("conditions")], "minProperties": 1 });
    let mut over = block(json!({
        "where": key(labels, "Which instances, by labels of `by`."),
        "limit": shared("limit"),
        "below": shared("limit"),
        "clear": shared("limit"),
        "for": shared("duration"),
        "recover_for": shared("duration"),
        "levels": shared("levels"),
        "params": { "type": "object" },
        "labels": shared("labels"),
        "mode": shared("mode"),
    }));
    over["required"] = json!(["where"]);
    over
}

fn absence() -> Value {
    let after = || json!({ "type": "string", "pattern": r"^\s*([1-9][0-9]*(\.[0-9]+)?\s*x|([0-9]+(\.[0-9]+)?\s*[a-wyzA-Zµ][a-zA-Zµ]*\s*)+)$" });
    let never = json!({ "anyOf": [{ "const": "never" }, shared("duration")] });
    let long = block(json!({
        "after": key(after(), "When missing data counts as absent: 3x the interval of the samples, or 2m. Default 3x."),
        "then": key(one_of(&["keep", "resolve", "alert"]), "What that means. Default keep; alert for heartbeats and with `expect`."),
        "level": key(shared("level"), "The level of the alert. Default warn, for heartbeats crit."),
        "close_after": key(never, "How long an alert that is kept may be without data before it is closed. Default 15m."),
    }));
    let instance = shared("labels");
    let expected = block(json!({
        "min": key(json!({ "type": "integer", "minimum": 0 }), "How many instances must report at least."),
        "instances": key(list_of(instance.clone()), "Which ones."),
    }));
    json!({
        "absent": key(json!({ "anyOf": [one_of(&["keep", "resolve", "alert"]), after(), long] }), "What missing data means."),
        "expect": key(json!({ "anyOf": [{ "type": "array", "minItems": 1, "items": instance }, expected] }), "The instances that must report, whether they have ever been seen or not."),
        "on_error": key(one_of(&["hold", "alert"]), "What happens when the rule cannot be evaluated: its states stand, and with `alert` an instance of level warn fires. Default hold."),
    })
}

fn others() -> Value {
    let mut suppressed = block(json!({
        "rule": key(id(), "The other rule."),
        "on": key(list_of(json!({ "type": "string" })), "The labels in which the instances must agree; by itself those that both have. [] for any instance of it."),
        "while": key(one_of(&["pending", "firing"]), "From when on it mutes. Default firing."),
    }));
    suppressed["required"] = json!(["rule"]);
    let suppressed = json!({ "anyOf": [id(), suppressed] });
    let several = |one: Value| json!({ "anyOf": [one, { "type": "array", "items": one }] });
    json!({
        "suppressed_by": key(several(suppressed), "Rules that mute this one while they fire."),
        "after": key(several(id()), "Rules that are evaluated before this one, in the same tick."),
        "record": key(json!({ "type": "string", "pattern": r"^[^*?]{1,255}$" }), "The name of a series that the value is written to."),
    })
}

fn says() -> Value {
    json!({
        "every": key(shared("duration"), "The time between two ticks. Default: the window of the short form, else 15s."),
        "settle": key(shared("duration"), "How long after a tick its samples may still come. Default 0s."),
        "max_instances": key(json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }), "How many instances the rule may have; further ones are refused. Default 1000."),
        "mode": key(shared("mode"), "live; shadow: nobody is told but the log, and monitors that ask; off: not evaluated. Default live."),
        "message": key(json!({ "type": "string", "pattern": r"\S" }), "What to say: ${labels.host}: load ${fmt(v, 1)} (${level})."),
        "reminder": key(shared("duration"), "How long an instance that fires is silent before it reminds; 0 for never. Default 60s."),
        "labels": key(shared("labels"), "Attributes of the notifications; no part of any identity."),
        "runbook": key(json!({ "type": "string", "pattern": r"\S" }), "Where to read what to do."),
    })
}
