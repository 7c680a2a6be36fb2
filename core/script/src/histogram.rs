//! `histogram_quantile`: a quantile out of cumulative buckets by their upper bound `le`.
//!
//! The interpolation is that of Prometheus (`promql/quantile.go`): linear inside the bucket, the lowest bucket begins at
//! 0 where its bound is positive, a quantile in the last bucket (`+Inf`) is the bound below it. Different from there: what
//! has no answer has no row, instead of NaN.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Dynamic, Engine};

use crate::convert::{Outcome, from_option, number_argument, type_name};
use crate::instance::Labels;
use crate::meter;
use crate::vector::{Row, Vector};

const BOUND: &str = "le";

/// A bucket: its upper bound, and how many observations were at most that.
type Bucket = (f64, f64);

pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("histogram_quantile", histogram_quantile);
}

fn histogram_quantile(q: Dynamic, buckets: Dynamic) -> Outcome<Dynamic> {
    let q = number_argument("histogram_quantile", &q)?;
    if !(0.0..=1.0).contains(&q) {
        return Err(format!("`histogram_quantile({q}, …)`: give a share from 0 to 1, such as 0.99").into());
    }
    let Some(vector) = buckets.read_lock::<Vector>() else {
        let kind = type_name(&buckets);
        return Err(format!("`histogram_quantile` wants a vector that keeps `le`, not {kind}").into());
    };
    if !vector.names().iter().any(|name| name == BOUND) {
        return Err("`histogram_quantile` wants a vector that keeps `le`: query with `keep: [\"le\"]`".into());
    }
    meter::work(vector.rows().len())?;
    let mut histograms: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    for row in vector.rows() {
        let (bound, labels): (Labels, Labels) =
            row.labels().iter().cloned().partition(|(name, _)| name == BOUND);
        let bound = bound.first().map(|(_, bound)| bound.as_str()).unwrap_or_default();
        histograms.entry(labels).or_default().push((read_bound(bound)?, row.number()));
    }
    let names: Arc<[String]> = vector.names().iter().filter(|name| *name != BOUND).cloned().collect();
    let quantiles = histograms
        .into_iter()
        .filter_map(|(labels, buckets)| Some(Row::new(Arc::new(labels), quantile(q, buckets)?)));
    let rows: Vec<Row> = quantiles.collect();
    Ok(match names.is_empty() {
        true => from_option(rows.first().map(Row::number)),
        false => Dynamic::from(Vector::new(names, rows)),
    })
}

fn read_bound(text: &str) -> Outcome<f64> {
    // Rust reads `+Inf` and `inf` alike.
    text.parse().ok().filter(|bound: &f64| !bound.is_nan()).ok_or_else(|| match text {
        "" => "`histogram_quantile`: there are series without the label `le`".into(),
        _ => format!("`histogram_quantile`: `le` is `{text}`, which is no number").into(),
    })
}

/// The quantile, if the buckets give one.
fn quantile(q: f64, mut buckets: Vec<Bucket>) -> Option<f64> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let buckets = rising(&buckets);
    let (last, total) = *buckets.last()?;
    if buckets.len() < 2 || last != f64::INFINITY || total.is_nan() || total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let index = buckets[..buckets.len() - 1].partition_point(|(_, count)| *count < rank);
    if index == buckets.len() - 1 {
        return Some(buckets[index - 1].0);
    }
    let (end, count) = buckets[index];
    let (start, below) = match index.checked_sub(1) {
        Some(before) => buckets[before],
        None if end <= 0.0 => return Some(end),
        None => (0.0, 0.0),
    };
    let inside = count - below;
    Some(if inside > 0.0 { start + (end - start) * ((rank - below) / inside) } else { start })
}

/// Sorted buckets with each bound once, counts added, and none with less than the one below: counters that are read
/// while they are written may say so.
fn rising(sorted: &[Bucket]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::with_capacity(sorted.len());
    for (bound, count) in sorted {
        match buckets.last_mut() {
            Some(last) if last.0 == *bound => last.1 += count,
            _ => buckets.push((*bound, *count)),
        }
    }
    let mut highest = f64::NEG_INFINITY;
    for bucket in &mut buckets {
        highest = if bucket.1.is_nan() { f64::NAN } else { highest.max(bucket.1) };
        bucket.1 = highest;
    }
    buckets
}
