//! Small numbers before the packed data: varints (LEB128), zigzag, and numbers with their decimal zeros set apart.

use super::Malformed;

/// Takes numbers from the front of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn word(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn long_varint(&mut self, bits: u32) -> Result<u128, Malformed> {
        let (mut value, mut shift) = (0_u128, 0);
        loop {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7F);
            if shift >= bits || (part << shift) >> bits != 0 {
                return Err(Malformed);
            }
            value |= part << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(value);
            }
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        self.long_varint(64).map(|value| value as u64)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        self.varint().map(unzigzag)
    }

    /// A count of things that take at least one of the remaining bytes or samples each: at most `max`.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        if count <= max as u64 { Ok(count as usize) } else { Err(Malformed) }
    }

    /// What [`put_scaled`] wrote.
    pub(super) fn scaled(&mut self) -> Result<u64, Malformed> {
        let value = self.long_varint(68)?;
        let scale = 10_u64.pow((value & 15) as u32);
        ((value >> 4) as u64).checked_mul(scale).ok_or(Malformed)
    }

    /// What [`put_scaled_signed`] wrote.
    pub(super) fn scaled_signed(&mut self) -> Result<i64, Malformed> {
        let value = self.long_varint(68)?;
        let scale = 10_i64.pow((value & 15) as u32);
        unzigzag((value >> 4) as u64).checked_mul(scale).ok_or(Malformed)
    }

    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put_long_varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_varint(value: u64, out: &mut Vec<u8>) {
    put_long_varint(u128::from(value), out);
}

pub(super) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_varint(zigzag(value), out);
}

/// Bytes of [`put_varint`].
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// `value` as (value / 10^e) · 16 + e: nanoseconds are mostly whole milliseconds or seconds.
pub(super) fn put_scaled(mut value: u64, out: &mut Vec<u8>) {
    let mut zeros = 0;
    while zeros < 15 && value != 0 && value.is_multiple_of(10) {
        value /= 10;
        zeros += 1;
    }
    put_long_varint(u128::from(value) << 4 | zeros, out);
}

/// [`put_scaled`] of a signed number: the quotient is zigzag.
pub(super) fn put_scaled_signed(mut value: i64, out: &mut Vec<u8>) {
    let mut zeros = 0;
    while zeros < 15 && value != 0 && value % 10 == 0 {
        value /= 10;
        zeros += 1;
    }
    put_long_varint(u128::from(zigzag(value)) << 4 | zeros, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every number comes back from every form, and each form knows its end.
        #[test]
        fn numbers_round_trip(value in prop_oneof![any::<u64>(), 0..300_u64, Just(u64::MAX), (0..18_u32).prop_map(|e| 10_u64.pow(e))]) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            prop_assert_eq!(bytes.len(), varint_len(value));
            put_signed(value as i64, &mut bytes);
            put_scaled(value, &mut bytes);
            put_scaled_signed(value as i64, &mut bytes);
            let mut input = Input(&bytes);
            prop_assert_eq!(input.varint(), Ok(value));
            prop_assert_eq!(input.signed(), Ok(value as i64));
            prop_assert_eq!(input.scaled(), Ok(value));
            prop_assert_eq!(input.scaled_signed(), Ok(value as i64));
            prop_assert_eq!(input.end(), Ok(()));
        }

        /// What is read is never more than the form's bits, and takes what it says.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            for read in [Input::varint, Input::scaled, Input::word] {
                let mut input = Input(&bytes);
                if read(&mut input).is_ok() {
                    prop_assert!((1..=10).contains(&(bytes.len() - input.0.len())));
                }
            }
        }
    }

    #[test]
    fn round_numbers_are_short() {
        let mut bytes = Vec::new();
        put_scaled(10_000_000_000, &mut bytes);
        assert_eq!(bytes, [0x1A]);
    }
}
