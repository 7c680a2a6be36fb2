//! Talks to a Sereno server: [`Sender`] sends metrics, [`query`] asks for aggregates, [`Monitor`] watches
//! notifications. Version 1 of the protocol, on tokio.
//!
//! Invariants:
//! * one connection per sender, query and monitor, with TCP_NODELAY, so that small records leave at once;
//! * nothing waits for ever but a monitor, which waits for news; every other wait ends after its [`Timeouts`];
//! * nothing is tried twice: whether a second try is right is known to the caller, see [`ClientError::is_refused`].

mod connection;
mod error;
mod monitor;
mod query;
mod sender;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use connection::Timeouts;
pub use error::{ClientError, Waiting};
pub use monitor::{Monitor, Notice};
pub use query::{Answer, query};
pub use sender::Sender;
pub use sereno_protocol::v1;
