//! What the end-to-end tests stand on: the real executables, a folder and a port of their own for each test, and a client
//! of protocol version 1 that is written from `PROTOCOL-V1` alone, byte by byte.
#![expect(clippy::disallowed_methods, reason = "tests are outside of the server's seams")]

pub mod client;
pub mod mount;
pub mod proxy;
pub mod rng;
pub mod server;
pub mod traffic;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Long enough for a machine under load; a test that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
///
/// # Panics
/// It never does.
pub fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(held) = holds() {
            return held;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The time, in seconds since the epoch, as protocol version 1 tells it.
#[must_use]
pub fn now_secs() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
