//! Version 1, the original binary protocol: records of fixed size, big-endian, one intention per connection.
//!
//! Records borrow their texts from the bytes they were read from, so that decoding allocates nothing. Whoever splits
//! a read buffer into records uses `buffer.as_chunks::<METRIC_BYTES>()`.

mod error;
mod metric;
mod notification;
mod pstr;
mod query;

pub use error::{Field, FormatError};
pub use metric::{Metric, MetricResponse};
pub use notification::NotificationResponse;
pub use query::{Query, QueryPartialResponse};

use sereno_model::Timestamp;

/// The size of an [`Intention`].
pub const INTENTION_BYTES: usize = 4;
/// The size of a [`Status`] inside a record.
pub const STATUS_BYTES: usize = 2;
/// The size of a [`Metric`].
pub const METRIC_BYTES: usize = 32;
/// The size of a [`MetricResponse`].
pub const METRIC_RESPONSE_BYTES: usize = STATUS_BYTES;
/// The size of a [`Query`].
pub const QUERY_BYTES: usize = 64;
/// The size of a [`QueryPartialResponse`].
pub const QUERY_PARTIAL_RESPONSE_BYTES: usize = 7;
/// The size of a [`NotificationResponse`].
pub const NOTIFICATION_RESPONSE_BYTES: usize = 139;

/// The longest metric id, in bytes of UTF-8.
pub const IDENTIFIER_BYTES_MAX: usize = 27;

/// The longest name of an aggregation, in bytes of UTF-8.
pub const AGGREGATION_BYTES_MAX: usize = 11;

/// The longest message of a notification, in bytes of UTF-8; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 127;

/// What a connection is for: its first record, and said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intention {
    /// Metrics follow, each answered by a status.
    SendMetrics,
    /// One query follows, answered by its windows.
    Query,
    /// Nothing follows; notifications come as they happen.
    Monitor,
}

impl Intention {
    /// The record.
    #[must_use]
    pub const fn encode(self) -> [u8; INTENTION_BYTES] {
        let code: i32 = match self {
            Self::SendMetrics => 1,
            Self::Query => 2,
            Self::Monitor => 3,
        };
        code.to_be_bytes()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`FormatError::Intention`] for any other number; 4 is reserved for version 2.
    pub const fn decode(record: &[u8; INTENTION_BYTES]) -> Result<Self, FormatError> {
        match i32::from_be_bytes(*record) {
            1 => Ok(Self::SendMetrics),
            2 => Ok(Self::Query),
            3 => Ok(Self::Monitor),
            code => Err(FormatError::Intention { code }),
        }
    }
}

/// How a request went; every answer carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done; for a metric, accepted.
    Ok,
    /// Too busy now; the same request may succeed later.
    ServerUnavailable,
    /// The server failed at it.
    ServerError,
    /// The metric is known, the period holds no sample of it.
    Empty,
    /// No such metric.
    DoesNotExist,
    /// The request cannot be understood; repeating it does not help.
    BadFormat,
}

impl Status {
    /// The two bytes.
    #[must_use]
    pub const fn encode(self) -> [u8; STATUS_BYTES] {
        let code: u16 = match self {
            Self::Ok => 1,
            Self::ServerUnavailable => 2,
            Self::ServerError => 3,
            Self::Empty => 4,
            Self::DoesNotExist => 5,
            Self::BadFormat => 6,
        };
        code.to_be_bytes()
    }

    /// Reads the two bytes.
    ///
    /// # Errors
    /// [`FormatError::Status`] for a number that is no status.
    pub const fn decode(bytes: [u8; STATUS_BYTES]) -> Result<Self, FormatError> {
        match u16::from_be_bytes(bytes) {
            1 => Ok(Self::Ok),
            2 => Ok(Self::ServerUnavailable),
            3 => Ok(Self::ServerError),
            4 => Ok(Self::Empty),
            5 => Ok(Self::DoesNotExist),
            6 => Ok(Self::BadFormat),
            code => Err(FormatError::Status { code }),
        }
    }

    /// The name in the protocol: `server_unavailable`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServerUnavailable => "server_unavailable",
            Self::ServerError => "server_error",
            Self::Empty => "empty",
            Self::DoesNotExist => "does_not_exist",
            Self::BadFormat => "bad_format",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `bool` field: 0 or 1, nothing else.
const fn decode_bool(field: Field, byte: u8) -> Result<bool, FormatError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(FormatError::Bool { field, byte }),
    }
}

/// A time in Unix seconds. Whole microseconds are exact in a float and are divided once; through nanoseconds the
/// number would be rounded twice, and from the year 2038 on the microsecond would not survive the trip.
fn encode_time(time: Timestamp) -> [u8; 8] {
    (time.nanos().div_euclid(1_000) as f64 / 1e6).to_be_bytes()
}

/// A time in Unix seconds, kept to the microsecond.
fn decode_time(field: Field, secs: f64) -> Result<Timestamp, FormatError> {
    Timestamp::from_secs_f64(secs).ok_or(FormatError::NotATime { field })
}

/// The `N` bytes of a record that begin at `at`; a layout that does not fit its record is a bug of this crate.
fn field<const N: usize>(record: &[u8], at: usize) -> &[u8; N] {
    record[at..].first_chunk().expect("every field lies inside its record")
}
