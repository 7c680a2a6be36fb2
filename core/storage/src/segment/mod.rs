//! Segments: the sealed samples of one group of queues and one UTC day. Bytes: `FORMAT.md`.
//!
//! A segment is written once and never changed. It holds, for each of its series, hour rows (always), minute rows (where
//! a minute has at least [`MINUTE_ROW_SAMPLES_MIN`] samples; otherwise decoding the few is cheaper than keeping rows for
//! them) and blocks of samples, and its own index, which dies with it.
//!
//! * [`writer`]: from sorted samples to a file;
//! * [`reader`]: positioned reads of what a query needs, each part with its checksum.

mod reader;
mod writer;

use sereno_model::{TimeRange, Timestamp};

use crate::summary::DAY_NANOS;

pub(crate) use reader::{Block, BlockRef, HeadPart, Segment, SeriesData, Times};
pub use reader::{Damage, Why};
pub(crate) use writer::SegmentWriter;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const FOOTER_BYTES: usize = 128;
const HEADER_MAGIC: &[u8; 8] = b"SERENO-G";
const FOOTER_MAGIC: &[u8; 8] = b"SERENO-F";

/// The most samples in a block, for readers.
pub(crate) const BLOCK_SAMPLES_MAX: usize = 12_288;
/// The most samples in a block of decimals: a query of an hour decodes no more than that, some 5 µs, and the headers of
/// three blocks instead of one are 0.007 bytes a sample of a day at 10 s. A constant series has nothing to decode, and its
/// headers would be all it has; floats want long blocks, since each has to describe its distribution (6.49 bytes a sample
/// rather than 6.63).
const BLOCK_SAMPLES: usize = 4_096;
/// The fewest samples a minute, on average, for which minute rows are kept.
pub(crate) const MINUTE_ROW_SAMPLES_MIN: usize = 8;

/// What a segment says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub id: u64,
    pub group: u32,
    /// Days since the epoch.
    pub day: i64,
    /// 0 as it was flushed, 1 merged within its day, 2 the whole day.
    pub level: u8,
    /// The flushes that it holds. Of two samples of one series at one time, the one of the later flush counts.
    pub sequence_first: u64,
    pub sequence_last: u64,
    pub time_min: i64,
    pub time_max: i64,
    pub series: u64,
    pub samples: u64,
    pub bytes: u64,
}

impl Meta {
    /// The name of the file.
    pub(crate) fn name(&self) -> String {
        name(self.id)
    }

    /// Whether it may hold samples in the range.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.time_min < range.end.nanos() && self.time_max >= range.start.nanos()
    }

    /// Whether everything in it is in `other` too.
    pub(crate) fn is_covered_by(&self, other: &Self) -> bool {
        self.id != other.id
            && (self.group, self.day) == (other.group, other.day)
            && other.sequence_first <= self.sequence_first
            && self.sequence_last <= other.sequence_last
            && (other.level, other.id) > (self.level, self.id)
    }
}

/// The name of a segment's file.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}.seg")
}

/// The id in a file's name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The UTC day of a time, counted from the epoch.
pub(crate) fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY_NANOS)
}

/// The span of a day.
pub(crate) fn day_range(day: i64) -> TimeRange {
    let start = day.saturating_mul(DAY_NANOS);
    TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(start.saturating_add(DAY_NANOS)))
}
