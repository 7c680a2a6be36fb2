//! Measures that alert rules ask for: how old data is, and what is usual, whatever the outliers.

use std::time::Duration;

use crate::fold;
use crate::window::Window;

impl Window {
    /// How long before the end of the window its newest sample was observed; the length of the window when it is empty, so
    /// that silence only grows. Decodes no more than [`Window::last_time`].
    #[must_use]
    pub fn age(&self) -> Duration {
        let range = self.range();
        range.end.since(self.last_time().unwrap_or(range.start))
    }

    /// The median distance of the values from their median: how far they usually stray. NaN is left out.
    #[must_use]
    pub fn mad(&self) -> Option<f64> {
        let median = self.median()?;
        let distance = |value: f64| if value == median { 0.0 } else { (value - median).abs() };
        fold::quantile(&mut self.samples().iter().map(|sample| distance(sample.value)).collect(), 0.5)
    }

    /// The mean with weights that halve with every `half_life` of age before the newest sample. NaN if a value is, `None`
    /// for a `half_life` of zero.
    #[must_use]
    pub fn ewma(&self, half_life: Duration) -> Option<f64> {
        let newest = self.samples().last()?.time;
        if half_life.is_zero() {
            return None;
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for sample in self.samples() {
            let age = newest.since(sample.time).as_secs_f64();
            let weight = (-age / half_life.as_secs_f64()).exp2();
            // What weighs nothing says nothing, not even that it is infinite.
            if weight > 0.0 {
                sum += weight * sample.value;
                weights += weight;
            }
        }
        Some(sum / weights)
    }
}
