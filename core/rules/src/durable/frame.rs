//! Files of frames: a header, and frames with checksums that know their file and their place. Bytes: `FORMAT.md`.
//!
//! Invariants:
//! * a frame verifies nowhere but in its file, at its place;
//! * what stands behind the last sync mark ends at the first bad frame (a torn tail); damage before it is skipped, and
//!   counted, and what is beside it stays readable;
//! * no length is believed before it was checked.

use std::ops::Range;

use prost::Message as _;
use sereno_model::Timestamp;

use super::wire;

/// Bytes of a file header.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of a frame before its payload.
const FRAME_HEADER_BYTES: usize = 12;
/// No payload is larger: a length beyond it is damage, whatever follows.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const FILE_MAGIC: &[u8; 8] = b"SERENO-R";
const VERSION: u32 = 1;
const FRAME_MAGIC: [u8; 2] = [0xF0, 0xA1];

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Log = 1,
    Snapshot = 2,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Record = 1,
    /// All bytes before those that its payload counts are durable.
    SyncMark = 2,
}

/// A file header, which every checksum in the file is seeded with.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    header: [u8; HEADER_BYTES],
    seed: crc32fast::Hasher,
}

impl Identity {
    pub fn new(role: Role, number: u64, created: Timestamp) -> Self {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(FILE_MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(role as u32).to_le_bytes());
        header[16..24].copy_from_slice(&number.to_le_bytes());
        header[24..32].copy_from_slice(&created.nanos().to_le_bytes());
        let crc = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        Self::of(header)
    }

    fn of(header: [u8; HEADER_BYTES]) -> Self {
        let mut seed = crc32fast::Hasher::new();
        seed.update(&header);
        Self { header, seed }
    }

    /// That of a file which begins with `bytes`, if it is such a file.
    fn read(role: Role, number: u64, bytes: &[u8]) -> Option<Self> {
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
        let expected =
            Self::new(role, number, Timestamp::from_nanos(i64::from_le_bytes(*header[24..].first_chunk()?)));
        (expected.header == header).then_some(expected)
    }

    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    fn checksum(&self, offset: u64, parts: [&[u8]; 2]) -> u32 {
        let mut crc = self.seed.clone();
        crc.update(&offset.to_le_bytes());
        parts.iter().for_each(|part| crc.update(part));
        crc.finalize()
    }

    /// The frame at `offset`, if one verifies there.
    fn frame_at(&self, bytes: &[u8], offset: usize) -> Option<(Kind, Range<usize>)> {
        let header = bytes.get(offset..)?.first_chunk::<FRAME_HEADER_BYTES>()?;
        if header[..2] != FRAME_MAGIC || header[3] != 0 {
            return None;
        }
        let kind = [Kind::Record, Kind::SyncMark].into_iter().find(|kind| *kind as u8 == header[2])?;
        let length = u32::from_le_bytes(*header[4..].first_chunk()?) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return None;
        }
        let start = offset + FRAME_HEADER_BYTES;
        let payload = bytes.get(start..start + length)?;
        let crc = self.checksum(offset as u64, [&header[..8], payload]);
        (header[8..] == crc.to_le_bytes()).then_some((kind, start..start + length))
    }
}

/// Frames on their way into one file with one write.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

