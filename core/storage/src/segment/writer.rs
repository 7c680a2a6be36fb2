//! Writing a segment: series by series in order of their keys, then the index, then the footer.

use std::io;

use sereno_model::SeriesKey;

use super::{
    BLOCK_SAMPLES, BLOCK_SAMPLES_MAX, FOOTER_BYTES, FOOTER_MAGIC, HEADER_BYTES, HEADER_MAGIC,
    MINUTE_ROW_SAMPLES_MIN, Meta, VERSION,
};
use crate::blobs::{BlobWriter, Blobs};
use crate::bytes::put_varint;
use crate::checksum::Seed;
use crate::codec::rows::{self, Row};
use crate::codec::{self, times, values};
use crate::index;
use crate::summary::{DAY_NANOS, HOUR_NANOS, MINUTE_NANOS, larger, smaller};

/// Bytes are handed to the file in runs of this size.
const BUFFER_BYTES: usize = 1 << 20;

/// A segment on its way. Dropped without [`SegmentWriter::finish`], it leaves nothing.
pub(crate) struct SegmentWriter {
    blob: Box<dyn BlobWriter>,
    seed: Seed,
    meta: Meta,
    buffer: Vec<u8>,
    /// Bytes that the file has already.
    written: u64,
    entries: Vec<(SeriesKey, Vec<u8>)>,
    scratch: Scratch,
}

/// Kept from series to series for its allocations.
#[derive(Default)]
struct Scratch {
    codec: codec::Scratch,
    hours: Vec<Row>,
    minutes: Vec<Row>,
    blocks: Vec<u8>,
    head: Vec<u8>,
    rows: Vec<u8>,
    column: Vec<u8>,
}

impl SegmentWriter {
    /// Begins a segment; `meta` gives id, group, day, level and sequences, the rest is counted.
    pub(crate) fn create(blobs: &dyn Blobs, store_id: &[u8; 16], meta: Meta) -> io::Result<Self> {
        let mut header = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        header.extend_from_slice(HEADER_MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&meta.group.to_le_bytes());
        header.extend_from_slice(store_id);
        header.extend_from_slice(&meta.id.to_le_bytes());
        header.extend_from_slice(&meta.day.to_le_bytes());
        header.resize(HEADER_BYTES - 4, 0);
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        Ok(Self {
            blob: blobs.create(&meta.name())?,
            seed: Seed::new(store_id, meta.id),
            meta: Meta { time_min: i64::MAX, time_max: i64::MIN, series: 0, samples: 0, bytes: 0, ..meta },
            buffer: header,
            written: 0,
            entries: Vec::new(),
            scratch: Scratch {
                // What is not a whole day is merged before long.
                codec: if meta.level < 2 { codec::Scratch::quick() } else { codec::Scratch::default() },
                ..Scratch::default()
            },
        })
    }

    /// Adds a series: at least one sample, times rising and within the day. Keys come in order.
    pub(crate) fn add(&mut self, key: SeriesKey, times: &[i64], values: &[f64]) -> io::Result<()> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        let day_start = self.meta.day.saturating_mul(DAY_NANOS);
        let offset = self.written + self.buffer.len() as u64;
        let scratch = &mut self.scratch;
        let with_falls = scratch.summarize(day_start, times, values);
        scratch.head.clear();
        scratch.head.extend_from_slice(&[0; 4]);
        scratch.encode_blocks(day_start, times, values);
        scratch.rows.clear();
        rows::encode(&scratch.hours, with_falls, &mut scratch.rows, &mut scratch.codec);
        put_varint(&mut scratch.head, scratch.rows.len() as u64);
        scratch.head.extend_from_slice(&scratch.rows);
        let crc = self.seed.checksum(offset + 4, &scratch.head[4..]);
        scratch.head[..4].copy_from_slice(&crc.to_le_bytes());

