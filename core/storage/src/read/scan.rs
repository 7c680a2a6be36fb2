//! Walking the stretches of a series.

use std::cell::OnceCell;

use sereno_model::{Sample, TimeRange, Timestamp};

use super::fold::{Accumulator, Folder, Sums, Values, Want};
use super::sources::{Place, Source, Stretch, sources, stretches};
use super::{Measure, ReadError, Reads, edges};
use crate::codec::rows::Row;
use crate::head::Entry;
use crate::segment::{Block, BlockRef, HeadPart, SeriesData, Times};
use crate::summary::{DAY_NANOS, HOUR_NANOS, MINUTE_NANOS, Summary, Windows};

/// Folds a series into windows and emits, in order, each window that has samples.
///
/// Cost: one step per hour row where windows hold whole hours, per minute row where they hold whole minutes and those
/// are kept, and the decoding of samples for the rest.
pub(crate) fn fold_windows(
    place: Place<'_>,
    windows: Windows,
    want: Want,
    block: &mut Block,
    reads: &mut Reads<'_>,
    emit: impl FnMut(u64, &Summary),
) -> Result<(), ReadError> {
    let range = windows.range();
    // A window without a whole hour uses no hour row, so the blocks are needed.
    let whole = windows.length() < HOUR_NANOS.cast_unsigned()
        && range.end.since(range.start).as_nanos() > HOUR_NANOS as u128 * 4;
    let sources = sources(place, range, whole, reads)?;
    fold_sources(&sources, windows, want, block, reads, emit)
}

