//! What a rule script says about an instance.

use sereno_model::Level;

/// The answer of `check`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All is well; with the value that was looked at.
    Ok(Option<f64>),
    /// The condition holds at this level; with the value that was looked at.
    Alert(Level, Option<f64>),
    /// There is no data, and why that is so.
    Absent(String),
    /// Nothing can be said at this tick, and why: the state is held.
    Skip(String),
}
