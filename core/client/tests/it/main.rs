//! The client of version 2 against servers that do what a script says: what it makes of every answer, and of none.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod client;
mod exactly_once;
mod fake;
mod monitor;
mod writer;
