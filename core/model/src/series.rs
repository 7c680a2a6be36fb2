//! The identity of a series: a metric name and its labels, sorted by name.

use std::fmt;
use std::sync::Arc;

use crate::text;

/// The longest metric name, in bytes of UTF-8; the shortest is 1.
pub const METRIC_NAME_BYTES_MAX: usize = 255;
/// The longest label name, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 255;
/// The longest label value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1_024;
/// The most labels on one series.
pub const LABEL_COUNT_MAX: usize = 64;

/// Metric name and labels, kept in canonical form: the name, then for each label in order of its name 0x00, name,
/// 0x00, value. Cloning shares the bytes; equality, order and hash are those of the canonical bytes.
///
/// Names and values hold no control character, so 0x00 separates without escaping. A label with an empty value is
/// the same as no label, and is left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Arc<str>);

impl SeriesKey {
    /// A series without labels.
    ///
    /// # Errors
    /// [`KeyError`] if the name is empty, too long, or holds a control character.
    pub fn from_name(name: &str) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self(name.into()))
    }

    /// A series from its name and its labels in any order.
    ///
    /// # Errors
    /// [`KeyError`] tells which name or value cannot be used, and why.
    pub fn new<N, V>(name: &str, labels: impl IntoIterator<Item = (N, V)>) -> Result<Self, KeyError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        check_name(name)?;
        let mut labels: Vec<(N, V)> = labels.into_iter().filter(|(_, v)| !v.as_ref().is_empty()).collect();
        if labels.len() > LABEL_COUNT_MAX {
            return Err(KeyError::TooManyLabels { count: labels.len() });
        }
        labels.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let mut canonical = String::from(name);
        let mut previous: Option<&str> = None;
        for (label, value) in &labels {
            let (label, value) = (label.as_ref(), value.as_ref());
            check_label(label, value)?;
            if previous == Some(label) {
                return Err(KeyError::DuplicateLabel { label: label.to_owned() });
            }
            previous = Some(label);
            canonical.push('\0');
            canonical.push_str(label);
            canonical.push('\0');
            canonical.push_str(value);
        }
        Ok(Self(canonical.into()))
    }

    /// Reads the canonical bytes back, as a file holds them.
    ///
    /// # Errors
    /// [`KeyError::NotCanonical`] unless [`SeriesKey::canonical`] gives exactly these bytes again.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| KeyError::NotCanonical)?;
        let mut parts = text.split('\0');
        check_name(parts.next().unwrap_or_default())?;
        let mut before = "";
        let mut count = 0;
        while let Some(label) = parts.next() {
            let value = parts.next().ok_or(KeyError::NotCanonical)?;
            check_label(label, value)?;
            count += 1;
            if label <= before || value.is_empty() || count > LABEL_COUNT_MAX {
                return Err(KeyError::NotCanonical);
            }
            before = label;
        }
        Ok(Self(text.into()))
    }

    /// The canonical form; its bytes are what is hashed, compared and stored.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0
    }

    /// The metric name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('\0').next().unwrap_or_default()
    }

    /// The labels as (name, value), in order of their names.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split('\0').skip(1);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// The value of a label; "" when the series does not have it.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// Which of `queue_count` queues holds this series: crc32 of the canonical bytes, modulo the count.
    #[must_use]
    pub fn queue(&self, queue_count: u32) -> u32 {
        crc32fast::hash(self.0.as_bytes()) % queue_count.max(1)
    }
}

fn check_name(name: &str) -> Result<(), KeyError> {
    if name.is_empty() {
        return Err(KeyError::EmptyName);
    }
    if name.len() > METRIC_NAME_BYTES_MAX {
        return Err(KeyError::NameTooLong { bytes: name.len() });
    }
    match name.chars().any(char::is_control) {
        true => Err(KeyError::ControlCharacter { text: name.escape_debug().to_string() }),
        false => Ok(()),
    }
}

