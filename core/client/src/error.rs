//! What can go wrong between a client and its server.

use std::io;
use std::time::Duration;

use sereno_protocol::v1::{FormatError, Status};

/// Why a client has no answer. An answer that the server did give, a [`Status`], is not an error.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("failed to connect to `{address}`")]
    Connect {
        /// The server.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke.
    #[error("lost the connection to `{address}`")]
    Connection {
        /// The server.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server closed the connection before it had answered. What was sent and not answered may have been
    /// accepted or not.
    #[error("`{address}` closed the connection while {waiting}")]
    Closed {
        /// The server.
        address: String,
        /// What was still to come.
        waiting: Waiting,
    },
    /// The server was silent for too long. What was sent and not answered may have been accepted or not.
    #[error("`{address}` did not answer within {after:?} while {waiting}")]
    Timeout {
        /// The server.
        address: String,
        /// What was still to come.
        waiting: Waiting,
        /// How long was waited.
        after: Duration,
    },
    /// What came is not version 1 of the protocol.
    #[error("`{address}` sent something that is not version 1 of the protocol; is it a Sereno server?")]
    Format {
        /// The server.
        address: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The server takes no monitor now.
    #[error("`{address}` refused the monitor: {status}")]
    Refused {
        /// The server.
        address: String,
        /// Why.
        status: Status,
    },
}

impl ClientError {
    /// Whether nobody listens at the address: a server that starts may be there a moment later.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

/// What a client was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A connection.
    Connection,
    /// The statuses of metrics.
    Statuses,
    /// The windows of a query.
    Windows,
    /// The next notification.
    Notification,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connection => "connecting",
            Self::Statuses => "metrics waited for their status",
            Self::Windows => "a query waited for its answer",
            Self::Notification => "a monitor waited for notifications",
        })
    }
}
