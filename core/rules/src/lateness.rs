//! How late evaluations begin: counted in steps, for nobody needs to know it more exactly.

use std::time::Duration;

use sereno_runtime::{Counter, Metrics};

/// The steps, in milliseconds, with their names.
const STEPS: [(u64, &str); 4] = [(20, "20ms"), (100, "100ms"), (1_000, "1s"), (10_000, "10s")];

/// Counts the evaluations that began later than each step (`rule_late_ticks_total`).
#[derive(Clone, Debug)]
pub(crate) struct Lateness([Counter; STEPS.len()]);

impl Lateness {
    pub fn new(metrics: &Metrics) -> Self {
        Self(STEPS.map(|(_, name)| metrics.counter("rule_late_ticks_total", &[("over", name)])))
    }

    pub fn note(&self, late: Duration) {
        for ((millis, _), counter) in STEPS.iter().zip(&self.0) {
            if late <= Duration::from_millis(*millis) {
                return;
            }
            counter.inc();
        }
    }
}
