//! Version 2: length-delimited protobuf frames, many requests in flight on one connection. The messages are generated from
//! `proto/sereno.v2.proto`, which is published and says what they mean; `PROTOCOL.md` says what they mean together.
//!
//! Invariants:
//! * a length is checked against its limit before anything is allocated for it;
//! * what cannot be understood is an error, what is merely not known (fields, enum values, requests) is not;
//! * batches of samples, the one thing that comes by the million, are read and written by columns ([`mod@write`]), with
//!   buffers that their owner keeps; everything else goes through prost;
//! * what a server decodes takes memory in proportion, hostile or not: see [`decode_request`] and [`write::decode`]. A
//!   client decodes a [`Response`](messages::Response) as it is: the worst one, of rules without anything in them, takes
//!   400 bytes per byte for a moment.

pub mod frame;
#[expect(missing_docs, reason = "generated; oneofs and their fields have no comments of their own")]
#[expect(clippy::large_enum_variant, reason = "generated; a response is decoded, looked at, and gone")]
#[rustfmt::skip]
pub mod messages;
pub mod request;
pub mod response;
pub mod write;

pub use frame::{FrameError, put_frame, split_frame};
pub use request::{Incoming, decode_request};
pub use response::decode_response;

/// What a connection says first, to speak this version: the intention 4, where version 1 has 1 to 3.
pub const INTENTION: [u8; 4] = 4i32.to_be_bytes();

/// The version that this crate speaks.
pub const MAJOR: u32 = 2;
/// The minor version that this crate speaks: what it added to the messages of 2.0.
pub const MINOR: u32 = 0;
