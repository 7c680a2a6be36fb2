//! A stage of the pipeline: worker threads, each with an inbox of connections and an event loop that serves any number
//! of them at once. An idle connection costs its socket and about a kilobyte, and occupies no worker.
//!
//! A connection goes to the worker with the fewest. Each worker is one thread with an event loop of its own: what a
//! connection does stays on one core and wakes no other thread.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_runtime::queue::Refused;
use sereno_runtime::{Metrics, Queue, Shutdown, threads};
use tokio::task::{JoinSet, LocalSet};
use tracing::{error, warn};

use crate::connection::Connection;

/// Worker threads and their inboxes.
pub(crate) struct Stage {
    inboxes: Inboxes,
    threads: Vec<JoinHandle<()>>,
}

/// Where connections for a stage are put.
#[derive(Clone)]
pub(crate) struct Inboxes(Arc<[Inbox]>);

#[derive(Clone)]
struct Inbox {
    queue: Queue<Connection>,
    /// Connections in the inbox and on the worker.
    load: Arc<AtomicUsize>,
}

impl Inboxes {
    /// Hands a connection to the worker with the fewest. If that worker's inbox is full, the connection is closed and
    /// the refusal counted: the client sees it at once and can try again.
    pub(crate) fn put(&self, connection: Connection) {
        let Some(inbox) = self.0.iter().min_by_key(|inbox| inbox.load.load(Ordering::Relaxed)) else {
            return;
        };
        inbox.load.fetch_add(1, Ordering::Relaxed);
        if let Err(Refused::Full(refused) | Refused::Closed(refused)) = inbox.queue.try_send(connection) {
            inbox.load.fetch_sub(1, Ordering::Relaxed);
            warn!(queue = inbox.queue.name(), peer = %refused.peer, "Connection closed: no room in the queue.");
        }
    }
}

/// How a stage is run.
pub(crate) struct Settings<'a> {
    /// The queue's name, as in the drawing.
    pub queue: &'static str,
    pub workers: usize,
    pub queue_len_max: usize,
    pub metrics: &'a Metrics,
    /// Tells handlers to come to an end.
    pub stop: &'a Shutdown,
    /// How long they may take for it.
    pub stop_limit: Duration,
}

impl Stage {
    /// Starts the workers. `handler` is called on the worker's thread, once per connection.
    pub(crate) fn start<F>(
        settings: &Settings<'_>,
        handler: impl Fn(Connection) -> F + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        let inbox = |index| Inbox {
            queue: Queue::bounded(
                &format!("{}.{index}", settings.queue),
                settings.queue_len_max,
                settings.metrics,
            ),
            load: Arc::default(),
        };
        let inboxes: Arc<[Inbox]> = (0..settings.workers).map(inbox).collect();
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.iter().enumerate() {
            let name = format!("{}-{index}", settings.queue.trim_end_matches("_connections"));
            let (inbox, handler) = (inbox.clone(), handler.clone());
            let (stop, limit) = (settings.stop.clone(), settings.stop_limit);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            threads.push(threads::spawn(&name, threads::STACK_BYTES, move || {
                LocalSet::new().block_on(&runtime, work(inbox, handler, stop, limit));
            })?);
        }
        Ok(Self { inboxes: Inboxes(inboxes), threads })
    }

    pub(crate) fn inboxes(&self) -> Inboxes {
        self.inboxes.clone()
    }

    /// Waits for the workers, which end after the word to stop. Blocks.
    pub(crate) fn join(self) {
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                error!(thread = name, "A worker ended with a panic.");
            }
        }
    }
}

async fn work<F>(inbox: Inbox, handler: impl Fn(Connection) -> F, stop: Shutdown, stop_limit: Duration)
where
    F: Future<Output = ()> + 'static,
{
    let mut served = JoinSet::new();
    let mut stopping = pin!(stop.stopping());
    loop {
        tokio::select! {
            connection = inbox.queue.recv() => match connection {
                Some(connection) => {
                    let (load, task) = (inbox.load.clone(), handler(connection));
                    served.spawn_local(async move {
                        let _load = Load(load);
                        task.await;
                    });
                }
                None => break,
            },
            Some(ended) = served.join_next() => tell_panic(ended),
            () = &mut stopping => break,
        }
    }
    inbox.queue.close();
    let finish = async {
        while let Some(ended) = served.join_next().await {
            tell_panic(ended);
        }
    };
    tokio::select! {
        () = finish => return,
        () = tokio::time::sleep(stop_limit) => {}
        () = stop.forced() => {}
    }
    warn!(queue = inbox.queue.name(), connections = served.len(), "Connections cut at shutdown.");
}

/// Counts a connection off its worker, however its task ends.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn tell_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "The handler of a connection ended badly; the others go on.");
    }
}
