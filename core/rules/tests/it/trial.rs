//! Rule tests: what they see is what a server tells.

use std::fs;
use std::path::Path;

use sereno_rules::report::{Row, RowKind, TestOutcome, TestReport, TestResult};
use sereno_rules::trial::{Options, run};

/// Runs the tests of a folder with these files.
fn tests(files: &[(&str, &str)]) -> TestReport {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    run(&[folder.path().join("rules"), folder.path().join("scripts")], &Options::default())
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("scripts")).unwrap();
    fs::create_dir_all(folder.join("rules")).unwrap();
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

const RULES: (&str, &str) = (
    "rules/cpu.yaml",
    r#"
rules:
  - { id: cpu_high, metric: cpu.load, where: { env: prod }, by: [host], agg: mean, window: 30s, every: 10s, limit: 90, message: "${labels.host}: load ${v}" }
"#,
);

fn shown(test: &TestResult) -> String {
    let mut text = format!("{} {:?}", test.name, test.outcome);
    for failure in &test.failures {
        text.push_str(&format!("\n  {:?}: {}", failure.check, failure.text));
        text.extend(failure.rows.iter().map(|row| format!("\n    {}", line(row))));
    }
    text.extend(test.findings.iter().map(|found| format!("\n{found}")));
    text.extend(test.errors.iter().map(|error| format!("\n{error}")));
    text
}

fn line(row: &Row) -> String {
    let sign = match row.kind {
        RowKind::Matched => '=',
        RowKind::Differs => '~',
        RowKind::Missing => '-',
        RowKind::Unexpected => '+',
    };
    let side = |text: &Option<String>| text.clone().unwrap_or_default();
    let line = format!("{sign} {:>4}s {} | {}", row.at.0.as_secs(), side(&row.expected), side(&row.got));
    [line.trim_end().to_owned()].into_iter().chain(row.differs.clone()).collect::<Vec<_>>().join("\n        ")
}

pub(crate) fn all(report: &TestReport) -> String {
    let tests = report.tests().map(shown);
    let files = report.files.iter().flat_map(|file| &file.findings);
    let text =
        files.chain(&report.findings).map(ToString::to_string).chain(tests).collect::<Vec<_>>().join("\n");
    let folder = report.files[0].path.split("/rules/").next().unwrap_or_default();
    text.replace(folder, "TMP")
}

#[test]
fn what_is_expected_passes() {
    let report = tests(&[
        RULES,
        (
            "rules/cpu_test.yaml",
            r#"
tests:
  - name: fires and recovers
    series:
      'cpu.load{host="a",env="prod"}': 97x6 10x6
      'cpu.load{host="b",env="test"}': 97x12
    expect:
      - { at: 10s, kind: firing, level: crit, instance: { host: a }, rule: cpu_high, value: 97, message: "~load 97" }
      - { at: 80s..100s, kind: resolved }
    never: [ closed, { kind: firing, level: warn } ]
    health: { cpu_high: ok }
    inexact: false
"#,
        ),
    ]);
    assert!(report.is_good(), "{}", all(&report));
    assert_eq!(report.totals(), (1, 0, 0));
    assert_eq!((report.coverage.tested(), report.coverage.levels()), ((1, 1), (1, 1)));
}

