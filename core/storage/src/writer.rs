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

use crate::batch::{Refusal, Row, STAMP_AT_COMMIT, Ticket};
use crate::registry::SeriesId;
use crate::store::Shared;
use crate::wal::frame::{self, FrameBuffer, Kind};
use crate::wal::stream::{Stream, WalContext};

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
        self.part.ticket.complete_part(self.refused);
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
#[derive(Debug, Default)]
struct Duty {
    sync: bool,
    commit: bool,
    stop: bool,
}

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
        metrics: &Metrics,
    ) -> Self {
        let owned = (index..context.queues).step_by(writers as usize);
        let queues: Vec<QueueState> = owned.map(|queue| QueueState::new(queue, &shared)).collect();
        let inbox = Inbox { waiting: Vec::new(), depths: vec![0; queues.len()], closed: false };
        let seat = Seat {
            stream: Stream::new(context.clone()),
            scratch: Scratch { counts: vec![0; queues.len()], ..Scratch::default() },
            queues,
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
                waiting.part.ticket.complete_part(waiting.refused);
            } else {
                self.commit_if_free(LENDER_ROUNDS);
            }
        }
    }

    fn admit(&self, part: Part) -> Option<Waiting> {
        let waiting = Waiting { part, refused: Vec::new() };
        if self.shared.head_is_full() {
            waiting.refuse_all(Refusal::MemoryFull);
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
            let rows = std::mem::take(&mut waiting.part.rows);
            let mut kept = Vec::new();
            for (position, row) in rows.into_iter().enumerate() {
                let index = waiting.part.indices.get(position);
                if over(inbox, &row) {
                    waiting.refused.push((index, Refusal::QueueFull));
                } else {
                    inbox.depths[(row.series.queue / writers) as usize] += 1;
                    waiting.part.rows.push(row);
                    kept.push(index);
                }
            }
            waiting.part.indices = Indices::List(kept);
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
            match self.commit(seat, &group) {
                Ok(()) => group.into_iter().for_each(|done| done.part.ticket.complete_part(done.refused)),
                Err(why) => group.into_iter().for_each(|refused| refused.refuse_all(why)),
            }
        }
    }

    /// One group commit: a frame, one write(2), then the heads.
    fn commit(&self, seat: &mut Seat, group: &[Waiting]) -> Result<(), Refusal> {
        seat.sort_by_queue(group, self.writers);
        let now = self.shared.clock.now();
        seat.stamp(&self.shared, now.millis().saturating_mul(1_000_000));
        let written = seat.write(&self.shared, now);
        let bytes = match written {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.write_failed(seat, &error)),
        };
        if std::mem::take(&mut seat.disk_failing) {
            info!("The disk takes writes again.");
        }
        seat.publish(&self.shared);
        self.measures.commits.inc();
        self.measures.samples.add(seat.scratch.rows.len() as u64);
        self.measures.wal_bytes.add(bytes);
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.set_duty(|duty| duty.sync = true);
        }
        Ok(())
    }

    fn write_failed(&self, seat: &mut Seat, error: &io::Error) -> Refusal {
        self.measures.write_failures.inc();
        if !std::mem::replace(&mut seat.disk_failing, true) {
            let directory = self.context.directory.display();
            error!(%directory, %error, "The WAL cannot be written; samples are refused until it can. Free some space, or check the disk.");
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::DiskFull,
            _ => Refusal::DiskFailed,
        }
    }

    /// What the writer's own thread does until it is told to stop.
    pub(crate) fn run(&self, sync_interval: Duration) {
        loop {
            let (commit, sync, stop) = self.next_duty();
            if commit {
                self.commit_if_free(usize::MAX);
            }
            if sync && !stop {
                self.wait_for_stop(sync_interval);
                self.sync();
            }
            if stop {
                return;
            }
        }
    }

    fn next_duty(&self) -> (bool, bool, bool) {
        let mut duty = self.duty.lock().unwrap_or_else(PoisonError::into_inner);
        while !duty.sync && !duty.commit && !duty.stop {
            duty = self.duty_changed.wait(duty).unwrap_or_else(PoisonError::into_inner);
        }
        (std::mem::take(&mut duty.commit), std::mem::take(&mut duty.sync), duty.stop)
    }

    fn wait_for_stop(&self, limit: Duration) {
        let duty = self.duty.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_urgent = |duty: &mut Duty| !duty.stop && !duty.commit;
        let _timed_out_or_urgent = self
            .duty_changed
            .wait_timeout_while(duty, limit, nothing_urgent)
            .unwrap_or_else(PoisonError::into_inner);
    }

    fn sync(&self) {
        self.dirty.store(false, Ordering::Release);
        let work = self.with_stream(Stream::begin_sync);
        let outcome = work.run(&self.context);
        self.measures.syncs.inc();
        self.measures.sync_failures.add(outcome.failures);
        self.with_stream(|stream| stream.end_sync(outcome.synced, outcome.failed));
    }

    /// Takes the seat for something other than a commit, and then commits for those who found it taken.
    fn with_stream<T>(&self, body: impl FnOnce(&mut Stream) -> T) -> T {
        let result = body(&mut self.seat().stream);
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
    disk_failing: bool,
}

