//! What only the thread that acts as a writer touches.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sereno_model::Timestamp;

use super::waiting::Waiting;
use crate::batch::{Refusal, Row, STAMP_AT_COMMIT, Ticket};
use crate::head::{Entry, Generation, HeadWriter};
use crate::numbered::Tags;
use crate::registry::SeriesId;
use crate::shared::Shared;
use crate::wal::frame::{self, FileIdentity, FrameBuffer, Kind};
use crate::wal::stream::{Position, Stream, SyncOutcome, WalContext};

/// A frame of definitions ends with the one that reaches this size.
const DEFINITIONS_BYTES: usize = 1 << 20;
/// In place of the file that defines a series: the series is no more.
const RETIRED: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Seat {
    pub stream: Stream,
    /// The number of the head's generation that is being filled, from 1 on in every process.
    pub generation: u32,
    /// By local index: queue / W.
    pub queues: Vec<QueueState>,
    pub scratch: Scratch,
    /// In order of arrival.
    pub unsynced: Vec<Unsynced>,
    /// How many syncs have begun.
    pub syncs: u64,
    /// The newest time that a writer had given before this process began.
    boot_stamp: i64,
    /// The newest time that this writer has given, or that one.
    newest_stamp: i64,
    /// Whether a series of this writer was ever given up.
    pub has_retired: bool,
    pub disk_failing: bool,
}

/// Part of a batch that is written, and is answered when it is durable.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub until: Until,
    pub ticket: Arc<Ticket>,
    pub refused: Vec<(u32, Refusal)>,
    pub repeated: u32,
}

/// When something is durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// When everything before this position is.
    Written(Position),
    /// When a sync has ended that began after so many; it was written some time before.
    Sync(u64),
}

#[derive(Debug)]
pub(super) struct QueueState {
    pub queue: u32,
    /// The position of the last commit.
    pub order: u64,
    pub head: HeadWriter,
    series: Vec<SeriesState>,
}

#[derive(Clone, Copy, Debug)]
struct SeriesState {
    /// The newest time given by this writer.
    stamp: i64,
    /// The WAL file that defines the series; file ids begin at 1. [`RETIRED`] if it is no more.
    defined_in: u64,
}

impl QueueState {
    pub(super) fn new(queue: u32, order: u64, generation: &Arc<Generation>) -> Self {
        Self { queue, order, head: HeadWriter::new(generation.clone(), queue), series: Vec::new() }
    }

    fn series(&mut self, id: SeriesId) -> &mut SeriesState {
        let index = id.ordinal as usize;
        if index >= self.series.len() {
            self.series.resize(index + 1, SeriesState { stamp: i64::MIN, defined_in: 0 });
        }
        &mut self.series[index]
    }
}

/// Kept between commits for its allocations.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Rows per local queue, zero between commits.
    counts: Vec<u32>,
    /// The queues of this commit, in rising order, each with the span of its rows.
    runs: Vec<QueueRun>,
    /// The rows of this commit, by queue, in order of arrival.
    pub rows: Vec<Row>,
    /// The numbered batches that they are of.
    pub tags: Tags,
    pub frames: FrameBuffer,
    definitions: Vec<u8>,
    defined: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct QueueRun {
    local: usize,
    start: usize,
    end: usize,
}

impl Seat {
    pub(super) fn new(
        context: Arc<WalContext>,
        index: u32,
        queues: Vec<QueueState>,
        boot_stamp: i64,
    ) -> Self {
        Self {
            stream: Stream::new(context, index),
            generation: 1,
            scratch: Scratch { counts: vec![0; queues.len()], ..Scratch::default() },
            queues,
            unsynced: Vec::new(),
            syncs: 0,
            boot_stamp,
            newest_stamp: boot_stamp,
            has_retired: false,
            disk_failing: false,
        }
    }

