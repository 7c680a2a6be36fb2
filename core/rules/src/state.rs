//! The alert state of one instance: a pure function of (state, verdict, tick).
//!
//! Invariants:
//! * only a verdict that *saw* the condition clear resolves; an error, missing data, a skipped tick, a reload or a
//!   restart never does ([`Observed::Nothing`] changes nothing at all);
//! * an instance that ends for any other reason is closed, with the reason, and never called resolved;
//! * an episode is named by the tick at which it began to fire, so an event has the same id however often it is
//!   computed.

use std::time::Duration;

use sereno_model::{EventKind, Level, Timestamp};

/// What one tick saw of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observed {
    /// The condition does not hold.
    Clear(Option<f64>),
    /// The condition holds at a level.
    Alert(Level, Option<f64>),
    /// Nothing can be said: no data, an error, or the rule asked to wait.
    Nothing,
}

/// Which values are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// High ones: `limit`, and scripts.
    Higher,
    /// Low ones: `below`.
    Lower,
}

/// What the machine needs to know of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an instance that fires is silent before it reminds; zero for never.
    pub reminder: Duration,
    /// Which values are worse.
    pub worse: Worse,
}

/// The state of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// The condition was not seen, or was seen not to hold.
    #[default]
    Inactive,
    /// The condition holds as far as is known.
    Firing(Episode),
}

/// From `firing` to `resolved` or `closed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The level now.
    pub level: Level,
    /// The tick that began it.
    pub fired_at: Timestamp,
    /// The tick of the last event about it.
    pub last_word: Timestamp,
    /// The worst value since the last event about it.
    pub extreme: Option<f64>,
    /// How many events it has had.
    pub events: u32,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The level; for `resolved` and `closed`, the one that ended.
    pub level: Level,
    /// The value that decided.
    pub value: Option<f64>,
    /// The worst value since the previous event.
    pub extreme: Option<f64>,
    /// The tick that began the episode.
    pub fired_at: Timestamp,
    /// The number of the event within its episode, from 1.
    pub number: u32,
}

impl State {
    /// The level at which it fires.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Inactive => None,
            Self::Firing(episode) => Some(episode.level),
        }
    }

    /// The state after a tick, and what to tell.
    #[must_use]
    pub fn step(self, observed: Observed, tick: Timestamp, policy: Policy) -> (Self, Option<Event>) {
        match (self, observed) {
            (state, Observed::Nothing) => (state, None),
            (Self::Inactive, Observed::Clear(_)) => (Self::Inactive, None),
            (Self::Inactive, Observed::Alert(level, value)) => Episode::begin(level, value, tick),
            (Self::Firing(episode), Observed::Alert(level, value)) => {
                episode.go_on(level, value, tick, policy)
            }
            (Self::Firing(mut episode), Observed::Clear(value)) => {
                let event = episode.tell(EventKind::Resolved, value, tick);
                (Self::Inactive, Some(event))
            }
        }
    }

    /// Ends the instance for a reason that is no recovery.
    #[must_use]
    pub fn close(self, tick: Timestamp) -> Option<Event> {
        match self {
            Self::Inactive => None,
            Self::Firing(mut episode) => Some(episode.tell(EventKind::Closed, None, tick)),
        }
    }
}

impl Episode {
    fn begin(level: Level, value: Option<f64>, tick: Timestamp) -> (State, Option<Event>) {
        let mut episode = Self { level, fired_at: tick, last_word: tick, extreme: value, events: 0 };
        let event = episode.tell(EventKind::Firing, value, tick);
        (State::Firing(episode), Some(event))
    }

    fn go_on(
        mut self,
        level: Level,
        value: Option<f64>,
        tick: Timestamp,
        policy: Policy,
    ) -> (State, Option<Event>) {
        self.extreme = worst(self.extreme, value, policy.worse);
        let due = !policy.reminder.is_zero() && tick.since(self.last_word) >= policy.reminder;
        let kind = match level.cmp(&self.level) {
            std::cmp::Ordering::Greater => Some(EventKind::Escalated),
            std::cmp::Ordering::Less => Some(EventKind::Deescalated),
            std::cmp::Ordering::Equal => due.then_some(EventKind::Reminder),
        };
        self.level = level;
        let event = kind.map(|kind| self.tell(kind, value, tick));
        (State::Firing(self), event)
    }

    /// The event, after which the worst value is looked for anew.
    fn tell(&mut self, kind: EventKind, value: Option<f64>, tick: Timestamp) -> Event {
        self.last_word = tick;
        self.events += 1;
        let extreme = self.extreme.take();
        Event { kind, level: self.level, value, extreme, fired_at: self.fired_at, number: self.events }
    }
}

