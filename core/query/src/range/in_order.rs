//! Work on several threads, whose results are taken in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use sereno_runtime::threads::SCRIPT_STACK_BYTES;

use crate::budget::QueryError;

/// How many chunks may be done ahead of the one that is merged next: bounds the memory of what waits.
const AHEAD: usize = 64;

/// Does `work` for each unit, on the caller's thread and others, and hands the results to `merge` in order of the units. A
/// thread takes `chunk` units at once. Units may use as much stack as a script does.
///
/// # Errors
/// The first error of any unit ends it all.
pub(super) fn in_order<R: Send>(
    units: usize,
    (threads, chunk): (usize, usize),
    work: impl Fn(usize) -> Result<R, QueryError> + Sync,
    mut merge: impl FnMut(R) + Send,
) -> Result<(), QueryError> {
    if threads <= 1 || units <= chunk {
        return (0..units).try_for_each(|unit| work(unit).map(&mut merge));
    }
    let shared = Shared {
        units,
        chunk,
        next: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        merging: Mutex::new(Merging { done: 0, waiting: BTreeMap::new(), merge, error: None }),
        merged: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for index in 1..threads.min(units.div_ceil(chunk)) {
            let builder = Builder::new().name(format!("query-helper-{index}")).stack_size(SCRIPT_STACK_BYTES);
            // The caller works too, so a system that refuses threads costs time only.
            if builder.spawn_scoped(scope, || shared.run(&work)).is_err() {
                break;
            }
        }
        shared.run(&work);
    });
    let merging = shared.merging.into_inner().unwrap_or_else(PoisonError::into_inner);
    merging.error.map_or(Ok(()), Err)
}

struct Shared<R, M> {
    units: usize,
    chunk: usize,
    /// The chunk that is taken next.
    next: AtomicUsize,
    stopped: AtomicBool,
    merging: Mutex<Merging<R, M>>,
    merged: Condvar,
}

struct Merging<R, M> {
    /// How many chunks are merged.
    done: usize,
    waiting: BTreeMap<usize, Vec<R>>,
    merge: M,
    error: Option<QueryError>,
}

impl<R: Send, M: FnMut(R) + Send> Shared<R, M> {
    fn run(&self, work: &(impl Fn(usize) -> Result<R, QueryError> + Sync)) {
        // A panic must not leave the others waiting.
        let _stops = StopOnUnwind(self);
        while !self.stopped.load(Ordering::Acquire) {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            let units = chunk * self.chunk..((chunk + 1) * self.chunk).min(self.units);
            if units.is_empty() || !self.wait_for_room(chunk) {
                return;
            }
            match self.chunk(units, work) {
                Ok(results) => self.hand_in(chunk, results),
                Err(error) => return self.stop(Some(error)),
            }
        }
    }

    fn chunk(
        &self,
        units: Range<usize>,
        work: &(impl Fn(usize) -> Result<R, QueryError> + Sync),
    ) -> Result<Vec<R>, QueryError> {
        units.map(work).collect()
    }

    /// Whoever has the chunk that is merged next never waits. Gives whether to go on.
    fn wait_for_room(&self, chunk: usize) -> bool {
        let mut merging = self.lock();
        while chunk > merging.done + AHEAD && !self.stopped.load(Ordering::Acquire) {
            merging = self.merged.wait(merging).unwrap_or_else(PoisonError::into_inner);
        }
        !self.stopped.load(Ordering::Acquire)
    }

    fn hand_in(&self, chunk: usize, results: Vec<R>) {
        let merging = &mut *self.lock();
        merging.waiting.insert(chunk, results);
        while let Some(results) = merging.waiting.remove(&merging.done) {
            results.into_iter().for_each(&mut merging.merge);
            merging.done += 1;
        }
        self.merged.notify_all();
    }

    fn stop(&self, error: Option<QueryError>) {
        let mut merging = self.lock();
        self.stopped.store(true, Ordering::Release);
        merging.error = merging.error.take().or(error);
        drop(merging);
        self.merged.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Merging<R, M>> {
        self.merging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StopOnUnwind<'a, R: Send, M: FnMut(R) + Send>(&'a Shared<R, M>);

impl<R: Send, M: FnMut(R) + Send> Drop for StopOnUnwind<'_, R, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        for threads in 1..5 {
            let mut merged = Vec::new();
            in_order(1_000, (threads, 3), |unit| Ok(unit * 2), |result| merged.push(result)).unwrap();
            assert_eq!(merged, (0..1_000).map(|unit| unit * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        for threads in 1..4 {
            let work = |unit| if unit == 500 { Err(QueryError::Map) } else { Ok(()) };
            let failed = in_order(1_000, (threads, 3), work, |()| ());
            assert!(matches!(failed, Err(QueryError::Map)));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let work = |unit| if unit == 500 { panic!("as told") } else { Ok(()) };
        let run = || drop(in_order(1_000, (3, 4), work, |()| ()));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
}