    /// Fills the scratch with the rows of the group, by queue.
    pub(super) fn sort_by_queue(&mut self, group: &[Waiting], writers: u32) {
        let Scratch { counts, runs, rows, .. } = &mut self.scratch;
        let local = |row: &Row| (row.series.queue / writers) as usize;
        runs.clear();
        for row in group.iter().flat_map(|waiting| &waiting.part.rows) {
            let count = &mut counts[local(row)];
            if *count == 0 {
                runs.push(QueueRun { local: local(row), start: 0, end: 0 });
            }
            *count += 1;
        }
        runs.sort_unstable_by_key(|run| run.local);
        let mut start = 0;
        for run in runs.iter_mut() {
            let count = std::mem::take(&mut counts[run.local]) as usize;
            *run = QueueRun { start, end: start, ..*run };
            start += count;
        }
        rows.clear();
        if let [only] = runs.as_mut_slice() {
            rows.extend(group.iter().flat_map(|waiting| &waiting.part.rows));
            only.end = rows.len();
            return;
        }
        rows.resize(start, Row { series: SeriesId { queue: 0, ordinal: 0 }, time: 0, value: 0.0 });
        // While placing, `counts` tells where the run of a queue stands.
        for (position, run) in runs.iter().enumerate() {
            counts[run.local] = position as u32;
        }
        for row in group.iter().flat_map(|waiting| &waiting.part.rows) {
            let run = &mut runs[counts[local(row)] as usize];
            rows[run.end] = *row;
            run.end += 1;
        }
        for run in runs.iter() {
            counts[run.local] = 0;
        }
    }

