//! Columns of times: nanoseconds, strictly increasing, any `i64`.
//!
//! Samples mostly come at a fixed step. Exactly so: the column is two numbers, see [`shape`]. With jitter: the grid is
//! kept and how far each sample is off it, which costs the entropy of the jitter once, where differences of
//! neighbours would cost it twice. A reader does not check that times increase: the encoder's caller sees to it.

use super::input::{Input, put_scaled, put_scaled_signed, put_signed, put_varint};
use super::{Malformed, SAMPLES_MAX, Scratch, ints};

/// Codec numbers: the first byte.
const LINE: u8 = 1;
const GRID: u8 = 2;
const INTS: u8 = 3;

/// Steps that are tried for a grid at most.
const CANDIDATES_MAX: usize = 6;
/// A grid on which more samples than one in so many skip steps is none.
const GAPS_SHARE: usize = 8;
/// What a gap costs, about.
const GAP_BITS: f64 = 24.0;

/// A strictly regular column: sample i is at `first + i * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) first: i64,
    /// Positive; 1 if there is one sample only.
    pub(crate) step: i64,
}

/// Appends a column of `times`, at most [`SAMPLES_MAX`].
pub(crate) fn encode(times: &[i64], out: &mut Vec<u8>, scratch: &mut Scratch) {
    debug_assert!(times.len() <= SAMPLES_MAX, "readers refuse longer columns");
    let Some(&first) = times.first() else { return };
    if let Some(step) = even_step(times) {
        out.push(LINE);
        put_scaled_signed(first, out);
        if times.len() > 1 {
            put_scaled(step, out);
        }
        return;
    }
    let start = out.len();
    let on_grid = find_step(times).is_some_and(|step| put_grid(times, step, out, scratch));
    // A grid under a byte a sample is not worth doubting.
    if on_grid && out.len() - start <= times.len() {
        return;
    }
    let middle = out.len();
    out.push(INTS);
    ints::encode(times, !scratch.quick, out, &mut scratch.ints);
    if on_grid && out.len() - middle >= middle - start {
        out.truncate(middle);
    } else {
        out.drain(start..middle);
    }
}

/// Replaces what is in `out` by the `count` times of a column.
///
/// # Errors
/// [`Malformed`] if `bytes` are not the column of so many times; then `out` holds anything.
pub(crate) fn decode(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<i64>,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    out.clear();
    if count == 0 {
        return Input(bytes).end();
    }
    if count > SAMPLES_MAX {
        return Err(Malformed);
    }
    let mut input = Input(bytes);
    match input.byte()? {
        LINE => {
            let (first, step) = read_line(input, count)?;
            out.extend((0..count as u64).map(|index| first.wrapping_add_unsigned(step.wrapping_mul(index))));
            Ok(())
        }
        GRID => decode_grid(input, count, out, scratch),
        INTS => {
            out.reserve(count);
            ints::decode(input.0, count, scratch.ints.memory(), &mut |chunk| out.extend_from_slice(chunk))
        }
        _ => Err(Malformed),
    }
}

/// The grid of a strictly regular column of `count` times, so that they need not be decoded; `None` if it is not
/// regular or malformed, or if it spans more than an `i64` holds. So `first + i * step` overflows nowhere.
pub(crate) fn shape(bytes: &[u8], count: usize) -> Option<Grid> {
    let mut input = Input(bytes);
    if input.byte().ok()? != LINE || count == 0 {
        return None;
    }
    let (first, step) = read_line(input, count).ok()?;
    let step = i64::try_from(step).ok()?;
    step.checked_mul(count as i64 - 1)?;
    Some(Grid { first, step })
}

/// First time and step, which is not 0; the last time fits.
fn read_line(mut input: Input<'_>, count: usize) -> Result<(i64, u64), Malformed> {
    let first = input.scaled_signed()?;
    let step = if count > 1 { input.scaled()? } else { 1 };
    input.end()?;
    let last = i128::from(first) + i128::from(step) * (count as i128 - 1);
    if step == 0 || last > i128::from(i64::MAX) { Err(Malformed) } else { Ok((first, step)) }
}

/// The step of a strictly regular column.
fn even_step(times: &[i64]) -> Option<u64> {
    let [first, second, ..] = *times else { return Some(1) };
    let step = second.wrapping_sub(first);
    times.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step).then_some(step as u64)
}

/// The step of the grid that `times` are closest to: the median distance, rounded to more and more digits, and the
/// mean. A rounded step that is a little wrong drifts away from the times, which the range of the residuals shows.
fn find_step(times: &[i64]) -> Option<i64> {
    let mut candidates = [0; CANDIDATES_MAX];
    let mut count = 0;
    let median = median_distance(times).filter(|median| *median > 0)?;
    let mean = mean_distance(times)?;
    let rounded = (0..17).rev().map(|digits| round_to(median, 10_i64.pow(digits)));
    for step in rounded.chain([mean]) {
        if (step - median).unsigned_abs() > median.unsigned_abs() / 4 || candidates[..count].contains(&step) {
            continue;
        }
        candidates[count] = step;
        count += 1;
        if count == CANDIDATES_MAX {
            break;
        }
    }
    let cost = |step: &i64| grid_bits(times, *step).map(|bits| (bits, *step));
    let costs = candidates[..count].iter().filter_map(cost);
    costs.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, step)| step)
}

