//! What the engine does, told as rule tests: `tests/stories`.

use std::path::Path;

use sereno_rules::report::TestResult;
use sereno_rules::trial::{Options, run};

#[test]
fn they_go_as_they_are_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let report = run(&[folder], &Options::default());
    let bad = |test: &&TestResult| !test.failures.is_empty() || !test.findings.is_empty();
    let tests: Vec<&TestResult> = report.tests().collect();
    let found: Vec<_> = report.files.iter().flat_map(|file| &file.findings).chain(&report.findings).collect();
    assert!(found.is_empty(), "{found:#?}");
    let failed: Vec<String> = tests.iter().copied().filter(bad).map(told).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(tests.len() >= 15, "{} stories", tests.len());
}

fn told(test: &TestResult) -> String {
    let mut text = format!("{} {:?}", test.name, test.outcome);
    for failure in &test.failures {
        text.push_str(&format!("\n  {:?}: {}", failure.check, failure.text));
        for row in &failure.rows {
            let at = row.at.0.as_secs();
            text.push_str(&format!(
                "\n    {:?} {at}s {:?} | {:?} {:?}",
                row.kind, row.expected, row.got, row.differs
            ));
        }
    }
    text.extend(test.findings.iter().map(|found| format!("\n{found}")));
    text.extend(test.errors.iter().map(|error| format!("\n{error}")));
    text
}
