//! JSON lines: one object per line, `{"name": "cpu.load", "labels": {"host": "a"}, "value": 1.5, "time": 1700000000}`.
//!
//! `metric` means the same as `name`, and `timestamp` the same as `time`. JSON has no NaN and no infinities, so they are
//! texts: `"NaN"`, `"+Inf"`, `"-Inf"`. Values of labels may be numbers and truths too; they are kept as they are written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use sereno_model::{SeriesKey, Timestamp};

use super::{Cache, LineError, Sample, cut, number, time};

/// Reads one line. A blank one says nothing.
pub(crate) fn read<T: Copy>(line: &[u8], series: &mut Cache<'_, T>) -> Result<Option<Sample<T>>, LineError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let object: Object<'_> =
        serde_json::from_slice(line).map_err(|error| LineError::Json(explain(&error)))?;
    let value = object.value.ok_or(LineError::NoValue)?.float()?;
    let time = object.time.map(|written| written.time()).transpose()?;
    let name = object.name.filter(|name| !name.0.is_empty()).ok_or(LineError::NoName)?;
    let labels = &object.labels.0;
    let pieces = labels.iter().flat_map(|(label, value)| [label.as_bytes(), value.as_bytes()]);
    let key = || Ok(SeriesKey::new(&name.0, labels.iter().map(|(label, value)| (label, value)))?);
    let series = series.get_pieces(std::iter::once(name.0.as_bytes()).chain(pieces), key)?;
    Ok(Some(Sample { series, time, value }))
}

/// A line is a line: its number is told elsewhere.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} at character {column}"),
        None => text,
    };
    cut(&text, super::MESSAGE_CHARS_MAX)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object like `{\"name\": \"foo\", \"value\": 1.5}`")]
struct Object<'a> {
    #[serde(borrow, alias = "metric")]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    labels: Labels<'a>,
    #[serde(borrow)]
    value: Option<Scalar<'a>>,
    #[serde(borrow, alias = "timestamp")]
    time: Option<Scalar<'a>>,
}

/// A text, borrowed from the line where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

/// A text or a number.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl Scalar<'_> {
    fn float(self) -> Result<f64, LineError> {
        match self {
            Self::Integer(number) => Ok(number as f64),
            Self::Float(number) => Ok(number),
            Self::Text(text) => number::float(text.as_bytes())
                .ok_or_else(|| LineError::Value(super::excerpt(text.as_bytes()))),
            Self::Bool(truth) => Err(LineError::Value(truth.to_string())),
        }
    }

    fn time(self) -> Result<Timestamp, LineError> {
        match self {
            Self::Text(text) => time(text.as_bytes()),
            other => time(other.into_text().as_bytes()),
        }
    }
}

impl<'a> Scalar<'a> {
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string().into(),
            Self::Float(number) => number.to_string().into(),
            Self::Bool(truth) => truth.to_string().into(),
        }
    }
}

