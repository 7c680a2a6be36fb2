//! Columns of any 64-bit integers: the ground that times, values and rows stand on.
//!
//! Order 0 keeps the numbers, order 1 their differences, order 2 the differences of those. What remains is a frame:
//! `low + step · number`, the numbers packed as radix words; the few that are far outside are patches. All arithmetic
//! wraps, so that differences beyond `i64` need no case of their own.

mod plan;
mod read;
mod step;

use self::plan::{Plan, choose};
pub(super) use self::read::decode;
use self::step::{Unit, divide_by_step};
use super::entropy;
use super::input::{put_signed, put_varint};
use super::radix::{self, Layout};

/// Head byte: bits 0-1 order, bits 2-3 packing, bit 4 step present, the rest 0.
const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const PATCHED: u8 = 2;
const ENTROPY: u8 = 3;
const STEP: u8 = 1 << 4;

/// pco must be smaller than radix words by this factor, and its gain estimated before it is tried.
const ENTROPY_GAIN: f64 = 0.95;

/// Working memory: see [`super::Scratch`].
#[derive(Debug, Default)]
pub(super) struct Scratch {
    streams: [Vec<i64>; 3],
    packed: Vec<u64>,
    patches: Vec<(usize, i64)>,
    trial: Vec<u8>,
}

impl Scratch {
    /// For [`decode`].
    pub(super) fn memory(&mut self) -> &mut Vec<u64> {
        &mut self.packed
    }
}

/// Appends `numbers`; answers the order that suits them. `may_entropy`: pco may be tried.
pub(super) fn encode(numbers: &[i64], may_entropy: bool, out: &mut Vec<u8>, scratch: &mut Scratch) -> usize {
    let Some(&base) = numbers.first() else { return 0 };
    // All work is on multiples of the common step, so that neither ranges nor estimates see it.
    let unit = Unit { base, step: step::common_step(numbers) };
    let mut streams = std::mem::take(&mut scratch.streams);
    let [divided, first, second] = &mut streams;
    let numbers = unit.divide(numbers, divided);
    differences(numbers, first);
    differences(first, second);
    let by_order = [numbers, first, second];
    let (order, plan, gain) = choose(by_order, may_entropy);
    let start = out.len();
    unit.put_head(by_order, order, out);
    put_stream(by_order[order], plan, unit.of(order), start, out, scratch);
    if let Some(order) = gain {
        try_entropy(by_order, order, unit, start, out, scratch);
    }
    scratch.streams = streams;
    order
}

