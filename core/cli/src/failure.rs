//! How a command ends: exit codes, and the one way in which a failure is told.

use std::error::Error;
use std::fmt;
use std::io;

use sereno_client::messages::Code;
use sereno_client::{ClientError, Waiting};

use crate::console::printable;

/// The exit code of `sereno`. Scripts depend on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Done, and the answer is no: no such metric, nothing in the period, a check that failed.
    Negative = 1,
    /// The command line means nothing, or nothing that this version can do.
    Usage = 2,
    /// No server there, or it went away.
    Unreachable = 3,
    /// The server does not want to.
    Refused = 4,
    /// The server is silent.
    Timeout = 5,
}

/// Why a command ends before its time.
#[derive(Debug)]
pub enum Stop {
    /// It failed.
    Failed(Failure),
    /// Whoever read the output has seen enough, as `head` does. Not a failure.
    ReaderLeft,
    /// Everything has been said; the exit code is left.
    Ended(Exit),
}

/// What the user is told, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub(crate) exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// Whether it passes: the server is busy, or starts.
    pub(crate) passes: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None, passes: false }
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An error with all its causes.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        let causes =
            std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
        Self { causes: causes.collect(), ..Self::new(exit, error.to_string()) }
    }
}

impl Failure {
    fn make_printable(&mut self) {
        let texts = self.causes.iter_mut().chain(&mut self.hint).chain([&mut self.message]);
        texts.for_each(|text| *text = printable(text).into_owned());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  cause: {cause}"))?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint:  {hint}"))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Stop {
    /// What writing the output ended in.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderLeft,
            _ => {
                let mut failure = Failure::new(Exit::Negative, "failed to write the output");
                failure.causes.push(error.to_string());
                Self::Failed(failure)
            }
        }
    }
}

const NOBODY_THERE: &str = "start `serenod`, or name the server with `--server HOST:PORT`, SERENO_SERVER or `sereno context use NAME`";

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        let (exit, hint) = match &error {
            ClientError::Connect { .. } => (Exit::Unreachable, NOBODY_THERE),
            ClientError::Closed { waiting: Waiting::Handshake, .. } | ClientError::Format { .. } => {
                (Exit::Unreachable, "check the port: `serenod` says where it listens when it starts")
            }
            ClientError::Connection { .. } | ClientError::Closed { .. } => (
                Exit::Unreachable,
                "the server's log tells why; what was not answered may have been done or not",
            ),
            ClientError::Timeout { .. } => {
                (Exit::Timeout, "is the server overloaded? `--timeout` waits longer")
            }
            ClientError::Unauthorized { .. } => (
                Exit::Refused,
                "name the file with the server's token: `--token-file PATH`, or set SERENO_TOKEN, or use a context",
            ),
            ClientError::Server { error, .. } => of_code(error.code),
            ClientError::TooLarge { .. } => (Exit::Refused, "ask for less at a time"),
            ClientError::Unexpected { .. } | ClientError::WriterClosed => {
                (Exit::Refused, "this is a bug of Sereno: please report it, with the message above")
            }
        };
        // What this program can do about a token, it knows better.
        let of_server = error.hint().filter(|_| !matches!(error, ClientError::Unauthorized { .. }));
        let mut failure = Failure::of(exit, &error).hint(of_server.unwrap_or(hint));
        failure.passes = matches!(error.code(), Some(Code::Overloaded | Code::Recovering));
        let diagnostics = error.server().map(|error| error.diagnostics.as_slice()).unwrap_or_default();
        failure.causes.extend(diagnostics.iter().map(|diagnostic| diagnostic.message.clone()));
        // What a server says comes from elsewhere.
        failure.make_printable();
        failure.into()
    }
}

/// How a refusal ends the command, and what to do where the server does not say it.
const fn of_code(code: Code) -> (Exit, &'static str) {
    match code {
        Code::NotFound => (Exit::Negative, "check the spelling"),
        Code::Invalid => (Exit::Usage, "`--help` tells what the command takes"),
        Code::Deadline => (Exit::Timeout, "ask for less, or wait longer with `--timeout`"),
        Code::Overloaded => (Exit::Refused, "the server is too busy now; try again in a moment"),
        Code::Recovering => (Exit::Refused, "the server reads its log back; try again in a moment"),
        Code::Limit => (Exit::Refused, "ask for less: a shorter period, fewer series or longer windows"),
        Code::Unsupported => (Exit::Refused, "the server is older than this program"),
        Code::Closing => (Exit::Unreachable, "the server is shutting down; try again in a moment"),
        _ => (Exit::Refused, "the server's log tells why"),
    }
}
