//! Whether what happened in a test is what it expects.

use sereno_model::EventKind;

use super::compare::{Told, compare, excerpt, is_good};
use super::file::RuleTest;
use super::pattern::{Pattern, event_text, time_text};
use super::run::Played;
use super::sinks::deliveries;
use crate::report::{Check, Failure, Row};

/// How many rows that agree are shown around one that does not.
const AROUND: usize = 2;

/// What is not as expected, and the whole timeline.
pub(super) fn judge(test: &RuleTest, played: &Played) -> (Vec<Failure>, Vec<Row>) {
    let mut failures = Vec::new();
    let rows = timeline(test, played, &mut failures);
    never(test, played, &mut failures);
    sinks(test, played, &mut failures);
    health(test, played, &mut failures);
    inexact(test, played, &mut failures);
    (failures, rows)
}

fn fail(check: Check, text: String) -> Failure {
    Failure { check, text, rows: Vec::new() }
}

/// Reminders only repeat, so they are left out where nobody expects one.
fn told_in<'a>(expected: &[Pattern], told: impl Iterator<Item = Told<'a>>) -> Vec<Told<'a>> {
    let wants_reminders = expected.iter().any(|pattern| pattern.kind == Some(EventKind::Reminder));
    told.filter(|told| wants_reminders || told.event.kind != EventKind::Reminder).collect()
}

fn timeline(test: &RuleTest, played: &Played, failures: &mut Vec<Failure>) -> Vec<Row> {
    let Some(expected) = &test.expect else { return Vec::new() };
    let told = played.told.iter().map(|event| Told { at: event.tick.since(test.start), event });
    let rows = compare(expected, &told_in(expected, told));
    if !is_good(&rows) {
        let text = "the events are not those that are expected".to_owned();
        failures.push(Failure { check: Check::Timeline, text, rows: excerpt(&rows, AROUND) });
    }
    rows
}

fn never(test: &RuleTest, played: &Played, failures: &mut Vec<Failure>) {
    for pattern in &test.never {
        let at = |tick: sereno_model::Timestamp| tick.since(test.start);
        if let Some(event) = played.told.iter().find(|event| pattern.matches(event, at(event.tick))) {
            let (at, wanted) = (time_text(at(event.tick)), pattern.timed_text());
            let text = format!("`{wanted}` must never happen, and did at {at}: {}", event_text(event));
            failures.push(fail(Check::Never, text));
        }
    }
}

fn sinks(test: &RuleTest, played: &Played, failures: &mut Vec<Failure>) {
    for (sink, expected) in &test.sinks {
        let mut down = played.server_down.clone();
        down.extend(played.down.get(sink).into_iter().flatten());
        let got = deliveries(&played.told, &down);
        let got = got.iter().map(|(at, event)| Told { at: at.since(test.start), event });
        let rows = compare(expected, &told_in(expected, got));
        if !is_good(&rows) {
            let text = format!("sink `{sink}` did not get what is expected");
            failures.push(Failure { check: Check::Sinks, text, rows: excerpt(&rows, AROUND) });
        }
    }
}

fn health(test: &RuleTest, played: &Played, failures: &mut Vec<Failure>) {
    for (rule, wanted) in &test.health {
        let got = played.health.get(rule);
        if got != Some(&wanted.as_str()) {
            let got = got.map_or("there is no such rule".to_owned(), |got| format!("it is `{got}`"));
            failures.push(fail(Check::Health, format!("rule `{rule}` must be `{wanted}` at the end: {got}")));
        }
    }
    // A script that fails tells nothing, so a test that expects nothing would pass for the wrong reason.
    for rule in played.errors.keys().filter(|rule| !test.health.contains_key(*rule)) {
        let text = format!("rule `{rule}` failed; write `health: {{ {rule}: … }}` if that is what is tested");
        failures.push(fail(Check::Health, text));
    }
}

fn inexact(test: &RuleTest, played: &Played, failures: &mut Vec<Failure>) {
    let is_inexact = played.late > 0;
    if test.inexact.is_some_and(|wanted| wanted != is_inexact) {
        let text = match is_inexact {
            true => format!("{} samples came late, so a replay is not exact", played.late),
            false => "no sample came late, so a replay is exact".to_owned(),
        };
        failures.push(fail(Check::Inexact, text));
    }
}
