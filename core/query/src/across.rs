//! The second stage of a reduction: across the series of one group.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::TimeRange;
use sereno_storage::{Series, larger, smaller};

use crate::budget::QueryError;
use crate::reduce::{Reduced, Reducer};
use crate::tally::Tally;
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
/// ([`Across::default_for`] gave `None`) when the group has one series. Reads on the account of `tally`.
///
/// # Errors
/// [`QueryError::Reduce`] if the reducer fails; [`QueryError::AcrossMissing`] for several series with `across` open; what
/// went wrong with reading.
pub fn reduce_group(
    series: &[Series],
    range: TimeRange,
    reducer: &dyn Reducer,
    across: Option<Across>,
    tally: &Arc<Tally>,
) -> Result<Reduced, QueryError> {
    let reduced = match (across, series) {
        (Some(Across::Pool), _) | (None, [] | [_]) => {
            reducer.reduce(&Window::pool(series, range, tally)).map_err(QueryError::from)
        }
        (None, several) => Err(QueryError::AcrossMissing { series: several.len() }),
        (Some(across), _) => {
            let windows = series.iter().map(|series| Window::of(series, range, tally));
            reduce_each(windows, reducer, across)
        }
    };
    // A failed read made some window look empty, and whatever followed from that is void.
    tally.check()?;
    reduced
}

fn reduce_each(
    windows: impl Iterator<Item = Window>,
    reducer: &dyn Reducer,
    across: Across,
) -> Result<Reduced, QueryError> {
    let mut cell = Cell::default();
    for window in windows {
        cell.add(across, reducer.reduce(&window)?);
    }
    Ok(cell.finish(across))
}

/// The answers of several series, joined one by one in order of the keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    number: Joined,
    /// By name, of those that answer with several numbers; the others then take no part.
    maps: BTreeMap<String, Joined>,
}

impl Cell {
    pub(crate) fn add(&mut self, across: Across, reduced: Reduced) {
        match reduced {
            Reduced::None => {}
            Reduced::Number(number) => self.number.add(across, number, 1),
            Reduced::Map(map) => {
                for (name, number) in map {
                    self.maps.entry(name).or_default().add(across, number, 1);
                }
            }
        }
    }

    pub(crate) fn finish(self, across: Across) -> Reduced {
        if self.maps.is_empty() {
            return self.number.finish(across).into();
        }
        let joined = self.maps.into_iter().filter_map(|(name, joined)| Some((name, joined.finish(across)?)));
        Reduced::Map(joined.collect())
    }
}

/// Numbers, joined one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    number: f64,
    weight: u64,
}

impl Joined {
    /// Adds the answer of a series; its weight counts for a mean.
    pub(crate) fn add(&mut self, across: Across, number: f64, weight: u64) {
        let first = self.weight == 0;
        match across {
            Across::Min | Across::Max if number.is_nan() => return,
            _ if first => self.number = number,
            Across::Min => self.number = smaller(self.number, number),
            Across::Max => self.number = larger(self.number, number),
            _ => self.number += number,
        }
        self.weight += weight;
    }

    pub(crate) fn finish(self, across: Across) -> Option<f64> {
        let number = match across {
            Across::Mean => self.number / self.weight as f64,
            Across::Count => self.weight as f64,
            _ => self.number,
        };
        (self.weight > 0).then_some(number)
    }
}
