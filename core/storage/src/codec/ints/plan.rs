//! Which order and frame suit a stream of integers, and whether pco would do better.

use super::super::input::{varint_len, zigzag};
use super::ENTROPY_GAIN;

/// What pco's own description of a distribution costs, in bits; a guess for the estimate only.
const ENTROPY_HEAD_BITS: f64 = 1_200.0;

/// Numbers of at most so much above the lowest take no more than ten bits each.
const NARROW: u64 = 1_023;

/// How a stream would be packed, and at what cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) low: i64,
    /// Largest number above `low` that is packed; what is outside is a patch.
    pub(super) max: u64,
    pub(super) patches: usize,
    bits: f64,
}

/// The order of the cheapest plan, and the order at which pco promises to be clearly cheaper still.
pub(super) fn choose(streams: [&[i64]; 3], may_entropy: bool) -> (usize, Plan, Option<usize>) {
    let of = |stream| Plan::of(stream, !may_entropy);
    let mut best = (0, of(streams[0]));
    let mut plans = [Some(best.1), None, None];
    for order in 1..3 {
        if best.1.max == 0 && best.1.patches == 0 || streams[order].is_empty() {
            break;
        }
        let mut plan = of(streams[order]);
        // The numbers that an order sets apart.
        plan.bits += 40.0 * order as f64;
        plans[order] = Some(plan);
        if plan.bits < best.1.bits {
            best = (order, plan);
        }
    }
    let mut gain = None;
    if may_entropy && best.1.bits > 2.0 * ENTROPY_HEAD_BITS {
        let mut limit = best.1.bits * ENTROPY_GAIN;
        for (order, plan) in plans.iter().enumerate() {
            if let Some(plan) = plan.filter(|plan| plan.bits < 1.4 * best.1.bits) {
                let bits = plan.entropy_bits(streams[order]);
                if bits < limit {
                    (limit, gain) = (bits, Some(order));
                }
            }
        }
    }
    (best.0, best.1, gain)
}

impl Plan {
    /// `quick`: a narrow frame is taken as it is, without a search for one that is narrower still.
    fn of(stream: &[i64], quick: bool) -> Self {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for number in stream {
            low = low.min(*number);
            high = high.max(*number);
        }
        let max = high.wrapping_sub(low) as u64;
        let all = Self { low, max, patches: 0, bits: stream.len() as f64 * bits_of(max) };
        let narrow = if quick { NARROW } else { 0 };
        if max <= narrow || stream.len() < 16 { all } else { all.with_patches(stream) }
    }

    /// Looks for a narrower frame around the middle that leaves few numbers outside.
    fn with_patches(self, stream: &[i64]) -> Self {
        let middle = middle_of(stream);
        let mut lengths = [0_usize; 65];
        for number in stream {
            lengths[length_from(*number, middle)] += 1;
        }
        // From the widest frame inwards: what falls outside is paid by the piece.
        let longest = lengths.iter().rposition(|count| *count > 0).unwrap_or_default();
        let (mut outside, mut outside_bits) = (0, 0.0);
        let (mut best, mut best_bits) = (longest, self.bits);
        for length in (1..=longest).rev() {
            outside += lengths[length];
            outside_bits += lengths[length] as f64 * (12.0 + 8.0 * (length as f64 / 7.0 + 0.6));
            if outside > stream.len() / 8 {
                break;
            }
            let bits = outside_bits + stream.len() as f64 * if length == 1 { 0.0 } else { length as f64 };
            if bits < best_bits {
                (best, best_bits) = (length - 1, bits);
            }
        }
        if best == longest { self } else { self.around(stream, middle, best) }
    }

    /// The frame of the numbers within `length` bits of the middle.
    fn around(self, stream: &[i64], middle: i64, length: usize) -> Self {
        let (mut low, mut high, mut outside, mut outside_bits) = (middle, middle, 0, 0.0);
        for number in stream {
            if length_from(*number, middle) <= length {
                low = low.min(*number);
                high = high.max(*number);
            } else {
                outside += 1;
                outside_bits += 12.0 + 8.0 * varint_len(zigzag(number.wrapping_sub(middle))) as f64;
            }
        }
        let max = high.wrapping_sub(low) as u64;
        let bits = stream.len() as f64 * bits_of(max) + outside_bits;
        // Patches cost time as well.
        if bits < 0.97 * self.bits { Self { low, max, patches: outside, bits } } else { self }
    }

    /// What an ideal entropy coder would need: the entropy of the leading bits, the others as they are.
    fn entropy_bits(self, stream: &[i64]) -> f64 {
        let shift = (64 - self.max.leading_zeros()).saturating_sub(8);
        let mut counts = [0_u32; 256];
        for number in stream {
            let number = number.wrapping_sub(self.low) as u64;
            // Patches stay patches, their place counts as zero.
            counts[if number <= self.max { (number >> shift) as usize & 255 } else { 0 }] += 1;
        }
        let n = stream.len() as f64;
        let sum: f64 =
            counts.iter().filter(|count| **count > 0).map(|c| f64::from(*c) * f64::from(*c).log2()).sum();
        let patches = self.bits - n * bits_of(self.max);
        n * (f64::from(shift) + n.log2()) - sum + patches.max(0.0) + ENTROPY_HEAD_BITS
    }
}

/// Bits of a number of 0..=max.
fn bits_of(max: u64) -> f64 {
    if max == 0 { 0.0 } else { (max as f64 + 1.0).log2() }
}

fn length_from(number: i64, middle: i64) -> usize {
    let offset = number.wrapping_sub(middle);
    (64 - (offset ^ (offset >> 63)).leading_zeros()) as usize
}

/// About the median, from a few numbers spread over the stream.
fn middle_of(stream: &[i64]) -> i64 {
    let mut sample = [0; 31];
    let count = sample.len().min(stream.len());
    for (index, place) in sample[..count].iter_mut().enumerate() {
        *place = stream[index * stream.len() / count];
    }
    let sample = &mut sample[..count];
    sample.sort_unstable();
    sample[count / 2]
}
