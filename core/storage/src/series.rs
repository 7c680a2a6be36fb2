//! One series in a snapshot, and what can be read of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Sample, SeriesKey, TimeRange, Timestamp};

use crate::read::{self, Heads, Held, Measure, Place, ReadError, Reads, Want};
use crate::registry::SeriesId;
use crate::segment::{Block, Segment, SeriesData, day_of, day_range};
use crate::snapshot::Snapshot;
use crate::summary::{Summary, Windows};

/// How far back [`Series::last_before`] looks for a sample in segments.
pub const LOOKBACK: Duration = Duration::from_secs(7 * 86_400);

thread_local! {
    /// Decoding needs some 300 KiB of buffers, which every thread that reads keeps.
    static BLOCK: RefCell<Block> = RefCell::default();
}

/// One series in a snapshot.
#[derive(Clone, Debug)]
pub struct Series {
    snapshot: Snapshot,
    found: Found,
}

/// What was found out about a series, apart from the snapshot that it is seen in.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub key: SeriesKey,
    /// Of a live one.
    pub id: Option<SeriesId>,
    /// In the segments that overlap `looked`, the earlier flush first.
    pub segments: Vec<SeriesData>,
    pub looked: TimeRange,
    /// Samples in memory, of the very cut that the series is seen in.
    pub held: Option<Arc<Held>>,
}

impl Series {
    pub(crate) fn new(snapshot: Snapshot, found: Found) -> Self {
        Self { snapshot, found }
    }

    pub(crate) fn into_found(self) -> Found {
        self.found
    }

    /// Shows the same series in another snapshot. The segments of `looked` must be those that were found.
    pub(crate) fn move_to(&mut self, snapshot: &Snapshot, looked: TimeRange) {
        if !self.snapshot.is_same(snapshot) {
            self.snapshot = snapshot.clone();
        }
        self.found.looked = looked;
    }

    pub(crate) fn found_mut(&mut self) -> &mut Found {
        &mut self.found
    }

    /// Its id, if it is live.
    pub(crate) fn id(&self) -> Option<SeriesId> {
        self.found.id
    }

    /// Its identity.
    #[must_use]
    pub fn key(&self) -> &SeriesKey {
        &self.found.key
    }

