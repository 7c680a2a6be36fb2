//! What is said about rule files, and what becomes of broken ones.

use sereno_runtime::SystemClock;

use super::*;

fn host() -> Host {
    Host { limits: Limits::default(), clock: Arc::new(SystemClock::new()), retention: None }
}

fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        let content = Ok(Arc::from(*text));
        match path.strip_prefix("scripts/") {
            Some(place) => {
                files.scripts.insert(place.into(), Script { display: path.into(), content });
            }
            None => {
                files.rules.insert(path.into(), content);
            }
        }
    }
    files
}

/// What is said about one rule file.
fn check(text: &str) -> String {
    let script = ("scripts/rules/odd.rhai", "fn check(s) { s.value > 4.0 }");
    let generation = load(files(&[("a.yaml", text), script]), &host(), None);
    let found: Vec<String> = generation.diagnostics.iter().map(ToString::to_string).collect();
    found.join("\n\n")
}

fn ids(generation: &Generation) -> String {
    let ids: Vec<String> = generation
        .rules
        .keys()
        .map(|id| format!("{id}{}", if generation.stale.contains(id) { " (stale)" } else { "" }))
        .collect();
    ids.join(", ")
}

const FOO: &str = "rules:\n  - { id: foo, metric: foo, agg: mean, window: 15s, limit: 10 }\n";

#[test]
fn good_files_give_no_findings() {
    assert_eq!(check(FOO), "");
    assert_eq!(check(""), "");
    assert_eq!(
        check(
            "defaults: { every: 10s, by: [host], where: { env: [prod, \"~stag.*\"], code: 503 } }\n\
             rules:\n\
             \x20 - { id: late, metric: \"job.*\", agg: max, window: 1h, limit: 26h, level: warning, message: \"${labels.host}\" }\n\
             \x20 - { id: full, metric: disk.free, agg: min, window: 1m, below: 10GiB, else: 0, mode: off }\n\
             \x20 - { id: odd, metric: m, script: odd.rhai, agg: mean, params: { a: 1 }, message: \"${params.a}\" }\n"
        ),
        ""
    );
}

#[test]
fn mistakes_in_a_rule_show_their_line_and_what_to_do() {
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: maen, window: 15s, lmit: 10 }\n"), @"
    error: unknown key `lmit`
     --> a.yaml:2:49
      |
    2 |   - { id: a, metric: m, agg: maen, window: 15s, lmit: 10 }
      |                                                 ^^^^
      = hint: did you mean `limit`?
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: maen, window: 15s, limit: 10 }\n"), @"
    error: there is no aggregation `maen`
     --> a.yaml:2:30
      |
    2 |   - { id: a, metric: m, agg: maen, window: 15s, limit: 10 }
      |                              ^^^^
      = hint: did you mean `mean`?
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, script: od.rhai }\n"), @"
    error: there is no rule script `od.rhai`
     --> a.yaml:2:33
      |
    2 |   - { id: a, metric: m, script: od.rhai }
      |                                 ^^^^^^^
      = hint: did you mean `odd.rhai`?
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a b, agg: mean, limit: 80%, by: host }\n"), @r#"
    error: the rule has no `metric`
     --> a.yaml:2:5
      |
    2 |   - { id: a b, agg: mean, limit: 80%, by: host }
      |     ^
      = hint: add `metric: …`, the series to read; `*` and `?` stand for any characters

    error: the rule has no `window`
     --> a.yaml:2:5
      |
    2 |   - { id: a b, agg: mean, limit: 80%, by: host }
      |     ^
      = hint: add `window: …`, how far back the aggregation reads

    error: `a b` cannot be an id
     --> a.yaml:2:11
      |
    2 |   - { id: a b, agg: mean, limit: 80%, by: host }
      |           ^^^
      = hint: 1 to 100 of the letters a-z, A-Z, digits, `_`, `.` and `-`

    error: `limit` must be a number, a duration or a size
     --> a.yaml:2:34
      |
    2 |   - { id: a b, agg: mean, limit: 80%, by: host }
      |                                  ^^^
      = hint: write the number alone: `80`

    error: `by` must be a list of label names
     --> a.yaml:2:43
      |
    2 |   - { id: a b, agg: mean, limit: 80%, by: host }
      |                                           ^^^^
      = hint: write `by: [host]`, or `by: "*"` for one instance per series
    "#);
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 15s }\n"), @"
    error: the rule has no `limit`
     --> a.yaml:2:5
      |
    2 |   - { id: a, metric: m, agg: mean, window: 15s }
      |     ^
      = hint: add `limit: …` (fires at or over it), `below: …` (under it), `when`, `levels` or a `script`; or `record: …` (writes a series), or `absent: alert` alone (a heartbeat)
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 15, limit: 10 }\n"), @"
    error: `window` must be a duration (a duration needs a unit: `15s`, `15m`, …), not the text `15`
     --> a.yaml:2:44
      |
    2 |   - { id: a, metric: m, agg: mean, window: 15, limit: 10 }
      |                                            ^^
      = hint: like `window: 5m`
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 100ms, limit: 10 }\n"), @"
    error: 100ms between two ticks is too short
     --> a.yaml:2:44
      |
    2 |   - { id: a, metric: m, agg: mean, window: 100ms, limit: 10 }
      |                                            ^^^^^
      = hint: give `every` at least 250ms, and at most a year
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: last, across: sun, window: 1m, limit: 10 }\n"), @"
    error: `sun` does not join series; `across` is `sum`, `mean`, `min`, `max`, `count` or `pool`
     --> a.yaml:2:44
      |
    2 |   - { id: a, metric: m, agg: last, across: sun, window: 1m, limit: 10 }
      |                                            ^^^
      = hint: leave it out for the usual one
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { code: \"~(\" } }\n"), @r#"
    error: `(` is not a regular expression
     --> a.yaml:2:72
      |
    2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { code: "~(" } }
      |                                                                        ^^^^^
      = hint: unclosed group
    "#);
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { env: !prod } }\n"), @r#"
    error: `!prod` is a YAML tag
     --> a.yaml:2:71
      |
    2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { env: !prod } }
      |                                                                       ^
      = hint: a value that begins with `!` needs quotes: `"!prod"`
    "#);
}

