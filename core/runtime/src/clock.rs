//! The two clocks: the wall's, which names instants and may step, and the monotonic one, which measures spans.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sereno_model::Timestamp;

/// Where time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock. It may step back and forward.
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant; never steps back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The machine's clocks; the monotonic one starts at zero now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> Timestamp {
        let signed_nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp::from_nanos(signed_nanos)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told; for tests and replay.
#[derive(Debug)]
pub struct ManualClock {
    wall_nanos: AtomicI64,
    monotonic: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { wall_nanos: AtomicI64::new(now.nanos()), monotonic: Mutex::new(Duration::ZERO) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.wall_nanos.store((self.now() + by).nanos(), Ordering::SeqCst);
        *self.lock() += by;
    }

    /// Steps the wall clock to `now`, as an administrator or a time server does.
    pub fn step_to(&self, now: Timestamp) {
        self.wall_nanos.store(now.nanos(), Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.monotonic.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall_nanos.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        *self.lock()
    }
}
