//! Reads that see one state of the store, whenever they happen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sereno_model::{Sample, Selector, SeriesKey, TimeRange, Timestamp};

use crate::read::{self, Place, ReadError, Reads, Want};
use crate::registry::SeriesId;
use crate::segment::{Block, SeriesData, day_of, day_range};
use crate::shared::{Shared, Version};
use crate::summary::{Summary, Windows};

/// How far back [`Series::last_before`] looks for a sample in segments.
pub const LOOKBACK: Duration = Duration::from_secs(7 * 86_400);

thread_local! {
    /// Decoding needs some 300 KiB of buffers, which every thread that reads keeps.
    static BLOCK: RefCell<Block> = RefCell::default();
}

/// A view of the store that never changes: the samples committed before its cut, with times up to [`Snapshot::time`].
///
/// The cut is the commit position of every queue when the snapshot was taken. So whoever got its acknowledgement
/// before sees its sample, and everyone who holds a clone gets the same answer, bit for bit, while writers, flushes,
/// compaction and retention go on. Holding one copies nothing, but keeps the memory and files that it may read.
#[derive(Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
    version: Arc<Version>,
    cut: Arc<[u64]>,
    time: Timestamp,
    recovering: bool,
}

impl Snapshot {
    pub(crate) fn take(shared: &Arc<Shared>) -> Self {
        // Asked first: if the log is read back by then, the version holds what it held.
        let recovering = shared.recovering.load(Ordering::Acquire);
        // The cut before the stamp: a stamp is published before the position that shows it, so the time covers the cut.
        let (version, cut) = shared.cut();
        let newest_stamp = Timestamp::from_nanos(shared.newest_stamp.load(Ordering::Acquire));
        let time = shared.clock.now().max(newest_stamp);
        Self { shared: shared.clone(), version, cut, time, recovering }
    }

    /// The time `T` of the view: samples later than it are not seen. It is the wall clock when the snapshot was taken,
    /// or the newest time that the store had given to a sample, whichever is later.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The same cut, seen at `time` or at its own, whichever is earlier.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Self {
        Self { time: time.min(self.time), ..self.clone() }
    }

    /// The same cut, seen at `time` or at its own, whichever is later: as if the clock had been a little ahead.
    #[must_use]
    pub fn not_before(&self, time: Timestamp) -> Self {
        Self { time: time.max(self.time), ..self.clone() }
    }

    /// The series that match, in order of their keys: those with samples in segments of the days of `range`, and the
    /// live ones (sent since the server started, or in its log) that have a sample before the cut.
    ///
    /// Cost: one look-up in the live index and one in the index of each segment of those days.
    ///
    /// # Errors
    /// [`ReadError::Recovering`] until the log is read back; [`ReadError::Damaged`] if an index is.
    pub fn select(&self, selector: &Selector, range: TimeRange) -> Result<Vec<Series>, ReadError> {
        if self.recovering {
            return Err(ReadError::Recovering);
        }
        let range = self.visible(range);
        let live = self.shared.registry.select(selector).into_iter();
        let live = live.filter(|(_, id)| self.shared.is_born(*id, self.cut[id.queue as usize]));
        let series =
            |key, id| Series { snapshot: self.clone(), key, id, segments: Vec::new(), looked: range };
        let mut found: Vec<Series> = live.map(|(key, id)| series(key, Some(id))).collect();
        let segments: Vec<_> =
            self.version.segments.iter().filter(|segment| segment.meta.overlaps(range)).collect();
        if segments.is_empty() {
            return Ok(found);
        }
        let mut sealed: BTreeMap<SeriesKey, Vec<SeriesData>> = BTreeMap::new();
        for segment in segments {
            for (key, data) in segment.select(selector)? {
                sealed.entry(key).or_default().push(data);
            }
        }
        let mut merged = Vec::with_capacity(found.len().max(sealed.len()));
        let mut live = found.drain(..).peekable();
        for (key, segments) in sealed {
            while let Some(before) = live.next_if(|series| series.key < key) {
                merged.push(before);
            }
            let one = live.next_if(|series| series.key == key).unwrap_or_else(|| series(key, None));
            merged.push(Series { segments, ..one });
        }
        merged.extend(live);
        Ok(merged)
    }

    /// `range` without what lies after `T`.
    fn visible(&self, range: TimeRange) -> TimeRange {
        TimeRange { end: range.end.min(self.time + Duration::from_nanos(1)), ..range }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("time", &self.time).finish_non_exhaustive()
    }
}

