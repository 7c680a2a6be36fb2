//! The head: what is not yet in segments, in memory. A *generation* is filled until a flush freezes it; the next one
//! takes over, and the frozen one goes when its segments are in place and the last snapshot that knows it is gone.
//!
//! A queue of a generation is an append-only arena of words. The samples of a series stand in chunks that grow with it
//! (2 samples, 4, 8, … 128), each linked to the one before:
//!
//! ```text
//!  cells:  [ newest chunk | lateness ] per series
//!  arena:  … [ previous chunk, length ] [time][value][order] [time][value][order] …
//! ```
//!
//! Invariants:
//! * one thread appends to a queue of a generation, the one that has its [`HeadWriter`]; readers take no lock and never
//!   make it wait. A chunk's length is published after its samples, and a queue's commit position after that, so a
//!   reader that filters by a position sees all samples up to it;
//! * nothing is changed or moved: a late or replacing sample is appended like any other and carries its commit
//!   position. Sorting and replacing happen when reading ([`settle`]);
//! * in a chunk chain, positions never fall from older to newer.

mod arena;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sereno_model::TimeRange;

pub(crate) use arena::Words;
use arena::fit;

/// Chunks stop growing here: 3 KiB, of which a slow series wastes half at most.
const CHUNK_SAMPLES_MAX: u32 = 128;
const CHUNK_SAMPLES_FIRST: u32 = 2;
const CHUNK_HEADER_WORDS: usize = 1;
/// The bits of a chunk's header that tell its length; the others tell the place of the chunk before.
const LENGTH_BITS: u32 = 16;
const SAMPLE_WORDS: usize = 3;
const WORD_BYTES: u64 = 8;

/// The upper bits of a cell tell how late samples of the series came: less than 2 to their power, in nanoseconds behind the
/// newest before them. So a reader of the last minute knows how far back it must look. The lower bits tell the chunk.
const LATENESS_SHIFT: u32 = 56;
const CHUNK_MASK: u64 = (1 << LATENESS_SHIFT) - 1;

/// A sample and the commit position that brought it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub time: i64,
    pub value: f64,
    pub order: u64,
}

/// The samples of one generation, by queue.
#[derive(Debug)]
pub(crate) struct Generation {
    heads: Vec<Head>,
    bytes: AtomicU64,
    samples: AtomicU64,
    /// When the first sample came, on the monotonic clock in nanoseconds; `i64::MAX` while there is none.
    since: AtomicI64,
    time_min: AtomicI64,
    time_max: AtomicI64,
}

/// The samples of one queue in one generation.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// By ordinal: the place of the newest chunk plus 1, or 0, and the lateness.
    cells: Words,
    arena: Words,
    /// How many ordinals have a cell.
    series: AtomicU64,
}

impl Generation {
    pub(crate) fn new(queues: u32) -> Arc<Self> {
        Arc::new(Self {
            heads: (0..queues).map(|_| Head::default()).collect(),
            bytes: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            since: AtomicI64::new(i64::MAX),
            time_min: AtomicI64::new(i64::MAX),
            time_max: AtomicI64::new(i64::MIN),
        })
    }

    /// The times of all samples lie between these, inclusive; the first is higher if there are none.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.time_min.load(Ordering::Relaxed), self.time_max.load(Ordering::Relaxed))
    }

    pub(crate) fn head(&self, queue: u32) -> &Head {
        &self.heads[queue as usize]
    }

    /// Memory in use, within one chunk per series.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// When the first sample came, in nanoseconds of the monotonic clock.
    pub(crate) fn since(&self) -> Option<i64> {
        Some(self.since.load(Ordering::Relaxed)).filter(|since| *since != i64::MAX)
    }

    /// Takes note that samples come from now on.
    pub(crate) fn begin(&self, monotonic_nanos: i64) {
        if self.since.load(Ordering::Relaxed) == i64::MAX {
            self.since.fetch_min(monotonic_nanos, Ordering::Relaxed);
        }
    }
}

impl Head {
    /// The ordinals that may have samples here are below this.
    pub(crate) fn series_end(&self) -> u32 {
        self.series.load(Ordering::Acquire) as u32
    }

    /// Whether a series has samples here.
    pub(crate) fn has_samples(&self, ordinal: u32) -> bool {
        self.cells.get(ordinal as usize).is_some_and(|cell| cell.load(Ordering::Acquire) & CHUNK_MASK != 0)
    }

