//! How a command ends: exit codes, and the one way in which a failure is told.

use std::error::Error;
use std::fmt;
use std::io;

use sereno_client::{ClientError, Waiting};

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
}

/// What the user is told, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub(crate) exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An error with all its causes.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        let causes =
            std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
        Self { exit, message: error.to_string(), causes: causes.collect(), hint: None }
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

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        let (exit, hint) = match &error {
            ClientError::Connect { .. } => (
                Exit::Unreachable,
                "start `serenod`, or name the server with `--server HOST:PORT` or SERENO_SERVER",
            ),
            ClientError::Closed { waiting: Waiting::Notification, .. } => {
                (Exit::Unreachable, "the server died, or dropped a monitor that read too slowly; watch again")
            }
            ClientError::Connection { .. } | ClientError::Closed { .. } => (
                Exit::Unreachable,
                "the server's log tells why; a metric without its status may be stored or not",
            ),
            ClientError::Timeout { .. } => {
                (Exit::Timeout, "is the server overloaded? `--timeout` waits longer")
            }
            ClientError::Format { .. } => {
                (Exit::Unreachable, "check the port: `serenod` says where it listens when it starts")
            }
            ClientError::Refused { .. } => {
                (Exit::Refused, "the server is too busy now; try again in a moment")
            }
        };
        Failure::of(exit, &error).hint(hint).into()
    }
}
