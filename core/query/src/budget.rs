//! What one query may cost, and how a query fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sereno_runtime::Clock;
use sereno_storage::{Damage, ReadError};

use crate::reduce::ReduceError;
use crate::tally::{Interrupt, Tally};

/// The limits of one query.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Measures the time it takes.
    pub clock: Arc<dyn Clock>,
    /// When it must be done, on the monotonic clock.
    pub deadline: Duration,
    /// How many samples it may decode, over all its series. Rows that stand for samples are free.
    pub samples_max: u64,
    /// How many series may match.
    pub series_max: usize,
    /// How many windows the answer may have for one group. All groups together may give as many points as there may be
    /// samples: both are kept in memory.
    pub points_max: usize,
    /// How many threads may work at it, the caller's included. The answer does not depend on it.
    pub threads: usize,
    /// Becomes true when nobody waits for the answer any more; the query then fails soon, as if its time were up.
    pub cancelled: Option<Arc<AtomicBool>>,
}

impl Budget {
    /// The usual limits, with so much time: 10,000,000 samples, 100,000 series, 11,000 points for a group, one thread.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, time: Duration) -> Self {
        let deadline = clock.monotonic() + time;
        Self {
            clock,
            deadline,
            samples_max: 10_000_000,
            series_max: 100_000,
            points_max: 11_000,
            threads: 1,
            cancelled: None,
        }
    }

    /// The account of a query with these limits.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        Tally::new(self.samples_max, Some(self.interrupt()))
    }

    /// Whether to give up, for whoever reads the store on this budget.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        let (clock, deadline, cancelled) = (self.clock.clone(), self.deadline, self.cancelled.clone());
        Arc::new(move || {
            let is_cancelled = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
            cancelled.as_ref().is_some_and(is_cancelled) || clock.monotonic() >= deadline
        })
    }

    /// Whether there is time left, and anybody who waits.
    ///
    /// # Errors
    /// [`QueryError::Deadline`]
    pub fn check_time(&self) -> Result<(), QueryError> {
        let cancelled = self.cancelled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
        if !cancelled && self.clock.monotonic() < self.deadline { Ok(()) } else { Err(QueryError::Deadline) }
    }

    /// Whether so many series may match.
    ///
    /// # Errors
    /// [`QueryError::TooManySeries`]
    pub fn check_series(&self, found: usize) -> Result<(), QueryError> {
        let limit = self.series_max;
        if found <= limit { Ok(()) } else { Err(QueryError::TooManySeries { found, limit }) }
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
    /// The caller's fault: windows that have no length, or do not advance.
    #[error("a window of {window:?} every {step:?}: give both at least a nanosecond")]
    Step {
        /// The length.
        window: Duration,
        /// From start to start.
        step: Duration,
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
    /// More series match than one query may read.
    #[error(
        "{found} series match, more than the {limit} that one query may read; select fewer by their labels"
    )]
    TooManySeries {
        /// How many match.
        found: usize,
        /// How many may.
        limit: usize,
    },
    /// The answer would have more windows than it may.
    #[error(
        "{points} windows, more than the {limit} that one query may give; ask for a shorter period or longer steps"
    )]
    TooManyPoints {
        /// How many there would be, for each group.
        points: u64,
        /// How many there may be.
        limit: usize,
    },
    /// All groups together would have more points than they may.
    #[error(
        "more than the {limit} points that one query may give in all; ask for a shorter period, longer steps or fewer groups"
    )]
    TooManyPointsInAll {
        /// How many there may be.
        limit: u64,
    },
    /// The query reads more than it may; a shorter period or fewer series help.
    #[error(
        "more samples to read than the {limit} that one query may; ask for a shorter period or fewer series"
    )]
    TooManySamples {
        /// How many it may read.
        limit: u64,
    },
    /// It took too long; a shorter period, longer windows or a quieter server help.
    #[error("the deadline has passed; ask for a shorter period or longer windows")]
    Deadline,
    /// The store is still reading its log back; try again in a moment.
    #[error("the store is still reading its log back after the start; try again in a moment")]
    Recovering,
    /// Part of what was asked for is damaged or cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The script failed.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Recovering => Self::Recovering,
            ReadError::Damaged(damage) => Self::Damaged(damage),
            ReadError::TooManySamples { limit } => Self::TooManySamples { limit },
            ReadError::Interrupted => Self::Deadline,
        }
    }
}
