//! The wire protocol: bytes to messages and back. Every byte is described in `PROTOCOL.md`, beside this crate.
//!
//! Invariants:
//! * no sockets and no clock: reading whole records from a connection is the caller's work;
//! * what comes from the wire is checked before it is believed, and nothing that arrives can cause a panic;
//! * a message that exists is valid, so encoding cannot fail.

pub mod v1;
pub mod v2;

pub use v1::FormatError;
