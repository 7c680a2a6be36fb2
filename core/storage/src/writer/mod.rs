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
//!
//! A numbered batch is looked up by whoever commits it, not as it comes in: its first sending may still wait in the inbox
//! when the second comes. All sendings of a row go to the same writer, one after the other.
//!
//! * [`waiting`]: a part of a batch, and what becomes of its rows;
//! * [`seat`]: what only the holder of the seat touches: frames, heads, commit positions.

mod seat;
#[cfg(test)]
mod tests;
mod waiting;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use sereno_runtime::{Counter, Metrics};
use tracing::{error, info};

use crate::batch::{Ack, Append, Numbered, Refusal, Row, Ticket};
use crate::head::{Generation, HeadWriter};
use crate::numbered::Known;
use crate::registry::SeriesId;
use crate::shared::Shared;
use crate::wal::stream::{Position, WalContext};

use seat::{QueueState, Seat, Unsynced, Until};
use waiting::{Fate, Waiting};

pub(crate) use waiting::{Indices, Part};

/// The most rows in one part of a batch; longer batches are split.
pub(crate) const PART_ROWS_MAX: usize = 16_384;
/// A commit ends with the part that reaches this many rows, 1 MiB of frame.
const COMMIT_ROWS: usize = 32_768;
/// How many rows of batches that were sent before may wait, besides what there is room for in the queues.
const RESENT_ROWS_MAX: usize = 1 << 18;
/// How often a lender commits before the writer's own thread takes over.
const LENDER_ROUNDS: usize = 16;
/// How often a sync that is due waits for commits that are more urgent.
const SYNC_PUT_OFF_MAX: u32 = 4;

