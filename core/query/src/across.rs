//! The second stage of a reduction: across the series of one group.

use std::collections::BTreeMap;

use sereno_model::TimeRange;
use sereno_storage::Series;

use crate::budget::QueryError;
use crate::fold;
use crate::reduce::{Reduced, Reducer};
use crate::window::Window;

/// How the answers of the series of one group become one. A series without an answer takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Across {
    /// The sum of the answers, in order of the keys of the series.
    Sum,
    /// Their sum divided by their number.
    Mean,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// How many series have an answer.
    Count,
    /// The answer for the union of their samples.
    Pool,
}

impl Across {
    /// What joins the answers of `aggregation` when nobody says; `None` where no way is natural, and someone must.
    #[must_use]
    pub fn default_for(aggregation: &str) -> Option<Self> {
        match aggregation {
            "count" | "sum" | "rate" | "increase" | "delta" | "changes" | "resets" => Some(Self::Sum),
            "min" => Some(Self::Min),
            "max" | "age" => Some(Self::Max),
            "last" | "slope" | "forecast" => None,
            _ => Some(Self::Pool),
        }
    }

    /// The name in rule files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Pool => "pool",
        }
    }

    fn join(self, answers: &[f64]) -> Option<f64> {
        let sum = || answers.iter().copied().reduce(|a, b| a + b);
        let numbers = answers.iter().copied().filter(|number| !number.is_nan());
        match self {
            Self::Sum => sum(),
            Self::Mean => sum().map(|sum| sum / answers.len() as f64),
            Self::Min => numbers.reduce(fold::smaller),
            Self::Max => numbers.reduce(fold::larger),
            Self::Count => Some(answers.len() as f64),
            Self::Pool => None,
        }
    }
}

impl std::str::FromStr for Across {
    type Err = AcrossError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Sum, Self::Mean, Self::Min, Self::Max, Self::Count, Self::Pool]
            .into_iter()
            .find(|across| across.as_str() == text)
            .ok_or_else(|| AcrossError { text: text.to_owned() })
    }
}

/// A text that names no way to join series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not join series; `across` is `sum`, `mean`, `min`, `max`, `count` or `pool`")]
pub struct AcrossError {
    /// The text.
    pub text: String,
}

/// One answer for the series of a group, which are given in order of their keys. `across` may be left open
/// ([`Across::default_for`] gave `None`) when the group has one series.
///
/// # Errors
/// [`QueryError::Reduce`] if the reducer fails; [`QueryError::AcrossMissing`] for several series with `across` open.
pub fn reduce_group(
    series: &[Series],
    range: TimeRange,
    reducer: &dyn Reducer,
    across: Option<Across>,
) -> Result<Reduced, QueryError> {
    let windows = || series.iter().map(|series| Window::of(series, range));
    match (across, series) {
        (Some(Across::Pool), _) | (None, []) => Ok(reducer.reduce(&Window::pool(series, range))?),
        (None, [one]) => Ok(reducer.reduce(&Window::of(one, range))?),
        (None, several) => Err(QueryError::AcrossMissing { series: several.len() }),
        (Some(across), _) => reduce_each(windows(), reducer, across),
    }
}

fn reduce_each(
    windows: impl Iterator<Item = Window>,
    reducer: &dyn Reducer,
    across: Across,
) -> Result<Reduced, QueryError> {
    let mut numbers = Vec::new();
    let mut maps: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for window in windows {
        match reducer.reduce(&window)? {
            Reduced::None => {}
            Reduced::Number(number) => numbers.push(number),
            Reduced::Map(map) => {
                for (name, number) in map {
                    maps.entry(name).or_default().push(number);
                }
            }
        }
    }
    if maps.is_empty() {
        return Ok(across.join(&numbers).into());
    }
    let joined = maps.into_iter().filter_map(|(name, numbers)| Some((name, across.join(&numbers)?)));
    Ok(Reduced::Map(joined.collect()))
}