    /// Its samples in `range`, in order of time, each time once. Linear in the samples of the blocks that overlap.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Vec<Sample>, ReadError> {
        let range = self.snapshot.visible(range);
        if let Some(held) = self.held(range) {
            return Ok(held.samples(range));
        }
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
        if let Some(held) = self.held(windows.range()) {
            held.fold(windows, want, each);
            return Ok(());
        }
        let place = self.place(windows.range())?;
        BLOCK.with_borrow_mut(|block| read::fold_windows(place, windows, want, block, reads, each))
    }

    /// The summary of its samples in `range`, of which what is wanted holds, and the time of the newest of them: the same
    /// as [`Series::fold`] with one window, bit for bit, in a fraction of its time where the samples are in the head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn measure(&self, range: TimeRange, want: Want, reads: &mut Reads<'_>) -> Result<Measure, ReadError> {
        let range = self.snapshot.visible(range);
        if let Some(held) = self.held(range) {
            return Ok(held.measure(range, want));
        }
        if self.is_in_heads(range) {
            return self
                .heads()
                .map_or(Ok(Measure::EMPTY), |heads| read::measure_recent(heads, range, want, reads));
        }
        let place = self.place(range)?;
        BLOCK.with_borrow_mut(|block| read::measure(place, range, want, block, reads))
    }

    /// The time of its first sample in `range`. Decodes at most one block of each segment that overlaps.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn first_in(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Option<Timestamp>, ReadError> {
        let range = self.snapshot.visible(range);
        if let Some(held) = self.held(range) {
            return Ok(held.first_in(range));
        }
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
        let held = self.found.held.as_ref().and_then(|held| held.last_before(end));
        let found = held.map_or_else(|| self.look_before(end, oldest, reads), Ok)?;
        Ok(found.filter(|sample| sample.time >= oldest))
    }

    /// The newest sample before `end`; in segments, not those of days before `oldest`.
    fn look_before(
        &self,
        end: Timestamp,
        oldest: Timestamp,
        reads: &mut Reads<'_>,
    ) -> Result<Option<Sample>, ReadError> {
        // What is in memory first: it is mostly there, and then no segment is opened.
        let mut place = self.place(TimeRange::new(end, end))?;
        let find = |place: &Place<'_>, reads: &mut Reads<'_>| match place.segments.is_empty() {
            true => Ok(self.heads().and_then(|heads| heads.last_before(end.nanos()))),
            false => BLOCK.with_borrow_mut(|block| read::last_before(place, end.nanos(), block, reads)),
        };
        let mut found = find(&place, reads)?;
        let mut day = day_of(end.nanos());
        while day >= day_of(oldest.nanos()) && found.is_none_or(|sample| day_of(sample.time.nanos()) <= day) {
            let TimeRange { start, end } = day_range(day);
            let after = found.map_or(Timestamp::MIN, |sample| sample.time + Duration::from_nanos(1));
            // What is not newer changes nothing; of one time, what is in memory counts.
            place.segments = self.segments_in(TimeRange::new(start.max(after), end))?;
            if !place.segments.is_empty() {
                found = find(&place, reads)?;
            }
            day -= 1;
        }
        Ok(found)
    }

    /// The same series with its samples of `range` in memory: what is read within is answered from there, bit for bit the
    /// same, and everything else as before. Costs 16 bytes a sample for as long as it is held.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prefetched(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Self, ReadError> {
        let held = Some(self.hold(range, reads)?);
        Ok(Self { snapshot: self.snapshot.clone(), found: Found { held, ..self.found.clone() } })
    }

    /// Its samples of `range`, and the one before.
    pub(crate) fn hold(&self, range: TimeRange, reads: &mut Reads<'_>) -> Result<Arc<Held>, ReadError> {
        let range = self.snapshot.visible(range);
        let samples = self.read(range, reads)?;
        let before = self.last_before(range.start, reads)?;
        Ok(Arc::new(Held::new(range, &samples, before)))
    }

    fn held(&self, range: TimeRange) -> Option<&Held> {
        self.found.held.as_deref().filter(|held| held.covers(range))
    }

    fn heads(&self) -> Option<Heads<'_>> {
        let view = &*self.snapshot.view;
        let heads = |id: SeriesId| Heads {
            generations: &view.version.generations,
            id,
            cut: view.cut[id.queue as usize],
        };
        self.found.id.map(heads)
    }

    /// Whether it is known that no segment has samples in `range`.
    fn is_in_heads(&self, range: TimeRange) -> bool {
        let Found { segments, looked, .. } = &self.found;
        looked.start <= range.start
            && range.end <= looked.end
            && !segments.iter().any(|data| data.segment.meta.overlaps(range))
    }

    fn place(&self, range: TimeRange) -> Result<Place<'_>, ReadError> {
        let view = &*self.snapshot.view;
        let id = self.found.id;
        let cut = id.map_or(0, |id| view.cut[id.queue as usize]);
        let segments = if range.start < range.end { self.segments_in(range)? } else { Vec::new() };
        Ok(Place { segments, generations: &view.version.generations, id, cut })
    }

    /// The segments that have the series and overlap `range`, the earlier flush first.
    fn segments_in(&self, range: TimeRange) -> Result<Vec<SeriesData>, ReadError> {
        let Found { key, segments, looked, .. } = &self.found;
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let known = segments.iter().filter(|data| data.segment.meta.overlaps(range));
        let mut found: Vec<SeriesData> = known.cloned().collect();
        if looked.start <= range.start && range.end <= looked.end {
            return Ok(found);
        }
        for segment in self.segments_of_days(range) {
            if segment.meta.overlaps(range) && !segment.meta.overlaps(*looked) {
                found.extend(segment.find(key)?);
            }
        }
        found.sort_by_key(|data| (data.segment.meta.day, data.segment.meta.sequence_last));
        Ok(found)
    }

    /// The segments of its group and of the days of `range`, which must not be empty.
    fn segments_of_days(&self, range: TimeRange) -> &[Arc<Segment>] {
        let view = &*self.snapshot.view;
        let group = view.shared.group_of(self.found.key.queue(view.shared.queues));
        let (first, last) = (day_of(range.start.nanos()), day_of(range.end.nanos() - 1));
        let place = |segment: &Arc<Segment>| (segment.meta.group, segment.meta.day);
        let segments = &view.version.segments;
        let from = segments.partition_point(|segment| place(segment) < (group, first));
        let len = segments[from..].partition_point(|segment| place(segment) <= (group, last));
        &segments[from..from + len]
    }
}
