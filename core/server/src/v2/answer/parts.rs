//! Points on their way out: cut into chunks, and chunks gathered into parts.

use std::collections::BTreeMap;

use sereno_model::Timestamp;
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{Chunk, Column, QueryEnd, QueryHead, QueryPart};
use sereno_query::Reduced;

use super::{Answered, Reply};

/// The most points of one chunk.
pub(super) const CHUNK_POINTS: usize = 4_096;
/// A part is sent when it has about so many bytes.
const PART_BYTES: usize = 64 << 10;
/// What a point takes: a value and most of the differences between times.
const POINT_BYTES: usize = 16;

/// What tells a group from the others, as its first chunk says.
#[derive(Debug, Default)]
pub(super) struct Title {
    pub name: String,
    /// Name, value, name, value …
    pub labels: Vec<String>,
}

impl Title {
    pub(super) fn of(key: &sereno_model::SeriesKey) -> Self {
        let labels = key.labels().flat_map(|(label, value)| [label.to_owned(), value.to_owned()]);
        Self { name: key.name().to_owned(), labels: labels.collect() }
    }
}

/// The next chunk of a group, which is the first one if it is given the title.
pub(super) fn chunk(group: u32, title: &mut Option<Title>, points: &[(Timestamp, Reduced)]) -> Chunk {
    let mut chunk = titled(group, title, points.iter().map(|(time, _)| *time));
    let several = points.iter().any(|(_, reduced)| matches!(reduced, Reduced::Map(_)));
    if several {
        chunk.columns = columns(points);
    } else {
        // A window without an answer is left out before.
        chunk.values = points.iter().map(|(_, reduced)| reduced.number().unwrap_or(f64::NAN)).collect();
    }
    chunk
}

/// A chunk without values.
pub(super) fn titled(
    group: u32,
    title: &mut Option<Title>,
    times: impl ExactSizeIterator<Item = Timestamp>,
) -> Chunk {
    let Title { name, labels } = title.take().unwrap_or_default();
    let mut before = 0i64;
    let difference = |time: Timestamp| {
        let difference = time.nanos().wrapping_sub(before);
        before = time.nanos();
        difference
    };
    Chunk { group, name, labels, times: times.map(difference).collect(), ..Chunk::default() }
}

/// Several values by name. One without a name, which a script may give now and then, is called `value`.
fn columns(points: &[(Timestamp, Reduced)]) -> Vec<Column> {
    let mut columns: BTreeMap<&str, Column> = BTreeMap::new();
    let mut add = |name, index: usize, value| {
        let column = columns.entry(name).or_default();
        column.at.push(index as u32);
        column.values.push(value);
    };
    for (index, (_, reduced)) in points.iter().enumerate() {
        match reduced {
            Reduced::None => {}
            Reduced::Number(number) => add("value", index, *number),
            Reduced::Map(map) => map.iter().for_each(|(name, number)| add(name, index, *number)),
        }
    }
    let named = columns.into_iter().map(|(name, column)| {
        let everywhere = column.at.len() == points.len();
        Column { name: name.to_owned(), at: if everywhere { Vec::new() } else { column.at }, ..column }
    });
    named.collect()
}

/// How many values a point has.
pub(super) fn width(reduced: &Reduced) -> usize {
    match reduced {
        Reduced::Map(values) => values.len(),
        Reduced::None | Reduced::Number(_) => 1,
    }
}

/// Gathers chunks into parts, and sends each that is full. What is small is one part.
pub(super) struct Parts<'a> {
    reply: &'a Reply,
    part: QueryPart,
    bytes: usize,
    points: u64,
}

impl<'a> Parts<'a> {
    pub(super) fn new(reply: &'a Reply, head: QueryHead) -> Self {
        let part = QueryPart { head: Some(head), ..QueryPart::default() };
        Self { reply, part, bytes: 0, points: 0 }
    }

    /// Adds a chunk; waits for room if that fills a part.
    pub(super) async fn add(&mut self, chunk: Chunk) -> Answered {
        let texts = chunk.labels.iter().map(|text| text.len() + 2).sum::<usize>() + chunk.name.len();
        let columns: usize = chunk.columns.iter().map(|column| column.values.len() * POINT_BYTES).sum();
        let bytes = texts + columns + chunk.times.len() * POINT_BYTES;
        if self.bytes > 0 && self.bytes + bytes > PART_BYTES {
            self.bytes = 0;
            self.reply.part(Body::Query(std::mem::take(&mut self.part))).await?;
            // There may be room for all of it, but others want to be served too.
            tokio::task::yield_now().await;
        }
        self.bytes += bytes;
        self.points += chunk.times.len() as u64;
        self.part.chunks.push(chunk);
        Ok(())
    }

    /// Sends what is left, with the end.
    pub(super) async fn end(mut self, samples_read: u64, elapsed: std::time::Duration) -> Answered {
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.part.end = Some(QueryEnd { points: self.points, samples_read, elapsed });
        self.reply.last(Body::Query(self.part)).await
    }
}
