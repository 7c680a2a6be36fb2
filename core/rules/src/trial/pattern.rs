//! What an event is expected to be, and whether one is.

use std::fmt::Write as _;
use std::time::Duration;

use regex::Regex;
use sereno_model::{EventKind, Level, Notification};
use sereno_runtime::units;

use crate::template::number_text;

/// How far two numbers may be apart to count as equal: by this part of the greater one.
const TOLERANCE: f64 = 1e-9;

/// What an event is expected to be. What is `None` may be anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern {
    /// When, from the start of the test: the first and the last moment.
    pub at: Option<(Duration, Duration)>,
    pub kind: Option<EventKind>,
    pub level: Option<Level>,
    pub previous: Option<Level>,
    /// Labels that the instance must have; `Some` of none at all is the instance without labels.
    pub instance: Option<Vec<(String, String)>>,
    pub rule: Option<String>,
    /// `Some(None)` when there must be none.
    pub value: Option<Option<f64>>,
    pub message: Option<Wording>,
    pub reason: Option<Wording>,
    /// `Some(None)` when nothing may mute it.
    pub suppressed_by: Option<Option<String>>,
    pub stale: Option<bool>,
    pub flapping: Option<bool>,
    pub shadow: Option<bool>,
    /// Where it is written.
    pub line: u32,
}

/// A text that is expected.
#[derive(Clone, Debug)]
pub(crate) enum Wording {
    /// This one.
    Exactly(String),
    /// One in which this is found.
    Like(Regex),
}

impl Wording {
    /// `~` begins a regular expression that may match anywhere.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        match text.strip_prefix('~') {
            Some(regex) => Regex::new(regex.trim_start()).map(Self::Like),
            None => Ok(Self::Exactly(text.to_owned())),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == text,
            Self::Like(regex) => regex.is_match(text),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Exactly(text) => format!("{text:?}"),
            Self::Like(regex) => format!("~{regex}"),
        }
    }
}

/// Whether two numbers are equal but for rounding.
pub(crate) fn same_number(left: f64, right: f64) -> bool {
    left == right
        || (left.is_nan() && right.is_nan())
        || (left - right).abs() <= TOLERANCE * left.abs().max(right.abs())
}

