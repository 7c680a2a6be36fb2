//! Scales: where round numbers and round times are, and what is written beside them.

use sereno_model::Timestamp;

use crate::output::number::Unit;
use crate::parse::format_time;

/// The vertical scale: marks at `low`, `low + step` … `high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
    unit: Unit,
}

/// Numbers beyond are drawn at the edge: so every difference is finite.
const LARGEST: f64 = 1e300;
/// Rows from mark to mark, about.
const ROWS_PER_MARK: usize = 3;
const NANOS_PER_SEC: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * NANOS_PER_SEC;
/// Steps of time from a second on.
const STEPS_SECS: [i128; 27] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
    1_209_600,
    2_592_000,
    7_776_000,
    15_552_000,
    31_536_000,
    157_680_000,
    788_400_000,
];

impl Scale {
    /// A scale that holds all of `values`, which are finite, in so many rows; `None` if there are none.
    pub(super) fn of(values: impl Iterator<Item = f64>, rows: usize, unit: Unit) -> Option<Self> {
        let span = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) =
            values.map(|value| value.clamp(-LARGEST, LARGEST)).fold((f64::INFINITY, f64::NEG_INFINITY), span);
        if low > high {
            return None;
        }
        let magnitude = low.abs().max(high.abs());
        let (low, high) = match high - low > magnitude * 1e-12 && high - low > 1e-290 {
            true => (low, high),
            // All the same: the line goes through the middle.
            false if magnitude < 1e-280 => (low - 1.0, high + 1.0),
            false => (low - magnitude / 2.0, high + magnitude / 2.0),
        };
        let step = unit.step((high - low) / (rows / ROWS_PER_MARK).max(2) as f64);
        Some(Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, unit })
    }

    /// How far below the top a number is, from 0 to 1.
    pub(super) fn depth(&self, value: f64) -> f64 {
        ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The marks, from the bottom, with their depths.
    pub(super) fn marks(&self) -> impl Iterator<Item = (String, f64)> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 1_000.0) as u32;
        let largest = self.low.abs().max(self.high.abs());
        (0..=count).map(move |i| {
            // From the nearest multiple, so that errors do not add up.
            let value = ((self.low / self.step).round() + f64::from(i)) * self.step;
            (self.unit.tick(value, self.step, largest), self.depth(value))
        })
    }
}

/// Round times in `[start, end]` with what is written below them, `count_max` of them or fewer.
pub(super) fn times(start: i64, end: i64, count_max: usize) -> Vec<(i64, String)> {
    let span = i128::from(end) - i128::from(start);
    if span == 0 {
        return vec![(start, label(start, NANOS_PER_SEC))];
    }
    let step = time_step(span / count_max.max(1) as i128);
    let first = -(-i128::from(start)).div_euclid(step) * step;
    let marks = (0..=count_max as i128).map(|i| first + i * step).take_while(|time| *time <= i128::from(end));
    // Between two of i64.
    marks.filter_map(|time| i64::try_from(time).ok()).map(|time| (time, label(time, step))).collect()
}

/// A round stretch of time that is longer than `least`.
fn time_step(least: i128) -> i128 {
    if least < NANOS_PER_SEC {
        let powers = (0..9).map(|power| 10_i128.pow(power));
        let steps = powers.flat_map(|power| [1, 2, 5].map(|digit| digit * power));
        return steps.into_iter().find(|step| *step > least).unwrap_or(NANOS_PER_SEC);
    }
    let steps = STEPS_SECS.map(|secs| secs * NANOS_PER_SEC);
    steps.into_iter().find(|step| *step > least).unwrap_or(least + 1)
}

/// The part of a time that tells it from its neighbours at this distance.
fn label(time: i64, step: i128) -> String {
    let text = format_time(Timestamp::from_nanos(time));
    let part = match step {
        _ if i128::from(time).rem_euclid(DAY) == 0 && step >= 60 * NANOS_PER_SEC => {
            if step >= 28 * DAY {
                0..7
            } else {
                5..10
            }
        }
        step if step >= 60 * NANOS_PER_SEC => 11..16,
        step if step >= NANOS_PER_SEC => 11..19,
        step if step >= NANOS_PER_SEC / 1_000 => 17..23,
        _ => return format!(".{:09}", i128::from(time).rem_euclid(NANOS_PER_SEC)),
    };
    // Before 1970 a time is a plain number.
    text.get(part).map_or_else(|| text.clone(), str::to_owned)
}
