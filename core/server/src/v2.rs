//! Protocol version 2: one connection, many requests in flight.
//!
//! ```text
//! socket ─► session ─┬─ Write ──────► store ─────────────┐
//!                    └─ the rest ─► a task per request ──┴─► outbox ─► socket
//! ```
//!
//! A session reads frames, stores batches in order, and starts a task for every other request; what they answer goes to the
//! outbox, from which one writer feeds the socket. Ending a task cancels its request.

mod answer;
mod budget;
mod dictionary;
mod flights;
mod handshake;
mod input;
mod outbox;
mod output;
mod pace;
mod rejections;
mod services;
mod session;
mod snapshots;
mod write;

pub(crate) use budget::Budget;
pub use handshake::TokenError;
pub(crate) use handshake::{Tokens, check_tokens};
pub(crate) use services::Services;
pub(crate) use session::{Counts, SessionHandler, SessionLimits};
pub(crate) use snapshots::Snapshots;
