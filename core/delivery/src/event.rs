//! A notification as one JSON object: the log file's line, documented in `EVENTS.md`, written and read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use sereno_model::{Level, Marks, Notification};
use sereno_runtime::json::{Number, Time};

use crate::sequenced::Sequenced;

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field of the line")]
struct Event<'a> {
    tick: Time,
    kind: &'static str,
    level: &'static str,
    rule: &'a str,
    #[serde(serialize_with = "as_map")]
    instance: &'a [(String, String)],
    value: Option<Number>,
    extreme: Option<Number>,
    message: &'a str,
    reason: Option<&'a str>,
    fired_at: Time,
    generation: u64,
    event_id: &'a str,
    position: String,
    at: Time,
    previous: Option<&'static str>,
    peak: Option<Number>,
    peak_at: Option<Time>,
    samples: Option<Number>,
    episode: u64,
    #[serde(serialize_with = "as_map")]
    labels: &'a [(String, String)],
    runbook: Option<&'a str>,
    suppressed_by: Option<&'a str>,
    stale: bool,
    flapping: bool,
    shadow: bool,
    late: bool,
    undurable: bool,
}

/// One JSON object on one line, without the newline.
#[must_use]
pub fn to_json(event: &Sequenced) -> String {
    let Sequenced { position, at, notification } = event;
    let event = Event {
        tick: Time(notification.tick),
        kind: notification.kind.as_str(),
        level: notification.level.as_str(),
        rule: &notification.rule,
        instance: &notification.instance,
        value: notification.value.map(Number),
        extreme: notification.extreme.map(Number),
        message: &notification.message,
        reason: notification.reason.as_deref(),
        fired_at: Time(notification.fired_at),
        generation: notification.generation,
        event_id: &notification.event_id,
        position: position.to_string(),
        at: Time(*at),
        previous: notification.previous.map(Level::as_str),
        peak: notification.peak.map(|(value, _)| Number(value)),
        peak_at: notification.peak.map(|(_, tick)| Time(tick)),
        samples: notification.samples.map(Number),
        episode: notification.episode,
        labels: &notification.labels,
        runbook: notification.runbook.as_deref(),
        suppressed_by: notification.suppressed_by.as_deref(),
        stale: notification.marks.stale,
        flapping: notification.marks.flapping,
        shadow: notification.marks.shadow,
        late: notification.marks.late,
        undurable: notification.marks.undurable,
    };
    // Texts, numbers and one map of texts: there is nothing that could fail to become JSON.
    serde_json::to_string(&event).unwrap_or_default()
}

fn as_map<S: Serializer>(labels: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(label, value)| (label, value)))
}

/// What is read of a line. Fields that later versions add are no mistake.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field of the line")]
struct Line {
    tick: Time,
    kind: String,
    level: String,
    rule: String,
    instance: BTreeMap<String, String>,
    value: Option<Number>,
    extreme: Option<Number>,
    message: String,
    reason: Option<String>,
    fired_at: Time,
    generation: u64,
    event_id: String,
    position: Option<String>,
    at: Option<Time>,
    // Lines that were written before there were these are read all the same.
    #[serde(default)]
    previous: Option<String>,
    #[serde(default)]
    peak: Option<Number>,
    #[serde(default)]
    peak_at: Option<Time>,
    #[serde(default)]
    samples: Option<Number>,
    #[serde(default)]
    episode: u64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    runbook: Option<String>,
    #[serde(default)]
    suppressed_by: Option<String>,
    #[serde(default)]
    stale: bool,
    #[serde(default)]
    flapping: bool,
    #[serde(default)]
    shadow: bool,
    #[serde(default)]
    late: bool,
    #[serde(default)]
    undurable: bool,
}

/// What a line of the log says.
pub(crate) enum Read {
    /// A notification and its place.
    Event(Sequenced),
    /// One that was written before there were positions.
    WithoutPosition,
    /// A torn or foreign line.
    Unreadable,
}

/// Reads a line of the log, without its newline.
pub(crate) fn from_json(line: &[u8]) -> Read {
    match serde_json::from_slice::<Line>(line) {
        Ok(Line { position: None, .. }) => Read::WithoutPosition,
        Ok(line) => line.event().map_or(Read::Unreadable, Read::Event),
        Err(_) => Read::Unreadable,
    }
}

