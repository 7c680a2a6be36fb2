//! A notification as one JSON object: the log file's line, documented in `EVENTS.md`.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use sereno_model::{Notification, Timestamp};

#[derive(Serialize)]
struct Event<'a> {
    tick: String,
    kind: &'static str,
    level: &'static str,
    rule: &'a str,
    #[serde(serialize_with = "as_map")]
    instance: &'a [(String, String)],
    value: Option<Number>,
    extreme: Option<Number>,
    message: &'a str,
    reason: Option<&'a str>,
    fired_at: String,
    generation: u64,
    event_id: &'a str,
}

/// One JSON object on one line, without the newline.
#[must_use]
pub fn to_json(notification: &Notification) -> String {
    let event = Event {
        tick: rfc3339(notification.tick),
        kind: notification.kind.as_str(),
        level: notification.level.as_str(),
        rule: &notification.rule,
        instance: &notification.instance,
        value: notification.value.map(Number),
        extreme: notification.extreme.map(Number),
        message: &notification.message,
        reason: notification.reason.as_deref(),
        fired_at: rfc3339(notification.fired_at),
        generation: notification.generation,
        event_id: &notification.event_id,
    };
    // Texts, numbers and one map of texts: there is nothing that could fail to become JSON.
    serde_json::to_string(&event).unwrap_or_default()
}

/// A number; JSON has no word for those that are not finite, so they become texts.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("+Inf"),
            _ => serializer.serialize_str("-Inf"),
        }
    }
}

fn as_map<S: Serializer>(labels: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(label, value)| (label, value)))
}

/// In UTC with milliseconds, or with nanoseconds where there are any. Times before 1970 are shown as 1970.
fn rfc3339(time: Timestamp) -> String {
    let since_epoch = Duration::from_nanos(u64::try_from(time.nanos()).unwrap_or(0));
    let time = UNIX_EPOCH + since_epoch;
    match since_epoch.subsec_nanos() % 1_000_000 {
        0 => humantime::format_rfc3339_millis(time).to_string(),
        _ => humantime::format_rfc3339_nanos(time).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_plugin::testkit;

    #[test]
    fn the_line_is_as_documented() {
        let documented = include_str!("../EVENTS.md");
        let line = to_json(&testkit::notification());
        assert!(documented.contains(&line), "EVENTS.md does not show {line}");
    }

    #[test]
    fn odd_values_and_texts_stay_one_line_of_json() {
        let odd = Notification {
            value: Some(f64::NAN),
            extreme: Some(f64::NEG_INFINITY),
            message: "two\nlines \"and\" a \u{1}".into(),
            tick: Timestamp::from_nanos(1),
            fired_at: Timestamp::MIN,
            ..testkit::notification()
        };
        let line = to_json(&odd);
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["value"], &read["extreme"]), (&"NaN".into(), &"-Inf".into()));
        assert_eq!(read["message"], odd.message);
        assert_eq!(read["tick"], "1970-01-01T00:00:00.000000001Z");
        assert_eq!(read["fired_at"], "1970-01-01T00:00:00.000Z");
    }
}
