//! The whole host through its public face: texts in, answers and findings out.

mod aggregations;
mod decide;
mod histograms;
mod libraries;
mod limits;
mod memories;
mod mistakes;
mod operators;
mod queries;
mod readme;
mod rules;
mod traps;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use sereno_model::{Sample, TimeRange, Timestamp};
use sereno_query::{ReduceError, Reduced, Window};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::threads::{SCRIPT_STACK_BYTES, spawn};
use sereno_runtime::{Clock, ManualClock};

use crate::{Library, Limits, Source};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)))
}

fn sources(scripts: &[(&str, &str)]) -> Vec<Source> {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        display: PathBuf::from(format!("scripts/{path}")),
        text: (*text).into(),
    };
    scripts.iter().map(source).collect()
}

fn load(scripts: &[(&str, &str)], previous: Option<&Library>) -> (Library, Vec<Diagnostic>) {
    Library::load(&sources(scripts), &Limits::default(), &clock(), previous)
}

/// A library without mistakes.
fn library(scripts: &[(&str, &str)]) -> Library {
    let (library, mut found) = load(scripts, None);
    found.retain(Diagnostic::is_error);
    assert_eq!(found, []);
    library
}

/// What is found in one script, as `line:column message | hint`.
fn findings(path: &str, text: &str) -> Vec<String> {
    let (_, found) = load(&[(path, text)], None);
    let line = |finding: &Diagnostic| {
        let hint = finding.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
        format!("{}:{} {}{hint}", finding.line, finding.column, finding.message)
    };
    found.iter().map(line).collect()
}

/// One sample a second.
fn window(values: &[f64]) -> Window {
    let range = TimeRange::new(Timestamp::from_millis(0), Timestamp::from_millis(60_000));
    let sample = |(index, value): (usize, &f64)| Sample {
        time: Timestamp::from_millis(1_000 * index as i64),
        value: *value,
    };
    Window::new(range, values.iter().enumerate().map(sample).collect(), None)
}

/// What the aggregation `x` of this text answers for a window.
fn aggregate(text: &str, values: &[f64]) -> Result<Reduced, ReduceError> {
    library(&[("aggregations/x.rhai", text)]).aggregation("x").unwrap().reduce(&window(values))
}

/// The same as one line: the answer, or the error with its causes.
fn answer(text: &str, values: &[f64]) -> String {
    match aggregate(text, values) {
        Ok(Reduced::None) => "none".to_owned(),
        Ok(Reduced::Number(number)) => number.to_string(),
        Ok(Reduced::Map(map)) => format!("{map:?}"),
        Err(error) => crate::error::describe(&error),
    }
}

/// Runs a test with the stack that scripts run on.
fn on_script_stack(body: impl FnOnce() + Send + 'static) {
    let thread = spawn("script", SCRIPT_STACK_BYTES, body).unwrap();
    thread.join().unwrap();
}
