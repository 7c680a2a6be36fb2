//! One observation and the time it belongs to.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the Unix epoch; negative before it. Arithmetic saturates at the ends of the range
/// (the years 1677 and 2262), so hostile times cannot overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be told.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch, saturating.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From Unix seconds, rounded to the microsecond: near today a float of seconds resolves 238 ns, so the
    /// microsecond is the finest decimal that survives the trip. Saturates; `None` for NaN.
    #[must_use]
    pub fn from_secs_f64(secs: f64) -> Option<Self> {
        // `as` saturates at the ends of i64.
        (!secs.is_nan()).then(|| Self(((secs * 1e6).round() as i64).saturating_mul(1_000)))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// Unix seconds with the digits that are there: `1700000000.123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let (secs, frac) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        match frac {
            0 => write!(f, "{sign}{secs}"),
            _ => write!(f, "{sign}{secs}.{}", format!("{frac:09}").trim_end_matches('0')),
        }
    }
}

/// One value at one time. Two samples of a series never share a time: the later write wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was observed.
    pub time: Timestamp,
    /// What was observed; NaN and the infinities are ordinary values here.
    pub value: f64,
}

/// A right-open span of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant past the end.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time, but for its very last nanosecond.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// `[start, end)`; empty when `end <= start`.
    #[must_use]
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// `[end - window, end)`, the window that a rule reads at tick `end`.
    #[must_use]
    pub fn before(end: Timestamp, window: Duration) -> Self {
        Self { start: end - window, end }
    }

    /// Whether `time` lies inside.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_seconds_survive_the_float() {
        for micros in [0_i64, 1, 999_999, 1_700_000_000_123_000, 1_700_000_000_123_457, -5_000_001] {
            let time = Timestamp::from_secs_f64(micros as f64 / 1e6).unwrap();
            assert_eq!(time, Timestamp::from_nanos(micros * 1_000));
        }
        assert_eq!(Timestamp::from_secs_f64(1e300), Some(Timestamp::MAX));
        assert_eq!(Timestamp::from_secs_f64(f64::NEG_INFINITY), Some(Timestamp::MIN));
        assert_eq!(Timestamp::from_secs_f64(f64::NAN), None);
    }

    #[test]
    fn times_print_the_digits_they_have() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_120).to_string(), "1700000000.12");
        assert_eq!(Timestamp::from_nanos(-1).to_string(), "-0.000000001");
        assert_eq!(Timestamp::from_nanos(7_000_000_000).to_string(), "7");
    }
}
