//! What those who push share with the writer's task: the batch that fills, those that wait to be sent, the series, and
//! what became of it all.
//!
//! Invariants:
//! * the lock is held for a chunk of samples at most, and never across a wait;
//! * a batch that is sealed fits what the server said last, with all its series defined;
//! * batches are counted in the order in which they are sealed; [`State::open_from`] says which one is the first that is
//!   not done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sereno_model::{SeriesKey, Timestamp};
use sereno_protocol::v2::messages::{Limits, Reason};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::columns::{Columns, FRAME_BYTES_MAX, SAMPLE_BYTES_MAX, definition_bytes_max};
use super::{Closed, Counters, Full, Rejected, SeriesRef, WriterConfig};
use crate::error::ClientError;

/// Samples that are added under one lock.
const CHUNK_SAMPLES: usize = 4_096;
/// How many rejections the counters show.
const LAST_REJECTED: usize = 8;

pub(super) struct Shared {
    pub config: WriterConfig,
    state: Mutex<State>,
    /// There is something for the task to do.
    pub work: Notify,
    /// There is room for samples, or the end.
    room: Notify,
    /// Batches are done, or the end.
    done: Notify,
}

pub(super) struct State {
    filling: Filling,
    /// Batches that wait to be sent.
    pub sealed: VecDeque<Sealed>,
    /// Samples that are pushed and not done.
    buffered: usize,
    /// Columns that can be used again.
    spare: Vec<Columns>,
    series: Vec<Series>,
    index: HashMap<SeriesKey, u32>,
    bounds: Bounds,
    pub counters: Counters,
    /// What was refused under this lock, to be told without it.
    refused: Vec<Rejected>,
    /// The first batch that is not done.
    open_from: u64,
    /// Since when nobody pushes any more.
    pub leaving: Option<Instant>,
    /// Why the task comes to an end before its time. What is done from now on is done by giving up.
    failed: Option<ClientError>,
    /// Why there is no task any more.
    ended: Option<ClientError>,
}

/// The batch that fills.
struct Filling {
    order: u64,
    columns: Columns,
    /// When its first sample came.
    since: Instant,
    /// What the definitions of all its series take.
    definition_bytes: usize,
    /// How many samples fit, with the series that it has now.
    samples_max: usize,
}

/// A batch that fills no more.
pub(super) struct Sealed {
    pub order: u64,
    pub columns: Columns,
    pub since: Instant,
}

struct Series {
    key: SeriesKey,
    definition_bytes: usize,
    /// The last batch that it is in.
    seen: Option<u64>,
}

/// What the server takes.
#[derive(Clone, Copy)]
struct Bounds {
    batch_samples: usize,
    batch_bytes: usize,
    dictionary_len: usize,
}

/// How a push ended for now.
enum Pushed {
    All,
    /// There is no room for the rest.
    Full,
}

/// What a sample is to the batch that fills.
enum Fit {
    Fits,
    /// It begins the next one.
    Next,
    /// It fits none.
    Never(&'static str),
}

impl Bounds {
    fn new(config: &WriterConfig, limits: &Limits) -> Self {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            batch_samples: config.batch_samples.min(size(limits.batch_samples_max)).max(1),
            batch_bytes: size(limits.write_bytes_max),
            dictionary_len: size(limits.dictionary_len_max.min(u64::from(u32::MAX))),
        }
    }

    fn samples_max(&self, definition_bytes: usize) -> usize {
        let bytes = self.batch_bytes.saturating_sub(FRAME_BYTES_MAX).saturating_sub(definition_bytes);
        (bytes / SAMPLE_BYTES_MAX).min(self.batch_samples)
    }
}