fn round_to(value: i64, unit: i64) -> i64 {
    value.saturating_add(unit / 2) / unit * unit
}

fn median_distance(times: &[i64]) -> Option<i64> {
    let mut sample = [0; 31];
    let pairs = times.len() - 1;
    let count = sample.len().min(pairs);
    for (index, place) in sample[..count].iter_mut().enumerate() {
        let at = index * pairs / count;
        *place = times[at + 1].checked_sub(times[at])?;
    }
    let sample = &mut sample[..count];
    sample.sort_unstable();
    sample.get(count / 2).copied()
}

fn mean_distance(times: &[i64]) -> Option<i64> {
    let whole = times.last()?.checked_sub(*times.first()?)?;
    Some(whole / (times.len() as i64 - 1).max(1))
}

/// Walks along the grid: calls `each` with the residual of every time, and how many steps it skipped beyond one.
fn walk(times: &[i64], step: i64, mut each: impl FnMut(usize, i64, i64)) {
    let Some(&first) = times.first() else { return };
    let mut place = first.wrapping_sub(step);
    let half = step / 2;
    for (index, time) in times.iter().enumerate() {
        place = place.wrapping_add(step);
        let mut residual = time.wrapping_sub(place);
        let mut skipped = 0;
        if residual > half || residual < -half {
            // Not a division by zero: steps are positive.
            skipped = residual.wrapping_add(half).div_euclid(step);
            place = place.wrapping_add(skipped.wrapping_mul(step));
            residual = time.wrapping_sub(place);
        }
        each(index, residual, skipped);
    }
}

/// What the residuals and gaps would cost, about; `None` if there are too many gaps.
fn grid_bits(times: &[i64], step: i64) -> Option<f64> {
    let (mut low, mut high, mut gaps) = (0, 0, 0_usize);
    walk(times, step, |_, residual, skipped| {
        low = low.min(residual);
        high = high.max(residual);
        gaps += usize::from(skipped != 0);
    });
    let range = (high.wrapping_sub(low) as u64) as f64 + 1.0;
    let fits = gaps <= times.len() / GAPS_SHARE + 1;
    fits.then(|| times.len() as f64 * range.log2() + gaps as f64 * GAP_BITS)
}

/// Appends the column; `false`, and nothing, if there are too many gaps.
fn put_grid(times: &[i64], step: i64, out: &mut Vec<u8>, scratch: &mut Scratch) -> bool {
    let Scratch { numbers, exceptions, ints, quick } = scratch;
    numbers.clear();
    exceptions.clear();
    walk(times, step, |index, residual, skipped| {
        numbers.push(residual);
        if skipped != 0 {
            exceptions.push((index, skipped as u64));
        }
    });
    let Some(&first) = times.first() else { return false };
    // With the earliest residual in the origin they begin at 0.
    let low = numbers.iter().copied().min().unwrap_or_default();
    numbers.iter_mut().for_each(|residual| *residual = residual.wrapping_sub(low));
    out.push(GRID);
    put_scaled_signed(first.wrapping_add(low), out);
    put_scaled(step as u64, out);
    put_varint(exceptions.len() as u64, out);
    let mut next = 0;
    for &(index, skipped) in exceptions.iter() {
        put_varint((index - next) as u64, out);
        put_signed(skipped as i64, out);
        next = index + 1;
    }
    ints::encode(numbers, !*quick, out, ints);
    true
}

fn decode_grid(
    mut input: Input<'_>,
    count: usize,
    out: &mut Vec<i64>,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    let origin = input.scaled_signed()?;
    let step = i64::try_from(input.scaled()?).map_err(|_| Malformed)?;
    let gaps = input.count(count)?;
    let mut skips = input;
    let mut next = 0_usize;
    for _ in 0..gaps {
        // Both are at most `count`, so the sum is small.
        next += input.count(count)? + 1;
        input.signed()?;
        if next > count {
            return Err(Malformed);
        }
    }
    out.reserve(count);
    let mut place = origin;
    let mut left = gaps;
    let mut skip = take_skip(&mut skips, &mut left);
    ints::decode(input.0, count, scratch.ints.memory(), &mut |mut chunk| {
        while let Some((after, skipped)) = skip.filter(|(after, _)| *after < chunk.len()) {
            let (before, rest) = chunk.split_at(after);
            place = put_run(before, place, step, out).wrapping_add(skipped.wrapping_mul(step));
            chunk = rest;
            // The distance to the next one counts from behind this sample.
            skip = take_skip(&mut skips, &mut left).map(|(after, skipped)| (after + 1, skipped));
        }
        place = put_run(chunk, place, step, out);
        skip = skip.map(|(after, skipped)| (after - chunk.len(), skipped));
    })
}

