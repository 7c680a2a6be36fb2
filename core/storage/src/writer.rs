//! The writers. A writer owns the queues `j` with `j mod W` equal to its index: their commit positions, their stream of
//! the log, and the right to append to their heads.
//!
//! At most one thread at a time acts as a given writer, by holding its *seat*. A thread that brings samples puts them in
//! the writer's inbox and takes the seat if it is free; whoever holds the seat commits everything that waits, its own
//! samples and others', as one frame with one write(2). Whoever finds the seat taken leaves, and is answered by the
//! holder. So a lone client pays no hand-over to another thread (two wake-ups, about 10 µs, half of a round trip on the
//! loopback), and many clients share commits.
//!
//! The writer's own thread makes the log durable in the background, and takes the seat when there is so much work that
//! a lender has done its part.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use sereno_runtime::{Counter, Metrics};
use tracing::{error, info};

use crate::batch::{Ack, Refusal, Row, STAMP_AT_COMMIT, Ticket};
use crate::head::{Entry, Generation, HeadWriter};
use crate::registry::SeriesId;
use crate::shared::Shared;
use crate::wal::frame::{self, FrameBuffer, Kind};
use crate::wal::stream::{Position, Stream, SyncOutcome, WalContext};

/// The most rows in one part of a batch; longer batches are split.
pub(crate) const PART_ROWS_MAX: usize = 16_384;
/// A commit ends with the part that reaches this many rows, 1 MiB of frame.
const COMMIT_ROWS: usize = 32_768;
/// A frame of definitions ends with the one that reaches this size.
const DEFINITIONS_BYTES: usize = 1 << 20;
/// How often a lender commits before the writer's own thread takes over.
const LENDER_ROUNDS: usize = 16;

/// The rows of a batch that belong to one writer.
#[derive(Debug)]
pub(crate) struct Part {
    pub rows: Vec<Row>,
    /// Which rows of the batch they are.
    pub indices: Indices,
    pub ack: Ack,
    pub ticket: Arc<Ticket>,
}

#[derive(Debug)]
pub(crate) enum Indices {
    /// Consecutive ones, from this.
    From(u32),
    List(Vec<u32>),
}

impl Indices {
    fn get(&self, position: usize) -> u32 {
        match self {
            Self::From(first) => first + position as u32,
            Self::List(list) => list[position],
        }
    }
}

#[derive(Debug)]
struct Waiting {
    part: Part,
    refused: Vec<(u32, Refusal)>,
}

impl Waiting {
    fn refuse_all(mut self, why: Refusal) {
        let all = (0..self.part.rows.len()).map(|position| (self.part.indices.get(position), why));
        self.refused.extend(all);
        self.part.ticket.complete_part(self.refused, false);
    }

    /// Refuses the rows for which there is a reason, which is asked once for each in order; the rest stays.
    fn refuse_rows(&mut self, mut reason: impl FnMut(&Row) -> Option<Refusal>) {
        let reasons =
            self.part.rows.iter().enumerate().filter_map(|(position, row)| Some((position, reason(row)?)));
        let refused: Vec<(usize, Refusal)> = reasons.collect();
        if refused.is_empty() {
            return;
        }
        let mut next = refused.iter().peekable();
        let mut kept = Vec::with_capacity(self.part.rows.len() - refused.len());
        let (indices, mut position) = (&self.part.indices, 0);
        self.part.rows.retain(|_| {
            let index = indices.get(position);
            let why = next.next_if(|(refused, _)| *refused == position);
            position += 1;
            match why {
                Some((_, why)) => self.refused.push((index, *why)),
                None => kept.push(index),
            }
            why.is_none()
        });
        self.part.indices = Indices::List(kept);
    }
}

#[derive(Debug)]
struct Inbox {
    waiting: Vec<Waiting>,
    /// How many samples wait, per queue of this writer.
    depths: Vec<u32>,
    closed: bool,
}

/// One writer.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    context: Arc<WalContext>,
    writers: u32,
    queue_samples_max: u32,
    inbox: Mutex<Inbox>,
    seat: Mutex<Seat>,
    duty: Mutex<Duty>,
    duty_changed: Condvar,
    /// Whether the writer's thread knows of bytes to make durable.
    dirty: AtomicBool,
    measures: Measures,
}

