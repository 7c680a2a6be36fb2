//! What the state machine needs to know of a rule.

use std::time::Duration;

use sereno_model::Level;

use super::levels::Levels;

/// Which values are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// High ones: `limit`, levels and scripts.
    Higher,
    /// Low ones: `below`.
    Lower,
}

impl Worse {
    /// Whether `value` is worse than `other`. NaN is no worse than anything.
    #[must_use]
    pub fn is_worse(self, value: f64, other: f64) -> bool {
        match self {
            Self::Higher => value > other,
            Self::Lower => value < other,
        }
    }
}

/// How an instance is seen to flap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flap {
    /// How far back beginnings are counted.
    pub window: Duration,
    /// How many there may be; more, and it flaps, until there are no more than half as many.
    pub max: usize,
}

/// When data that is missing counts as absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    /// So many times the interval at which samples of the instance have come, or `every` where that is longer.
    Intervals(f64),
    /// After this time without a sample.
    Time(Duration),
}

/// What absent data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: an alert stays, marked stale.
    Keep,
    /// That the condition does not hold.
    Resolve,
    /// That something is wrong, at this level.
    Alert(Level),
}

/// What becomes of an instance without data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Absence {
    /// When missing data counts as absent.
    pub after: After,
    /// What it means then.
    pub then: Then,
    /// How long after that an alert that was kept is closed; `None` for never. Nothing that absence began is closed so.
    pub close_after: Option<Duration>,
}

/// What the state machine needs to know of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The time between two ticks.
    pub every: Duration,
    /// For each level that the rule has, how long its condition must hold before it fires.
    pub hold: [Option<Duration>; 3],
    /// How long everything must be clear before it is resolved.
    pub recover_for: Duration,
    /// How long an instance that fires is silent before it reminds; zero for never.
    pub reminder: Duration,
    /// Which values are worse.
    pub worse: Worse,
    /// When it flaps.
    pub flap: Flap,
    /// What missing data means.
    pub absence: Absence,
}

impl Policy {
    /// The levels that the rule has.
    #[must_use]
    pub fn levels(&self) -> Levels {
        Levels::ALL.iter().filter(|level| self.hold[*level as usize].is_some()).collect()
    }
}
