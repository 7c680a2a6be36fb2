//! Reading a segment: its footer when it is opened, everything else when it is asked for, each part checked.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sereno_model::{Selector, SeriesKey};
use tracing::{debug, error};

use super::{
    BLOCK_SAMPLES_MAX, FOOTER_BYTES, FOOTER_MAGIC, HEADER_BYTES, HEADER_MAGIC, Meta, VERSION, day_range,
};
use crate::blobs::{Blob, Blobs};
use crate::bytes::Reader;
use crate::checksum::Seed;
use crate::codec::rows::{self, Row};
use crate::codec::times::Grid;
use crate::codec::{self, times, values};
use crate::index::{self, IndexError, SealedIndex};

/// A part of a segment cannot be read. Everything outside that part can.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to read {what} at byte {offset} of `{path}`: {why}")]
pub struct Damage {
    /// Which part.
    pub what: &'static str,
    /// Where it begins.
    pub offset: u64,
    /// The file.
    pub path: PathBuf,
    /// A call failed, or the bytes do not verify.
    pub why: Why,
}

/// Why a part cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Why {
    /// The bytes are not those that were written.
    #[error("the bytes are damaged")]
    Damaged,
    /// A call failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
}

/// An open segment. The file of one that was replaced or has expired goes when the last holder lets go.
pub(crate) struct Segment {
    pub meta: Meta,
    blob: Arc<dyn Blob>,
    blobs: Arc<dyn Blobs>,
    seed: Seed,
    index: SealedIndex,
    doomed: AtomicBool,
    damaged_reads: AtomicU64,
}

/// The index reads through this. A small one is held in memory: every query asks every segment of its days.
#[derive(Debug)]
struct IndexReader {
    blob: Arc<dyn Blob>,
    offset: u64,
    held: Vec<u8>,
}

/// An index of at most so many bytes, some 500 series, is held. With four segments a day that is 24 MiB a year.
const INDEX_HELD_BYTES_MAX: u64 = 16 << 10;

impl IndexReader {
    fn new(blob: Arc<dyn Blob>, offset: u64, length: u64) -> io::Result<Self> {
        let held =
            if length <= INDEX_HELD_BYTES_MAX { blob.read_at(offset, length as usize)? } else { Vec::new() };
        Ok(Self { blob, offset, held })
    }
}

impl index::ReadAt for IndexReader {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let at = offset.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.held.get(at..at.checked_add(len)?)) {
            Some(held) => Ok(held.to_vec()),
            None => self.blob.read_at(offset, len),
        }
    }
}

