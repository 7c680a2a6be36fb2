//! The script host: everything about Rhai, which no other crate knows.
//!
//! A [`Library`] is the scripts of one generation, compiled and linted. From it come aggregations, which are
//! [`sereno_query::Reducer`]s, and rule scripts ([`RuleScript`]). What a script may say is in `scripts/README.md`.
//!
//! Invariants:
//! * a script has no clock, no randomness, no files, no network, and cannot sleep: the same samples give the same
//!   answer, whenever they are read;
//! * every call ends: operations, time, depth, sizes and samples are limited, no script can catch a broken limit, and a
//!   panic inside a call is an error of that call;
//! * no lock is held across a call, and nothing that one call does is seen by another but through [`Memory`];
//! * per-sample work is native: scripts hold windows, not arrays of samples.
//!
//! Scripts run on the caller's thread, which needs a stack of [`sereno_runtime::threads::SCRIPT_STACK_BYTES`].
//!
//! Not here: when scripts run (`sereno-rules`, `sereno-query`), where their files are (the caller reads them).

mod aggregation;
mod alert;
mod calendar;
mod compile;
mod convert;
mod engine;
mod error;
mod functions;
mod histogram;
mod instance;
mod library;
mod limits;
mod lint;
mod memory;
mod meter;
mod operators;
mod query;
mod reader;
mod reference;
mod rule;
mod shipped;
mod subject;
mod trace;
mod unit;
mod vector;
mod verdict;
mod whole;
mod window;

#[cfg(test)]
mod tests;

pub use calendar::{Zone, ZoneError};
pub use error::{ErrorKind, ScriptError};
pub use instance::{AlertView, AlertsOf, InputView, Instance, Labels, ParamValue, Params, Value, Whole};
pub use library::{Library, Source};
pub use limits::Limits;
pub use memory::{Memory, MemoryError};
pub use meter::Budget;
pub use reference::FunctionDoc;
pub use rule::{Entry, RuleScript};
pub use trace::{Trace, TraceValue};
pub use verdict::{Answer, Decided, Verdict};
