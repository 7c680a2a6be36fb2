//! Numbers 0..=max as digits of base max + 1, several to a word: 3 digits of base 101 take 20 bits, 6.667 each, where
//! whole bits would take 7 and entropy is 6.658.
//!
//! A word is not the number N that the digits form but the fraction N / base^d, as w bits after the point, rounded up.
//! So reading needs no division: multiply by the base, and what passes the point is the next digit. That is one
//! multiplication a digit, and the words do not wait for each other.
//!
//! Why rounding up is exact: W = ceil(N · 2^w / base^d) and base^d <= 2^w, so W / 2^w lies in
//! [N / base^d, (N + 1) / base^d), and every fraction in there begins with the d digits of N.

use super::Malformed;
use super::bits::{BitWriter, Unpack, unpacker, word_at};

/// Numbers that [`Unpacker::next`] gives at most.
pub(super) const CHUNK: usize = 512;
/// More digits would not fit a word for any base but 2, which needs none of this.
const DIGITS_MAX: usize = 40;

/// How numbers are laid out in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    max: u64,
    digits: usize,
    width: u32,
}

impl Layout {
    /// `digits` numbers of 0..=max to a word; `None` if they do not fit 64 bits or max is 0.
    pub(super) fn new(max: u64, digits: usize) -> Option<Self> {
        if max == 0 || digits == 0 || digits > DIGITS_MAX {
            return None;
        }
        Some(Self { max, digits, width: width_of(max, digits)? })
    }

    /// The layout of the fewest bits for `count` numbers of 0..=max, max > 0.
    pub(super) fn best(max: u64, count: usize) -> Self {
        let plain = Self { max, digits: 1, width: 64 - max.leading_zeros() };
        let mut best = plain;
        // A gain under one bit in 200 does not pay for the multiplications.
        let mut bits = plain.bits(count) - plain.bits(count) / 200;
        for digits in 2..=DIGITS_MAX.min(count) {
            let Some(layout) = Self::new(max, digits) else { break };
            if layout.bits(count) < bits {
                bits = layout.bits(count);
                best = layout;
            }
        }
        best
    }

    pub(super) fn digits(self) -> usize {
        self.digits
    }

    fn bits(self, count: usize) -> usize {
        let rest = width_of(self.max, count % self.digits).unwrap_or(self.width);
        count / self.digits * self.width as usize + rest as usize
    }

    /// Bytes of `count` numbers.
    pub(super) fn bytes(self, count: usize) -> usize {
        self.bits(count).div_ceil(8)
    }
}

/// Bits of a word with `digits` numbers of 0..=max.
fn width_of(max: u64, digits: usize) -> Option<u32> {
    let largest = (u128::from(max) + 1).checked_pow(digits as u32)? - 1;
    let width = 128 - largest.leading_zeros();
    (width <= 64).then_some(width)
}

/// Makes words of digits.
struct Packer {
    base: u64,
    width: u32,
    power: u128,
    /// (2^width / power - 1) · 2^64, rounded down: dividing by `power` is multiplying by this.
    inverse: u64,
}

impl Packer {
    fn new(max: u64, digits: usize, width: u32) -> Self {
        let power = (u128::from(max) + 1).pow(digits as u32);
        // power > 2^(width - 1), so nothing overflows and the quotient is below 2^64.
        let inverse = (((1_u128 << width) - power) << 64) / power;
        Self { base: max.wrapping_add(1), width, power, inverse: inverse as u64 }
    }

    fn word(&self, digits: &[u64]) -> u64 {
        let number =
            digits.iter().fold(0_u64, |number, digit| number.wrapping_mul(self.base).wrapping_add(*digit));
        let mut word = number + ((u128::from(number) * u128::from(self.inverse)) >> 64) as u64;
        // The estimate is at most two too small.
        while u128::from(word) * self.power < u128::from(number) << self.width {
            word += 1;
        }
        word
    }
}

/// Appends `numbers`, none above the layout's max; [`Layout::bytes`] of them.
pub(super) fn pack(numbers: &[u64], layout: Layout, out: &mut Vec<u8>) {
    let mut writer = BitWriter::new(out);
    if layout.digits == 1 {
        numbers.iter().for_each(|number| writer.put(*number, layout.width));
        return writer.finish();
    }
    let groups = numbers.chunks_exact(layout.digits);
    let rest = groups.remainder();
    let packer = Packer::new(layout.max, layout.digits, layout.width);
    groups.for_each(|group| writer.put(packer.word(group), layout.width));
    if let Some(width) = width_of(layout.max, rest.len()).filter(|width| *width > 0) {
        writer.put(Packer::new(layout.max, rest.len(), width).word(rest), width);
    }
    writer.finish();
}

/// Gives back what [`pack`] wrote, in chunks.
pub(super) struct Unpacker<'a> {
    bytes: &'a [u8],
    layout: Layout,
    unpack: Unpack,
    left: usize,
    words: [u64; CHUNK / 2],
}

impl<'a> Unpacker<'a> {
    /// `bytes` must be exactly those of `count` numbers.
    pub(super) fn new(bytes: &'a [u8], count: usize, layout: Layout) -> Result<Self, Malformed> {
        let bits = layout.bits(count);
        if bytes.len() != bits.div_ceil(8) || (!bits.is_multiple_of(8) && bytes[bits / 8] >> (bits % 8) != 0)
        {
            return Err(Malformed);
        }
        let unpack = unpacker(layout.width).ok_or(Malformed)?;
        Ok(Self { bytes, layout, unpack, left: count, words: [0; CHUNK / 2] })
    }

