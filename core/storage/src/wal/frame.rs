//! Frames: a header with a checksum that knows its place, and a payload.

use sereno_model::{SeriesKey, Timestamp};

use crate::batch::BatchId;
use crate::bytes::{Reader, put_varint};
use crate::checksum::Seed;
use crate::numbered::Spans;
use crate::registry::SeriesId;

/// Bytes of a file header.
pub(crate) const FILE_HEADER_BYTES: usize = 64;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 12;
/// No payload is larger: a length beyond it is damage, whatever follows.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

const FILE_MAGIC: &[u8; 8] = b"SERENO-W";
/// The version that is written. Version 2, without numbered batches, and version 1, without stamps and shared times in
/// its commits too, are still read.
const VERSION: u32 = 3;
/// In the number of samples of a run: all of them have the one time that is given.
const ONE_TIME: u32 = 1 << 31;
const FRAME_MAGIC: [u8; 2] = [0xF0, 0x5E];

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit = 1,
    SyncMark = 2,
    Definitions = 3,
    Memory = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Commit, Self::SyncMark, Self::Definitions, Self::Memory]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Identity of a WAL file: what its header says and every checksum in it is seeded with.
#[derive(Clone, Debug)]
pub(crate) struct FileIdentity {
    pub store_id: [u8; 16],
    pub file_id: u64,
    pub queues: u32,
    seed: Seed,
}

impl FileIdentity {
    pub(crate) fn new(store_id: [u8; 16], file_id: u64, queues: u32) -> Self {
        Self { store_id, file_id, queues, seed: Seed::new(&store_id, file_id) }
    }

    /// The 64 bytes at the start of the file; `writer` is the index of the one whose stream it belongs to.
    pub(crate) fn header(&self, created: Timestamp, writer: u32) -> [u8; FILE_HEADER_BYTES] {
        let mut header = [0; FILE_HEADER_BYTES];
        header[..8].copy_from_slice(FILE_MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&self.queues.to_le_bytes());
        header[16..32].copy_from_slice(&self.store_id);
        header[32..40].copy_from_slice(&self.file_id.to_le_bytes());
        header[40..48].copy_from_slice(&created.nanos().to_le_bytes());
        header[48..52].copy_from_slice(&writer.to_le_bytes());
        let crc = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// The version of the file, if `bytes` begin with its header.
    pub(crate) fn version_of(&self, bytes: &[u8]) -> Option<u32> {
        let header = bytes.get(..FILE_HEADER_BYTES)?;
        let version = u32::from_le_bytes(header[8..12].try_into().ok()?);
        let ours = header.starts_with(FILE_MAGIC)
            && header[60..] == crc32fast::hash(&header[..60]).to_le_bytes()
            && (1..=VERSION).contains(&version)
            && header[16..32] == self.store_id
            && header[32..40] == self.file_id.to_le_bytes();
        ours.then_some(version)
    }

    /// The writer whose stream the file that begins with `bytes` belongs to.
    pub(crate) fn writer_of(bytes: &[u8]) -> u32 {
        bytes.get(48..).and_then(|rest| Reader(rest).u32()).unwrap_or(0)
    }

    /// The frame at `offset` of `bytes`, which begin at `base` of the file, if one verifies there.
    pub(crate) fn frame_at<'a>(&self, bytes: &'a [u8], offset: usize, base: u64) -> Option<(Kind, &'a [u8])> {
        let header = bytes.get(offset..offset + FRAME_HEADER_BYTES)?;
        if header[..2] != FRAME_MAGIC || header[3] != 0 {
            return None;
        }
        let kind = Kind::from_byte(header[2])?;
        let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return None;
        }
        let start = offset + FRAME_HEADER_BYTES;
        let payload = bytes.get(start..start + length)?;
        let crc = self.seed.checksum_of(base + offset as u64, &[&header[..8], payload]);
        (header[8..] == crc.to_le_bytes()).then_some((kind, payload))
    }
}

