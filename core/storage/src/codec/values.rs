//! Columns of values: any `f64`, bit for bit.
//!
//! Most values in the world are decimals that somebody printed: they are kept as whole numbers of 10^-k, and the few
//! that are not (stale markers, infinities, -0.0) stand aside. The rest is kept as integers that sort like the
//! floats, or in pco's format where that is smaller.

use super::input::{Input, put_varint};
use super::{Malformed, SAMPLES_MAX, Scratch, entropy, ints};

/// Codec numbers: the low four bits of the first byte. The high four are k for the decimals, else 0.
const SAME: u8 = 1;
const DECIMALS: u8 = 2;
const DECIMALS_AND_OTHERS: u8 = 3;
const FLOATS: u8 = 4;
const ENTROPY: u8 = 5;

/// pco must be smaller than the floats' integers by this factor: it takes ten times as long to read.
const ENTROPY_GAIN: f64 = 0.99;
/// With fewer samples pco's description of the distribution costs more than it saves.
const ENTROPY_SAMPLES_MIN: usize = 200;

/// Digits after the point that decimals may have.
pub(super) const DECIMALS_MAX: usize = 12;
/// Scaled numbers are smaller than this, so that adding [`ROUND`] is rounding.
const SCALED_LIMIT: f64 = 2_251_799_813_685_248.0;
/// 1.5 · 2^52: in this binade the last bit of a float is worth 1.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Values that are looked at to tell whether a column is worth trying as decimals.
const PROBES: usize = 32;

pub(super) const POWERS: [f64; DECIMALS_MAX + 1] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// Appends a column of `values`, at most [`SAMPLES_MAX`].
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>, scratch: &mut Scratch) {
    debug_assert!(values.len() <= SAMPLES_MAX, "readers refuse longer columns");
    let Some(first) = values.first() else { return };
    if let Some(decimals) = to_decimals(values, &mut scratch.numbers, &mut scratch.exceptions) {
        put_decimals(decimals, out, scratch);
    } else if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.push(SAME);
        out.extend_from_slice(&first.to_bits().to_le_bytes());
    } else {
        put_floats(values, out, scratch);
    }
}

/// Whether a column of these would be kept as floats rather than decimals, going by a few of them.
pub(crate) fn are_floats(values: &[f64]) -> bool {
    probe(values).is_none()
}

/// Replaces what is in `out` by the `count` values of a column.
///
/// # Errors
/// [`Malformed`] if `bytes` are not the column of so many values; then `out` holds anything.
pub(crate) fn decode(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<f64>,
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
    let head = input.byte()?;
    let decimals = usize::from(head >> 4);
    match head & 15 {
        DECIMALS => decode_decimals(input, decimals, count, out, scratch),
        DECIMALS_AND_OTHERS => decode_mixed(input, decimals, count, out, scratch),
        _ if decimals != 0 => Err(Malformed),
        SAME => {
            out.resize(count, f64::from_bits(input.word()?));
            input.end()
        }
        FLOATS => {
            out.reserve(count);
            ints::decode(input.0, count, scratch.ints.memory(), &mut |chunk| {
                out.extend(chunk.iter().map(|number| float_at(*number)));
            })
        }
        ENTROPY => entropy::decode(input.0, count, out),
        _ => Err(Malformed),
    }
}

/// The integer that `value` is, times 10^-decimals: `integer as f64 / 10^decimals` gives exactly its bits.
#[inline]
pub(super) fn scaled(value: f64, decimals: usize) -> Option<i64> {
    let power = POWERS[decimals];
    let product = value * power;
    let rounded = (product + ROUND) - ROUND;
    let exact = product.abs() < SCALED_LIMIT && (rounded / power).to_bits() == value.to_bits();
    exact.then_some(rounded as i64)
}

/// The fewest decimals, at least `from`, that hold `value`. More would hold it too, until the integer is too large.
pub(super) fn decimals_of(value: f64, from: usize) -> Option<usize> {
    (from..=DECIMALS_MAX).find(|decimals| scaled(value, *decimals).is_some())
}

