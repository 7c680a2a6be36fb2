//! What a rule tells the world.

use std::fmt;
use std::str::FromStr;

use crate::sample::Timestamp;

/// How bad it is, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Someone must act.
    Crit,
}

impl Level {
    /// `info`, `warn` or `crit`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Crit => "crit",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    /// Reads a level; `warning` and `critical` are accepted too.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "crit" | "critical" => Ok(Self::Crit),
            _ => Err(LevelError { text: text.to_owned() }),
        }
    }
}

/// A text that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a level; levels are `info`, `warn` and `crit`")]
pub struct LevelError {
    /// The text.
    pub text: String,
}

/// What happened to an instance of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The condition holds and did not before.
    Firing,
    /// The level rose.
    Escalated,
    /// The level fell, but the condition still holds.
    Deescalated,
    /// It still holds, and some time has passed since the last word.
    Reminder,
    /// The condition was seen not to hold any more.
    Resolved,
    /// The instance ended for another reason; `reason` tells which. Never a recovery.
    Closed,
    /// It fires, and there is no data any more by which to see whether it still should.
    Stale,
    /// It begins to fire too often; sinks are spared what follows until it is calmer.
    Flapping,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Firing,
        Self::Escalated,
        Self::Deescalated,
        Self::Reminder,
        Self::Resolved,
        Self::Closed,
        Self::Stale,
        Self::Flapping,
    ];

    /// The name in logs and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Escalated => "escalated",
            Self::Deescalated => "deescalated",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Stale => "stale",
            Self::Flapping => "flapping",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = EventKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| EventKindError { text: text.to_owned() })
    }
}

/// A text that names no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a kind of event")]
pub struct EventKindError {
    /// The text.
    pub text: String,
}

/// One message about one instance of a rule, as it goes to the log file, to monitors and to sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The same for the same event, however often it is sent: rule, instance, episode, kind, number.
    pub event_id: String,
    /// What happened.
    pub kind: EventKind,
    /// The rule's id.
    pub rule: String,
    /// The labels that tell this instance from the rule's others, in order of their names.
    pub instance: Vec<(String, String)>,
    /// The level; for `resolved` and `closed`, the one that ended.
    pub level: Level,
    /// The level before, for `escalated` and `deescalated`.
    pub previous: Option<Level>,
    /// The value that decided, where there is one.
    pub value: Option<f64>,
    /// The highest value (for `below`, the lowest) since the previous word about this instance.
    pub extreme: Option<f64>,
    /// The highest value (for `below`, the lowest) of the whole episode, and its tick.
    pub peak: Option<(f64, Timestamp)>,
    /// How many samples the value was taken from, where that was looked at.
    pub samples: Option<f64>,
    /// The tick that decided: the time that the data had.
    pub tick: Timestamp,
    /// When the instance began to fire.
    pub fired_at: Timestamp,
    /// Which episode of the instance it is, from 1.
    pub episode: u64,
    /// For a human; at most one line.
    pub message: String,
    /// Why, where no condition decided: always for `closed`.
    pub reason: Option<String>,
    /// Attributes that the rule gives, in order of their names; no part of any identity.
    pub labels: Vec<(String, String)>,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// The rule that mutes this one; sinks are then not told.
    pub suppressed_by: Option<String>,
    /// What else is to be known about it.
    pub marks: Marks,
    /// Which generation of the rules decided.
    pub generation: u64,
}

/// What else is to be known about a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field on the wire")]
pub struct Marks {
    /// There is no data at this tick.
    pub stale: bool,
    /// The instance begins to fire too often; sinks are not told.
    pub flapping: bool,
    /// The rule only runs along (`mode: shadow`): neither sinks nor monitors that did not ask are told.
    pub shadow: bool,
    /// It was decided long after its tick, from stored samples.
    pub late: bool,
    /// It could not be made durable before it was told; after a crash it may be told again, or not be known.
    pub undurable: bool,
}

impl Notification {
    /// Whether sinks are to be told: not while something mutes it, it flaps or only runs along. That it flaps is told.
    #[must_use]
    pub fn is_for_sinks(&self) -> bool {
        let calm = !self.marks.flapping || self.kind == EventKind::Flapping;
        self.suppressed_by.is_none() && calm && !self.marks.shadow
    }
}

/// The place of a notification in the stream of one server: `EPOCH-SEQUENCE`, both decimal, like `1767225600000-42`.
///
/// Within an epoch the sequence numbers what was handled, from 1, without a hole; 0 is the place before the first.
/// Two positions of one epoch are ordered by their sequences. Those of different epochs are not to be compared: they
/// may come from two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which run of which server: the time of its start in milliseconds, moved where that was taken already.
    pub epoch: u64,
    /// The number within the epoch.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `parse` alone would take `+1` and `007`.
        let is_plain = |digits: &&str| {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && (*digits == "0" || !digits.starts_with('0'))
        };
        let number = |digits: &str| Some(digits).filter(is_plain).and_then(|digits| digits.parse().ok());
        let read = text
            .split_once('-')
            .and_then(|(epoch, sequence)| Some(Self { epoch: number(epoch)?, sequence: number(sequence)? }));
        read.ok_or_else(|| PositionError { text: text.to_owned() })
    }
}

/// A text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a position; positions are like `1767225600000-42`")]
pub struct PositionError {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_rise() {
        assert!(Level::Info < Level::Warn && Level::Warn < Level::Crit);
        assert_eq!("warning".parse(), Ok(Level::Warn));
        assert_eq!(
            "red".parse::<Level>().unwrap_err().to_string(),
            "`red` is not a level; levels are `info`, `warn` and `crit`"
        );
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!("Firing".parse::<EventKind>().unwrap_err().to_string(), "`Firing` is not a kind of event");
    }

    proptest! {
        #[test]
        fn positions_are_read_as_they_are_written(epoch: u64, sequence: u64) {
            let position = Position { epoch, sequence };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn a_position_has_one_text() {
        let other = [
            "", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1-+2", "01-2", "1-02", " 1-2", "1-2 ", "a-1", "1--2",
        ];
        for text in other.into_iter().chain(["18446744073709551616-1"]) {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
        assert_eq!("0-0".parse(), Ok(Position { epoch: 0, sequence: 0 }));
        assert_eq!(
            "7".parse::<Position>().unwrap_err().to_string(),
            "`7` is not a position; positions are like `1767225600000-42`"
        );
    }
}
