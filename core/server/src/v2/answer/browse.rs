//! Which series and labels there are. Linear in the series that match, of which there may be as many as a query may
//! read.

use std::collections::{BTreeMap, HashSet};

use sereno_model::{Selector, SeriesKey, TimeRange};
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{
    Code, Error, LabelCount, LabelsPart, ListLabels, ListSeries, SeriesPart,
};
use sereno_query::{Budget, QueryError};
use sereno_storage::{Reads, Series, Share, Snapshot, Store};

use super::selector::{period, selector_or_all};
use super::{Answered, Reply, Services, budget, compute, errors};

/// Stands for the name of the metric, where the name of a label is wanted.
const METRIC: &str = "__name__";
/// A part is sent when it has about so many bytes.
const PART_BYTES: usize = 64 << 10;

pub(super) async fn series(services: &Services, asked: ListSeries, reply: &Reply) -> Answered {
    let snapshot = services.store.snapshot();
    let work = move |budget: &Budget| {
        let found = Scope::new(&asked.selector, (asked.start, asked.end))?.find(&snapshot, budget)?;
        let listed = found.iter().take(limit(asked.limit));
        Ok((listed.map(|series| series.key().to_string()).collect::<Vec<_>>(), found.len() as u64))
    };
    let (series, total) = compute(services, subject(), budget(services), work).await?;
    let part = |series, total| Body::Series(SeriesPart { series, total });
    send(reply, series, |text| text.len() + 3, total, part).await
}

pub(super) async fn labels(services: &Services, asked: ListLabels, reply: &Reply) -> Answered {
    let (store, snapshot) = (services.store.clone(), services.store.snapshot());
    let work = move |budget: &Budget| {
        let mut counts = match live(&store, &asked, budget) {
            Some(counts) => counts,
            None => counted(&snapshot, &asked, budget)?,
        };
        let total = counts.len() as u64;
        counts.truncate(limit(asked.limit));
        Ok((counts, total))
    };
    let (labels, total) = compute(services, subject(), budget(services), work).await?;
    let part = |labels, total| Body::Labels(LabelsPart { labels, total });
    send(reply, labels, |label: &LabelCount| label.text.len() + 12, total, part).await
}

/// Counts what the series that match have.
fn counted(snapshot: &Snapshot, asked: &ListLabels, budget: &Budget) -> Result<Vec<LabelCount>, Error> {
    let found = Scope::new(&asked.selector, (asked.start, asked.end))?.find(snapshot, budget)?;
    let keys = found.iter().map(Series::key);
    match &*asked.label {
        "" => Ok(names(keys)),
        METRIC => Ok(texts(keys.map(SeriesKey::name))),
        label => values(keys, label),
    }
}

/// The names of all metrics or labels, of live series alone, from the store's own counts: where there are too many
/// series to look through, they are where one who does not know them begins.
fn live(store: &Store, asked: &ListLabels, budget: &Budget) -> Option<Vec<LabelCount>> {
    let ListLabels { selector, start: None, end: None, label, .. } = asked else { return None };
    if !selector.is_empty() || store.stats().series as usize <= budget.series_max {
        return None;
    }
    let top = store.cardinality(usize::MAX);
    let shares = match &**label {
        "" => top.labels,
        METRIC => top.names,
        _ => return None,
    };
    let values = |share: &Share| if label.is_empty() { share.values as u64 } else { 0 };
    let count = |share: &Share| LabelCount {
        text: share.name.to_string(),
        series: share.series.into(),
        values: values(share),
    };
    let mut counts: Vec<LabelCount> = shares.iter().map(count).collect();
    counts.sort_by(|a, b| a.text.cmp(&b.text));
    Some(counts)
}

fn subject() -> String {
    "a list of series or labels".to_owned()
}

fn limit(limit: u64) -> usize {
    match limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// Which series a list is about.
struct Scope {
    selector: Selector,
    range: TimeRange,
}

impl Scope {
    fn new(selector: &str, (start, end): (Option<i64>, Option<i64>)) -> Result<Self, Error> {
        Ok(Self { selector: selector_or_all(selector)?, range: period(start, end)? })
    }

    /// The series that match, in order of their keys; with a period, those that have a sample in it.
    fn find(&self, snapshot: &Snapshot, budget: &Budget) -> Result<Vec<Series>, Error> {
        self.select(snapshot, budget).map_err(|failure| match failure {
            QueryError::TooManySeries { found, limit } => {
                let message =
                    format!("{found} series match, more than the {limit} that can be looked through");
                Error { hint: NARROW.to_owned(), ..errors::error(Code::Limit, message) }
            }
            other => errors::of_query(&other),
        })
    }

    fn select(&self, snapshot: &Snapshot, budget: &Budget) -> Result<Vec<Series>, QueryError> {
        let mut found = snapshot.select(&self.selector, self.range)?;
        budget.check_series(found.len())?;
        if self.range == TimeRange::ALL {
            return Ok(found);
        }
        let interrupt = budget.interrupt();
        let ask = || interrupt();
        // At most a block of each segment is decoded for each series; the deadline bounds it.
        let mut reads = Reads::limited(u64::MAX, &ask);
        let mut failed = None;
        found.retain(|series| {
            failed.is_none()
                && series
                    .first_in(self.range, &mut reads)
                    .map_err(|error| failed = Some(error))
                    .is_ok_and(|first| first.is_some())
        });
        failed.map_or(Ok(found), |error| Err(error.into()))
    }
}

const NARROW: &str = "narrow the selector; `GetStorage` tells which metrics and labels bring the most";

/// The names of labels, in order, with how many series have them and how many values they have.
fn names<'a>(keys: impl Iterator<Item = &'a SeriesKey>) -> Vec<LabelCount> {
    let mut names: BTreeMap<&str, (u64, HashSet<&str>)> = BTreeMap::new();
    for (label, value) in keys.flat_map(SeriesKey::labels) {
        let (series, values) = names.entry(label).or_default();
        *series += 1;
        values.insert(value);
    }
    let count = |(label, (series, values)): (&str, (u64, HashSet<&str>))| LabelCount {
        text: label.to_owned(),
        series,
        values: values.len() as u64,
    };
    names.into_iter().map(count).collect()
}

/// The values of a label, in order.
fn values<'a>(
    keys: impl Iterator<Item = &'a SeriesKey> + Clone,
    label: &str,
) -> Result<Vec<LabelCount>, Error> {
    let found = texts(keys.clone().map(|key| key.label(label)).filter(|value| !value.is_empty()));
    match found.is_empty() {
        false => Ok(found),
        true => {
            let known = names(keys);
            Err(errors::not_found("label", label, known.iter().map(|label| label.text.as_str())))
        }
    }
}

/// Texts, in order, with how often each came.
fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<LabelCount> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    let count = |(text, series): (&str, u64)| LabelCount { text: text.to_owned(), series, values: 0 };
    counts.into_iter().map(count).collect()
}

/// Sends a list in parts, of which the last has the total.
async fn send<T>(
    reply: &Reply,
    items: Vec<T>,
    bytes_of: impl Fn(&T) -> usize,
    total: u64,
    part: impl Fn(Vec<T>, u64) -> Body,
) -> Answered {
    let (mut some, mut bytes) = (Vec::new(), 0);
    for item in items {
        let more = bytes_of(&item);
        if bytes > 0 && bytes + more > PART_BYTES {
            bytes = 0;
            reply.part(part(std::mem::take(&mut some), 0)).await?;
            tokio::task::yield_now().await;
        }
        bytes += more;
        some.push(item);
    }
    reply.last(part(some, total)).await
}
