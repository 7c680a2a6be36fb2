//! The query handlers of version 1: read a query, have it executed, write the answer. And the query workers.
//!
//! Handlers wait for clients and never compute; the query workers compute and never wait for clients. Between them is
//! the queue `queries`. A query sees the store as it was when it was read from its connection.
//!
//! A worker does any piece of work that somebody waits for ([`Job`]), for both versions of the protocol.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_protocol::v1::{QUERY_BYTES, Query, QueryPartialResponse, Status};
use sereno_query::{Anchored, Budget, Native, QueryError, anchored};
use sereno_rules::Rules;
use sereno_runtime::{Clock, Metrics, Queue, Shutdown, threads};
use sereno_storage::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use crate::connection::Connection;

/// What all query handlers share.
#[derive(Clone)]
pub(crate) struct QueryHandler {
    pub store: Store,
    pub rules: Rules,
    pub clock: Arc<dyn Clock>,
    pub jobs: Queue<Job>,
    pub limits: QueryLimits,
    pub request_timeout: Duration,
    pub query_timeout: Duration,
    pub stop: Shutdown,
}

/// What one query may use up.
#[derive(Clone, Copy)]
pub(crate) struct QueryLimits {
    pub samples_max: u64,
    pub series_max: usize,
    pub points_max: usize,
    pub threads: usize,
}

impl QueryLimits {
    /// The budget of a query that begins now.
    pub(crate) fn budget(&self, clock: &Arc<dyn Clock>, time: Duration) -> Budget {
        let Self { samples_max, series_max, points_max, threads } = *self;
        Budget { samples_max, series_max, points_max, threads, ..Budget::new(clock.clone(), time) }
    }
}

/// A piece of work that waits for a worker.
pub(crate) struct Job {
    /// What it is about, for the log.
    subject: String,
    cancelled: Arc<AtomicBool>,
    work: Box<dyn FnOnce() + Send>,
}

/// Waits for a piece of work. Dropping it tells the worker to give up: one that has not begun does nothing.
pub(crate) struct Work<T> {
    cancelled: Arc<AtomicBool>,
    answer: oneshot::Receiver<T>,
}

impl Job {
    /// A piece of work and its answer. The work is given the flag that becomes true when nobody waits any more; it
    /// watches its deadline itself.
    pub(crate) fn new<T: Send + 'static>(
        subject: String,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> (Self, Work<T>) {
        let (sender, answer) = oneshot::channel();
        let cancelled = Arc::<AtomicBool>::default();
        let flag = cancelled.clone();
        // A client that has gone does not want its answer.
        let work = Box::new(move || drop(sender.send(work(flag))));
        (Self { subject, cancelled: cancelled.clone(), work }, Work { cancelled, answer })
    }
}

