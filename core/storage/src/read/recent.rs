//! Short windows that lie in the heads alone: no segment is looked at, nothing is allocated.

use std::cell::RefCell;
use std::sync::Arc;

use sereno_model::{Sample, TimeRange, Timestamp};

use super::fold::{Want, summarize};
use super::{Measure, ReadError, Reads};
use crate::head::{Entry, Generation, settle};
use crate::registry::SeriesId;

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// A thread that once read a long window does not keep its memory for ever.
const ENTRIES_KEPT_MAX: usize = 1 << 14;

/// Where a live series is found in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a> {
    pub generations: &'a [Arc<Generation>],
    pub id: SeriesId,
    pub cut: u64,
}

impl Heads<'_> {
    /// The newest sample before `end`.
    pub(crate) fn last_before(&self, end: i64) -> Option<Sample> {
        let mut newest: Option<Entry> = None;
        for generation in self.generations {
            let found = generation.head(self.id.queue).last_before(self.id.ordinal, end, self.cut);
            // Of one time, the later generation counts.
            if let Some(entry) = found.filter(|entry| newest.is_none_or(|newest| entry.time >= newest.time)) {
                newest = Some(entry);
            }
        }
        newest.map(|entry| Sample { time: Timestamp::from_nanos(entry.time), value: entry.value })
    }
}

/// The summary of a range, and the time of its newest sample. Linear in the samples of the range, where they came in
/// order.
pub(crate) fn measure_recent(
    heads: Heads<'_>,
    range: TimeRange,
    want: Want,
    reads: &mut Reads<'_>,
) -> Result<Measure, ReadError> {
    ENTRIES.with_borrow_mut(|entries| {
        entries.clear();
        entries.shrink_to(ENTRIES_KEPT_MAX);
        for generation in heads.generations {
            generation.head(heads.id.queue).collect(heads.id.ordinal, range, heads.cut, entries);
        }
        let Some(_) = entries.last() else { return Ok(Measure::EMPTY) };
        settle(entries);
        reads.charge(entries.len())?;
        let summary = summarize(want, entries.iter().map(|entry| (entry.time, entry.value)));
        let newest = entries.last().map(|entry| Timestamp::from_nanos(entry.time));
        Ok(Measure { summary, newest })
    })
}