/// Scales all values by the same power, but for a quarter at most that goes to `exceptions`; answers its exponent.
fn to_decimals(values: &[f64], numbers: &mut Vec<i64>, exceptions: &mut Vec<(usize, u64)>) -> Option<usize> {
    let mut decimals = probe(values)?;
    loop {
        match scale_all(values, decimals, numbers, exceptions) {
            Scaled::All => return Some(decimals),
            Scaled::Needs(more) => decimals = more,
            Scaled::No => return None,
        }
    }
}

/// The decimals that a few values need; `None` if most of them have none.
fn probe(values: &[f64]) -> Option<usize> {
    let count = PROBES.min(values.len());
    let (mut decimals, mut others) = (0, 0);
    for index in 0..count {
        match decimals_of(values[index * values.len() / count], decimals) {
            Some(needed) => decimals = needed,
            None => others += 1,
        }
    }
    (others * 2 <= count && others < values.len()).then_some(decimals)
}

enum Scaled {
    All,
    Needs(usize),
    No,
}

fn scale_all(
    values: &[f64],
    decimals: usize,
    numbers: &mut Vec<i64>,
    exceptions: &mut Vec<(usize, u64)>,
) -> Scaled {
    numbers.clear();
    exceptions.clear();
    for (index, value) in values.iter().enumerate() {
        if let Some(number) = scaled(*value, decimals) {
            numbers.push(number);
        } else if let Some(more) = decimals_of(*value, decimals) {
            return Scaled::Needs(more);
        } else if exceptions.len() > values.len() / 4 {
            return Scaled::No;
        } else {
            exceptions.push((index, value.to_bits()));
        }
    }
    if numbers.is_empty() { Scaled::No } else { Scaled::All }
}

fn put_decimals(decimals: usize, out: &mut Vec<u8>, scratch: &mut Scratch) {
    let decimals = (decimals as u8) << 4;
    if scratch.exceptions.is_empty() {
        out.push(decimals | DECIMALS);
    } else {
        out.push(decimals | DECIMALS_AND_OTHERS);
        put_varint(scratch.exceptions.len() as u64, out);
        let mut next = 0;
        for (index, bits) in &scratch.exceptions {
            put_varint((index - next) as u64, out);
            out.extend_from_slice(&bits.to_le_bytes());
            next = index + 1;
        }
    }
    ints::encode(&scratch.numbers, !scratch.quick, out, &mut scratch.ints);
}

fn put_floats(values: &[f64], out: &mut Vec<u8>, scratch: &mut Scratch) {
    scratch.numbers.clear();
    scratch.numbers.extend(values.iter().map(|value| place_of(*value)));
    let start = out.len();
    out.push(FLOATS);
    let order = ints::encode(&scratch.numbers, false, out, &mut scratch.ints);
    if scratch.quick || values.len() < ENTROPY_SAMPLES_MIN || out.len() - start < values.len() {
        return;
    }
    let middle = out.len();
    out.push(ENTROPY);
    let gained = entropy::encode(values, order.min(1), out)
        && ((out.len() - middle) as f64) < ENTROPY_GAIN * (middle - start) as f64;
    if gained {
        out.drain(start..middle);
    } else {
        out.truncate(middle);
    }
}

