//! The pace of a ramp: says when each request is due, whatever became of the ones before. A thread of its own waits,
//! since the timers of the runtime are a millisecond wide and a round trip may take a tenth of that.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_runtime::{Clock, threads};
use tokio::sync::mpsc;

use super::schedule::Schedule;

/// A request that is due now.
pub(super) struct Due {
    /// Which metrics of the schedule it holds.
    pub(super) metrics: RangeInclusive<u32>,
    /// Since when its answer is waited for: the time of the schedule. Where the thread had to wait for that time, it is
    /// the moment it woke up, since that is the system's lateness and not the server's.
    pub(super) since: Duration,
}

/// Requests of a schedule as they become due.
pub(super) struct Pace {
    due: Option<mpsc::Receiver<Due>>,
    thread: Option<JoinHandle<()>>,
}

impl Pace {
    /// Starts the clock. Requests hold `batch` metrics and are due when their first one is.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn start(schedule: Schedule, batch: u32, clock: Arc<dyn Clock>) -> io::Result<Self> {
        // One request waits while one is sent: what is due later stays with its time in the schedule.
        let (passed, due) = mpsc::channel(1);
        let thread =
            threads::spawn("pace", threads::STACK_BYTES, move || keep(&schedule, batch, &*clock, &passed))?;
        Ok(Self { due: Some(due), thread: Some(thread) })
    }

    /// The next request, as soon as it is due; `None` after the last. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Due> {
        self.due.as_mut()?.recv().await
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        // Nobody listens any more, which the thread sees when it wakes up.
        self.due = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic, and if it did, nothing would depend on it.
            drop(thread.join());
        }
    }
}

fn keep(schedule: &Schedule, batch: u32, clock: &dyn Clock, passed: &mpsc::Sender<Due>) {
    let mut first = 1;
    while first <= schedule.count() {
        let last = first.saturating_add(batch - 1).min(schedule.count());
        let at = schedule.arrival(first);
        let mut since = at;
        loop {
            let now = clock.monotonic();
            if passed.is_closed() {
                return;
            }
            if now >= at {
                break;
            }
            std::thread::park_timeout(at - now);
            since = clock.monotonic().max(at);
        }
        if passed.blocking_send(Due { metrics: first..=last, since }).is_err() || last == u32::MAX {
            return;
        }
        first = last + 1;
    }
}

#[cfg(test)]
mod tests {
    use sereno_model::Timestamp;
    use sereno_runtime::ManualClock;

    use super::*;
    use crate::ramp::Strategy;

    /// Ten metrics, one every 100 ms.
    fn ten() -> Schedule {
        Schedule::new(Strategy::Constant, Duration::from_secs(1), 10.0, 10.0).expect("a schedule")
    }

    fn millis(due: &Due) -> u128 {
        due.since.as_millis()
    }

    /// Whoever is slow to take requests finds them with the time at which they were due, not with that of its own.
    #[test]
    fn what_is_taken_late_was_due_in_time() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        clock.advance(Duration::from_secs(5));
        let mut pace = Pace::start(ten(), 1, clock).expect("a thread");
        let mut due = pace.due.take().expect("requests");
        let requests: Vec<Due> = std::iter::from_fn(|| due.blocking_recv()).collect();
        assert_eq!(
            requests.iter().map(millis).collect::<Vec<_>>(),
            (0..10).map(|i| i * 100).collect::<Vec<_>>()
        );
        assert!(requests.iter().zip(1..).all(|(request, number)| request.metrics == (number..=number)));
    }

    #[test]
    fn a_batch_is_due_with_its_first_metric_and_the_last_may_be_short() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        clock.advance(Duration::from_secs(5));
        let mut pace = Pace::start(ten(), 4, clock).expect("a thread");
        let mut due = pace.due.take().expect("requests");
        let requests: Vec<Due> = std::iter::from_fn(|| due.blocking_recv()).collect();
        let told: Vec<_> = requests.iter().map(|due| (due.metrics.clone(), millis(due))).collect();
        assert_eq!(told, [(1..=4, 0), (5..=8, 400), (9..=10, 800)]);
    }

    #[test]
    fn nothing_is_due_before_its_time_and_nobody_waits_for_a_pace_that_is_given_up() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let mut pace = Pace::start(ten(), 1, clock).expect("a thread");
        let due = pace.due.as_mut().expect("requests");
        assert_eq!(due.blocking_recv().as_ref().map(millis), Some(0), "the first is due at once");
        assert!(due.try_recv().is_err(), "the clock stands still");
        drop(pace);
    }
}
