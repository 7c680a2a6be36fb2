//! Asks one query and takes its answer, window by window.

use sereno_protocol::v1::{Intention, QUERY_PARTIAL_RESPONSE_BYTES, Query, QueryPartialResponse};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{Inbox, Timeouts, connect};
use crate::error::{ClientError, Waiting};

/// The answer to a query, as it arrives.
pub struct Answer {
    inbox: Inbox,
    // Held open: an old server may take its end for a client that left.
    _outbox: OwnedWriteHalf,
    done: bool,
}

impl Answer {
    /// Connects to `address`, `host:port`, and asks.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::Timeout`].
    pub async fn to(query: &Query<'_>, address: &str, timeouts: Timeouts) -> Result<Self, ClientError> {
        let (inbox, mut outbox) = connect(address, Intention::Query, Waiting::Windows, timeouts).await?;
        outbox.write_all(&query.encode()).await.map_err(|error| inbox.peer().lost(error))?;
        Ok(Self { inbox, _outbox: outbox, done: false })
    }

    /// The next window; `None` after the last.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`]; the windows so far are right, but not all.
    pub async fn next(&mut self) -> Result<Option<QueryPartialResponse>, ClientError> {
        if self.done {
            return Ok(None);
        }
        let record = self.inbox.next_due::<QUERY_PARTIAL_RESPONSE_BYTES>().await?;
        let response =
            QueryPartialResponse::decode(&record).map_err(|error| self.inbox.peer().format(error))?;
        self.done = response.last;
        Ok(Some(response))
    }
}

/// Asks `address`, `host:port`, and waits for all windows; at least one, which may be a status without a value.
///
/// # Errors
/// [`ClientError`]; an answer that breaks off is an error, never a shorter answer.
pub async fn query(
    address: &str,
    query: &Query<'_>,
    timeouts: Timeouts,
) -> Result<Vec<QueryPartialResponse>, ClientError> {
    let mut answer = Answer::to(query, address, timeouts).await?;
    let mut windows = Vec::new();
    while let Some(window) = answer.next().await? {
        windows.push(window);
    }
    Ok(windows)
}
