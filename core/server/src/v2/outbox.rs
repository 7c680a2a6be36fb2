//! What waits to be written to one connection: encoded frames, bounded in bytes.
//!
//! Belongs to the thread of its connection. Whoever answers at length waits for room ([`Outbox::send`]), so a client that
//! does not read holds up its own answers and nobody else's. Acknowledgements do not wait ([`Outbox::put`]): how many
//! there can be is bounded by what the session reads ahead.

use std::cell::RefCell;
use std::rc::Rc;

use sereno_protocol::v2::messages::Response;
use sereno_protocol::v2::put_frame;
use tokio::sync::Notify;

use super::budget::Charge;

/// Frames on their way out. Clones share them.
#[derive(Clone)]
pub(crate) struct Outbox(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    /// Something to write, or the end.
    filled: Notify,
    /// Room again, or the end.
    drained: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    frames: Vec<u8>,
    /// Bytes of `frames`, and of those that were taken and are not in the kernel yet.
    waiting: usize,
    /// For `waiting`.
    charge: Option<Charge>,
    closed: bool,
}

/// The connection has ended; nobody wants the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Rc::new(Inner {
            state: RefCell::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            bytes_max,
        }))
    }

    /// The same, with what waits charged to a budget.
    pub(super) fn charged(self, charge: Charge) -> Self {
        self.0.state.borrow_mut().charge = Some(charge);
        self
    }

    /// Puts a response out as soon as there is room.
    pub(crate) async fn send(&self, response: &Response) -> Result<(), Gone> {
        loop {
            let drained = self.0.drained.notified();
            {
                let state = self.0.state.borrow();
                if state.closed {
                    return Err(Gone);
                }
                if state.waiting < self.0.bytes_max {
                    break;
                }
            }
            drained.await;
        }
        self.put(response);
        Ok(())
    }

    /// Puts a response out, room or not.
    pub(crate) fn put(&self, response: &Response) {
        let mut state = self.0.state.borrow_mut();
        if state.closed {
            return;
        }
        let before = state.frames.len();
        put_frame(&mut state.frames, response);
        let bytes = state.frames.len() - before;
        state.waiting += bytes;
        if let Some(charge) = &mut state.charge {
            charge.grow(bytes as u64);
        }
        drop(state);
        self.0.filled.notify_one();
    }

    /// Exchanges an empty buffer for everything that waits; false if nothing does. It counts as waiting until
    /// [`Outbox::sent`] tells otherwise.
    pub(super) fn try_take(&self, buffer: &mut Vec<u8>) -> bool {
        let mut state = self.0.state.borrow_mut();
        let some = !state.frames.is_empty();
        if some {
            std::mem::swap(&mut state.frames, buffer);
        }
        some
    }

    /// So many bytes of what was taken are in the kernel.
    pub(super) fn sent(&self, bytes: usize) {
        let mut state = self.0.state.borrow_mut();
        state.waiting -= bytes;
        if let Some(charge) = &mut state.charge {
            charge.shrink(bytes as u64);
        }
        if state.waiting < self.0.bytes_max {
            drop(state);
            self.0.drained.notify_waiters();
        }
    }

    /// Bytes that are not in the kernel yet.
    pub(super) fn waiting(&self) -> usize {
        self.0.state.borrow().waiting
    }

    /// Whether those who answer at length wait for room.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= self.0.bytes_max
    }

    /// Completes when something was put since the last time, or it is over. Cancel safe.
    pub(super) async fn filled(&self) {
        self.0.filled.notified().await;
    }

    /// Everything that waits, as soon as something does, in exchange for an empty buffer; `None` when it is over and
    /// nothing is left. Stands in for the connection. Cancel safe.
    #[cfg(test)]
    pub(crate) async fn take(&self, mut empty: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            if self.try_take(&mut empty) {
                self.sent(empty.len());
                return Some(empty);
            }
            if self.0.state.borrow().closed {
                return None;
            }
            self.filled().await;
        }
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.0.state.borrow_mut().closed = true;
        self.0.filled.notify_one();
        self.0.drained.notify_waiters();
    }
}
