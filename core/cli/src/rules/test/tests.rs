use std::time::Duration;

use sereno_rules::report::{Check, Finding, LevelCoverage, RuleCoverage, ScriptCoverage, Seconds};

use super::*;
use crate::output::testing::{console, written};

fn args(output: Form, verbose: bool) -> Args {
    Args { paths: vec![], scripts: vec![], only: None, verbose, coverage: false, output }
}

fn report() -> TestReport {
    let seconds = |secs| Seconds(Duration::from_secs(secs));
    let expected = |text: &str, line| Row { expected: Some(text.into()), line, ..Row::default() };
    let got = |row: Row, text: &str| Row { got: Some(text.into()), ..row };
    let rows = vec![
        got(
            expected("60s..70s  firing crit cpu_high{host=\"a\"}", 12),
            "1m  firing crit cpu_high{host=\"a\"} 97",
        ),
        Row {
            kind: RowKind::Differs,
            differs: vec!["level: expected warn, got crit".into()],
            ..got(expected("2m  deescalated warn", 13), "2m  deescalated crit")
        },
        Row { kind: RowKind::Missing, ..expected("3m  resolved crit", 14) },
        Row { kind: RowKind::Unexpected, ..got(Row::default(), "4m  closed crit") },
    ];
    let failures =
        vec![Failed { check: Check::Timeline, text: "3 of 4 events are not as expected".into(), rows }];
    let failed = TestResult {
        name: "fires, survives <reload>, recovers\x1b".into(),
        line: 3,
        outcome: TestOutcome::Failed,
        failures,
        seconds: seconds(1),
        ..TestResult::default()
    };
    let broken = TestResult {
        name: "apdex".into(),
        line: 30,
        kind: TestKind::Aggregation,
        outcome: TestOutcome::Broken,
        failures: vec![Failed {
            check: Check::Setup,
            text: "there is no aggregation `apdx`".into(),
            rows: vec![],
        }],
        errors: vec!["the script failed".into()],
        ..TestResult::default()
    };
    let passed = TestResult {
        name: "sleeps".into(),
        line: 20,
        timeline: vec![got(expected("1m  firing crit", 22), "1m  firing crit")],
        ..TestResult::default()
    };
    let finding = Finding {
        severity: "error".into(),
        path: "rules/cpu_test.yaml".into(),
        line: 2,
        column: 3,
        message: "unknown key `expct`".into(),
        hint: Some("did you mean `expect`?".into()),
        source_line: Some("  expct: []".into()),
        ..Finding::default()
    };
    let file = TestFile {
        path: "rules/cpu_test.yaml".into(),
        findings: vec![finding],
        tests: vec![failed, passed, broken],
        ..TestFile::default()
    };
    let level = |level: &str, variant, fired| LevelCoverage { level: level.into(), variant, fired };
    let rule = |rule: &str, tests, levels| RuleCoverage {
        rule: rule.into(),
        path: "rules/cpu.yaml".into(),
        line: 2,
        tests,
        levels,
        ..RuleCoverage::default()
    };
    let coverage = Coverage {
        rules: vec![
            rule(
                "cpu_high",
                2,
                vec![level("warn", 0, false), level("crit", 0, true), level("crit", 1, false)],
            ),
            rule("cpu_low", 0, vec![level("crit", 0, false)]),
        ],
        scripts: vec![ScriptCoverage { script: "rules/zscore.rhai".into(), called: false }],
    };
    TestReport {
        schema_version: 1,
        files: vec![file],
        coverage,
        seconds: seconds(2),
        ..TestReport::default()
    }
}

fn told(report: &TestReport, args: &Args) -> String {
    let mut verdict = String::new();
    let text = written(
        |console| {
            verdict = match tell(report, args, console) {
                Ok(()) => "good".into(),
                Err(Stop::Failed(failure)) => failure.to_string(),
                Err(other) => format!("{other:?}"),
            };
            Ok(())
        },
        console(100),
    );
    format!("{text}--- {verdict}")
}