    /// The next numbers, at the front of `chunk`; 0 at the end.
    #[inline]
    pub(super) fn next(&mut self, chunk: &mut [u64; CHUNK]) -> usize {
        let Layout { digits, width, .. } = self.layout;
        let eights = (self.left / digits / 8).min(CHUNK / 8 / digits);
        if eights == 0 {
            return self.tail(chunk);
        }
        let (packed, rest) = self.bytes.split_at(eights * width as usize);
        self.bytes = rest;
        let count = eights * 8 * digits;
        self.left -= count;
        if digits == 1 {
            (self.unpack)(packed, &mut chunk[..count]);
        } else {
            let words = &mut self.words[..eights * 8];
            (self.unpack)(packed, words);
            expand_words(self.layout, words, &mut chunk[..count]);
        }
        count
    }

    /// What is left after the last eight words.
    #[cold]
    fn tail(&mut self, chunk: &mut [u64; CHUNK]) -> usize {
        let Layout { max, digits, width } = self.layout;
        let count = self.left.min(8 * DIGITS_MAX);
        let mut bit = 0;
        for group in chunk[..count].chunks_mut(digits) {
            let width =
                if group.len() == digits { width } else { width_of(max, group.len()).unwrap_or(width) };
            let word = word_at(self.bytes, bit, width);
            bit += width as usize;
            if digits == 1 {
                group[0] = word;
            } else {
                digits_of(word << (64 - width), max + 1, group);
            }
        }
        self.left = 0;
        count
    }
}

fn expand_words(layout: Layout, words: &[u64], out: &mut [u64]) {
    let lift = 64 - layout.width;
    let base = layout.max + 1;
    match layout.digits {
        2 => expand::<2>(words, lift, base, out),
        3 => expand::<3>(words, lift, base, out),
        4 => expand::<4>(words, lift, base, out),
        5 => expand::<5>(words, lift, base, out),
        6 => expand::<6>(words, lift, base, out),
        7 => expand::<7>(words, lift, base, out),
        8 => expand::<8>(words, lift, base, out),
        9 => expand::<9>(words, lift, base, out),
        10 => expand::<10>(words, lift, base, out),
        11 => expand::<11>(words, lift, base, out),
        12 => expand::<12>(words, lift, base, out),
        13 => expand::<13>(words, lift, base, out),
        digits => {
            for (word, group) in words.iter().zip(out.chunks_exact_mut(digits)) {
                digits_of(word << lift, base, group);
            }
        }
    }
}

fn expand<const D: usize>(words: &[u64], lift: u32, base: u64, out: &mut [u64]) {
    for (word, group) in words.iter().zip(out.as_chunks_mut::<D>().0) {
        digits_of(word << lift, base, group);
    }
}

#[inline(always)]
fn digits_of(mut fraction: u64, base: u64, group: &mut [u64]) {
    for digit in group {
        let product = u128::from(fraction) * u128::from(base);
        *digit = (product >> 64) as u64;
        fraction = product as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(numbers: &[u64], layout: Layout) {
        let mut bytes = Vec::new();
        pack(numbers, layout, &mut bytes);
        assert_eq!(bytes.len(), layout.bytes(numbers.len()));
        let mut unpacker = Unpacker::new(&bytes, numbers.len(), layout).unwrap();
        let (mut read, mut chunk) = (Vec::new(), [0; CHUNK]);
        loop {
            let count = unpacker.next(&mut chunk);
            if count == 0 {
                break;
            }
            read.extend_from_slice(&chunk[..count]);
        }
        assert_eq!(numbers, read, "{layout:?}");
    }

    #[test]
    fn three_digits_of_base_101_take_20_bits() {
        let layout = Layout::best(100, 8_640);
        assert_eq!((layout.digits, layout.width), (3, 20));
        assert_eq!(layout.bytes(8_640), 7_200);
    }

    /// The largest and smallest words of every layout: where a rounded reciprocal would go wrong.
    #[test]
    fn extreme_words_round_trip() {
        for max in (1..=300).chain([1 << 16, (1 << 32) - 1, 3_037_000_498, 1 << 40, u64::MAX - 1, u64::MAX]) {
            for digits in 1..=DIGITS_MAX {
                let Some(layout) = Layout::new(max, digits) else { break };
                let mut numbers = vec![max; digits];
                numbers.extend(vec![0; digits]);
                for index in 0..digits {
                    let mut group = vec![0; digits];
                    group[index] = max;
                    numbers.append(&mut group);
                }
                check(&numbers, layout);
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_round_trip(seeds in prop::collection::vec(any::<u64>(), 1..800), width in 1..=64_u32, max in any::<u64>()) {
            let max = (max >> (64 - width)).max(1);
            let numbers: Vec<u64> = seeds.iter().map(|seed| if max == u64::MAX { *seed } else { seed % (max + 1) }).collect();
            check(&numbers, Layout::best(max, numbers.len()));
        }

        #[test]
        fn wrong_lengths_are_refused(count in 0..2_000_usize, max in any::<u64>(), digits in 0..70_usize, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(layout) = Layout::new(max, digits)
                && bytes.len() != layout.bytes(count)
            {
                prop_assert!(Unpacker::new(&bytes, count, layout).is_err());
            }
        }
    }
}