/// The summary of a range, and the time of its newest sample.
pub(crate) fn measure(
    place: Place<'_>,
    range: TimeRange,
    want: Want,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Measure, ReadError> {
    let sources = sources(place, range, false, reads)?;
    let mut measure = Measure::EMPTY;
    fold_sources(&sources, Windows::one(range), want, block, reads, |_, summary| {
        measure.summary = *summary;
    })?;
    if measure.summary.count > 0 {
        measure.newest = edges::newest_of(&sources, range, block, reads)?;
    }
    Ok(measure)
}

fn fold_sources(
    sources: &[Source],
    windows: Windows,
    want: Want,
    block: &mut Block,
    reads: &mut Reads<'_>,
    emit: impl FnMut(u64, &Summary),
) -> Result<(), ReadError> {
    let range = windows.range();
    match want {
        Want::Count | Want::Sum => {
            walk(sources, range, false, block, reads, Folder::<Sums, _>::new(windows, emit))
        }
        Want::Extremes | Want::Values => {
            walk(sources, range, false, block, reads, Folder::<Values, _>::new(windows, emit))
        }
        Want::All => walk(sources, range, true, block, reads, Folder::<Summary, _>::new(windows, emit)),
    }
}

fn walk<A: Accumulator, E: FnMut(u64, &Summary)>(
    sources: &[Source],
    range: TimeRange,
    counters: bool,
    block: &mut Block,
    reads: &mut Reads<'_>,
    folder: Folder<A, E>,
) -> Result<(), ReadError> {
    let mut walk = Walk { folder, counters, decoded: None, block, reads };
    for stretch in stretches(sources, range) {
        match stretch.sources[..] {
            [only] => match &sources[only] {
                Source::Sealed { data, head, bytes } => {
                    walk.sealed(data, head, bytes.as_deref(), stretch.start, stretch.end)?;
                }
                Source::Head(entries) => walk.entries(within(entries, stretch.start, stretch.end)),
            },
            _ => {
                walk.decoded = None;
                let merged = merge(sources, &stretch, walk.block, walk.reads)?;
                walk.entries(&merged);
            }
        }
    }
    walk.folder.finish();
    Ok(())
}

/// The samples of a series in a range, in order of time, each time once.
pub(crate) fn read_samples(
    place: Place<'_>,
    range: TimeRange,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Vec<Sample>, ReadError> {
    let sources = sources(place, range, false, reads)?;
    let sample = |time, value| Sample { time: Timestamp::from_nanos(time), value };
    let mut samples = Vec::new();
    for stretch in stretches(&sources, range) {
        match stretch.sources[..] {
            [only] => match &sources[only] {
                Source::Sealed { data, head, bytes } => {
                    for at in overlapping(&head.blocks, stretch.start, stretch.end) {
                        reads.charge(at.samples)?;
                        reads.blocks += 1;
                        data.decode(at, bytes.as_deref(), block)?;
                        let (from, to) = bounds(block.times(), at.samples, stretch.start, stretch.end);
                        let times = block.times();
                        samples.extend((from..to).map(|index| sample(times.get(index), block.values[index])));
                    }
                }
                Source::Head(entries) => {
                    let entries = within(entries, stretch.start, stretch.end);
                    samples.extend(entries.iter().map(|entry| sample(entry.time, entry.value)));
                }
            },
            _ => {
                let merged = merge(&sources, &stretch, block, reads)?;
                samples.extend(merged.iter().map(|entry| sample(entry.time, entry.value)));
            }
        }
    }
    Ok(samples)
}

struct Walk<'a, 'r, A, E> {
    folder: Folder<A, E>,
    /// Whether falls and what was dropped by them are wanted; not all rows tell.
    counters: bool,
    /// Which block `block` holds: its segment and its first time. Windows that cut many minutes or hours come back to the
    /// same one again and again.
    decoded: Option<(u64, i64)>,
    block: &'a mut Block,
    reads: &'a mut Reads<'r>,
}

impl<A: Accumulator, E: FnMut(u64, &Summary)> Walk<'_, '_, A, E> {
    fn entries(&mut self, entries: &[Entry]) {
        // Short runs: the head is what came since the last flush.
        let times: Vec<i64> = entries.iter().map(|entry| entry.time).collect();
        let values: Vec<f64> = entries.iter().map(|entry| entry.value).collect();
        self.folder.samples(Times::Each(&times), 0, &values);
    }

    /// `[start, end)` of a segment that is alone there.
    fn sealed(
        &mut self,
        data: &SeriesData,
        head: &HeadPart,
        bytes: Option<&[u8]>,
        start: i64,
        end: i64,
    ) -> Result<(), ReadError> {
        let sealed = Sealed::new(data, head, bytes);
        let mut cursor = start;
        if head.with_falls || !self.counters {
            for row in &head.hours {
                let (from, to) = sealed.span(row.slot, HOUR_NANOS);
                if from < cursor || to > end || self.folder.window_end_at(from) < to {
                    continue;
                }
                self.fine(&sealed, cursor, from)?;
                self.reads.rows += 1;
                self.folder.hour(from, row);
                cursor = to;
            }
        }
        self.fine(&sealed, cursor, end)
    }

    /// `[start, end)` in which no hour row can be used.
    fn fine(&mut self, sealed: &Sealed<'_>, start: i64, end: i64) -> Result<(), ReadError> {
        if start >= end || !sealed.may_hold(start, end) {
            return Ok(());
        }
        let rows_fit = sealed.data.has_minutes() && (sealed.head.with_falls || !self.counters);
        if !rows_fit || self.folder.window_end_at(start).min(end).saturating_sub(start) < MINUTE_NANOS {
            return self.raw(sealed, start, end);
        }
        let minutes = sealed.minutes()?;
        let mut cursor = start;
        for row in &minutes.rows {
            let (from, to) = sealed.span(row.slot, MINUTE_NANOS);
            if from < cursor || to > end || self.folder.window_end_at(from) < to {
                continue;
            }
            // Between two rows that follow each other there is nothing to decode.
            if sealed.may_hold_beside(minutes, cursor, from) {
                self.raw(sealed, cursor, from)?;
            }
            self.reads.rows += 1;
            self.folder.minute(from, row);
            cursor = to;
        }
        if sealed.may_hold_beside(minutes, cursor, end) { self.raw(sealed, cursor, end) } else { Ok(()) }
    }

    /// `[start, end)` sample by sample.
    fn raw(&mut self, sealed: &Sealed<'_>, start: i64, end: i64) -> Result<(), ReadError> {
        for at in overlapping(&sealed.head.blocks, start, end) {
            let place = (sealed.data.segment.meta.id, at.first);
            if self.decoded != Some(place) {
                self.decoded = None;
                self.reads.charge(at.samples)?;
                self.reads.blocks += 1;
                sealed.data.decode(at, sealed.bytes, self.block)?;
                self.decoded = Some(place);
            }
            let (from, to) = bounds(self.block.times(), at.samples, start, end);
            self.folder.samples(self.block.times(), from, &self.block.values[from..to]);
        }
        Ok(())
    }
}

/// A series of a segment, with what tells where it has no samples.
struct Sealed<'a> {
    data: &'a SeriesData,
    head: &'a HeadPart,
    bytes: Option<&'a [u8]>,
    day_start: i64,
    /// Whether the hour rows tell of all samples, so that an hour without a row is empty.
    hours_complete: bool,
    minutes: OnceCell<Minutes>,
}

/// The minute rows, read when first asked for.
struct Minutes {
    rows: Vec<Row>,
    /// Whether they tell of all samples.
    complete: bool,
}

impl<'a> Sealed<'a> {
    fn new(data: &'a SeriesData, head: &'a HeadPart, bytes: Option<&'a [u8]>) -> Self {
        Self {
            data,
            head,
            bytes,
            day_start: data.segment.meta.day.saturating_mul(DAY_NANOS),
            hours_complete: count(&head.hours) == data.samples,
            minutes: OnceCell::new(),
        }
    }

    fn minutes(&self) -> Result<&Minutes, ReadError> {
        if let Some(minutes) = self.minutes.get() {
            return Ok(minutes);
        }
        let rows = self.data.minutes()?;
        let complete = count(&rows) == self.data.samples;
        Ok(self.minutes.get_or_init(|| Minutes { rows, complete }))
    }

    fn span(&self, slot: u32, length: i64) -> (i64, i64) {
        let start = self.day_start.saturating_add(i64::from(slot) * length);
        (start, start.saturating_add(length))
    }

    fn may_hold(&self, start: i64, end: i64) -> bool {
        !self.hours_complete || self.touches(&self.head.hours, HOUR_NANOS, start, end)
    }

    fn may_hold_beside(&self, minutes: &Minutes, start: i64, end: i64) -> bool {
        start < end && (!minutes.complete || self.touches(&minutes.rows, MINUTE_NANOS, start, end))
    }

    fn touches(&self, rows: &[Row], length: i64, start: i64, end: i64) -> bool {
        let first = rows.partition_point(|row| self.span(row.slot, length).1 <= start);
        rows.get(first).is_some_and(|row| self.span(row.slot, length).0 < end)
    }
}

fn count(rows: &[Row]) -> u64 {
    rows.iter().map(|row| u64::from(row.count)).sum()
}

/// The samples of several sources in a stretch, in order of time; of one time, the last source counts.
fn merge(
    sources: &[Source],
    stretch: &Stretch,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Vec<Entry>, ReadError> {
    let mut merged = Vec::new();
    for index in &stretch.sources {
        let order = *index as u64;
        match &sources[*index] {
            Source::Sealed { data, head, bytes } => {
                for at in overlapping(&head.blocks, stretch.start, stretch.end) {
                    reads.charge(at.samples)?;
                    reads.blocks += 1;
                    data.decode(at, bytes.as_deref(), block)?;
                    let times = block.times();
                    let (from, to) = bounds(times, at.samples, stretch.start, stretch.end);
                    merged.extend((from..to).map(|index| Entry {
                        time: times.get(index),
                        value: block.values[index],
                        order,
                    }));
                }
            }
            Source::Head(entries) => {
                let entries = within(entries, stretch.start, stretch.end).iter();
                merged.extend(entries.map(|entry| Entry { order, ..*entry }));
            }
        }
    }
    crate::head::settle(&mut merged);
    Ok(merged)
}

pub(super) fn overlapping(blocks: &[BlockRef], start: i64, end: i64) -> &[BlockRef] {
    let from = blocks.partition_point(|at| at.last < start);
    let to = blocks.partition_point(|at| at.first < end);
    blocks.get(from..to).unwrap_or_default()
}

/// The positions of the times within `[start, end)`.
pub(super) fn bounds(times: Times<'_>, len: usize, start: i64, end: i64) -> (usize, usize) {
    let before = |bound: i64| match times {
        Times::Each(times) => times.partition_point(|time| *time < bound),
        Times::Grid(grid) if bound <= grid.first => 0,
        Times::Grid(grid) => {
            let steps = (i128::from(bound) - i128::from(grid.first) - 1) / i128::from(grid.step.max(1)) + 1;
            usize::try_from(steps).unwrap_or(usize::MAX).min(len)
        }
    };
    (before(start), before(end))
}

fn within(entries: &[Entry], start: i64, end: i64) -> &[Entry] {
    let from = entries.partition_point(|entry| entry.time < start);
    let to = entries.partition_point(|entry| entry.time < end);
    entries.get(from..to).unwrap_or_default()
}
