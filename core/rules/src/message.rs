//! What a notification says, and its identity.
//!
//! The original server's clients show the first 127 bytes and nothing else, so the words that count come first:
//! the rule, what it looks at, the value, the worst value.

use sereno_model::{EventKind, Marks, Notification, SeriesKey, Timestamp};
use sereno_runtime::units::format_duration;
use sereno_script::{ParamValue, Trace, TraceValue};

use crate::expression::Reading;
use crate::rule::{Labels, Limit, Mode, Rule};
use crate::state::{Event, Reason, Worse};
use crate::template::{Filled, Name, Template, number_text};

/// What is known about an event beyond the event itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// What the inputs gave.
    pub readings: Vec<Reading>,
    /// What the rule's script says.
    pub script_text: Option<String>,
    /// What it showed on its way.
    pub traces: Vec<Trace>,
}

impl Context {
    /// How many samples the value was taken from, where that was looked at.
    fn samples(&self, input: usize) -> Option<f64> {
        self.readings.get(input).and_then(|reading| reading.samples).map(|samples| samples as f64)
    }

    fn newest(&self, input: usize) -> Option<Timestamp> {
        self.readings.get(input).and_then(|reading| reading.newest)
    }
}

/// The notification of an event.
pub(crate) fn notification(
    rule: &Rule,
    labels: &Labels,
    event: &Event,
    tick: Timestamp,
    generation: u64,
    context: &Context,
) -> Notification {
    let name = instance_name(rule, labels);
    let variant = &rule.variants[rule.variant_of(labels)];
    Notification {
        event_id: format!("{name}/{}/{}/{}", event.fired_at, event.kind, event.number),
        kind: event.kind,
        rule: rule.id.to_string(),
        instance: labels.clone(),
        level: event.level,
        previous: event.previous,
        value: event.value,
        extreme: event.extreme,
        peak: event.peak,
        samples: context.samples(0),
        tick,
        fired_at: event.fired_at,
        episode: event.episode,
        message: text(rule, labels, &name, event, tick, context),
        reason: event.reason.as_ref().map(reason_text),
        labels: variant.labels.to_vec(),
        runbook: rule.runbook.clone(),
        suppressed_by: None,
        marks: Marks {
            stale: event.stale,
            flapping: event.flapping,
            shadow: variant.mode == Mode::Shadow,
            late: false,
            undurable: false,
        },
        generation,
    }
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Absent(quiet) => format!("no data for {}", format_duration(*quiet)),
        Reason::Other(text) => text.clone(),
    }
}

/// The rule and the labels of the instance, in the text form of series: `cpu_high{host="a"}`.
pub(crate) fn instance_name(rule: &Rule, labels: &Labels) -> String {
    let labels = labels.iter().map(|(label, value)| (label, value));
    SeriesKey::new(&rule.id, labels).map_or_else(|_| rule.id.to_string(), |key| key.to_string())
}

fn text(
    rule: &Rule,
    labels: &Labels,
    name: &str,
    event: &Event,
    tick: Timestamp,
    context: &Context,
) -> String {
    if event.kind == EventKind::Closed {
        return format!(
            "{name}: closed, {}",
            event.reason.as_ref().map_or_else(|| "without a reason".to_owned(), reason_text)
        );
    }
    let own = match &rule.message {
        Some(template) => Some(filled(template, rule, labels, event, tick, context)),
        None => context.script_text.clone(),
    };
    match (own, event.kind) {
        (Some(own), EventKind::Resolved) => format!("resolved: {own}"),
        (Some(own), EventKind::Reminder) => format!("still: {own}"),
        (Some(own), _) => own,
        (None, _) => usual(rule, labels, name, event),
    }
}

