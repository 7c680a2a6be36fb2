//! Named threads with a known stack.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The stack of a thread that runs scripts: Rhai recurses on the native stack, and an overflow cannot be caught.
pub const SCRIPT_STACK_BYTES: usize = 8 << 20;

/// The stack of any other thread.
pub const STACK_BYTES: usize = 2 << 20;

/// Starts a thread; the caller joins it.
///
/// # Errors
/// The system refuses another thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    stack_bytes: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(body)
}
