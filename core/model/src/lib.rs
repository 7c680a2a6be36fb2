//! The words of Sereno: series, labels, samples, timestamps, matchers, notifications. No I/O, no clock, no threads;
//! every other crate may depend on this one, and it depends on none of them.

mod matcher;
mod notification;
mod outgoing;
mod sample;
mod series;
mod text;

pub use matcher::{LabelMatcher, MatchError, NamePattern, Selector};
pub use notification::{
    EventKind, EventKindError, Level, LevelError, Marks, Notification, Position, PositionError,
};
pub use outgoing::{Confirmations, LOG, Lacking, Outgoing, compact};
pub use sample::{Sample, TimeRange, Timestamp};
pub use series::{
    KeyError, LABEL_COUNT_MAX, LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, METRIC_NAME_BYTES_MAX, SeriesKey,
};
pub use text::TextError;
