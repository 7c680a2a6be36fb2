//! What protects version 2: every message survives the trip, what later versions add is no obstacle, and no bytes can harm
//! the reader.

#![allow(clippy::unwrap_used, reason = "a test may end")]

mod any;
mod batches;
mod frozen;
mod hostile;
mod messages;
mod page;
