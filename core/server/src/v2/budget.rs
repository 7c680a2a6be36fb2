//! Memory that all sessions share: half-read frames, batches under way, dictionaries, answers that wait to be read.
//!
//! Invariant: whoever holds bytes holds a [`Charge`] for them, and its end gives them back. What can be refused asks first
//! ([`Budget::try_take`]); what cannot, since it is an answer already, is charged anyway ([`Charge::grow`]) and makes the
//! next one who asks wait.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sereno_runtime::Gauge;
use tokio::sync::Notify;

/// How much memory there may be. Clones share it.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    bytes_max: u64,
    used: AtomicU64,
    /// The same for whoever looks at the server.
    gauge: Gauge,
    /// How many wait for `freed`: giving back is frequent, waiting is not.
    waiting: AtomicUsize,
    freed: Notify,
}

/// Bytes of the budget; given back when dropped.
pub(crate) struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64, gauge: Gauge) -> Self {
        Self(Arc::new(Inner {
            bytes_max,
            used: AtomicU64::new(0),
            gauge,
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }))
    }

    /// Bytes, if there are as many.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Charge> {
        let mut charge = self.nothing();
        charge.try_grow(bytes).then_some(charge)
    }

    /// A charge that can grow.
    pub(crate) fn nothing(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// Bytes, as soon as there are as many; never, if there may not be as many. Cancel safe.
    pub(crate) async fn take(&self, bytes: u64) -> Charge {
        let _waiting = Waiting::new(&self.0.waiting);
        loop {
            let mut freed = pin!(self.0.freed.notified());
            // Heard from here on, so that nothing is missed between the try and the wait.
            freed.as_mut().enable();
            if let Some(charge) = self.try_take(bytes) {
                return charge;
            }
            freed.await;
        }
    }

    /// Whether less than an eighth is left: time to take smaller bites.
    pub(crate) fn is_tight(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) > self.0.bytes_max / 8 * 7
    }

    fn add(&self, bytes: u64) {
        self.0.used.fetch_add(bytes, Ordering::SeqCst);
        self.0.gauge.add(bytes as i64);
    }

    fn give_back(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.0.used.fetch_sub(bytes, Ordering::SeqCst);
        self.0.gauge.add(-(bytes as i64));
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.freed.notify_waiters();
        }
    }
}

impl Charge {
    /// Takes more, if there is as much.
    pub(crate) fn try_grow(&mut self, bytes: u64) -> bool {
        let inner = &self.budget.0;
        let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= inner.bytes_max);
        let taken = inner.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, sum).is_ok();
        if taken {
            inner.gauge.add(bytes as i64);
            self.bytes += bytes;
        }
        taken
    }

    /// Takes more, whether there is as much or not.
    pub(crate) fn grow(&mut self, bytes: u64) {
        self.budget.add(bytes);
        self.bytes += bytes;
    }

    /// Whether more is used than there may be.
    pub(crate) fn is_over(&self) -> bool {
        let inner = &self.budget.0;
        inner.used.load(Ordering::Relaxed) > inner.bytes_max
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn bytes_come_back_and_wake_whoever_waits() {
        let gauge = Gauge::default();
        let budget = Budget::new(100, gauge.clone());
        let mut first = budget.try_take(60).expect("there is room");
        assert!(budget.try_take(41).is_none() && !first.try_grow(41));
        assert!(!budget.is_tight());

        let mut waiting = pin!(budget.take(50));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        first.shrink(5);
        assert!(waiting.as_mut().poll(&mut context).is_pending(), "45 are free");
        first.shrink(5);
        let Poll::Ready(second) = waiting.as_mut().poll(&mut context) else { panic!("50 are free") };
        assert!(budget.is_tight());

        assert!(!first.is_over());
        first.grow(1_000);
        assert!(first.is_over());
        assert_eq!(gauge.get(), 1_100);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
        assert!(budget.try_take(100).is_some());
    }

    #[test]
    fn a_sum_beyond_all_numbers_is_too_much() {
        let budget = Budget::new(100, Gauge::default());
        let _some = budget.try_take(1);
        assert!(budget.try_take(u64::MAX).is_none());
    }
}
