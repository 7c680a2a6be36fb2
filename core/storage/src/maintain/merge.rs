//! Merging segments: series by series in order of their keys.

use std::sync::Arc;

use sereno_model::SeriesKey;

use super::{MaintainError, Maintenance, io_error};
use crate::head::{Entry, settle};
use crate::segment::{Block, Damage, Meta, Segment, SegmentWriter, SeriesData};

/// Writes what these segments of one day hold into one, and gives what it is. They come with the earlier flush first.
/// `between` series there may be something else to do.
pub(super) fn merge(
    maintenance: &Maintenance,
    sources: &[Arc<Segment>],
    meta: Meta,
    mut between: impl FnMut() -> Result<(), MaintainError>,
) -> Result<Meta, MaintainError> {
    let store_id = &maintenance.wal.store_id;
    let mut writer = SegmentWriter::create(&*maintenance.segments, store_id, meta)
        .map_err(io_error("create a segment"))?;
    let mut cursors = sources.iter().map(Cursor::new).collect::<Result<Vec<_>, _>>()?;
    let mut samples = Samples::default();
    while let Some(key) = cursors.iter().filter_map(Cursor::key).min().cloned() {
        between()?;
        samples.clear();
        for (order, cursor) in (0..).zip(&mut cursors) {
            if cursor.key() == Some(&key)
                && let Some(data) = cursor.take()?
            {
                samples.add(&data, order)?;
            }
        }
        let (times, values) = samples.settled();
        writer.add(key, times, values).map_err(io_error("write a segment"))?;
    }
    writer.finish().map_err(io_error("seal a segment"))
}

/// A segment's series, one after the other.
struct Cursor<'a> {
    segment: &'a Arc<Segment>,
    number: u32,
    /// The next ones, in falling order.
    ahead: Vec<(SeriesKey, SeriesData)>,
}

/// So many index entries are read at a time.
const AHEAD: u32 = 256;

impl<'a> Cursor<'a> {
    fn new(segment: &'a Arc<Segment>) -> Result<Self, Damage> {
        let mut cursor = Self { segment, number: 0, ahead: Vec::new() };
        cursor.fill()?;
        Ok(cursor)
    }

    fn key(&self) -> Option<&SeriesKey> {
        self.ahead.last().map(|(key, _)| key)
    }

    /// Takes the series that is next.
    fn take(&mut self) -> Result<Option<SeriesData>, Damage> {
        let taken = self.ahead.pop();
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(taken.map(|(_, data)| data))
    }

    fn fill(&mut self) -> Result<(), Damage> {
        self.ahead = self.segment.series_from(self.number, AHEAD)?;
        self.number += self.ahead.len() as u32;
        self.ahead.reverse();
        Ok(())
    }
}

/// The samples of one series, from several sources.
#[derive(Default)]
struct Samples {
    times: Vec<i64>,
    values: Vec<f64>,
    orders: Vec<(u64, usize)>,
    block: Block,
}

impl Samples {
    fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.orders.clear();
    }

    fn add(&mut self, data: &SeriesData, order: u64) -> Result<(), Damage> {
        let (head, bytes) = data.head_and_blocks()?;
        for at in &head.blocks {
            data.decode(at, Some(&bytes), &mut self.block)?;
            let times = self.block.times();
            self.times.extend((0..at.samples).map(|index| times.get(index)));
            self.values.extend_from_slice(&self.block.values);
        }
        self.orders.push((order, self.times.len()));
        Ok(())
    }

    /// In order of time, each time once, the later source counting.
    fn settled(&mut self) -> (&[i64], &[f64]) {
        if self.times.is_sorted_by(|a, b| a < b) {
            return (&self.times, &self.values);
        }
        let mut entries = Vec::with_capacity(self.times.len());
        let mut start = 0;
        for (order, end) in &self.orders {
            let pairs = self.times[start..*end].iter().zip(&self.values[start..*end]);
            entries.extend(pairs.map(|(time, value)| Entry { time: *time, value: *value, order: *order }));
            start = *end;
        }
        settle(&mut entries);
        self.times.clear();
        self.values.clear();
        self.times.extend(entries.iter().map(|entry| entry.time));
        self.values.extend(entries.iter().map(|entry| entry.value));
        (&self.times, &self.values)
    }
}