#[derive(Debug)]
struct Inbox {
    waiting: Vec<Waiting>,
    /// How many samples wait, per queue of this writer.
    depths: Vec<u32>,
    /// How many rows wait that are looked up before it is known whether there is room for them.
    resent_rows: usize,
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
    /// Rows in the inbox.
    rows_waiting: AtomicUsize,
    seat: Mutex<Seat>,
    duty: Mutex<Duty>,
    duty_changed: Condvar,
    /// Whether the writer's thread knows of bytes to make durable.
    dirty: AtomicBool,
    /// Syncs follow one another: when one has ended, so have all that began before it.
    syncing: Mutex<()>,
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
    /// The number of the ended generation; 0 for what was read back.
    pub generation: u32,
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
        generation: &Arc<Generation>,
        metrics: &Metrics,
    ) -> Self {
        let owned = (index..context.queues).step_by(writers as usize);
        let queues: Vec<QueueState> =
            owned.map(|queue| QueueState::new(queue, shared.first_order, generation)).collect();
        let inbox =
            Inbox { waiting: Vec::new(), depths: vec![0; queues.len()], resent_rows: 0, closed: false };
        let seat = Seat::new(context.clone(), index, queues, shared.boot_stamp);
        Self {
            shared,
            writers,
            queue_samples_max,
            inbox: Mutex::new(inbox),
            rows_waiting: AtomicUsize::new(0),
            seat: Mutex::new(seat),
            duty: Mutex::default(),
            duty_changed: Condvar::new(),
            dirty: AtomicBool::new(false),
            syncing: Mutex::new(()),
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
                waiting.complete(false);
            } else {
                self.commit_if_free(LENDER_ROUNDS);
            }
        }
    }

    /// How much of what may wait for this writer does: 1 if every queue holds all that it may.
    pub(crate) fn crowding(&self) -> f64 {
        let queues = self.context.queues.div_ceil(self.writers) as usize;
        let room = queues * self.queue_samples_max as usize;
        self.rows_waiting.load(Ordering::Relaxed) as f64 / room.max(1) as f64
    }

    /// Refuses what cannot be stored now, whatever else waits; gives back what is left.
    fn admit(&self, part: Part) -> Option<Waiting> {
        let mut waiting = Waiting::new(part);
        if waiting.part.is_resent() {
            // What is stored already needs no room; the rest is measured when that is known.
            return Some(waiting);
        }
        if let Some(why) = self.shared.full(&self.context) {
            waiting.refuse_all(why);
            return None;
        }
        let bounds = self.shared.bounds(waiting.part.rows.iter().map(|row| row.time));
        waiting.refuse_rows(|row| bounds.refusal(row.time));
        if waiting.part.rows.is_empty() {
            waiting.complete(false);
            return None;
        }
        Some(waiting)
    }

    /// Puts what fits its queue into the inbox; gives it back if nothing fits.
    fn enqueue(&self, inbox: &mut Inbox, mut waiting: Waiting) -> Option<Waiting> {
        if waiting.part.is_resent() {
            return self.enqueue_resent(inbox, waiting);
        }
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
        self.rows_waiting.fetch_add(waiting.part.rows.len(), Ordering::Relaxed);
        inbox.waiting.push(waiting);
        None
    }

    /// Puts a part that was sent before into the inbox as a whole, with what there is room for of what is not stored.
    fn enqueue_resent(&self, inbox: &mut Inbox, mut waiting: Waiting) -> Option<Waiting> {
        if inbox.resent_rows >= RESENT_ROWS_MAX {
            waiting.refuse_rows(|_| Some(Refusal::Recovering));
            return Some(waiting);
        }
        inbox.resent_rows += waiting.part.rows.len();
        let left = |depth: &u32| self.queue_samples_max.saturating_sub(*depth);
        waiting.room = inbox.depths.iter().map(left).collect();
        for row in &waiting.part.rows {
            let depth = &mut inbox.depths[(row.series.queue / self.writers) as usize];
            *depth = (*depth + 1).min(self.queue_samples_max);
        }
        self.rows_waiting.fetch_add(waiting.part.rows.len(), Ordering::Relaxed);
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
            inbox.resent_rows = 0;
            self.rows_waiting.store(0, Ordering::Relaxed);
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

    fn commit_group(&self, seat: &mut Seat, group: Vec<Waiting>) {
        let mut ready = Vec::with_capacity(group.len());
        for mut waiting in group {
            let numbered = waiting.part.numbered.clone();
            if let Some(numbered) = &numbered {
                let earlier = seat.scratch.tags.of(numbered.id);
                if earlier.is_some_and(|earlier| waiting.part.spans(numbered, 0).meets(earlier)) {
                    // Whether an earlier sending is stored is not known before it is written.
                    self.commit_ready(seat, std::mem::take(&mut ready));
                }
                self.recognize(&mut waiting, numbered);
            }
            if seat.has_retired {
                // Series that were retired since these rows came; rare, and not looked for where none ever was.
                waiting.refuse_rows(|row| seat.is_retired(row, self.writers).then_some(Refusal::Retired));
            }
            if let Some(numbered) = &numbered {
                seat.scratch.tags.add(numbered.id, waiting.part.spans(numbered, seat.generation));
            }
            ready.push(waiting);
        }
        self.commit_ready(seat, ready);
    }

    /// Commits what is left of these parts, and answers them.
    fn commit_ready(&self, seat: &mut Seat, mut ready: Vec<Waiting>) {
        let position = match ready.iter().all(|waiting| waiting.part.rows.is_empty()) {
            true => None,
            false => match self.commit(seat, &ready) {
                Ok(position) => Some(position),
                Err(why) => {
                    ready.iter_mut().for_each(|waiting| waiting.refuse_rows(|_| Some(why)));
                    None
                }
            },
        };
        seat.scratch.tags.clear();
        ready.into_iter().for_each(|done| answer(seat, done, position));
        if !seat.unsynced.is_empty() {
            self.set_duty(|duty| duty.sync_now = true);
        }
    }

    /// Takes out of a numbered part what is stored already. Of one that was sent before, the rest is now measured by
    /// what there is room for.
    fn recognize(&self, waiting: &mut Waiting, numbered: &Numbered) {
        let mut memory = self.shared.memory();
        match memory.known(numbered.id) {
            Known::Stored(spans) => waiting.sift(|index, _| {
                let is_stored = spans.contains(numbered.place(index));
                is_stored.then_some(Fate::Repeated)
            }),
            Known::Forgotten if numbered.resent => waiting.refuse_rows(|_| Some(Refusal::Forgotten)),
            // One that comes late for the first time, since another writer was quicker, is taken as it is.
            Known::Forgotten | Known::Nothing => {}
        }
        drop(memory);
        if numbered.resent && !waiting.part.rows.is_empty() {
            let full = self.shared.full(&self.context);
            let bounds = self.shared.bounds(waiting.part.rows.iter().map(|row| row.time));
            let (writers, mut room) = (self.writers, std::mem::take(&mut waiting.room));
            waiting.refuse_rows(|row| {
                let why = full.or_else(|| bounds.refusal(row.time));
                let room = &mut room[(row.series.queue / writers) as usize];
                let is_over = why.is_none() && *room == 0;
                *room = room.saturating_sub(u32::from(why.is_none()));
                why.or(is_over.then_some(Refusal::QueueFull))
            });
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
        if !seat.scratch.tags.as_slice().is_empty() {
            let mut memory = self.shared.memory();
            seat.scratch.tags.as_slice().iter().for_each(|(id, spans)| memory.record(*id, spans));
        }
        seat.publish(&self.shared);
        self.shared.refusals.stored();
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
            let rotated = Rotated { marks: marks.collect(), files, generation: seat.generation };
            seat.generation += 1;
            rotated
        });
        // The ended file is closed in the background.
        self.set_duty(|duty| duty.sync = true);
        rotated
    }

    /// Writes what is remembered of numbered batches to the beginning of another file of the log, and makes it durable;
    /// gives the file.
    pub(crate) fn carry(&self, memory: &[u8]) -> io::Result<u64> {
        let ticket = Ticket::new(1, &self.shared.refusals);
        let written = self.with_seat(|seat| {
            let position = seat.carry(memory, self.shared.clock.now())?;
            let (until, ticket) = (Until::Written(position), ticket.clone());
            seat.unsynced.push(Unsynced { until, ticket, refused: Vec::new(), repeated: 0 });
            Ok::<_, io::Error>(position)
        });
        let position = written?;
        self.sync();
        match Append(ticket).wait().unknown {
            true => Err(io::Error::other("the file could not be made durable")),
            false => Ok(position.file_id),
        }
    }

    /// Marks series as retired: rows that name them are refused from now on. Those that have samples in the present
    /// generation are left out; gives the ones that are marked.
    pub(crate) fn retire(&self, ids: impl Iterator<Item = SeriesId>) -> Vec<SeriesId> {
        self.with_seat(|seat| ids.filter(|id| seat.retire(*id, self.writers)).collect())
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
        let mut put_off = 0;
        loop {
            let duty = self.next_duty();
            if duty.commit {
                // Under load there is always more to commit, and syncs must have their turn.
                self.commit_if_free(if duty.stop { usize::MAX } else { LENDER_ROUNDS });
            }
            // Whoever waits for the disk is answered even at the end.
            if duty.sync_now || (duty.sync && !duty.stop) {
                let commits_first = !duty.sync_now && self.wait_for_something_urgent(sync_interval);
                if commits_first && put_off < SYNC_PUT_OFF_MAX {
                    put_off += 1;
                    self.set_duty(|duty| duty.sync = true);
                    continue;
                }
                put_off = 0;
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

    /// Waits so long, or until there is something to do. Gives whether that is commits and nothing else.
    fn wait_for_something_urgent(&self, limit: Duration) -> bool {
        let duty = self.duty.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_urgent = |duty: &mut Duty| !duty.stop && !duty.commit && !duty.sync_now;
        let (duty, _timed_out) = self
            .duty_changed
            .wait_timeout_while(duty, limit, nothing_urgent)
            .unwrap_or_else(PoisonError::into_inner);
        duty.commit && !duty.stop && !duty.sync_now
    }

    /// Makes durable what has been written, and answers those who waited for it.
    pub(crate) fn sync(&self) {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.dirty.store(false, Ordering::Release);
        let (number, work) = self.with_seat(|seat| {
            seat.syncs += 1;
            (seat.syncs, seat.stream.begin_sync())
        });
        let outcome = work.run(&self.context);
        self.measures.syncs.inc();
        self.measures.sync_failures.add(outcome.failures.len() as u64);
        outcome.failures.iter().for_each(|file| self.context.inventory.doubt(*file));
        let in_doubt = self.context.inventory.is_in_doubt();
        let answered = self.with_seat(|seat| {
            seat.stream.end_sync(outcome.synced, outcome.failed);
            seat.answer_synced(&outcome, number, in_doubt)
        });
        for (done, unknown) in answered {
            if unknown && done.repeated > 0 {
                self.shared.flush_wanted.store(true, Ordering::Release);
            }
            done.ticket.complete_part(done.refused, done.repeated, unknown);
        }
    }

    /// Takes the seat for something other than a commit, and then commits for those who found it taken.
    fn with_seat<T>(&self, body: impl FnOnce(&mut Seat) -> T) -> T {
        let result = body(&mut self.seat());
        if !self.inbox().waiting.is_empty() {
            // Once; what comes meanwhile is for the writer's thread, for under load there is no end of it.
            self.commit_if_free(1);
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

/// Answers a part that was committed up to `position`, now or when it is durable.
fn answer(seat: &mut Seat, done: Waiting, position: Option<Position>) {
    let until = match position.filter(|_| !done.part.rows.is_empty()) {
        _ if done.part.ack == Ack::Os => None,
        // It is not known where an earlier sending was written.
        _ if done.repeated > 0 => Some(Until::Sync(seat.syncs)),
        position => position.map(Until::Written),
    };
    let Some(until) = until else { return done.complete(false) };
    let Waiting { part, refused, repeated, .. } = done;
    seat.unsynced.push(Unsynced { until, ticket: part.ticket, refused, repeated });
}
