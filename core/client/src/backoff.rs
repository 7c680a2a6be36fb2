//! How long to wait before trying again: twice as long every time, and never all clients at once.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Pauses that double, each drawn from its upper half.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempt: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.attempt.min(20)).min(self.longest);
        self.attempt = self.attempt.saturating_add(1);
        // 32 of the random bits are plenty for a pause.
        let fraction = (random() >> 32) as f64 / f64::from(u32::MAX);
        whole.mul_f64(0.5 + fraction / 2.0)
    }
}

/// 64 random bits, from the keys that the system draws for hash tables. Not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for whole in [100, 200, 350, 350] {
            let pause = backoff.next();
            assert!(
                pause >= Duration::from_millis(whole) / 2 && pause <= Duration::from_millis(whole),
                "{pause:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
        let mut tired = Backoff { attempt: u32::MAX, ..backoff };
        assert!(tired.next() >= Duration::from_millis(175), "a count of attempts does not overflow");
    }

    #[test]
    fn no_two_clients_are_the_same() {
        let ids: std::collections::HashSet<u64> = (0..1_000).map(|_| random()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
