//! What is kept about a run of samples, and the order in which sums are folded.
//!
//! Float addition does not associate, so the order is part of the contract (`DESIGN.md` section 4): samples in time
//! order are folded into their minute, minutes into their hour, hours into the window, each a left fold that begins
//! with 0. Minutes and hours are those of the epoch (UTC). Whoever holds the summary of a whole minute or hour may use
//! it in place of its samples, and no bit of the answer changes.

use sereno_model::{TimeRange, Timestamp};

/// A minute in nanoseconds.
pub const MINUTE_NANOS: i64 = 60_000_000_000;
/// An hour in nanoseconds.
pub const HOUR_NANOS: i64 = 60 * MINUTE_NANOS;
/// A day (UTC) in nanoseconds.
pub const DAY_NANOS: i64 = 24 * HOUR_NANOS;

/// A run of samples of one series, summarized. NaN is counted, is first or last as any value, and makes the sum NaN;
/// `min`, `max` and what is about counters leave it out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many samples.
    pub count: u64,
    /// Their sum, in the order of the module.
    pub sum: f64,
    /// The smallest number, -0 before 0; NaN if there is none.
    pub min: f64,
    /// The largest number; NaN if there is none.
    pub max: f64,
    /// The oldest value.
    pub first: f64,
    /// The newest value.
    pub last: f64,
    /// The oldest value that is a number, else NaN.
    pub first_number: f64,
    /// The newest value that is a number, else NaN.
    pub last_number: f64,
    /// How often a number is below the one before it: the resets of a counter.
    pub falls: u64,
    /// The numbers before those falls, summed in the order of the module: what a counter had reached when it was reset.
    pub dropped: f64,
}

impl Summary {
    /// No samples.
    pub const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::NAN,
        max: f64::NAN,
        first: f64::NAN,
        last: f64::NAN,
        first_number: f64::NAN,
        last_number: f64::NAN,
        falls: 0,
        dropped: 0.0,
    };

    /// Adds the next sample of the same minute.
    pub fn push(&mut self, value: f64) {
        if self.count == 0 {
            self.first = value;
        }
        self.count += 1;
        self.sum += value;
        self.last = value;
        if value.is_nan() {
            return;
        }
        if self.first_number.is_nan() {
            (self.first_number, self.min, self.max) = (value, value, value);
        } else {
            self.min = smaller(self.min, value);
            self.max = larger(self.max, value);
            if value < self.last_number {
                self.falls += 1;
                self.dropped += self.last_number;
            }
        }
        self.last_number = value;
    }

    /// Adds what follows in time: a minute to its hour, an hour to its window.
    pub fn append(&mut self, later: &Self) {
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            self.first = later.first;
        }
        self.count += later.count;
        self.sum += later.sum;
        self.last = later.last;
        if later.first_number.is_nan() {
            return;
        }
        if self.first_number.is_nan() {
            (self.first_number, self.min, self.max) = (later.first_number, later.min, later.max);
        } else {
            self.min = smaller(self.min, later.min);
            self.max = larger(self.max, later.max);
            if later.first_number < self.last_number {
                self.falls += 1;
                self.dropped += self.last_number;
            }
        }
        self.falls += later.falls;
        self.dropped += later.dropped;
        self.last_number = later.last_number;
    }

    /// What a counter gained, from `before` (the newest number before the run; without one the series is born inside
    /// and counts from 0) to the last number. A fall is a restart from 0. `None` without numbers.
    #[must_use]
    pub fn increase(&self, before: Option<f64>) -> Option<f64> {
        if self.first_number.is_nan() {
            return None;
        }
        let before = before.filter(|before| !before.is_nan()).unwrap_or(0.0);
        let at_start = if self.first_number < before { before } else { 0.0 };
        Some((self.last_number - before) + (at_start + self.dropped))
    }

    /// How often the counter was reset, `before` included. `None` without numbers.
    #[must_use]
    pub fn resets(&self, before: Option<f64>) -> Option<f64> {
        (!self.first_number.is_nan())
            .then(|| (self.falls + u64::from(before.is_some_and(|before| self.first_number < before))) as f64)
    }
}

/// The smaller of two numbers that are not NaN; -0 is smaller than 0, on every machine.
#[must_use]
pub fn smaller(a: f64, b: f64) -> f64 {
    if b < a || (b == a && b.is_sign_negative()) { b } else { a }
}

/// The larger of two numbers that are not NaN; 0 is larger than -0, on every machine.
#[must_use]
pub fn larger(a: f64, b: f64) -> f64 {
    if b > a || (b == a && b.is_sign_positive()) { b } else { a }
}

/// Consecutive windows of one length: window k is `[origin + k * length, origin + (k + 1) * length)`, the first one cut
/// at the start of the range, the last one at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    origin: i64,
    start: i64,
    end: i64,
    /// Unsigned: one window may hold all of time.
    length: u64,
}

impl Windows {
    /// Windows over a range, from its start. A `length` below 1 ns counts as 1 ns.
    #[must_use]
    pub fn new(range: TimeRange, length_nanos: u64) -> Self {
        Self::anchored(range, length_nanos, range.start)
    }

    /// Windows over a range, counted from an origin that is not after its start. A `length` below 1 ns counts as 1 ns.
    #[must_use]
    pub fn anchored(range: TimeRange, length_nanos: u64, origin: Timestamp) -> Self {
        let (start, end) = (range.start.nanos(), range.end.nanos());
        Self { origin: origin.nanos().min(start), start, end, length: length_nanos.max(1) }
    }

    /// One window: the whole range.
    #[must_use]
    pub fn one(range: TimeRange) -> Self {
        Self::new(range, u64::MAX)
    }

    /// What all windows cover.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(Timestamp::from_nanos(self.start), Timestamp::from_nanos(self.end))
    }

    /// How long a window is, unless it is cut.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The window that holds `time`, which must lie in the range, and where it ends.
    pub(crate) fn at(&self, time: i64) -> (u64, i64) {
        // Unsigned: the distance may exceed i64 when the range is all of time.
        let index = (time.wrapping_sub(self.origin).cast_unsigned()) / self.length;
        let end = i128::from(self.origin) + (i128::from(index) + 1) * i128::from(self.length);
        (index, i64::try_from(end).unwrap_or(i64::MAX).min(self.end))
    }

    /// The same windows without what lies at or after `end`.
    pub(crate) fn until(self, end: Timestamp) -> Self {
        Self { end: self.end.min(end.nanos()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_from_their_origin_and_one_holds_all_of_time() {
        let at = Timestamp::from_nanos;
        let windows = Windows::anchored(TimeRange::new(at(25), at(47)), 10, at(0));
        assert_eq!([25, 29, 30, 46].map(|time| windows.at(time)), [(2, 30), (2, 30), (3, 40), (4, 47)]);
        let all = Windows::one(TimeRange::ALL);
        assert_eq!([i64::MIN, 0, i64::MAX - 1].map(|time| all.at(time)), [(0, i64::MAX); 3]);
    }
}
