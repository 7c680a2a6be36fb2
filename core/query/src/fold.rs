//! The folds that everything is made of, each in a written order, so that answers agree bit for bit.

use sereno_model::Sample;

const MINUTE_NANOS: i64 = 60_000_000_000;
const MINUTES_PER_HOUR: i64 = 60;

/// The sum of samples in time order: a left fold from 0 within each minute, of the minutes within each hour, and of
/// the hours. Minutes and hours are those of the epoch (UTC).
///
/// Float addition does not associate. With this order a stored sum of a whole minute or hour can stand for its
/// samples, and the answer does not change by one bit.
pub(crate) fn sum(samples: &[Sample]) -> f64 {
    let Some(first) = samples.first() else { return 0.0 };
    let (mut window, mut hour, mut minute) = (0.0, 0.0, 0.0);
    let mut current = minute_of(first);
    let mut minute_end = end_of(current);
    for sample in samples {
        if sample.time.nanos() >= minute_end {
            let next = minute_of(sample);
            hour += minute;
            minute = 0.0;
            if next.div_euclid(MINUTES_PER_HOUR) != current.div_euclid(MINUTES_PER_HOUR) {
                window += hour;
                hour = 0.0;
            }
            current = next;
            minute_end = end_of(current);
        }
        minute += sample.value;
    }
    window + (hour + minute)
}

fn minute_of(sample: &Sample) -> i64 {
    sample.time.nanos().div_euclid(MINUTE_NANOS)
}

fn end_of(minute: i64) -> i64 {
    (minute + 1).saturating_mul(MINUTE_NANOS)
}

/// The smaller of two numbers that are not NaN; -0 is smaller than 0, on every machine.
pub(crate) fn smaller(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

/// The larger of two numbers that are not NaN; 0 is larger than -0, on every machine.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_gt() { b } else { a }
}

/// What a counter gained from `earlier` to `later`. A fall is a restart from 0.
pub(crate) fn gained(earlier: f64, later: f64) -> f64 {
    if later >= earlier { later - earlier } else { later }
}

/// The value below which the share `q` of the numbers lies, interpolated between neighbours; NaN is left out.
/// `q` is taken into `0..=1`. Linear in the numbers.
pub(crate) fn quantile(mut numbers: Vec<f64>, q: f64) -> Option<f64> {
    numbers.retain(|number| !number.is_nan());
    let last = numbers.len().checked_sub(1)?;
    let rank = q.clamp(0.0, 1.0) * last as f64;
    // `as` takes a NaN rank to 0.
    let below = (rank.floor() as usize).min(last);
    let (_, low, above) = numbers.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let share = rank - below as f64;
    match above.iter().copied().reduce(smaller) {
        // Equal neighbours are spared the arithmetic: inf - inf is NaN.
        Some(high) if share > 0.0 && high != low => Some(low + (high - low) * share),
        _ => Some(low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sereno_model::Timestamp;
    use std::collections::BTreeMap;

    proptest! {
        /// The order of the fold is a promise: whoever stores minute and hour sums must get the same bits.
        #[test]
        fn sums_of_minutes_and_hours_can_stand_for_their_samples(
            points in proptest::collection::btree_map(-10_800_000_i64..10_800_000, -1e6..1e6_f64, 0..200),
        ) {
            let mut hours: BTreeMap<i64, BTreeMap<i64, f64>> = BTreeMap::new();
            for (millis, value) in &points {
                let hour = hours.entry(millis.div_euclid(3_600_000)).or_default();
                *hour.entry(millis.div_euclid(60_000)).or_insert(0.0) += value;
            }
            let expected: f64 = hours
                .values()
                .map(|minutes| minutes.values().fold(0.0, |sum, minute| sum + minute))
                .fold(0.0, |sum, hour| sum + hour);
            let samples: Vec<Sample> = points
                .iter()
                .map(|(millis, value)| Sample { time: Timestamp::from_millis(*millis), value: *value })
                .collect();
            prop_assert_eq!(sum(&samples).to_bits(), expected.to_bits());
        }

        #[test]
        fn a_quantile_is_what_sorting_says(mut numbers in proptest::collection::vec(-1e3..1e3_f64, 1..50), q in 0.0..=1.0) {
            let found = quantile(numbers.clone(), q).unwrap();
            numbers.sort_by(f64::total_cmp);
            let rank = q * (numbers.len() - 1) as f64;
            let (low, high) = (numbers[rank.floor() as usize], numbers[rank.ceil() as usize]);
            let expected = low + (high - low) * (rank - rank.floor());
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn quantiles_of_odd_numbers() {
        assert_eq!(quantile(vec![], 0.5), None);
        assert_eq!(quantile(vec![f64::NAN], 0.5), None);
        assert_eq!(quantile(vec![f64::NAN, 2.0, 1.0], 0.5), Some(1.5));
        assert_eq!(quantile(vec![f64::INFINITY; 3], 0.5), Some(f64::INFINITY));
        assert_eq!(quantile(vec![1.0, 2.0], 7.0), Some(2.0), "q is taken into 0..=1");
        assert_eq!(quantile(vec![1.0, 2.0], f64::NAN), Some(1.0));
    }
}
