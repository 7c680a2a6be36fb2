//! Words of a fixed width, one after the other, lowest bit first.
//!
//! Eight words of w bits are exactly w bytes. Reading goes by these eights, with a function for every width, so that
//! all offsets, shifts and masks are constants.

/// Appends words of varying widths; bits that are left over at the end are zero.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, filled: 0 }
    }

    /// Appends the low `width` (1 to 64) bits of `word`; the others must be zero.
    #[inline]
    pub(super) fn put(&mut self, word: u64, width: u32) {
        self.pending |= word << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            self.out.extend_from_slice(&self.pending.to_le_bytes());
            self.filled -= 64;
            // What did not fit: the top `filled` of the word's bits. Two shifts, as one by 64 would be none.
            self.pending = if self.filled == 0 { 0 } else { word >> (width - self.filled) };
        }
    }

    pub(super) fn finish(self) {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Reads words: `out.len()` is a multiple of 8, the bytes are at least as many as those words take.
pub(super) type Unpack = fn(&[u8], &mut [u64]);

/// The function that reads words of `width` bits, 1 to 64.
pub(super) fn unpacker(width: u32) -> Option<Unpack> {
    UNPACKERS.get((width as usize).checked_sub(1)?).copied()
}

macro_rules! unpackers {
    ($($width:literal)*) => { [$(unpack::<$width>),*] };
}

static UNPACKERS: [Unpack; 64] = unpackers!(
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
);

fn unpack<const W: usize>(bytes: &[u8], out: &mut [u64]) {
    for (packed, words) in bytes.as_chunks::<W>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        *words = unpack_eight(packed);
    }
}

#[inline(always)]
fn unpack_eight<const W: usize>(packed: &[u8; W]) -> [u64; 8] {
    let mask = u64::MAX >> (64 - W);
    if W <= 8 {
        let mut all = [0; 8];
        all[..W].copy_from_slice(packed);
        let all = u64::from_le_bytes(all);
        return std::array::from_fn(|index| (all >> (index * W)) & mask);
    }
    std::array::from_fn(|index| {
        let bit = index * W;
        let from = (bit / 8).min(W - 8);
        let shift = bit - from * 8;
        let mut eight = [0; 8];
        eight.copy_from_slice(&packed[from..from + 8]);
        let mut word = u64::from_le_bytes(eight) >> shift;
        if shift + W > 64 {
            word |= u64::from(packed[from + 8]) << (64 - shift);
        }
        word & mask
    })
}

/// The word of `width` bits that begins at `bit`; bytes past the end count as zero.
pub(super) fn word_at(bytes: &[u8], bit: usize, width: u32) -> u64 {
    let mut window = [0; 16];
    let rest = bytes.get(bit / 8..).unwrap_or_default();
    let count = rest.len().min(16);
    window[..count].copy_from_slice(&rest[..count]);
    let word = (u128::from_le_bytes(window) >> (bit % 8)) as u64;
    if width == 0 { 0 } else { word & (u64::MAX >> (64 - width)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Words of every width come back, by eights and one by one.
        #[test]
        fn words_round_trip(words in prop::collection::vec(any::<u64>(), 0..40), width in 1..=64_u32) {
            let words: Vec<u64> = words.iter().map(|word| word >> (64 - width)).collect();
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            words.iter().for_each(|word| writer.put(*word, width));
            writer.finish();
            prop_assert_eq!(bytes.len(), (words.len() * width as usize).div_ceil(8));
            let mut read = vec![0; words.len() / 8 * 8];
            unpacker(width).unwrap()(&bytes, &mut read);
            prop_assert_eq!(&words[..read.len()], &read[..]);
            for (index, word) in words.iter().enumerate() {
                prop_assert_eq!(word_at(&bytes, index * width as usize, width), *word);
            }
        }
    }
}
