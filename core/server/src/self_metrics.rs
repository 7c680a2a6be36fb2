//! The server watches itself: its counters and gauges become ordinary series named `sereno.…`, to be queried and used
//! in rules like any other.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Sample, SeriesKey, Timestamp};
use sereno_plugin::{Ingest as _, Ticks};
use sereno_runtime::{Clock, Metrics, Shutdown};

use crate::ingest::StoreIngest;

const EVERY: Duration = Duration::from_secs(15);

/// Writes all self-metrics until the word to stop.
pub(crate) async fn run(metrics: Metrics, ingest: StoreIngest, clock: Arc<dyn Clock>, stop: Shutdown) {
    let mut ticks = Ticks::every(EVERY);
    while let Some(tick) = ticks.next(&*clock, &stop).await {
        // A refusal is counted where it happens; there is nobody else to tell.
        drop(ingest.write(samples(&metrics, tick)).await);
    }
}

fn samples(metrics: &Metrics, time: Timestamp) -> Vec<(SeriesKey, Sample)> {
    let sample = |(name, value): (String, f64)| {
        let key = format!("sereno.{name}").parse::<SeriesKey>().ok()?;
        Some((key, Sample { time, value }))
    };
    metrics.snapshot().into_iter().filter_map(sample).collect()
}
