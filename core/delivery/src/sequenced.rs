//! A notification with its place in the stream, and the numbers that give it one.
//!
//! Invariants:
//! * positions rise, lexicographically by epoch and sequence, over every start of the server that finds its log;
//! * the times of handling never fall, even if the wall clock does, so both can be searched.

use std::sync::Arc;

use sereno_model::{Notification, Position, Timestamp};
use sereno_runtime::Clock;

/// A notification as the handler gave it to all.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequenced {
    /// Its place in the stream.
    pub position: Position,
    /// When it was handled, by the wall clock; never before the one in front of it. Its `tick` is when it was decided.
    pub at: Timestamp,
    /// What was told.
    pub notification: Arc<Notification>,
}

/// What numbers notifications.
#[derive(Debug)]
pub(crate) struct Numbers {
    clock: Arc<dyn Clock>,
    last: Position,
    last_at: Timestamp,
}

impl Numbers {
    /// A new epoch, after the newest event of the log.
    pub fn new(clock: Arc<dyn Clock>, newest: Option<&Sequenced>) -> Self {
        let now = u64::try_from(clock.now().millis()).unwrap_or(0).max(1);
        // A clock that was set back, or a start within the same millisecond, must not begin an epoch again.
        let epoch = newest.map_or(now, |newest| now.max(newest.position.epoch.saturating_add(1)));
        let last_at = newest.map_or(Timestamp::MIN, |newest| newest.at);
        Self { clock, last: Position { epoch, sequence: 0 }, last_at }
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.last.epoch
    }

    /// Gives a notification its place.
    pub fn number(&mut self, notification: Arc<Notification>) -> Arc<Sequenced> {
        self.last.sequence += 1;
        self.last_at = self.last_at.max(self.clock.now());
        Arc::new(Sequenced { position: self.last, at: self.last_at, notification })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_plugin::testkit;
    use sereno_runtime::ManualClock;

    #[test]
    fn every_start_begins_a_later_epoch_whatever_the_clock_says() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(5_000)));
        let mut first = Numbers::new(clock.clone(), None);
        let (a, b) =
            (first.number(testkit::notification().into()), first.number(testkit::notification().into()));
        assert_eq!((a.position.to_string(), b.position.to_string()), ("5000-1".into(), "5000-2".into()));
        assert_eq!(Numbers::new(clock.clone(), Some(&b)).epoch(), 5_001, "the same millisecond");
        clock.step_to(Timestamp::from_millis(10));
        let mut back = Numbers::new(clock.clone(), Some(&b));
        let c = back.number(testkit::notification().into());
        assert_eq!((c.position.to_string(), c.at), ("5001-1".into(), b.at));
        clock.step_to(Timestamp::from_millis(9_000));
        assert_eq!(Numbers::new(clock, Some(&c)).epoch(), 9_000);
    }
}
