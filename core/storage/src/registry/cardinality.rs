//! Who brings the series: counters by metric name and by label, kept as series come and go.

use std::collections::HashMap;
use std::sync::Arc;

use sereno_model::SeriesKey;

/// Where the series come from. Series in the log at start count as there, not as created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Metric names with the most series, most first.
    pub names: Vec<Share>,
    /// Metric names with the most series created since the start, most first.
    pub names_created: Vec<Share>,
    /// Labels that the most series have, most first.
    pub labels: Vec<Share>,
    /// Labels of the most series created since the start, most first.
    pub labels_created: Vec<Share>,
}

/// One metric name's or label's part of the series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Name of the metric or of the label.
    pub name: Arc<str>,
    /// Series there are.
    pub series: u32,
    /// Series created since the start, whether they still exist or not.
    pub created: u64,
    /// Of a label, how many values it has; of a metric name, 1.
    pub values: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    live: u32,
    created: u64,
}

/// The counters. A name is forgotten with its last series.
#[derive(Debug, Default)]
pub(super) struct Counters {
    names: HashMap<Arc<str>, Count>,
    labels: HashMap<Arc<str>, Count>,
}

impl Counters {
    /// A series came; `created` unless the log brought it.
    pub(super) fn add(&mut self, key: &SeriesKey, created: bool) {
        add(&mut self.names, key.name(), created);
        key.labels().for_each(|(label, _)| add(&mut self.labels, label, created));
    }

    /// A series went.
    pub(super) fn remove(&mut self, key: &SeriesKey) {
        remove(&mut self.names, key.name());
        key.labels().for_each(|(label, _)| remove(&mut self.labels, label));
    }

    /// The `k` largest of each kind; `values` tells how many values a label has. Linear in names and labels.
    pub(super) fn top(&self, k: usize, values: impl Fn(&str) -> usize) -> Cardinality {
        let live = |count: &Count| u64::from(count.live);
        let created = |count: &Count| count.created;
        Cardinality {
            names: top(&self.names, k, live, |_| 1),
            names_created: top(&self.names, k, created, |_| 1),
            labels: top(&self.labels, k, live, &values),
            labels_created: top(&self.labels, k, created, &values),
        }
    }
}

fn add(counts: &mut HashMap<Arc<str>, Count>, name: &str, created: bool) {
    let count = match counts.get_mut(name) {
        Some(count) => count,
        None => counts.entry(name.into()).or_default(),
    };
    count.live += 1;
    count.created += u64::from(created);
}

fn remove(counts: &mut HashMap<Arc<str>, Count>, name: &str) {
    let Some(count) = counts.get_mut(name) else { return };
    count.live = count.live.saturating_sub(1);
    if count.live == 0 {
        counts.remove(name);
    }
}

fn top(
    counts: &HashMap<Arc<str>, Count>,
    k: usize,
    rank: impl Fn(&Count) -> u64,
    values: impl Fn(&str) -> usize,
) -> Vec<Share> {
    let mut all: Vec<_> = counts.iter().filter(|(_, count)| rank(count) > 0).collect();
    let most_first = |a: &(&Arc<str>, &Count), b: &(&Arc<str>, &Count)| {
        rank(b.1).cmp(&rank(a.1)).then_with(|| a.0.cmp(b.0))
    };
    if k < all.len() {
        all.select_nth_unstable_by(k, most_first);
        all.truncate(k);
    }
    all.sort_unstable_by(most_first);
    let share = |(name, count): (&Arc<str>, &Count)| Share {
        name: name.clone(),
        series: count.live,
        created: count.created,
        values: values(name),
    };
    all.into_iter().map(share).collect()
}