/// An integer that sorts like the floats do, each the next of its neighbour. It is its own inverse on bits.
pub(super) fn place_of(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

pub(super) fn float_at(place: i64) -> f64 {
    f64::from_bits((place ^ ((place >> 63) as u64 >> 1) as i64) as u64)
}

fn decode_decimals(
    input: Input<'_>,
    decimals: usize,
    count: usize,
    out: &mut Vec<f64>,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    let divisor = DIVISORS.get(decimals).ok_or(Malformed)?;
    out.reserve(count);
    ints::decode(input.0, count, scratch.ints.memory(), &mut |chunk| divisor.divide(chunk, out))
}

fn decode_mixed(
    mut input: Input<'_>,
    decimals: usize,
    count: usize,
    out: &mut Vec<f64>,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    let mut exceptions = std::mem::take(&mut scratch.exceptions);
    exceptions.clear();
    let read = read_exceptions(&mut input, count, &mut exceptions);
    let decoded =
        read.and_then(|()| decode_decimals(input, decimals, count - exceptions.len(), out, scratch));
    if decoded.is_ok() {
        insert(&exceptions, count, out);
    }
    scratch.exceptions = exceptions;
    decoded
}

fn read_exceptions(
    input: &mut Input<'_>,
    count: usize,
    exceptions: &mut Vec<(usize, u64)>,
) -> Result<(), Malformed> {
    let mut next = 0_usize;
    for _ in 0..input.count(count)? {
        // Both are at most `count`, so the sum is small.
        let index = next + input.count(count)?;
        if index >= count {
            return Err(Malformed);
        }
        exceptions.push((index, input.word()?));
        next = index + 1;
    }
    Ok(())
}

/// Makes room for the exceptions among the others, from the back.
fn insert(exceptions: &[(usize, u64)], count: usize, out: &mut Vec<f64>) {
    let mut from = out.len();
    let mut to = count;
    out.resize(count, 0.0);
    for &(index, bits) in exceptions.iter().rev() {
        let moved = to - index - 1;
        out.copy_within(from - moved..from, index + 1);
        out[index] = f64::from_bits(bits);
        from -= moved;
        to = index;
    }
}

/// Divides integers by a power of ten, rounded as the division of floats rounds, without dividing.
///
/// 1/10^k is split into `high`, so short that `integer * high` is exact, and `low`. The sum of both products is off by
/// less than 2^(1 - s) units in the last place, s = bits of `high`, before it is rounded once. The true quotient is at
/// least 1/(2 · 5^k) units away from where rounding turns: i/10^k and such a turning point differ by a multiple of
/// 2^e/5^k, and cannot be equal, as the point has a bit further down than any i/2^k of this size. So s > 2 + 2.33 k is
/// enough for the same result, and integers may have 53 - s bits; larger ones are divided.
struct Divisor {
    power: f64,
    high: f64,
    low: f64,
    limit: u64,
}

static DIVISORS: [Divisor; DECIMALS_MAX + 1] = {
    let mut divisors = [const { Divisor::new(0) }; DECIMALS_MAX + 1];
    let mut decimals = 1;
    while decimals <= DECIMALS_MAX {
        divisors[decimals] = Divisor::new(decimals);
        decimals += 1;
    }
    divisors
};

impl Divisor {
    const fn new(decimals: usize) -> Self {
        let power = POWERS[decimals];
        if decimals == 0 {
            return Self { power, high: 1.0, low: 0.0, limit: 1 << 51 };
        }
        let bits = 4 + (7 * decimals).div_ceil(3);
        let high = f64::from_bits((1.0 / power).to_bits() & !((1 << (53 - bits)) - 1));
        // Exact but for the last division: high · 5^k has less than 53 bits, and is close to 1.
        let low = (1.0 - high * power) / power;
        // From 10 digits on `high · 5^k` would be rounded.
        let limit = if decimals <= 9 { 1 << (53 - bits) } else { 0 };
        Self { power, high, low, limit }
    }

    /// Appends `numbers` / 10^k.
    #[inline(never)]
    fn divide(&self, numbers: &[i64], out: &mut Vec<f64>) {
        // One bit more than the others' if any number is outside: an addition and an OR each, which vectorise.
        let limit = self.limit;
        let bits = numbers.iter().fold(0, |bits, number| bits | (*number as u64).wrapping_add(limit));
        if bits >= 2 * limit {
            out.extend(numbers.iter().map(|number| *number as f64 / self.power));
        } else if self.low == 0.0 {
            out.extend(numbers.iter().map(|number| small_float(*number)));
        } else {
            let (high, low) = (self.high, self.low);
            out.extend(numbers.iter().map(|number| {
                let number = small_float(*number);
                number * high + number * low
            }));
        }
    }
}

/// `number as f64` for numbers under 2^51, in two operations that plain x86-64 has for vectors.
#[inline(always)]
fn small_float(number: i64) -> f64 {
    f64::from_bits((number as u64).wrapping_add(ROUND.to_bits())) - ROUND
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes, &mut Scratch::default());
        bytes
    }

    fn decoded(bytes: &[u8], count: usize) -> Result<Vec<u64>, Malformed> {
        let mut values = vec![1.0; 3];
        decode(bytes, count, &mut values, &mut Scratch::default())?;
        assert_eq!(values.len(), count);
        Ok(values.into_iter().map(f64::to_bits).collect())
    }

    fn check(values: &[f64]) {
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(decoded(&encoded(values), values.len()), Ok(bits), "{values:?}");
    }

    fn special() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(f64::NAN),
            Just(f64::from_bits(0x7FF0_0000_0000_0002)),
            Just(f64::from_bits(u64::MAX)),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(-0.0),
            Just(f64::MIN_POSITIVE / 8.0),
            Just(f64::MAX),
            any::<u64>().prop_map(f64::from_bits),
        ]
    }

    /// Decimals of one k, walks of them, floats of one binade, single-precision floats, any bits; specials among them.
    fn columns() -> impl Strategy<Value = Vec<f64>> {
        let shape = (0..5_u8, 0..16_i32, 0..64_u32, any::<bool>());
        let specials = prop::collection::vec((any::<prop::sample::Index>(), special()), 0..5);
        (prop::collection::vec(any::<i64>(), 1..700), shape, specials).prop_map(
            |(seeds, (shape, decimals, shift, walk), specials)| {
                let mut sum = 0_i64;
                let mut values: Vec<f64> = seeds
                    .iter()
                    .map(|seed| {
                        let number = seed >> shift;
                        sum = sum.wrapping_add(number);
                        let number = if walk { sum } else { number };
                        match shape {
                            0 | 1 => number as f64 / 10_f64.powi(decimals),
                            2 => 1.0 + (seed.unsigned_abs() >> 11) as f64 / 2_f64.powi(53),
                            3 => f64::from(number as f32),
                            _ => f64::from_bits(number as u64),
                        }
                    })
                    .collect();
                for (index, value) in specials {
                    let length = values.len();
                    values[index.index(length)] = value;
                }
                values
            },
        )
    }

    proptest! {
        #[test]
        fn columns_round_trip(values in columns()) {
            check(&values);
        }

        #[test]
        fn few_values_round_trip(values in prop::collection::vec(special(), 0..6)) {
            check(&values);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..2_000_usize) {
            let _answer = decoded(&bytes, count);
        }

        /// The sum of two products is the quotient, bit for bit, up to the limits and across them.
        #[test]
        fn division_rounds_as_division(numbers in prop::collection::vec(any::<i64>(), 64), shift in 6..64_u32) {
            let numbers: Vec<i64> = numbers.iter().map(|number| number >> shift).collect();
            for (decimals, divisor) in DIVISORS.iter().enumerate() {
                for number in &numbers {
                    let mut quotient = Vec::new();
                    divisor.divide(&[*number], &mut quotient);
                    prop_assert_eq!(quotient[0].to_bits(), (*number as f64 / POWERS[decimals]).to_bits());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn flipped_bits_do_no_harm(values in columns()) {
            let values = &values[..values.len().min(80)];
            let mut bytes = encoded(values);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let _answer = decoded(&bytes, values.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for cut in 0..bytes.len() {
                let _answer = decoded(&bytes[..cut], values.len());
            }
        }
    }

    /// Near the limits of every divisor, where the argument in its documentation is tightest.
    #[test]
    fn division_is_exact_near_the_limits() {
        for (decimals, divisor) in DIVISORS.iter().enumerate() {
            let numbers: Vec<i64> =
                (1..20_000).map(|offset| (divisor.limit as i64 - offset).max(offset)).collect();
            let mut quotients = Vec::new();
            divisor.divide(&numbers, &mut quotients);
            for (number, quotient) in numbers.iter().zip(quotients) {
                assert_eq!(
                    quotient.to_bits(),
                    (*number as f64 / POWERS[decimals]).to_bits(),
                    "{number} {decimals}"
                );
            }
        }
    }

    #[test]
    fn too_many_samples_are_refused() {
        assert_eq!(decoded(&[SAME, 0, 0, 0, 0, 0, 0, 0, 0], SAMPLES_MAX + 1), Err(Malformed));
    }

    /// One gauge that stands still costs four bytes however long; a stale marker costs about ten more.
    #[test]
    fn small_columns_are_small() {
        assert_eq!(encoded(&[21.5; 8_640]).len(), 4);
        assert_eq!(encoded(&[f64::NAN; 8_640]).len(), 9);
        let counter: Vec<f64> = (0..8_640).map(|i| f64::from(i * 10)).collect();
        assert_eq!(encoded(&counter).len(), 4);
        let mut stale = counter;
        stale[77] = f64::NAN;
        assert!(encoded(&stale).len() <= 30, "{}", encoded(&stale).len());
    }
}