impl Segment {
    /// Opens a sealed segment: checks header and footer and the top of the index, not the samples.
    pub(crate) fn open(blobs: &Arc<dyn Blobs>, store_id: &[u8; 16], id: u64) -> Result<Self, Damage> {
        let name = super::name(id);
        let path = blobs.locate(&name);
        let fail = |what, offset, why| Damage { what, offset, path: path.clone(), why };
        let io = |what, offset| move |error: io::Error| (what, offset, classify(error));
        let blob = blobs.open(&name).map_err(io("the file", 0)).map_err(|(a, b, c)| fail(a, b, c))?;
        let seed = Seed::new(store_id, id);
        let header = blob.read_at(0, HEADER_BYTES).map_err(|error| fail("the header", 0, classify(error)))?;
        let footer_at = blob.size().saturating_sub(FOOTER_BYTES as u64);
        let footer = blob
            .read_at(footer_at, FOOTER_BYTES)
            .map_err(|error| fail("the footer", footer_at, classify(error)))?;
        let header_ok = header.starts_with(HEADER_MAGIC)
            && header[8..12] == VERSION.to_le_bytes()
            && header[16..32] == *store_id
            && header[32..40] == id.to_le_bytes()
            && header[60..] == crc32fast::hash(&header[..60]).to_le_bytes();
        if !header_ok {
            return Err(fail("the header", 0, Why::Damaged));
        }
        let (meta, index_offset, index_len) = read_footer(&seed, id, footer_at, &footer)
            .ok_or_else(|| fail("the footer", footer_at, Why::Damaged))?;
        let reader = IndexReader::new(blob.clone(), index_offset, index_len);
        let reader = Arc::new(reader.map_err(|error| fail("the index", index_offset, classify(error)))?);
        let index = SealedIndex::open(reader, index_offset..index_offset + index_len, seed.clone())
            .map_err(from_index)
            .map_err(|(offset, why)| fail("the index", offset, why))?;
        let (doomed, damaged_reads) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Self { meta, blob, blobs: blobs.clone(), seed, index, doomed, damaged_reads })
    }

    /// The file goes with the last holder.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    /// The series that match, in order of their keys.
    pub(crate) fn select(
        self: &Arc<Self>,
        selector: &Selector,
    ) -> Result<Vec<(SeriesKey, SeriesData)>, Damage> {
        let docs = self.index.select(selector).map_err(|error| self.index_damage(error))?;
        let entries = self.index.entries(&docs).map_err(|error| self.index_damage(error))?;
        entries.into_iter().map(|(key, payload)| Ok((key, self.series(&payload)?))).collect()
    }

    /// One series.
    pub(crate) fn find(self: &Arc<Self>, key: &SeriesKey) -> Result<Option<SeriesData>, Damage> {
        let found = self.index.find(key).map_err(|error| self.index_damage(error))?;
        found.map(|(_, payload)| self.series(&payload)).transpose()
    }

    /// Up to `count` series from the one numbered `first` on, in order of the keys; for readers of everything.
    pub(crate) fn series_from(
        self: &Arc<Self>,
        first: u32,
        count: u32,
    ) -> Result<Vec<(SeriesKey, SeriesData)>, Damage> {
        let numbers: Vec<u32> = (first..self.index.len().min(first.saturating_add(count))).collect();
        let entries = self.index.entries(&numbers).map_err(|error| self.index_damage(error))?;
        entries.into_iter().map(|(key, payload)| Ok((key, self.series(&payload)?))).collect()
    }

    /// Reads and checks the whole index.
    pub(crate) fn verify_index(&self) -> Result<(), Damage> {
        self.index.verify().map_err(|error| self.index_damage(error))
    }

    fn series(self: &Arc<Self>, payload: &[u8]) -> Result<SeriesData, Damage> {
        let mut reader = Reader(payload);
        let mut next = || reader.varint();
        let numbers = [next(), next(), next(), next(), next()];
        let [Some(offset), Some(head_len), Some(minutes_len), Some(blocks_len), Some(samples)] = numbers
        else {
            return Err(self.damage("an index entry", 0, Why::Damaged));
        };
        let end = [offset, head_len, minutes_len, blocks_len].into_iter().try_fold(0_u64, u64::checked_add);
        if end.is_none_or(|end| end > self.blob.size()) {
            return Err(self.damage("an index entry", 0, Why::Damaged));
        }
        Ok(SeriesData { segment: self.clone(), offset, head_len, minutes_len, blocks_len, samples })
    }

    fn index_damage(&self, error: IndexError) -> Damage {
        let (offset, why) = from_index(error);
        self.damage("the index", offset, why)
    }

    fn damage(&self, what: &'static str, offset: u64, why: Why) -> Damage {
        let damage = Damage { what, offset, path: self.blobs.locate(&self.meta.name()), why };
        if self.damaged_reads.fetch_add(1, Ordering::Relaxed) == 0 {
            error!(error = %damage, "A part of a segment cannot be read; the rest can. `serenod verify` tells how much.");
        }
        damage
    }

    /// A part that begins with its checksum, without it.
    fn part(&self, what: &'static str, offset: u64, bytes: &[u8]) -> Result<(), Damage> {
        let intact = bytes
            .split_first_chunk::<4>()
            .is_some_and(|(crc, rest)| *crc == self.seed.checksum(offset + 4, rest).to_le_bytes());
        if intact { Ok(()) } else { Err(self.damage(what, offset, Why::Damaged)) }
    }

    fn read(&self, what: &'static str, offset: u64, length: u64) -> Result<Vec<u8>, Damage> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.blob.read_at(offset, length).map_err(|error| self.damage(what, offset, classify(error)))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed)
            && let Err(error) = self.blobs.remove(&self.meta.name())
        {
            debug!(segment = self.meta.name(), %error, "A segment of no more use stays until the next start.");
        }
    }
}

