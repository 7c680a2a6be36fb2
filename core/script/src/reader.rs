//! How a script reads the store: on one account for each call, charged for what it costs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rhai::{Dynamic, Map};
use sereno_model::{Selector, TimeRange};
use sereno_query::{Across, Reduced, Reducer, Tally, Window, measure, reduce_group};
use sereno_storage::{Series, Snapshot};

use crate::convert::{Outcome, from_reduced};
use crate::error::describe;
use crate::instance::Labels;
use crate::library::Aggregations;
use crate::limits::Limits;
use crate::meter::{self, Budget};
use crate::query::{How, Query};
use crate::vector::{ROWS_MAX, Row, Vector};

/// What one call reads with, shared by the handles that it hands to its script.
#[derive(Debug)]
pub(crate) struct Reader {
    aggregations: Arc<Aggregations>,
    samples_left: u64,
    /// Opened by the first read: many scripts look at nothing but `s.value`.
    tally: OnceLock<Arc<Tally>>,
}

impl Reader {
    pub(crate) fn new(aggregations: Arc<Aggregations>, budget: &Budget, limits: &Limits) -> Self {
        Self { aggregations, samples_left: budget.samples_left(limits), tally: OnceLock::new() }
    }

    pub(crate) fn aggregations(&self) -> &Aggregations {
        &self.aggregations
    }

    fn tally(&self) -> &Arc<Tally> {
        self.tally.get_or_init(|| meter::tally(self.samples_left))
    }

    /// The account, if anything was read on it.
    pub(crate) fn used(&self) -> Option<&Tally> {
        self.tally.get().map(|tally| &**tally)
    }

    /// The samples of these series; reads nothing yet.
    pub(crate) fn window(&self, series: &[Series], range: TimeRange) -> Window {
        Window::pool(series, range, self.tally())
    }

    /// One answer for these series.
    pub(crate) fn reduce(
        &self,
        series: &[Series],
        range: TimeRange,
        reducer: &dyn Reducer,
        across: Option<Across>,
    ) -> Outcome<Reduced> {
        let tally = self.tally();
        let before = tally.cost().samples;
        // One in Rhai charges for its samples itself, and asks its window for no more than it wants.
        let (reduced, decoded) = if reducer.native().is_some() {
            let measured = measure(series, range, reducer, across, tally).map(|measured| measured.value);
            (measured, tally.cost().samples.saturating_sub(before))
        } else {
            (reduce_group(series, range, reducer, across, tally), 0)
        };
        // What stopped an aggregation stops the rule: it is not an error that the rule may catch.
        meter::charge(decoded)?;
        meter::check_reads(tally)?;
        reduced.map_err(|error| describe(&error).into())
    }

    /// `s.agg` and its kin: an aggregation by name over a window of these series.
    pub(crate) fn aggregate(
        &self,
        series: &[Series],
        range: TimeRange,
        name: &str,
        params: Option<Map>,
    ) -> Outcome<Dynamic> {
        let how = How::named(self.aggregations(), name, params)?;
        let reduced = self.reduce(series, range, &*how.reducer, how.across)?;
        how.pick(reduced).map(from_reduced)
    }

    /// One answer for all the series that a query means; none if it means none.
    pub(crate) fn one(&self, snapshot: &Snapshot, query: &Query) -> Outcome<Reduced> {
        let series = self.select(snapshot, &query.selector, query.range)?;
        if series.is_empty() {
            return Ok(Reduced::None);
        }
        let reduced = self.reduce(&series, query.range, &*query.how.reducer, query.how.across)?;
        query.how.pick(reduced)
    }

    /// One number for each set of values of the labels `names`, which are sorted.
    pub(crate) fn vector(&self, snapshot: &Snapshot, query: &Query, names: &[String]) -> Outcome<Vector> {
        let mut groups: BTreeMap<Labels, Vec<Series>> = BTreeMap::new();
        for series in self.select(snapshot, &query.selector, query.range)? {
            let label = |name: &String| (name.clone(), series.key().label(name).to_owned());
            let labels = names.iter().map(label).collect();
            groups.entry(labels).or_default().push(series);
        }
        if groups.len() > ROWS_MAX {
            let message = format!(
                "the query gives {} rows, and a vector has at most {ROWS_MAX}; narrow it by `where`, or tell fewer labels apart",
                groups.len()
            );
            return Err(message.into());
        }
        let mut rows = Vec::with_capacity(groups.len());
        for (labels, series) in groups {
            let reduced = self.reduce(&series, query.range, &*query.how.reducer, query.how.across)?;
            if let Some(number) = query.how.number(reduced)? {
                rows.push(Row::new(Arc::new(labels), number));
            }
        }
        Ok(Vector::new(names.into(), rows))
    }

    fn select(&self, snapshot: &Snapshot, selector: &Selector, range: TimeRange) -> Outcome<Vec<Series>> {
        match snapshot.select(selector, range) {
            Ok(series) => {
                meter::work(1 + series.len())?;
                Ok(series)
            }
            Err(error) => {
                meter::unreadable(&error.into())?;
                Ok(Vec::new())
            }
        }
    }
}

/// A window that ends `offset` before `now`.
pub(crate) fn range(now: sereno_model::Timestamp, length: Duration, offset: Duration) -> TimeRange {
    TimeRange::before(now - offset, length)
}