impl Line {
    fn event(self) -> Option<Sequenced> {
        let tick = self.tick.0;
        let notification = Notification {
            event_id: self.event_id,
            kind: self.kind.parse().ok()?,
            rule: self.rule,
            instance: self.instance.into_iter().collect(),
            level: self.level.parse().ok()?,
            value: self.value.map(|value| value.0),
            extreme: self.extreme.map(|extreme| extreme.0),
            tick,
            previous: self.previous.and_then(|level| level.parse().ok()),
            peak: self.peak.zip(self.peak_at).map(|(peak, at)| (peak.0, at.0)),
            samples: self.samples.map(|samples| samples.0),
            episode: self.episode,
            labels: self.labels.into_iter().collect(),
            runbook: self.runbook,
            suppressed_by: self.suppressed_by,
            marks: Marks {
                stale: self.stale,
                flapping: self.flapping,
                shadow: self.shadow,
                late: self.late,
                undurable: self.undurable,
            },
            fired_at: self.fired_at.0,
            message: self.message,
            reason: self.reason,
            generation: self.generation,
        };
        let at = self.at.map_or(tick, |at| at.0);
        Some(Sequenced { position: self.position?.parse().ok()?, at, notification: Arc::new(notification) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use sereno_model::{EventKind, Level, Position, Timestamp};
    use sereno_plugin::testkit;

    /// The notification of the documentation, at a place of its own.
    pub(crate) fn sequenced(notification: Notification, sequence: u64) -> Sequenced {
        let position = Position { epoch: 1_767_225_600_000, sequence };
        let at = Timestamp::from_millis(1_767_225_615_002);
        Sequenced { position, at, notification: Arc::new(notification) }
    }

    #[test]
    fn the_line_is_as_documented() {
        let documented = include_str!("../EVENTS.md");
        let line = to_json(&sequenced(testkit::notification(), 1));
        assert!(documented.contains(&line), "EVENTS.md does not show {line}");
    }

    #[test]
    fn odd_values_and_texts_stay_one_line_of_json() {
        let odd = Notification {
            value: Some(f64::NAN),
            extreme: Some(f64::NEG_INFINITY),
            message: "two\nlines \"and\" a \u{1}".into(),
            tick: Timestamp::from_nanos(1),
            previous: None,
            peak: None,
            samples: None,
            episode: 1,
            labels: Vec::new(),
            runbook: None,
            suppressed_by: None,
            marks: Marks::default(),
            fired_at: Timestamp::MIN,
            ..testkit::notification()
        };
        let line = to_json(&sequenced(odd.clone(), 1));
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["value"], &read["extreme"]), (&"NaN".into(), &"-Inf".into()));
        assert_eq!(read["message"], odd.message);
        assert_eq!(read["tick"], "1970-01-01T00:00:00.000000001Z");
        assert_eq!(read["fired_at"], "1970-01-01T00:00:00.000Z");
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (0..=i64::MAX).prop_map(Timestamp::from_nanos)
    }

    fn any_sequenced() -> impl Strategy<Value = Sequenced> {
        let kind = proptest::sample::select(&EventKind::ALL[..]);
        let level = proptest::sample::select(vec![Level::Info, Level::Warn, Level::Crit]);
        let value =
            proptest::option::of(any::<f64>().prop_filter("NaN equals nothing", |value| !value.is_nan()));
        let labels = proptest::collection::btree_map(".{1,5}", ".*", 0..4);
        let texts = (".*", ".*", ".*", proptest::option::of(".*"));
        let told = (kind, level.clone(), value.clone(), value.clone(), labels.clone(), texts, any::<u64>());
        let peak = proptest::option::of((any::<f64>(), time()).prop_filter("NaN", |peak| !peak.0.is_nan()));
        let more = (proptest::option::of(level), peak, value, any::<u64>(), labels);
        let texts = (proptest::option::of(".*"), proptest::option::of(".*"));
        let more = (more, texts, any::<[bool; 5]>());
        (told, more, time(), time(), time(), any::<(u64, u64)>()).prop_map(
            |(told, more, tick, fired_at, at, (epoch, sequence))| {
                let ((previous, peak, samples, episode, labels), (runbook, suppressed_by), marks) = more;
                let [stale, flapping, shadow, late, undurable] = marks;
                let attributes = labels.into_iter().collect();
                let (kind, level, value, extreme, labels, (event_id, rule, message, reason), generation) =
                    told;
                let instance = labels.into_iter().collect();
                let notification = Notification {
                    event_id,
                    kind,
                    rule,
                    instance,
                    level,
                    value,
                    extreme,
                    tick,
                    previous,
                    peak,
                    samples,
                    episode,
                    labels: attributes,
                    runbook,
                    suppressed_by,
                    marks: Marks { stale, flapping, shadow, late, undurable },
                    fired_at,
                    message,
                    reason,
                    generation,
                };
                Sequenced { position: Position { epoch, sequence }, at, notification: Arc::new(notification) }
            },
        )
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(event in any_sequenced()) {
            let line = to_json(&event);
            let Read::Event(read) = from_json(line.as_bytes()) else {
                return Err(TestCaseError::fail(format!("{line} cannot be read")));
            };
            prop_assert_eq!(read, event);
        }

        #[test]
        fn a_torn_line_is_no_event(event in any_sequenced(), kept in 0.0..1.0_f64) {
            let line = to_json(&event);
            let torn = &line.as_bytes()[..(line.len() as f64 * kept) as usize];
            prop_assert!(matches!(from_json(torn), Read::Unreadable));
        }
    }

    #[test]
    fn lines_of_other_versions_are_told_apart() {
        let line = to_json(&sequenced(testkit::notification(), 1));
        let kind = |line: &str| match from_json(line.as_bytes()) {
            Read::Event(event) => event.at.to_string(),
            Read::WithoutPosition => "without".into(),
            Read::Unreadable => "unreadable".into(),
        };
        let (tail, at) = (r#","position":"1767225600000-1""#, r#","at":"2026-01-01T00:00:15.002Z""#);
        assert_eq!(kind(&line), "1767225615.002");
        assert_eq!(kind(&line.replace(tail, "").replace(at, "")), "without");
        assert_eq!(kind(&line.replace(at, "")), "1767225615", "the tick stands in");
        assert_eq!(kind(&format!(r#"{},"later":[1]}}"#, line.trim_end_matches('}'))), "1767225615.002");
        let first = &line[..line.find(r#","previous""#).unwrap_or(0)];
        assert_eq!(kind(&format!("{first}}}")), "1767225615.002", "as it was written at first");
        for (from, to) in
            [("firing", "burning"), ("crit", "red"), ("97.5", "\"97.5\""), ("2026-", "26-"), ("-1\"", "-x\"")]
        {
            assert_eq!(kind(&line.replacen(from, to, 1)), "unreadable", "{to}");
        }
    }
}
