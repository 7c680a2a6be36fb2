//! What answers the queries: the query engine, as a server uses it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_query::{Across, Alignment, Budget, Grouping, Native, RangeQuery, Reduced, range_query};
use sereno_runtime::SystemClock;
use sereno_storage::Store;

/// An aggregation over windows of each series, summed over the series.
#[derive(Clone, Debug)]
pub struct Query {
    pub selector: Selector,
    pub range: TimeRange,
    pub window: Duration,
    pub aggregation: Native,
}

/// Takes a snapshot, finds the series and folds them, with both cores.
pub fn answer(store: &Store, query: &Query) -> io::Result<Vec<(Timestamp, Reduced)>> {
    let Query { selector, range, window, aggregation } = query.clone();
    let asked = RangeQuery {
        selector,
        range,
        window,
        step: window,
        alignment: Alignment::Epoch,
        by: Grouping::All,
        across: Some(Across::Sum),
        reducer: Arc::new(aggregation),
    };
    let budget = Budget { threads: 2, ..Budget::new(Arc::new(SystemClock::new()), Duration::from_secs(30)) };
    let answer = range_query(&store.snapshot(), &asked, &budget).map_err(io::Error::other)?;
    Ok(answer.groups.into_iter().next().map_or_else(Vec::new, |group| group.points))
}
