//! Why there is no answer, in the words and codes of the protocol. The client gets what it can act on; what only the
//! server's people can mend goes to the log with its detail.

use std::error::Error as _;

use sereno_model::{MatchError, TextError};
use sereno_protocol::v2::messages::{Code, Diagnostic, Error};
use sereno_query::{QueryError, ReduceError};
use sereno_runtime::diagnostic::{self, Diagnostic as Finding, Severity};
use sereno_script::{ErrorKind, ScriptError};
use tracing::{debug, error, warn};

use crate::v2::outbox::Gone;

/// When to try again what the server had no room for.
const OVERLOADED_RETRY_MS: u64 = 200;
/// When to try again what has to wait for the log.
const RECOVERING_RETRY_MS: u64 = 500;

/// Why a request has no answer.
pub(super) enum Failed {
    /// Nobody wants it any more.
    Gone,
    /// The client is told.
    Error(Box<Error>),
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

pub(super) fn error(code: Code, message: impl Into<String>) -> Error {
    Error { code: code.into(), message: message.into(), ..Error::default() }
}

pub(super) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error { hint: hint.into(), ..error(Code::Invalid, message) }
}

/// There is no `what` of this name; says what may have been meant.
pub(super) fn not_found<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let near = diagnostic::nearest(name, known);
    let hint = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
    Error { hint, ..error(Code::NotFound, format!("there is no {what} `{name}`")) }
}

pub(super) fn overloaded(message: &str) -> Error {
    let hint = "try again in a moment".into();
    Error { hint, retry_after_ms: OVERLOADED_RETRY_MS, ..error(Code::Overloaded, message) }
}

pub(super) fn closing() -> Error {
    error(Code::Closing, "the server shuts down")
}

pub(super) fn internal() -> Error {
    let hint = "the server's log has the detail; please report it".into();
    Error { hint, ..error(Code::Internal, "the server failed at it, which is a bug") }
}

/// A selector cannot be read.
pub(super) fn of_text(selector: &str, mistake: &TextError) -> Error {
    let (message, column) = match mistake {
        TextError::Syntax { expected, column, .. } => (format!("expected {expected}"), *column),
        TextError::Match(mistake) => (of_pattern(mistake), column_of(selector, &mistake.pattern)),
        other => (other.to_string(), 0),
    };
    let found = Diagnostic {
        severity: Severity::Error.to_string(),
        message,
        line: 1,
        column: u32::try_from(column).unwrap_or(0),
        excerpt: selector.to_owned(),
        ..Diagnostic::default()
    };
    let hint = "selectors look like `cpu.*{env=\"prod\",host!~\"test.*\"}`";
    Error { diagnostics: vec![found], ..invalid(format!("the selector cannot be read: {mistake}"), hint) }
}

/// A regular expression does not compile: the last line says why, the ones before draw it.
pub(super) fn of_pattern(mistake: &MatchError) -> String {
    let why = mistake.source().map(ToString::to_string).unwrap_or_default();
    let why = why.lines().last().unwrap_or_default();
    format!("{mistake}: {}", why.trim_start_matches("error: "))
}

/// Where a pattern stands in a selector, in characters from 1; 0 if it was written with escapes.
fn column_of(selector: &str, pattern: &str) -> usize {
    let before = selector.find(pattern).map(|at| &selector[..at]);
    before.map_or(0, |before| before.chars().count() + 1)
}

/// A query has no answer.
pub(super) fn of_query(failure: &QueryError) -> Error {
    // The texts of limits end with what to do.
    let (message, hint) = match failure.to_string().split_once("; ") {
        Some((message, hint)) => (message.to_owned(), hint.to_owned()),
        None => (failure.to_string(), String::new()),
    };
    let coded = |code| Error { hint: hint.clone(), ..error(code, message.clone()) };
    match failure {
        QueryError::Window { .. }
        | QueryError::Step { .. }
        | QueryError::Map
        | QueryError::AcrossMissing { .. } => coded(Code::Invalid),
        QueryError::TooManySeries { .. }
        | QueryError::TooManyPoints { .. }
        | QueryError::TooManyPointsInAll { .. }
        | QueryError::TooManySamples { .. } => coded(Code::Limit),
        QueryError::Deadline => coded(Code::Deadline),
        QueryError::Recovering => Error { retry_after_ms: RECOVERING_RETRY_MS, ..coded(Code::Recovering) },
        QueryError::Damaged(damage) => {
            error!(error = %damage, "A query needs what cannot be read.");
            let hint = "the server's log names the file; other periods and series can be read".into();
            Error { hint, ..error_of_damage() }
        }
        QueryError::Reduce(failure) => of_reduction(failure),
    }
}

fn error_of_damage() -> Error {
    error(Code::Damaged, "part of what was asked for is damaged or cannot be read")
}

/// An aggregation failed.
fn of_reduction(failure: &ReduceError) -> Error {
    let Some(script) = failure.source.downcast_ref::<ScriptError>() else {
        error!(error = %failure, cause = %failure.source, "An aggregation failed.");
        return internal();
    };
    match script.kind {
        ErrorKind::Panic => {
            error!(error = %script, "An aggregation panicked; this is a bug of the server.");
            return internal();
        }
        ErrorKind::Unreadable => warn!(error = %script, "An aggregation could not read the store."),
        // The author of the script is told by whoever queries.
        ErrorKind::Failed | ErrorKind::Limit | ErrorKind::Answer => {
            debug!(error = %script, "A script failed.")
        }
    }
    let message = format!("{failure}: {}", script.diagnostic.message);
    Error { diagnostics: vec![finding(&script.diagnostic)], ..error(Code::Script, message) }
}

/// A finding, as it is told.
pub(super) fn finding(found: &Finding) -> Diagnostic {
    Diagnostic {
        severity: found.severity.to_string(),
        message: found.message.clone(),
        path: found.path.display().to_string(),
        line: found.line,
        column: found.column,
        excerpt: found.source_line.clone().unwrap_or_default(),
        hint: found.hint.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn whoever_asked_is_told_what_helps_and_no_more() {
        let told = |failure: QueryError| {
            let error = of_query(&failure);
            (error.code(), error.message, error.hint, error.retry_after_ms)
        };
        let is = |found: (Code, String, String, u64), code, message: &str, hint: &str, retry| {
            assert_eq!(found, (code, message.to_owned(), hint.to_owned(), retry));
        };
        let recovering = "the store is still reading its log back after the start";
        is(
            told(QueryError::Recovering),
            Code::Recovering,
            recovering,
            "try again in a moment",
            RECOVERING_RETRY_MS,
        );
        let late = "ask for a shorter period or longer windows";
        is(told(QueryError::Deadline), Code::Deadline, "the deadline has passed", late, 0);
        let damage = sereno_storage::Damage {
            what: "a block",
            offset: 7,
            path: "/secret/place".into(),
            why: sereno_storage::Why::Io(Arc::new(std::io::Error::other("no"))),
        };
        let (code, message, hint, _) = told(QueryError::Damaged(damage));
        assert_eq!(code, Code::Damaged);
        assert!(!message.contains("secret") && !hint.contains("secret"), "{message}; {hint}");
        let failure = ReduceError { aggregation: "x".into(), source: "ours".into() };
        assert_eq!(told(QueryError::Reduce(failure)).0, Code::Internal);
    }
}
