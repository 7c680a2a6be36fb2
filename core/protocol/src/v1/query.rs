//! Asking for aggregates: one [`Query`] there, one [`QueryPartialResponse`] per window back.

use sereno_model::Timestamp;

use super::error::{Field, FormatError};
use super::{AGGREGATION_BYTES_MAX, IDENTIFIER_BYTES_MAX, QUERY_BYTES, QUERY_PARTIAL_RESPONSE_BYTES, Status};
use super::{decode_bool, decode_time, encode_time, field, pstr};

// Where each field begins.
const AGGREGATION: usize = IDENTIFIER_BYTES_MAX + 1;
const WINDOW: usize = AGGREGATION + AGGREGATION_BYTES_MAX + 1;
const START: usize = WINDOW + 8;
const END: usize = START + 8;

/// What to aggregate, how, and over which period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query<'a> {
    identifier: &'a str,
    aggregation: &'a str,
    window_secs: f64,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl<'a> Query<'a> {
    /// A query over all time; [`Self::between`] narrows it. `window_secs` is finite and at least 0; 0 asks for the
    /// values themselves, in time order.
    ///
    /// # Errors
    /// If a name is too long or holds a control character, the id is empty, or the window means nothing.
    pub fn new(identifier: &'a str, aggregation: &'a str, window_secs: f64) -> Result<Self, FormatError> {
        pstr::check_identifier(identifier)?;
        pstr::check_name(Field::Aggregation, aggregation, AGGREGATION_BYTES_MAX)?;
        match window_secs.is_finite() && window_secs >= 0.0 {
            true => Ok(Self { identifier, aggregation, window_secs, start: None, end: None }),
            false => Err(FormatError::Window { secs: window_secs }),
        }
    }

    /// The same over `[start, end]`, both inclusive. `None`, the epoch's first microsecond and what lies before it are
    /// no bound.
    #[must_use]
    pub fn between(self, start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        let bound = |time: Option<Timestamp>| time.filter(|time| time.nanos() >= 1_000);
        Self { start: bound(start), end: bound(end), ..self }
    }

    /// The metric id: 1 to [`IDENTIFIER_BYTES_MAX`] bytes, no control characters.
    #[must_use]
    pub const fn identifier(&self) -> &'a str {
        self.identifier
    }

    /// The name of the aggregation, at most [`AGGREGATION_BYTES_MAX`] bytes; may be empty, and says nothing when the
    /// window is 0.
    #[must_use]
    pub const fn aggregation(&self) -> &'a str {
        self.aggregation
    }

    /// The window in seconds, finite and at least 0; 0 asks for the values themselves.
    #[must_use]
    pub const fn window_secs(&self) -> f64 {
        self.window_secs
    }

    /// The first instant of the period; `None` when it has no start.
    #[must_use]
    pub const fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// The last instant of the period, inclusive; `None` when it has no end.
    #[must_use]
    pub const fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// The record. Times keep microseconds, which is what a float of Unix seconds can tell.
    #[must_use]
    pub fn encode(&self) -> [u8; QUERY_BYTES] {
        let bound = |time: Option<Timestamp>| encode_time(time.unwrap_or_default());
        let mut record = [0; QUERY_BYTES];
        record[..AGGREGATION].copy_from_slice(&pstr::encode::<AGGREGATION>(self.identifier));
        record[AGGREGATION..WINDOW]
            .copy_from_slice(&pstr::encode::<{ WINDOW - AGGREGATION }>(self.aggregation));
        record[WINDOW..START].copy_from_slice(&self.window_secs.to_be_bytes());
        record[START..END].copy_from_slice(&bound(self.start));
        record[END..].copy_from_slice(&bound(self.end));
        record
    }

    /// Reads the record; allocates nothing.
    ///
    /// # Errors
    /// What [`Self::new`] refuses, texts that are not UTF-8 or say to be longer than their field, and times that are
    /// not a number.
    pub fn decode(record: &'a [u8; QUERY_BYTES]) -> Result<Self, FormatError> {
        let window_secs = f64::from_be_bytes(*field(record, WINDOW));
        let query = Self::new(
            pstr::decode::<AGGREGATION>(Field::Identifier, field(record, 0))?,
            pstr::decode::<{ WINDOW - AGGREGATION }>(Field::Aggregation, field(record, AGGREGATION))?,
            window_secs,
        )?;
        let time = |name, at| decode_time(name, f64::from_be_bytes(*field(record, at))).map(Some);
        Ok(query.between(time(Field::Start, START)?, time(Field::End, END)?))
    }
}

/// One window of the answer to a [`Query`], or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryPartialResponse {
    /// How it went; the value means something with [`Status::Ok`] alone.
    pub status: Status,
    /// The aggregate of the window, or the value itself when the window is 0.
    pub value: f32,
    /// Whether the server closes after this one.
    pub last: bool,
}

impl QueryPartialResponse {
    /// The only response of a query that has no values to tell.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self { status, value: 0.0, last: true }
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> [u8; QUERY_PARTIAL_RESPONSE_BYTES] {
        let [s0, s1] = self.status.encode();
        let [v0, v1, v2, v3] = self.value.to_be_bytes();
        [s0, s1, v0, v1, v2, v3, u8::from(self.last)]
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`FormatError::Status`] or [`FormatError::Bool`].
    pub fn decode(record: &[u8; QUERY_PARTIAL_RESPONSE_BYTES]) -> Result<Self, FormatError> {
        let [s0, s1, v0, v1, v2, v3, last] = *record;
        Ok(Self {
            status: Status::decode([s0, s1])?,
            value: f32::from_be_bytes([v0, v1, v2, v3]),
            last: decode_bool(Field::Last, last)?,
        })
    }
}