impl<T> Work<T> {
    /// The answer; `None` if the work panicked, of which the log has been told.
    pub(crate) async fn answer(mut self) -> Option<T> {
        (&mut self.answer).await.ok()
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl QueryHandler {
    /// Serves one connection: one query, one answer.
    pub(crate) async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let Ok((mut stream, _place)) = connection.bind() else { return };
        let mut record = [0; QUERY_BYTES];
        let read = tokio::select! {
            read = tokio::time::timeout(self.request_timeout, stream.read_exact(&mut record)) => read,
            () = self.stop.stopping() => return,
        };
        if !matches!(read, Ok(Ok(_))) {
            return;
        }
        let answer = match Query::decode(&record) {
            Ok(query) => self.answer(&query).await,
            Err(error) => {
                debug!(%peer, %error, "A query cannot be read.");
                failed(Status::BadFormat)
            }
        };
        if let Err(error) = self.write(&mut stream, &answer).await {
            debug!(%peer, %error, "The answer to a query was not read.");
        }
    }

    async fn answer(&self, query: &Query<'_>) -> Vec<u8> {
        let raw = query.window_secs() == 0.0;
        let library = &self.rules.generation().library;
        let aggregation = library.aggregation(query.aggregation());
        // Raw values need no aggregation, so any name goes.
        let Some(reducer) = aggregation.or_else(|| raw.then(|| Arc::new(Native::Last) as _)) else {
            return failed(Status::BadFormat);
        };
        let (selector, range) = (Selector::exact(query.identifier()), period(query));
        let (window_secs, snapshot) = (query.window_secs(), self.store.snapshot());
        let budget = self.limits.budget(&self.clock, self.query_timeout);
        let (job, work) = Job::new(query.identifier().to_owned(), move |cancelled| {
            let budget = Budget { cancelled: Some(cancelled), ..budget };
            anchored(&snapshot, &selector, range, window_secs, &*reducer, &budget)
        });
        if self.jobs.try_send(job).is_err() {
            return failed(Status::ServerUnavailable);
        }
        match work.answer().await {
            Some(Ok(Anchored::Values(values))) => encode(&values),
            Some(Ok(Anchored::UnknownSeries)) => failed(Status::DoesNotExist),
            Some(Ok(Anchored::Empty)) => failed(Status::Empty),
            Some(Err(error)) => failed(status(query.identifier(), &error)),
            None => failed(Status::ServerError),
        }
    }

    async fn write(&self, stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
        let write = async {
            stream.write_all(answer).await?;
            stream.shutdown().await
        };
        tokio::time::timeout(self.query_timeout, write).await?
    }
}

/// The period of a query. Its end is inclusive, to the whole microsecond: near today a float of seconds tells no finer,
/// and stamps of one millisecond may lie a few nanoseconds apart.
fn period(query: &Query<'_>) -> TimeRange {
    let end = query.end().map_or(Timestamp::MAX, |end| end + Duration::from_micros(1));
    TimeRange::new(query.start().unwrap_or(Timestamp::MIN), end)
}

fn status(metric: &str, error: &QueryError) -> Status {
    match error {
        QueryError::Window { .. }
        | QueryError::Step { .. }
        | QueryError::Map
        | QueryError::AcrossMissing { .. } => Status::BadFormat,
        QueryError::Recovering => {
            debug!(metric, %error, "A query came too early.");
            Status::ServerUnavailable
        }
        QueryError::Deadline => {
            warn!(metric, %error, "A query was given up.");
            Status::ServerUnavailable
        }
        QueryError::TooManySamples { .. }
        | QueryError::TooManySeries { .. }
        | QueryError::TooManyPoints { .. }
        | QueryError::TooManyPointsInAll { .. } => {
            warn!(metric, %error, "A query was refused.");
            Status::ServerError
        }
        QueryError::Damaged(_) => {
            warn!(metric, %error, "A query failed.");
            Status::ServerError
        }
        QueryError::Reduce(failure) => {
            let cause: &dyn std::error::Error = &*failure.source;
            warn!(metric, error = %failure, cause, "A query failed.");
            Status::ServerError
        }
    }
}

fn failed(status: Status) -> Vec<u8> {
    QueryPartialResponse::failed(status).encode().to_vec()
}

fn encode(values: &[f64]) -> Vec<u8> {
    let Some(last) = values.len().checked_sub(1) else { return failed(Status::Empty) };
    let response = |(index, value): (usize, &f64)| {
        QueryPartialResponse { status: Status::Ok, value: *value as f32, last: index == last }.encode()
    };
    values.iter().enumerate().flat_map(response).collect()
}

/// Starts the threads that execute queries. They end when the queue is closed and empty.
pub(crate) fn start_workers(
    count: usize,
    jobs: &Queue<Job>,
    metrics: &Metrics,
) -> io::Result<Vec<JoinHandle<()>>> {
    let executed = metrics.counter("queries_total", &[]);
    let worker = |index| {
        let (jobs, executed) = (jobs.clone(), executed.clone());
        threads::spawn(&format!("query-worker-{index}"), threads::SCRIPT_STACK_BYTES, move || {
            while let Some(job) = jobs.recv_blocking() {
                executed.inc();
                execute(job);
            }
        })
    };
    (0..count).map(worker).collect()
}

fn execute(job: Job) {
    if job.cancelled.load(Ordering::Relaxed) {
        return;
    }
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job.work)).is_err() {
        error!(subject = job.subject, "A query panicked; this is a bug of the server.");
    }
}