/// What the writer's own thread has to do.
#[derive(Clone, Copy, Debug, Default)]
struct Duty {
    /// Within the interval.
    sync: bool,
    /// Somebody waits for it.
    sync_now: bool,
    commit: bool,
    stop: bool,
}

/// What a rotation left behind.
#[derive(Debug, Default)]
pub(crate) struct Rotated {
    /// Per queue, the last commit position of the ended generation.
    pub marks: Vec<(u32, u64)>,
    /// The WAL files that hold it.
    pub files: Vec<u64>,
}

/// Part of a batch that is written, and is answered when it is durable.
#[derive(Debug)]
struct Unsynced {
    position: Position,
    ticket: Arc<Ticket>,
    refused: Vec<(u32, Refusal)>,
}

/// In place of the file that defines a series: the series is no more.
const RETIRED: u64 = u64::MAX;

#[derive(Debug)]
struct Measures {
    commits: Counter,
    samples: Counter,
    wal_bytes: Counter,
    syncs: Counter,
    sync_failures: Counter,
    write_failures: Counter,
}

impl Writer {
    pub(crate) fn new(
        index: u32,
        writers: u32,
        queue_samples_max: u32,
        shared: Arc<Shared>,
        context: Arc<WalContext>,
        generation: &Arc<Generation>,
        metrics: &Metrics,
    ) -> Self {
        let owned = (index..context.queues).step_by(writers as usize);
        let queues: Vec<QueueState> =
            owned.map(|queue| QueueState::new(queue, shared.first_order, generation)).collect();
        let inbox = Inbox { waiting: Vec::new(), depths: vec![0; queues.len()], closed: false };
        let seat = Seat {
            stream: Stream::new(context.clone(), index),
            scratch: Scratch { counts: vec![0; queues.len()], ..Scratch::default() },
            queues,
            unsynced: Vec::new(),
            boot_stamp: shared.boot_stamp,
            newest_stamp: shared.boot_stamp,
            has_retired: false,
            disk_failing: false,
        };
        Self {
            shared,
            writers,
            queue_samples_max,
            inbox: Mutex::new(inbox),
            seat: Mutex::new(seat),
            duty: Mutex::default(),
            duty_changed: Condvar::new(),
            dirty: AtomicBool::new(false),
            measures: Measures {
                commits: metrics.counter("wal_commits_total", &[]),
                samples: metrics.counter("storage_samples_total", &[]),
                wal_bytes: metrics.counter("wal_bytes_total", &[]),
                syncs: metrics.counter("wal_syncs_total", &[]),
                sync_failures: metrics.counter("wal_sync_failures_total", &[]),
                write_failures: metrics.counter("wal_write_failures_total", &[]),
            },
            context,
        }
    }

    /// Takes in a part of a batch. If the seat is free it is committed before this returns.
    pub(crate) fn submit(&self, part: Part) {
        if let Some(waiting) = self.admit(part) {
            let mut inbox = self.inbox();
            if inbox.closed {
                drop(inbox);
                return waiting.refuse_all(Refusal::Closed);
            }
            let refused_all = self.enqueue(&mut inbox, waiting);
            drop(inbox);
            if let Some(waiting) = refused_all {
                waiting.part.ticket.complete_part(waiting.refused, false);
            } else {
                self.commit_if_free(LENDER_ROUNDS);
            }
        }
    }

    /// Refuses what cannot be stored now, whatever else waits; gives back what is left.
    fn admit(&self, part: Part) -> Option<Waiting> {
        let mut waiting = Waiting { part, refused: Vec::new() };
        if let Some(why) = self.shared.full(&self.context) {
            waiting.refuse_all(why);
            return None;
        }
        let bounds = self.shared.bounds(waiting.part.rows.iter().map(|row| row.time));
        waiting.refuse_rows(|row| bounds.refusal(row.time));
        if waiting.part.rows.is_empty() {
            waiting.part.ticket.complete_part(waiting.refused, false);
            return None;
        }
        Some(waiting)
    }

