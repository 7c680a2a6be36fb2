//! Sending metrics: [`Metric`] there, [`MetricResponse`] back, in order. This is the hot path of the server.

use super::error::{Field, FormatError};
use super::{IDENTIFIER_BYTES_MAX, METRIC_BYTES, METRIC_RESPONSE_BYTES, Status, field, pstr};

// Where the value begins.
const VALUE: usize = IDENTIFIER_BYTES_MAX + 1;

/// One observation; the server stamps the time of receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric<'a> {
    identifier: &'a str,
    value: u32,
}

impl<'a> Metric<'a> {
    /// An observation of a metric.
    ///
    /// # Errors
    /// If the id is empty, longer than [`IDENTIFIER_BYTES_MAX`] or holds a control character.
    pub fn new(identifier: &'a str, value: u32) -> Result<Self, FormatError> {
        pstr::check_identifier(identifier)?;
        Ok(Self { identifier, value })
    }

    /// The metric id: 1 to [`IDENTIFIER_BYTES_MAX`] bytes, no control characters.
    #[must_use]
    pub const fn identifier(&self) -> &'a str {
        self.identifier
    }

    /// The observation.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.value
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> [u8; METRIC_BYTES] {
        let mut record = [0; METRIC_BYTES];
        record[..VALUE].copy_from_slice(&pstr::encode::<VALUE>(self.identifier));
        record[VALUE..].copy_from_slice(&self.value.to_be_bytes());
        record
    }

    /// Reads the record; allocates nothing.
    ///
    /// # Errors
    /// If the id is empty, too long for its field, not UTF-8 or holds a control character.
    pub fn decode(record: &'a [u8; METRIC_BYTES]) -> Result<Self, FormatError> {
        let identifier = pstr::decode::<VALUE>(Field::Identifier, field(record, 0))?;
        Self::new(identifier, u32::from_be_bytes(*field(record, VALUE)))
    }
}

/// The answer to one [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricResponse {
    /// How it went.
    pub status: Status,
}

impl MetricResponse {
    /// The record.
    #[must_use]
    pub const fn encode(self) -> [u8; METRIC_RESPONSE_BYTES] {
        self.status.encode()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`FormatError::Status`].
    pub fn decode(record: &[u8; METRIC_RESPONSE_BYTES]) -> Result<Self, FormatError> {
        Ok(Self { status: Status::decode(*record)? })
    }
}
