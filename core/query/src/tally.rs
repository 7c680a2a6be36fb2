//! What the windows of one query have read, what they may read, and how reading failed.
//!
//! Windows read when they are asked, deep inside reducers that know no errors. So the first error stays here: from then on
//! nothing more is read, measures have no value, and whoever asked for the answer looks here before it uses it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sereno_storage::{ReadError, Reads};

use crate::budget::QueryError;

/// Says whether to give up; asked before each block that is decoded.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// The account of one query, shared by its windows and threads.
pub struct Tally {
    samples_max: u64,
    interrupt: Option<Interrupt>,
    samples: AtomicU64,
    rows: AtomicU64,
    blocks: AtomicU64,
    error: OnceLock<ReadError>,
}

/// What a query has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Samples that were decoded or copied.
    pub samples: u64,
    /// Rows of minutes and hours that stood for samples.
    pub rows: u64,
    /// Blocks that were decoded.
    pub blocks: u64,
}

impl Default for Tally {
    /// Without limits.
    fn default() -> Self {
        Self {
            samples_max: u64::MAX,
            interrupt: None,
            samples: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            error: OnceLock::new(),
        }
    }
}

impl Tally {
    /// An account of at most so many samples, for as long as `interrupt` says no.
    #[must_use]
    pub fn new(samples_max: u64, interrupt: Option<Interrupt>) -> Arc<Self> {
        Arc::new(Self { samples_max, interrupt, ..Self::default() })
    }

    /// Makes the account as if it were new, with these limits; in place, if nobody else holds it: one owner can use it for
    /// read after read.
    pub fn renew(this: &mut Arc<Self>, samples_max: u64, interrupt: Option<Interrupt>) {
        let fresh = Self { samples_max, interrupt, ..Self::default() };
        match Arc::get_mut(this) {
            Some(account) => *account = fresh,
            None => *this = Arc::new(fresh),
        }
    }

    /// What has been read so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Cost { samples: count(&self.samples), rows: count(&self.rows), blocks: count(&self.blocks) }
    }

    /// The first error of a read, as that of the query.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), QueryError> {
        match self.error.get() {
            None => Ok(()),
            // What was left of the budget says less than the budget.
            Some(ReadError::TooManySamples { .. }) => {
                Err(QueryError::TooManySamples { limit: self.samples_max })
            }
            Some(error) => Err(error.clone().into()),
        }
    }

    /// Whether to give up. Told as an error of a read, which voids the answer.
    pub(crate) fn is_interrupted(&self) -> bool {
        let interrupted = self.interrupt.as_ref().is_some_and(|interrupt| interrupt());
        if interrupted {
            drop(self.error.set(ReadError::Interrupted));
        }
        interrupted
    }

    /// Reads on this account; nothing once a read has failed.
    pub fn read<T>(&self, read: impl FnOnce(&mut Reads<'_>) -> Result<T, ReadError>) -> Option<T> {
        if self.error.get().is_some() {
            return None;
        }
        let left = self.samples_max.saturating_sub(self.samples.load(Ordering::Relaxed));
        let mut reads = match &self.interrupt {
            Some(interrupt) => Reads::limited(left, &**interrupt),
            None => Reads::limited(left, &|| false),
        };
        let found = read(&mut reads);
        let counts = [(&self.samples, reads.samples), (&self.rows, reads.rows), (&self.blocks, reads.blocks)];
        for (counter, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                // The first one counts.
                drop(self.error.set(error));
                None
            }
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally")
            .field("cost", &self.cost())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