fn classify(error: io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Why::Damaged,
        _ => Why::Io(Arc::new(error)),
    }
}

/// Where the damage of an index is, and what it is.
fn from_index(error: IndexError) -> (u64, Why) {
    match error {
        IndexError::Io { offset, source, .. } => (offset, classify(source)),
        IndexError::Damaged { offset, .. } => (offset, Why::Damaged),
    }
}

fn read_footer(seed: &Seed, id: u64, at: u64, footer: &[u8]) -> Option<(Meta, u64, u64)> {
    let (body, crc) = footer.split_at_checked(FOOTER_BYTES - 4)?;
    if crc != seed.checksum(at, body).to_le_bytes() {
        return None;
    }
    let mut reader = Reader(body.strip_prefix(FOOTER_MAGIC)?);
    let (index_offset, index_len) = (reader.u64()?, reader.u64()?);
    let (series, samples) = (reader.u64()?, reader.u64()?);
    let (time_min, time_max, day) = (reader.i64()?, reader.i64()?, reader.i64()?);
    let (sequence_first, sequence_last) = (reader.u64()?, reader.u64()?);
    let (group, level) = (reader.u32()?, u8::try_from(reader.u32()?).ok()?);
    let bytes = at + FOOTER_BYTES as u64;
    index_offset.checked_add(index_len).filter(|end| *end <= at)?;
    let meta = Meta {
        id,
        group,
        day,
        level,
        sequence_first,
        sequence_last,
        time_min,
        time_max,
        series,
        samples,
        bytes,
    };
    Some((meta, index_offset, index_len))
}

/// Where the samples of one series of a segment are.
#[derive(Clone, Debug)]
pub(crate) struct SeriesData {
    pub segment: Arc<Segment>,
    offset: u64,
    head_len: u64,
    minutes_len: u64,
    blocks_len: u64,
    pub samples: u64,
}

/// What is read first of a series: where its blocks are, and its hour rows.
#[derive(Debug, Default)]
pub(crate) struct HeadPart {
    pub blocks: Vec<BlockRef>,
    pub hours: Vec<Row>,
    /// Whether rows tell what concerns counters.
    pub with_falls: bool,
}

/// A block, not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRef {
    pub samples: usize,
    pub first: i64,
    pub last: i64,
    offset: u64,
    length: u64,
}

/// Decoded samples; kept from block to block for its allocations.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub grid: Option<Grid>,
    /// Empty when there is a grid, unless they were asked for.
    times: Vec<i64>,
    pub values: Vec<f64>,
    scratch: codec::Scratch,
}

/// The times of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Times<'a> {
    /// Regular ones.
    Grid(Grid),
    Each(&'a [i64]),
}

impl Times<'_> {
    pub(crate) fn get(&self, index: usize) -> i64 {
        match self {
            Self::Grid(grid) => grid.first + grid.step * index as i64,
            Self::Each(times) => times[index],
        }
    }
}

impl Block {
    pub(crate) fn times(&self) -> Times<'_> {
        self.grid.map_or(Times::Each(&self.times), Times::Grid)
    }
}

impl SeriesData {
    pub(crate) fn has_minutes(&self) -> bool {
        self.minutes_len > 0
    }

    /// The directory of blocks and the hour rows.
    pub(crate) fn head(&self) -> Result<HeadPart, Damage> {
        let bytes = self.segment.read("rows", self.offset, self.head_len)?;
        self.parse_head(&bytes)
    }

    /// The same, with the bytes of everything that follows, in one read: for who needs the blocks anyway.
    pub(crate) fn head_and_blocks(&self) -> Result<(HeadPart, Vec<u8>), Damage> {
        let all = self.head_len + self.minutes_len + self.blocks_len;
        let bytes = self.segment.read("a series", self.offset, all)?;
        let head = self.parse_head(&bytes[..self.head_len as usize])?;
        Ok((head, bytes))
    }

