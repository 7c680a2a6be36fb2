//! Writes what the outbox holds to a socket, as far as the socket takes it.

use std::io;

use tokio::net::tcp::WriteHalf;
use tokio::time::Instant;

use super::outbox::Outbox;

/// A buffer that is no larger is kept by the connection.
const KEPT_BYTES: usize = 1024;

/// The writing side of a connection.
pub(super) struct Output {
    outbox: Outbox,
    bytes: Vec<u8>,
    /// How much of `bytes` is written.
    at: usize,
    /// Since when the socket takes nothing while the outbox is full.
    stuck: Option<Instant>,
}

impl Output {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox, bytes: Vec::new(), at: 0, stuck: None }
    }

    /// Whether the socket has to take something before anything more can be written.
    pub(super) fn is_blocked(&self) -> bool {
        self.at < self.bytes.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_done(&self) -> bool {
        self.outbox.waiting() == 0
    }

    /// Since when the client has read nothing although the outbox is full.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.stuck
    }

    /// Writes as much as the socket takes now.
    pub(super) fn flush(&mut self, stream: &WriteHalf<'_>) -> io::Result<()> {
        loop {
            if !self.is_blocked() && !self.refill() {
                self.stuck = None;
                return Ok(());
            }
            match stream.try_write(&self.bytes[self.at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.at += bytes;
                    self.outbox.sent(bytes);
                    self.stuck = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.outbox.is_full() {
                        self.stuck.get_or_insert_with(Instant::now);
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn refill(&mut self) -> bool {
        self.at = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.outbox.try_take(&mut self.bytes)
    }
}
