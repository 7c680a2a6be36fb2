//! The requests of a ramp: each is sent when it is due and answered when the server likes, so that a slow server makes
//! requests wait and not the schedule.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use sereno_client::messages::Written;
use sereno_client::{Batch, Client, ClientError};
use sereno_model::SeriesKey;
use sereno_runtime::Clock;
use tokio::task::JoinSet;

use super::pace::{Due, Pace};
use super::report::Report;
use crate::{Exit, Failure, Stop};

/// Series that are defined with one request.
const DEFINED_TOGETHER: usize = 1_000;

/// Connections that know the series of a ramp.
pub(super) struct Load {
    clients: Vec<Client>,
    series_count: u32,
    in_flight_max: usize,
    next_client: usize,
}

/// An answer, how many metrics it is about, and how long it was waited for.
struct Answered {
    answer: Result<Written, ClientError>,
    count: u64,
    round_trip: Duration,
    at: Duration,
}

impl Load {
    /// Defines `series` on every connection, before the clock starts: the figures are those of samples.
    pub(super) async fn prepare(
        clients: Vec<Client>,
        series: &[SeriesKey],
        in_flight_max: usize,
    ) -> Result<Self, Stop> {
        for client in &clients {
            let limit = client.welcome().limits.as_ref().map_or(0, |limits| limits.dictionary_len_max);
            if series.len() as u64 > limit {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("the server takes {limit} series on a connection"),
                )
                .hint("ask for fewer with `--series`")
                .into());
            }
            for (chunk, keys) in series.chunks(DEFINED_TOGETHER).enumerate() {
                let mut batch = Batch::default();
                for (place, key) in keys.iter().enumerate() {
                    batch.define((chunk * DEFINED_TOGETHER + place) as u32, key);
                }
                client.write(&batch).await?;
            }
        }
        Ok(Self { clients, series_count: series.len() as u32, in_flight_max, next_client: 0 })
    }

    /// Sends what is due until nothing is left, and waits for all answers. Ends early when a connection is lost.
    pub(super) async fn run(
        &mut self,
        pace: &mut Pace,
        clock: &Arc<dyn Clock>,
        report: &mut Report,
        bar: &ProgressBar,
    ) -> Result<(), ClientError> {
        let mut in_flight = JoinSet::new();
        let mut more = true;
        while more || !in_flight.is_empty() {
            tokio::select! {
                due = pace.next(), if more && in_flight.len() < self.in_flight_max => match due {
                    Some(due) => drop(in_flight.spawn(self.request(due, Arc::clone(clock)))),
                    None => more = false,
                },
                Some(answered) = in_flight.join_next() => {
                    // A request is neither aborted, nor does it panic.
                    let Ok(Answered { answer, count, round_trip, at }) = answered else { continue };
                    match answer {
                        Ok(written) => report.add(&written, count, round_trip, at),
                        Err(ClientError::Server { error, .. }) => report.refuse(error.code, count, round_trip, at),
                        Err(error) => return Err(error),
                    }
                    bar.inc(count);
                }
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        due: Due,
        clock: Arc<dyn Clock>,
    ) -> impl Future<Output = Answered> + Send + 'static {
        self.next_client = (self.next_client + 1) % self.clients.len();
        let client = self.clients[self.next_client].clone();
        let batch = batch(due.metrics, self.series_count);
        async move {
            let answer = client.write(&batch).await;
            let at = clock.monotonic();
            Answered { answer, count: batch.len() as u64, round_trip: at.saturating_sub(due.since), at }
        }
    }
}

/// The metrics of one request: number n has the value n, and the series take turns.
fn batch(metrics: RangeInclusive<u32>, series_count: u32) -> Batch {
    let mut batch = Batch::default();
    for number in metrics {
        batch.push((number - 1) % series_count, f64::from(number));
    }
    if series_count == 1 {
        batch.refs.truncate(1);
        batch.counts.push(batch.values.len() as u32);
    }
    batch
}
