//! Watches the notifications of a server.

use sereno_model::Timestamp;
use sereno_protocol::v1::{Intention, NOTIFICATION_RESPONSE_BYTES, NotificationResponse, Status};
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{Inbox, Timeouts, connect};
use crate::error::{ClientError, Waiting};

/// What a monitor is told; version 1 carries no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it happened.
    pub time: Timestamp,
    /// For a human, at most 127 bytes. May hold any character: escape it before it reaches a terminal.
    pub message: String,
}

/// A connection that listens to notifications.
pub struct Monitor {
    inbox: Inbox,
    // Held open: its end would tell the server that nobody listens any more.
    _outbox: OwnedWriteHalf,
}

impl Monitor {
    /// Connects to `address`, `host:port`. What the server has no room for shows in the first [`Self::next`].
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::Timeout`].
    pub async fn connect(address: &str, timeouts: Timeouts) -> Result<Self, ClientError> {
        let (inbox, outbox) = connect(address, Intention::Monitor, Waiting::Notification, timeouts).await?;
        Ok(Self { inbox, _outbox: outbox })
    }

    /// The next notification, however long it takes; `None` when the server said that it shuts down.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server has no room for another monitor, [`ClientError::Closed`] when the
    /// stream ended without a word (it was cut, or this client read too slowly: connect again), and the rest of
    /// [`ClientError`].
    pub async fn next(&mut self) -> Result<Option<Notice>, ClientError> {
        let record = self.inbox.next::<NOTIFICATION_RESPONSE_BYTES>().await?;
        let peer = self.inbox.peer();
        let record = record.ok_or_else(|| peer.closed())?;
        let response = NotificationResponse::decode(&record).map_err(|error| peer.format(error))?;
        match response {
            NotificationResponse { stopping: true, .. } => Ok(None),
            NotificationResponse { status: Status::Ok, time, message, .. } => {
                Ok(Some(Notice { time, message: message.to_owned() }))
            }
            NotificationResponse { status, .. } => {
                Err(ClientError::Refused { address: peer.address.clone(), status })
            }
        }
    }
}