/// One series in a snapshot.
#[derive(Clone, Debug)]
pub struct Series {
    snapshot: Snapshot,
    key: SeriesKey,
    /// Of a live one.
    id: Option<SeriesId>,
    /// In the segments that overlap `looked`, the earlier flush first.
    segments: Vec<SeriesData>,
    looked: TimeRange,
}

impl Series {
    /// Its identity.
    #[must_use]
    pub fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// Its samples in `range`, in order of time, each time once. Linear in the samples of the blocks that overlap.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Vec<Sample>, ReadError> {
        let range = self.snapshot.visible(range);
        let place = self.place(range)?;
        BLOCK.with_borrow_mut(|block| read::read_samples(place, range, block, reads))
    }

    /// Folds its samples into windows, and hands over each window that has samples, with its number, in order. Whole
    /// hours and minutes come from rows, without decoding, wherever rows are kept and one source covers them; the
    /// result is the same, bit for bit.
    ///
    /// # Errors
    /// [`ReadError`]; windows may have been handed over by then.
    pub fn fold(
        &self,
        windows: Windows,
        want: Want,
        reads: &mut Reads<'_>,
        each: impl FnMut(u64, &Summary),
    ) -> Result<(), ReadError> {
        let windows = windows.until(self.snapshot.visible(windows.range()).end);
        let place = self.place(windows.range())?;
        BLOCK.with_borrow_mut(|block| read::fold_windows(place, windows, want, block, reads, each))
    }

    /// The time of its first sample in `range`. Decodes at most one block of each segment that overlaps.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn first_in(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Option<Timestamp>, ReadError> {
        let range = self.snapshot.visible(range);
        let place = self.place(range)?;
        BLOCK.with_borrow_mut(|block| read::first_in(place, range, block, reads))
    }

    /// Its newest sample before `before`, at most [`LOOKBACK`] older.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn last_before(&self, before: Timestamp, reads: &mut Reads<'_>) -> Result<Option<Sample>, ReadError> {
        let end = self.snapshot.visible(TimeRange::new(Timestamp::MIN, before)).end;
        let oldest = end - LOOKBACK;
        // What is in memory first: it is mostly there, and then no segment is opened.
        let mut place = Place { segments: Vec::new(), ..self.place(TimeRange::new(end, end))? };
        let mut found =
            BLOCK.with_borrow_mut(|block| read::last_before(&place, end.nanos(), block, reads))?;
        let mut day = day_of(end.nanos());
        while day >= day_of(oldest.nanos()) && found.is_none_or(|sample| day_of(sample.time.nanos()) <= day) {
            place.segments = self.segments_in(day_range(day))?;
            if !place.segments.is_empty() {
                found =
                    BLOCK.with_borrow_mut(|block| read::last_before(&place, end.nanos(), block, reads))?;
            }
            day -= 1;
        }
        Ok(found.filter(|sample| sample.time >= oldest))
    }

    fn place(&self, range: TimeRange) -> Result<Place<'_>, ReadError> {
        let snapshot = &self.snapshot;
        let cut = self.id.map_or(0, |id| snapshot.cut[id.queue as usize]);
        let segments = if range.start < range.end { self.segments_in(range)? } else { Vec::new() };
        Ok(Place { segments, generations: &snapshot.version.generations, id: self.id, cut })
    }

    /// The segments that have the series and overlap `range`, the earlier flush first.
    fn segments_in(&self, range: TimeRange) -> Result<Vec<SeriesData>, ReadError> {
        let version = &self.snapshot.version;
        let mut found: Vec<SeriesData> =
            self.segments.iter().filter(|data| data.segment.meta.overlaps(range)).cloned().collect();
        if self.looked.start <= range.start && range.end <= self.looked.end {
            return Ok(found);
        }
        let group = self.snapshot.shared.group_of(self.key.queue(self.snapshot.shared.queues));
        for segment in version.segments.iter().filter(|segment| segment.meta.group == group) {
            if segment.meta.overlaps(range) && !segment.meta.overlaps(self.looked) {
                found.extend(segment.find(&self.key)?);
            }
        }
        found.sort_by_key(|data| (data.segment.meta.day, data.segment.meta.sequence_last));
        Ok(found)
    }
}
