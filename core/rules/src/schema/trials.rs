//! The schema of tests of rules.

use serde_json::{Value, json};

use super::{DRAFT, block, definitions, key, list_of, map_of, one_of, shared};

pub(super) fn schema() -> Value {
    json!({
        "$schema": DRAFT,
        "title": "Tests of Sereno rules",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "tests": key(list_of(test()), "Tests of rules, in virtual time."),
            "aggregations": key(list_of(aggregation()), "Tests of aggregations."),
        },
        "definitions": own_definitions(),
    })
}

fn own_definitions() -> Value {
    let mut all = definitions();
    all["event"] = event();
    all["sources"] = sources();
    all["samples"] = samples();
    all
}

fn test() -> Value {
    let sinks = map_of(list_of(shared("event")));
    let mut test = block(json!({
        "name": key(json!({ "type": "string" }), "What it shows."),
        "rules": key(shared("sources"), "A file, several, or rules themselves. By itself the file that this one is called after."),
        "scripts": key(json!({ "type": "string" }), "The folder of scripts. By itself the nearest `scripts` upwards."),
        "start": key(json!({ "type": "string" }), "The time that all others are relative to. Default 2026-01-01T00:00:00Z."),
        "every": key(shared("duration"), "The interval of series. Default 10s."),
        "series": key(map_of(shared("samples")), "Samples by series: 97x12 (97, then 12 more), 10+0.5x12, _x6 (missing), NaN, Inf; or a list of parts."),
        "steps": key(list_of(step()), "What is done, and when."),
        "expect": key(list_of(shared("event")), "Every event, in order."),
        "never": key(list_of(json!({ "anyOf": [kind(), shared("event")] })), "What must not happen."),
        "sinks": key(sinks, "What a sink is told, and when."),
        "health": key(map_of(json!({ "type": "string" })), "The health of rules at the end."),
        "inexact": key(json!({ "type": "boolean" }), "Whether a replay must say that it cannot be exact."),
        "until": key(shared("duration"), "How long the test lasts."),
    }));
    test["required"] = json!(["name"]);
    // Whoever looks at nothing finds nothing.
    let looks = ["expect", "never", "sinks", "health"].map(|key| json!({ "required": [key] }));
    test["anyOf"] = json!(looks);
    test
}

fn sources() -> Value {
    json!({
        "anyOf": [{ "type": "string" }, list_of(json!({ "type": "string" })), list_of(shared("rule"))],
    })
}

fn samples() -> Value {
    let part = block(json!({
        "at": key(shared("duration"), "One sample at this time."),
        "for": key(shared("duration"), "How long this part lasts."),
        "every": key(shared("duration"), "The interval of its samples."),
        "v": key(json!({ "type": ["number", "string"] }), "Their value."),
        "from": key(json!({ "type": "number" }), "The first value of a ramp."),
        "to": key(json!({ "type": "number" }), "Its last."),
        "gap": key(json!({ "type": "boolean" }), "No samples."),
    }));
    json!({ "anyOf": [{ "type": ["string", "number"] }, list_of(part)] })
}

fn step() -> Value {
    let late = map_of(map_of(json!({ "type": ["number", "string"] })));
    let mut step = block(json!({
        "at": key(shared("duration"), "When."),
        "for": key(shared("duration"), "For how long."),
        "reload": key(shared("sources"), "Other rules take over."),
        "restart": key(json!({ "type": "boolean" }), "The server restarts; with `for` it is down that long."),
        "sink_down": key(json!({ "type": "string" }), "This sink takes nothing."),
        "late": key(late, "Samples of the past arrive: by series, by time."),
    }));
    step["required"] = json!(["at"]);
    step
}

fn kind() -> Value {
    one_of(&["firing", "escalated", "deescalated", "reminder", "resolved", "closed", "stale", "flapping"])
}

fn event() -> Value {
    block(json!({
        "at": key(json!({ "type": ["string", "number"] }), "A time, or a range: 60s..70s."),
        "kind": key(kind(), "What happens."),
        "level": key(shared("level"), "At which level."),
        "previous": key(shared("level"), "The level before."),
        "instance": key(shared("labels"), "The labels of the instance."),
        "rule": key(json!({ "type": "string" }), "The rule."),
        "value": key(json!({ "type": ["number", "string", "null"] }), "The value that decided."),
        "message": key(json!({ "type": "string" }), "The message; \"~text\" if it only has it in it."),
        "reason": key(json!({ "type": "string" }), "The reason."),
        "suppressed_by": key(json!({ "type": "string" }), "The rule that mutes it."),
        "stale": { "type": "boolean" },
        "flapping": { "type": "boolean" },
        "shadow": { "type": "boolean" },
    }))
}

fn aggregation() -> Value {
    let answer = json!({
        "anyOf": [{ "type": "number" }, { "type": ["string", "null"] }, map_of(json!({ "type": ["number", "string"] }))],
    });
    let mut aggregation = block(json!({
        "name": key(json!({ "type": "string" }), "The aggregation."),
        "params": key(json!({ "type": "object" }), "What it is given."),
        "window": key(shared("duration"), "The window. Default 1m."),
        "every": key(shared("duration"), "The interval of the samples. Default 10s."),
        "samples": key(shared("samples"), "The samples of the window."),
        "scripts": key(json!({ "type": "string" }), "The folder of scripts."),
        "expect": key(answer, "A number, `none`, or numbers by name; compared within 1e-9 of their size."),
    }));
    aggregation["required"] = json!(["name"]);
    aggregation
}
