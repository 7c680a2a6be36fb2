//! How a script fails.

use sereno_runtime::diagnostic::Diagnostic;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The script did something that cannot be done, or threw an error itself.
    Failed,
    /// The script used up what it may; it was stopped.
    Limit,
    /// The script ended, but its answer means nothing here.
    Answer,
    /// A native function panicked: our fault.
    Panic,
}

/// A call of a script failed. It changed nothing: the memory of the instance is what it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at {}", .diagnostic.message, .diagnostic.place())]
pub struct ScriptError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What went wrong, and where.
    pub diagnostic: Box<Diagnostic>,
}
