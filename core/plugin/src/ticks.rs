//! Waiting for the next multiple of a period, counted from the Unix epoch.

use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::{Clock, Shutdown};

/// The grid `k × every` since the epoch, so that samples of different servers and restarts fall on the same times.
/// A tick that passes while the caller works is skipped, never caught up.
#[derive(Clone, Debug)]
pub struct Ticks {
    every: Duration,
    last: Option<Timestamp>,
}

impl Ticks {
    /// The grid of period `every`, at least 1 ms.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every: every.max(Duration::from_millis(1)), last: None }
    }

    /// Waits for the next tick and gives its time; `None` when the word to stop was given. Cancel safe.
    pub async fn next(&mut self, clock: &dyn Clock, stop: &Shutdown) -> Option<Timestamp> {
        let now = clock.now();
        let tick = self.after(now);
        tokio::select! {
            biased;
            () = stop.stopping() => None,
            () = tokio::time::sleep(tick.since(now)) => {
                self.last = Some(tick);
                Some(tick)
            }
        }
    }

    fn after(&self, now: Timestamp) -> Timestamp {
        let every = i64::try_from(self.every.as_nanos()).unwrap_or(i64::MAX);
        let slot = now.nanos().div_euclid(every);
        let tick = Timestamp::from_nanos(slot.saturating_add(1).saturating_mul(every));
        // A timer that woke a hair early must not give the same tick twice.
        if self.last == Some(tick) { tick + self.every } else { tick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_runtime::ManualClock;

    #[tokio::test(start_paused = true)]
    async fn ticks_lie_on_the_epoch_grid_and_come_once() {
        let clock = ManualClock::new(Timestamp::from_millis(12_345));
        let stop = Shutdown::default();
        let mut ticks = Ticks::every(Duration::from_secs(5));
        assert_eq!(ticks.next(&clock, &stop).await, Some(Timestamp::from_millis(15_000)));
        // The clock still stands before the tick, as when a timer wakes early.
        assert_eq!(ticks.next(&clock, &stop).await, Some(Timestamp::from_millis(20_000)));
        clock.advance(Duration::from_secs(30));
        assert_eq!(ticks.next(&clock, &stop).await, Some(Timestamp::from_millis(45_000)), "missed: skipped");
        stop.stop();
        assert_eq!(ticks.next(&clock, &stop).await, None);
    }
}
