//! A test of an aggregation: one window of samples in, what it gives out.

use std::path::Path;
use std::time::Duration;

use sereno_model::{Sample, TimeRange};
use sereno_query::{Reduced, Window};
use sereno_runtime::diagnostic::suggest;

use super::file::{AggregationTest, Expected, START};
use super::pattern::same_number;
use super::stage::Stage;
use crate::report::{Check, Failure, Finding};
use crate::template::number_text;

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub failures: Vec<Failure>,
    pub findings: Vec<Finding>,
    /// Whether it could be run.
    pub ran: bool,
}

/// Runs a test.
pub(super) fn judge(path: &Path, test: &AggregationTest, stage: &mut Stage) -> Judged {
    let scripts = stage.scripts(path, test.scripts.as_deref());
    let name = &test.aggregation;
    let place = format!("aggregations/{name}.rhai");
    let errors = scripts.diagnostics.iter().filter(|found| found.is_error());
    let findings: Vec<Finding> = errors.map(Finding::from).collect();
    let fail = |check: Check, text: String| Failure { check, text, ..Failure::default() };
    let reducer = match test.params.is_empty() {
        true => scripts.library.aggregation(name),
        false => scripts.library.aggregation_with(name, &test.params),
    };
    let Some(reducer) = reducer else {
        let names: Vec<&str> = scripts.library.aggregation_names().collect();
        let text = match names.contains(&name.as_str()) {
            true => format!("the aggregation `{name}` takes no parameters"),
            false => {
                let hint = suggest(name, "aggregations", names.iter().copied());
                format!("there is no aggregation `{name}`; {hint}")
            }
        };
        return Judged { failures: vec![fail(Check::Setup, text)], findings, ran: false };
    };
    if let Some(script) = scripts.files.scripts.get(&place) {
        stage.called.insert((script.display.clone(), place));
    }
    let sample = |(at, value): &(Duration, f64)| Sample { time: START + *at, value: *value };
    let end = START + test.window;
    let samples = test.samples.iter().filter(|(at, _)| *at < test.window).map(sample).collect();
    let window = Window::new(TimeRange::before(end, test.window), samples, None);
    let failures = match reducer.reduce(&window) {
        Ok(given) => differences(&test.expect, &given),
        Err(error) => vec![error.to_string()],
    };
    let failures = failures.into_iter().map(|text| fail(Check::Value, text)).collect();
    Judged { failures, findings: Vec::new(), ran: true }
}

fn differences(expected: &Expected, given: &Reduced) -> Vec<String> {
    match (expected, given) {
        (Expected::None, Reduced::None) => Vec::new(),
        (Expected::Number(wanted), Reduced::Number(got)) if same_number(*wanted, *got) => Vec::new(),
        (Expected::Map(wanted), Reduced::Map(got)) => {
            let differs = |(name, wanted): (&String, &f64)| match got.get(name) {
                Some(got) if same_number(*wanted, *got) => None,
                Some(got) => Some(format!("`{name}`: expected {wanted:?}, got {got:?}")),
                None => {
                    let names = got.keys().map(String::as_str);
                    Some(format!("`{name}` is not given; {}", suggest(name, "it gives", names)))
                }
            };
            wanted.iter().filter_map(differs).collect()
        }
        (wanted, got) => vec![format!("expected {}, got {}", expected_text(wanted), given_text(got))],
    }
}

fn expected_text(expected: &Expected) -> String {
    match expected {
        Expected::None => "no value".into(),
        Expected::Number(number) => format!("{number:?}"),
        Expected::Map(map) => map_text(map.iter()),
    }
}

fn given_text(given: &Reduced) -> String {
    match given {
        Reduced::None => "no value".into(),
        Reduced::Number(number) => format!("{number:?}"),
        Reduced::Map(map) => map_text(map.iter()),
    }
}

fn map_text<'a, K: std::fmt::Display + 'a>(map: impl Iterator<Item = (K, &'a f64)>) -> String {
    let entries: Vec<String> = map.map(|(name, value)| format!("{name}: {}", number_text(*value))).collect();
    format!("{{ {} }}", entries.join(", "))
}
