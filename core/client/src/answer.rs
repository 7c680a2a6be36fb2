//! The answer to a query, put together from its parts.

use std::time::Duration;

use sereno_model::Timestamp;
use sereno_protocol::v2::messages::{Chunk, Column, QueryPart};

/// The most cells that the columns of one chunk are spread out to. A server's chunks have some thousand; one that
/// claims more would make memory of nothing.
const CELLS_MAX: usize = 1 << 24;

/// The whole answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The moment at which the store was read. A query that names it as its `as_of` within a few seconds sees the very
    /// same store.
    pub as_of: Timestamp,
    /// False if the snapshot of that moment was gone, and the present store was cut at it.
    pub exact: bool,
    /// How many series matched.
    pub series: u64,
    /// How the series of a group were joined; empty if nothing was.
    pub across: String,
    /// In the server's order.
    pub groups: Vec<Group>,
    /// How many points there are, as the server counted.
    pub points: u64,
    /// Samples that were decoded.
    pub samples_read: u64,
    /// How long the server took.
    pub elapsed: Duration,
}

/// The points of one group of series, or a piece of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The metric's name, when every series is a group of its own; else empty.
    pub name: String,
    /// The labels that the series of the group have in common, as (name, value).
    pub labels: Vec<(String, String)>,
    /// Starts of windows, or times of samples, in nanoseconds since the epoch; in order.
    pub times: Vec<i64>,
    /// One per time; empty for an aggregation with several values.
    pub values: Vec<f64>,
    /// For an aggregation with several values: each with its name, and per time what it is there, if anything.
    pub columns: Vec<(String, Vec<Option<f64>>)>,
}

/// A piece of an answer whose columns do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece of an answer does not fit together")]
pub struct Misfit;

impl TryFrom<Chunk> for Group {
    type Error = Misfit;

    /// A chunk as it stands alone. Name and labels come with the first chunk of a group only.
    fn try_from(chunk: Chunk) -> Result<Self, Misfit> {
        let Chunk { name, labels, mut times, values, columns, .. } = chunk;
        let values_fit = values.is_empty() || values.len() == times.len();
        let cells = times.len().saturating_mul(columns.len());
        if !values_fit || labels.len() % 2 != 0 || cells > CELLS_MAX {
            return Err(Misfit);
        }
        add_up(&mut times);
        let columns =
            columns.into_iter().map(|column| spread(column, times.len())).collect::<Result<_, _>>()?;
        Ok(Self { name, labels: pairs(labels), times, values, columns })
    }
}

impl Group {
    /// Adds the next piece of the same group.
    fn append(&mut self, piece: Self) {
        let before = self.times.len();
        self.times.extend(piece.times);
        self.values.extend(piece.values);
        for (name, cells) in piece.columns {
            let index = self.columns.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                self.columns.push((name, vec![None; before]));
                self.columns.len() - 1
            });
            self.columns[index].1.extend(cells);
        }
        for (_, cells) in &mut self.columns {
            cells.resize(self.times.len(), None);
        }
    }
}

/// Puts an answer together.
#[derive(Default)]
pub(crate) struct Collector {
    answer: Answer,
    /// The number of the last group.
    group: Option<u32>,
}

impl Collector {
    pub(crate) fn add(&mut self, part: QueryPart) -> Result<(), Misfit> {
        let answer = &mut self.answer;
        if let Some(head) = part.head {
            answer.as_of = Timestamp::from_nanos(head.as_of);
            answer.exact = head.exact;
            answer.series = head.series;
            answer.across = head.across;
        }
        for chunk in part.chunks {
            let number = chunk.group;
            let piece = Group::try_from(chunk)?;
            match answer.groups.last_mut() {
                Some(group) if self.group == Some(number) => group.append(piece),
                _ => answer.groups.push(piece),
            }
            self.group = Some(number);
        }
        if let Some(end) = part.end {
            answer.points = end.points;
            answer.samples_read = end.samples_read;
            answer.elapsed = Duration::from_nanos(end.elapsed);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Answer {
        self.answer
    }
}

/// Makes times of differences. What does not fit wraps, as it does where it was written.
fn add_up(times: &mut [i64]) {
    let mut sum = 0i64;
    for time in times {
        sum = sum.wrapping_add(*time);
        *time = sum;
    }
}

/// A column with a cell for every time.
fn spread(column: Column, len: usize) -> Result<(String, Vec<Option<f64>>), Misfit> {
    let Column { name, at, values } = column;
    if at.is_empty() {
        let cells: Vec<_> = values.into_iter().map(Some).collect();
        return if cells.len() == len { Ok((name, cells)) } else { Err(Misfit) };
    }
    if at.len() != values.len() {
        return Err(Misfit);
    }
    let mut cells = vec![None; len];
    for (index, value) in at.into_iter().zip(values) {
        *cells.get_mut(index as usize).ok_or(Misfit)? = Some(value);
    }
    Ok((name, cells))
}

fn pairs(texts: Vec<String>) -> Vec<(String, String)> {
    let mut texts = texts.into_iter();
    std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect()
}