/// Bytes on their way into one file with one write: frames one after the other.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a frame that will stand at `file_offset` plus what is in the buffer already; `payload` writes its content.
    pub(crate) fn frame(
        &mut self,
        identity: &FileIdentity,
        file_offset: u64,
        kind: Kind,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[FRAME_MAGIC[0], FRAME_MAGIC[1], kind as u8, 0]);
        self.bytes.extend_from_slice(&[0; 8]);
        payload(&mut self.bytes);
        let length = self.bytes.len() - start - FRAME_HEADER_BYTES;
        debug_assert!(length <= PAYLOAD_BYTES_MAX, "the writer bounds its commits");
        self.bytes[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
        let (head, body) = self.bytes[start..].split_at(FRAME_HEADER_BYTES);
        let crc = identity.seed.checksum_of(file_offset + start as u64, &[&head[..8], body]);
        self.bytes[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Adds one series to a payload of definitions that begins at `start`; the first call writes the count.
pub(crate) fn put_definition(payload: &mut Vec<u8>, start: usize, id: SeriesId, key: &SeriesKey) {
    if payload.len() == start {
        payload.extend_from_slice(&0_u32.to_le_bytes());
    }
    for number in [id.queue, id.ordinal, key.canonical().len() as u32] {
        payload.extend_from_slice(&number.to_le_bytes());
    }
    payload.extend_from_slice(key.canonical().as_bytes());
    let count: &mut [u8] = &mut payload[start..start + 4];
    let next = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) + 1;
    count.copy_from_slice(&next.to_le_bytes());
}

/// The definitions in a payload as (queue, ordinal, key bytes).
pub(crate) fn definitions(payload: &[u8]) -> impl Iterator<Item = (u32, u32, &[u8])> {
    let mut reader = Reader(payload);
    let count = reader.u32().unwrap_or(0);
    (0..count).map_while(move |_| {
        let (queue, ordinal, length) = (reader.u32()?, reader.u32()?, reader.u32()?);
        Some((queue, ordinal, reader.take(length as usize)?))
    })
}

/// One queue's part of a commit, as it is read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub queue: u32,
    pub order: u64,
    ordinals: &'a [u8],
    times: Times<'a>,
    values: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Times<'a> {
    One(i64),
    Each(&'a [u8]),
}

impl<'a> Run<'a> {
    /// How many samples.
    pub(crate) fn len(&self) -> usize {
        self.ordinals.len() / 4
    }

    /// The samples as (ordinal, time, value).
    pub(crate) fn samples(self) -> impl Iterator<Item = (u32, i64, f64)> + 'a {
        let ordinals = self.ordinals.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let values = self.values.as_chunks().0.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes)));
        let (one, each) = match self.times {
            Times::One(time) => (time, [].as_slice()),
            Times::Each(times) => (0, times.as_chunks().0),
        };
        ordinals.zip(values).enumerate().map(move |(index, (ordinal, value))| {
            let time = each.get(index).map_or(one, |bytes| i64::from_le_bytes(*bytes));
            (ordinal, time, value)
        })
    }
}

/// The queue's part of a commit on its way into a payload: `time_of`, `ordinal_of` and `value_of` are asked once per row.
pub(crate) fn put_run<R>(
    payload: &mut Vec<u8>,
    queue: u32,
    order: u64,
    rows: &[R],
    parts: impl Fn(&R) -> (u32, i64, f64),
) {
    let one_time =
        rows.first().map(|row| parts(row).1).filter(|first| rows.iter().all(|row| parts(row).1 == *first));
    let flag = if one_time.is_some() { ONE_TIME } else { 0 };
    payload.extend_from_slice(&queue.to_le_bytes());
    payload.extend_from_slice(&(rows.len() as u32 | flag).to_le_bytes());
    payload.extend_from_slice(&order.to_le_bytes());
    rows.iter().for_each(|row| payload.extend_from_slice(&parts(row).0.to_le_bytes()));
    match one_time {
        Some(time) => payload.extend_from_slice(&time.to_le_bytes()),
        None => rows.iter().for_each(|row| payload.extend_from_slice(&parts(row).1.to_le_bytes())),
    }
    rows.iter().for_each(|row| payload.extend_from_slice(&parts(row).2.to_bits().to_le_bytes()));
}

/// Begins the payload of a commit. `stamp` is the newest time that the writer has given to a sample.
pub(crate) fn put_commit(payload: &mut Vec<u8>, stamp: i64, runs: usize) {
    payload.extend_from_slice(&stamp.to_le_bytes());
    payload.extend_from_slice(&(runs as u32).to_le_bytes());
}

