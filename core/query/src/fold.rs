//! Samples at hand, summarized in the written order, and quantiles.

use sereno_model::Sample;
use sereno_storage::{HOUR_NANOS, MINUTE_NANOS, Summary, smaller};

/// The summary of samples in time order, folded into minutes, hours, and all of them: the same bits that the store gives
/// for them.
pub(crate) fn summary(samples: &[Sample]) -> Summary {
    let (mut window, mut hour, mut minute) = (Summary::EMPTY, Summary::EMPTY, Summary::EMPTY);
    let (mut minute_end, mut hour_end) = (i64::MIN, i64::MIN);
    for sample in samples {
        let time = sample.time.nanos();
        if time >= minute_end {
            hour.append(&minute);
            minute = Summary::EMPTY;
            minute_end = end_of(time, MINUTE_NANOS);
            if time >= hour_end {
                window.append(&hour);
                hour = Summary::EMPTY;
                hour_end = end_of(time, HOUR_NANOS);
            }
        }
        minute.push(sample.value);
    }
    hour.append(&minute);
    window.append(&hour);
    window
}

/// Where the minute or hour that holds `time` ends.
fn end_of(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_add(1).saturating_mul(length)
}

/// The value below which the share `q` of the numbers lies, interpolated between neighbours; NaN is left out.
/// `q` is taken into `0..=1`. Linear in the numbers, which are put in another order. Which order they come in does not matter.
pub(crate) fn quantile(numbers: &mut Vec<f64>, q: f64) -> Option<f64> {
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
            prop_assert_eq!(summary(&samples).sum.to_bits(), expected.to_bits());
        }

        #[test]
        fn a_quantile_is_what_sorting_says(mut numbers in proptest::collection::vec(-1e3..1e3_f64, 1..50), q in 0.0..=1.0) {
            let found = quantile(&mut numbers.clone(), q).unwrap();
            numbers.sort_by(f64::total_cmp);
            let rank = q * (numbers.len() - 1) as f64;
            let (low, high) = (numbers[rank.floor() as usize], numbers[rank.ceil() as usize]);
            let expected = low + (high - low) * (rank - rank.floor());
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn quantiles_of_odd_numbers() {
        assert_eq!(quantile(&mut vec![], 0.5), None);
        assert_eq!(quantile(&mut vec![f64::NAN], 0.5), None);
        assert_eq!(quantile(&mut vec![f64::NAN, 2.0, 1.0], 0.5), Some(1.5));
        assert_eq!(quantile(&mut vec![f64::INFINITY; 3], 0.5), Some(f64::INFINITY));
        assert_eq!(quantile(&mut vec![1.0, 2.0], 7.0), Some(2.0), "q is taken into 0..=1");
        assert_eq!(quantile(&mut vec![1.0, 2.0], f64::NAN), Some(1.0));
    }
}
