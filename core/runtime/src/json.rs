//! The forms that values have in JSON, wherever JSON is written: events, reports of tools.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sereno_model::Timestamp;

/// Labels by their names.
pub type LabelMap = BTreeMap<String, String>;

/// Labels as an object.
#[must_use]
pub fn label_map(labels: &[(String, String)]) -> LabelMap {
    labels.iter().cloned().collect()
}

/// A time: RFC 3339 in UTC, with milliseconds, or with nanoseconds where there are any. Times before 1970 are shown as
/// 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

/// A duration, as seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

/// A number; one that is not finite is a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Number(pub f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = Duration::from_nanos(u64::try_from(self.0.nanos()).unwrap_or(0));
        let time = UNIX_EPOCH + since_epoch;
        match since_epoch.subsec_nanos() % 1_000_000 {
            0 => humantime::format_rfc3339_millis(time).fmt(f),
            _ => humantime::format_rfc3339_nanos(time).fmt(f),
        }
    }
}

impl Time {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since_epoch.as_nanos()).ok().map(Timestamp::from_nanos).map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format_args!("`{text}` is not a time")))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map(Self).map_err(de::Error::custom)
    }
}

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

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = match value.as_str() {
            None => value.as_f64(),
            Some("NaN") => Some(f64::NAN),
            Some("+Inf") => Some(f64::INFINITY),
            Some("-Inf") => Some(f64::NEG_INFINITY),
            Some(_) => None,
        };
        number.map(Self).ok_or_else(|| de::Error::custom("neither a number nor the text of one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        for nanos in [0, 1, 1_767_225_615_000_000_000, 1_767_225_615_002_000_007] {
            let time = Time(Timestamp::from_nanos(nanos));
            let text = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time, "{text}");
        }
        for (number, text) in
            [(0.1, "0.1"), (3.0, "3.0"), (f64::INFINITY, "\"+Inf\""), (f64::NEG_INFINITY, "\"-Inf\"")]
        {
            assert_eq!(serde_json::to_string(&Number(number)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Number>(text).unwrap(), Number(number));
        }
        assert!(serde_json::from_str::<Number>("\"NaN\"").unwrap().0.is_nan());
        assert!(serde_json::from_str::<Number>("\"x\"").is_err());
        let span = Seconds(Duration::from_millis(1_500));
        assert_eq!(serde_json::to_string(&span).unwrap(), "1.5");
        assert_eq!(serde_json::from_str::<Seconds>("1.5").unwrap(), span);
        assert!(
            serde_json::from_str::<Seconds>("-1").is_err() && serde_json::from_str::<Time>("\"x\"").is_err()
        );
    }
}
