//! The forms of an answer: for eyes in `table`, for programs in `data`.

mod data;
mod table;

pub(super) use data::{csv, json, ndjson, plain};
pub(super) use table::table;

use super::plan::Plan;
use super::shown::Shown;

/// An answer and the question it belongs to.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    pub(super) plan: &'a Plan,
    /// When the store was read, in nanoseconds since the epoch, and whether it was the store of that moment.
    pub(super) as_of: i64,
    pub(super) exact: bool,
    /// How many series matched.
    pub(super) series: u64,
    /// How the series of a group were joined; empty if nothing was.
    pub(super) across: String,
    /// Those that have a value.
    pub(super) shown: Vec<Shown>,
}

#[cfg(test)]
mod tests;
