//! The whole product: real executables, real sockets, real files.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests are outside of the server's seams"
)]

mod bytes;
mod crash;
mod crowd;
mod cuts;
mod full_disk;
mod hostile;
mod monitors;
mod monitors_v2;
mod overload;
mod rules;
mod scenarios;
mod session;
mod shutdown;
mod v2;
mod verify;