fn differences(numbers: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// The head's packing and everything after the origins. `start` is where the head is.
fn put_stream(
    stream: &[i64],
    plan: Plan,
    unit: Unit,
    start: usize,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    put_signed(unit.resolve(plan.low), out);
    if plan.max == 0 && plan.patches == 0 {
        out[start] |= CONSTANT << 2;
        return;
    }
    let Scratch { packed, patches, .. } = scratch;
    packed.clear();
    patches.clear();
    packed.extend(stream.iter().map(|number| number.wrapping_sub(plan.low) as u64));
    if plan.patches > 0 {
        for (index, number) in packed.iter_mut().enumerate().filter(|(_, number)| **number > plan.max) {
            patches.push((index, number.wrapping_mul(unit.step) as i64));
            *number = 0;
        }
    }
    // Differences may have a step that the numbers do not have.
    let step = divide_by_step(packed);
    put_step(unit.step.wrapping_mul(step), start, out);
    out[start] |= if patches.is_empty() { PACKED } else { PATCHED } << 2;
    if !patches.is_empty() {
        put_patches(patches, out);
    }
    let max = plan.max / step;
    put_varint(max, out);
    if max > 0 {
        let layout = Layout::best(max, packed.len());
        out.push(layout.digits() as u8);
        radix::pack(packed, layout, out);
    }
}

fn put_step(step: u64, start: usize, out: &mut Vec<u8>) {
    if step != 1 {
        out[start] |= STEP;
        put_varint(step, out);
    }
}

fn put_patches(patches: &[(usize, i64)], out: &mut Vec<u8>) {
    put_varint(patches.len() as u64, out);
    let mut next = 0;
    for &(index, number) in patches {
        put_varint((index - next) as u64, out);
        put_signed(number, out);
        next = index + 1;
    }
}

/// Replaces the column at `start` by one that uses pco, if that is clearly smaller.
fn try_entropy(
    streams: [&[i64]; 3],
    order: usize,
    unit: Unit,
    start: usize,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    let Scratch { packed, trial, .. } = scratch;
    let low = streams[order].iter().copied().min().unwrap_or_default();
    packed.clear();
    packed.extend(streams[order].iter().map(|number| number.wrapping_sub(low) as u64));
    let step = divide_by_step(packed);
    trial.clear();
    unit.put_head(streams, order, trial);
    trial[0] |= ENTROPY << 2;
    put_signed(unit.of(order).resolve(low), trial);
    put_step(unit.step.wrapping_mul(step), 0, trial);
    if entropy::encode(packed, 0, trial) && (trial.len() as f64) < ENTROPY_GAIN * (out.len() - start) as f64 {
        out.truncate(start);
        out.extend_from_slice(trial);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::Malformed;
    use super::*;

    /// Numbers of the shapes that the packings are for, and of none.
    pub(in super::super) fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let seeds = prop::collection::vec(any::<i64>(), 1..700);
        (seeds, 0..64_u32, 0..3_usize, prop_oneof![Just(1_i64), Just(5), any::<i64>()], 0..100_u64).prop_map(
            |(seeds, shift, order, scale, spikes)| {
                let mut numbers: Vec<i64> = seeds
                    .iter()
                    .map(|seed| {
                        let spike = spikes > 0 && seed.rem_euclid(97) == 0;
                        if spike { *seed } else { (seed >> shift).wrapping_mul(scale) }
                    })
                    .collect();
                for _ in 0..order {
                    let mut sum = 0_i64;
                    numbers.iter_mut().for_each(|number| {
                        sum = sum.wrapping_add(*number);
                        *number = sum;
                    });
                }
                numbers
            },
        )
    }

    fn decoded(bytes: &[u8], count: usize) -> Result<Vec<i64>, Malformed> {
        let mut numbers = Vec::new();
        decode(bytes, count, &mut Vec::new(), &mut |chunk| numbers.extend_from_slice(chunk))?;
        assert_eq!(numbers.len(), count);
        Ok(numbers)
    }

    fn encoded(numbers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(numbers, true, &mut bytes, &mut Scratch::default());
        bytes
    }

    proptest! {
        #[test]
        fn columns_round_trip(numbers in numbers()) {
            prop_assert_eq!(decoded(&encoded(&numbers), numbers.len()), Ok(numbers));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..2_000_usize) {
            let _answer = decoded(&bytes, count);
        }

        /// Heads that make sense, whatever follows them.
        #[test]
        fn any_body_decodes_or_is_refused(head in 0..32_u8, bytes in prop::collection::vec(0..40_u8, 0..100), count in 0..2_000_usize) {
            let mut column = vec![head];
            column.extend(bytes);
            let _answer = decoded(&column, count);
        }
    }

    fn noise(index: i64) -> i64 {
        let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as i64
    }

    /// What each packing is for.
    #[test]
    fn every_packing_is_chosen() {
        let spiked = |index: i64| if index % 500 == 7 { 1 << 40 } else { noise(index) % 100 };
        let bell = |index: i64| (0..12).map(|part| noise(index * 12 + part) % 10).sum::<i64>();
        let line = |index| index * 10;
        let square = |index| index * index * 10;
        type Shape<'a> = (&'a dyn Fn(i64) -> i64, u8, u8);
        let shapes: [Shape<'_>; 6] = [
            (&|_| 7, CONSTANT, 0),
            (&line, CONSTANT, 1),
            (&square, CONSTANT, 2),
            (&|index| noise(index) % 100, PACKED, 0),
            (&spiked, PATCHED, 0),
            (&bell, ENTROPY, 0),
        ];
        for (shape, packing, order) in shapes {
            let numbers: Vec<i64> = (0..4_000).map(shape).collect();
            let bytes = encoded(&numbers);
            assert_eq!(((bytes[0] >> 2) & 3, bytes[0] & 3), (packing, order), "{:?}", &numbers[..9]);
            assert_eq!(decoded(&bytes, 4_000).unwrap(), numbers);
        }
    }
}