impl Shared {
    pub(super) fn new(config: WriterConfig, limits: &Limits) -> Self {
        let bounds = Bounds::new(&config, limits);
        let state = State {
            filling: Filling {
                order: 0,
                columns: Columns::default(),
                since: Instant::now(),
                definition_bytes: 0,
                samples_max: bounds.samples_max(0),
            },
            sealed: VecDeque::new(),
            buffered: 0,
            spare: Vec::new(),
            series: Vec::new(),
            index: HashMap::new(),
            bounds,
            counters: Counters::default(),
            refused: Vec::new(),
            open_from: 0,
            leaving: None,
            failed: None,
            ended: None,
        };
        Self {
            config,
            state: Mutex::new(state),
            work: Notify::new(),
            room: Notify::new(),
            done: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn series(&self, key: &SeriesKey) -> SeriesRef {
        let mut state = self.lock();
        if let Some(known) = state.index.get(key) {
            return SeriesRef(*known);
        }
        // Four billion series do not fit into memory before they do not fit into a reference.
        let reference = u32::try_from(state.series.len()).unwrap_or(u32::MAX);
        let definition_bytes = definition_bytes_max(key);
        state.series.push(Series { key: key.clone(), definition_bytes, seen: None });
        state.index.insert(key.clone(), reference);
        SeriesRef(reference)
    }

    pub(super) async fn push_all(
        &self,
        mut samples: &[(SeriesRef, Option<Timestamp>, f64)],
        mut tags: &[u64],
    ) -> Result<(), Closed> {
        while let Pushed::Full = self.push_some(&mut samples, &mut tags)? {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            // Room may have come before this wait was known.
            if let Pushed::All = self.push_some(&mut samples, &mut tags)? {
                break;
            }
            room.await;
        }
        Ok(())
    }

    /// Takes from the front of the samples what there is room for.
    fn push_some(
        &self,
        samples: &mut &[(SeriesRef, Option<Timestamp>, f64)],
        tags: &mut &[u64],
    ) -> Result<Pushed, Closed> {
        while !samples.is_empty() {
            let mut state = self.lock();
            if let Some(error) = state.closed() {
                return Err(Closed(error));
            }
            let room = self.config.buffer_samples.max(1).saturating_sub(state.buffered);
            let count = samples.len().min(room).min(CHUNK_SAMPLES);
            if count == 0 {
                return Ok(self.full(state, samples));
            }
            let (chunk, rest) = samples.split_at(count);
            let (chunk_tags, rest_tags) = tags.split_at(count.min(tags.len()));
            let work = state.add_all(chunk, chunk_tags);
            let refused = std::mem::take(&mut state.refused);
            drop(state);
            if let Some(tell) = &self.config.on_rejected {
                refused.iter().for_each(|rejected| tell(rejected));
            }
            (*samples, *tags) = (rest, rest_tags);
            if work {
                self.work.notify_one();
            }
        }
        Ok(Pushed::All)
    }

    fn full(
        &self,
        mut state: MutexGuard<'_, State>,
        samples: &mut &[(SeriesRef, Option<Timestamp>, f64)],
    ) -> Pushed {
        match self.config.full {
            Full::Block => {
                // What waits for company would wait for samples that wait for room.
                state.seal();
                drop(state);
                self.work.notify_one();
                Pushed::Full
            }
            Full::Drop => {
                state.counters.pushed += samples.len() as u64;
                state.counters.dropped += samples.len() as u64;
                *samples = &[];
                Pushed::All
            }
        }
    }

    pub(super) async fn flush(&self) -> Result<(), ClientError> {
        let target = {
            let mut state = self.lock();
            state.seal();
            state.filling.order
        };
        self.work.notify_one();
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            {
                let state = self.lock();
                if state.open_from >= target {
                    return state.failed.clone().map_or(Ok(()), Err);
                }
                if let Some(error) = &state.ended {
                    return Err(error.clone());
                }
            }
            done.await;
        }
    }

    /// Nobody pushes any more; the task ends when all is done.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.seal();
        state.leaving.get_or_insert_with(Instant::now);
        drop(state);
        self.work.notify_one();
        self.room.notify_waiters();
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// The task is told other limits than before.
    pub(super) fn set_limits(&self, limits: &Limits) {
        let mut state = self.lock();
        state.bounds = Bounds::new(&self.config, limits);
        // What fills now was begun under the old ones.
        state.seal();
        state.filling.samples_max = state.bounds.samples_max(0);
    }

    /// A batch is done; `open_from` is the first that is not, if it is known.
    pub(super) fn finish(&self, columns: Columns, open_from: Option<u64>, count: impl FnOnce(&mut Counters)) {
        let mut state = self.lock();
        count(&mut state.counters);
        state.buffered = state.buffered.saturating_sub(columns.len());
        state.recycle(columns, self.config.in_flight_batches);
        let waiting = state.sealed.front().map_or(state.filling.order, |sealed| sealed.order);
        state.open_from = open_from.unwrap_or(waiting);
        drop(state);
        self.room.notify_waiters();
        self.done.notify_waiters();
    }

    /// The task will end, once it has counted what it did not deliver.
    pub(super) fn fail(&self, error: &ClientError) {
        self.lock().failed = Some(error.clone());
    }

    /// There is no task any more.
    pub(super) fn end(&self, error: ClientError) {
        let mut state = self.lock();
        state.seal();
        let left: usize = state.sealed.drain(..).map(|sealed| sealed.columns.len()).sum();
        state.counters.dropped += left as u64;
        state.buffered = 0;
        state.ended.get_or_insert(error);
        drop(state);
        self.room.notify_waiters();
        self.done.notify_waiters();
    }
}

impl Counters {
    /// Keeps the last few.
    pub(super) fn remember(&mut self, rejected: &Rejected) {
        if self.last_rejected.len() >= LAST_REJECTED {
            self.last_rejected.remove(0);
        }
        self.last_rejected.push(rejected.clone());
    }
}

impl State {
    fn closed(&self) -> Option<ClientError> {
        let left = self.leaving.map(|_| ClientError::WriterClosed);
        self.ended.clone().or(left)
    }

