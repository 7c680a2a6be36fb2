//! What is under way on one connection: batches that wait for the store, and requests that are being answered.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::budget::Charge;

/// Batches and requests by their ids. Dropping it ends them all; a batch is stored nevertheless.
#[derive(Default)]
pub(super) struct Flights {
    tasks: JoinSet<Key>,
    open: HashMap<Key, Flight>,
    /// How many batches were answered before they were finished.
    answered: u64,
    requests: usize,
    bytes: u64,
}

/// The id, and zero; or a number that no other batch has, if the id is free again.
type Key = (u64, u64);

struct Flight {
    task: AbortHandle,
    bytes: u64,
    /// Of a request; a batch holds its own.
    charge: Option<Charge>,
}

impl Flight {
    fn is_request(&self) -> bool {
        self.charge.is_some()
    }
}

/// A task ended with a panic.
pub(super) struct Panicked(pub u64);

impl Flights {
    /// Whether this id is not answered yet.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.open.contains_key(&(id, 0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many requests there are; batches are bounded by their bytes.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Bytes of the frames that are not answered yet.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Starts what finishes a batch. One that is answered already leaves its id to others.
    pub(super) fn start_batch(
        &mut self,
        id: u64,
        answered: bool,
        bytes: usize,
        task: impl Future<Output = ()> + 'static,
    ) {
        self.answered += u64::from(answered);
        let key = (id, if answered { self.answered } else { 0 });
        self.start(key, bytes, None, task);
    }

    /// Starts what answers a request.
    pub(super) fn start_request(
        &mut self,
        id: u64,
        bytes: usize,
        charge: Charge,
        task: impl Future<Output = ()> + 'static,
    ) {
        self.requests += 1;
        self.start((id, 0), bytes, Some(charge), task);
    }

    fn start(
        &mut self,
        key: Key,
        bytes: usize,
        charge: Option<Charge>,
        task: impl Future<Output = ()> + 'static,
    ) {
        let task = self.tasks.spawn_local(async move {
            task.await;
            key
        });
        self.bytes += bytes as u64;
        self.open.insert(key, Flight { task, bytes: bytes as u64, charge });
    }

    /// Ends a request; whether its answer is still due. Batches cannot be taken back.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        let due = |flight: &Flight| flight.is_request() && !flight.task.is_finished();
        if !self.open.get(&(id, 0)).is_some_and(due) {
            return false;
        }
        self.remove((id, 0));
        true
    }

    /// Ends all requests.
    pub(super) fn cancel_all(&mut self) {
        let requests = self.open.iter().filter(|(_, flight)| flight.is_request());
        let keys: Vec<Key> = requests.map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    /// Waits for the next task that ends; `None` if there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Key, JoinError>> {
        self.tasks.join_next().await
    }

    /// Takes a task that ended off the list.
    pub(super) fn ended(&mut self, ended: Result<Key, JoinError>) -> Result<(), Panicked> {
        match ended {
            Ok(key) => self.remove(key),
            Err(error) if error.is_panic() => {
                let panicked = self.open.iter().find(|(_, flight)| flight.task.id() == error.id());
                if let Some(key) = panicked.map(|(key, _)| *key) {
                    self.remove(key);
                    return Err(Panicked(key.0));
                }
            }
            // Cancelled, and off the list since then.
            Err(_) => {}
        }
        Ok(())
    }

    fn remove(&mut self, key: Key) {
        if let Some(flight) = self.open.remove(&key) {
            self.bytes -= flight.bytes;
            self.requests -= usize::from(flight.is_request());
            flight.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use sereno_runtime::Gauge;
    use tokio::task::LocalSet;

    use super::super::budget::Budget;
    use super::*;

    /// Runs tasks for as long as any can go on.
    async fn let_them_run() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn only_requests_that_are_not_finished_can_be_cancelled() {
        let gauge = Gauge::default();
        let budget = Budget::new(1_000, gauge.clone());
        let charge = || budget.try_take(100).expect("there is room");
        LocalSet::new()
            .run_until(async {
                let mut flights = Flights::default();
                flights.start_request(1, 10, charge(), pending());
                flights.start_request(2, 20, charge(), ready(()));
                flights.start_batch(3, false, 30, pending());
                assert_eq!((flights.requests(), flights.bytes(), gauge.get()), (2, 60, 200));
                let_them_run().await;
                assert!(!flights.cancel(2), "its answer is out");
                assert!(!flights.cancel(3), "a batch cannot be taken back");
                assert!(!flights.cancel(4));
                assert!(flights.cancel(1) && !flights.cancel(1) && !flights.contains(1));
                let ended = flights.next().await.expect("one has ended");
                assert!(flights.ended(ended).is_ok());
                let ended = flights.next().await.expect("the other one too");
                assert!(flights.ended(ended).is_ok());
                assert_eq!((flights.requests(), flights.bytes(), gauge.get()), (0, 30, 0));
                assert!(flights.contains(3) && !flights.is_empty());
                flights.start_batch(5, true, 1, pending());
                flights.start_batch(5, true, 1, pending());
                assert!(!flights.contains(5) && flights.bytes() == 32, "answered, and yet under way");
            })
            .await;
    }

    #[tokio::test]
    async fn a_panic_is_told_under_its_id() {
        LocalSet::new()
            .run_until(async {
                let mut flights = Flights::default();
                flights.start_batch(8, false, 1, pending());
                flights.start_batch(9, false, 1, async { panic!("on purpose") });
                let ended = flights.next().await.expect("one has ended");
                assert!(matches!(flights.ended(ended), Err(Panicked(9))));
                assert!(!flights.contains(9) && flights.contains(8));
            })
            .await;
    }
}
