//! Tests of rules: series in, events out, in virtual time, on the engine that runs live.
//!
//! Invariants:
//! * what a test sees is what a server would have told: the same compiler, store, evaluator and state machine;
//! * the same test gives the same result everywhere; nothing depends on the wall clock or on other tests;
//! * a mistake in one test hides none of its neighbours.
//!
//! The format of test files is documented in `config/README.md`. Not here: how a report looks (`sereno`).

mod aggregation;
mod compare;
mod coverage;
mod discover;
mod file;
mod inline;
mod judge;
mod notation;
mod pattern;
mod run;
mod sinks;
mod stage;
#[cfg(test)]
mod tests;
mod written;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::threads::{SCRIPT_STACK_BYTES, spawn};
use sereno_runtime::{Clock, SystemClock};

use self::coverage::Reached;
use self::discover::{Found, discover};
use self::file::{AggregationTest, Entry, RuleTest};
use self::stage::Stage;
use crate::report::{
    Check, Event, Failure, Finding, SCHEMA_VERSION, Seconds, TestFile, TestKind, TestOutcome, TestReport,
    TestResult,
};

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The scripts folders of all tests that name none themselves; `None` for the nearest folder `scripts` of each.
    pub scripts: Option<Vec<PathBuf>>,
    /// Only tests with this text in their names.
    pub filter: Option<String>,
    /// How many files at a time.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { scripts: None, filter: None, threads: 2 }
    }
}

/// Runs the test files among `paths`, and those below the folders among them (`*_test.yaml`). Reads files; changes
/// nothing.
#[must_use]
pub fn run(paths: &[PathBuf], options: &Options) -> TestReport {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let found = Arc::new(discover(paths));
    let shared = Arc::new(Shared {
        found: found.clone(),
        options: options.clone(),
        clock: clock.clone(),
        next: AtomicUsize::new(0),
        done: Mutex::default(),
    });
    let count = options.threads.clamp(1, found.tests.len().max(1));
    let mut findings = found.findings.clone();
    let threads = (0..count).map(|number| {
        let shared = shared.clone();
        spawn(&format!("rule tests {number}"), SCRIPT_STACK_BYTES, move || shared.work())
    });
    // All are started before any is waited for.
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        let ended = thread.map_err(|error| error.to_string()).and_then(|thread| {
            thread
                .join()
                .map_err(|_| "a thread that ran tests panicked, which is a mistake in sereno".to_owned())
        });
        if let Err(why) = ended {
            findings.push(Diagnostic::error(Path::new("rule tests"), why));
        }
    }
    let Done { mut files, mut reached } = std::mem::take(&mut *shared.done());
    know_untested(&found, options, &mut reached);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    TestReport {
        schema_version: SCHEMA_VERSION,
        files,
        findings: findings.iter().map(Finding::from).collect(),
        coverage: reached.report(),
        seconds: Seconds(clock.monotonic()),
    }
}

/// What the threads share.
struct Shared {
    found: Arc<Found>,
    options: Options,
    clock: Arc<dyn Clock>,
    next: AtomicUsize,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    files: Vec<TestFile>,
    reached: Reached,
}

impl Shared {
    fn work(&self) {
        let mut worker = Worker {
            stage: Stage::new(self.options.scripts.clone()),
            reached: Reached::default(),
            filter: self.options.filter.clone(),
            clock: self.clock.clone(),
        };
        while let Some(path) = self.found.tests.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let file = worker.file(path);
            self.done().files.push(file);
        }
        worker.reached.call(&worker.stage.called);
        self.done().reached.merge(worker.reached);
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rules and scripts that no test names are known too, so that they show as not tested.
fn know_untested(found: &Found, options: &Options, reached: &mut Reached) {
    if found.rules.is_empty() {
        return;
    }
    let mut stage = Stage::new(options.scripts.clone());
    let scripts = stage.scripts(&found.rules[0], None);
    let source = file::Source::Files(found.rules.clone());
    // What is wrong in them is told where they are checked.
    if let Ok(generation) = stage.rules(&found.rules[0], &source, &scripts, None) {
        reached.know(&generation, None);
    }
}

struct Worker {
    stage: Stage,
    reached: Reached,
    filter: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    fn file(&mut self, path: &Path) -> TestFile {
        let start = self.clock.monotonic();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let error = Diagnostic::error(path, format!("the file cannot be read: {error}"));
                return TestFile {
                    path: path.display().to_string(),
                    findings: vec![(&error).into()],
                    ..TestFile::default()
                };
            }
        };
        let file = file::parse(path, &text);
        let mut tests = Vec::new();
        for entry in &file.tests {
            tests.extend(self.timed(&entry.name, |worker| worker.rule_test(path, entry)));
        }
        for entry in &file.aggregations {
            tests.extend(self.timed(&entry.name, |worker| worker.aggregation(path, entry)));
        }
        TestFile {
            path: path.display().to_string(),
            findings: file.found.iter().map(Finding::from).collect(),
            tests,
            seconds: Seconds(self.clock.monotonic().saturating_sub(start)),
        }
    }

    /// Runs a test, if it is wanted.
    fn timed(&mut self, name: &str, test: impl FnOnce(&mut Self) -> TestResult) -> Option<TestResult> {
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            return None;
        }
        let start = self.clock.monotonic();
        let result = test(self);
        let took: Duration = self.clock.monotonic().saturating_sub(start);
        Some(TestResult { seconds: Seconds(took), ..result })
    }

    fn rule_test(&mut self, path: &Path, entry: &Entry<RuleTest>) -> TestResult {
        let blank = blank(entry, TestKind::Rules);
        let Some(test) = &entry.test else { return broken(blank, "the test has mistakes") };
        let played = match run::play(path, test, &mut self.stage) {
            Ok(played) => played,
            Err(why) => return TestResult { findings: why.findings, ..broken(blank, &why.text) },
        };
        self.reached.note(&played, path);
        let (failures, timeline) = judge::judge(test, &played);
        TestResult {
            outcome: if failures.is_empty() { TestOutcome::Passed } else { TestOutcome::Failed },
            failures,
            timeline,
            events: played.told.iter().map(Event::from).collect(),
            findings: played.findings,
            errors: played.errors.into_values().flatten().collect(),
            ticks: played.ticks,
            ..blank
        }
    }

    fn aggregation(&mut self, path: &Path, entry: &Entry<AggregationTest>) -> TestResult {
        let blank = blank(entry, TestKind::Aggregation);
        let Some(test) = &entry.test else { return broken(blank, "the test has mistakes") };
        let judged = aggregation::judge(path, test, &mut self.stage);
        let outcome = match (judged.ran, judged.failures.is_empty()) {
            (false, _) => TestOutcome::Broken,
            (true, false) => TestOutcome::Failed,
            (true, true) => TestOutcome::Passed,
        };
        TestResult { outcome, failures: judged.failures, findings: judged.findings, ..blank }
    }
}

fn blank<T>(entry: &Entry<T>, kind: TestKind) -> TestResult {
    TestResult { name: entry.name.clone(), line: entry.line, kind, ..TestResult::default() }
}

fn broken(blank: TestResult, why: &str) -> TestResult {
    let failure = Failure { check: Check::Setup, text: why.to_owned(), rows: Vec::new() };
    TestResult { outcome: TestOutcome::Broken, failures: vec![failure], ..blank }
}
