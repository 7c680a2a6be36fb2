//! Reads protobuf's wire format from a slice. `None` means malformed, throughout; nothing is allocated but in the columns
//! that the caller brings, and there no more than it allows.

use super::varint::{count_varints, first_varint, take_varints};

/// Which field follows, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub field: u32,
    /// 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes; groups are not read.
    pub wire: u32,
}

/// A column holds as much as it may.
#[derive(Debug)]
pub(crate) struct Full;

type Filled = Option<Result<(), Full>>;

#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The key of the next field; `Some(None)` at the end.
    pub(crate) fn key(&mut self) -> Option<Option<Key>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let key = u32::try_from(self.varint()?).ok()?;
        let key = Key { field: key >> 3, wire: key & 7 };
        (key.field != 0).then_some(Some(key))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some(u64::from(*first));
        }
        let (value, len) = first_varint(self.rest)?;
        self.rest = &self.rest[len..];
        Some(value)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    fn f64(&mut self) -> Option<f64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn skip(&mut self, key: Key) -> Option<()> {
        match key.wire {
            0 => drop(self.varint()?),
            1 => self.rest = self.rest.get(8..)?,
            2 => drop(self.bytes()?),
            5 => self.rest = self.rest.get(4..)?,
            _ => return None,
        }
        Some(())
    }

    /// How many fields of this number, with a length, are still to come; `None` if something is malformed. Reads nothing:
    /// this is what a list reserves before it is filled.
    pub(crate) fn count(&self, field: u32) -> Option<usize> {
        let mut ahead = self.clone();
        let mut count = 0;
        while let Some(key) = ahead.key()? {
            count += usize::from(key.field == field && key.wire == 2);
            ahead.skip(key)?;
        }
        Some(count)
    }

    pub(crate) fn packed_u32(&mut self, column: &mut Vec<u32>, len_max: usize) -> Filled {
        self.packed(column, len_max, |value| u32::try_from(value).ok())
    }

    pub(crate) fn packed_zigzag(&mut self, column: &mut Vec<i64>, len_max: usize) -> Filled {
        self.packed(column, len_max, |value| Some(unzigzag(value)))
    }

    pub(crate) fn packed_f64(&mut self, column: &mut Vec<f64>, len_max: usize) -> Filled {
        let (values, odd) = self.bytes()?.as_chunks::<8>();
        if !odd.is_empty() {
            return None;
        }
        if let Err(full) = make_room(column, values.len(), len_max) {
            return Some(Err(full));
        }
        column.extend(values.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        Some(Ok(()))
    }

    pub(crate) fn single_u32(&mut self, column: &mut Vec<u32>, len_max: usize) -> Filled {
        let value = self.u32()?;
        Some(push(column, len_max, value))
    }

    pub(crate) fn single_zigzag(&mut self, column: &mut Vec<i64>, len_max: usize) -> Filled {
        let value = unzigzag(self.varint()?);
        Some(push(column, len_max, value))
    }

    pub(crate) fn single_f64(&mut self, column: &mut Vec<f64>, len_max: usize) -> Filled {
        let value = self.f64()?;
        Some(push(column, len_max, value))
    }

    fn packed<T: Clone + Default>(
        &mut self,
        column: &mut Vec<T>,
        len_max: usize,
        make: impl Fn(u64) -> Option<T>,
    ) -> Filled {
        let bytes = self.bytes()?;
        let count = count_varints(bytes);
        if let Err(full) = make_room(column, count, len_max) {
            return Some(Err(full));
        }
        let start = column.len();
        column.resize(start + count, T::default());
        take_varints(bytes, &mut column[start..], make).map(Ok)
    }
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn push<T>(column: &mut Vec<T>, len_max: usize, value: T) -> Result<(), Full> {
    make_room(column, 1, len_max)?;
    column.push(value);
    Ok(())
}

/// Room for `count` more. A column that comes in many pieces grows by doubling, so that it is not copied for each, but
/// never beyond `len_max`.
fn make_room<T>(column: &mut Vec<T>, count: usize, len_max: usize) -> Result<(), Full> {
    let needed = column.len().checked_add(count).filter(|needed| *needed <= len_max).ok_or(Full)?;
    if needed > column.capacity() {
        let capacity = column.capacity().saturating_mul(2).clamp(needed, len_max);
        column.reserve_exact(capacity - column.len());
    }
    Ok(())
}
