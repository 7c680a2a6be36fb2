//! Reads a socket in big pieces, and keeps what is not a whole frame yet.
//!
//! The piece that is read belongs to the worker, and a connection holds it only while it handles what is in it: ten
//! thousand idle clients share a few. The rest of a frame is then read straight to where it belongs, in a buffer of its
//! length, for which there must be memory first.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use sereno_protocol::v2::frame::LENGTH_BYTES_MAX;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use super::budget::{Budget, Charge};

/// What is read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// What is read at once while memory is tight.
const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// How many pieces a worker keeps.
const PIECES_KEPT: usize = 4;

thread_local! {
    static PIECES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The reading side of a connection.
pub(super) struct Input {
    budget: Budget,
    partial: Option<Partial>,
    /// When something came, or the connection began.
    heard: Instant,
}

/// The start of a frame.
struct Partial {
    bytes: Vec<u8>,
    /// How long it gets, as far as that is known.
    needed: usize,
    /// For `needed`; `None` while there is no memory for it.
    charge: Option<Charge>,
}

impl Input {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, partial: None, heard: Instant::now() }
    }

    /// When something came last, if the end of a frame is to come.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.partial.is_some().then_some(self.heard)
    }

    /// The client is not waited for now, so its time does not run.
    pub(super) fn excuse(&mut self) {
        if self.partial.is_some() {
            self.heard = Instant::now();
        }
    }

    /// Bytes of a frame whose end is to come, if there is no memory for them yet.
    pub(super) fn wants_memory(&self) -> Option<u64> {
        let partial = self.partial.as_ref()?;
        partial.charge.is_none().then_some(partial.needed as u64)
    }

    /// Memory for the frame has come. The wait for it is not the client's.
    pub(super) fn give_memory(&mut self, charge: Charge) {
        self.heard = Instant::now();
        if let Some(partial) = &mut self.partial {
            partial.admit(charge);
        }
    }

    /// Reads until there may be a whole frame; ready with what was read, which is empty at the end of the stream. Must
    /// not be called while it wants memory.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut ReadHalf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Vec<u8>>> {
        let Some(partial) = &mut self.partial else {
            let mut piece = take_piece(self.budget.is_tight());
            let read = poll_read_buf(stream, &mut piece, cx);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                give_piece(std::mem::take(&mut piece));
            }
            ready!(read)?;
            self.heard = Instant::now();
            return Poll::Ready(Ok(piece));
        };
        while partial.bytes.len() < partial.needed {
            if ready!(poll_read_buf(stream, &mut partial.bytes, cx))? == 0 {
                return Poll::Ready(Ok(Vec::new()));
            }
            self.heard = Instant::now();
        }
        let bytes = std::mem::take(&mut partial.bytes);
        // What is in hand is not charged, whether it came in a piece or in a buffer of its own.
        self.partial = None;
        Poll::Ready(Ok(bytes))
    }

    /// Takes back what was read, once the frames in it are handled: `rest` is the start of one that needs `needed`
    /// bytes in all, or empty.
    pub(super) fn keep(&mut self, buffer: Vec<u8>, from: usize, needed: usize) {
        let rest = &buffer[from..];
        if !rest.is_empty() {
            let mut partial = Partial { bytes: Vec::new(), needed, charge: None };
            if let Some(charge) = self.budget.try_take(needed as u64) {
                partial.admit(charge);
            }
            partial.bytes.extend_from_slice(rest);
            self.partial = Some(partial);
        }
        give_piece(buffer);
    }
}

impl Partial {
    fn admit(&mut self, charge: Charge) {
        // At first not even the length may be known; a few bytes more never hurt.
        self.bytes.reserve_exact((self.needed + LENGTH_BYTES_MAX).saturating_sub(self.bytes.len()));
        self.charge = Some(charge);
    }
}

fn poll_read_buf(
    stream: &mut ReadHalf<'_>,
    bytes: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    pin!(stream.read_buf(bytes)).poll(cx)
}

fn take_piece(tight: bool) -> Vec<u8> {
    if tight {
        return Vec::with_capacity(SMALL_PIECE_BYTES);
    }
    PIECES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES))
}

fn give_piece(mut piece: Vec<u8>) {
    if piece.capacity() != PIECE_BYTES {
        return;
    }
    piece.clear();
    PIECES.with_borrow_mut(|pieces| {
        if pieces.len() < PIECES_KEPT {
            pieces.push(piece);
        }
    });
}
