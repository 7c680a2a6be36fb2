//! The reducers that need no script.

use sereno_storage::{Summary, Want};

use crate::reduce::{ReduceError, Reduced, Reducer};
use crate::window::Window;

/// A reducer that is one method of [`Window`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the method of `Window` of that name")]
pub enum Native {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
    Delta,
    Increase,
    Rate,
    Changes,
    Resets,
    Stddev,
    Median,
    Mad,
    Age,
    Slope,
    Quantile(f64),
    CountAbove(f64),
    CountBelow(f64),
}

impl Native {
    /// The reducer that calls `method` of [`Window`] with these arguments, if there is one: `("quantile", [0.95])`.
    #[must_use]
    pub fn from_call(method: &str, arguments: &[f64]) -> Option<Self> {
        Some(match (method, arguments) {
            ("count", []) => Self::Count,
            ("sum", []) => Self::Sum,
            ("mean", []) => Self::Mean,
            ("min", []) => Self::Min,
            ("max", []) => Self::Max,
            ("first", []) => Self::First,
            ("last", []) => Self::Last,
            ("delta", []) => Self::Delta,
            ("increase", []) => Self::Increase,
            ("rate", []) => Self::Rate,
            ("changes", []) => Self::Changes,
            ("resets", []) => Self::Resets,
            ("stddev", []) => Self::Stddev,
            ("median", []) => Self::Median,
            ("mad", []) => Self::Mad,
            ("age", []) => Self::Age,
            ("slope", []) => Self::Slope,
            ("quantile", [q]) if (0.0..=1.0).contains(q) => Self::Quantile(*q),
            ("count_above", [limit]) => Self::CountAbove(*limit),
            ("count_below", [limit]) => Self::CountBelow(*limit),
            _ => return None,
        })
    }

    /// The answer; a count is 0 for an empty window, its age is its length, and everything else has no answer there.
    #[must_use]
    pub fn answer(self, window: &Window) -> Option<f64> {
        match self {
            Self::Count => Some(window.count() as f64),
            Self::Sum => window.sum(),
            Self::Mean => window.mean(),
            Self::Min => window.min(),
            Self::Max => window.max(),
            Self::First => window.first(),
            Self::Last => window.last(),
            Self::Delta => window.delta(),
            Self::Increase => window.increase(),
            Self::Rate => window.rate(),
            Self::Changes => window.changes(),
            Self::Resets => window.resets(),
            Self::Stddev => window.stddev(),
            Self::Median => window.median(),
            Self::Mad => window.mad(),
            Self::Age => Some(window.age().as_secs_f64()),
            Self::Slope => window.slope(),
            Self::Quantile(q) => window.quantile(q),
            Self::CountAbove(limit) => Some(window.count_above(limit) as f64),
            Self::CountBelow(limit) => Some(window.count_below(limit) as f64),
        }
    }
}

impl Native {
    /// Whether summaries answer it: it then costs no more than to count the samples.
    #[must_use]
    pub fn is_summarized(self) -> bool {
        self.want().is_some()
    }

    /// What of a summary answers it; `None` if it takes the samples themselves.
    pub(crate) fn want(self) -> Option<Want> {
        match self {
            Self::Count | Self::First | Self::Last | Self::Delta => Some(Want::Count),
            Self::Sum | Self::Mean => Some(Want::Sum),
            Self::Min | Self::Max => Some(Want::Extremes),
            Self::Increase | Self::Rate | Self::Resets => Some(Want::All),
            _ => None,
        }
    }

    /// Whether the answer depends on the sample before the window.
    pub(crate) fn looks_before(self) -> bool {
        matches!(self, Self::Increase | Self::Rate | Self::Resets)
    }

    /// The answer for a window of one series that has samples: from its summary, of which [`Native::want`] holds, the
    /// value before it, and its length. The same bits as [`Native::answer`].
    pub(crate) fn of_summary(self, summary: &Summary, before: Option<f64>, secs: f64) -> Option<f64> {
        let number = |number: f64| Some(number).filter(|number| !number.is_nan());
        match self {
            Self::Count => Some(summary.count as f64),
            Self::Sum => Some(summary.sum),
            Self::Mean => Some(summary.sum / summary.count as f64),
            Self::Min => number(summary.min),
            Self::Max => number(summary.max),
            Self::First => Some(summary.first),
            Self::Last => Some(summary.last),
            Self::Delta => Some(summary.last - summary.first),
            Self::Increase => summary.increase(before),
            Self::Rate => summary.increase(before).filter(|_| secs > 0.0).map(|increase| increase / secs),
            Self::Resets => summary.resets(before),
            _ => None,
        }
    }
}

impl Reducer for Native {
    fn native(&self) -> Option<Native> {
        Some(*self)
    }

    fn reduce(&self, window: &Window) -> Result<Reduced, ReduceError> {
        Ok(self.answer(window).into())
    }
}