fn check_label(label: &str, value: &str) -> Result<(), KeyError> {
    if label.is_empty() {
        return Err(KeyError::EmptyLabelName);
    }
    if label.len() > LABEL_NAME_BYTES_MAX || value.len() > LABEL_VALUE_BYTES_MAX {
        return Err(KeyError::LabelTooLong { label: label.chars().take(40).collect() });
    }
    match label.chars().chain(value.chars()).any(char::is_control) {
        true => Err(KeyError::ControlCharacter { text: label.escape_debug().to_string() }),
        false => Ok(()),
    }
}

impl fmt::Display for SeriesKey {
    /// The text form, `cpu.load{env="prod",host="a"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_series(f, self.name(), self.labels())
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for SeriesKey {
    type Err = text::TextError;

    /// Reads the text form.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text::parse_series(text)
    }
}

/// Why a name or its labels cannot identify a series. Always the caller's fault; trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The metric name is empty.
    #[error("the metric name is empty")]
    EmptyName,
    /// The metric name is longer than [`METRIC_NAME_BYTES_MAX`].
    #[error("the metric name has {bytes} bytes, more than {METRIC_NAME_BYTES_MAX}")]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A name or value holds a control character.
    #[error("`{text}` holds a control character")]
    ControlCharacter {
        /// The text, escaped.
        text: String,
    },
    /// A label has no name.
    #[error("a label has an empty name")]
    EmptyLabelName,
    /// A label's name or value is too long.
    #[error(
        "label `{label}` is too long: at most {LABEL_NAME_BYTES_MAX} bytes of name and {LABEL_VALUE_BYTES_MAX} of value"
    )]
    LabelTooLong {
        /// The start of its name.
        label: String,
    },
    /// The same label is given twice.
    #[error("label `{label}` is given twice")]
    DuplicateLabel {
        /// Its name.
        label: String,
    },
    /// More than [`LABEL_COUNT_MAX`] labels.
    #[error("{count} labels, more than {LABEL_COUNT_MAX}")]
    TooManyLabels {
        /// How many there are.
        count: usize,
    },
    /// Stored bytes that no key would have produced.
    #[error("the bytes are not the canonical form of a series")]
    NotCanonical,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_empty_ones_left_out() {
        let key = SeriesKey::new("cpu.load", [("host", "a"), ("env", "prod"), ("rack", "")]).unwrap();
        assert_eq!(key.canonical(), "cpu.load\0env\0prod\0host\0a");
        assert_eq!(key.to_string(), r#"cpu.load{env="prod",host="a"}"#);
        assert_eq!((key.label("host"), key.label("rack")), ("a", ""));
        assert_eq!(SeriesKey::from_canonical(key.canonical().as_bytes()), Ok(key));
    }

    #[test]
    fn names_that_cannot_be_used_are_refused() {
        assert_eq!(SeriesKey::from_name(""), Err(KeyError::EmptyName));
        assert!(matches!(SeriesKey::from_name("a\0b"), Err(KeyError::ControlCharacter { .. })));
        assert!(matches!(SeriesKey::from_name(&"x".repeat(256)), Err(KeyError::NameTooLong { bytes: 256 })));
        assert!(
            SeriesKey::from_name("../x").is_ok(),
            "a name never becomes a path, so it needs no rule about them"
        );
        let twice = SeriesKey::new("m", [("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(KeyError::DuplicateLabel { label: "a".into() }));
        assert_eq!(SeriesKey::from_canonical(b"m\0b\x001\0a\x001"), Err(KeyError::NotCanonical));
    }

    #[test]
    fn the_queue_is_crc32_of_the_canonical_bytes() {
        // zlib.crc32(b"foo") % 64 and zlib.crc32(b"cpu\0host\0a") % 64, computed apart.
        assert_eq!(SeriesKey::from_name("foo").unwrap().queue(64), 0x8c73_6521_u32 % 64);
        let key = SeriesKey::new("cpu", [("host", "a")]).unwrap();
        assert_eq!(key.queue(64), crc32fast::hash(b"cpu\0host\0a") % 64);
    }
}
