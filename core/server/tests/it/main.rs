//! The server over its sockets: protocol version 2 as a client sees it.

mod answers;
mod budget;
mod disk;
mod frames;
mod handshake;
mod peer;
mod requests;
mod write;
