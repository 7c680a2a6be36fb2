//! How samples and rows become bytes: pure functions over slices, no I/O, no threads, no clock.
//!
//! ```text
//!   times   [i64] ─► grid + residuals ─┐
//!   values  [f64] ─► decimals ─────────┼─► ints: order, frame, patches ─► radix words (or pco)
//!   rows    [Row] ─► one column each ──┘
//! ```
//!
//! Invariants:
//! * what is decoded equals what was encoded, bit for bit: NaN payloads, -0.0, infinities, any `i64`;
//! * a decoder gets exactly the bytes of its column and the number of samples, both kept outside; it answers
//!   [`Malformed`] or fills exactly that many, on any bytes whatever, and never panics;
//! * a decoder allocates no more than the number of samples asks for, plus at most 2 MiB inside pco.
//!
//! Not here: checksums (a flipped bit that still makes sense is not noticed), lengths of columns, which samples
//! belong to a block. Byte by byte: `CODECS.md`.

mod bits;
mod entropy;
mod input;
mod ints;
mod radix;
pub(crate) mod rows;
pub(crate) mod times;
pub(crate) mod values;

/// The bytes are not what an encoder of this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed column")]
pub(crate) struct Malformed;

/// No column holds more samples: decoders refuse a larger count, so that nobody allocates for it.
pub(crate) const SAMPLES_MAX: usize = 16_384;

/// Working memory of encoders and decoders, kept between calls so that they rarely allocate. Holds no state.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// What the column is about: scaled values, residuals, mapped floats.
    numbers: Vec<i64>,
    /// Samples that the numbers leave out.
    exceptions: Vec<(usize, u64)>,
    ints: ints::Scratch,
    quick: bool,
}

impl Scratch {
    /// For columns that are soon written again: pco is never tried, which takes a third of the time, and a third more
    /// bytes at worst.
    pub(crate) fn quick() -> Self {
        Self { quick: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn values_of(hex: &str, expected: &[f64]) {
        let mut values = Vec::new();
        values::decode(&bytes(hex), expected.len(), &mut values, &mut Scratch::default()).unwrap();
        assert!(values.iter().map(|value| value.to_bits()).eq(expected.iter().map(|value| value.to_bits())));
    }

    fn times_of(hex: &str, expected: &[i64]) {
        let mut times = Vec::new();
        times::decode(&bytes(hex), expected.len(), &mut times, &mut Scratch::default()).unwrap();
        assert_eq!(times, expected);
    }

    fn rows_of(hex: &str, with_falls: bool, expected: [rows::Row; 2]) {
        let mut rows = Vec::new();
        assert_eq!(rows::decode(&bytes(hex), 24, &mut rows), Ok(with_falls));
        assert_eq!(rows, expected);
    }

    /// Bytes that version 1 has written must be read for ever. Never change a line; add some.
    #[test]
    fn frozen_columns_are_read() {
        values_of("01000000000000f07f", &[f64::INFINITY; 4]);
        values_of("22143219030131", &[0.5, 0.25, 1.0]);
        values_of("02040064036441110a00", &[7.0, 93.0, 42.0, 0.0, 100.0]);
        values_of("130102000000000000008004020301e4", &[0.1, 0.2, -0.0, 0.3, 0.4]);
        values_of("0414aad5aad5aad5aad57f8080808080808008010102", &[1.0 / 3.0, 2.0 / 3.0]);

        let start = 1_790_000_000_000_000_000;
        times_of("01cfbf03", &[start]);
        times_of("01cfbf031a", &[start, start + 10_000_000_000, start + 20_000_000_000]);
        let late = [3_000_000, 10_000_000_000, 50_007_000_000, 60_002_000_000];
        times_of("02cfbf031a0102061400c0843d0701c305", &late.map(|late| start + late));
        times_of("0304020f0110730f", &[1, 2, 4, 8, 16]);

        let row = rows::Row {
            slot: 2,
            count: 3,
            sum: 4.2,
            min: 1.1,
            max: 1.7,
            first: 1.4,
            last: 1.1,
            falls: 1,
            dropped: 1.7,
        };
        let second = rows::Row { slot: 5, sum: 4.3, ..row };
        rows_of("0217ef06021c000208060000020c0500060006010202000800", true, [row, second]);
        let floats = |row| rows::Row { min: 1.0 / 3.0, falls: 0, dropped: 0.0, ..row };
        let hex = "02047f02cc99b3e6cc99b3f67f000208060000330000000000006066666666662697b3e6cc99b3e604008991a2c4\
                   8891a21c009ab3e6cc99b3e60400b4e6cc99b3e6cc052f000000000000333333333333";
        rows_of(hex, false, [floats(row), floats(second)]);
    }

    #[test]
    fn frozen_packings_are_read() {
        let mut numbers = Vec::new();
        let patched = bytes("0800010780808080804001012aaaaaaaaa");
        ints::decode(&patched, 40, &mut Vec::new(), &mut |chunk| numbers.extend_from_slice(chunk)).unwrap();
        assert!((0..40).map(|i| if i == 7 { 1 << 40 } else { i % 2 }).eq(numbers));
        let mut numbers = Vec::<u64>::new();
        let pco = bytes("0401002200b0000000000000004000e100000000000000050402000040e0f5f900");
        entropy::decode(&pco, 8, &mut numbers).unwrap();
        assert_eq!(numbers, [5, 900, 7, 5, 5, 1_000_000, 6, 5]);
    }
}
