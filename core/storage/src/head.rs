//! The head of one queue: its samples in memory, in the order of their commits.
//!
//! Nothing is ever changed or moved: a late or replacing sample is appended like any other and carries its commit
//! position, so a reader with an older cut still finds what it replaced. Sorting and replacing happen when reading.
//!
//! Owned by the queue's writer, which alone appends. Readers hold the lock only to clone chunk references and to copy
//! the open chunk, at most [`CHUNK_SAMPLES`] samples.

use std::sync::Arc;

use sereno_model::{Sample, TimeRange, Timestamp};

use crate::registry::SeriesId;

/// Samples per chunk: few enough to copy the open one, enough to skip sealed ones by their times.
const CHUNK_SAMPLES: usize = 256;

/// A sample and the commit position that brought it. 24 bytes, the figure in `storage.head_bytes_max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub time: i64,
    pub value: f64,
    pub order: u64,
}

#[derive(Debug)]
struct Chunk {
    entries: Box<[Entry]>,
    time_min: i64,
    time_max: i64,
    order_min: u64,
}

#[derive(Debug, Default)]
struct SeriesHead {
    sealed: Vec<Arc<Chunk>>,
    open: Vec<Entry>,
}

/// The samples of one queue.
#[derive(Debug, Default)]
pub(crate) struct Head {
    series: Vec<SeriesHead>,
}

/// What a reader took from a head: sealed chunks that may concern it, and a copy of the open one.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    sealed: Vec<Arc<Chunk>>,
    open: Vec<Entry>,
}

impl Head {
    /// Appends a committed sample. Entries of a series come in rising order of commit.
    pub(crate) fn push(&mut self, id: SeriesId, entry: Entry) {
        let index = id.ordinal as usize;
        if index >= self.series.len() {
            self.series.resize_with(index + 1, SeriesHead::default);
        }
        let series = &mut self.series[index];
        if series.open.len() == CHUNK_SAMPLES {
            let entries = std::mem::replace(&mut series.open, Vec::with_capacity(CHUNK_SAMPLES));
            series.sealed.push(Arc::new(Chunk::seal(entries)));
        }
        series.open.push(entry);
    }

    /// Whether the series has a sample at or before `cut`.
    pub(crate) fn has_sample(&self, id: SeriesId, cut: u64) -> bool {
        let Some(series) = self.series.get(id.ordinal as usize) else { return false };
        let first = series.sealed.first().map(|chunk| chunk.order_min);
        first.or_else(|| series.open.first().map(|entry| entry.order)).is_some_and(|order| order <= cut)
    }

    /// The newest time among the samples of a series.
    pub(crate) fn newest(&self, ordinal: usize) -> Option<i64> {
        let series = self.series.get(ordinal)?;
        let sealed = series.sealed.iter().map(|chunk| chunk.time_max);
        sealed.chain(series.open.iter().map(|entry| entry.time)).max()
    }

    /// Takes what may hold samples of the series within `range`, committed at or before `cut`.
    pub(crate) fn pin(&self, id: SeriesId, range: TimeRange, cut: u64) -> Pinned {
        let Some(series) = self.series.get(id.ordinal as usize) else { return Pinned::default() };
        let (start, end) = (range.start.nanos(), range.end.nanos());
        let concerns =
            |chunk: &&Arc<Chunk>| chunk.time_max >= start && chunk.time_min < end && chunk.order_min <= cut;
        Pinned { sealed: series.sealed.iter().filter(concerns).cloned().collect(), open: series.open.clone() }
    }
}

impl Chunk {
    fn seal(entries: Vec<Entry>) -> Self {
        let times = entries.iter().map(|entry| entry.time);
        Self {
            time_min: times.clone().min().unwrap_or(i64::MAX),
            time_max: times.max().unwrap_or(i64::MIN),
            order_min: entries.first().map_or(u64::MAX, |entry| entry.order),
            entries: entries.into(),
        }
    }
}

impl Pinned {
    /// The samples within `range`, committed at or before `cut`: in order of time, each time once, the latest commit
    /// winning.
    pub(crate) fn samples(&self, range: TimeRange, cut: u64) -> Vec<Sample> {
        let (start, end) = (range.start.nanos(), range.end.nanos());
        let entries = self.sealed.iter().flat_map(|chunk| chunk.entries.iter()).chain(&self.open);
        let mut seen: Vec<Entry> = entries
            .filter(|entry| start <= entry.time && entry.time < end && entry.order <= cut)
            .copied()
            .collect();
        if !seen.is_sorted_by(|a, b| a.time < b.time) {
            // Stable: entries of one time stay in the order of their commits, and the last of them is the one to keep.
            seen.sort_by_key(|entry| entry.time);
            seen.dedup_by(|later, kept| {
                let same = later.time == kept.time;
                if same {
                    *kept = *later;
                }
                same
            });
        }
        let sample = |entry: Entry| Sample { time: Timestamp::from_nanos(entry.time), value: entry.value };
        seen.into_iter().map(sample).collect()
    }

    /// The newest sample before `end`, committed at or before `cut`.
    pub(crate) fn last(&self, end: Timestamp, cut: u64) -> Option<Sample> {
        let entries = self.sealed.iter().flat_map(|chunk| chunk.entries.iter()).chain(&self.open);
        let seen = entries.filter(|entry| entry.time < end.nanos() && entry.order <= cut);
        let newest = seen.max_by_key(|entry| entry.time)?;
        Some(Sample { time: Timestamp::from_nanos(newest.time), value: newest.value })
    }
}
