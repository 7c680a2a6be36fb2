//! What can go wrong between a client and its server.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sereno_protocol::v2::FrameError;
use sereno_protocol::v2::messages::{Code, Diagnostic, Error};

/// Why there is no answer. Can be cloned, since everybody who waits on a connection is told when it dies.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("failed to connect to `{address}`")]
    Connect {
        /// The server.
        address: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The connection broke. What was sent and not answered may have been done or not.
    #[error("lost the connection to `{address}`")]
    Connection {
        /// The server.
        address: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The server closed the connection. What was sent and not answered may have been done or not. While it is
    /// [`Waiting::Handshake`]: probably no server that speaks version 2 of the protocol.
    #[error("`{address}` closed the connection while {waiting}")]
    Closed {
        /// The server.
        address: String,
        /// What was still to come.
        waiting: Waiting,
    },
    /// The server was silent for too long. What was sent and not answered may have been done or not.
    #[error("`{address}` did not answer within {after:?} while {waiting}")]
    Timeout {
        /// The server.
        address: String,
        /// What was still to come.
        waiting: Waiting,
        /// How long was waited.
        after: Duration,
    },
    /// What came is not version 2 of the protocol.
    #[error("`{address}` sent something that is not version 2 of the protocol; is it a Sereno server?")]
    Format {
        /// The server.
        address: String,
        /// What is wrong with it.
        source: FrameError,
    },
    /// An answer of another kind than the request asks for.
    #[error("`{address}` answered something else than it was asked")]
    Unexpected {
        /// The server.
        address: String,
    },
    /// The request is longer than the server takes; it was not sent.
    #[error("a request has {bytes} bytes, but `{address}` takes {limit}")]
    TooLarge {
        /// The server.
        address: String,
        /// The length of its frame.
        bytes: u64,
        /// The server's limit.
        limit: u64,
    },
    /// The server wants a token, or another one.
    #[error("`{address}` refused the connection: {}", error.message)]
    Unauthorized {
        /// The server.
        address: String,
        /// What it says.
        error: Box<ServerError>,
    },
    /// The server understood and says no.
    #[error("`{address}` answered: {}", error.message)]
    Server {
        /// The server.
        address: String,
        /// What it says.
        error: Box<ServerError>,
    },
    /// The writer was closed by one of its clones.
    #[error("the writer is closed")]
    WriterClosed,
}

impl ClientError {
    /// Whether nobody listens at the address: a server that starts may be there a moment later.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether time ran out, here or at the server.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. }) || self.code() == Some(Code::Deadline)
    }

    /// Whether the connection is lost; a new one may do better.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Connection { .. } | Self::Closed { .. } | Self::Timeout { .. }
        )
    }

    /// What the server says, if it is the server that says no.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server { error, .. } | Self::Unauthorized { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The server's stable code, if it is the server that says no.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.server().map(|error| error.code)
    }

    /// When the same request may succeed, if the server says so: for `Overloaded` and `Recovering`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.server().and_then(|error| error.retry_after)
    }

    /// What to do, where the server knows something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.server().map(|error| error.hint.as_str()).filter(|hint| !hint.is_empty())
    }

    pub(crate) fn of_server(address: &str, error: Error) -> Self {
        let error = Box::new(ServerError::from(error));
        let address = address.to_owned();
        match error.code {
            Code::Unauthenticated => Self::Unauthorized { address, error },
            _ => Self::Server { address, error },
        }
    }
}

/// What a server says when it says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Stable; programs may depend on it. One of a later version is [`Code::Unspecified`], and not worth a second try.
    pub code: Code,
    /// For people. Comes from elsewhere: escape it before it reaches a terminal.
    pub message: String,
    /// What to do; empty if there is nothing to do.
    pub hint: String,
    /// When to try again, for `Overloaded` and `Recovering`.
    pub retry_after: Option<Duration>,
    /// Where, for mistakes in scripts and selectors.
    pub diagnostics: Vec<Diagnostic>,
}

impl From<Error> for ServerError {
    fn from(error: Error) -> Self {
        let code = error.code();
        let hinted = matches!(code, Code::Overloaded | Code::Recovering);
        Self {
            code,
            message: error.message,
            hint: error.hint,
            retry_after: hinted.then_some(Duration::from_millis(error.retry_after_ms)),
            diagnostics: error.diagnostics,
        }
    }
}

/// What a client was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A connection.
    Connection,
    /// The server's welcome.
    Handshake,
    /// The answer to a request.
    Answer,
    /// The acknowledgement of samples.
    Acknowledgement,
    /// The next notification.
    Notification,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connecting",
            Self::Handshake => "it was to say welcome",
            Self::Answer => "a request waited for its answer",
            Self::Acknowledgement => "samples waited for their acknowledgement",
            Self::Notification => "a monitor waited for notifications",
        })
    }
}
