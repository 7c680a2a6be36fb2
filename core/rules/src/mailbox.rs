//! A value that one thread waits for and others change: the only way in which the threads of this crate wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value and the bell that rings when it changes.
#[derive(Debug, Default)]
pub(crate) struct Mailbox<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Mailbox<T> {
    /// Changes the value and wakes who waits.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let out = change(&mut self.lock());
        self.changed.notify_all();
        out
    }

    /// Waits until `ready` gives something, at most `limit`; looks once even if that is zero.
    pub fn wait<R>(&self, limit: Duration, mut ready: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut found = None;
        let waits = |value: &mut T| {
            found = ready(value);
            found.is_none()
        };
        let waited = self.changed.wait_timeout_while(self.lock(), limit, waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        found
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
