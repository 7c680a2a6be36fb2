//! Durations and sizes as people write them: `15s`, `1h30m`, `26h`, `30d`; `64KiB`, `512MiB`. A bare number has no
//! unit and is refused, except zero.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

/// Reads a duration with its unit.
///
/// # Errors
/// What is wrong with it, for the end of a sentence that names the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match text.trim() {
        "0" => Ok(Duration::ZERO),
        text if text.parse::<f64>().is_ok() => {
            Err(format!("a duration needs a unit: `{text}s`, `{text}m`, …"))
        }
        text => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// Prints a duration as [`parse_duration`] reads it: `1h30m`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// For `#[serde(with = "sereno_runtime::units::duration")]` on a [`Duration`].
pub mod duration {
    use super::*;

    /// Reads a duration with its unit.
    ///
    /// # Errors
    /// If the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Scalar::deserialize(deserializer)?.0;
        parse_duration(&text).map_err(|why| {
            D::Error::invalid_value(Unexpected::Str(&text), &format!("a duration ({why})").as_str())
        })
    }
}

/// For `#[serde(with = "sereno_runtime::units::bytes")]` on a `u64` of bytes.
pub mod bytes {
    use super::*;

    /// Reads a size with its unit.
    ///
    /// # Errors
    /// If the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = Scalar::deserialize(deserializer)?.0;
        let hint = "a size with its unit, like `64MiB`";
        match text.parse::<f64>() {
            Ok(number) if number != 0.0 => Err(D::Error::invalid_value(Unexpected::Str(&text), &hint)),
            _ => text
                .parse::<bytesize::ByteSize>()
                .map(|size| size.as_u64())
                .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &hint)),
        }
    }
}

/// A text, or a number that YAML read where a text with a unit was meant.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number with its unit")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("26h"), Ok(Duration::from_secs(93_600)));
        assert_eq!(parse_duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("15"), Err("a duration needs a unit: `15s`, `15m`, …".into()));
        assert_eq!(format_duration(Duration::from_millis(61_500)), "1m1s500ms");
    }

    #[test]
    fn a_size_needs_a_unit() {
        #[derive(Deserialize, Debug)]
        struct Config {
            #[serde(with = "bytes")]
            size: u64,
        }
        let read = |text: &str| serde_yaml::from_str::<Config>(text).map(|config| config.size);
        assert_eq!(read("size: 64MiB").unwrap(), 64 << 20);
        assert!(read("size: 64").unwrap_err().to_string().contains("a size with its unit"));
    }
}