#[derive(Default)]
struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalars;
        impl<'de> Visitor<'de> for Scalars {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Float(number))
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Bool(truth))
            }
        }
        deserializer.deserialize_any(Scalars)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Labels<'de>, E> {
                Ok(Labels::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
                let mut labels = Vec::new();
                while let Some((label, value)) = map.next_entry::<Text<'de>, Scalar<'de>>()? {
                    labels.push((label.0, value.into_text()));
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::testing::{Keys, told};

    fn line(text: &str) -> String {
        told(|series| read(text.as_bytes(), series))
    }

    #[test]
    fn a_line_is_an_object() {
        assert_eq!(line(r#"{"name": "foo", "value": 5}"#), "foo = 5");
        assert_eq!(
            line(
                r#"{"metric":"cpu","labels":{"host":"a\"b","code":500,"up":true},"value":-1.5,"timestamp":1700000000.5}"#
            ),
            r#"cpu{code="500",host="a\"b",up="true"} = -1.5 at 1700000000.5"#
        );
        assert_eq!(
            line(r#"{"name":"foo","value":"+Inf","labels":null,"time":"2017-07-14T02:40:00Z"}"#),
            "foo = inf at 1500000000"
        );
        assert_eq!(
            line(r#"{"name":"foo","value":"NaN","time":1700000000123456789}"#),
            "foo = NaN at 1700000000.123456789"
        );
        assert_eq!(line(r#"{"name":"foo","value":1,"time":null}"#), "foo = 1");
        assert_eq!(line(" \r"), "-");
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        let lines = [
            "foo 5",
            "[]",
            "{}",
            r#"{"name":"foo"}"#,
            r#"{"name":"","value":1}"#,
            r#"{"value":1}"#,
            r#"{"name":"foo","value":"x"}"#,
            r#"{"name":"foo","value":true}"#,
            r#"{"name":"foo","value":[1]}"#,
            r#"{"name":"foo","value":1,"time":"then"}"#,
            r#"{"name":"foo","value":1,"host":"a"}"#,
            r#"{"name":"foo","value":1,"labels":["a"]}"#,
            r#"{"name":"foo","value":1,"labels":{"a":"1","a":"2"}}"#,
            r#"{"name":"foo","value":1,"labels":{"a":{}}}"#,
            r#"{"name":"f\u0000o","value":1}"#,
            r#"{"name":"foo","value":1"#,
            r#"{"name":"foo","value":1} 2"#,
            r#"{"name":"foo","name":"bar","value":1}"#,
        ];
        insta::assert_snapshot!(lines.map(line).join("\n"), @r#"
        expected ident at character 2
        invalid length 0, expected an object like `{"name": "foo", "value": 1.5}` at character 2
        the value is missing
        the value is missing
        the name is missing
        the name is missing
        `x` is no number
        `true` is no number
        invalid type: sequence, expected a number or a text at character 23
        `then` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`
        unknown field `host`, expected one of `metric`, `name`, `labels`, `value`, `time`, `timestamp` at character 30
        invalid type: sequence, expected an object of labels at character 34
        label `a` is given twice
        invalid type: map, expected a number or a text at character 40
        `f\0o` holds a control character
        EOF while parsing an object at character 23
        trailing characters at character 26
        duplicate field `name` at character 20
        "#);
    }

    /// Pieces that read the same when they are put together are different series all the same.
    #[test]
    fn pieces_are_kept_apart() {
        let keys = Keys::default();
        let mut cache = keys.cache();
        let mut told = |line: &str| keys.told(read(line.as_bytes(), &mut cache));
        assert_eq!(told(r#"{"name":"ab","labels":{"c":"d"},"value":1}"#), r#"ab{c="d"} = 1"#);
        assert_eq!(told(r#"{"name":"a","labels":{"bc":"d"},"value":1}"#), r#"a{bc="d"} = 1"#);
        assert_eq!(told(r#"{"name":"a","labels":{"b":"cd"},"value":1}"#), r#"a{b="cd"} = 1"#);
        assert_eq!(told(r#"{"name":"abcd","value":1}"#), "abcd = 1");
    }

    proptest! {
        #[test]
        fn every_series_is_read_as_it_is_written(
            name in "[^\\p{Cc}]{1,20}",
            labels in proptest::collection::btree_map("[^\\p{Cc}]{1,8}", "[^\\p{Cc}]{0,8}", 0..4),
        ) {
            let line = serde_json::json!({ "name": name, "labels": labels, "value": 1 }).to_string();
            let keys = Keys::default();
            let sample = read(line.as_bytes(), &mut keys.cache()).unwrap().unwrap();
            prop_assert_eq!(keys.of(sample.series), SeriesKey::new(&name, &labels).unwrap());
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..60), near in "[{}\\[\\]\"a:,1\\\\u]{0,30}") {
            told(|series| read(&bytes, series));
            told(|series| read(near.as_bytes(), series));
        }
    }
}