    /// Puts what fits its queue into the inbox; gives it back if nothing fits.
    fn enqueue(&self, inbox: &mut Inbox, mut waiting: Waiting) -> Option<Waiting> {
        let writers = self.writers;
        let over = |inbox: &Inbox, row: &Row| {
            inbox.depths[(row.series.queue / writers) as usize] >= self.queue_samples_max
        };
        let mut fits = true;
        for row in &waiting.part.rows {
            fits &= !over(inbox, row);
            inbox.depths[(row.series.queue / writers) as usize] += 1;
        }
        if !fits {
            // Rare: go back and let in each row for itself.
            for row in &waiting.part.rows {
                inbox.depths[(row.series.queue / writers) as usize] -= 1;
            }
            let left = |depth: &u32| self.queue_samples_max.saturating_sub(*depth);
            let mut room: Vec<u32> = inbox.depths.iter().map(left).collect();
            waiting.refuse_rows(|row| {
                let room = &mut room[(row.series.queue / writers) as usize];
                let full = *room == 0;
                *room = room.saturating_sub(1);
                full.then_some(Refusal::QueueFull)
            });
            for row in &waiting.part.rows {
                inbox.depths[(row.series.queue / writers) as usize] += 1;
            }
        }
        if waiting.part.rows.is_empty() {
            return Some(waiting);
        }
        inbox.waiting.push(waiting);
        None
    }

