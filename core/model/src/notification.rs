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
}

impl EventKind {
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
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// The value that decided, where there is one.
    pub value: Option<f64>,
    /// The highest value (for `below`, the lowest) since the previous word about this instance.
    pub extreme: Option<f64>,
    /// The tick that decided: the time that the data had.
    pub tick: Timestamp,
    /// When the instance began to fire.
    pub fired_at: Timestamp,
    /// For a human; at most one line.
    pub message: String,
    /// Why, for `closed`.
    pub reason: Option<String>,
    /// Which generation of the rules decided.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
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
}
