//! What scripts have used up.

/// What the calls for one rule at one tick have used up; a fresh one for each tick.
#[derive(Debug, Default)]
pub struct Budget {
    pub(crate) operations: u64,
    pub(crate) samples: u64,
}

impl Budget {
    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Samples looked at so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }
}
