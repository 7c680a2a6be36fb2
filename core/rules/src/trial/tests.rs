//! Reading and comparing, without running anything.

use std::path::Path;
use std::time::Duration;

use sereno_model::{EventKind, Level, Marks, Notification, Timestamp};

use super::compare::{Told, compare, excerpt, is_good};
use super::file::{Action, Expected, Source, TestFile, parse};
use super::pattern::Pattern;
use crate::report::{Row, RowKind};

fn read(text: &str) -> TestFile {
    parse(Path::new("rules/cpu_test.yaml"), text)
}

fn found(text: &str) -> String {
    read(text).found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const WHOLE: &str = r#"
tests:
  - name: fires, survives reload and restart, recovers
    series:
      'cpu.load{host="a",env="prod"}': 97x12 _x6 10+0.5x12
      'cpu.load{host="b",env="prod"}': [ {for: 2m, every: 60s, v: 97}, {for: 1m, gap: true}, {for: 30s, from: 10, to: 50}, {at: 5m, v: 1} ]
    steps:
      - { at: 90s, restart: true, for: 3m }
      - { at: 50s, reload: cpu_v2.yaml }
      - { at: 100s, sink_down: pager, for: 30s }
      - { at: 2m, late: { 'cpu.load{host="a",env="prod"}': { 60s: 12 } } }
    expect:
      - { at: 60s..70s, kind: firing, level: crit, instance: {host: a}, rule: cpu_high, value: 97, message: "~load 97" }
      - { kind: resolved }
    never: [ closed, { kind: firing, level: warn } ]
    sinks: { pager: [ { kind: firing, at: 130s } ] }
    health: { cpu_high: ok }
    inexact: true
    until: 10m
  - name: inline
    start: 2026-02-01T00:00:00Z
    rules:
      - id: a
        metric: m
      - { id: b, metric: n }
    series: { m: 5 }
    expect: []
aggregations:
  - { name: apdex, params: {satisfied: 0.3, tolerated: 1.2}, window: 1m, every: 1s, samples: "0.1x58 2", expect: { score: 0.99 } }
  - { name: mean, samples: "1 2", expect: 1.5 }
  - { name: mean, samples: "", expect: none }
"#;

#[test]
fn everything_that_can_be_written_is_understood() {
    let file = read(WHOLE);
    assert_eq!(file.found, []);
    let test = file.tests[0].test.as_ref().unwrap();
    assert_eq!(
        (file.tests[0].line, file.tests[0].name.as_str()),
        (3, "fires, survives reload and restart, recovers")
    );
    assert_eq!(test.rules, Source::Files(vec!["rules/cpu.yaml".into()]));
    let times = |index: usize| -> Vec<(u64, f64)> {
        test.series[index].1.iter().map(|(at, value)| (at.as_secs(), *value)).collect()
    };
    assert_eq!(times(0).len(), 26);
    assert_eq!(times(1), [(0, 97.0), (60, 97.0), (180, 10.0), (190, 30.0), (200, 50.0), (300, 1.0)]);
    assert_eq!(test.length, Duration::from_secs(320));
    let steps: Vec<u64> = test.steps.iter().map(|step| step.at.as_secs()).collect();
    assert_eq!(steps, [50, 90, 100, 120], "in the order of their times");
    assert!(matches!(test.steps[1].action, Action::Restart(down) if down == Duration::from_secs(180)));
    let expected: Vec<String> = test.expect.iter().flatten().map(Pattern::timed_text).collect();
    assert_eq!(expected, [r#"1m..1m10s firing crit cpu_high{host="a"} 97 ~load 97"#, "resolved"]);
    assert_eq!(test.never.len(), 2);
    let inline = file.tests[1].test.as_ref().unwrap();
    assert_eq!(inline.start, Timestamp::from_millis(1_769_904_000_000));
    let Source::Inline(text) = &inline.rules else { panic!("{:?}", inline.rules) };
    let at = |text: &str| text.lines().position(|line| line.trim() == "rules:");
    assert_eq!(at(text), at(WHOLE), "what is wrong in them is pointed at where it stands");
    assert_eq!(text.trim(), "rules:\n      - id: a\n        metric: m\n      - { id: b, metric: n }");
    let aggregation = |index: usize| file.aggregations[index].test.as_ref().unwrap();
    assert_eq!(aggregation(0).expect, Expected::Map([("score".to_owned(), 0.99)].into()));
    assert_eq!(aggregation(1).window, Duration::from_secs(20));
    assert_eq!(aggregation(2).expect, Expected::None);
}

#[test]
fn rules_in_a_block_of_one_line_are_written_anew() {
    let file = read("tests:\n  - { name: a, rules: [ { id: b, metric: c } ], expect: [] }\n");
    let Source::Inline(text) = &file.tests[0].test.as_ref().unwrap().rules else { panic!() };
    assert_eq!(text, "rules:\n- id: b\n  metric: c\n");
}

#[test]
fn one_broken_test_does_not_hide_the_others() {
    let file = read("tests:\n  - { name: a, expct: [] }\n  - { name: b, expect: [] }\n");
    assert!(file.tests[0].test.is_none() && file.tests[1].test.is_some());
    assert_eq!(file.tests[0].name, "a");
}

#[test]
fn mistakes_are_pointed_at() {
    insta::assert_snapshot!(found("tests:\n  - { name: a, expct: [] }\n"), @r"
    error: unknown key `expct`
     --> rules/cpu_test.yaml:2:16
      |
    2 |   - { name: a, expct: [] }
      |                ^^^^^
      = hint: did you mean `expect`?
    ");
    insta::assert_snapshot!(found("rule_files: [a]\n"), @r"
    error: unknown key `rule_files`
     --> rules/cpu_test.yaml:1:1
      |
    1 | rule_files: [a]
      | ^^^^^^^^^^
      = hint: each test names its own `rules`, or tests the file that it is called after
    ");
    insta::assert_snapshot!(found(""), @r"
    warning: the file has no tests
     --> rules/cpu_test.yaml
      = hint: write `tests:` or `aggregations:`
    ");
    let test = |inside: &str| found(&format!("tests:\n  - name: a\n    {inside}\n"));
    insta::assert_snapshot!(test("rules: cpu.yaml"), @r"
    error: the test expects nothing
     --> rules/cpu_test.yaml:2:5
      |
    2 |   - name: a
      |     ^
      = hint: write `expect: []` if nothing may happen
    ");
    insta::assert_snapshot!(test("expect: [ { kind: fring } ]"), @r"
    error: `fring` is not a kind of event
     --> rules/cpu_test.yaml:3:23
      |
    3 |     expect: [ { kind: fring } ]
      |                       ^^^^^
      = hint: did you mean `firing`?
    ");
    insta::assert_snapshot!(test("expect: [ { level: crit } ]"), @r"
    error: key `kind` is missing
     --> rules/cpu_test.yaml:3:15
      |
    3 |     expect: [ { level: crit } ]
      |               ^
      = hint: add `kind: …`
    ");
    insta::assert_snapshot!(test("expect: [ { kind: firing, at: 70 } ]"), @r"
    error: `70` is not a time: a duration needs a unit: `70s`, `70m`, …
     --> rules/cpu_test.yaml:3:35
      |
    3 |     expect: [ { kind: firing, at: 70 } ]
      |                                   ^^
      = hint: from the start of the test, like `70s` or `60s..70s`
    ");
    insta::assert_snapshot!(test("expect: [ { kind: firing, at: 80s..70s } ]"), @r"
    error: the range ends before it begins
     --> rules/cpu_test.yaml:3:35
      |
    3 |     expect: [ { kind: firing, at: 80s..70s } ]
      |                                   ^^^^^^^^
      = hint: from the start of the test, like `70s` or `60s..70s`
    ");
    insta::assert_snapshot!(test("expect: [ { kind: firing, message: \"~(\" } ]"), @r#"
    error: this is no regular expression
     --> rules/cpu_test.yaml:3:40
      |
    3 |     expect: [ { kind: firing, message: "~(" } ]
      |                                        ^^^^^
      = hint: unclosed group
    "#);
    insta::assert_snapshot!(test("never: [ resolve ]"), @r"
    error: `resolve` is not a kind of event
     --> rules/cpu_test.yaml:3:14
      |
    3 |     never: [ resolve ]
      |              ^^^^^^^
      = hint: did you mean `resolved`?
    ");
    insta::assert_snapshot!(test("expect: []\n    series: { cpu: 1 2 stale }"), @r"
    error: `stale` is no value
     --> rules/cpu_test.yaml:4:24
      |
    4 |     series: { cpu: 1 2 stale }
      |                        ^^^^^
      = hint: a series has no end here: leave the samples out with `_`
    ");
    insta::assert_snapshot!(test("expect: []\n    series: { 'cpu{': 1 }"), @r#"
    error: `cpu{` is not a series: expected a label name at character 5 of `cpu{`
     --> rules/cpu_test.yaml:4:15
      |
    4 |     series: { 'cpu{': 1 }
      |               ^^^^^^
      = hint: like `'cpu.load{host="a"}': 97x12`
    "#);
    insta::assert_snapshot!(test("expect: []\n    series: { cpu: [ { for: 1m } ] }"), @r"
    error: a part has a value or a gap
     --> rules/cpu_test.yaml:4:22
      |
    4 |     series: { cpu: [ { for: 1m } ] }
      |                      ^
      = hint: write `v: 97`, `from: 10, to: 50`, or `gap: true`
    ");
    insta::assert_snapshot!(test("expect: []\n    series: { cpu: [ { for: 1m, v: 1 }, { at: 30s, v: 2 } ] }"), @r"
    error: the part begins in the one before it
     --> rules/cpu_test.yaml:4:47
      |
    4 |     series: { cpu: [ { for: 1m, v: 1 }, { at: 30s, v: 2 } ] }
      |                                               ^^^
      = hint: the part before it ends at 1m
    ");
    insta::assert_snapshot!(test("expect: []\n    steps: [ { at: 1m } ]"), @r"
    error: a step does one thing
     --> rules/cpu_test.yaml:4:14
      |
    4 |     steps: [ { at: 1m } ]
      |              ^
      = hint: one of `reload`, `restart`, `sink_down`, `late`
    ");
    insta::assert_snapshot!(test("expect: []\n    steps: [ { at: 1m, late: { cpu: { 2m: 1 } } } ]"), @r"
    error: `2m` is not a time of the past
     --> rules/cpu_test.yaml:4:39
      |
    4 |     steps: [ { at: 1m, late: { cpu: { 2m: 1 } } } ]
      |                                       ^^
      = hint: a time from the start of the test, before the step
    ");
    assert!(test("health: { a: good }").contains("`good` is not a health"));
    insta::assert_snapshot!(found("aggregations: [ { name: mean } ]"), @r"
    error: key `samples` is missing
     --> rules/cpu_test.yaml:1:17
      |
    1 | aggregations: [ { name: mean } ]
      |                 ^
      = hint: add `samples: …`
    error: key `expect` is missing
     --> rules/cpu_test.yaml:1:17
      |
    1 | aggregations: [ { name: mean } ]
      |                 ^
      = hint: add `expect: …`
    ");
}

fn event(kind: EventKind, host: &str, second: u64, value: f64) -> Notification {
    let tick = super::file::START + Duration::from_secs(second);
    Notification {
        event_id: String::new(),
        kind,
        rule: "cpu".into(),
        instance: vec![("host".into(), host.into())],
        level: Level::Crit,
        previous: None,
        value: Some(value),
        extreme: None,
        peak: None,
        samples: None,
        tick,
        fired_at: tick,
        episode: 1,
        message: format!("{host}: {value}"),
        reason: None,
        labels: Vec::new(),
        runbook: None,
        suppressed_by: None,
        marks: Marks::default(),
        generation: 1,
    }
}

fn rows(expect: &str, events: &[Notification]) -> Vec<Row> {
    let file = read(&format!("tests:\n  - name: a\n    expect:\n{expect}\n"));
    assert_eq!(file.found, []);
    let told: Vec<Told<'_>> =
        events.iter().map(|event| Told { at: event.tick.since(super::file::START), event }).collect();
    compare(file.tests[0].test.as_ref().unwrap().expect.as_deref().unwrap(), &told)
}

fn shown(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let sign = match row.kind {
            RowKind::Matched => "=",
            RowKind::Differs => "~",
            RowKind::Missing => "-",
            RowKind::Unexpected => "+",
        };
        let side = |text: &Option<String>| text.clone().unwrap_or_default();
        let line = format!("{sign} {} | {} {}", side(&row.expected), side(&row.got), row.differs.join("; "));
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn expectations_and_events_stand_side_by_side() {
    let events = [
        event(EventKind::Firing, "a", 60, 97.0),
        event(EventKind::Firing, "b", 60, 97.0),
        event(EventKind::Resolved, "a", 120, 3.0),
        event(EventKind::Closed, "c", 130, 3.0),
    ];
    let expect = r"
      - { at: 60s, kind: firing, instance: {host: b} }
      - { at: 60s, kind: firing, instance: {host: a} }
      - { at: 100s, kind: firing, instance: {host: z} }
      - { at: 110s..115s, kind: resolved, value: 3.0000000001, level: warn }
    ";
    let rows = rows(expect, &events);
    insta::assert_snapshot!(shown(&rows), @r#"
    = 1m firing {host="b"} | firing crit cpu{host="b"} 97 "b: 97"
    = 1m firing {host="a"} | firing crit cpu{host="a"} 97 "a: 97"
    - 1m40s firing {host="z"} |
    ~ 1m50s..1m55s resolved warn 3 | resolved crit cpu{host="a"} 3 "a: 3" at: expected 1m50s..1m55s, got 2m; level: expected warn, got crit
    +  | closed crit cpu{host="c"} 3 "c: 3"
    "#);
    assert!(!is_good(&rows));
    assert_eq!(excerpt(&rows, 1).len(), 4);
}

#[test]
fn what_is_expected_in_the_wrong_order_is_missing() {
    let events = [event(EventKind::Firing, "a", 60, 97.0), event(EventKind::Resolved, "a", 70, 3.0)];
    let rows = rows("      - { kind: resolved }\n      - { kind: firing }\n", &events);
    insta::assert_snapshot!(shown(&rows), @r#"
    - resolved |
    = firing | firing crit cpu{host="a"} 97 "a: 97"
    +  | resolved crit cpu{host="a"} 3 "a: 3"
    "#);
}