/// The newest time that the writer of a commit had given, if the version tells.
pub(crate) fn stamp(payload: &[u8], version: u32) -> Option<i64> {
    Reader(payload).i64().filter(|stamp| version >= 2 && *stamp != i64::MIN)
}

/// The runs in the payload of a commit.
pub(crate) fn runs(payload: &[u8], version: u32) -> impl Iterator<Item = Run<'_>> {
    let (count, mut reader) = begin_commit(payload, version);
    (0..count).map_while(move |_| take_run(&mut reader, version))
}

/// The number of runs, and where they begin.
fn begin_commit(payload: &[u8], version: u32) -> (u32, Reader<'_>) {
    let mut reader = Reader(payload);
    if version >= 2 {
        reader.i64();
    }
    (reader.u32().unwrap_or(0), reader)
}

fn take_run<'a>(reader: &mut Reader<'a>, version: u32) -> Option<Run<'a>> {
    let (queue, flagged) = (reader.u32()?, reader.u32()?);
    let order = reader.u64()?;
    let one_time = version >= 2 && flagged & ONE_TIME != 0;
    let samples = (flagged & !ONE_TIME) as usize;
    Some(Run {
        queue,
        order,
        ordinals: reader.take(samples * 4)?,
        times: if one_time { Times::One(reader.i64()?) } else { Times::Each(reader.take(samples * 8)?) },
        values: reader.take(samples * 8)?,
    })
}

/// Ends the payload of a commit with the numbered batches that brought its samples; without any, it ends as it is.
pub(crate) fn put_tags(payload: &mut Vec<u8>, tags: &[(BatchId, Spans)]) {
    if tags.is_empty() {
        return;
    }
    payload.extend_from_slice(&(tags.len() as u32).to_le_bytes());
    for (id, spans) in tags {
        payload.extend_from_slice(&id.client.to_le_bytes());
        put_varint(payload, id.number);
        spans.put_all(payload);
    }
}

/// The numbered batches of a commit, each with the samples of it that the commit holds.
pub(crate) fn tags(payload: &[u8], version: u32) -> impl Iterator<Item = (BatchId, Spans)> {
    let (count, mut reader) = begin_commit(payload, version);
    let is_read = version >= 3 && (0..count).all(|_| take_run(&mut reader, version).is_some());
    let tags = if is_read { reader.u32().unwrap_or(0) } else { 0 };
    (0..tags).map_while(move |_| {
        let id = BatchId { client: reader.u64()?, number: reader.varint()? };
        Some((id, Spans::take(&mut reader)?))
    })
}

/// How many bytes of the file a sync mark calls durable.
pub(crate) fn durable_bytes(payload: &[u8]) -> Option<u64> {
    Reader(payload).u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_behind_the_runs() {
        let mut payload = Vec::new();
        put_commit(&mut payload, 9, 1);
        put_run(&mut payload, 3, 4, &[(0, 10, 1.0), (1, 11, 2.0)], |row| *row);
        let plain = payload.len();
        put_tags(&mut payload, &[]);
        assert_eq!(payload.len(), plain, "without any, a commit is what it ever was");
        assert_eq!(tags(&payload, 3).count(), 0);
        let mut scattered = Spans::run(1, 2, 7);
        scattered.push(9, 7);
        let batches = [(7, 1, Spans::run(0, 2, 7)), (u64::MAX, 300, scattered)];
        put_tags(&mut payload, &batches.map(|(client, number, spans)| (BatchId { client, number }, spans)));
        let frozen = [
            &[2, 0, 0, 0][..],
            &[7, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xac, 2, 2, 1, 1, 6, 0],
        ];
        assert_eq!(payload[plain..], frozen.concat());
        let read: Vec<_> = tags(&payload, 3).collect();
        assert_eq!(read[0], (BatchId { client: 7, number: 1 }, Spans::run(0, 2, 0)));
        assert!(read[1].1.contains(2) && read[1].1.contains(9) && !read[1].1.contains(3));
        assert_eq!((read.len(), runs(&payload, 3).count()), (2, 1));
        assert_eq!(tags(&payload, 2).count(), 0, "earlier versions have none");
        (0..payload.len()).for_each(|end| assert!(tags(&payload[..end], 3).count() < 2));
    }
}