#[test]
fn what_differs_is_shown_beside_what_was_told() {
    let report = tests(&[
        RULES,
        (
            "rules/cpu_test.yaml",
            r#"
tests:
  - name: wrong
    series: { 'cpu.load{host="a",env="prod"}': 97x6 10x6 }
    expect:
      - { at: 20s, kind: firing, value: 96 }
      - { at: 200s, kind: closed }
    never: [ resolved ]
    sinks: { pager: [ { kind: firing, at: 10s } ] }
    health: { cpu_high: error, cpu_low: ok }
    inexact: true
"#,
        ),
    ]);
    assert_eq!(report.totals(), (0, 1, 0));
    insta::assert_snapshot!(all(&report), @r#"
    wrong Failed
      Timeline: the events are not those that are expected
        ~   10s 20s firing 96 | firing crit cpu_high{host="a"} 97 "a: load 97"
            at: expected 20s, got 10s
            value: expected 96, got 97
        -  200s 3m20s closed |
        +   80s  | resolved crit cpu_high{host="a"} 68 "resolved: a: load 68"
      Never: `resolved` must never happen, and did at 1m20s: resolved crit cpu_high{host="a"} 68 "resolved: a: load 68"
      Sinks: sink `pager` did not get what is expected
        =   10s 10s firing | firing crit cpu_high{host="a"} 97 "a: load 97"
        +   80s  | resolved crit cpu_high{host="a"} 68 "resolved: a: load 68"
      Health: rule `cpu_high` must be `error` at the end: it is `ok`
      Health: rule `cpu_low` must be `ok` at the end: there is no such rule
      Inexact: no sample came late, so a replay is exact
    "#);
}

#[test]
fn a_rule_survives_reload_and_restart_and_a_sink_hears_of_it_late() {
    let report = tests(&[
        RULES,
        (
            "rules/v2.yaml",
            "rules:\n  - { id: cpu_high, metric: cpu.load, where: { env: prod }, by: [host], agg: mean, window: 30s, every: 10s, limit: 95 }\n",
        ),
        (
            "rules/cpu_test.yaml",
            r#"
tests:
  - name: survives
    series: { 'cpu.load{host="a",env="prod"}': 97x24 10x6 }
    steps:
      - { at: 45s, reload: v2.yaml }
      - { at: 60s, restart: true, for: 1m }
      - { at: 5s, sink_down: pager, for: 10s }
      - { at: 130s, reload: [] }
      - { at: 140s, late: { 'cpu.load{host="a",env="prod"}': { 60s: 12 } } }
    expect:
      - { at: 10s, kind: firing }
      - { at: 130s, kind: closed, reason: "the rule was removed" }
    sinks:
      pager:
        - { kind: firing, at: 17s }
        - { kind: closed, at: 130s }
    inexact: true
  - name: in itself
    rules:
      - id: low
        metric: m
        agg: last
        window: 10s
        below: 5
    series: { m: 6x2 4 }
    expect: [ { at: 40s, kind: firing, value: 4 } ]
    until: 40s
"#,
        ),
    ]);
    assert!(report.is_good(), "{}", all(&report));
}

#[test]
fn what_cannot_be_run_says_why() {
    let report = tests(&[
        ("rules/bad.yaml", "rules:\n  - { id: a, metric: m, agg: meen, window: 10s, limit: 1 }\n"),
        ("rules/bad_test.yaml", "tests:\n  - { name: mistakes, expect: [] }\n"),
        ("rules/gone_test.yaml", "tests:\n  - { name: no file, expect: [] }\n"),
        ("rules/lone_test.yaml", "tests:\n  - { name: wrong, expect: [] , sries: {} }\n"),
        (
            "rules/loop_test.yaml",
            "tests:\n  - { name: endless, expect: [], series: { m: 1x3 }, rules: [ { id: a, metric: m, script: loop.rhai, window: 10s, every: 10s } ] }\n",
        ),
        ("scripts/rules/loop.rhai", "fn check(s) { loop { } }"),
    ]);
    assert!(!report.is_good());
    assert!(
        report.tests().filter(|test| test.name != "endless").all(|test| test.outcome == TestOutcome::Broken)
    );
    insta::assert_snapshot!(all(&report), @r"
    error: unknown key `sries`
     --> TMP/rules/lone_test.yaml:2:33
      |
    2 |   - { name: wrong, expect: [] , sries: {} }
      |                                 ^^^^^
      = hint: did you mean `series`?
    mistakes Broken
      Setup: its rules or scripts have mistakes
    error: there is no aggregation `meen`
     --> TMP/rules/bad.yaml:2:30
      |
    2 |   - { id: a, metric: m, agg: meen, window: 10s, limit: 1 }
      |                              ^^^^
      = hint: did you mean `mean`?
    no file Broken
      Setup: its rules cannot be read
    error: there is no such rule file
     --> TMP/rules/gone.yaml
      = hint: the test is in TMP/rules/gone_test.yaml; `rules: FILE` is relative to it
    wrong Broken
      Setup: the test has mistakes
    endless Failed
      Health: rule `a` failed; write `health: { a: … }` if that is what is tested
    a: error: the script used up its operations for one call
     --> TMP/scripts/rules/loop.rhai
    ");
}

#[test]
fn aggregations_are_tested_too() {
    let report = tests(&[
        (
            "scripts/aggregations/apdex.rhai",
            "fn aggregate(w, params) { let n = w.count(); #{ score: w.between(0.0, params.satisfied).count() / n.to_float() } }",
        ),
        (
            "scripts/aggregations/apdex_test.yaml",
            r#"
aggregations:
  - { name: apdex, params: { satisfied: 0.3 }, window: 1m, every: 1s, samples: "0.1x58 2", expect: { score: 0.9833333333 } }
  - { name: mean, samples: "1 2", expect: 1.5 }
  - { name: mean, samples: "", expect: none }
  - { name: mean, samples: "1 2", expect: 2 }
  - { name: maen, samples: "1 2", expect: 2 }
  - { name: mean, params: { a: 1 }, samples: "1 2", expect: 2 }
"#,
        ),
    ]);
    insta::assert_snapshot!(all(&report), @r"
    apdex Passed
    mean Passed
    mean Passed
    mean Failed
      Value: expected 2.0, got 1.5
    maen Broken
      Setup: there is no aggregation `maen`; did you mean `mean`?
    mean Broken
      Setup: the aggregation `mean` takes no parameters
    ");
}
