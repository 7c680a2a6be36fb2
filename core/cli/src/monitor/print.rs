//! How notifications look.

use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::{Event, Position, Snapshot};

use super::args::Stream;
use crate::alerts::{self, Fields, labels, pairs};
use crate::console::{Color, Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Number, Time, line};
use crate::output::time;

pub(super) fn event(event: &Event, form: Stream, console: &mut Console) -> io::Result<()> {
    match form {
        Stream::Json => line(&mut console.out, &EventLine::of(event)),
        Stream::Plain => {
            let Event { tick, level, kind, rule, message, reason, .. } = event;
            let message = if message.is_empty() { reason } else { message };
            let message = format!("{message}{}", marks(event));
            plain(*tick, level, kind, rule, &message, console)
        }
    }
}

/// What else is to be known about it: ` (late, muted by rack_down)`.
fn marks(event: &Event) -> String {
    let muted = format!("muted by {}", event.suppressed_by);
    let marks = [
        (event.stale && event.kind != "stale", "stale"),
        (event.flapping && event.kind != "flapping", "flapping"),
        (event.shadow, "shadow"),
        (event.late, "late"),
        (event.undurable, "undurable"),
        (!event.suppressed_by.is_empty(), muted.as_str()),
    ];
    let said: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

/// The alerts that fired before.
pub(super) fn snapshot(snapshot: &Snapshot, form: Stream, console: &mut Console) -> io::Result<()> {
    let position = snapshot.position.as_ref().map(position);
    for alert in &snapshot.alerts {
        match form {
            Stream::Json => {
                let position = position.as_deref();
                let alert = Fields::of(alert);
                line(&mut console.out, &AlertLine { schema_version: SCHEMA_VERSION, position, alert })?;
            }
            Stream::Plain => {
                plain(alert.since, &alert.level, &alert.state, &alert.rule, &alert.message, console)?;
            }
        }
    }
    Ok(())
}

/// Who reads lines sees it on stderr; a program must see it in the stream.
pub(super) fn gap(missed: Option<u64>, form: Stream, console: &mut Console) -> io::Result<()> {
    match form {
        Stream::Json => {
            line(&mut console.out, &GapLine { schema_version: SCHEMA_VERSION, gap: Gap { missed } })
        }
        Stream::Plain => Ok(()),
    }
}

pub(super) fn position(position: &Position) -> String {
    let Position { epoch, sequence } = *position;
    sereno_model::Position { epoch, sequence }.to_string()
}

fn plain(
    at: i64,
    level: &str,
    kind: &str,
    rule: &str,
    message: &str,
    console: &mut Console,
) -> io::Result<()> {
    let (time, paint) = (time::exact(at), color(kind, level));
    let [level, kind, rule, message] = [level, kind, rule, message].map(printable);
    // Most messages begin with their rule.
    let message = match message.contains(&*rule) {
        true => message.into_owned(),
        false if message.is_empty() => rule.into_owned(),
        false => format!("{rule}: {message}"),
    };
    let what = format!("{level:<4} {kind:<11}");
    match console.color {
        true => writeln!(
            console.out,
            "{} {} {}",
            Color::Grey.paint(&time),
            paint.paint(&what),
            paint.paint(&message)
        ),
        false => writeln!(console.out, "{time} {what} {message}"),
    }
}

/// What is over is green; what goes on has the colour of its level.
fn color(kind: &str, level: &str) -> Color {
    match kind {
        "resolved" => Color::Green,
        "closed" => Color::Grey,
        _ => alerts::color(level),
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    schema_version: u32,
    position: Option<String>,
    at: Time,
    event_id: &'a str,
    kind: &'a str,
    level: &'a str,
    rule: &'a str,
    #[serde(serialize_with = "labels")]
    instance: Vec<(String, String)>,
    value: Option<Number>,
    extreme: Option<Number>,
    tick: Time,
    fired_at: Time,
    message: &'a str,
    reason: Option<&'a str>,
    generation: u64,
    #[serde(flatten)]
    more: More<'a>,
}

/// What many events do not have; it is left out then.
#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "is_nothing")]
    previous: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    episode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<Number>,
    #[serde(serialize_with = "labels", skip_serializing_if = "Vec::is_empty")]
    labels: Vec<(String, String)>,
    #[serde(skip_serializing_if = "is_nothing")]
    runbook: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    suppressed_by: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    stale: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    flapping: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    shadow: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    late: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    undurable: bool,
}

fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> More<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            previous: &event.previous,
            episode: event.episode,
            peak: event.peak.map(Number),
            peak_at: event.peak_at.map(Time),
            samples: event.samples.map(Number),
            labels: pairs(&event.labels),
            runbook: &event.runbook,
            suppressed_by: &event.suppressed_by,
            stale: event.stale,
            flapping: event.flapping,
            shadow: event.shadow,
            late: event.late,
            undurable: event.undurable,
        }
    }
}

impl<'a> EventLine<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            position: event.position.as_ref().map(position),
            at: Time(event.at),
            event_id: &event.event_id,
            kind: &event.kind,
            level: &event.level,
            rule: &event.rule,
            instance: pairs(&event.instance),
            value: event.value.map(Number),
            extreme: event.extreme.map(Number),
            tick: Time(event.tick),
            fired_at: Time(event.fired_at),
            message: &event.message,
            reason: Some(event.reason.as_str()).filter(|reason| !reason.is_empty()),
            generation: event.generation,
            more: More::of(event),
        }
    }
}

#[derive(Serialize)]
struct AlertLine<'a> {
    schema_version: u32,
    position: Option<&'a str>,
    alert: Fields<'a>,
}

#[derive(Serialize)]
struct GapLine {
    schema_version: u32,
    gap: Gap,
}

#[derive(Serialize)]
struct Gap {
    missed: Option<u64>,
}
