//! Entries of a sorted string table: a text and a payload, each told by its difference from the entry before.
//!
//! A text is taken apart at its 0x00 bytes, and each *piece* compared with the piece at the same place of the text
//! before. So of keys that share their labels and differ in two values, only the ends of the two values are stored.
//! Bytes: `INDEX.md`.

use super::varint::{self, Reader};

/// No payload is longer.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64;

/// A key has at most a name and 64 labels.
const PIECES_MAX: usize = 1_024;

const PIECES_CHANGED: u64 = 1;
const PAYLOAD_LEN_CHANGED: u64 = 2;
/// A skip or a length that does not fit into its bits of the change byte.
const SKIP_MORE: usize = 7;
const LEN_MORE: usize = 31;

/// A text with the ends of its pieces. There is always a piece; that of the empty text is empty.
#[derive(Clone, Debug)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: Vec::new(), ends: vec![0] }
    }
}

impl Text {
    fn start(&self, piece: usize) -> usize {
        piece.checked_sub(1).map_or(0, |before| self.ends[before] as usize + 1)
    }

    fn piece(&self, piece: usize) -> &[u8] {
        self.ends.get(piece).map_or(&[], |end| &self.bytes[self.start(piece)..*end as usize])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, shared: &[u8], suffix: &[u8]) {
        if !self.ends.is_empty() {
            self.bytes.push(0);
        }
        self.bytes.extend_from_slice(shared);
        self.bytes.extend_from_slice(suffix);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Adds pieces up to place `until`, which are those of `other`.
    fn copy(&mut self, other: &Self, until: usize) {
        let (from, known) = (self.ends.len(), until.min(other.ends.len()));
        if from < known {
            if from > 0 {
                self.bytes.push(0);
            }
            let (start, base) = (other.start(from), self.bytes.len() as u32);
            self.bytes.extend_from_slice(&other.bytes[start..other.ends[known - 1] as usize]);
            self.ends.extend(other.ends[from..known].iter().map(|end| end - start as u32 + base));
        }
        while self.ends.len() < until {
            self.push(&[], &[]);
        }
    }
}

/// Writes the entries of one block.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    previous: Text,
    next: Text,
    payload_len: usize,
}

impl Encoder {
    /// Begins a new block.
    pub(super) fn restart(&mut self) {
        self.previous.clear();
        self.previous.push(&[], &[]);
        self.payload_len = 0;
    }

    pub(super) fn push(&mut self, text: &[u8], payload: &[u8], out: &mut Vec<u8>) {
        debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX, "the callers' payloads are short");
        let Self { previous, next, .. } = self;
        next.clear();
        text.split(|byte| *byte == 0).for_each(|piece| next.push(piece, &[]));
        let changed = |piece: &usize| next.piece(*piece) != previous.piece(*piece);
        let changes = || (0..next.ends.len()).filter(changed);

        let pieces_changed = next.ends.len() != previous.ends.len();
        let payload_len_changed = payload.len() != self.payload_len;
        let mut flags = if pieces_changed { PIECES_CHANGED } else { 0 };
        flags |= if payload_len_changed { PAYLOAD_LEN_CHANGED } else { 0 };
        varint::put(out, (changes().count() as u64) << 2 | flags);
        if pieces_changed {
            varint::put(out, next.ends.len() as u64);
        }
        if payload_len_changed {
            varint::put(out, payload.len() as u64);
        }
        let mut place = 0;
        for piece in changes() {
            let (base, now) = (previous.piece(piece), next.piece(piece));
            let shared = base.iter().zip(now).take_while(|(a, b)| a == b).count();
            put_change(piece - place, shared, &now[shared..], out);
            place = piece + 1;
        }
        out.extend_from_slice(payload);
        std::mem::swap(previous, next);
        self.payload_len = payload.len();
    }
}

fn put_change(skip: usize, shared: usize, suffix: &[u8], out: &mut Vec<u8>) {
    let len = suffix.len();
    out.push((skip.min(SKIP_MORE) << 5 | len.min(LEN_MORE)) as u8);
    if skip >= SKIP_MORE {
        varint::put(out, (skip - SKIP_MORE) as u64);
    }
    if len >= LEN_MORE {
        varint::put(out, (len - LEN_MORE) as u64);
    }
    varint::put(out, shared as u64);
    out.extend_from_slice(suffix);
}