#[derive(Debug)]
struct QueueState {
    queue: u32,
    /// The position of the last commit.
    order: u64,
    series: Vec<SeriesState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeriesState {
    /// The newest time given by this writer.
    stamp: i64,
    /// The WAL file that defines the series; file ids begin at 1.
    defined_in: u64,
}

impl QueueState {
    fn new(queue: u32, shared: &Shared) -> Self {
        Self { queue, order: shared.committed(queue), series: Vec::new() }
    }

    fn series(&mut self, id: SeriesId, shared: &Shared) -> &mut SeriesState {
        let (index, known) = (id.ordinal as usize, self.series.len());
        if index >= known {
            let head = shared.head(self.queue);
            let fresh = (known..=index).map(|ordinal| SeriesState {
                stamp: head.newest(ordinal).filter(|time| shared.may_be_own_stamp(*time)).unwrap_or(i64::MIN),
                defined_in: 0,
            });
            self.series.extend(fresh);
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
    fn stamp(&mut self, shared: &Shared, now: i64) {
        let Self { queues, scratch, .. } = self;
        for run in &scratch.runs {
            let queue = &mut queues[run.local];
            for row in &mut scratch.rows[run.start..run.end] {
                if row.time == STAMP_AT_COMMIT {
                    let series = queue.series(row.series, shared);
                    series.stamp = now.max(series.stamp.saturating_add(1));
                    row.time = series.stamp;
                }
            }
        }
    }

    /// Writes the rows to the log; gives how many bytes that took.
    fn write(&mut self, shared: &Shared, now: sereno_model::Timestamp) -> io::Result<u64> {
        let room = self.scratch.rows.len() * 20 + self.scratch.runs.len() * 16 + 64;
        let (identity, offset) = {
            let (identity, offset) = self.stream.room_for(room, now)?;
            (identity.clone(), offset)
        };
        self.define(shared, &identity, offset);
        let Self { queues, scratch, .. } = self;
        let (rows, runs) = (&scratch.rows, &scratch.runs);
        scratch.frames.frame(&identity, offset, Kind::Commit, |payload| {
            payload.reserve(room);
            payload.extend_from_slice(&(runs.len() as u32).to_le_bytes());
            for run in runs {
                let rows = &rows[run.start..run.end];
                payload.extend_from_slice(&queues[run.local].queue.to_le_bytes());
                payload.extend_from_slice(&(rows.len() as u32).to_le_bytes());
                payload.extend_from_slice(&(queues[run.local].order + 1).to_le_bytes());
                rows.iter().for_each(|row| payload.extend_from_slice(&row.series.ordinal.to_le_bytes()));
                rows.iter().for_each(|row| payload.extend_from_slice(&row.time.to_le_bytes()));
                rows.iter().for_each(|row| payload.extend_from_slice(&row.value.to_bits().to_le_bytes()));
            }
        });
        if let Err(error) = self.stream.append(&scratch.frames) {
            for (local, ordinal) in &scratch.defined {
                queues[*local].series[*ordinal as usize].defined_in = 0;
            }
            return Err(error);
        }
        Ok(scratch.frames.as_bytes().len() as u64)
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
                let series = queues[run.local].series(row.series, shared);
                if series.defined_in != identity.file_id {
                    series.defined_in = identity.file_id;
                    defined.push((run.local, row.series.ordinal));
                    frame::put_definition(definitions, 0, row.series, &shared.registry.key(row.series));
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
        let Self { queues, scratch, .. } = self;
        for run in &scratch.runs {
            let queue = &mut queues[run.local];
            queue.order += 1;
            shared.publish(queue.queue, queue.order, &scratch.rows[run.start..run.end]);
        }
    }
}
