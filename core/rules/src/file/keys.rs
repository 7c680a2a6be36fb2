//! What each key of a rule file looks like, for whoever wrote it wrong; and keys of other systems.

/// Keys that people bring along from elsewhere, and what to write instead.
pub(super) const FOREIGN: &[(&str, &str)] = &[
    ("alert", "the name of a rule is its `id`"),
    ("name", "the name of a rule is its `id`"),
    (
        "expr",
        "write `metric`, `where`, `by`, `agg` and `window`, with `limit`, `below` or `levels`; or a `script`",
    ),
    (
        "query",
        "write `metric`, `where`, `by`, `agg` and `window`, with `limit`, `below` or `levels`; or a `script`",
    ),
    ("keep_firing_for", "how long it must be clear before it is resolved is said by `recover_for`"),
    ("annotations", "write one text: `message: \"${labels.host}: ${fmt(v, 1)}\"`, and `runbook`"),
    ("summary", "write it as `message`"),
    ("description", "write it as `message`, or behind a `#`"),
    ("runbook_url", "write it as `runbook`"),
    ("severity", "write `level: info`, `warn` or `crit`"),
    ("priority", "write `level: info`, `warn` or `crit`"),
    ("interval", "how often a rule is evaluated is its `every`"),
    ("groups", "a file has `rules:` at its top, without groups"),
    ("threshold", "write `limit` (at least) or `below` (less than)"),
    ("operator", "write `limit` (at least), `below` (less than), or `when: \"v > 80\"`"),
    ("above", "write `limit` (at least), or `when: \"v > 80\"`"),
    ("condition", "write `when: \"v > 80\"`"),
    ("group_by", "write `by: [host]`"),
    ("filter", "write `where: { label: value }`"),
    ("match", "write `where: { label: value }`"),
    ("aggregation", "write `agg`"),
    ("duration", "how long it must hold is `for`, how far back is read is `window`"),
    ("enabled", "write `mode: off` to turn it off"),
    ("disabled", "write `mode: off` to turn it off"),
    ("depends", "write `suppressed_by` (it mutes this rule) or `after` (it is evaluated first)"),
    ("inhibited_by", "write `suppressed_by`"),
    ("min_samples", "write `require: \"n >= 5\"`"),
    ("no_data", "write `absent: keep`, `resolve` or `alert`"),
    ("min", "write `below`, or `agg: min`"),
    ("max", "write `limit`, or `agg: max`"),
];

/// For each key, how it is written.
const EXAMPLES: &[(&str, &str)] = &[
    ("id", "id: cpu_high"),
    ("metric", "metric: cpu.load"),
    ("where", "where: { env: prod, code: \"~5..\" }"),
    ("by", "by: [host]"),
    ("agg", "agg: mean"),
    ("across", "across: sum"),
    ("window", "window: 5m"),
    ("lookback", "lookback: 30d"),
    ("offset", "offset: 7d"),
    ("else", "else: 0"),
    ("keep", "keep: [le]"),
    ("inputs", "inputs: { err: { metric: errors, agg: increase, window: 5m } }"),
    ("require", "require: \"n >= 5\""),
    ("value", "value: \"ratio(err, all)\""),
    ("limit", "limit: 80"),
    ("below", "below: 10GiB"),
    ("when", "when: \"v >= 80\""),
    ("clear", "clear: \"v < 70\""),
    ("for", "for: 1m"),
    ("recover_for", "recover_for: 1m"),
    ("level", "level: warn"),
    ("levels", "levels: { warn: \"v >= 80\", crit: \"v >= 95\" }"),
    ("script", "script: disk_full.rhai"),
    ("params", "params: { limit: 4 }"),
    ("state_version", "state_version: 2"),
    ("absent", "absent: { after: 3x, then: keep, close_after: 15m }"),
    ("expect", "expect: [ { host: a }, { host: b } ]"),
    ("on_error", "on_error: alert"),
    ("overrides", "overrides: [ { where: { service: batch }, limit: 0.2 } ]"),
    ("suppressed_by", "suppressed_by: [ { rule: host_down, on: [host] } ]"),
    ("after", "after: [host_down]"),
    ("record", "record: service.error_ratio"),
    ("every", "every: 15s"),
    ("settle", "settle: 2s"),
    ("max_instances", "max_instances: 1000"),
    ("mode", "mode: shadow"),
    ("message", "message: \"${labels.host}: ${fmt(v, 1)}\""),
    ("reminder", "reminder: 5m"),
    ("labels", "labels: { team: db }"),
    ("runbook", "runbook: https://wiki/cpu"),
    ("renamed_from", "renamed_from: cpu_load"),
    ("name", "agg: { name: apdex, params: { satisfied: 0.3 }, value: score }"),
    ("rule", "suppressed_by: [ { rule: host_down, on: [host] } ]"),
    ("on", "suppressed_by: [ { rule: host_down, on: [host] } ]"),
    ("while", "while: pending"),
    ("then", "then: alert"),
    ("close_after", "close_after: 15m"),
    ("min", "expect: { min: 3 }"),
    ("instances", "instances: [ { host: a } ]"),
    ("rules", "rules: [ { id: a, metric: m, agg: max, window: 1m, limit: 5 } ]"),
    ("defaults", "defaults: { every: 10s }"),
];

/// How a key is written.
pub(crate) fn example(key: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(known, _)| *known == key).map(|(_, example)| *example)
}

/// The keys of a rule, as they are documented.
#[cfg(test)]
pub(crate) fn of_rules() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().map(|(key, _)| *key).take_while(|key| *key != "name")
}
