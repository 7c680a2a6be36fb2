//! Windows over stored samples, what can be computed from one, and the execution of queries.
//!
//! Reduction has two stages everywhere: a [`Reducer`] over time within each series, then [`Across`] the series of a
//! group. The same snapshot gives the same bits: every fold has a written order (samples in time order, grouped
//! minute -> hour -> window, then series in the order of their keys), never that of threads or hashes.
//!
//! Not here: scripts (`sereno-script` implements [`Reducer`]), rules, wire formats.

mod across;
mod anchored;
mod budget;
mod fold;
mod measure;
mod measures;
mod native;
mod range;
mod reduce;
mod tally;
mod track;
mod window;

#[cfg(test)]
mod tests;

pub use across::{Across, AcrossError, reduce_group};
pub use anchored::{Anchored, anchored};
pub use budget::{Budget, QueryError};
pub use measure::{Measured, measure, prefetch};
pub use native::Native;
pub use range::{Alignment, Group, Grouping, Identity, RangeAnswer, RangeQuery, range_query};
pub use reduce::{ReduceError, Reduced, Reducer};
pub use tally::{Cost, Interrupt, Tally};
pub use window::{Values, Window};