fn worst(a: Option<f64>, b: Option<f64>, worse: Worse) -> Option<f64> {
    match (a, b, worse) {
        (Some(a), Some(b), Worse::Higher) => Some(a.max(b)),
        (Some(a), Some(b), Worse::Lower) => Some(a.min(b)),
        (a, b, _) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { reminder: Duration::from_secs(30), worse: Worse::Higher };

    fn at(secs: u32) -> Timestamp {
        Timestamp::from_nanos(i64::from(secs) * 1_000_000_000)
    }

    /// Ten seconds a tick: `12` is a value that alerts at `crit`, `w12` at `warn`, `.3` one that clears, `?` nothing.
    fn events(story: &str) -> String {
        let mut state = State::default();
        let mut told = Vec::new();
        for (i, word) in story.split_whitespace().enumerate() {
            let tick = at(10 * i as u32);
            let observed = match (word.strip_prefix('.'), word.strip_prefix('w')) {
                _ if word == "?" => Observed::Nothing,
                (Some(clear), _) => Observed::Clear(clear.parse().ok()),
                (_, Some(warn)) => Observed::Alert(Level::Warn, warn.parse().ok()),
                _ => Observed::Alert(Level::Crit, word.parse().ok()),
            };
            let (next, event) = state.step(observed, tick, POLICY);
            state = next;
            told.extend(event.map(|event| {
                let value = event.value.map_or_else(|| "-".into(), |value| value.to_string());
                let extreme = event.extreme.map_or_else(|| "-".into(), |value| value.to_string());
                format!("{tick}s {}#{} {} {value} max {extreme}", event.kind, event.number, event.level)
            }));
        }
        told.join("\n")
    }

    #[test]
    fn an_episode_fires_reminds_and_resolves() {
        insta::assert_snapshot!(events(".1 12 14 13 12 11 .3 .2 15"), @"
        10s firing#1 crit 12 max 12
        40s reminder#2 crit 12 max 14
        60s resolved#3 crit 3 max 11
        80s firing#1 crit 15 max 15
        ");
    }

    #[test]
    fn levels_rise_and_fall_within_one_episode() {
        insta::assert_snapshot!(events("w5 9 w7 w7 .1"), @"
        0s firing#1 warn 5 max 5
        10s escalated#2 crit 9 max 9
        20s deescalated#3 warn 7 max 7
        40s resolved#4 warn 1 max 7
        ");
    }

    #[test]
    fn what_is_not_seen_changes_nothing() {
        insta::assert_snapshot!(events("12 ? ? ? ? ? ? .1"), @"
        0s firing#1 crit 12 max 12
        70s resolved#2 crit 1 max -
        ");
        assert_eq!(events("? ? .1 ?"), "");
    }

    #[test]
    fn an_end_without_recovery_is_closed() {
        let (state, _) = State::default().step(Observed::Alert(Level::Crit, Some(12.0)), at(10), POLICY);
        let closed = state.close(at(20)).unwrap();
        assert_eq!((closed.kind, closed.value, closed.number), (EventKind::Closed, None, 2));
        assert_eq!(State::Inactive.close(at(20)), None);
    }

    fn observed() -> impl Strategy<Value = Observed> {
        let value = proptest::option::of(-1e6..1e6_f64);
        let level = prop_oneof![Just(Level::Info), Just(Level::Warn), Just(Level::Crit)];
        prop_oneof![
            value.clone().prop_map(Observed::Clear),
            (level, value).prop_map(|(level, value)| Observed::Alert(level, value)),
            Just(Observed::Nothing),
        ]
    }

    proptest! {
        #[test]
        fn only_a_clear_verdict_resolves(story in proptest::collection::vec(observed(), 0..60)) {
            let mut state = State::default();
            for (i, observed) in story.into_iter().enumerate() {
                let before = state.clone();
                let (after, event) = state.step(observed, at(10 * i as u32), POLICY);
                let kind = event.as_ref().map(|event| event.kind);
                prop_assert_eq!(kind == Some(EventKind::Resolved), before != State::Inactive && matches!(observed, Observed::Clear(_)));
                prop_assert_eq!(kind == Some(EventKind::Firing), before == State::Inactive && matches!(observed, Observed::Alert(..)));
                if observed == Observed::Nothing {
                    prop_assert_eq!(&before, &after);
                }
                state = after;
            }
        }
    }
}