/// Reads the entries of one block, in order.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    reader: Reader<'a>,
    text: Text,
    next: Text,
    payload_len: usize,
}

type TextAndPayload<'t, 'a> = (&'t [u8], &'a [u8]);

/// The bytes are not those of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Decoder<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { reader: Reader(block), text: Text::default(), next: Text::default(), payload_len: 0 }
    }

    /// The next text and its payload; `None` at the end of the block.
    ///
    /// Cost: one pass over the text. Allocates only when a text is longer than those before.
    pub(super) fn next(&mut self) -> Result<Option<TextAndPayload<'_, 'a>>, Malformed> {
        if self.reader.0.is_empty() {
            return Ok(None);
        }
        let payload = self.step().ok_or(Malformed)?;
        Ok(Some((&self.text.bytes, payload)))
    }

    fn step(&mut self) -> Option<&'a [u8]> {
        let head = self.reader.u64()?;
        let pieces = match head & PIECES_CHANGED {
            0 => self.text.ends.len(),
            _ => self.reader.usize().filter(|pieces| (1..=PIECES_MAX).contains(pieces))?,
        };
        if head & PAYLOAD_LEN_CHANGED != 0 {
            self.payload_len = self.reader.usize().filter(|len| *len <= PAYLOAD_BYTES_MAX)?;
        }
        self.next.clear();
        for _ in 0..head >> 2 {
            self.change(pieces)?;
        }
        self.next.copy(&self.text, pieces);
        std::mem::swap(&mut self.text, &mut self.next);
        self.reader.take(self.payload_len)
    }

    fn change(&mut self, pieces: usize) -> Option<()> {
        let byte = usize::from(self.reader.byte()?);
        let (mut skip, mut len) = (byte >> 5, byte & 31);
        if skip == SKIP_MORE {
            skip = skip.checked_add(self.reader.usize()?)?;
        }
        if len == LEN_MORE {
            len = len.checked_add(self.reader.usize()?)?;
        }
        let place = self.next.ends.len().checked_add(skip).filter(|place| *place < pieces)?;
        self.next.copy(&self.text, place);
        let shared = self.reader.usize()?;
        let base = self.text.piece(place).get(..shared)?;
        self.next.push(base, self.reader.take(len)?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Entry = (Vec<u8>, Vec<u8>);

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
        entries.iter().for_each(|(text, payload)| encoder.push(text, payload, &mut bytes));
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
        let (mut decoder, mut entries) = (Decoder::new(bytes), Vec::new());
        while let Some((text, payload)) = decoder.next()? {
            entries.push((text.to_vec(), payload.to_vec()));
        }
        Ok(entries)
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::collection::vec(b'a'..b'c', 0..5),
            1 => prop::collection::vec(b'a'..b'c', 28..36),
        ];
        prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.join(&0))
    }

    proptest! {
        #[test]
        fn entries_come_back(
            entries in prop::collection::vec((text(), prop::collection::vec(any::<u8>(), 0..65)), 0..20),
        ) {
            prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
        }

        /// Bytes that pass the checksum by chance, or come from a later version, end in an error, not in a panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(entries) = decode(&bytes) {
                let read: usize = entries.iter().map(|(text, _)| text.len()).sum();
                prop_assert!(read <= bytes.len() * (bytes.len() + PIECES_MAX));
            }
        }
    }

    #[test]
    fn a_key_costs_what_it_differs() {
        let key = |text: &str| (text.as_bytes().to_vec(), vec![7; 12]);
        let mut entries = vec![key("bench.gauge\0host\0host-0122\0region\0r-2")];
        let first = encode(&entries).len();
        entries.push(key("bench.gauge\0host\0host-0123\0region\0r-3"));
        assert_eq!(encode(&entries).len() - first, 1 + 3 + 3 + 12);
    }
}