        self.buffer.extend_from_slice(&scratch.head);
        let minutes_len = if scratch.minutes.is_empty() {
            0
        } else {
            scratch.rows.clear();
            rows::encode(&scratch.minutes, with_falls, &mut scratch.rows, &mut scratch.codec);
            let at = self.written + self.buffer.len() as u64;
            self.buffer.extend_from_slice(&self.seed.checksum(at + 4, &scratch.rows).to_le_bytes());
            self.buffer.extend_from_slice(&scratch.rows);
            4 + scratch.rows.len()
        };
        let blocks_len = self.place_blocks();
        let mut payload = Vec::with_capacity(20);
        let scratch = &self.scratch;
        for number in [offset, scratch.head.len() as u64, minutes_len as u64, blocks_len, times.len() as u64]
        {
            put_varint(&mut payload, number);
        }
        self.entries.push((key, payload));
        self.meta.time_min = self.meta.time_min.min(*first);
        self.meta.time_max = self.meta.time_max.max(*last);
        self.meta.series += 1;
        self.meta.samples += times.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.drain() } else { Ok(()) }
    }

    /// Moves the encoded blocks behind what is written, each with the checksum of its place; gives their bytes.
    fn place_blocks(&mut self) -> u64 {
        let mut rest = &self.scratch.blocks[..];
        let before = self.buffer.len();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let (block, after) = after.split_at(length);
            let at = self.written + self.buffer.len() as u64;
            self.buffer.extend_from_slice(&self.seed.checksum(at + 4, block).to_le_bytes());
            self.buffer.extend_from_slice(block);
            rest = after;
        }
        (self.buffer.len() - before) as u64
    }

    /// Writes index and footer and makes the segment durable.
    pub(crate) fn finish(mut self) -> io::Result<Meta> {
        self.drain()?;
        let index_offset = self.written;
        index::write(&self.entries, index_offset, &self.seed, &mut self.buffer);
        let index_len = self.buffer.len() as u64;
        self.drain()?;
        self.meta.bytes = self.written + FOOTER_BYTES as u64;
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.extend_from_slice(FOOTER_MAGIC);
        for number in [index_offset, index_len, self.meta.series, self.meta.samples] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.meta.time_min, self.meta.time_max, self.meta.day] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.meta.sequence_first, self.meta.sequence_last] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        footer.extend_from_slice(&self.meta.group.to_le_bytes());
        footer.extend_from_slice(&u32::from(self.meta.level).to_le_bytes());
        footer.resize(FOOTER_BYTES - 4, 0);
        let crc = self.seed.checksum(self.written, &footer);
        footer.extend_from_slice(&crc.to_le_bytes());
        self.blob.write(&footer)?;
        self.blob.seal()?;
        Ok(self.meta)
    }

    fn drain(&mut self) -> io::Result<()> {
        self.blob.write(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Scratch {
    /// Encodes the samples in blocks of about equal size: the directory goes to the head, the blocks, each after its
    /// length, to `blocks`.
    fn encode_blocks(&mut self, day_start: i64, times: &[i64], values: &[f64]) {
        let constant = values.iter().all(|value| value.to_bits() == values[0].to_bits());
        let long = constant || values::are_floats(values);
        let count = times.len().div_ceil(if long { BLOCK_SAMPLES_MAX } else { BLOCK_SAMPLES });
        let size = times.len().div_ceil(count.max(1));
        self.blocks.clear();
        put_varint(&mut self.head, count as u64);
        let mut before = day_start;
        for (times, values) in times.chunks(size).zip(values.chunks(size)) {
            let start = self.blocks.len();
            self.blocks.extend_from_slice(&[0; 4]);
            self.column.clear();
            times::encode(times, &mut self.column, &mut self.codec);
            put_varint(&mut self.blocks, self.column.len() as u64);
            self.blocks.extend_from_slice(&self.column);
            values::encode(values, &mut self.blocks, &mut self.codec);
            let length = self.blocks.len() - start - 4;
            self.blocks[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
            let (first, last) = (times[0], times[times.len() - 1]);
            // Within a day no difference overflows.
            for number in
                [times.len() as u64, (first - before) as u64, (last - first) as u64, length as u64 + 4]
            {
                put_varint(&mut self.head, number);
            }
            before = last;
        }
    }

    /// Fills the rows; gives whether they tell what concerns counters. An hour or minute with a value that is not finite
    /// has none: its samples are decoded.
    fn summarize(&mut self, day_start: i64, times: &[i64], values: &[f64]) -> bool {
        self.hours.clear();
        self.minutes.clear();
        let falls = values.windows(2).map(|pair| usize::from(pair[1] < pair[0])).sum::<usize>();
        // A gauge falls all the time, and nobody asks for its resets.
        let with_falls = falls <= values.len() / 64;
        let (first, last) = (times[0], times[times.len() - 1]);
        let spanned_minutes = last / MINUTE_NANOS - first / MINUTE_NANOS + 1;
        let may_have_minutes = times.len() as i64 >= spanned_minutes * MINUTE_ROW_SAMPLES_MIN as i64;
        if falls > 0 && with_falls || may_have_minutes || !self.fold_hours(day_start, times, values) {
            self.fold_minutes(day_start, times, values);
        }
        with_falls
    }

    /// Fills hour and minute rows.
    fn fold_minutes(&mut self, day_start: i64, times: &[i64], values: &[f64]) {
        self.hours.clear();
        let mut hour = RowFold::default();
        let mut occupied_minutes = 0;
        let mut next = 0;
        while let Some(first) = times.get(next) {
            let minute_slot = (first - day_start) / MINUTE_NANOS;
            let end =
                next + len_before(&times[next..], day_start.saturating_add((minute_slot + 1) * MINUTE_NANOS));
            let minute = RowFold::of(&values[next..end]);
            next = end;
            occupied_minutes += 1;
            hour.append(&minute);
            self.minutes.extend(minute.row(minute_slot as u32));
            let hour_slot = minute_slot / 60;
            let hour_end = day_start.saturating_add((hour_slot + 1) * HOUR_NANOS);
            if times.get(next).is_none_or(|time| *time >= hour_end) {
                self.hours.extend(hour.row(hour_slot as u32));
                hour = RowFold::default();
            }
        }
        if times.len() < occupied_minutes * MINUTE_ROW_SAMPLES_MIN {
            self.minutes.clear();
        }
    }

    /// Fills hour rows alone, without what concerns counters, which is about all that writing a segment does to every
    /// sample. Gives up if there should be minute rows.
    fn fold_hours(&mut self, day_start: i64, times: &[i64], values: &[f64]) -> bool {
        let mut occupied_minutes = 0;
        let mut next = 0;
        while let Some(first) = times.get(next) {
            let slot = (first - day_start) / HOUR_NANOS;
            let start = next;
            let end = next + len_before(&times[next..], day_start.saturating_add((slot + 1) * HOUR_NANOS));
            let mut sum = 0.0;
            while next < end {
                let left = MINUTE_NANOS - times[next].rem_euclid(MINUTE_NANOS);
                let minute_end = times[next].saturating_add(left);
                let minute = next + len_before(&times[next..end], minute_end);
                sum += values[next..minute].iter().fold(0.0, |sum, value| sum + value);
                occupied_minutes += 1;
                next = minute;
            }
            let values = &values[start..end];
            let (min, max) = extremes(values);
            let row =
                RowFold { count: values.len() as u32, sum, min, max, first: values[0], ..RowFold::default() };
            self.hours.extend(RowFold { last: values[values.len() - 1], ..row }.row(slot as u32));
        }
        times.len() < occupied_minutes * MINUTE_ROW_SAMPLES_MIN
    }
}

/// How many of the times come before `bound`; at least one, for the first does.
fn len_before(times: &[i64], bound: i64) -> usize {
    times.iter().position(|time| *time >= bound).unwrap_or(times.len()).max(1)
}

/// The smallest and the largest of finite values, at least one.
fn extremes(values: &[f64]) -> (f64, f64) {
    let (mut low, mut high) = ([values[0]; 4], [values[0]; 4]);
    let (lanes, rest) = values.as_chunks::<4>();
    for lane in lanes {
        for index in 0..4 {
            low[index] = if lane[index] < low[index] { lane[index] } else { low[index] };
            high[index] = if lane[index] > high[index] { lane[index] } else { high[index] };
        }
    }
    let fold = |start: f64, all: &[f64], of: fn(f64, f64) -> f64| all.iter().copied().fold(start, of);
    let (min, max) =
        (fold(fold(low[0], &low, smaller), rest, smaller), fold(fold(high[0], &high, larger), rest, larger));
    if min != 0.0 && max != 0.0 {
        return (min, max);
    }
    // 0 equals -0, and which of them was met first must not matter.
    (fold(min, values, smaller), fold(max, values, larger))
}

/// A [`Summary`](crate::summary::Summary) of finite values; other values make it no row. In the order of `summary`, with
/// as few branches as there can be: every sample goes through here whenever it is written to a segment.
#[derive(Clone, Copy, Default)]
struct RowFold {
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
    first: f64,
    last: f64,
    falls: u32,
    dropped: f64,
}

impl RowFold {
    /// Of the samples of one minute, at least one.
    fn of(values: &[f64]) -> Self {
        let first = values[0];
        let mut fold = Self {
            count: values.len() as u32,
            first,
            min: first,
            max: first,
            last: first,
            ..Self::default()
        };
        for value in values {
            let value = *value;
            fold.sum += value;
            fold.min = smaller(fold.min, value);
            fold.max = larger(fold.max, value);
            let fell = value < fold.last;
            fold.falls += u32::from(fell);
            // Adding 0 changes nothing: the sum begins with 0, so it is never -0.
            fold.dropped += if fell { fold.last } else { 0.0 };
            fold.last = value;
        }
        fold
    }

    fn append(&mut self, later: &Self) {
        if self.count == 0 {
            // Each level begins with 0, and 0 plus a sum that began with 0 is that sum.
            *self = *later;
            return;
        }
        if later.first < self.last {
            self.falls += 1;
            self.dropped += self.last;
        }
        self.count += later.count;
        self.sum += later.sum;
        self.min = smaller(self.min, later.min);
        self.max = larger(self.max, later.max);
        self.falls += later.falls;
        self.dropped += later.dropped;
        self.last = later.last;
    }

    fn row(&self, slot: u32) -> Option<Row> {
        let Self { count, sum, min, max, first, last, falls, dropped } = *self;
        // A NaN or an infinity among the samples makes the sum one too.
        let finite = sum.is_finite() && dropped.is_finite();
        finite.then_some(Row { slot, count, sum, min, max, first, last, falls, dropped })
    }
}