    /// Gives times to the rows that have none: `now`, or a nanosecond after the last one given to the series.
    pub(super) fn stamp(&mut self, now: i64) {
        let Self { queues, scratch, newest_stamp, boot_stamp, .. } = self;
        for run in &scratch.runs {
            let queue = &mut queues[run.local];
            for row in &mut scratch.rows[run.start..run.end] {
                if row.time == STAMP_AT_COMMIT {
                    let series = queue.series(row.series);
                    series.stamp = now.max(series.stamp.max(*boot_stamp).saturating_add(1));
                    row.time = series.stamp;
                    *newest_stamp = series.stamp.max(*newest_stamp);
                }
            }
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.scratch.runs.iter().all(|run| self.queues[run.local].head.has_room(run.end - run.start))
    }

    pub(super) fn is_retired(&self, row: &Row, writers: u32) -> bool {
        let queue = &self.queues[(row.series.queue / writers) as usize];
        queue.series.get(row.series.ordinal as usize).is_some_and(|series| series.defined_in == RETIRED)
    }

    /// Lets the series refuse rows from now on, unless it has samples in the present generation.
    pub(super) fn retire(&mut self, id: SeriesId, writers: u32) -> bool {
        let queue = &mut self.queues[(id.queue / writers) as usize];
        let is_quiet = !queue.head.has_samples(id.ordinal);
        if is_quiet {
            queue.series(id).defined_in = RETIRED;
            self.has_retired = true;
        }
        is_quiet
    }

    /// Those whose waiting has ended with the sync of this number, and whether nothing is known about the durability of
    /// what they wrote. `in_doubt`: some file of the log may not be durable for ever.
    pub(super) fn answer_synced(
        &mut self,
        outcome: &SyncOutcome,
        number: u64,
        in_doubt: bool,
    ) -> Vec<(Unsynced, bool)> {
        let unknown = |waiting: &Unsynced| match waiting.until {
            Until::Written(position) => outcome.failures.contains(&position.file_id),
            Until::Sync(_) => in_doubt,
        };
        let ended = self.unsynced.extract_if(.., |waiting| match waiting.until {
            Until::Written(position) => outcome.covers(position) || unknown(waiting),
            Until::Sync(begun) => number > begun,
        });
        ended
            .map(|waiting| (unknown(&waiting), waiting))
            .map(|(unknown, waiting)| (waiting, unknown))
            .collect()
    }

    /// Begins another file of the log with what is remembered of numbered batches.
    pub(super) fn carry(&mut self, memory: &[u8], now: Timestamp) -> io::Result<Position> {
        self.stream.begin_anew();
        let (identity, offset) = self.stream.room_for(memory.len() + frame::FRAME_HEADER_BYTES, now)?;
        let mut frames = FrameBuffer::default();
        frames.frame(identity, offset, Kind::Memory, |payload| payload.extend_from_slice(memory));
        self.stream.append(&frames)
    }

    /// Writes the rows to the log.
    pub(super) fn write(&mut self, shared: &Shared, now: Timestamp) -> io::Result<Position> {
        let tags = self.scratch.tags.as_slice().iter().map(|(_, spans)| 24 + spans.as_slice().len() * 4);
        let tags = tags.sum::<usize>();
        let room = self.scratch.rows.len() * 20 + self.scratch.runs.len() * 24 + tags + 64;
        let (identity, offset) = {
            let (identity, offset) = self.stream.room_for(room, now)?;
            (identity.clone(), offset)
        };
        self.define(shared, &identity, offset);
        let Self { queues, scratch, newest_stamp, .. } = self;
        let (rows, runs, scratch_tags) = (&scratch.rows, &scratch.runs, scratch.tags.as_slice());
        scratch.frames.frame(&identity, offset, Kind::Commit, |payload| {
            payload.reserve(room);
            frame::put_commit(payload, *newest_stamp, runs.len());
            for run in runs {
                let (queue, rows) = (&queues[run.local], &rows[run.start..run.end]);
                frame::put_run(payload, queue.queue, queue.order + 1, rows, |row| {
                    (row.series.ordinal, row.time, row.value)
                });
            }
            frame::put_tags(payload, scratch_tags);
        });
        let written = self.stream.append(&scratch.frames);
        if written.is_err() {
            for (local, ordinal) in &scratch.defined {
                queues[*local].series[*ordinal as usize].defined_in = 0;
            }
        }
        written
    }

    /// Begins the buffer with definitions of the series that the file does not know yet.
    fn define(&mut self, shared: &Shared, identity: &FileIdentity, offset: u64) {
        let Self { queues, scratch, .. } = self;
        let Scratch { runs, rows, frames, definitions, defined, .. } = scratch;
        frames.clear();
        definitions.clear();
        defined.clear();
        let flush = |definitions: &mut Vec<u8>, frames: &mut FrameBuffer| {
            if !definitions.is_empty() {
                frames.frame(identity, offset, Kind::Definitions, |payload| payload.append(definitions));
            }
        };
        for run in runs {
            for row in &rows[run.start..run.end] {
                let series = queues[run.local].series(row.series);
                if series.defined_in != identity.file_id {
                    series.defined_in = identity.file_id;
                    defined.push((run.local, row.series.ordinal));
                    let Some(key) = shared.registry.key(row.series) else { continue };
                    frame::put_definition(definitions, 0, row.series, &key);
                    if definitions.len() >= DEFINITIONS_BYTES {
                        flush(definitions, frames);
                    }
                }
            }
        }
        flush(definitions, frames);
    }

    /// Makes the rows visible: the heads first, then the commit positions that let readers see them.
    pub(super) fn publish(&mut self, shared: &Shared) {
        let Self { queues, scratch, newest_stamp, .. } = self;
        let monotonic = shared.clock.monotonic();
        let mut oldest = i64::MAX;
        for run in &scratch.runs {
            let queue = &mut queues[run.local];
            queue.order += 1;
            let order = queue.order;
            let rows = &scratch.rows[run.start..run.end];
            queue.head.generation().begin(monotonic.as_nanos() as i64);
            let entry = |row: &Row| (row.series.ordinal, Entry { time: row.time, value: row.value, order });
            oldest = oldest.min(queue.head.append(rows.iter().map(entry)));
        }
        // A series that is new to the store is new to the file.
        for (local, ordinal) in &scratch.defined {
            let queue = &queues[*local];
            shared.mark_born(SeriesId { queue: queue.queue, ordinal: *ordinal }, queue.order);
        }
        shared.newest_stamp.fetch_max(*newest_stamp, Ordering::AcqRel);
        for run in &scratch.runs {
            let queue = &queues[run.local];
            shared.commit(queue.queue, queue.order);
        }
        let settled = shared.lateness.settled();
        if oldest < settled {
            shared.lateness.note(&scratch.rows, settled, &shared.registry);
        }
    }
}