#[test]
fn messages_are_checked_when_they_are_loaded() {
    insta::assert_snapshot!(
        check("rules:\n  - id: a\n    metric: m\n    agg: max\n    window: 1m\n    limit: 1\n    by: [host]\n    message: \"${labels.hots} is ${v}\"\n"),
        @r#"
    error: instances of the rule have no label `hots`
     --> a.yaml:8:17
      |
    8 |     message: "${labels.hots} is ${v}"
      |                 ^^^^^^^^^^^
      = hint: did you mean `labels.host`?
    "#
    );
}

#[test]
fn keys_of_other_systems_are_explained() {
    insta::assert_snapshot!(check("groups:\n  - name: x\n"), @"
    error: unknown key `groups`
     --> a.yaml:1:1
      |
    1 | groups:
      | ^^^^^^
      = hint: a file has `rules:` at its top, without groups
    ");
    insta::assert_snapshot!(check("rules:\n  - alert: Foo\n    expr: up == 0\n"), @"
    error: unknown key `alert`
     --> a.yaml:2:5
      |
    2 |   - alert: Foo
      |     ^^^^^
      = hint: the name of a rule is its `id`
    ");
    insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, keep_firing_for: 5m }\n"), @"
    error: unknown key `keep_firing_for`
     --> a.yaml:2:57
      |
    2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, keep_firing_for: 5m }
      |                                                         ^^^^^^^^^^^^^^^
      = hint: how long it must be clear before it is resolved is said by `recover_for`
    ");
}

#[test]
fn an_id_belongs_to_one_rule() {
    let generation = load(files(&[("a.yaml", FOO), ("b.yaml", FOO)]), &host(), None);
    assert_eq!(ids(&generation), "foo");
    insta::assert_snapshot!(generation.diagnostics[0], @"
    error: rule `foo` is defined twice
     --> b.yaml:2:11
      |
    2 |   - { id: foo, metric: foo, agg: mean, window: 15s, limit: 10 }
      |           ^^^
      = hint: the first one is at a.yaml:2 and stays; rename this one
    ");
}

#[test]
fn what_breaks_stays_as_it_was_and_the_rest_advances() {
    let bar = "rules:\n  - { id: bar, metric: bar, agg: max, window: 15s, limit: 10 }\n  - { id: baz, metric: b, agg: max, window: 15s, limit: 1 }\n";
    let first = load(files(&[("a.yaml", FOO), ("b.yaml", bar)]), &host(), None);
    assert_eq!(ids(&first), "bar, baz, foo");
    // One rule of a file is broken: its neighbour advances.
    let edited = bar
        .replace("agg: max, window: 15s, limit: 10", "agg: mx, window: 15s, limit: 10")
        .replace("limit: 1 ", "limit: 2 ");
    let second = load(files(&[("a.yaml", FOO), ("b.yaml", &edited)]), &host(), Some(&first));
    assert_eq!(ids(&second), "bar (stale), baz, foo");
    assert!(Arc::ptr_eq(&first.rules["bar"], &second.rules["bar"]));
    assert_eq!(second.rules["baz"].variants[0].limit.map(|limit| limit.number), Some(2.0));
    // The whole file is broken: all its rules stay. What is taken out of a good file goes.
    let third = load(files(&[("a.yaml", "rules: []"), ("b.yaml", "rules: [")]), &host(), Some(&second));
    assert_eq!(ids(&third), "bar (stale), baz (stale)");
    let fourth = load(files(&[("b.yaml", bar)]), &host(), Some(&third));
    assert_eq!((ids(&fourth).as_str(), fourth.number), ("bar, baz", 4));
}

#[test]
fn an_id_that_cannot_be_read_loses_no_rule() {
    let first = load(files(&[("a.yaml", FOO)]), &host(), None);
    let second = load(files(&[("a.yaml", &FOO.replace("id:", "ib:"))]), &host(), Some(&first));
    assert_eq!(ids(&second), "foo (stale)");
}

#[test]
fn a_folder_that_cannot_be_read_costs_nothing() {
    let script = ("scripts/rules/odd.rhai", "fn check(s) { s.value > 4.0 }");
    let odd = "rules: [ { id: odd, metric: m, script: odd.rhai, agg: mean, window: 1m } ]";
    let first = load(files(&[("team/a.yaml", FOO), ("team/b.yaml", odd), script]), &host(), None);
    let mut gone = files(&[]);
    for folder in ["team", "scripts"] {
        gone.unreadable.insert(folder.into(), "permission denied".into());
    }
    let gone = gone.beside(&first.files);
    assert!(gone.vanished_since(&first.files).is_empty(), "nobody has removed anything");
    let second = load(gone, &host(), Some(&first));
    assert_eq!(ids(&second), "foo (stale), odd (stale)");
}
