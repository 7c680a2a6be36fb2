//! The thread that writes, and the handle through which workers, scheduler and reloader give it their records.
//!
//! Records wait in one bounded queue; whoever finds it full waits. The thread takes what waits, writes it with one
//! sync, and then does for each what was to be done, and sends its notifications, in order. So the order of one sender
//! is kept, and the more come the fewer syncs they cost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sereno_model::{Confirmations, Outgoing};
use sereno_runtime::threads::{STACK_BYTES, spawn};
use sereno_runtime::{Clock, Disk, Metrics, Queue};
use tracing::error;

use super::history::History;
use super::keeper::{Commit, Keeper, Numbers, Settings, Then};
use super::record::{Record, SavedRule};

/// How many records may wait.
const QUEUE_LEN_MAX: usize = 4_096;
/// How many are written at once.
const GROUP_LEN_MAX: usize = 1_024;

/// What the journal needs of the server.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    /// Where notifications go once they are durable. When it is full, the journal waits.
    pub notifications: Queue<Outgoing>,
    /// Where the log file and the sinks say how far they are.
    pub confirmations: Confirmations,
    pub metrics: Metrics,
}

/// What a start goes on with.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The rules that had a state.
    pub rules: BTreeMap<Arc<str>, SavedRule>,
}

/// The handle.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Queue<Commit>,
    numbers: Arc<Mutex<Numbers>>,
    history: History,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Reads back what there is, and starts the thread `rules-journal`. What was told before the start and not confirmed
    /// is sent again at once.
    ///
    /// # Errors
    /// The directory cannot be made or read, or the system refuses a thread.
    pub fn open(around: Surroundings, settings: Settings) -> io::Result<(Self, Recovered)> {
        let Surroundings { disk, clock, notifications, confirmations, metrics } = around;
        let history = History::new(disk.clone(), settings.directory.clone());
        let (keeper, _found) = Keeper::open(disk, clock, settings, confirmations, &metrics)?;
        let recovered = Recovered { rules: keeper.rules() };
        let numbers = keeper.numbers.clone();
        let queue = Queue::bounded("rules_journal", QUEUE_LEN_MAX, &metrics);
        let inbox = queue.clone();
        let body = move || run(keeper, &inbox, &notifications);
        let thread = Mutex::new(Some(spawn("rules-journal", STACK_BYTES, body)?));
        Ok((Self { queue, numbers, history, thread }, recovered))
    }

    /// The number that stands for a rule in records; the same as long as the server runs.
    pub fn number(&self, rule: &Arc<str>) -> u32 {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).number(rule)
    }

    /// Has a record written. Then, in the order in which records came, `then` is done, and the notifications are sent.
    /// Does not wait for the disk, but for room in the queue.
    pub fn commit(&self, record: Record, then: Option<Then>) {
        if self.queue.send_blocking(Commit { record, then }).is_err() {
            error!("A record of the rules came after the journal was closed, and is lost.");
        }
    }

    /// What was written, to look things up in.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Writes what waits, and ends the thread. Further records are lost.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!("The journal of the rules panicked.");
        }
    }
}

fn run(mut keeper: Keeper, inbox: &Queue<Commit>, notifications: &Queue<Outgoing>) {
    for outgoing in keeper.mirror.outbox.unconfirmed() {
        send(notifications, outgoing);
    }
    while let Some(first) = inbox.recv_blocking() {
        let rest = std::iter::from_fn(|| inbox.try_recv()).take(GROUP_LEN_MAX - 1);
        let group = std::iter::once(first).chain(rest).collect();
        keeper.write(group, &mut |outgoing| send(notifications, outgoing));
    }
    keeper.end();
}

fn send(notifications: &Queue<Outgoing>, outgoing: Outgoing) {
    if let Err(outgoing) = notifications.send_blocking(outgoing) {
        // It is durable, and not confirmed: the next start sends it.
        tracing::warn!(
            event_id = outgoing.event_id,
            "A notification waits for the next start: the server stops."
        );
    }
}
