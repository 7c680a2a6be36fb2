//! What a run of rule tests gave.

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::event::Event;
use super::finding::Finding;
use sereno_runtime::json::Seconds;

/// What a run of rule tests gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestReport {
    /// The version of this form.
    pub schema_version: u32,
    /// The test files, in order of their paths.
    pub files: Vec<TestFile>,
    /// What is wrong beyond one file: a path that does not exist, no tests found.
    pub findings: Vec<Finding>,
    /// What the tests have reached.
    pub coverage: Coverage,
    /// How long it took.
    pub seconds: Seconds,
}

/// What one test file gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestFile {
    /// Its path.
    pub path: String,
    /// What is wrong in it. A file with errors runs those of its tests that have none.
    pub findings: Vec<Finding>,
    /// Its tests, in the order in which they are written.
    pub tests: Vec<TestResult>,
    /// How long it took.
    pub seconds: Seconds,
}

/// What a test is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestKind {
    /// The events of rules over time.
    #[default]
    Rules,
    /// What an aggregation gives.
    Aggregation,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// As it should.
    #[default]
    Passed,
    /// Something else happened than it expects.
    Failed,
    /// It could not be run.
    Broken,
}

/// How one test went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// The line at which it begins.
    pub line: u32,
    /// What it is about.
    pub kind: TestKind,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Why it failed, one for each check that did.
    pub failures: Vec<Failure>,
    /// The whole timeline, expectations and events side by side, when the test has one.
    pub timeline: Vec<Row>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What went wrong inside while it ran: scripts that failed, rules that do not compile.
    pub findings: Vec<Finding>,
    /// Errors of evaluations that have no place in a file.
    pub errors: Vec<String>,
    /// How many ticks were evaluated.
    pub ticks: u64,
    /// How long it took.
    pub seconds: Seconds,
}

/// Which check of a test failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// `expect`: the timeline.
    #[default]
    Timeline,
    /// `never`.
    Never,
    /// `sinks`.
    Sinks,
    /// `health`.
    Health,
    /// `inexact`.
    Inexact,
    /// The value of an aggregation.
    Value,
    /// It could not be run.
    Setup,
}

/// Why a test failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// Which check.
    pub check: Check,
    /// What is wrong, in a sentence without a full stop.
    pub text: String,
    /// The rows where expectations and events part, when it is about a sequence of them.
    pub rows: Vec<Row>,
}

/// Whether what was expected happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// As expected.
    #[default]
    Matched,
    /// It happened, and differs in what `differs` names.
    Differs,
    /// It was expected and did not happen.
    Missing,
    /// It happened and was not expected.
    Unexpected,
}

/// One line of a timeline: what was expected beside what was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Whether they agree.
    pub kind: RowKind,
    /// When it was told, or else expected: from the start of the test.
    pub at: Seconds,
    /// What was expected: `60s..70s  firing crit cpu_high{host="a"}`.
    pub expected: Option<String>,
    /// The line at which that is written.
    pub line: u32,
    /// What was told: `1m 10s  firing crit cpu_high{host="a"} 97 "a: load 97"`.
    pub got: Option<String>,
    /// What differs, each with both sides: `level: expected warn, got crit`.
    pub differs: Vec<String>,
}

impl TestReport {
    /// Whether every test passed, and every file could be read.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let (_, failed, broken) = self.totals();
        let files = self.files.iter().flat_map(|file| &file.findings);
        failed + broken == 0 && !files.chain(&self.findings).any(Finding::is_error)
    }

    /// How many tests passed, failed, and could not be run.
    #[must_use]
    pub fn totals(&self) -> (usize, usize, usize) {
        let count = |outcome| self.tests().filter(|test| test.outcome == outcome).count();
        (count(TestOutcome::Passed), count(TestOutcome::Failed), count(TestOutcome::Broken))
    }

    /// Every test.
    pub fn tests(&self) -> impl Iterator<Item = &TestResult> {
        self.files.iter().flat_map(|file| &file.tests)
    }
}
