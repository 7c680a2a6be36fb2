//! Varints a word at a time. How long a time's difference is changes from sample to sample, so a loop over its bytes is
//! mispredicted about once for each; this has no branch but for the lengths that no honest batch is full of.

use prost::encoding::encode_varint;

/// The highest bit of every byte: set where a varint goes on.
const GOES_ON: u64 = 0x8080_8080_8080_8080;
/// What eight bytes of a varint hold.
const WORD_END: u64 = 1 << 56;

/// Appends varints.
pub(super) fn put_varints(buffer: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    // A block that stays in the cache, so that room in the buffer is looked for once in a while.
    let mut block = [0; 256];
    let mut at = 0;
    for value in values {
        if at > block.len() - 8 {
            buffer.extend_from_slice(&block[..at]);
            at = 0;
        }
        if value < WORD_END {
            let (word, len) = spread(value);
            block[at..at + 8].copy_from_slice(&word.to_le_bytes());
            at += len;
        } else {
            buffer.extend_from_slice(&block[..at]);
            at = 0;
            encode_varint(value, buffer);
        }
    }
    buffer.extend_from_slice(&block[..at]);
}

/// The varint of a value of at most 56 bits, and in how many bytes.
fn spread(value: u64) -> (u64, usize) {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    // A seventh, rounded up, for up to 56.
    let len = (bits * 9 + 64) / 64;
    let halves = value & 0x0FFF_FFFF | (value & 0x00FF_FFFF_F000_0000) << 4;
    let quarters = halves & 0x0000_3FFF_0000_3FFF | (halves & 0x0FFF_C000_0FFF_C000) << 2;
    let bytes = quarters & 0x007F_007F_007F_007F | (quarters & 0x3F80_3F80_3F80_3F80) << 1;
    let before_last = (1 << (8 * (len - 1))) - 1;
    (bytes | GOES_ON & before_last, len)
}

/// Reads the varints that fill `bytes` and `slots`; `None` if they are malformed, or not as many.
///
/// From the start and from the middle at once: each varint begins where the one before it ends, and two such chains take the
/// time of one.
pub(super) fn take_varints<T>(bytes: &[u8], slots: &mut [T], make: impl Fn(u64) -> Option<T>) -> Option<()> {
    if bytes.len() == slots.len() && bytes.is_ascii() {
        // Counts: a byte each.
        for (slot, byte) in slots.iter_mut().zip(bytes) {
            *slot = make(u64::from(*byte))?;
        }
        return Some(());
    }
    let half = bytes.len() / 2;
    let end =
        bytes[half..].iter().position(|byte| *byte < 0x80).map_or(bytes.len(), |ahead| half + ahead + 1);
    let (mut low, mut high) = bytes.split_at(end);
    let (low_slots, high_slots) = slots.split_at_mut_checked(count_varints(low))?;
    let both = low_slots.len().min(high_slots.len());
    let (low_pairs, low_rest) = low_slots.split_at_mut(both);
    let (high_pairs, high_rest) = high_slots.split_at_mut(both);
    for (slot, other) in low_pairs.iter_mut().zip(high_pairs) {
        *slot = make(next(&mut low)?)?;
        *other = make(next(&mut high)?)?;
    }
    for slot in low_rest {
        *slot = make(next(&mut low)?)?;
    }
    for slot in high_rest {
        *slot = make(next(&mut high)?)?;
    }
    (low.is_empty() && high.is_empty()).then_some(())
}

/// How many varints end in these bytes: each with the one byte below 0x80 that it has.
pub(super) fn count_varints(bytes: &[u8]) -> usize {
    // In bytes as long as they suffice, for more at a time.
    let in_piece = |piece: &[u8]| piece.iter().map(|byte| u8::from(*byte < 0x80)).sum::<u8>();
    bytes.chunks(128).map(|piece| usize::from(in_piece(piece))).sum()
}

#[inline]
fn next(rest: &mut &[u8]) -> Option<u64> {
    let word = rest.first_chunk().and_then(|word| gather(u64::from_le_bytes(*word)));
    let (value, len) = word.or_else(|| first_varint(rest))?;
    *rest = rest.get(len..)?;
    Some(value)
}

/// The varint at the start, and in how many bytes.
pub(super) fn first_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has room for one bit.
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// The varint at the start of a word, and in how many bytes; `None` if it does not end there.
#[inline]
fn gather(word: u64) -> Option<(u64, usize)> {
    let ends = !word & GOES_ON;
    if ends == 0 {
        return None;
    }
    // All bits up to the lowest of `ends`.
    let bytes = word & (ends ^ (ends - 1)) & !GOES_ON;
    let quarters = bytes & 0x007F_007F_007F_007F | (bytes & 0x7F00_7F00_7F00_7F00) >> 1;
    let halves = quarters & 0x0000_3FFF_0000_3FFF | (quarters & 0x3FFF_0000_3FFF_0000) >> 2;
    let value = halves & 0x0FFF_FFFF | (halves & 0x0FFF_FFFF_0000_0000) >> 4;
    Some((value, ends.trailing_zeros() as usize / 8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[u64]) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        put_varints(&mut bytes, values.iter().copied());
        for value in values {
            encode_varint(*value, &mut expected);
        }
        assert_eq!(bytes, expected, "{values:x?}");
    }

    #[test]
    fn lengths_change_where_they_should() {
        for bits in 0..64 {
            for value in [(1u64 << bits) - 1, 1 << bits] {
                check(&[value, value, u64::MAX]);
                let mut word = [0xAA; 18];
                let len = prost::encoding::encoded_len_varint(value);
                encode_varint(value, &mut &mut word[..]);
                let read = gather(u64::from_le_bytes(*word.first_chunk().unwrap()));
                assert_eq!(read, (len <= 8).then_some((value, len)), "{value:x}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_word_at_a_time_is_a_byte_at_a_time(values in prop::collection::vec((any::<u64>(), 0u32..64), 0..300)) {
            let values: Vec<_> = values.into_iter().map(|(value, shift)| value >> shift).collect();
            check(&values);
            let mut bytes = Vec::new();
            put_varints(&mut bytes, values.iter().copied());
            prop_assert_eq!(count_varints(&bytes), values.len());
            let mut read = vec![0; values.len()];
            prop_assert_eq!(take_varints(&bytes, &mut read, Some), Some(()));
            prop_assert_eq!(&read, &values);
            let mut more = vec![0; values.len() + 1];
            prop_assert_eq!(take_varints(&bytes, &mut more, Some), None);
            bytes.push(0x80);
            prop_assert_eq!(take_varints(&bytes, &mut read, Some), None);
        }

        #[test]
        fn any_bytes_are_as_many_varints_as_a_byte_at_a_time_finds(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x80), Just(0xFF), Just(1)], 0..100),
        ) {
            let (mut rest, mut expected) = (&bytes[..], Some(Vec::new()));
            while !rest.is_empty() {
                let Some((value, len)) = first_varint(rest) else { expected = None; break };
                expected.as_mut().unwrap().push(value);
                rest = &rest[len..];
            }
            let mut read = vec![0; count_varints(&bytes)];
            let taken = take_varints(&bytes, &mut read, Some);
            prop_assert_eq!(taken.map(|()| read), expected);        }
    }
}