    /// Shows the times of all samples of a series, in no order.
    pub(crate) fn each_time(&self, ordinal: u32, mut each: impl FnMut(i64)) {
        self.visit(ordinal, u64::MAX, |entry, _| {
            each(entry.time);
            true
        });
    }

    /// Appends the samples of a series within `range`, committed at or before `cut`, in order of their commits. Linear in
    /// those from the start of the range on, and as long before it as samples came late.
    pub(crate) fn collect(&self, ordinal: u32, range: TimeRange, cut: u64, out: &mut Vec<Entry>) {
        let from = out.len();
        let (start, end) = (range.start.nanos(), range.end.nanos());
        self.visit(ordinal, cut, |entry, lateness| {
            if start <= entry.time && entry.time < end {
                out.push(entry);
            }
            // Whatever came before it is no more than so much newer.
            entry.time >= start.saturating_sub_unsigned(lateness)
        });
        out[from..].reverse();
    }

    /// The newest sample of a series before `end`, committed at or before `cut`.
    pub(crate) fn last_before(&self, ordinal: u32, end: i64, cut: u64) -> Option<Entry> {
        let mut last: Option<Entry> = None;
        self.visit(ordinal, cut, |entry, lateness| {
            // Of one time, the newest commit is met first.
            if entry.time < end && last.is_none_or(|last| entry.time > last.time) {
                last = Some(entry);
            }
            last.is_none_or(|last| entry.time > last.time.saturating_sub_unsigned(lateness))
        });
        last
    }

    /// Shows the samples of a series up to a cut, the newest commit first, until `more` has seen enough. It is told by how
    /// much at most one of them is older than another that came before it.
    fn visit(&self, ordinal: u32, cut: u64, mut more: impl FnMut(Entry, u64) -> bool) {
        let Some(cell) = self.cells.get(ordinal as usize) else { return };
        let cell = cell.load(Ordering::Acquire);
        let lateness = u64::MAX.checked_shr(u64::BITS - (cell >> LATENESS_SHIFT) as u32).unwrap_or(0);
        let mut next = cell & CHUNK_MASK;
        while next != 0 {
            let Some(chunk) = self.chunk(next - 1) else { break };
            for slot in chunk.samples.chunks_exact(SAMPLE_WORDS).rev() {
                let entry = Entry {
                    time: slot[0].load(Ordering::Relaxed).cast_signed(),
                    value: f64::from_bits(slot[1].load(Ordering::Relaxed)),
                    order: slot[2].load(Ordering::Relaxed),
                };
                // What came after the cut may be later than was read above.
                if entry.order <= cut && !more(entry, lateness) {
                    return;
                }
            }
            next = chunk.previous;
        }
    }

    fn chunk(&self, place: u64) -> Option<Chunk<'_>> {
        let place = usize::try_from(place).ok()?;
        let header = self.arena.get(place)?.load(Ordering::Acquire);
        let samples = header as usize & ((1 << LENGTH_BITS) - 1);
        let samples = self.arena.run(place + CHUNK_HEADER_WORDS, samples * SAMPLE_WORDS)?;
        Some(Chunk { previous: header >> LENGTH_BITS, samples })
    }
}

struct Chunk<'a> {
    /// The place of the chunk before, plus 1; 0 if there is none.
    previous: u64,
    samples: &'a [AtomicU64],
}

/// The right to append to one queue of one generation.
#[derive(Debug)]
pub(crate) struct HeadWriter {
    generation: Arc<Generation>,
    queue: u32,
    tails: Vec<Tail>,
    /// The first free word of the arena.
    free: usize,
}

/// Where the next sample of a series goes.
#[derive(Clone, Copy, Debug)]
struct Tail {
    chunk: u32,
    length: u16,
    capacity: u16,
    newest: i64,
}

