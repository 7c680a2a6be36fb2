//! The first and the last sample of a range, without the others.

use sereno_model::{Sample, TimeRange, Timestamp};

use super::recent::Heads;
use super::scan::{bounds, overlapping};
use super::sources::{Place, Source, sources};
use super::{ReadError, Reads};
use crate::segment::Block;

/// The time of the first sample of a series in a range.
pub(crate) fn first_in(
    place: Place<'_>,
    range: TimeRange,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Option<Timestamp>, ReadError> {
    let (start, end) = (range.start.nanos(), range.end.nanos());
    let mut first = end;
    for source in sources(place, range, false, reads)? {
        let found = match &source {
            Source::Head(entries) => entries.first().map(|entry| entry.time),
            Source::Sealed { data, head, bytes } => match overlapping(&head.blocks, start, first).first() {
                // The directory tells.
                Some(at) if at.first >= start => Some(at.first),
                Some(at) => {
                    reads.charge(at.samples)?;
                    reads.blocks += 1;
                    data.decode(at, bytes.as_deref(), block)?;
                    let (from, to) = bounds(block.times(), at.samples, start, first);
                    // Its last sample is not before the start, so there is one; it may lie past the end.
                    (from < to).then(|| block.times().get(from))
                }
                None => None,
            },
        };
        first = first.min(found.unwrap_or(end));
    }
    Ok((first < end).then(|| Timestamp::from_nanos(first)))
}

/// The newest sample before `end` in the heads and these segments.
pub(crate) fn last_before(
    place: &Place<'_>,
    end: i64,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Option<Sample>, ReadError> {
    let heads = place.id.map(|id| Heads { generations: place.generations, id, cut: place.cut });
    let in_heads = heads.and_then(|heads| heads.last_before(end));
    let mut newest = in_heads.map(|sample| (sample.time.nanos(), sample.value));
    // The later flush first: of one time, it counts.
    for data in place.segments.iter().rev() {
        if data.segment.meta.time_min >= end
            || newest.is_some_and(|(time, _)| data.segment.meta.time_max <= time)
        {
            continue;
        }
        let head = data.head()?;
        let candidate = head.blocks.iter().rev().find(|at| at.first < end);
        let Some(at) = candidate.filter(|at| newest.is_none_or(|(time, _)| at.last > time)) else { continue };
        reads.charge(at.samples)?;
        reads.blocks += 1;
        data.decode(at, None, block)?;
        let (_, to) = bounds(block.times(), at.samples, i64::MIN, end);
        let Some(index) = to.checked_sub(1) else { continue };
        let time = block.times().get(index);
        if newest.is_none_or(|(newest, _)| time > newest) {
            newest = Some((time, block.values[index]));
        }
    }
    Ok(newest.map(|(time, value)| Sample { time: Timestamp::from_nanos(time), value }))
}

/// The time of the newest sample of these sources in a range. The directories mostly tell; at most one block of each is
/// decoded.
pub(super) fn newest_of(
    sources: &[Source],
    range: TimeRange,
    block: &mut Block,
    reads: &mut Reads<'_>,
) -> Result<Option<Timestamp>, ReadError> {
    let end = range.end.nanos();
    let mut newest: Option<i64> = None;
    for source in sources.iter().rev() {
        let found = match source {
            Source::Head(entries) => entries.last().map(|entry| entry.time),
            Source::Sealed { data, head, bytes } => match overlapping(&head.blocks, range.start.nanos(), end)
            {
                [.., last] if newest.is_some_and(|newest| last.last <= newest) => None,
                [.., last] if last.last < end => Some(last.last),
                [.., last] => {
                    reads.charge(last.samples)?;
                    reads.blocks += 1;
                    data.decode(last, bytes.as_deref(), block)?;
                    // Without a sample inside it begins before the start, and so do the blocks before it end.
                    let (from, to) = bounds(block.times(), last.samples, range.start.nanos(), end);
                    (from < to).then(|| block.times().get(to - 1))
                }
                [] => None,
            },
        };
        newest = newest.max(found);
    }
    Ok(newest.map(Timestamp::from_nanos))
}
