//! Why bytes are not a record, or values do not fit into one.

use std::fmt;

/// The part of a record that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The metric id.
    Identifier,
    /// The name of the aggregation.
    Aggregation,
    /// The text of a notification.
    Message,
    /// The start of a query's period.
    Start,
    /// The end of a query's period.
    End,
    /// The time of a notification.
    Time,
    /// The mark of the last response to a query.
    Last,
    /// The mark of a monitor's end.
    Stopping,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identifier => "metric id",
            Self::Aggregation => "aggregation",
            Self::Message => "message",
            Self::Start => "start",
            Self::End => "end",
            Self::Time => "time",
            Self::Last => "mark of the last response",
            Self::Stopping => "mark of the end",
        })
    }
}

/// Bytes or values that version 1 has no meaning for. Always the sender's fault, always [`Status::BadFormat`] on
/// the wire; trying again does not help.
///
/// [`Status::BadFormat`]: super::Status::BadFormat
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// A text is longer than its field.
    #[error("the {field} has {bytes} bytes, version 1 of the protocol carries at most {bytes_max}")]
    TooLong {
        /// Where.
        field: Field,
        /// Its length; on the wire, what its length byte says.
        bytes: usize,
        /// How much fits.
        bytes_max: usize,
    },
    /// A text is not UTF-8.
    #[error("the {field} is not UTF-8")]
    NotUtf8 {
        /// Where.
        field: Field,
    },
    /// A name holds a control character.
    #[error("the {field} holds a control character")]
    ControlCharacter {
        /// Where.
        field: Field,
    },
    /// The metric id is empty.
    #[error("the metric id is empty")]
    EmptyIdentifier,
    /// A window that is negative, infinite or not a number.
    #[error("a window of {secs} seconds means nothing, it is 0 or a positive number of seconds")]
    Window {
        /// As it was given.
        secs: f64,
    },
    /// A time that is not a number.
    #[error("the {field} is not a number")]
    NotATime {
        /// Where.
        field: Field,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("the {field} is {byte}, neither 0 nor 1")]
    Bool {
        /// Where.
        field: Field,
        /// What it is.
        byte: u8,
    },
    /// An intention that version 1 does not have.
    #[error("{code} is no intention of version 1 of the protocol, they are 1, 2 and 3")]
    Intention {
        /// As it was given.
        code: i32,
    },
    /// A status that version 1 does not have.
    #[error("{code} is no status of version 1 of the protocol, they are 1 to 6")]
    Status {
        /// As it was given.
        code: u16,
    },
}