impl HeadWriter {
    /// There must be one at a time for a queue of a generation, and the queue must be empty.
    pub(crate) fn new(generation: Arc<Generation>, queue: u32) -> Self {
        Self { generation, queue, tails: Vec::new(), free: 0 }
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Appends samples, whose positions must not fall; gives the time of the oldest, `i64::MAX` without any.
    pub(crate) fn append(&mut self, entries: impl ExactSizeIterator<Item = (u32, Entry)>) -> i64 {
        let generation = self.generation.clone();
        let head = generation.head(self.queue);
        let (free, count) = (self.free, entries.len());
        let (mut time_min, mut time_max) = (i64::MAX, i64::MIN);
        for (ordinal, entry) in entries {
            time_min = time_min.min(entry.time);
            time_max = time_max.max(entry.time);
            self.push(head, ordinal, entry);
        }
        generation.time_min.fetch_min(time_min, Ordering::Relaxed);
        generation.time_max.fetch_max(time_max, Ordering::Relaxed);
        let bytes = (self.free - free) as u64 * WORD_BYTES;
        generation.bytes.fetch_add(bytes, Ordering::Relaxed);
        generation.samples.fetch_add(count as u64, Ordering::Relaxed);
        time_min
    }

    fn push(&mut self, head: &Head, ordinal: u32, entry: Entry) {
        let index = ordinal as usize;
        if index >= self.tails.len() {
            self.grow(head, index + 1);
        }
        let mut tail = self.tails[index];
        if tail.length == tail.capacity {
            tail = self.chain(head, ordinal, tail);
        }
        let slot = CHUNK_HEADER_WORDS + usize::from(tail.length) * SAMPLE_WORDS;
        if let Some(chunk) = head.arena.run(tail.chunk as usize, slot + SAMPLE_WORDS) {
            chunk[slot].store(entry.time.cast_unsigned(), Ordering::Relaxed);
            chunk[slot + 1].store(entry.value.to_bits(), Ordering::Relaxed);
            chunk[slot + 2].store(entry.order, Ordering::Relaxed);
            tail.length += 1;
            if entry.time < tail.newest
                && let Some(cell) = head.cells.get(index)
            {
                note_lateness(cell, tail.newest.wrapping_sub(entry.time).cast_unsigned());
            }
            // The length is the lower part, and nobody else writes it.
            let header = chunk[0].load(Ordering::Relaxed);
            chunk[0].store(header + 1, Ordering::Release);
        }
        tail.newest = tail.newest.max(entry.time);
        self.tails[index] = tail;
    }

    /// Gives cells to the ordinals below `series`.
    fn grow(&mut self, head: &Head, series: usize) {
        head.cells.reach(series);
        self.tails.resize(series, Tail { chunk: 0, length: 0, capacity: 0, newest: i64::MIN });
        head.series.store(series as u64, Ordering::Release);
        self.generation.bytes.fetch_add(WORD_BYTES + size_of::<Tail>() as u64, Ordering::Relaxed);
    }

    /// Begins the next chunk of a series.
    fn chain(&mut self, head: &Head, ordinal: u32, tail: Tail) -> Tail {
        let capacity = match u32::from(tail.capacity) {
            0 => CHUNK_SAMPLES_FIRST,
            before => (before * 2).min(CHUNK_SAMPLES_MAX),
        };
        let words = CHUNK_HEADER_WORDS + capacity as usize * SAMPLE_WORDS;
        let place = fit(self.free, words);
        head.arena.reach(place + words);
        self.free = place + words;
        let previous = if tail.capacity == 0 { 0 } else { u64::from(tail.chunk) + 1 };
        if let (Some(word), Some(cell)) = (head.arena.get(place), head.cells.get(ordinal as usize)) {
            word.store(previous << LENGTH_BITS, Ordering::Relaxed);
            let lateness = cell.load(Ordering::Relaxed) & !CHUNK_MASK;
            cell.store((place as u64 + 1) | lateness, Ordering::Release);
        }
        Tail { chunk: place as u32, length: 0, capacity: capacity as u16, ..tail }
    }

    /// Whether the series has samples here.
    pub(crate) fn has_samples(&self, ordinal: u32) -> bool {
        self.tails.get(ordinal as usize).is_some_and(|tail| tail.capacity > 0)
    }

    /// Whether another sample of each of so many rows still fits the arena, which is addressed with 32 bits.
    pub(crate) fn has_room(&self, rows: usize) -> bool {
        let words = CHUNK_HEADER_WORDS + CHUNK_SAMPLES_MAX as usize * SAMPLE_WORDS;
        (self.free as u64) + (rows as u64) * (words as u64) < u64::from(u32::MAX)
    }
}

/// Takes note that a sample is older by so much than one before it. Nobody else writes the cell meanwhile.
fn note_lateness(cell: &AtomicU64, nanos: u64) {
    let (known, bits) = (cell.load(Ordering::Relaxed), u64::from(u64::BITS - nanos.leading_zeros()));
    if bits > known >> LATENESS_SHIFT {
        cell.store((known & CHUNK_MASK) | (bits << LATENESS_SHIFT), Ordering::Release);
    }
}

/// Brings entries in commit order into order of time, each time once, the latest commit winning.
pub(crate) fn settle(entries: &mut Vec<Entry>) {
    if entries.is_sorted_by(|a, b| a.time < b.time) {
        return;
    }
    // Entries of one time are put in the order of their commits, and the last of them is the one to keep. Stable, so
    // within one commit the later row wins.
    entries.sort_by_key(|entry| (entry.time, entry.order));
    entries.dedup_by(|later, kept| {
        let same = later.time == kept.time;
        if same {
            *kept = *later;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sereno_model::Timestamp;

    fn collected(head: &Head, ordinal: u32, range: TimeRange, cut: u64) -> Vec<(i64, u64)> {
        let mut out = Vec::new();
        head.collect(ordinal, range, cut, &mut out);
        settle(&mut out);
        out.iter().map(|entry| (entry.time, entry.value.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn reads_are_those_of_a_map(
            rows in proptest::collection::vec((0_u32..4, 0_i64..60, any::<u64>()), 0..600),
            cut in 0_u64..40, start in 0_i64..60, length in 0_i64..60, is_late in 0_i64..60,
        ) {
            // From in order, but for equal times, to in none at all.
            let rows = rows.iter().enumerate().map(|(index, (ordinal, time, bits))| {
                (*ordinal, (time % (is_late + 1)) + index as i64 / 10, *bits)
            });
            let rows: Vec<_> = rows.collect();
            let generation = Generation::new(1);
            let mut writer = HeadWriter::new(generation.clone(), 0);
            let range = TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(start + length));
            let mut model = vec![std::collections::BTreeMap::new(); 4];
            for (order, rows) in rows.chunks(17).enumerate() {
                let order = order as u64 + 1;
                writer.append(rows.iter().map(|(ordinal, time, bits)| {
                    (*ordinal, Entry { time: *time, value: f64::from_bits(*bits), order })
                }));
                for (ordinal, time, bits) in rows {
                    if order <= cut && range.contains(Timestamp::from_nanos(*time)) {
                        model[*ordinal as usize].insert(*time, *bits);
                    }
                }
            }
            for ordinal in 0..4 {
                let head = generation.head(0);
                let expected: Vec<_> = model[ordinal as usize].clone().into_iter().collect();
                prop_assert_eq!(collected(head, ordinal, range, cut), expected.clone());
                let before = collected(head, ordinal, TimeRange { start: Timestamp::MIN, ..range }, cut);
                let last = head.last_before(ordinal, range.end.nanos(), cut);
                let last = last.map(|entry| (entry.time, entry.value.to_bits()));
                prop_assert_eq!(last, before.last().copied());
            }
        }
    }

    #[test]
    fn a_reader_looks_back_as_far_as_samples_came_late() {
        let generation = Generation::new(1);
        let mut writer = HeadWriter::new(generation.clone(), 0);
        let head = generation.head(0);
        let mut order = 0;
        let mut append = |writer: &mut HeadWriter, time: i64| {
            order += 1;
            writer.append(std::iter::once((0, Entry { time, value: 0.0, order })));
        };
        let looked = || {
            let mut count = 0;
            let more = |entry: Entry, lateness| {
                count += 1;
                entry.time >= 999_i64.saturating_sub_unsigned(lateness)
            };
            head.visit(0, u64::MAX, more);
            count
        };
        (0..1_000).for_each(|time| append(&mut writer, time));
        assert_eq!(looked(), 2);
        append(&mut writer, 999);
        assert_eq!(looked(), 3, "one of the same time is not late");
        append(&mut writer, 990);
        assert_eq!(looked(), 1 + 2 + 16);
        append(&mut writer, i64::MIN + 1);
        append(&mut writer, i64::MAX);
        append(&mut writer, i64::MIN + 1);
        assert_eq!(looked(), 1_005);
    }

    #[test]
    fn readers_see_whole_prefixes_while_the_writer_runs() {
        let generation = Generation::new(1);
        let committed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = HeadWriter::new(generation.clone(), 0);
                for order in 1..=20_000_u64 {
                    let entry = Entry { time: order as i64, value: order as f64, order };
                    writer.append([(0, entry), (1, entry)].into_iter());
                    committed.store(order, Ordering::Release);
                }
            });
            loop {
                let cut = committed.load(Ordering::Acquire);
                let seen = collected(generation.head(0), 1, TimeRange::ALL, cut);
                assert_eq!(seen.len() as u64, cut);
                if cut == 20_000 {
                    break;
                }
            }
        });
    }
}
