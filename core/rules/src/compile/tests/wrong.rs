//! Mistakes that people make: each is told once, with its place and what to do.

use super::*;

/// The start of a rule that only lacks what is wrong with it.
const RULE: &str = "id: a, metric: m, agg: max, window: 1m, by: [host]";

/// A wrong rule, and whether an editor that knows the schema sees it too: what needs scripts, expressions or other keys to
/// be understood, it cannot see.
pub(crate) const WRONG: &[(&str, bool)] = &[
    // Keys.
    ("RULE, lmit: 5", true),
    ("RULE, limit: 5, expr: up == 0", true),
    ("RULE, limit: 5, annotations: { summary: x }", true),
    ("RULE, limit: 5, keep_firing_for: 5m", true),
    ("RULE, limit: 5, alert: High", true),
    ("RULE, limit: 5, severity: page", true),
    ("RULE, limit: 5, limit: 6", false),
    ("metric: m, agg: max, window: 1m, limit: 5", true),
    ("id: \"a b\", metric: m, agg: max, window: 1m, limit: 5", true),
    ("id: a, agg: max, window: 1m, limit: 5", false),
    ("id: a, metric: m, window: 1m, limit: 5", false),
    ("id: a, metric: m, agg: max, limit: 5", false),
    ("RULE", false),
    ("RULE, limit: 5, for:", true),
    ("RULE, limit: 5, message: ~", true),
    ("RULE, limit: 5, absent: { after: }", true),
    // Durations and numbers.
    ("RULE, limit: 5, for: 5", true),
    ("RULE, limit: 5, for: soon", true),
    ("RULE, limit: 5, every: 100ms", false),
    ("RULE, limit: 5, every: [10s]", true),
    ("id: a, metric: m, agg: max, window: 0s, limit: 5", false),
    ("id: a, metric: m, agg: max, window: 400d, limit: 5, every: 1m", false),
    ("RULE, limit: 80%", false),
    ("RULE, limit: 5M", false),
    ("RULE, limit: [5]", true),
    ("RULE, limit: \"v > 5\"", false),
    ("RULE, limit: 5, below: 3", true),
    ("RULE, limit: 5, else: none", true),
    ("RULE, limit: 5, max_instances: 0", true),
    ("RULE, limit: 5, max_instances: -1", true),
    ("RULE, limit: 5, reminder: 10ms", false),
    ("RULE, limit: 5, settle: 2h", false),
    // Labels.
    ("id: a, metric: m, agg: max, window: 1m, limit: 5, by: host", true),
    ("id: a, metric: m, agg: max, window: 1m, limit: 5, by: [host, host]", true),
    ("RULE, limit: 5, where: { env: !prod }", false),
    ("RULE, limit: 5, where: { env: \"~(\" }", false),
    ("RULE, limit: 5, where: { env: [] }", true),
    ("RULE, limit: 5, where: { env: }", true),
    ("RULE, limit: 5, where: { !env : prod }", false),
    ("RULE, limit: 5, labels: { team: ~ }", true),
    ("RULE, limit: 5, where: [env]", true),
    ("RULE, limit: 5, labels: { host: x }", false),
    ("RULE, limit: 5, labels: { team: [a] }", true),
    // Aggregations and inputs.
    ("id: a, metric: m, agg: maen, window: 1m, limit: 5", false),
    ("id: a, metric: m, agg: 95, window: 1m, limit: 5", true),
    ("id: a, metric: m, agg: { name: max, params: { a: 1 } }, window: 1m, limit: 5", false),
    ("id: a, metric: m, agg: { nam: max }, window: 1m, limit: 5", true),
    ("RULE, limit: 5, across: sun", true),
    ("RULE, limit: 5, lookback: 1d", false),
    ("id: a, metric: m, agg: age, window: 1d, limit: 5", false),
    ("id: a, inputs: {}, limit: 5", true),
    ("id: a, inputs: { v: { metric: m, agg: max, window: 1m } }, limit: 5", true),
    ("id: a, inputs: { a-b: { metric: m, agg: max, window: 1m } }, limit: 5", true),
    ("id: a, inputs: { err: { metric: m, agg: max, window: 1m, limit: 3 } }, limit: 5", true),
    ("id: a, inputs: { err: { agg: max, window: 1m } }, limit: 5", false),
    (
        "id: a, inputs: { e: { metric: m, agg: max, window: 1m }, f: { metric: m, agg: max, window: 1m } }, limit: 5, require: \"e > 1 && f > 1\"",
        false,
    ),
    ("id: a, by: [x], inputs: { e: { metric: m, agg: max, window: 1m, else: 0 } }, limit: 5", false),
    // Expressions.
    ("RULE, when: \"v > 5 and n > 3\"", false),
    ("RULE, when: v", false),
    ("RULE, when: \"vv > 3\"", false),
    ("RULE, when: \"> 5 && n > 3\"", false),
    ("RULE, when: [v]", true),
    ("RULE, limit: 5, require: \"n => 5\"", false),
    ("RULE, limit: 5, require: \"labels.hots == 'x'\"", false),
    ("RULE, limit: 5, value: \"v > 5\"", false),
    ("RULE, limit: 5, value: \"ratio(v)\"", false),
    ("RULE, when: \"v > params.limt\", params: { limit: 5 }, require: \"params.limit > 0\"", false),
    ("RULE, when: \"hour(now, 'Europe/Madird') > 8 && v > 5\"", false),
    ("RULE, when: \"v > 5\", clear: 3m5", false),
    ("RULE, when: \"n > 5 && v > 3\", clear: 3", false),
    ("RULE, limit: 5, when: \"v > 5\"", true),
    // Levels.
    ("RULE, limit: 5, level: page", true),
    ("RULE, levels: { page: \"v > 5\" }", true),
    ("RULE, levels: {}", true),
    ("RULE, levels: { warn: { clear: \"v < 3\" } }", false),
    ("RULE, levels: { warn: { wen: \"v > 3\" } }", true),
    ("RULE, levels: { warn: 3, warning: 4 }", false),
    ("RULE, levels: { warn: true }", false),
    ("RULE, levels: { warn: 3 }, limit: 5", true),
    ("RULE, levels: { warn: 3 }, level: warn", true),
    ("RULE, levels: { warn: 3 }, clear: 2", true),
    // Scripts.
    ("id: a, metric: m, script: od.rhai", false),
    ("id: a, script: odd.rhai", false),
    ("id: a, metric: m, script: odd.rhai, limit: 5", true),
    ("id: a, metric: m, script: odd.rhai, levels: { crit: { when: \"v > 5\" } }", false),
    ("id: a, metric: m, script: joins.rhai", false),
    ("RULE, limit: 5, state_version: 2", false),
    // Absence.
    ("RULE, limit: 5, absent: ignore", true),
    ("RULE, limit: 5, absent: { after: 0x }", true),
    ("RULE, limit: 5, absent: { then: page }", true),
    ("RULE, limit: 5, absent: { then: alert, close_after: 5m }", false),
    ("RULE, limit: 5, absent: { then: keep, level: warn }", false),
    ("RULE, limit: 5, absent: { close_after: later }", true),
    ("id: a, metric: m, by: [host], absent: alert, for: 5m", false),
    ("id: a, metric: m, by: [host], absent: alert, window: 5m", false),
    ("RULE, limit: 5, expect: 3", true),
    ("RULE, limit: 5, expect: { minimum: 3 }", true),
    ("RULE, limit: 5, expect: [ { hots: a } ]", false),
    ("RULE, limit: 5, expect: [ a ]", true),
    ("id: a, metric: m, agg: max, window: 1m, limit: 5, by: [b, c], expect: [ { b: x } ]", false),
    ("RULE, limit: 5, on_error: page", true),
    // Overrides.
    ("RULE, limit: 5, overrides: [ { limit: 6 } ]", true),
    ("RULE, limit: 5, overrides: [ { where: { disk: x }, limit: 6 } ]", false),
    ("RULE, limit: 5, overrides: [ { where: { host: x }, window: 5m } ]", true),
    ("RULE, limit: 5, overrides: [ { where: { host: x }, below: 5 } ]", false),
    ("RULE, limit: 5, overrides: [ { where: { host: x }, levels: { warn: 5 } } ]", false),
    ("RULE, limit: 5, overrides: [ { where: { host: x }, params: { p: 5 } } ]", false),
    (
        "RULE, limit: 5, params: { p: 1 }, require: \"params.p > 0\", overrides: [ { where: { host: x }, params: { p: b } } ]",
        false,
    ),
    ("RULE, limit: 5, overrides: { where: { host: x } }", true),
    // Others, messages, records.
    ("RULE, limit: 5, suppressed_by: [ { on: [host] } ]", true),
    ("RULE, limit: 5, suppressed_by: [ { rule: b, while: maybe } ]", true),
    ("RULE, limit: 5, suppressed_by: 5", true),
    ("RULE, limit: 5, after: { rule: b }", true),
    ("RULE, limit: 5, after: a", false),
    ("RULE, limit: 5, renamed_from: a", false),
    ("RULE, limit: 5, mode: on", true),
    ("RULE, limit: 5, message: \"${labels.hots}\"", false),
    ("RULE, limit: 5, message: \"${fmt(v)}\"", false),
    ("RULE, limit: 5, message: \"${v\"", false),
    ("RULE, limit: 5, message: \" \"", true),
    ("RULE, limit: 5, record: m", false),
    ("RULE, limit: 5, record: \"m.*\"", true),
    ("RULE, record: m.max, for: 5m", false),
    ("RULE, record: m.max, absent: alert", false),
];