/// `foo_high: mean(foo) over 15s is 12 (>= 10), highest 14`.
fn usual(rule: &Rule, labels: &Labels, name: &str, event: &Event) -> String {
    let main = rule.main_input();
    let subject = match main.and_then(|input| Some((input, input.value.as_ref()?))) {
        Some((input, value)) if rule.script().is_none() => {
            let window = format_duration(input.window);
            format!("{}({}) over {window}", value.agg, input.selector.name.as_str())
        }
        // What a script calls the value is its own affair.
        _ => "value".to_owned(),
    };
    let is = event.value.map(|value| format!("{subject} is {}", number_text(value)));
    if event.kind == EventKind::Resolved {
        return [Some(format!("{name}: resolved")), is].into_iter().flatten().collect::<Vec<_>>().join(", ");
    }
    let limit = rule.variants[rule.variant_of(labels)].limit;
    let (compared, worst) = match limit {
        Some(Limit { number, worse: Worse::Higher }) => (format!(" (>= {})", number_text(number)), "highest"),
        Some(Limit { number, worse: Worse::Lower }) => (format!(" (< {})", number_text(number)), "lowest"),
        None => (format!(" ({})", event.level), "highest"),
    };
    let is = is.unwrap_or_else(|| "condition holds".to_owned());
    let extreme = event.extreme.filter(|extreme| Some(*extreme) != event.value);
    let extreme = extreme.map_or_else(String::new, |extreme| format!(", {worst} {}", number_text(extreme)));
    format!("{name}: {is}{compared}{extreme}")
}

fn filled(
    template: &Template,
    rule: &Rule,
    labels: &Labels,
    event: &Event,
    tick: Timestamp,
    context: &Context,
) -> String {
    let number = |number: Option<f64>| number.map_or(Filled::None, Filled::Number);
    let variant = &rule.variants[rule.variant_of(labels)];
    template.render(|name| match name {
        Name::Value => number(event.value),
        Name::Count => number(context.samples(0)),
        Name::Level => Filled::Text(event.level.to_string()),
        Name::Rule => Filled::Text(rule.id.to_string()),
        Name::Limit => number(variant.limit.map(|limit| limit.number)),
        Name::Label(label) => {
            let value = labels.iter().find(|(name, _)| name == label).map(|(_, value)| value.clone());
            value.map_or(Filled::None, Filled::Text)
        }
        Name::Param(param) => variant.params.get(param).map_or(Filled::None, param_text),
        Name::Happened => Filled::Text(event.kind.to_string()),
        Name::Previous => event.previous.map_or(Filled::None, |level| Filled::Text(level.to_string())),
        Name::Runbook => rule.runbook.clone().map_or(Filled::None, Filled::Text),
        Name::Now => Filled::Number(tick.secs_f64()),
        Name::Duration => Filled::Number(tick.since(event.fired_at).as_secs_f64()),
        Name::Reading(input) => number(context.readings.get(*input).and_then(|reading| reading.value)),
        Name::Samples(input) => number(context.samples(*input)),
        Name::Newest(input) => number(context.newest(*input).map(Timestamp::secs_f64)),
        Name::Age(input) => number(context.newest(*input).map(|newest| tick.since(newest).as_secs_f64())),
        Name::Trace(name) => {
            let trace = context.traces.iter().find(|trace| *trace.name == **name);
            trace.map_or(Filled::None, |trace| trace_text(&trace.value))
        }
    })
}

fn trace_text(value: &TraceValue) -> Filled {
    match value {
        TraceValue::Number(number) => Filled::Number(*number),
        TraceValue::Text(text) => Filled::Text(text.clone()),
        TraceValue::Flag(flag) => Filled::Text(flag.to_string()),
        TraceValue::Nothing => Filled::None,
    }
}

fn param_text(param: &ParamValue) -> Filled {
    match param {
        ParamValue::Null => Filled::None,
        ParamValue::Bool(bool) => Filled::Text(bool.to_string()),
        ParamValue::Int(int) => Filled::Number(*int as f64),
        ParamValue::Float(float) => Filled::Number(*float),
        ParamValue::Text(text) => Filled::Text(text.clone()),
        ParamValue::List(_) | ParamValue::Map(_) => Filled::Text(format!("{param:?}")),
    }
}
