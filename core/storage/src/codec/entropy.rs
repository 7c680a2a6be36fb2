//! The pco format inside a column, for numbers whose distribution is far from uniform. Reading it costs several
//! times what radix words cost, so callers ask for it only where it wins clearly.
//!
//! Only a part of pco is allowed: chunks without dictionary and look-back, whose sizes on reading come from the bytes
//! themselves and not from the number of samples. The rest is refused before pco sees it.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use super::Malformed;
use super::bits::word_at;
use super::input::Input;

/// Bytes of pco's version, the first of every column.
const VERSION_BYTES: usize = 2;
const MAJOR_VERSION: u8 = 4;
/// Mode of floats as multiples of one number, give or take some units in the last place.
const MULTIPLES: u64 = 2;

/// On blocks of 8,640 floats of normal noise level 8 reaches 6.49 bytes a sample; encoding then takes 30 ns in all, 22 at
/// level 6 and 19 at level 4. Those two stay within 2 % of the 6.63 bytes of radix words, and so gain nothing.
const LEVEL: usize = 8;

/// What a number type may use of pco.
pub(super) trait Coded: Number {
    fn mode() -> ModeSpec;
    /// Bits of the parameters of a mode, `None` if it is not allowed.
    fn mode_bits(mode: u64) -> Option<usize>;
}

impl Coded for u64 {
    fn mode() -> ModeSpec {
        ModeSpec::Classic
    }

    fn mode_bits(mode: u64) -> Option<usize> {
        (mode == 0).then_some(0)
    }
}

impl Coded for f64 {
    fn mode() -> ModeSpec {
        ModeSpec::Auto
    }

    fn mode_bits(mode: u64) -> Option<usize> {
        match mode {
            0 => Some(0),
            MULTIPLES => Some(64),
            3 => Some(8),
            _ => None,
        }
    }
}

/// Appends `numbers`, of which there must be some; `false`, and nothing appended, if pco refuses.
pub(super) fn encode<T: Coded>(numbers: &[T], differences: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if !encode_as(T::mode(), numbers, differences, out) {
        return false;
    }
    // pco guesses the mode from a sample, and takes floats that were summed up for multiples: ask for plain as well.
    let middle = out.len();
    let guessed = word_at(&out[start + VERSION_BYTES..], 0, 4) == MULTIPLES;
    if guessed && encode_as(ModeSpec::Classic, numbers, differences, out) {
        if out.len() - middle < middle - start {
            out.drain(start..middle);
        } else {
            out.truncate(middle);
        }
    }
    true
}

fn encode_as<T: Coded>(mode: ModeSpec, numbers: &[T], differences: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let done = try_encode(mode, numbers, differences, out).is_ok();
    // The reader's rules are checked here too: what it would refuse must not be written.
    if !done || allowed::<T>(&out[start..]).is_err() {
        out.truncate(start);
        return false;
    }
    true
}

fn try_encode<T: Coded>(
    mode: ModeSpec,
    numbers: &[T],
    differences: usize,
    out: &mut Vec<u8>,
) -> pco::errors::PcoResult<()> {
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(mode)
        .with_delta_spec(DeltaSpec::TryConsecutive(differences));
    let file = FileCompressor::default();
    file.write_header(&mut *out)?;
    let mut chunk = file.chunk_compressor(numbers, &config)?;
    chunk.write_meta(&mut *out)?;
    chunk.write_page(0, &mut *out)?;
    Ok(())
}

/// Replaces what is in `out` by the `count` numbers of a column.
pub(super) fn decode<T: Coded + Default>(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<T>,
) -> Result<(), Malformed> {
    allowed::<T>(bytes)?;
    out.clear();
    out.resize(count, T::default());
    let rest = try_decode(bytes, out).map_err(|_| Malformed)?;
    Input(rest).end()
}

fn try_decode<'a, T: Coded>(bytes: &'a [u8], out: &mut [T]) -> pco::errors::PcoResult<&'a [u8]> {
    let (file, bytes) = FileDecompressor::new(bytes)?;
    let (mut chunk, bytes) = file.chunk_decompressor::<T, _>(bytes)?;
    let mut page = chunk.page_decompressor(bytes, out.len())?;
    page.read(out)?;
    Ok(page.into_src())
}

/// Whether the column begins with a version, a mode and an order of differences that we write.
fn allowed<T: Coded>(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.first() != Some(&MAJOR_VERSION) {
        return Err(Malformed);
    }
    let meta = bytes.get(VERSION_BYTES..).ok_or(Malformed)?;
    let parameters = T::mode_bits(word_at(meta, 0, 4)).ok_or(Malformed)?;
    let consecutive = word_at(meta, 4 + parameters, 4);
    if consecutive <= 1 { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Integers of some width, and floats in each of the modes: multiples, single precision, noise.
    fn columns() -> impl Strategy<Value = (Vec<u8>, usize)> {
        let seeds = prop::collection::vec(any::<u64>(), 1..600);
        (seeds, 0..64_u32, 0..2_usize, 0..4_u8).prop_map(|(seeds, shift, differences, kind)| {
            let numbers: Vec<u64> = seeds.iter().map(|seed| seed >> shift).collect();
            let float = |number: u64| match kind {
                1 => (number >> 44) as f64 * 0.37,
                2 => f64::from((number >> 40) as f32 / 1e6),
                _ => f64::from_bits(number),
            };
            let mut bytes = Vec::new();
            let done = if kind == 0 {
                encode(&numbers, differences, &mut bytes)
            } else {
                encode(
                    &numbers.iter().map(|number| float(*number)).collect::<Vec<_>>(),
                    differences,
                    &mut bytes,
                )
            };
            assert!(done, "pco takes all of these");
            (bytes, numbers.len())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// pco is written by others and uses `unsafe`: it must stand whatever the reader's rules let through.
        #[test]
        fn damaged_columns_do_no_harm((bytes, count) in columns(), flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4), wrong in 0..700_usize) {
            let mut damaged = bytes.clone();
            for (index, mask) in flips {
                damaged[index.index(bytes.len())] ^= mask;
            }
            let (mut numbers, mut floats) = (Vec::<u64>::new(), Vec::<f64>::new());
            for bytes in [&bytes, &damaged] {
                for count in [count, wrong] {
                    let _answer = decode(bytes, count, &mut numbers);
                    let _answer = decode(bytes, count, &mut floats);
                }
            }
            for cut in 0..bytes.len() {
                prop_assert!(decode(&bytes[..cut], count, &mut numbers).is_err());
                prop_assert!(decode(&bytes[..cut], count, &mut floats).is_err());
            }
        }
    }
}
