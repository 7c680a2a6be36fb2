//! From the head to segments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sereno_model::{SeriesKey, TimeRange};
use tracing::warn;

use super::{Activity, Frozen, MaintainError, Maintenance, State, io_error, log_done};
use crate::head::{self, Generation, settle};
use crate::registry::SeriesId;
use crate::segment::{Meta, SegmentWriter, day_of, day_range};
use crate::shared::Version;
use crate::wal;
use crate::writer::Rotated;

/// How many segments are written at the same time: a flush with samples of more days goes over the head again.
const DAYS_AT_ONCE: usize = 16;

impl Maintenance {
    /// Freezes the generation that is being filled, and writes all frozen ones to segments.
    pub(super) fn flush_now(&self, state: &mut State) -> Result<(), MaintainError> {
        let has_samples =
            self.shared.version.load().generations.last().is_some_and(|active| active.samples() > 0);
        if has_samples {
            state.frozen.push(self.rotate());
        }
        self.flush_frozen(state)?;
        // A file whose sync failed goes with its generation, though that may hold nothing.
        if self.wal.inventory.is_in_doubt() {
            state.frozen.push(self.rotate());
        }
        self.flush_frozen(state)
    }

    /// The same for what was adopted, without freezing more.
    pub(crate) fn flush_adopted(&self) -> Result<(), MaintainError> {
        let mut state = self.state();
        self.flush_frozen(&mut state)
    }

    /// Lets the next generation take over in every writer.
    fn rotate(&self) -> Frozen {
        let next = Generation::new(self.shared.queues);
        let mut frozen = None;
        // Readers must know the next one before anything is committed to it.
        self.shared.version.rcu(|version| {
            frozen = version.generations.last().cloned();
            let mut generations = version.generations.clone();
            generations.push(next.clone());
            Version { edition: version.edition, segments: version.segments.clone(), generations }
        });
        let mut rotated = Rotated::default();
        for writer in &self.writers {
            let part = writer.rotate(&next);
            rotated.marks.extend(part.marks);
            rotated.files.extend(part.files);
            rotated.generation = part.generation;
        }
        Frozen { generation: frozen.unwrap_or(next), rotated }
    }

    fn flush_frozen(&self, state: &mut State) -> Result<(), MaintainError> {
        if state.frozen.is_empty() {
            return Ok(());
        }
        let _working = self.working(Activity::Flushing);
        let started = self.shared.clock.monotonic();
        let sequence = state.manifest.sequence + 1;
        let generations: Vec<Arc<Generation>> =
            state.frozen.iter().map(|frozen| frozen.generation.clone()).collect();
        let mut next_id = state.manifest.next_segment;
        let mut written = Vec::new();
        let outcome = (0..self.shared.groups).try_for_each(|group| {
            self.flush_group(group, sequence, &generations, &mut next_id, &mut written)
        });
        let mut opened = Vec::new();
        let outcome = outcome.and_then(|()| {
            for meta in &written {
                opened.push(self.open_segment(meta.id)?);
            }
            let mut manifest = state.manifest.clone();
            manifest.next_segment = next_id;
            manifest.sequence = sequence;
            for (queue, mark) in state.frozen.iter().flat_map(|frozen| &frozen.rotated.marks) {
                let known = &mut manifest.marks[*queue as usize];
                *known = (*known).max(*mark);
            }
            let ended = state.frozen.iter().map(|frozen| frozen.rotated.generation).max().unwrap_or(0);
            manifest.memory_file = self.carry_memory(ended)?;
            let mut segments = self.shared.version.load().segments.clone();
            segments.extend(opened.iter().cloned());
            sort(&mut segments);
            self.publish(state, manifest, segments, &generations)
        });
        if let Err(error) = outcome {
            // Ids are not given again: a manifest that was half written may name them.
            state.manifest.next_segment = next_id;
            drop(opened);
            self.withdraw(state, written.iter().map(|meta: &Meta| meta.id));
            return Err(error);
        }
        self.measures.flushes.inc();
        let samples = written.iter().map(|meta| meta.samples).sum();
        let took = self.shared.clock.monotonic().saturating_sub(started);
        log_done("The head is in segments.", written.len(), samples, took);
        let frozen = std::mem::take(&mut state.frozen);
        self.shared.flush_wanted.store(false, Ordering::Release);
        self.note_seen(state, sequence, &generations);
        self.forget_log(frozen.iter().flat_map(|frozen| frozen.rotated.files.iter().copied()).collect());
        self.retire_quiet(state);
        Ok(())
    }