/// A record is larger than any frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Frames {
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a record, which will stand at `offset` of the file plus what is here already.
    pub fn record(&mut self, identity: &Identity, offset: u64, frame: &wire::Frame) -> Result<(), TooLarge> {
        if frame.encoded_len() > PAYLOAD_BYTES_MAX {
            return Err(TooLarge);
        }
        // A vector grows as it must, so there is always room.
        self.put(identity, offset, Kind::Record, |bytes| frame.encode_raw(bytes));
        Ok(())
    }

    /// Adds a mark: the first `durable` bytes of the file survive the loss of power.
    pub fn sync_mark(&mut self, identity: &Identity, offset: u64, durable: u64) {
        self.put(identity, offset, Kind::SyncMark, |bytes| bytes.extend_from_slice(&durable.to_le_bytes()));
    }

    fn put(&mut self, identity: &Identity, offset: u64, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[FRAME_MAGIC[0], FRAME_MAGIC[1], kind as u8, 0]);
        self.bytes.extend_from_slice(&[0; 8]);
        payload(&mut self.bytes);
        let length = self.bytes.len() - start - FRAME_HEADER_BYTES;
        self.bytes[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
        let (head, body) = self.bytes[start..].split_at(FRAME_HEADER_BYTES);
        let crc = identity.checksum(offset + start as u64, [&head[..8], body]);
        self.bytes[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A file that was read and checked.
#[derive(Debug)]
pub(super) struct Loaded {
    bytes: Vec<u8>,
    records: Vec<Range<usize>>,
    /// Where the part that counts ends.
    pub end: usize,
    /// Gaps before the last sync mark.
    pub damage: Vec<Range<usize>>,
}

/// What bytes turn out to be.
#[derive(Debug)]
pub(super) enum Opened {
    Loaded(Loaded),
    /// The file was begun, and its header never became durable.
    Unbegun,
    /// The header does not verify.
    Damaged,
}

impl Loaded {
    /// Checks the bytes of a file.
    pub fn parse(role: Role, number: u64, bytes: Vec<u8>) -> Opened {
        let Some(identity) = Identity::read(role, number, &bytes) else {
            let header = bytes.get(..HEADER_BYTES);
            let unbegun = header.is_none_or(|header| header.iter().all(|byte| *byte == 0));
            return if unbegun { Opened::Unbegun } else { Opened::Damaged };
        };
        let pieces: Vec<Piece> = pieces(&identity, &bytes);
        let marks = pieces.iter().filter_map(|piece| match piece {
            Piece::Frame(Kind::SyncMark, payload) => {
                bytes[payload.clone()].first_chunk().map(|mark| u64::from_le_bytes(*mark))
            }
            _ => None,
        });
        let durable = marks.max().unwrap_or(0);
        let (mut end, mut records, mut damage) = (HEADER_BYTES, Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Gap(gap) if gap.start as u64 >= durable => break,
                Piece::Gap(gap) => damage.push(gap),
                Piece::Frame(kind, payload) => {
                    end = payload.end;
                    if kind == Kind::Record {
                        records.push(payload);
                    }
                }
            }
        }
        Opened::Loaded(Self { bytes, records, end, damage })
    }

    /// What the records say, in order; `None` for one that says nothing that this program understands.
    pub fn records(&self) -> impl Iterator<Item = Option<wire::Body>> + '_ {
        let frame = |payload: &Range<usize>| wire::Frame::decode(&self.bytes[payload.clone()]).ok();
        self.records.iter().map(move |payload| frame(payload).and_then(|frame| frame.body))
    }

    /// Bytes behind the part that counts.
    pub fn torn_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.end)
    }
}

enum Piece {
    Frame(Kind, Range<usize>),
    Gap(Range<usize>),
}