#[test]
fn what_failed_is_told_as_a_diff() {
    insta::assert_snapshot!(told(&report(), &args(Form::Plain, false)), @r#"
    error: unknown key `expct`
     --> rules/cpu_test.yaml:2:3
      |
    2 |   expct: []
      |   ^
      = hint: did you mean `expect`?

    FAIL rules/cpu_test.yaml:3 fires, survives <reload>, recovers\u{1b}
      3 of 4 events are not as expected
        1m  firing crit cpu_high{host="a"} 97
      - 2m  deescalated warn    (line 13)
      + 2m  deescalated crit
      ~   level: expected warn, got crit
      - 3m  resolved crit    (line 14)
      + 4m  closed crit

    BROKEN rules/cpu_test.yaml:30 aggregation apdex
      there is no aggregation `apdx`
      error: the script failed

    the tests reach 1 of 2 rules, 1 of 4 levels, 0 of 1 script
      not cpu_high warn (rules/cpu.yaml:2)
      not cpu_high crit of override 1 (rules/cpu.yaml:2)
      not cpu_low at all (rules/cpu.yaml:2)
      not rules/zscore.rhai
    1 passed, 1 failed, 1 broken in 1 file, 2s
    --- error: 1 test failed, and 1 could not be run
      hint:  `sereno rules test --verbose` shows all that happened in a test
    "#);
}

#[test]
fn all_is_told_if_it_is_wanted() {
    insta::assert_snapshot!(told(&report(), &args(Form::Plain, true)), @r#"
    error: unknown key `expct`
     --> rules/cpu_test.yaml:2:3
      |
    2 |   expct: []
      |   ^
      = hint: did you mean `expect`?

    FAIL rules/cpu_test.yaml:3 fires, survives <reload>, recovers\u{1b}
      3 of 4 events are not as expected
        1m  firing crit cpu_high{host="a"} 97
      - 2m  deescalated warn    (line 13)
      + 2m  deescalated crit
      ~   level: expected warn, got crit
      - 3m  resolved crit    (line 14)
      + 4m  closed crit

    pass rules/cpu_test.yaml:20 sleeps
        1m  firing crit
    BROKEN rules/cpu_test.yaml:30 aggregation apdex
      there is no aggregation `apdx`
      error: the script failed

    the tests reach 1 of 2 rules, 1 of 4 levels, 0 of 1 script
      not cpu_high warn (rules/cpu.yaml:2)
      not cpu_high crit of override 1 (rules/cpu.yaml:2)
      not cpu_low at all (rules/cpu.yaml:2)
      not rules/zscore.rhai
    1 passed, 1 failed, 1 broken in 1 file, 2s
    --- error: 1 test failed, and 1 could not be run
    "#);
}

#[test]
fn build_servers_get_a_suite_for_each_file() {
    insta::assert_snapshot!(told(&report(), &args(Form::Junit, false)), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="rules test" tests="4" failures="1" errors="2" time="1.000">
      <testsuite name="rules/cpu_test.yaml" tests="4" failures="1" errors="2" time="1.000">
        <testcase name="the file is read" classname="rules/cpu_test.yaml" file="rules/cpu_test.yaml" time="0.000">
          <error message="unknown key `expct`">error: unknown key `expct`
     --&gt; rules/cpu_test.yaml:2:3
      |
    2 |   expct: []
      |   ^
      = hint: did you mean `expect`?</error>
        </testcase>
        <testcase name="fires, survives &lt;reload&gt;, recovers\u{1b}" classname="rules/cpu_test.yaml" file="rules/cpu_test.yaml" line="3" time="1.000">
          <failure message="3 of 4 events are not as expected">3 of 4 events are not as expected
      1m  firing crit cpu_high{host=&quot;a&quot;} 97
    - 2m  deescalated warn    (line 13)
    + 2m  deescalated crit
    ~   level: expected warn, got crit
    - 3m  resolved crit    (line 14)
    + 4m  closed crit</failure>
        </testcase>
        <testcase name="sleeps" classname="rules/cpu_test.yaml" file="rules/cpu_test.yaml" line="20" time="0.000"/>
        <testcase name="apdex" classname="rules/cpu_test.yaml" file="rules/cpu_test.yaml" line="30" time="0.000">
          <error message="there is no aggregation `apdx`">there is no aggregation `apdx`</error>
          <error message="the script failed">the script failed</error>
        </testcase>
      </testsuite>
    </testsuites>
    --- error: 1 test failed, and 1 could not be run
      hint:  `sereno rules test --verbose` shows all that happened in a test
    "#);
}

#[test]
fn nothing_to_complain_of_is_one_line() {
    let good = TestReport { files: vec![TestFile::default()], ..TestReport::default() };
    insta::assert_snapshot!(told(&good, &args(Form::Plain, false)), @"
    0 passed, 0 failed in 1 file, 0s
    --- good
    ");
}
