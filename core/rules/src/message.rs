//! What a notification says, and its identity.
//!
//! The original server's clients show the first 127 bytes and nothing else, so the words that count come first:
//! the rule, what it looks at, the value, the worst value.

use sereno_model::{EventKind, Notification, SeriesKey, Timestamp};
use sereno_runtime::units::format_duration;
use sereno_script::ParamValue;

use crate::rule::{Condition, Labels, Rule};
use crate::state::{Event, Worse};
use crate::template::{Filled, Name, Template, number_text};

/// What is known about an event beyond the event itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// How many samples the value was taken from, if the message wants to know.
    pub samples: Option<f64>,
    /// What the rule's script says.
    pub script_text: Option<String>,
    /// Why the instance was closed.
    pub reason: Option<String>,
}

/// The notification of an event.
pub(crate) fn notification(
    rule: &Rule,
    labels: &Labels,
    event: &Event,
    tick: Timestamp,
    generation: u64,
    context: Context,
) -> Notification {
    let name = instance_name(rule, labels);
    Notification {
        event_id: format!("{name}/{}/{}/{}", event.fired_at, event.kind, event.number),
        kind: event.kind,
        rule: rule.id.to_string(),
        instance: labels.clone(),
        level: event.level,
        value: event.value,
        extreme: event.extreme,
        tick,
        fired_at: event.fired_at,
        message: text(rule, labels, &name, event, &context),
        reason: context.reason,
        generation,
    }
}

/// The rule and the labels of the instance, in the text form of series: `cpu_high{host="a"}`.
pub(crate) fn instance_name(rule: &Rule, labels: &Labels) -> String {
    let labels = labels.iter().map(|(label, value)| (label, value));
    SeriesKey::new(&rule.id, labels).map_or_else(|_| rule.id.to_string(), |key| key.to_string())
}

fn text(rule: &Rule, labels: &Labels, name: &str, event: &Event, context: &Context) -> String {
    if event.kind == EventKind::Closed {
        return format!("{name}: closed, {}", context.reason.as_deref().unwrap_or("without a reason"));
    }
    let own = match &rule.message {
        Some(template) => Some(filled(template, rule, labels, event, context)),
        None => context.script_text.clone(),
    };
    match (own, event.kind) {
        (Some(own), EventKind::Resolved) => format!("resolved: {own}"),
        (Some(own), EventKind::Reminder) => format!("still: {own}"),
        (Some(own), _) => own,
        (None, _) => usual(rule, name, event),
    }
}

/// `foo_high: mean(foo) over 15s is 12 (>= 10), highest 14`.
fn usual(rule: &Rule, name: &str, event: &Event) -> String {
    let subject = match &rule.condition {
        Condition::Threshold { value, .. } => {
            let metric = rule.selector.name.as_str();
            format!("{}({metric}) over {}", value.agg, format_duration(rule.window))
        }
        // What a script calls the value is its own affair.
        Condition::Script { .. } => "value".to_owned(),
    };
    let is = event.value.map(|value| format!("{subject} is {}", number_text(value)));
    if event.kind == EventKind::Resolved {
        return [Some(format!("{name}: resolved")), is].into_iter().flatten().collect::<Vec<_>>().join(", ");
    }
    let (compared, worst) = match &rule.condition {
        Condition::Threshold { limit, worse: Worse::Higher, .. } => {
            (format!(" (>= {})", number_text(*limit)), "highest")
        }
        Condition::Threshold { limit, worse: Worse::Lower, .. } => {
            (format!(" (< {})", number_text(*limit)), "lowest")
        }
        Condition::Script { .. } => (format!(" ({})", event.level), "highest"),
    };
    let is = is.unwrap_or_else(|| "condition holds".to_owned());
    let extreme = event.extreme.filter(|extreme| Some(*extreme) != event.value);
    let extreme = extreme.map_or_else(String::new, |extreme| format!(", {worst} {}", number_text(extreme)));
    format!("{name}: {is}{compared}{extreme}")
}

fn filled(template: &Template, rule: &Rule, labels: &Labels, event: &Event, context: &Context) -> String {
    let number = |number: Option<f64>| number.map_or(Filled::None, Filled::Number);
    template.render(|name| match name {
        Name::Value => number(event.value),
        Name::Count => number(context.samples),
        Name::Level => Filled::Text(event.level.to_string()),
        Name::Rule => Filled::Text(rule.id.to_string()),
        Name::Limit => match &rule.condition {
            Condition::Threshold { limit, .. } => Filled::Number(*limit),
            Condition::Script { .. } => Filled::None,
        },
        Name::Label(label) => {
            let value = labels.iter().find(|(name, _)| name == label).map(|(_, value)| value.clone());
            value.map_or(Filled::None, Filled::Text)
        }
        Name::Param(param) => match &rule.condition {
            Condition::Script { params, .. } => params.get(param).map_or(Filled::None, param_text),
            Condition::Threshold { .. } => Filled::None,
        },
    })
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