/// The frames of a file, and what lies between them.
fn pieces(identity: &Identity, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        if let Some((kind, payload)) = identity.frame_at(bytes, offset) {
            offset = payload.end;
            pieces.push(Piece::Frame(kind, payload));
            continue;
        }
        let next = (offset + 1..bytes.len())
            .filter(|place| bytes[*place..].starts_with(&FRAME_MAGIC))
            .find(|place| identity.frame_at(bytes, *place).is_some())
            .unwrap_or(bytes.len());
        pieces.push(Piece::Gap(offset..next));
        offset = next;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(number: u32) -> wire::Frame {
        let named = wire::Named { number, rule: "r".repeat(number as usize) };
        wire::Frame { body: Some(wire::Body::Named(named)) }
    }

    /// A file of the records 1, 2, mark over both, 3, 4; and where each of its frames begins.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let identity = Identity::new(Role::Log, 7, Timestamp::from_nanos(5));
        let mut bytes = identity.header().to_vec();
        let mut starts = Vec::new();
        let mut frames = Frames::default();
        for number in [1, 2, 0, 3, 4] {
            starts.push(bytes.len());
            frames.clear();
            match number {
                0 => frames.sync_mark(&identity, bytes.len() as u64, bytes.len() as u64),
                number => frames.record(&identity, bytes.len() as u64, &named(number)).unwrap(),
            }
            bytes.extend_from_slice(frames.as_bytes());
        }
        (bytes, starts)
    }

    /// The numbers that are read, the gaps, and the bytes of the torn tail.
    fn read(bytes: &[u8]) -> (Vec<u32>, usize, usize) {
        let Opened::Loaded(loaded) = Loaded::parse(Role::Log, 7, bytes.to_vec()) else {
            return Default::default();
        };
        let numbers = loaded.records().map(|body| match body {
            Some(wire::Body::Named(named)) => named.number,
            _ => 0,
        });
        (numbers.collect(), loaded.damage.len(), loaded.torn_bytes())
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        assert_eq!(read(&file().0), (vec![1, 2, 3, 4], 0, 0));
    }

    #[test]
    fn whatever_byte_it_ends_at_the_whole_records_are_read() {
        let (bytes, starts) = file();
        for end in HEADER_BYTES..bytes.len() {
            let whole = starts.iter().skip(1).chain([&bytes.len()]).filter(|start| **start <= end).count();
            let expected: Vec<u32> =
                [1, 2, 0, 3, 4].into_iter().take(whole).filter(|number| *number > 0).collect();
            let torn = end - starts.get(whole).copied().unwrap_or(bytes.len());
            assert_eq!(read(&bytes[..end]), (expected, 0, torn), "cut at {end}");
        }
    }

    #[test]
    fn any_bad_byte_costs_one_record_before_the_mark_and_the_tail_behind_it() {
        let (bytes, starts) = file();
        for place in HEADER_BYTES..bytes.len() {
            let mut bad = bytes.clone();
            bad[place] ^= 0x10;
            let (numbers, damage, torn) = read(&bad);
            let frame = starts.iter().rposition(|start| *start <= place).unwrap();
            let expected: (&[u32], usize) = match frame {
                0 => (&[2, 3, 4], 1),
                1 => (&[1, 3, 4], 1),
                // Without its mark, what follows is not known to be whole.
                2 => (&[1, 2], 0),
                3 => (&[1, 2], 0),
                _ => (&[1, 2, 3], 0),
            };
            assert_eq!((&numbers[..], damage), expected, "byte {place}");
            assert_eq!(torn > 0, frame >= 2, "byte {place}");
        }
    }

    #[test]
    fn a_frame_verifies_only_at_its_place_in_its_file() {
        let (bytes, starts) = file();
        let mut moved = bytes[..starts[1]].to_vec();
        moved.extend_from_slice(&bytes[starts[3]..]);
        assert_eq!(read(&moved).0, [1]);
        assert!(matches!(Loaded::parse(Role::Log, 8, bytes.clone()), Opened::Damaged));
        assert!(matches!(Loaded::parse(Role::Snapshot, 7, bytes.clone()), Opened::Damaged));
        assert!(matches!(Loaded::parse(Role::Log, 7, bytes[..40].to_vec()), Opened::Unbegun));
        assert!(matches!(Loaded::parse(Role::Log, 7, vec![0; 100]), Opened::Unbegun));
    }

    proptest::proptest! {
        #[test]
        fn foreign_bytes_are_no_records(tail: Vec<u8>) {
            let (mut bytes, starts) = file();
            bytes.truncate(starts[1]);
            bytes.extend_from_slice(&tail);
            proptest::prop_assert_eq!(read(&bytes).0, [1]);
        }
    }
}
