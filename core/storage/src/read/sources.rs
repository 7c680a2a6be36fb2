//! Where samples of a series are, and which stretches of time have one source or several.

use sereno_model::TimeRange;

use super::{ReadError, Reads};
use crate::head::{Entry, Generation, settle};
use crate::registry::SeriesId;
use crate::segment::{HeadPart, SeriesData};
use crate::summary::HOUR_NANOS;
use std::sync::Arc;

/// Where a series may be found: in segments, the earlier flush first, and in the heads of generations.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub segments: Vec<SeriesData>,
    pub generations: &'a [Arc<Generation>],
    pub id: Option<SeriesId>,
    pub cut: u64,
}

/// A source with samples in the range that is read.
#[derive(Debug)]
pub(crate) enum Source {
    /// Of a segment: the directory is read, and the blocks too if one read was to bring both.
    Sealed { data: SeriesData, head: HeadPart, bytes: Option<Vec<u8>> },
    /// Of the heads: settled entries within the range.
    Head(Vec<Entry>),
}

/// A run of time in which the same sources have samples; bounds at whole hours or at those of the range.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub start: i64,
    pub end: i64,
    /// Indices of sources, the later counts.
    pub sources: Vec<usize>,
}

/// The sources of a series that have samples in `range`; `whole` brings the blocks with the same read.
pub(crate) fn sources(
    place: Place<'_>,
    range: TimeRange,
    whole: bool,
    reads: &mut Reads<'_>,
) -> Result<Vec<Source>, ReadError> {
    let mut found = Vec::with_capacity(place.segments.len() + 1);
    for data in place.segments {
        let (head, bytes) = match whole {
            true => data.head_and_blocks().map(|(head, bytes)| (head, Some(bytes)))?,
            false => (data.head()?, None),
        };
        let within = |block: &crate::segment::BlockRef| {
            block.first < range.end.nanos() && block.last >= range.start.nanos()
        };
        if head.blocks.iter().any(within) {
            found.push(Source::Sealed { data, head, bytes });
        }
    }
    let entries = head_entries(place.generations, place.id, range, place.cut);
    if !entries.is_empty() {
        reads.charge(entries.len())?;
        found.push(Source::Head(entries));
    }
    Ok(found)
}

/// The settled samples of a series in heads.
pub(crate) fn head_entries(
    generations: &[Arc<Generation>],
    id: Option<SeriesId>,
    range: TimeRange,
    cut: u64,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    let Some(id) = id else { return entries };
    for generation in generations {
        generation.head(id.queue).collect(id.ordinal, range, cut, &mut entries);
    }
    settle(&mut entries);
    entries
}

impl Source {
    /// The times of its first and last sample.
    fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Self::Sealed { head, .. } => Some((head.blocks.first()?.first, head.blocks.last()?.last)),
            Self::Head(entries) => Some((entries.first()?.time, entries.last()?.time)),
        }
    }
}

/// Cuts `range` into stretches, in order of time. What lies in no stretch has no samples.
pub(crate) fn stretches(sources: &[Source], range: TimeRange) -> Vec<Stretch> {
    let (start, end) = (range.start.nanos(), range.end.nanos());
    if start >= end {
        return Vec::new();
    }
    let hour_floor = |time: i64| time.div_euclid(HOUR_NANOS).saturating_mul(HOUR_NANOS);
    let spans: Vec<(i64, i64)> = sources
        .iter()
        .filter_map(Source::bounds)
        .map(|(first, last)| {
            (hour_floor(first).max(start), hour_floor(last).saturating_add(HOUR_NANOS).min(end))
        })
        .collect();
    if let [(first, last)] = spans[..] {
        return vec![Stretch { start: first, end: last, sources: vec![0] }];
    }
    let mut points: Vec<i64> = spans.iter().flat_map(|(first, last)| [*first, *last]).collect();
    points.sort_unstable();
    points.dedup();
    let mut stretches: Vec<Stretch> = Vec::new();
    for pair in points.windows(2) {
        let (start, end) = (pair[0], pair[1]);
        let active = (0..spans.len()).filter(|index| spans[*index].0 < end && spans[*index].1 > start);
        let active: Vec<usize> = active.collect();
        match stretches.last_mut() {
            Some(before) if before.end == start && before.sources == active => before.end = end,
            _ if active.is_empty() => {}
            _ => stretches.push(Stretch { start, end, sources: active }),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_model::Timestamp;

    fn head(hours: &[(i64, i64)]) -> Vec<Source> {
        let entry = |time| Entry { time, value: 0.0, order: 0 };
        hours
            .iter()
            .map(|(first, last)| {
                Source::Head(vec![entry(first * HOUR_NANOS + 5), entry(last * HOUR_NANOS + 7)])
            })
            .collect()
    }

    #[test]
    fn stretches_are_cut_where_the_sources_change() {
        let cut = |hours: &[(i64, i64)]| {
            let stretches = stretches(&head(hours), TimeRange::ALL);
            stretches
                .iter()
                .map(|stretch| {
                    (stretch.start / HOUR_NANOS, stretch.end / HOUR_NANOS, stretch.sources.clone())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(&[(0, 3)]), [(0, 4, vec![0])]);
        assert_eq!(cut(&[(0, 1), (2, 3)]), [(0, 2, vec![0]), (2, 4, vec![1])]);
        assert_eq!(cut(&[(0, 3), (3, 5)]), [(0, 3, vec![0]), (3, 4, vec![0, 1]), (4, 6, vec![1])]);
        assert_eq!(cut(&[(0, 9), (3, 3)]), [(0, 3, vec![0]), (3, 4, vec![0, 1]), (4, 10, vec![0])]);
        let within =
            TimeRange::new(Timestamp::from_nanos(HOUR_NANOS + 9), Timestamp::from_nanos(HOUR_NANOS + 10));
        let one = stretches(&head(&[(0, 3)]), within);
        assert_eq!(one, [Stretch { start: HOUR_NANOS + 9, end: HOUR_NANOS + 10, sources: vec![0] }]);
    }
}
