//! Which metrics bring the most samples.
//!
//! Counts what is stored of the last minute, series by series, and adds up by name: no bookkeeping while samples come,
//! so it costs nothing until somebody asks. Then it costs one fold of a minute per series, which reads each sample of
//! that minute that is still in the head: sixty million of them at 1 M samples/s. The deadline of queries bounds it.
//!
//! It counts by the time that samples carry. So it misses those that came in the last minute for an earlier one, and
//! those that replaced another. Where there are more series than a query may read, only the metrics with the most series
//! are counted, as many as fit: one with few series that each bring very much is missed then.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use sereno_model::{NamePattern, Selector, TimeRange};
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{Busiest, Busy, Error, GetBusiest};
use sereno_query::{Budget, QueryError};
use sereno_storage::{Reads, Series, Snapshot, Store, Want, Windows};

use super::{Answered, Reply, Services, budget, compute, errors};

/// The period that is counted.
const PERIOD: Duration = Duration::from_secs(60);
/// How many are told of when nobody says.
const TOP: usize = 10;
/// How many are told of at most.
const TOP_MAX: usize = 1_000;

pub(super) async fn answer(services: &Services, asked: GetBusiest, reply: &Reply) -> Answered {
    let top = if asked.top == 0 { TOP } else { TOP_MAX.min(asked.top as usize) };
    let (store, snapshot) = (services.store.clone(), services.store.snapshot());
    let work = move |budget: &Budget| busiest(&store, &snapshot, top, budget);
    let metrics =
        compute(services, "a look for the busiest metrics".to_owned(), budget(services), work).await?;
    reply.last(Body::Busiest(Busiest { metrics })).await
}

fn busiest(store: &Store, snapshot: &Snapshot, top: usize, budget: &Budget) -> Result<Vec<Busy>, Error> {
    let counted = count(&selectors(store, budget.series_max), snapshot, budget);
    let counted = counted.map_err(|failure| errors::of_query(&failure))?;
    let mut counted: Vec<_> = counted.into_iter().filter(|(_, count)| count.samples > 0).collect();
    // By name where as many came.
    counted.sort_by_key(|(_, count)| Reverse(count.samples));
    let busy = |(name, count): (String, Count)| {
        let samples_per_second = count.samples as f64 / PERIOD.as_secs_f64();
        Busy { name, samples_per_second, series: count.series }
    };
    Ok(counted.into_iter().take(top).map(busy).collect())
}

/// What to look through: everything, or the metrics with the most series.
fn selectors(store: &Store, series_max: usize) -> Vec<Selector> {
    if store.stats().series as usize <= series_max {
        return vec![Selector { name: NamePattern::parse("*"), matchers: Vec::new() }];
    }
    let mut left = series_max;
    let mut selectors = Vec::new();
    for share in store.cardinality(usize::MAX).names {
        if let Some(rest) = left.checked_sub(share.series as usize) {
            left = rest;
            selectors.push(Selector::exact(&share.name));
        }
    }
    selectors
}

/// What one metric has brought.
#[derive(Default)]
struct Count {
    samples: u64,
    /// Series that have brought any.
    series: u64,
}

fn count(
    selectors: &[Selector],
    snapshot: &Snapshot,
    budget: &Budget,
) -> Result<BTreeMap<String, Count>, QueryError> {
    // Up to the moment of the snapshot, and with it.
    let range = TimeRange::before(snapshot.time() + Duration::from_nanos(1), PERIOD);
    let interrupt = budget.interrupt();
    let ask = || interrupt();
    let mut reads = Reads::limited(u64::MAX, &ask);
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for selector in selectors {
        for series in snapshot.select(selector, range)? {
            budget.check_time()?;
            let samples = samples(&series, range, &mut reads)?;
            if samples > 0 {
                let count = counts.entry(series.key().name().to_owned()).or_default();
                count.samples += samples;
                count.series += 1;
            }
        }
    }
    Ok(counts)
}

fn samples(series: &Series, range: TimeRange, reads: &mut Reads<'_>) -> Result<u64, QueryError> {
    let mut samples = 0;
    let whole = Windows::new(range, u64::try_from(PERIOD.as_nanos()).unwrap_or(u64::MAX));
    series.fold(whole, Want::Count, reads, |_, summary| samples += summary.count)?;
    Ok(samples)
}