    /// The key of a series that this writer knows.
    pub(super) fn key(&self, series: u32) -> Option<SeriesKey> {
        self.series.get(series as usize).map(|series| series.key.clone())
    }

    /// When the first sample came of those that still wait for company.
    pub(super) fn filling_since(&self) -> Option<Instant> {
        (!self.filling.columns.is_empty()).then_some(self.filling.since)
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.sealed.is_empty() && self.filling.columns.is_empty()
    }

    /// Adds samples for which there is room. True if there is something new for the task to do.
    fn add_all(&mut self, samples: &[(SeriesRef, Option<Timestamp>, f64)], tags: &[u64]) -> bool {
        let (was_empty, sealed) = (self.filling.columns.is_empty(), self.sealed.len());
        self.counters.pushed += samples.len() as u64;
        let mut tags = tags.iter();
        for (SeriesRef(series), time, value) in samples {
            let tag = tags.next();
            // A run that goes on, of the same kind and within bounds, is the common case.
            let columns = &self.filling.columns;
            let goes_on = columns.refs.last() == Some(series)
                && columns.stamped == time.is_some()
                && columns.len() < self.filling.samples_max;
            if !goes_on && !self.begin_run(*series, *time, *value, tag.copied()) {
                continue;
            }
            let columns = &mut self.filling.columns;
            columns.push(*series, *time, *value);
            if let Some(tag) = tag {
                columns.tag(*tag);
            }
            self.buffered += 1;
        }
        if self.filling.columns.len() >= self.filling.samples_max {
            self.seal();
        }
        self.sealed.len() > sealed || (was_empty && !self.filling.columns.is_empty())
    }

    /// Makes ready for a sample of another series, or of the next batch; false if no batch can take it.
    fn begin_run(&mut self, series: u32, time: Option<Timestamp>, value: f64, tag: Option<u64>) -> bool {
        let mut fit = self.fit(series, time.is_some());
        if let Fit::Next = fit {
            self.seal();
            fit = self.fit(series, time.is_some());
        }
        let message = match fit {
            Fit::Fits => {
                if self.filling.columns.is_empty() {
                    self.filling.columns.stamped = time.is_some();
                    self.filling.since = Instant::now();
                }
                return true;
            }
            Fit::Next => "a batch of this one sample is more than the server takes",
            Fit::Never(message) => message,
        };
        self.counters.rejected += 1;
        if let Some(key) = self.key(series) {
            let (tag, message) = (tag.unwrap_or_default(), message.to_owned());
            let rejected = Rejected { tag, series: key, time, value, reason: Reason::InvalidSeries, message };
            self.counters.remember(&rejected);
            self.refused.push(rejected);
        }
        false
    }

    /// Whether the batch that fills takes a sample of this series, and takes note of the series if it does.
    fn fit(&mut self, series: u32, stamped: bool) -> Fit {
        let filling = &self.filling;
        let empty = filling.columns.is_empty();
        if !empty && (filling.columns.stamped != stamped || filling.columns.len() >= filling.samples_max) {
            return Fit::Next;
        }
        let order = filling.order;
        let Some(known) = self.series.get(series as usize) else {
            return Fit::Never("the series belongs to another writer");
        };
        if known.seen == Some(order) {
            return Fit::Fits;
        }
        let definition_bytes = filling.definition_bytes + known.definition_bytes;
        let samples_max = self.bounds.samples_max(definition_bytes);
        if filling.columns.len() >= samples_max || self.collides(series, order) {
            return if empty { Fit::Never("its labels are longer than the server takes") } else { Fit::Next };
        }
        self.series[series as usize].seen = Some(order);
        self.filling.definition_bytes = definition_bytes;
        self.filling.samples_max = samples_max;
        Fit::Fits
    }

    /// Whether a series of this batch has the same place in the dictionary, for there are more series than places.
    fn collides(&self, series: u32, order: u64) -> bool {
        let len = self.bounds.dictionary_len.max(1);
        if self.series.len() <= len {
            return false;
        }
        let place = series as usize % len;
        self.series.iter().skip(place).step_by(len).any(|other| other.seen == Some(order))
    }

    /// Lets the batch that fills fill no more, if it has samples.
    pub(super) fn seal(&mut self) {
        if self.filling.columns.is_empty() {
            return;
        }
        let columns = std::mem::replace(&mut self.filling.columns, self.spare.pop().unwrap_or_default());
        let Filling { order, since, .. } = self.filling;
        self.sealed.push_back(Sealed { order, columns, since });
        self.filling.order += 1;
        self.filling.definition_bytes = 0;
        self.filling.samples_max = self.bounds.samples_max(0);
    }

    fn recycle(&mut self, mut columns: Columns, spare_max: usize) {
        if self.spare.len() < spare_max {
            columns.clear();
            self.spare.push(columns);
        }
    }
}
