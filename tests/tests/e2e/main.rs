//! The whole product: real executables, real sockets, real files.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests are outside of the server's seams"
)]

mod bytes;
mod crash;
mod full_disk;
mod hostile;
mod monitors;
mod rules;
mod scenarios;
mod shutdown;
mod verify;