    /// Writes down, in a file of the log that stays, what is remembered of the batches that are in segments now and so
    /// far only in files that will go. Gives the file, which counts once the manifest names it: the manifest might not be
    /// stored, and a loss of power then cut the log, and with it samples that this would tell to be there. 0 if there is
    /// nothing to write.
    fn carry_memory(&self, generation: u32) -> Result<u64, MaintainError> {
        let memory = self.shared.memory().settle(generation);
        let (Some(memory), Some(writer)) = (memory, self.writers.first()) else { return Ok(0) };
        writer.carry(&memory).map_err(io_error("write down what is remembered of numbered batches"))
    }

    /// Writes the samples of one group of queues, a segment per day.
    fn flush_group(
        &self,
        group: u32,
        sequence: u64,
        generations: &[Arc<Generation>],
        next_id: &mut u64,
        written: &mut Vec<Meta>,
    ) -> Result<(), MaintainError> {
        let series = self.series_of(group, generations);
        let mut from = i64::MIN;
        loop {
            let pass = Pass { maintenance: self, group, sequence, generations, from };
            match pass.run(&series, next_id, written)? {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// The series of a group that may have samples in these generations, in order of their keys.
    fn series_of(&self, group: u32, generations: &[Arc<Generation>]) -> Vec<(SeriesKey, SeriesId)> {
        let mut series = Vec::new();
        for queue in (0..self.shared.queues).filter(|queue| self.shared.group_of(*queue) == group) {
            let end =
                generations.iter().map(|generation| generation.head(queue).series_end()).max().unwrap_or(0);
            for ordinal in 0..end {
                let id = SeriesId { queue, ordinal };
                if generations.iter().any(|generation| generation.head(queue).has_samples(ordinal)) {
                    series.extend(self.shared.registry.key(id).map(|key| (key, id)));
                }
            }
        }
        series.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        series
    }

    /// Removes files of the log whose samples are in segments, the oldest first, up to one that will not go: what is left
    /// must be a suffix, or an old write could win if the manifest were lost. The next start tries again.
    fn forget_log(&self, mut files: Vec<u64>) {
        files.sort_unstable();
        let mut is_stuck = false;
        for file in files {
            self.wal.inventory.forget(file);
            if is_stuck {
                continue;
            }
            let path = wal::file_path(&self.wal.directory, file);
            if let Err(error) = self.wal.disk.remove(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                is_stuck = true;
                warn!(path = %path.display(), %error, "WAL files of no more use stay until the next start.");
            }
        }
    }

    fn note_seen(&self, state: &mut State, sequence: u64, generations: &[Arc<Generation>]) {
        for (queue, seen) in (0..).zip(&mut state.seen) {
            for generation in generations {
                let head = generation.head(queue);
                let end = head.series_end() as usize;
                if seen.len() < end {
                    seen.resize(end, sequence);
                }
                for (ordinal, seen) in (0..).zip(&mut seen[..end]) {
                    if head.has_samples(ordinal) {
                        *seen = sequence;
                    }
                }
            }
        }
        state.flushes.push((sequence, self.shared.clock.monotonic()));
    }

    /// Gives up the ids of series without a sample for `storage.series_idle`. They stay in their segments, and get a new
    /// id when they come back.
    fn retire_quiet(&self, state: &mut State) {
        let idle = self.settings.series_idle;
        let now = self.shared.clock.monotonic();
        let Some(last_quiet) =
            state.flushes.iter().rposition(|(_, ended)| now.saturating_sub(*ended) >= idle)
        else {
            return;
        };
        if idle.is_zero() {
            return;
        }
        let (quiet, _) = state.flushes[last_quiet];
        state.flushes.drain(..last_quiet);
        let writers = self.writers.len() as u32;
        let mut retired = Vec::new();
        for (index, writer) in (0..).zip(&self.writers) {
            let ids = (0..).zip(&state.seen).filter(|(queue, _)| queue % writers == index).flat_map(
                |(queue, seen)| {
                    let quiet = (0..).zip(seen).filter(|(_, seen)| **seen <= quiet);
                    quiet.map(move |(ordinal, _)| SeriesId { queue, ordinal })
                },
            );
            let known: Vec<SeriesId> = ids.filter(|id| self.shared.registry.key(*id).is_some()).collect();
            retired.extend(writer.retire(known.into_iter()));
        }
        self.measures.retired_series.add(retired.len() as u64);
        self.shared.registry.retire(&retired);
    }
}

/// By group, day and the flushes that they hold.
pub(super) fn sort(segments: &mut [Arc<crate::segment::Segment>]) {
    segments.sort_by_key(|segment| {
        (segment.meta.group, segment.meta.day, segment.meta.sequence_first, segment.meta.sequence_last)
    });
}

/// One walk over the series of a group.
struct Pass<'a> {
    maintenance: &'a Maintenance,
    group: u32,
    sequence: u64,
    generations: &'a [Arc<Generation>],
    /// Days from this on.
    from: i64,
}

impl Pass<'_> {
    /// Writes the first [`DAYS_AT_ONCE`] days that it meets; gives the day to go on with, if there is one. Of the days
    /// that it cannot take, the earliest is left for the next pass, and later ones are not begun. What is `written` is
    /// told even if the rest fails, so that it can be removed.
    fn run(
        &self,
        series: &[(SeriesKey, SeriesId)],
        next_id: &mut u64,
        written: &mut Vec<Meta>,
    ) -> Result<Option<i64>, MaintainError> {
        let days = self.days(series);
        let rest = days.get(DAYS_AT_ONCE).copied();
        let mut open: BTreeMap<i64, SegmentWriter> = BTreeMap::new();
        let (mut entries, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (key, id) in series {
            self.collect(*id, &mut entries);
            let mut left = &entries[..];
            while let Some(first) = left.first() {
                let day = day_of(first.time);
                let end = day_range(day).end.nanos();
                let (entries, later) = left.split_at(left.partition_point(|entry| entry.time < end).max(1));
                left = later;
                if rest.is_some_and(|rest| day >= rest) {
                    break;
                }
                times.clear();
                values.clear();
                times.extend(entries.iter().map(|entry| entry.time));
                values.extend(entries.iter().map(|entry| entry.value));
                let writer = match open.entry(day) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(place) => place.insert(self.create(day, next_id)?),
                };
                writer.add(key.clone(), &times, &values).map_err(io_error("write a segment"))?;
            }
        }
        for writer in open.into_values() {
            written.push(writer.finish().map_err(io_error("seal a segment"))?);
        }
        Ok(rest)
    }

    fn create(&self, day: i64, next_id: &mut u64) -> Result<SegmentWriter, MaintainError> {
        let meta = Meta {
            id: *next_id,
            group: self.group,
            day,
            level: 0,
            sequence_first: self.sequence,
            sequence_last: self.sequence,
            time_min: 0,
            time_max: 0,
            series: 0,
            samples: 0,
            bytes: 0,
        };
        *next_id += 1;
        let (blobs, store_id) = (&*self.maintenance.segments, &self.maintenance.wal.store_id);
        SegmentWriter::create(blobs, store_id, meta).map_err(io_error("create a segment"))
    }

    /// The settled samples of a series.
    fn collect(&self, id: SeriesId, entries: &mut Vec<head::Entry>) {
        entries.clear();
        let range = TimeRange { start: day_range(self.from).start, ..TimeRange::ALL };
        let range = if self.from == i64::MIN { TimeRange::ALL } else { range };
        for generation in self.generations {
            generation.head(id.queue).collect(id.ordinal, range, u64::MAX, entries);
        }
        settle(entries);
    }

    /// The days that may have samples, in order; as many as matter.
    fn days(&self, series: &[(SeriesKey, SeriesId)]) -> Vec<i64> {
        let spans =
            self.generations.iter().map(|generation| generation.span()).filter(|(first, last)| first <= last);
        let bounds = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((first, last)) = bounds.map(|(first, last)| (day_of(first).max(self.from), day_of(last)))
        else {
            return Vec::new();
        };
        if last.saturating_sub(first) < DAYS_AT_ONCE as i64 {
            return (first..=last).collect();
        }
        // Rare: someone sends what is old, or far ahead.
        let mut days = std::collections::BTreeSet::new();
        for (_, id) in series {
            for generation in self.generations {
                let mut known = None;
                generation.head(id.queue).each_time(id.ordinal, |time| {
                    let day = day_of(time);
                    if known != Some(day) && day >= self.from {
                        known = Some(day);
                        days.insert(day);
                        if days.len() > DAYS_AT_ONCE + 1 {
                            days.pop_last();
                        }
                    }
                });
            }
        }
        days.into_iter().collect()
    }
}
