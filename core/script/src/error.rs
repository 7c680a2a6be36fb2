//! How a script fails: Rhai's errors in our words, with the place in the file.

use std::error::Error;

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};
use sereno_runtime::diagnostic::Diagnostic;

use crate::unit::Texts;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The script did something that cannot be done, or threw an error itself.
    Failed,
    /// The script used up what it may; it was stopped.
    Limit,
    /// The script ended, but its answer means nothing here.
    Answer,
    /// The store could not read what the script asked for.
    Unreadable,
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

impl ScriptError {
    /// An error about the script as a whole.
    pub(crate) fn whole(kind: ErrorKind, texts: &Texts, message: impl Into<String>) -> Self {
        Self { kind, diagnostic: Box::new(Diagnostic::error(&texts.main().display, message)) }
    }

    /// What the engine says, at the innermost place that it names.
    pub(crate) fn from_engine(texts: &Texts, error: EvalAltResult) -> Self {
        let (file, error) = innermost(error);
        let source = file.and_then(|file| texts.get(&file)).unwrap_or_else(|| texts.main());
        let (line, column) = line_and_column(error.position());
        let (kind, message) = explain(error);
        let diagnostic = Diagnostic::error(&source.display, message).at(&source.text, line, column, 0);
        Self { kind, diagnostic: Box::new(diagnostic) }
    }
}

/// The cause of an error, and the source of the function in which it happened, if that is not the script itself.
fn innermost(mut error: EvalAltResult) -> (Option<String>, EvalAltResult) {
    let mut file = None;
    loop {
        match error {
            EvalAltResult::ErrorInFunctionCall(_, source, inner, _) => {
                if !source.is_empty() {
                    file = Some(source);
                }
                error = *inner;
            }
            EvalAltResult::ErrorInModule(_, inner, _) => error = *inner,
            cause => return (file, cause),
        }
    }
}

fn explain(mut error: EvalAltResult) -> (ErrorKind, String) {
    use EvalAltResult as E;
    error.set_position(Position::NONE);
    let message = match &error {
        E::ErrorRuntime(value, _) | E::ErrorTerminated(value, _) => value.to_string(),
        E::ErrorTooManyOperations(_) => "the script used up its operations for one call".to_owned(),
        E::ErrorStackOverflow(_) => "functions call each other too deep".to_owned(),
        E::ErrorDataTooLarge(what, _) => format!("{} grew too large", too_large(what)),
        E::ErrorFunctionNotFound(signature, _) => format!("there is no function `{signature}`"),
        E::ErrorVariableNotFound(name, _) => format!("there is no variable `{name}`"),
        E::ErrorPropertyNotFound(name, _) => format!("there is no `{name}`"),
        E::ErrorArithmetic(message, _) => lower_first(message),
        other => lower_first(&other.to_string()),
    };
    let limit = matches!(
        error,
        E::ErrorTerminated(..)
            | E::ErrorTooManyOperations(_)
            | E::ErrorStackOverflow(_)
            | E::ErrorDataTooLarge(..)
            | E::ErrorTooManyVariables(_)
            | E::ErrorTooManyModules(_)
    );
    (if limit { ErrorKind::Limit } else { ErrorKind::Failed }, message)
}

fn too_large(what: &str) -> &'static str {
    match what {
        _ if what.contains("string") => "a text",
        _ if what.contains("map") => "a map",
        _ => "an array",
    }
}

/// What the parser says, at its place. Rhai reports where it noticed, which may be just after the mistake.
pub(crate) fn from_parser(texts: &Texts, error: &ParseError) -> Diagnostic {
    let source = texts.main();
    let (line, column) = line_and_column(error.position());
    let message = match error.err_type() {
        ParseErrorType::Reserved(word) => format!("`{word}` is a word that the language keeps for itself"),
        other => lower_first(&other.to_string()),
    };
    let diagnostic = Diagnostic::error(&source.display, message).at(&source.text, line, column, 0);
    match error.err_type() {
        ParseErrorType::Reserved(word) => {
            diagnostic.hint(format!("choose another name; a property of that name is `x[\"{word}\"]`"))
        }
        _ => diagnostic,
    }
}

/// From 1, or 0 where the position is unknown.
pub(crate) fn line_and_column(position: Position) -> (u32, u32) {
    let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    (number(position.line()), number(position.position()))
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let second_is_upper = text.chars().nth(1).is_some_and(char::is_uppercase);
    match chars.next() {
        Some(first) if !second_is_upper => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}
