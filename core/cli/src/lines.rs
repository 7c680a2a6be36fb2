//! Samples out of lines: what is read from bytes, and nothing about where they come from or go.
//!
//! Every reader is a plain function from one line to a sample or to what is wrong with it. None panics, whatever the
//! bytes are, and one bad line spoils no other. A line of a known series allocates nothing, but for labels in JSON: a
//! [`Cache`] knows the series by the bytes in which it was written. With two labels, a line of text costs 85 ns, one of CSV
//! 130 ns and one of JSON 500 ns.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod text;

use hashbrown::HashMap;
use sereno_model::{KeyError, SeriesKey, TextError, Timestamp};

use crate::parse;

/// What a line says. `time` is `None` when the line says none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample<T> {
    pub(crate) series: T,
    pub(crate) time: Option<Timestamp>,
    pub(crate) value: f64,
}

/// What is wrong with a line. What it quotes of the line is short, and without what steers a terminal.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is longer than {} KiB", super::blocks::LINE_BYTES_MAX / 1024)]
    TooLong,
    #[error("the value is missing")]
    NoValue,
    #[error("the name is missing")]
    NoName,
    #[error("`{0}` is no number")]
    Value(String),
    #[error("`{0}` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`")]
    Time(String),
    #[error("`{0}` is too much: a line is a series, a value and perhaps a time")]
    Trailing(String),
    #[error("{found} fields, but the header has {wanted}")]
    FieldCount { found: usize, wanted: usize },
    #[error("a quote is not closed")]
    OpenQuote,
    /// Nothing below it can be read.
    #[error("the header of the CSV is none: {0}")]
    Header(String),
    #[error("{0}")]
    Json(String),
    #[error("{}", printable_excerpt(&.0.to_string()))]
    Text(#[from] TextError),
    #[error("{}", printable_excerpt(&.0.to_string()))]
    Key(#[from] KeyError),
}

/// How samples are written in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// What the name of the file or the first line says
    #[default]
    Auto,
    /// `name{label="v"} value [time]`; blank lines and lines that begin with `#` say nothing
    Text,
    /// A header with the columns `name`, `value` and perhaps `time`; all others are labels
    Csv,
    /// An object per line: `{"name": "…", "labels": {…}, "value": 1.5, "time": …}`
    Jsonl,
}

/// The lines of one stream, all in one format.
pub(crate) struct Reader(State);

enum State {
    Auto,
    Text,
    Header,
    Csv(Box<csv::Table>),
    Jsonl,
}

impl Reader {
    pub(crate) const fn new(format: Format) -> Self {
        Self(match format {
            Format::Auto => State::Auto,
            Format::Text => State::Text,
            Format::Csv => State::Header,
            Format::Jsonl => State::Jsonl,
        })
    }

    /// Reads the next line, without its end; `None` if it says nothing. After [`LineError::Header`] no other line can be
    /// read.
    pub(crate) fn read<T: Copy>(
        &mut self,
        line: &[u8],
        series: &mut Cache<'_, T>,
    ) -> Result<Option<Sample<T>>, LineError> {
        match &mut self.0 {
            State::Text => text::read(line, series),
            State::Csv(table) => table.read(line, series),
            State::Jsonl => json::read(line, series),
            State::Auto | State::Header if line.trim_ascii().is_empty() => Ok(None),
            State::Auto if line.trim_ascii().starts_with(b"#") => Ok(None),
            State::Auto => {
                self.0 = guess(line);
                self.read(line, series)
            }
            State::Header => {
                self.0 = State::Csv(Box::new(csv::Table::of_header(line).map_err(LineError::Header)?));
                Ok(None)
            }
        }
    }
}

/// The format of a stream that begins with `line`.
fn guess(line: &[u8]) -> State {
    let line = line.trim_ascii();
    if is_object(line) {
        State::Jsonl
    } else if csv::Table::of_header(line).is_ok() {
        State::Header
    } else {
        State::Text
    }
}

/// Whether an object begins: a quoted name in braces, `{"odd name"}`, begins a series.
fn is_object(line: &[u8]) -> bool {
    let Some(inside) = line.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    let Some(quoted) = inside.strip_prefix(b"\"") else { return inside.starts_with(b"}") };
    let end = quoted.iter().position(|byte| *byte == b'"');
    end.is_some_and(|end| quoted[end + 1..].trim_ascii_start().starts_with(b":"))
}

/// The longest excerpt, in characters.
const EXCERPT_CHARS_MAX: usize = 40;
/// The longest message about a series.
const MESSAGE_CHARS_MAX: usize = 160;

/// The start of `bytes`, for a message.
fn excerpt(bytes: &[u8]) -> String {
    // No character takes more than four bytes.
    let start = &bytes[..bytes.len().min(4 * EXCERPT_CHARS_MAX)];
    cut(&String::from_utf8_lossy(start), EXCERPT_CHARS_MAX)
}

