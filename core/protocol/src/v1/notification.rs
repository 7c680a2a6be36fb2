//! Watching: a stream of [`NotificationResponse`]s.

use sereno_model::Timestamp;

use super::error::{Field, FormatError};
use super::{
    MESSAGE_BYTES_MAX, NOTIFICATION_RESPONSE_BYTES, Status, decode_bool, decode_time, encode_time, field,
    pstr,
};

// Where each field begins.
const MESSAGE: usize = 8;
const STOPPING: usize = MESSAGE + MESSAGE_BYTES_MAX + 1;
const STATUS: usize = STOPPING + 1;

/// What a monitor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// When it happened; travels with microseconds.
    pub time: Timestamp,
    /// For a human; only its first [`MESSAGE_BYTES_MAX`] bytes travel, cut between characters.
    pub message: &'a str,
    /// Whether the server shuts down: the last record, without news of its own.
    pub stopping: bool,
    /// Anything but [`Status::Ok`] says why the server closes instead of telling.
    pub status: Status,
}

impl<'a> NotificationResponse<'a> {
    /// A notification.
    #[must_use]
    pub const fn new(time: Timestamp, message: &'a str) -> Self {
        Self { time, message, stopping: false, status: Status::Ok }
    }

    /// The record that ends a stream because the server shuts down.
    #[must_use]
    pub const fn stopping(time: Timestamp) -> Self {
        Self { time, message: "", stopping: true, status: Status::Ok }
    }

    /// The only record of a monitor that cannot be served.
    #[must_use]
    pub const fn refused(time: Timestamp, status: Status) -> Self {
        Self { time, message: "", stopping: false, status }
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> [u8; NOTIFICATION_RESPONSE_BYTES] {
        let mut record = [0; NOTIFICATION_RESPONSE_BYTES];
        record[..MESSAGE].copy_from_slice(&encode_time(self.time));
        record[MESSAGE..STOPPING].copy_from_slice(&pstr::encode::<{ STOPPING - MESSAGE }>(self.message));
        record[STOPPING] = u8::from(self.stopping);
        record[STATUS..].copy_from_slice(&self.status.encode());
        record
    }

    /// Reads the record. The message may hold any character: whoever prints it to a terminal escapes it.
    ///
    /// # Errors
    /// If the message is not UTF-8 or says to be longer than its field, or the other fields mean nothing.
    pub fn decode(record: &'a [u8; NOTIFICATION_RESPONSE_BYTES]) -> Result<Self, FormatError> {
        Ok(Self {
            time: decode_time(Field::Time, f64::from_be_bytes(*field(record, 0)))?,
            message: pstr::decode::<{ STOPPING - MESSAGE }>(Field::Message, field(record, MESSAGE))?,
            stopping: decode_bool(Field::Stopping, record[STOPPING])?,
            status: Status::decode(*field(record, STATUS))?,
        })
    }
}