impl Pattern {
    /// What in an event is not as expected, both sides of each; nothing if it is the one. `at` is its tick, or the
    /// moment at which a sink got it, from the start of the test.
    pub fn differences(&self, event: &Notification, at: Duration) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, expected: String, got: String| {
            found.push(format!("{what}: expected {expected}, got {got}"));
        };
        if let Some(kind) = self.kind.filter(|kind| *kind != event.kind) {
            differ("kind", kind.to_string(), event.kind.to_string());
        }
        if let Some(rule) = self.rule.as_ref().filter(|rule| **rule != event.rule) {
            differ("rule", rule.clone(), event.rule.clone());
        }
        if let Some(wanted) = self.instance.as_ref().filter(|wanted| !is_instance(wanted, &event.instance)) {
            differ("instance", labels_text(wanted), labels_text(&event.instance));
        }
        if let Some((from, to)) = self.at.filter(|(from, to)| at < *from || at > *to) {
            differ("at", range_text(from, to), time_text(at));
        }
        if let Some(level) = self.level.filter(|level| *level != event.level) {
            differ("level", level.to_string(), event.level.to_string());
        }
        if let Some(previous) = self.previous.filter(|previous| Some(*previous) != event.previous) {
            let got = event.previous.map_or("none".to_owned(), |level| level.to_string());
            differ("previous", previous.to_string(), got);
        }
        if let Some(value) = self.value.filter(|value| !same_value(*value, event.value)) {
            differ("value", value_text(value), value_text(event.value));
        }
        if let Some(wanted) = self.message.as_ref().filter(|wanted| !wanted.matches(&event.message)) {
            differ("message", wanted.shown(), format!("{:?}", event.message));
        }
        let reason = event.reason.as_deref().unwrap_or_default();
        if let Some(wanted) = self.reason.as_ref().filter(|wanted| !wanted.matches(reason)) {
            differ("reason", wanted.shown(), format!("{reason:?}"));
        }
        if let Some(wanted) = self.suppressed_by.as_ref().filter(|wanted| **wanted != event.suppressed_by) {
            let shown = |by: &Option<String>| by.clone().unwrap_or_else(|| "none".to_owned());
            differ("suppressed_by", shown(wanted), shown(&event.suppressed_by));
        }
        for (what, wanted, got) in [
            ("stale", self.stale, event.marks.stale),
            ("flapping", self.flapping, event.marks.flapping),
            ("shadow", self.shadow, event.marks.shadow),
        ] {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
                differ(what, wanted.to_string(), got.to_string());
            }
        }
        found
    }

    /// Whether an event is the one.
    pub fn matches(&self, event: &Notification, at: Duration) -> bool {
        self.differences(event, at).is_empty()
    }

    /// Whether it is about the same as an event, though something else differs: then they are shown side by side.
    pub fn resembles(&self, event: &Notification) -> bool {
        self.kind.is_none_or(|kind| kind == event.kind)
            && self.rule.as_ref().is_none_or(|rule| *rule == event.rule)
            && self.instance.as_ref().is_none_or(|wanted| is_instance(wanted, &event.instance))
    }

    /// In one line, without its time.
    pub fn text(&self) -> String {
        let mut text = self.kind.map_or("any event".to_owned(), |kind| kind.to_string());
        let mut add = |part: String| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, " {part}");
        };
        self.level.into_iter().for_each(|level| add(level.to_string()));
        match (&self.rule, &self.instance) {
            (None, None) => {}
            (rule, instance) => {
                let labels = instance.as_deref().map(labels_text).unwrap_or_default();
                add(format!("{}{labels}", rule.as_deref().unwrap_or_default()));
            }
        }
        self.previous.into_iter().for_each(|level| add(format!("from {level}")));
        self.value.into_iter().for_each(|value| add(value_text(value)));
        self.message.iter().for_each(|wanted| add(wanted.shown()));
        self.reason.iter().for_each(|wanted| add(format!("because {}", wanted.shown())));
        if let Some(by) = &self.suppressed_by {
            add(by.as_ref().map_or("not muted".to_owned(), |by| format!("muted by {by}")));
        }
        for (name, wanted) in [("stale", self.stale), ("flapping", self.flapping), ("shadow", self.shadow)] {
            wanted.into_iter().for_each(|is| add(if is { name.to_owned() } else { format!("not {name}") }));
        }
        text
    }

    /// In one line, with its time where it has one.
    pub fn timed_text(&self) -> String {
        match self.at {
            Some((from, to)) => format!("{} {}", range_text(from, to), self.text()),
            None => self.text(),
        }
    }
}

/// An event in one line, without its time.
pub(crate) fn event_text(event: &Notification) -> String {
    let mut text = format!("{} {} {}", event.kind, event.level, event.rule);
    let mut add = |part: String| text.push_str(&part);
    if !event.instance.is_empty() {
        add(labels_text(&event.instance));
    }
    event.previous.into_iter().for_each(|level| add(format!(" from {level}")));
    event.value.into_iter().for_each(|value| add(format!(" {}", number_text(value))));
    add(format!(" {:?}", event.message));
    event.reason.iter().for_each(|reason| add(format!(" because {reason:?}")));
    event.suppressed_by.iter().for_each(|by| add(format!(" muted by {by}")));
    for (name, is) in
        [("stale", event.marks.stale), ("flapping", event.marks.flapping), ("shadow", event.marks.shadow)]
    {
        if is {
            add(format!(" {name}"));
        }
    }
    text
}

fn is_instance(wanted: &[(String, String)], got: &[(String, String)]) -> bool {
    match wanted {
        [] => got.is_empty(),
        wanted => wanted.iter().all(|label| got.contains(label)),
    }
}

fn same_value(wanted: Option<f64>, got: Option<f64>) -> bool {
    match (wanted, got) {
        (None, None) => true,
        (Some(wanted), Some(got)) => same_number(wanted, got),
        _ => false,
    }
}

fn value_text(value: Option<f64>) -> String {
    value.map_or("no value".to_owned(), number_text)
}

/// `{host="a"}`.
pub(crate) fn labels_text(labels: &[(String, String)]) -> String {
    let inner: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{{{}}}", inner.join(","))
}

/// A moment, from the start of the test: `1m10s`.
pub(crate) fn time_text(at: Duration) -> String {
    units::format_duration(at)
}

fn range_text(from: Duration, to: Duration) -> String {
    match from == to {
        true => time_text(from),
        false => format!("{}..{}", time_text(from), time_text(to)),
    }
}