fn printable_excerpt(text: &str) -> String {
    cut(text, MESSAGE_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    let text = crate::console::printable(text);
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// A time as a line may hold it.
fn time(text: &[u8]) -> Result<Timestamp, LineError> {
    let rfc3339 = || parse::rfc3339(std::str::from_utf8(text).ok()?);
    number::unix_time(text).or_else(rfc3339).ok_or_else(|| LineError::Time(excerpt(text)))
}

/// Series by the bytes in which they are written, so that only the first line of a series is read as text. `learn` gives
/// a key the short form that samples carry.
pub(crate) struct Cache<'a, T> {
    known: HashMap<Box<[u8]>, T>,
    bytes: usize,
    learn: Box<dyn FnMut(&SeriesKey) -> T + 'a>,
    /// Where a reader puts a series together, when it is written in pieces.
    scratch: Vec<u8>,
}

/// When what is known takes more, it is forgotten: a stream of ever new series must not take all memory.
const CACHE_BYTES_MAX: usize = 256 << 20;

impl<'a, T: Copy> Cache<'a, T> {
    pub(crate) fn new(learn: impl FnMut(&SeriesKey) -> T + 'a) -> Self {
        Self { known: HashMap::new(), bytes: 0, learn: Box::new(learn), scratch: Vec::new() }
    }

    /// What is known goes for one stream: a row of a CSV means what the header above it says.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }

    /// The series that is written as `raw`; `key` reads it where it is new.
    fn get(
        &mut self,
        raw: &[u8],
        key: impl FnOnce() -> Result<SeriesKey, LineError>,
    ) -> Result<T, LineError> {
        if let Some(series) = self.known.get(raw) {
            return Ok(*series);
        }
        let series = (self.learn)(&key()?);
        if self.bytes > CACHE_BYTES_MAX {
            self.forget();
        }
        self.bytes += raw.len() + size_of::<(Box<[u8]>, T)>();
        self.known.insert(raw.into(), series);
        Ok(series)
    }

    /// As [`Cache::get`], for a series that is written in pieces.
    fn get_pieces<'b>(
        &mut self,
        pieces: impl Iterator<Item = &'b [u8]>,
        key: impl FnOnce() -> Result<SeriesKey, LineError>,
    ) -> Result<T, LineError> {
        let mut raw = std::mem::take(&mut self.scratch);
        raw.clear();
        for piece in pieces {
            // The length keeps the pieces apart, whatever bytes they are made of.
            raw.extend_from_slice(&piece.len().to_le_bytes());
            raw.extend_from_slice(piece);
        }
        let series = self.get(&raw, key);
        self.scratch = raw;
        series
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Keys, told};
    use super::*;

    #[test]
    fn the_first_line_that_says_something_tells_the_format() {
        let read = |lines: &[&str]| {
            let mut reader = Reader::new(Format::Auto);
            let keys = Keys::default();
            let mut cache = keys.cache();
            let mut read = |line: &&str| keys.told(reader.read(line.as_bytes(), &mut cache));
            lines.iter().map(&mut read).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            read(&["", "# numbers", "foo 5", "foo,5"]),
            "-, -, foo = 5, expected `{` or the end at character 4 of `foo,5`"
        );
        assert_eq!(
            read(&["name,value,host", "foo,5,a", "foo 5"]),
            r#"-, foo{host="a"} = 5, 1 fields, but the header has 3"#
        );
        assert_eq!(
            read(&[r#"{ "name": "foo", "value": 5 }"#, r#"{"value":1,"metric":"bar"}"#]),
            "foo = 5, bar = 1"
        );
        assert_eq!(
            read(&[r#"{"odd{name"} 5"#, r#"{"odd name",a="1"} 6"#]),
            r#"{"odd{name"} = 5, {"odd name",a="1"} = 6"#
        );
    }

    #[test]
    fn without_a_header_nothing_is_read() {
        let mut reader = Reader::new(Format::Csv);
        let line = "foo,5,a";
        let read = told(|series| reader.read(line.as_bytes(), series));
        assert_eq!(read, "the header of the CSV is none: no column is called `name` or `metric`");
    }
}

#[cfg(test)]
mod testing {
    use super::*;
    use std::cell::RefCell;

    /// The series of a test, by number.
    #[derive(Default)]
    pub(super) struct Keys(RefCell<Vec<SeriesKey>>);

    impl Keys {
        pub(super) fn cache(&self) -> Cache<'_, usize> {
            Cache::new(|key| {
                self.0.borrow_mut().push(key.clone());
                self.0.borrow().len() - 1
            })
        }

        pub(super) fn of(&self, series: usize) -> SeriesKey {
            self.0.borrow()[series].clone()
        }

        /// What a reader made of a line, in words.
        pub(super) fn told(&self, line: Result<Option<Sample<usize>>, LineError>) -> String {
            match line {
                Ok(None) => "-".to_owned(),
                Ok(Some(Sample { series, time, value })) => {
                    let time = time.map(|time| format!(" at {time}")).unwrap_or_default();
                    format!("{} = {value}{time}", self.of(series))
                }
                Err(error) => error.to_string(),
            }
        }
    }

    /// What a reader made of a line, in words. It is read twice, and the second time the series is known.
    pub(super) fn told(
        mut read: impl FnMut(&mut Cache<'_, usize>) -> Result<Option<Sample<usize>>, LineError>,
    ) -> String {
        let keys = Keys::default();
        let mut cache = keys.cache();
        let [first, again] = [read(&mut cache), read(&mut cache)].map(|line| keys.told(line));
        assert_eq!(first, again);
        assert!(keys.0.borrow().len() <= 1, "a known series is learned again");
        first
    }
}
