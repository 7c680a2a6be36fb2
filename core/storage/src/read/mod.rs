//! Reading one series of a snapshot: from segments and heads to samples or summaries.
//!
//! * [`sources`]: where samples of a series are, and which stretches of time have one source or several;
//! * [`fold`]: samples and rows into the summaries of windows, in the order of `summary`;
//! * [`scan`]: walks the stretches; rows stand for samples wherever one source covers them;
//! * [`edges`]: the first and the last sample of a range;
//! * [`recent`]: short windows that lie in the heads alone, as those of most rules do;
//! * [`held`]: samples that were read into memory for many looks at them.

mod edges;
mod fold;
mod held;
mod recent;
mod scan;
mod sources;

pub(crate) use edges::{first_in, last_before};
pub use fold::Want;
pub(crate) use held::Held;
pub(crate) use recent::{Heads, measure_recent};
pub(crate) use scan::{fold_windows, measure, read_samples};
pub(crate) use sources::Place;

use std::fmt;

use sereno_model::Timestamp;

use crate::segment::Damage;
use crate::summary::Summary;

/// What one look at a span of a series tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// The summary of the samples.
    pub summary: Summary,
    /// When the newest of them was observed.
    pub newest: Option<Timestamp>,
}

impl Measure {
    /// No samples.
    pub const EMPTY: Self = Self { summary: Summary::EMPTY, newest: None };
}

/// What reads have cost, what they may cost, and the word to stop. One per query.
pub struct Reads<'a> {
    /// Samples decoded or copied.
    pub samples: u64,
    /// Rows used in place of samples.
    pub rows: u64,
    /// Blocks decoded.
    pub blocks: u64,
    samples_max: u64,
    interrupt: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl Default for Reads<'_> {
    /// No limits.
    fn default() -> Self {
        Self { samples: 0, rows: 0, blocks: 0, samples_max: u64::MAX, interrupt: None }
    }
}

impl<'a> Reads<'a> {
    /// At most so many samples; `interrupt` is asked before each block whether to give up.
    #[must_use]
    pub fn limited(samples_max: u64, interrupt: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { samples_max, interrupt: Some(interrupt), ..Self::default() }
    }

    /// Takes note of samples that are about to be read.
    pub(crate) fn charge(&mut self, samples: usize) -> Result<(), ReadError> {
        self.samples += samples as u64;
        if self.samples > self.samples_max {
            return Err(ReadError::TooManySamples { limit: self.samples_max });
        }
        match self.interrupt {
            Some(interrupt) if interrupt() => Err(ReadError::Interrupted),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Reads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads")
            .field("samples", &self.samples)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Why a read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The store is still reading its log back; try again in a moment.
    #[error("the store is still reading its log back after the start; try again in a moment")]
    Recovering,
    /// Part of what was asked for is damaged or cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The reads cost more than they may.
    #[error("more than {limit} samples to read")]
    TooManySamples {
        /// How many they may cost.
        limit: u64,
    },
    /// The caller wants no more.
    #[error("interrupted")]
    Interrupted,
}