/// The text of a file with one of them.
pub(crate) fn file_of(keys: &str) -> String {
    format!("rules:\n  - {{ {} }}\n", keys.replace("RULE", RULE))
}

/// Files that are wrong as a whole.
const WRONG_FILES: &[&str] = &[
    "rules:\n  id: a\n",
    "- id: a\n",
    "rule:\n  - { id: a }\n",
    "groups:\n  - name: x\n",
    "rules:\n  - a\n",
    "rules:\n\t- { id: a }\n",
    "rules: [ { id: a, metric: m } \n",
    "defaults: { id: a }\nrules: []\n",
    "defaults: { evry: 10s }\nrules: []\n",
    "rules: []\n---\nrules: []\n",
];

#[test]
fn each_mistake_is_told_once_with_its_place_and_what_to_do() {
    let files = WRONG.iter().map(|(keys, _)| (keys.to_owned(), file_of(keys)));
    let files = files.chain(WRONG_FILES.iter().map(|text| (*text, (*text).to_owned())));
    let told: Vec<String> =
        files.map(|(name, text)| format!("{}\n{}", name.trim().replace('\n', "⏎"), told(&text))).collect();
    let bad: Vec<&String> = told.iter().filter(|told| told.contains("BAD")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    insta::assert_snapshot!(told.join("\n"), @r#"
    RULE, lmit: 5
      2:59 `lmit`: unknown key `lmit`; did you mean `limit`?
    RULE, limit: 5, expr: up == 0
      2:69 `expr`: unknown key `expr`; write `metric`, `where`, `by`, `agg` and `window`, with `limit`, `below` or `levels`; or a `script`
    RULE, limit: 5, annotations: { summary: x }
      2:69 `annotations`: unknown key `annotations`; write one text: `message: "${labels.host}: ${fmt(v, 1)}"`, and `runbook`
    RULE, limit: 5, keep_firing_for: 5m
      2:69 `keep_firing_for`: unknown key `keep_firing_for`; how long it must be clear before it is resolved is said by `recover_for`
    RULE, limit: 5, alert: High
      2:69 `alert`: unknown key `alert`; the name of a rule is its `id`
    RULE, limit: 5, severity: page
      2:69 `severity`: unknown key `severity`; write `level: info`, `warn` or `crit`
    RULE, limit: 5, limit: 6
      2:69 `limit`: key `limit` is given twice; the first one is on line 2; remove one of them
    metric: m, agg: max, window: 1m, limit: 5
      2:5 ``: the rule has no `id`; add `id: …`, the name under which its alerts are known
    id: "a b", metric: m, agg: max, window: 1m, limit: 5
      2:11 `"a b"`: `a b` cannot be an id; 1 to 100 of the letters a-z, A-Z, digits, `_`, `.` and `-`
    id: a, agg: max, window: 1m, limit: 5
      2:5 ``: the rule has no `metric`; add `metric: …`, the series to read; `*` and `?` stand for any characters
    id: a, metric: m, window: 1m, limit: 5
      2:5 ``: the rule has no `agg`; add `agg: …`: `mean`, `max`, `count`, `p95`, …
    id: a, metric: m, agg: max, limit: 5
      2:5 ``: the rule has no `window`; add `window: …`, how far back the aggregation reads
    RULE
      2:5 ``: the rule has no `limit`; add `limit: …` (fires at or over it), `below: …` (under it), `when`, `levels` or a `script`; or `record: …` (writes a series), or `absent: alert` alone (a heartbeat)
    RULE, limit: 5, for:
      2:69 `for`: `for` has no value; like `for: 1m`; or remove it
    RULE, limit: 5, message: ~
      2:69 `message`: `message` has no value; like `message: "${labels.host}: ${fmt(v, 1)}"`; or remove it
    RULE, limit: 5, absent: { after: }
      2:79 `after`: `after` has no value; give it one, or remove it
    RULE, limit: 5, for: 5
      2:74 `5`: `for` must be a duration (a duration needs a unit: `5s`, `5m`, …), not the text `5`; like `for: 1m`
    RULE, limit: 5, for: soon
      2:74 `soon`: `for` must be a duration (expected number at 0), not the text `soon`; like `for: 1m`
    RULE, limit: 5, every: 100ms
      2:76 `100ms`: 100ms between two ticks is too short; give `every` at least 250ms, and at most a year
    RULE, limit: 5, every: [10s]
      2:76 ``: `every` must be a number with its unit, not a list; like `every: 15s`
    id: a, metric: m, agg: max, window: 0s, limit: 5
      2:43 `0s`: `window` must be longer than 0 and at most a year; like `15s`, `5m`, `7d`
    id: a, metric: m, agg: max, window: 400d, limit: 5, every: 1m
      2:43 `400d`: `window` must be longer than 0 and at most a year; like `15s`, `5m`, `7d`
    RULE, limit: 80%
      2:66 `80%`: `limit` must be a number, a duration or a size; write the number alone: `80`
    RULE, limit: 5M
      2:66 `5M`: `limit` must be a number, a duration or a size; write `5000000`, `5MB`, or `5m` for minutes
    RULE, limit: [5]
      2:66 ``: `limit` must be a number, a duration or a size; like `90`, `26h` (in seconds) or `10GiB` (in bytes)
    RULE, limit: "v > 5"
      2:66 `"v > 5" `: `limit` must be a number, a duration or a size; write the condition as `when: "v > 5"`
    RULE, limit: 5, below: 3
      2:76 `3`: a rule has either `limit` or `below`; write two rules, one for each side
    RULE, limit: 5, else: none
      2:75 `none`: `else` must be a number, not the text `none`; like `else: 0`
    RULE, limit: 5, max_instances: 0
      2:84 `0`: `max_instances` must be between 1 and 1000000; leave it out for 1000
    RULE, limit: 5, max_instances: -1
      2:84 `-1`: `max_instances` must be a whole number, not the number `-1`; like `max_instances: 1000`
    RULE, limit: 5, reminder: 10ms
      2:79 `10ms`: `reminder` is too short; give at least 250ms, or 0 for never
    RULE, limit: 5, settle: 2h
      2:77 `2h`: `settle` is too long; it is how long after a tick its samples may still come; give at most 1h
    id: a, metric: m, agg: max, window: 1m, limit: 5, by: host
      2:61 `host`: `by` must be a list of label names; write `by: [host]`, or `by: "*"` for one instance per series
    id: a, metric: m, agg: max, window: 1m, limit: 5, by: [host, host]
      2:61 ``: `by` names `host` twice; remove one of them
    RULE, limit: 5, where: { env: !prod }
      2:83 ``: `!prod` is a YAML tag; a value that begins with `!` needs quotes: `"!prod"`
    RULE, limit: 5, where: { env: "~(" }
      2:83 `"~(" `: `(` is not a regular expression; unclosed group
    RULE, limit: 5, where: { env: [] }
      2:83 ``: `env` is compared with an empty list; remove it, or name the values
    RULE, limit: 5, where: { env: }
      2:78 `env`: `env` has no value; give it one, or remove it
    RULE, limit: 5, where: { !env : prod }
      2:78 ``: `!env` is a YAML tag; a value that begins with `!` needs quotes: `"!env"`
    RULE, limit: 5, labels: { team: ~ }
      2:79 `team`: `team` has no value; give it one, or remove it
    RULE, limit: 5, where: [env]
      2:76 ``: `where` must be a block of keys, not a list; like `where: { env: prod, code: "~5.." }`
    RULE, limit: 5, labels: { host: x }
      2:85 `x`: `host` is a label of the instances already; give the attribute another name
    RULE, limit: 5, labels: { team: [a] }
      2:85 ``: `team` must be text; like `labels: { team: db }`
    id: a, metric: m, agg: maen, window: 1m, limit: 5
      2:30 `maen`: there is no aggregation `maen`; did you mean `mean`?
    id: a, metric: m, agg: 95, window: 1m, limit: 5
      2:30 `95`: `agg` must be the name of an aggregation; like `agg: mean`, `agg: apdex.score` or `agg: { name: apdex, params: { satisfied: 0.3 } }`
    id: a, metric: m, agg: { name: max, params: { a: 1 } }, window: 1m, limit: 5
      2:30 ``: the aggregation `max` takes no parameters; remove `params`: only `fn aggregate(w, params)` takes them
    id: a, metric: m, agg: { nam: max }, window: 1m, limit: 5
      2:32 `nam`: unknown key `nam`; did you mean `name`?
    RULE, limit: 5, across: sun
      2:77 `sun`: `sun` does not join series; `across` is `sum`, `mean`, `min`, `max`, `count` or `pool`; leave it out for the usual one
    RULE, limit: 5, lookback: 1d
      2:79 `1d`: `lookback` belongs to `agg: age`; how far back other aggregations read is `window`
    id: a, metric: m, agg: age, window: 1d, limit: 5
      2:43 `1d`: `agg: age` has no `window`; how far back it looks for the last sample is `lookback`, by itself 24h
    id: a, inputs: {}, limit: 5
      2:22 ``: a rule has 1 to 32 inputs; like `inputs: { err: { metric: errors, agg: increase, window: 5m } }`
    id: a, inputs: { v: { metric: m, agg: max, window: 1m } }, limit: 5
      2:24 `v`: an input cannot be called `v`; the name has a meaning of its own; choose another
    id: a, inputs: { a-b: { metric: m, agg: max, window: 1m } }, limit: 5
      2:24 `a-b`: an input cannot be called `a-b`; letters, digits and `_`, so that expressions can name it
    id: a, inputs: { err: { metric: m, agg: max, window: 1m, limit: 3 } }, limit: 5
      2:64 `limit`: unknown key `limit`; known keys: `metric`, `where`, `agg`, `across`, `window`, `lookback`, `offset`, `else`, `keep`
    id: a, inputs: { err: { agg: max, window: 1m } }, limit: 5
      2:29 ``: the input has no `metric`; add `metric: …`, the series to read; `*` and `?` stand for any characters
    id: a, inputs: { e: { metric: m, agg: max, window: 1m }, f: { metric: m, agg: max, window: 1m } }, limit: 5, require: "e > 1 && f > 1"
      2:113 `5`: there is no `v` here; name an input, or say what is compared with `value: "ratio(err, all)"`
    id: a, by: [x], inputs: { e: { metric: m, agg: max, window: 1m, else: 0 } }, limit: 5
      2:31 ``: every input has an `else`, so nothing tells which instances there are; leave out `else` where samples are always expected
    RULE, when: "v > 5 and n > 3"
      2:72 `and`: `and` is not expected here; `and` is `&&`
    RULE, when: v
      2:65 `v`: this is a number, and a condition is needed; compare it with something: `v >= 80`
    RULE, when: "vv > 3"
      2:66 `vv`: there is nothing called `vv`; did you mean `v`?
    RULE, when: "> 5 && n > 3"
      2:65 `"> 5 && n > 3" `: a condition does not begin with a comparison; begin with what is compared: `v > 5 && n > 3`
    RULE, when: [v]
      2:65 ``: a condition must be an expression; write a number, `"< 14d"`, or `"v >= 80 && n >= 5"`
    RULE, limit: 5, require: "n => 5"
      2:81 `=`: `=` has no meaning in an expression; equality is `==`
    RULE, limit: 5, require: "labels.hots == 'x'"
      2:79 `labels.hots`: instances of the rule have no label `hots`; did you mean `labels.host`?
    RULE, limit: 5, value: "v > 5"
      2:77 `v > 5`: this is a condition, and a number is needed; give a number: `ratio(err, all)`
    RULE, limit: 5, value: "ratio(v)"
      2:77 `ratio(v)`: `ratio` is not called like this; call it as `ratio(a, b)`
    RULE, when: "v > params.limt", params: { limit: 5 }, require: "params.limit > 0"
      2:70 `params.limt`: the rule has no parameter `limt`; did you mean `params.limit`?
    RULE, when: "hour(now, 'Europe/Madird') > 8 && v > 5"
      2:76 `'Europe/Madird'`: there is no time zone `Europe/Madird`; did you mean `Europe/Madrid`?; the names of zones are those of IANA
    RULE, when: "v > 5", clear: 3m5
      2:81 `3m5`: `3m5` is not a number; like `90`, `26h` (in seconds) or `10GiB` (in bytes)
    RULE, when: "n > 5 && v > 3", clear: 3
      2:90 `3`: a number alone does not tell when it is clear; say which side is clear: `clear: "v < 3"`
    RULE, limit: 5, when: "v > 5"
      2:66 `5`: a rule has either a limit or `when`; say all of it in `when`: `v >= 80 && n >= 5`
    RULE, limit: 5, level: page
      2:76 `page`: `page` is not a level; levels are `info`, `warn` and `crit`; leave it out for `crit`
    RULE, levels: { page: "v > 5" }
      2:69 `page`: `page` is not a level; levels are `info`, `warn` and `crit`
    RULE, levels: {}
      2:67 ``: `levels` names no level; like `levels: { warn: "v >= 80", crit: "v >= 95" }`
    RULE, levels: { warn: { clear: "v < 3" } }
      2:75 ``: the level `warn` has no `when`; like `when: "v >= 80"`
    RULE, levels: { warn: { wen: "v > 3" } }
      2:77 `wen`: unknown key `wen`; did you mean `when`?
    RULE, levels: { warn: 3, warning: 4 }
      2:78 `warning`: the level `warn` is given twice; `warning` is `warn`, `critical` is `crit`; remove one of them
    RULE, levels: { warn: true }
      2:75 `true`: the condition is always the same; compare `v`, or an input: `v >= 80`
    RULE, levels: { warn: 3 }, limit: 5
      2:87 `5`: a rule has either this or `levels`; move it into `levels`
    RULE, levels: { warn: 3 }, level: warn
      2:80 `level`: `level` has no meaning beside `levels`; each level says it for itself
    RULE, levels: { warn: 3 }, clear: 2
      2:80 `clear`: `clear` has no meaning beside `levels`; each level says it for itself
    id: a, metric: m, script: od.rhai
      2:33 `od.rhai`: there is no rule script `od.rhai`; did you mean `odd.rhai`?
    id: a, script: odd.rhai
      2:5 ``: the rule has no `metric`; add `metric: …` or `inputs: …`: a script with `check` is asked about their instances
    id: a, metric: m, script: odd.rhai, limit: 5
      2:43 `limit`: `limit` has no meaning beside a `script`; pass it in `params`
    id: a, metric: m, script: odd.rhai, levels: { crit: { when: "v > 5" } }
      2:67 `"v > 5" `: the script says when it fires, and when it is clear; give `for`, or pass numbers in `params`
    id: a, metric: m, script: joins.rhai
      2:14 `metric`: `metric` has no meaning beside a script with `decide`; the script reads what it needs with `ctx.query`, and limits come in `params`
    RULE, limit: 5, state_version: 2
      2:69 `state_version`: `state_version` has no meaning without a `script`; it counts the shapes of a script's memory; remove it
    RULE, limit: 5, absent: ignore
      2:77 `ignore`: `absent` cannot be `ignore`; write `keep`, `resolve` or `alert`; or when, like `3x` or `2m`; or both: `{ after: 3x, then: alert }`
    RULE, limit: 5, absent: { after: 0x }
      2:86 `0x`: `after` cannot be `0x`; like `after: 3x` (three times the interval of the samples) or `after: 2m`
    RULE, limit: 5, absent: { then: page }
      2:85 `page`: `then` cannot be `page`; possible: `keep`, `resolve`, `alert`
    RULE, limit: 5, absent: { then: alert, close_after: 5m }
      2:92 `close_after`: only an alert that is kept is closed, and this one is not; remove `close_after`, or say `then: keep`
    RULE, limit: 5, absent: { then: keep, level: warn }
      2:91 `level`: nothing fires here, so there is no `level`; remove `level`, or say `then: alert`
    RULE, limit: 5, absent: { close_after: later }
      2:92 `later`: `close_after` cannot be `later`; like `close_after: 15m`, or `never`
    id: a, metric: m, by: [host], absent: alert, for: 5m
      2:52 `for`: `for` has no meaning in a heartbeat, which only waits for samples; remove it, or add `agg` and `limit`; when samples count as missing is said by `absent: { after: … }`
    id: a, metric: m, by: [host], absent: alert, window: 5m
      2:52 `window`: `window` has no meaning in a heartbeat, which only waits for samples; remove it, or add `agg` and `limit`; when samples count as missing is said by `absent: { after: … }`
    RULE, limit: 5, expect: 3
      2:77 `3`: `expect` must be a list of label sets, or a number of instances; like `expect: [ { host: a }, { host: b } ]`, or `expect: { min: 3 }`
    RULE, limit: 5, expect: { minimum: 3 }
      2:79 `minimum`: unknown key `minimum`; known keys: `min`, `instances`
    RULE, limit: 5, expect: [ { hots: a } ]
      2:81 `hots`: instances of the rule have no label `hots`; did you mean `host`?
    RULE, limit: 5, expect: [ a ]
      2:79 `a`: an expected instance must be a set of labels; like `{ host: a }`
    id: a, metric: m, agg: max, window: 1m, limit: 5, by: [b, c], expect: [ { b: x } ]
      2:79 ``: the label `c` is not given; an instance has all labels of `by`; one that is missing has the value ""
    RULE, limit: 5, on_error: page
      2:79 `page`: `on_error` cannot be `page`; possible: `hold`, `alert`
    RULE, limit: 5, overrides: [ { limit: 6 } ]
      2:82 ``: the override has no `where`; like `{ where: { service: batch }, limit: 0.2 }`
    RULE, limit: 5, overrides: [ { where: { disk: x }, limit: 6 } ]
      2:93 `disk`: instances of the rule have no label `disk`; instances have the labels of `by`: `host`
    RULE, limit: 5, overrides: [ { where: { host: x }, window: 5m } ]
      2:104 `window`: unknown key `window`; known keys: `where`, `limit`, `below`, `clear`, `for`, `recover_for`, `levels`, `params`, `labels`, `mode`
    RULE, limit: 5, overrides: [ { where: { host: x }, below: 5 } ]
      2:111 `5`: the rule has no `below` to override; an override changes what the rule says itself; give the rule a `below`
    RULE, limit: 5, overrides: [ { where: { host: x }, levels: { warn: 5 } } ]
      2:112 ``: the rule has no `levels` to override; override its `limit`
    RULE, limit: 5, overrides: [ { where: { host: x }, params: { p: 5 } } ]
      2:114 `p`: the rule has no parameter `p` to override; give the rule `params: { p: … }`
    RULE, limit: 5, params: { p: 1 }, require: "params.p > 0", overrides: [ { where: { host: x }, params: { p: b } } ]
      2:160 `b`: `p` is a number in the rule, and a text here; give both the same type
    RULE, limit: 5, overrides: { where: { host: x } }
      2:80 ``: `overrides` must be a list, not a block of keys; like `overrides: [ { where: { service: batch }, limit: 0.2 } ]`
    RULE, limit: 5, suppressed_by: [ { on: [host] } ]
      2:86 ``: key `rule` is missing; add `rule: …`
    RULE, limit: 5, suppressed_by: [ { rule: b, while: maybe } ]
      2:104 `maybe`: `while` cannot be `maybe`; possible: `pending`, `firing`
    RULE, limit: 5, suppressed_by: 5
      2:84 `5`: `suppressed_by` must name rules; like `suppressed_by: [host_down]`, or `[ { rule: host_down, on: [host] } ]`
    RULE, limit: 5, after: { rule: b }
      2:76 ``: `after` must be a list of ids; like `after: [host_down]`
    RULE, limit: 5, after: a
      2:76 `a`: a rule cannot name itself; name another rule, or remove it
    RULE, limit: 5, renamed_from: a
      2:83 `a`: the rule has this id still; name the id that the rule had before, or remove it
    RULE, limit: 5, mode: on
      2:75 `on`: `mode` cannot be `on`; possible: `live`, `shadow`, `off`
    RULE, limit: 5, message: "${labels.hots}"
      2:81 `labels.hots`: instances of the rule have no label `hots`; did you mean `labels.host`?
    RULE, limit: 5, message: "${fmt(v)}"
      2:81 `fmt(v)`: `fmt` is not called like this; call it as `fmt(x, 1)`
    RULE, limit: 5, message: "${v"
      2:79 `${`: `${` is not closed by `}`; close it, or write the text without `${`
    RULE, limit: 5, message: " "
      2:78 `" " `: the message is empty; remove it for the usual words
    RULE, limit: 5, record: m
      2:77 `m`: the rule would read `m`, which it writes itself; give the series a name that `metric` does not match
    RULE, limit: 5, record: "m.*"
      2:77 `"m.*" `: the name of a series that is written has no `*` and `?`; a pattern reads several series; a rule writes one per instance
    RULE, record: m.max, for: 5m
      2:74 `for`: `for` has no meaning in a rule that only records; remove it, or add a `limit`
    RULE, record: m.max, absent: alert
      2:74 `absent`: `absent` has no meaning in a rule that only records; write a heartbeat: a rule of `metric`, `by` and `absent`
    rules:⏎  id: a
      2:3 ``: `rules` must be a list, not a block of keys; like `rules: [ { id: a, metric: m, agg: max, window: 1m, limit: 5 } ]`
    - id: a
      1:1 ``: the file must be a block of keys, not a list; a rule file has `rules:` at its top, and the rules as a list below
    rule:⏎  - { id: a }
      1:1 `rule`: unknown key `rule`; did you mean `rules`?
    groups:⏎  - name: x
      1:1 `groups`: unknown key `groups`; a file has `rules:` at its top, without groups
    rules:⏎  - a
      2:5 `a`: an item of `rules` must be a block of keys, not the text `a`; like `rules: [ { id: a, metric: m, agg: max, window: 1m, limit: 5 } ]`
    rules:⏎	- { id: a }
      2:1 `	`: a tab indents this line; indent with spaces
    rules: [ { id: a, metric: m }
      2:1 ``: not YAML: while parsing a flow sequence, expected ',' or ']'; check quotes, colons and indentation on this line and the one before
    defaults: { id: a }⏎rules: []
      1:13 `id`: `defaults` cannot give `id`; each rule has its own
    defaults: { evry: 10s }⏎rules: []
      1:13 `evry`: unknown key `evry`; did you mean `every`?
    rules: []⏎---⏎rules: []
      3:1 ``: a second document begins here; one file holds one document; remove the `---`
    "#);
}

/// What is said, with `BAD` before it where that is not enough.
fn told(text: &str) -> String {
    let (rules, found) = compiled(text);
    let [finding] = found.as_slice() else {
        return format!("BAD {} findings: {}", found.len(), shown(&found));
    };
    let hint = finding.hint.as_deref().unwrap_or("BAD");
    let good = finding.is_error() && rules.is_empty() && finding.line > 0 && finding.column > 0;
    let line = finding.source_line.as_deref().unwrap_or_default();
    let meant: String =
        line.chars().skip(finding.column as usize - 1).take(finding.length as usize).collect();
    let good = if good { "" } else { "BAD " };
    format!("  {good}{}:{} `{meant}`: {}; {hint}", finding.line, finding.column, finding.message)
}