/// The next gap: how many samples stand before it, and how many steps it skips.
fn take_skip(skips: &mut Input<'_>, left: &mut usize) -> Option<(usize, i64)> {
    *left = left.checked_sub(1)?;
    Some((skips.varint().ok()? as usize, skips.signed().ok()?))
}

/// Appends the times of a run without gaps; answers the place of the next sample.
fn put_run(residuals: &[i64], place: i64, step: i64, out: &mut Vec<i64>) -> i64 {
    let mut next = place;
    out.extend(residuals.iter().map(|residual| {
        let time = next.wrapping_add(*residual);
        next = next.wrapping_add(step);
        time
    }));
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const START: i64 = 1_790_000_000 * SECOND;

    fn encoded(times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(times, &mut bytes, &mut Scratch::default());
        bytes
    }

    fn decoded(bytes: &[u8], count: usize) -> Result<Vec<i64>, Malformed> {
        let mut times = vec![1; 3];
        decode(bytes, count, &mut times, &mut Scratch::default())?;
        assert_eq!(times.len(), count);
        if let Some(Grid { first, step }) = shape(bytes, count) {
            let line: Vec<i64> = (0..count as i64).map(|index| first + index * step).collect();
            assert_eq!(times, line);
        }
        Ok(times)
    }

    /// Grids of any step, with jitter of any width, and gaps; and any times at all.
    fn columns() -> impl Strategy<Value = Vec<i64>> {
        let seeds = || prop::collection::vec(any::<u64>(), 1..700);
        let grids = (seeds(), 0..62_u32, 0..40_u32, any::<bool>(), any::<i64>()).prop_map(
            |(seeds, step_bits, jitter_bits, gaps, first)| {
                let step = 1_u64 << step_bits;
                let mut place = first;
                let mut times = Vec::new();
                for seed in seeds {
                    let skipped = if gaps && seed % 29 == 0 { seed >> 58 } else { 0 };
                    let Some(next) = place.checked_add_unsigned(step.saturating_mul(skipped + 1)) else {
                        break;
                    };
                    place = next;
                    times.push(place.saturating_add_unsigned((seed >> 8) & ((1 << jitter_bits) - 1)));
                }
                times
            },
        );
        let any_times = (seeds(), 0..64_u32).prop_map(|(seeds, shift)| {
            seeds.iter().map(|seed| (*seed as i64) >> shift).collect::<Vec<i64>>()
        });
        prop_oneof![grids, any_times].prop_map(|mut times| {
            times.sort_unstable();
            times.dedup();
            times
        })
    }

    proptest! {
        #[test]
        fn columns_round_trip(times in columns()) {
            prop_assert_eq!(decoded(&encoded(&times), times.len()), Ok(times));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..2_000_usize, codec in 0..5_u8) {
            let _answer = decoded(&bytes, count);
            let mut column = vec![codec];
            column.extend(bytes);
            let _answer = decoded(&column, count);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn flipped_bits_do_no_harm(times in columns()) {
            let times = &times[..times.len().min(80)];
            let mut bytes = encoded(times);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let _answer = decoded(&bytes, times.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for cut in 0..bytes.len() {
                prop_assert!(decoded(&bytes[..cut], times.len()).is_err());
            }
        }
    }

    /// What a column costs whose times are plain: bytes, whatever the number of samples.
    #[test]
    fn small_columns_are_small() {
        for step in [SECOND, 10 * SECOND, 15 * SECOND, 60 * SECOND] {
            for count in [1, 2, 60, 8_640] {
                let times: Vec<i64> = (0..count).map(|index| START + index * step).collect();
                let bytes = encoded(&times);
                assert!(bytes.len() <= 10, "{}", bytes.len());
                assert_eq!(shape(&bytes, times.len()).unwrap().first, START);
                assert_eq!(decoded(&bytes, times.len()), Ok(times));
            }
        }
    }

    /// A missing scrape must not make its neighbours expensive.
    #[test]
    fn gaps_are_cheap() {
        let times: Vec<i64> =
            (0..1_000).filter(|index| index % 300 != 299).map(|index| START + index * 10 * SECOND).collect();
        let bytes = encoded(&times);
        assert!(bytes.len() <= 25, "{}", bytes.len());
        assert_eq!(decoded(&bytes, times.len()), Ok(times));
    }

    #[test]
    fn extreme_times_round_trip() {
        for times in
            [vec![i64::MIN, i64::MAX], vec![i64::MIN, 0, i64::MAX], vec![i64::MIN, i64::MIN + 1, i64::MAX]]
        {
            assert_eq!(decoded(&encoded(&times), times.len()), Ok(times));
        }
    }
}
