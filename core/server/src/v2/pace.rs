//! Senders wait while the store catches up.
//!
//! A store that is offered more than it can take fills its queues, or its log, and then refuses: and to refuse costs nearly
//! as much as to store. With eight clients that send without waiting, a fifth of what could have been stored was lost to
//! that. So a session reads more slowly from the moment that the store is rather full, the more slowly the fuller it is, by
//! the samples that it brings: those who send little notice nothing.

use std::time::Duration;

/// From this share on senders wait.
const CALM: f64 = 0.7;
/// What a sample waits at most, just before the store is full: a sender then brings 100,000 a second.
const NANOS_MAX: f64 = 10_000.0;
/// Nobody waits longer at a time: by then the store may have caught up.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Shorter waits are added up: timers count in milliseconds.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// What one session still has to wait for what it has sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    owed: Duration,
}

impl Pace {
    /// Takes note of samples that were sent while the store was this full; gives how long to read nothing.
    pub(super) fn wait(&mut self, samples: u64, fullness: f64) -> Option<Duration> {
        let strain = ((fullness - CALM) / (1.0 - CALM)).clamp(0.0, 1.0);
        if strain == 0.0 {
            self.owed = Duration::ZERO;
            return None;
        }
        self.owed += Duration::from_nanos((samples as f64 * NANOS_MAX * strain * strain) as u64);
        (self.owed >= WAIT_MIN).then(|| std::mem::take(&mut self.owed).min(WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_store_the_longer_the_wait_and_small_senders_notice_nothing() {
        let wait = |samples, fullness| Pace::default().wait(samples, fullness);
        assert_eq!(wait(1_000_000, 0.69), None);
        assert_eq!(wait(1, 0.99), None);
        assert!(wait(10_000, 0.8) < wait(10_000, 0.9));
        assert_eq!(wait(10_000, 2.0), Some(Duration::from_millis(100)));
        assert_eq!(wait(100_000, 2.0), Some(WAIT_MAX));
    }

    #[test]
    fn short_waits_add_up_and_are_forgotten_when_the_store_has_caught_up() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..4).map(|_| pace.wait(100, 1.0)).collect();
        assert_eq!(waits, [None, Some(Duration::from_millis(2)), None, Some(Duration::from_millis(2))]);
        assert_eq!((pace.wait(100, 1.0), pace.wait(100, 0.1), pace.wait(100, 1.0)), (None, None, None));
    }
}
