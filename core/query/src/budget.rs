//! What one query may cost, and how a query fails.

use std::time::Duration;

use sereno_runtime::Clock;

use crate::reduce::ReduceError;

/// The limits of one query.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// Measures the time it takes.
    pub clock: &'a dyn Clock,
    /// When it must be done, on the monotonic clock.
    pub deadline: Duration,
    /// How many samples it may read, over all its series.
    pub samples_max: usize,
}

impl Budget<'_> {
    pub(crate) fn check_time(&self) -> Result<(), QueryError> {
        if self.clock.monotonic() < self.deadline { Ok(()) } else { Err(QueryError::Deadline) }
    }

    pub(crate) fn check_samples(&self, read: usize) -> Result<(), QueryError> {
        let limit = self.samples_max;
        if read <= limit { Ok(()) } else { Err(QueryError::TooManySamples { read, limit }) }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The caller's fault: the window is no length of time.
    #[error("a window of {secs} s: give 0 for the raw values, or a positive number of seconds")]
    Window {
        /// As it was asked for.
        secs: f64,
    },
    /// The caller's fault: the aggregation gives several numbers where one is wanted.
    #[error("the aggregation gives several values by name, and here one number is wanted")]
    Map,
    /// The caller's fault: nothing says how to join the series of a group, and for this aggregation no way is natural.
    #[error(
        "{series} series are matched; say how to join them with `across`: `sum`, `mean`, `min`, `max`, `count` or `pool`"
    )]
    AcrossMissing {
        /// How many there are.
        series: usize,
    },
    /// The query reads more than it may; a shorter period or fewer series help.
    #[error(
        "{read} samples to read, more than the {limit} that one query may; ask for a shorter period or fewer series"
    )]
    TooManySamples {
        /// How many there were when it was given up.
        read: usize,
        /// How many it may read.
        limit: usize,
    },
    /// It took too long; a shorter period, longer windows or a quieter server help.
    #[error("the deadline has passed; ask for a shorter period or longer windows")]
    Deadline,
    /// The script failed.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
}