    /// Commits what waits, if nobody else is doing so; `rounds` bounds how long a lender works for others.
    fn commit_if_free(&self, rounds: usize) {
        for _ in 0..rounds {
            let mut seat = match self.seat.try_lock() {
                Ok(seat) => seat,
                // The holder looks at the inbox again after it has left the seat, so it will see what we put there.
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(seat)) => seat.into_inner(),
            };
            self.commit_waiting(&mut seat);
            drop(seat);
            if self.inbox().waiting.is_empty() {
                return;
            }
        }
        self.set_duty(|duty| duty.commit = true);
    }

    fn commit_waiting(&self, seat: &mut Seat) {
        let mut waiting = {
            let mut inbox = self.inbox();
            inbox.depths.fill(0);
            std::mem::take(&mut inbox.waiting)
        };
        while !waiting.is_empty() {
            let mut rows = 0;
            let fits = waiting.iter().take_while(|waiting| {
                let room = rows < COMMIT_ROWS;
                rows += waiting.part.rows.len();
                room
            });
            let count = fits.count();
            let group: Vec<Waiting> = waiting.drain(..count).collect();
            self.commit_group(seat, group);
        }
    }

    fn commit_group(&self, seat: &mut Seat, mut group: Vec<Waiting>) {
        // Series that were retired since these rows came; rare, and not looked for where none ever was.
        if seat.has_retired
            && group
                .iter()
                .any(|waiting| waiting.part.rows.iter().any(|row| seat.is_retired(row, self.writers)))
        {
            for waiting in &mut group {
                waiting.refuse_rows(|row| seat.is_retired(row, self.writers).then_some(Refusal::Retired));
            }
        }
        match self.commit(seat, &group) {
            Ok(position) => {
                for done in group {
                    if done.part.ack == Ack::Disk && !done.part.rows.is_empty() {
                        seat.unsynced.push(Unsynced {
                            position,
                            ticket: done.part.ticket,
                            refused: done.refused,
                        });
                    } else {
                        done.part.ticket.complete_part(done.refused, false);
                    }
                }
                if !seat.unsynced.is_empty() {
                    self.set_duty(|duty| duty.sync_now = true);
                }
            }
            Err(why) => group.into_iter().for_each(|refused| refused.refuse_all(why)),
        }
    }

    /// One group commit: a frame, one write(2), then the heads.
    fn commit(&self, seat: &mut Seat, group: &[Waiting]) -> Result<Position, Refusal> {
        seat.sort_by_queue(group, self.writers);
        if !seat.has_room() {
            return Err(Refusal::MemoryFull);
        }
        let now = self.shared.clock.now();
        seat.stamp(now.millis().saturating_mul(1_000_000));
        let written = seat.write(&self.shared, now);
        let position = match written {
            Ok(position) => position,
            Err(error) => return Err(self.write_failed(seat, &error)),
        };
        if std::mem::take(&mut seat.disk_failing) {
            info!("The disk takes writes again.");
        }
        seat.publish(&self.shared);
        self.measures.commits.inc();
        self.measures.samples.add(seat.scratch.rows.len() as u64);
        self.measures.wal_bytes.add(seat.scratch.frames.as_bytes().len() as u64);
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.set_duty(|duty| duty.sync = true);
        }
        Ok(position)
    }

    /// Lets the next generation take over: what is committed from now on goes to it, and to another file of the log.
    pub(crate) fn rotate(&self, next: &Arc<Generation>) -> Rotated {
        let rotated = self.with_seat(|seat| {
            let files = seat.stream.rotate();
            let marks = seat.queues.iter_mut().map(|queue| {
                queue.head = HeadWriter::new(next.clone(), queue.queue);
                (queue.queue, queue.order)
            });
            Rotated { marks: marks.collect(), files }
        });
        // The ended file is closed in the background.
        self.set_duty(|duty| duty.sync = true);
        rotated
    }

    /// Marks series as retired: rows that name them are refused from now on. Those that have samples in the present
    /// generation are left out; gives the ones that are marked.
    pub(crate) fn retire(&self, ids: impl Iterator<Item = SeriesId>) -> Vec<SeriesId> {
        let writers = self.writers;
        self.with_seat(|seat| {
            let mut retired = Vec::new();
            for id in ids {
                let queue = &mut seat.queues[(id.queue / writers) as usize];
                if !queue.head.has_samples(id.ordinal) {
                    queue.series(id).defined_in = RETIRED;
                    retired.push(id);
                }
            }
            seat.has_retired |= !retired.is_empty();
            retired
        })
    }

    fn write_failed(&self, seat: &mut Seat, error: &io::Error) -> Refusal {
        self.measures.write_failures.inc();
        if !std::mem::replace(&mut seat.disk_failing, true) {
            let directory = self.context.directory.display();
            error!(%directory, %error, "The WAL cannot be written; samples are refused until it can. Free some space, or check the disk.");
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Refusal::DiskFull
            }
            _ => Refusal::DiskFailed,
        }
    }

    /// What the writer's own thread does until it is told to stop.
    pub(crate) fn run(&self, sync_interval: Duration) {
        loop {
            let duty = self.next_duty();
            if duty.commit {
                self.commit_if_free(usize::MAX);
            }
            // Whoever waits for the disk is answered even at the end.
            if duty.sync_now || (duty.sync && !duty.stop) {
                if !duty.sync_now {
                    self.wait_for_something_urgent(sync_interval);
                }
                self.sync();
            }
            if duty.stop {
                return;
            }
        }
    }

    fn next_duty(&self) -> Duty {
        let mut duty = self.duty.lock().unwrap_or_else(PoisonError::into_inner);
        while !duty.sync && !duty.sync_now && !duty.commit && !duty.stop {
            duty = self.duty_changed.wait(duty).unwrap_or_else(PoisonError::into_inner);
        }
        let stop = duty.stop;
        std::mem::replace(&mut *duty, Duty { stop, ..Duty::default() })
    }

    fn wait_for_something_urgent(&self, limit: Duration) {
        let duty = self.duty.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_urgent = |duty: &mut Duty| !duty.stop && !duty.commit && !duty.sync_now;
        let _timed_out_or_urgent = self
            .duty_changed
            .wait_timeout_while(duty, limit, nothing_urgent)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Makes durable what has been written, and answers those who waited for it.
    pub(crate) fn sync(&self) {
        self.dirty.store(false, Ordering::Release);
        let work = self.with_seat(|seat| seat.stream.begin_sync());
        let outcome = work.run(&self.context);
        self.measures.syncs.inc();
        self.measures.sync_failures.add(outcome.failures.len() as u64);
        let answered = self.with_seat(|seat| {
            seat.stream.end_sync(outcome.synced, outcome.failed);
            seat.answer_synced(&outcome)
        });
        for (done, unknown) in answered {
            done.ticket.complete_part(done.refused, unknown);
        }
    }

    /// Takes the seat for something other than a commit, and then commits for those who found it taken.
    fn with_seat<T>(&self, body: impl FnOnce(&mut Seat) -> T) -> T {
        let result = body(&mut self.seat());
        if !self.inbox().waiting.is_empty() {
            self.commit_if_free(usize::MAX);
        }
        result
    }

    /// Commits what waits, refuses what comes later, and makes the log durable.
    pub(crate) fn close(&self) {
        self.inbox().closed = true;
        let mut seat = self.seat();
        self.commit_waiting(&mut seat);
        seat.stream.retire();
        drop(seat);
        self.sync();
        self.stop();
    }

    /// Lets the writer's own thread end.
    pub(crate) fn stop(&self) {
        self.set_duty(|duty| duty.stop = true);
    }

    fn set_duty(&self, change: impl FnOnce(&mut Duty)) {
        change(&mut self.duty.lock().unwrap_or_else(PoisonError::into_inner));
        self.duty_changed.notify_one();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only the thread that acts as the writer touches.
#[derive(Debug)]
struct Seat {
    stream: Stream,
    /// By local index: queue / W.
    queues: Vec<QueueState>,
    scratch: Scratch,
    /// In order of their positions.
    unsynced: Vec<Unsynced>,
    /// The newest time that a writer had given before this process began.
    boot_stamp: i64,
    /// The newest time that this writer has given, or that one.
    newest_stamp: i64,
    /// Whether a series of this writer was ever given up.
    has_retired: bool,
    disk_failing: bool,
}

#[derive(Debug)]
struct QueueState {
    queue: u32,
    /// The position of the last commit.
    order: u64,
    head: HeadWriter,
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
    fn new(queue: u32, order: u64, generation: &Arc<Generation>) -> Self {
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
struct Scratch {
    /// Rows per local queue, zero between commits.
    counts: Vec<u32>,
    /// The queues of this commit, in rising order, each with the span of its rows.
    runs: Vec<QueueRun>,
    /// The rows of this commit, by queue, in order of arrival.
    rows: Vec<Row>,
    frames: FrameBuffer,
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
    /// Fills the scratch with the rows of the group, by queue.
    fn sort_by_queue(&mut self, group: &[Waiting], writers: u32) {
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
    fn stamp(&mut self, now: i64) {
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

    fn has_room(&self) -> bool {
        self.scratch.runs.iter().all(|run| self.queues[run.local].head.has_room(run.end - run.start))
    }

    fn is_retired(&self, row: &Row, writers: u32) -> bool {
        let queue = &self.queues[(row.series.queue / writers) as usize];
        queue.series.get(row.series.ordinal as usize).is_some_and(|series| series.defined_in == RETIRED)
    }

    /// Those whose waiting has ended, and whether nothing is known about the durability of what they wrote.
    fn answer_synced(&mut self, outcome: &SyncOutcome) -> Vec<(Unsynced, bool)> {
        let unknown = |waiting: &Unsynced| outcome.failures.contains(&waiting.position.file_id);
        let durable = |waiting: &Unsynced| outcome.covers(waiting.position);
        let ended = self.unsynced.extract_if(.., |waiting| durable(waiting) || unknown(waiting));
        ended
            .map(|waiting| (unknown(&waiting), waiting))
            .map(|(unknown, waiting)| (waiting, unknown))
            .collect()
    }

    /// Writes the rows to the log.
    fn write(&mut self, shared: &Shared, now: sereno_model::Timestamp) -> io::Result<Position> {
        let room = self.scratch.rows.len() * 20 + self.scratch.runs.len() * 24 + 64;
        let (identity, offset) = {
            let (identity, offset) = self.stream.room_for(room, now)?;
            (identity.clone(), offset)
        };
        self.define(shared, &identity, offset);
        let Self { queues, scratch, newest_stamp, .. } = self;
        let (rows, runs) = (&scratch.rows, &scratch.runs);
        scratch.frames.frame(&identity, offset, Kind::Commit, |payload| {
            payload.reserve(room);
            frame::put_commit(payload, *newest_stamp, runs.len());
            for run in runs {
                let (queue, rows) = (&queues[run.local], &rows[run.start..run.end]);
                frame::put_run(payload, queue.queue, queue.order + 1, rows, |row| {
                    (row.series.ordinal, row.time, row.value)
                });
            }
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
    fn define(&mut self, shared: &Shared, identity: &frame::FileIdentity, offset: u64) {
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
    fn publish(&mut self, shared: &Shared) {
        let Self { queues, scratch, newest_stamp, .. } = self;
        let monotonic = shared.clock.monotonic();
        for run in &scratch.runs {
            let queue = &mut queues[run.local];
            queue.order += 1;
            let order = queue.order;
            let rows = &scratch.rows[run.start..run.end];
            queue.head.generation().begin(monotonic.as_nanos() as i64);
            queue.head.append(
                rows.iter()
                    .map(|row| (row.series.ordinal, Entry { time: row.time, value: row.value, order })),
            );
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
    }
}