    fn parse_head(&self, bytes: &[u8]) -> Result<HeadPart, Damage> {
        self.segment.part("rows", self.offset, bytes)?;
        let malformed = || self.segment.damage("rows", self.offset, Why::Damaged);
        self.read_head(&bytes[4..]).ok_or_else(malformed)
    }

    fn read_head(&self, bytes: &[u8]) -> Option<HeadPart> {
        let mut reader = Reader(bytes);
        // A block takes at least four bytes of the directory.
        let count = reader.length(bytes.len() / 4)?;
        let mut head = HeadPart { blocks: Vec::with_capacity(count), ..HeadPart::default() };
        let day = day_range(self.segment.meta.day);
        let mut before = day.start.nanos();
        let mut offset = self.offset + self.head_len + self.minutes_len;
        for _ in 0..count {
            let samples = reader.length(BLOCK_SAMPLES_MAX)?;
            let first = before.checked_add_unsigned(reader.varint()?)?;
            let last = first.checked_add_unsigned(reader.varint()?)?;
            let length = reader.varint()?;
            head.blocks.push(BlockRef { samples, first, last, offset, length });
            offset = offset.checked_add(length)?;
            before = last;
        }
        if offset != self.offset + self.head_len + self.minutes_len + self.blocks_len
            || before > day.end.nanos()
        {
            return None;
        }
        let hours_len = reader.length(reader.0.len())?;
        head.with_falls = rows::decode(reader.take(hours_len)?, 24, &mut head.hours).ok()?;
        reader.0.is_empty().then_some(head)
    }

    /// The minute rows; none where a minute has few samples.
    pub(crate) fn minutes(&self) -> Result<Vec<Row>, Damage> {
        if self.minutes_len == 0 {
            return Ok(Vec::new());
        }
        let offset = self.offset + self.head_len;
        let bytes = self.segment.read("minute rows", offset, self.minutes_len)?;
        self.segment.part("minute rows", offset, &bytes)?;
        let mut rows = Vec::new();
        rows::decode(&bytes[4..], 1_440, &mut rows)
            .map_err(|_| self.segment.damage("minute rows", offset, Why::Damaged))?;
        Ok(rows)
    }

    /// Decodes a block, from the bytes of [`SeriesData::head_and_blocks`] if there are any.
    pub(crate) fn decode(&self, at: &BlockRef, all: Option<&[u8]>, block: &mut Block) -> Result<(), Damage> {
        let held = all.and_then(|all| {
            let start = usize::try_from(at.offset - self.offset).ok()?;
            all.get(start..start + usize::try_from(at.length).ok()?)
        });
        match held {
            Some(bytes) => self.decode_bytes(at, bytes, block),
            None => self.decode_bytes(at, &self.segment.read("a block", at.offset, at.length)?, block),
        }
    }

    fn decode_bytes(&self, at: &BlockRef, bytes: &[u8], block: &mut Block) -> Result<(), Damage> {
        self.segment.part("a block", at.offset, bytes)?;
        block.read(at, &bytes[4..]).ok_or_else(|| self.segment.damage("a block", at.offset, Why::Damaged))
    }
}

impl Block {
    fn read(&mut self, at: &BlockRef, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader(bytes);
        let times_len = reader.length(reader.0.len())?;
        let times = reader.take(times_len)?;
        self.times.clear();
        self.values.clear();
        self.grid = times::shape(times, at.samples);
        if self.grid.is_none() {
            times::decode(times, at.samples, &mut self.times, &mut self.scratch).ok()?;
        }
        values::decode(reader.0, at.samples, &mut self.values, &mut self.scratch).ok()?;
        // The directory and the column must tell the same, or a reader would look in the wrong place.
        let last = at.samples.checked_sub(1)?;
        let (first, last) = (self.times().get(0), self.times().get(last));
        ((first, last) == (at.first, at.last)).then_some(())
    }
}
