//! Asks: one connection with many requests in flight.

mod connection;
mod requests;

use std::sync::Arc;

use sereno_protocol::v2::messages::{QueryPart, Welcome, response};

use crate::error::ClientError;
use crate::link::connect_patiently;
use crate::options::Options;
use connection::{Connection, Replies};
pub(crate) use requests::define;

/// One connection, many requests in flight. Cheap to clone; the connection ends with the last clone and the last
/// [`Parts`]. It does not connect again by itself: after an error that [`ClientError::is_lost`], all requests fail at
/// once, and a new client is needed.
///
/// All requests may be dropped at any time; a query that is dropped is cancelled at the server.
#[derive(Clone, Debug)]
pub struct Client(Arc<Connection>);

impl Client {
    /// Connects to a server and shakes hands.
    ///
    /// # Errors
    /// [`ClientError`]; see [`ClientError::is_refused`] for a server that is not there, and
    /// [`ClientError::Unauthorized`] for one that wants a token.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(options: &Options) -> Result<Self, ClientError> {
        let link = connect_patiently(options, 0).await?;
        Ok(Self(Connection::start(options, link)))
    }

    /// What the server said about itself and this connection.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        self.0.welcome()
    }
}

/// The answer to a query, as it arrives. Dropping it cancels the query.
///
/// Read it swiftly: while the parts that came wait here, sixteen of them, the answers to the other requests of this
/// connection wait as well; and after the timeout for answers, the query is cancelled. For an answer of gigabytes, take a
/// client of its own.
pub struct Parts {
    replies: Replies,
}

impl Parts {
    /// The next part; `None` after the last. [`Group`](crate::Group) can be made of its chunks.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`]; the parts so far are right, but not all.
    pub async fn next(&mut self) -> Option<Result<QueryPart, ClientError>> {
        match self.replies.next().await {
            Ok(None) => None,
            Ok(Some(response::Body::Query(part))) => Some(Ok(part)),
            Ok(Some(_)) => Some(Err(self.replies.unexpected())),
            Err(error) => Some(Err(error)),
        }
    }
}
