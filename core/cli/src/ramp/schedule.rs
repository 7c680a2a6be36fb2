//! When each metric of a ramp is due. The rate r(t) goes from INITIAL to FINAL over the duration; metric number n is due
//! when n - 1 metrics have become due before it, that is at the t for which the integral of r from 0 to t is n - 1. The
//! first one is due at once. Pure arithmetic, no clock.

use std::time::Duration;

use super::Strategy;
use crate::{Exit, Failure};

pub(super) struct Schedule {
    strategy: Strategy,
    secs: f64,
    initial: f64,
    last: f64,
    count: u32,
}

impl Schedule {
    /// Rates in metrics per second, finite and not negative.
    pub(super) fn new(
        strategy: Strategy,
        duration: Duration,
        initial: f64,
        last: f64,
    ) -> Result<Self, Failure> {
        if strategy == Strategy::Exponential && (initial == 0.0 || last == 0.0) {
            return Err(Failure::new(Exit::Usage, "an exponential ramp cannot start or end at 0 per second")
                .hint("start at a small rate, like 0.1, or use `linear`"));
        }
        // The same rate throughout is constant, whatever the strategy; so no formula divides by zero.
        let strategy = if initial == last { Strategy::Constant } else { strategy };
        let secs = duration.as_secs_f64();
        let total = secs
            * match strategy {
                Strategy::Constant => initial,
                Strategy::Linear => (initial + last) / 2.0,
                Strategy::Exponential => (last - initial) / (last / initial).ln(),
            };
        let total = total.round();
        if !(1.0..=f64::from(u32::MAX)).contains(&total) {
            return Err(Failure::new(
                Exit::Usage,
                format!("these rates come to {total} metrics in {secs} s"),
            )
            .hint(format!("choose rates and a duration that come to 1 to {} metrics", u32::MAX)));
        }
        Ok(Self { strategy, secs, initial, last, count: total as u32 })
    }

    /// How many metrics there are: the integral of the rate, rounded.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// When metric number `n`, from 1, is due, since the start.
    pub(super) fn arrival(&self, n: u32) -> Duration {
        let before = f64::from(n) - 1.0;
        let secs = match self.strategy {
            _ if before <= 0.0 => 0.0,
            Strategy::Constant => before / self.initial,
            Strategy::Linear => {
                // i t + (s / 2) t² = before, solved in the form that also holds for small and negative slopes.
                let slope = (self.last - self.initial) / self.secs;
                let root = (self.initial * self.initial + 2.0 * slope * before).max(0.0).sqrt();
                2.0 * before / (self.initial + root)
            }
            Strategy::Exponential => {
                let growth = (self.last / self.initial).ln() / self.secs;
                (growth * before / self.initial).ln_1p() / growth
            }
        };
        // Rounding may carry the last arrivals past the end, or to the logarithm of a negative number.
        if secs.is_finite() { Duration::from_secs_f64(secs.clamp(0.0, self.secs)) } else { self.end() }
    }

    fn end(&self) -> Duration {
        Duration::from_secs_f64(self.secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(strategy: Strategy, secs: u64, initial: f64, last: f64) -> Schedule {
        Schedule::new(strategy, Duration::from_secs(secs), initial, last).expect("a schedule")
    }

    /// How many are due within the first `secs`.
    fn due(schedule: &Schedule, secs: u64) -> usize {
        (1..=schedule.count()).take_while(|n| schedule.arrival(*n) < Duration::from_secs(secs)).count()
    }

    #[test]
    fn the_count_is_the_integral_of_the_rate() {
        assert_eq!(schedule(Strategy::Constant, 20, 5.0, 999.0).count(), 100);
        assert_eq!(schedule(Strategy::Linear, 60, 1.0, 150.0).count(), 4_530);
        assert_eq!(schedule(Strategy::Linear, 10, 0.0, 10.0).count(), 50);
        assert_eq!(schedule(Strategy::Exponential, 10, 1.0, 1_024.0).count(), 1_476); // 10 * 1023 / ln(1024)
    }

    #[test]
    fn arrivals_follow_the_rate() {
        let constant = schedule(Strategy::Constant, 20, 5.0, 0.0);
        assert_eq!(
            (constant.arrival(1), constant.arrival(100)),
            (Duration::ZERO, Duration::from_millis(19_800))
        );
        let linear = schedule(Strategy::Linear, 60, 1.0, 150.0);
        assert_eq!(due(&linear, 30), 1_148); // 30 + 149/120 * 30² = 1147.5
        let falling = schedule(Strategy::Linear, 10, 10.0, 0.0);
        assert_eq!((due(&falling, 5), falling.count()), (38, 50)); // 50 - 12.5
        let exponential = schedule(Strategy::Exponential, 10, 1.0, 1_024.0);
        assert_eq!(due(&exponential, 5), 45); // 31 * 10 / ln(1024) = 44.7
    }

    #[test]
    fn arrivals_never_go_back_nor_past_the_end() {
        for strategy in [Strategy::Constant, Strategy::Linear, Strategy::Exponential] {
            for (initial, last) in [(1.0, 300.0), (300.0, 0.001), (77.7, 77.7)] {
                let schedule = schedule(strategy, 7, initial, last);
                let arrivals: Vec<_> = (1..=schedule.count()).map(|n| schedule.arrival(n)).collect();
                assert!(arrivals.is_sorted(), "{strategy:?} {initial} {last}");
                assert!(arrivals.last().is_some_and(|last| *last <= Duration::from_secs(7)));
            }
        }
    }
}
