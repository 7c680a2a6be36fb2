//! The samples as they are, series by series.
//!
//! A worker reads some series at a time and gives them up before it reads on, so an answer of any length needs little
//! memory, and no worker waits for a client. The snapshot is held until the last one is sent.
//!
//! The server's own limit is that of samples; that of points is about windows. The deadline counts the time of the
//! workers, not that of the client.

use std::time::Duration;

use sereno_model::TimeRange;
use sereno_protocol::v2::messages::{Chunk, Error, Grouping, Query, QueryHead};
use sereno_query::{Budget, QueryError};
use sereno_storage::{Reads, Series};

use super::parts::{self, CHUNK_POINTS, Parts, Title};
use super::query::{scope, subject};
use super::{Answered, Reply, Services, compute, errors, since};
use crate::v2::snapshots::Seen;

/// A worker gives up what it has when it has about so many samples.
const SAMPLES_AT_ONCE: usize = 32_768;
/// Or read so many series, which may have none.
const SERIES_AT_ONCE: usize = 1_024;

pub(super) async fn answer(
    services: &Services,
    (query, Seen { snapshot, exact }, budget): (Query, Seen, Budget),
    reply: &Reply,
    began: Duration,
) -> Answered {
    if query.grouping() != Grouping::Unspecified || !query.across.is_empty() {
        let hint = "give a window, or leave out `grouping` and `across`";
        return Err(errors::invalid("samples as they are cannot be joined", hint).into());
    }
    let as_of = snapshot.time().nanos();
    let mut time_left = budget.deadline.saturating_sub(services.clock.monotonic());
    let first = move |budget: &Budget| {
        let (selector, range) = scope(&query)?;
        let series = snapshot.select(&selector, range).map_err(QueryError::from);
        let series = series.and_then(|series| budget.check_series(series.len()).map(|()| series));
        let series = series.map_err(|failure| errors::of_query(&failure))?;
        let points_max = if query.points_max == 0 { u64::MAX } else { query.points_max };
        let count = series.len() as u64;
        let reading = Reading { series: series.into_iter(), range, group: 0, samples: 0, points_max };
        reading.step(budget).map(|piece| (piece, count))
    };
    let mut before = services.clock.monotonic();
    let (mut piece, series) = compute(services, subject(), budget.clone(), first).await?;
    let mut parts = Parts::new(reply, QueryHead { as_of, exact, series, across: String::new() });
    loop {
        time_left = time_left.saturating_sub(since(services, before));
        for chunk in piece.chunks {
            parts.add(chunk).await?;
        }
        if piece.rest.series.as_slice().is_empty() {
            return parts.end(piece.rest.samples, since(services, began)).await;
        }
        before = services.clock.monotonic();
        let budget = Budget { deadline: before + time_left, ..budget.clone() };
        piece = compute(services, subject(), budget, |budget| piece.rest.step(budget)).await?;
    }
}

/// What is still to be read.
struct Reading {
    series: std::vec::IntoIter<Series>,
    range: TimeRange,
    /// The number of the next group.
    group: u32,
    /// Samples that were decoded so far.
    samples: u64,
    /// For one series.
    points_max: u64,
}

/// Some series, and the rest.
struct Piece {
    chunks: Vec<Chunk>,
    rest: Reading,
}

impl Reading {
    /// Reads the next series.
    fn step(mut self, budget: &Budget) -> Result<Piece, Error> {
        let interrupt = budget.interrupt();
        let (mut chunks, mut points, mut looked) = (Vec::new(), 0, 0);
        while points < SAMPLES_AT_ONCE && looked < SERIES_AT_ONCE {
            let Some(series) = self.series.next() else { break };
            looked += 1;
            points += self
                .series(&series, budget, &*interrupt, &mut chunks)
                .map_err(|failure| errors::of_query(&failure))?;
        }
        Ok(Piece { chunks, rest: self })
    }

    /// Reads one series; gives how many samples it has.
    fn series(
        &mut self,
        series: &Series,
        budget: &Budget,
        interrupt: &(dyn Fn() -> bool + Send + Sync),
        chunks: &mut Vec<Chunk>,
    ) -> Result<usize, QueryError> {
        budget.check_time()?;
        let limit = budget.samples_max;
        let ask = || interrupt();
        let mut reads = Reads::limited(limit.saturating_sub(self.samples), &ask);
        let samples = series.read(self.range, &mut reads).map_err(|error| match error.into() {
            // What was left says less than what there was.
            QueryError::TooManySamples { .. } => QueryError::TooManySamples { limit },
            other => other,
        })?;
        self.samples += reads.samples;
        if samples.len() as u64 > self.points_max {
            return Err(QueryError::TooManySamples { limit: self.points_max });
        }
        if samples.is_empty() {
            return Ok(0);
        }
        let mut title = Some(Title::of(series.key()));
        for some in samples.chunks(CHUNK_POINTS) {
            let mut chunk = parts::titled(self.group, &mut title, some.iter().map(|sample| sample.time));
            chunk.values = some.iter().map(|sample| sample.value).collect();
            chunks.push(chunk);
        }
        self.group += 1;
        Ok(samples.len())
    }
}
