//! The documents of one term, as its payload says them. Bytes: `INDEX.md`.

use crate::labels::{self, Docs};

use super::varint::{self, Reader};

/// Lists up to so many bytes stand in the term's payload.
const INLINE_BYTES_MAX: usize = 24;

const RANGE: u64 = 0;
const INLINE: u64 = 1;
const STORED_LIST: u64 = 2;
const STORED_BITS: u64 = 3;

/// Where the documents of a term are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub count: u32,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `count` documents from this one on.
    Range { first: u32 },
    /// The list itself.
    Inline(Vec<u32>),
    /// A list of so many bytes, at this offset of the postings section.
    List { offset: u64, bytes: usize },
    /// A bit for each document, at this offset of the postings section.
    Bits { offset: u64 },
}

/// Writes what a term's payload says of `docs`, which rise and are not empty. `store` takes what does not fit there and
/// tells its offset.
pub(super) fn encode(docs: &[u32], series: u32, payload: &mut Vec<u8>, store: impl FnOnce(&[u8]) -> u64) {
    let (Some(first), Some(last)) = (docs.first(), docs.last()) else { return };
    let count = docs.len() as u64;
    let mut head = |form: u64| varint::put(payload, count << 2 | form);
    if u64::from(last - first) == count - 1 {
        head(RANGE);
        return varint::put(payload, u64::from(*first));
    }
    let mut list = Vec::with_capacity(docs.len());
    varint::put(&mut list, u64::from(*first));
    docs.windows(2).for_each(|pair| varint::put(&mut list, u64::from(pair[1] - pair[0] - 1)));
    if list.len() <= INLINE_BYTES_MAX {
        head(INLINE);
        return payload.extend_from_slice(&list);
    }
    if list.len() <= bit_bytes(series) {
        head(STORED_LIST);
        varint::put(payload, store(&list));
        return varint::put(payload, list.len() as u64);
    }
    let mut bits = vec![0_u8; bit_bytes(series)];
    docs.iter().for_each(|doc| bits[(doc / 8) as usize] |= 1 << (doc % 8));
    head(STORED_BITS);
    varint::put(payload, store(&bits));
}

/// Bytes of a bit for each document.
pub(super) fn bit_bytes(series: u32) -> usize {
    series.div_ceil(8) as usize
}

impl Posting {
    /// Reads a payload; `None` if it is malformed.
    pub(super) fn decode(payload: &[u8], series: u32) -> Option<Self> {
        let mut reader = Reader(payload);
        let head = reader.u64()?;
        let count = u32::try_from(head >> 2).ok().filter(|count| (1..=series).contains(count))?;
        let place = match head & 3 {
            RANGE => {
                let first = reader.u32()?;
                first.checked_add(count).filter(|end| *end <= series)?;
                Place::Range { first }
            }
            INLINE => {
                let list = list(reader.0, count, series)?;
                reader.0 = &[];
                Place::Inline(list)
            }
            STORED_LIST => Place::List { offset: reader.u64()?, bytes: reader.usize()? },
            _ => Place::Bits { offset: reader.u64()? },
        };
        reader.0.is_empty().then_some(Self { count, place })
    }
}

/// A list of `count` documents, all below `series`.
pub(super) fn list(bytes: &[u8], count: u32, series: u32) -> Option<Vec<u32>> {
    if bytes.len() < count as usize {
        return None;
    }
    let (mut reader, mut next) = (Reader(bytes), 0_u32);
    let mut list = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let doc = next.checked_add(reader.u32()?).filter(|doc| *doc < series)?;
        list.push(doc);
        next = doc + 1;
    }
    reader.0.is_empty().then_some(list)
}

/// Documents of `count` set bits, all below `series`.
pub(super) fn bits(bytes: &[u8], count: u32, series: u32) -> Option<Docs<'static>> {
    let mut words = vec![0_u64; labels::words(series)];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(all);
    }
    let beyond = series % 64;
    let clean = beyond == 0 || words.last().is_none_or(|last| last >> beyond == 0);
    let docs = Docs::Bits(words.into());
    (clean && docs.count() == count).then_some(docs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that version 1 has written must be read for ever. Never change a line; add some. The golden stores hold no
    /// inline lists and no bits.
    #[test]
    fn frozen_postings_are_read() {
        let read = |bytes: &[u8], count: u32, place: Place| {
            assert_eq!(Posting::decode(bytes, 300), Some(Posting { count, place }), "{bytes:?}");
        };
        read(&[0x14, 5], 5, Place::Range { first: 5 });
        read(&[0x0D, 1, 2, 4], 3, Place::Inline(vec![1, 4, 9]));
        read(&[0x6A, 7, 30], 26, Place::List { offset: 7, bytes: 30 });
        read(&[0xCB, 1, 9], 50, Place::Bits { offset: 9 });
        assert_eq!(list(&[1, 2, 4], 3, 300), Some(vec![1, 4, 9]));
        assert_eq!(bits(&[0b101, 0x80], 3, 16).map(Docs::into_vec), Some(vec![0, 2, 15]));
    }

    proptest! {
        #[test]
        fn documents_come_back(set in prop::collection::btree_set(0_u32..700, 1..400), more in 0_u32..100) {
            let docs: Vec<u32> = set.into_iter().collect();
            let series = docs.last().unwrap() + 1 + more;
            let (mut payload, mut stored) = (Vec::new(), Vec::new());
            encode(&docs, series, &mut payload, |bytes| {
                stored.extend_from_slice(bytes);
                42
            });
            let posting = Posting::decode(&payload, series).unwrap();
            prop_assert_eq!(posting.count as usize, docs.len());
            let found = match posting.place {
                Place::Range { first } => (first..first + posting.count).collect(),
                Place::Inline(list) => list,
                Place::List { offset, bytes } => {
                    prop_assert_eq!((offset, bytes), (42, stored.len()));
                    list(&stored, posting.count, series).unwrap()
                }
                Place::Bits { offset } => {
                    prop_assert_eq!(offset, 42);
                    bits(&stored, posting.count, series).unwrap().into_vec()
                }
            };
            prop_assert_eq!(found, docs);
        }

        #[test]
        fn any_payload_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..64), series: u32) {
            if let Some(Posting { place: Place::Inline(list), .. }) = Posting::decode(&payload, series) {
                prop_assert!(list.is_sorted_by(|a, b| a < b) && list.last().is_none_or(|last| *last < series));
            }
        }
    }
}
