//! What the threads of this crate share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sereno_model::Notification;
use sereno_runtime::queue::Refused;
use sereno_runtime::{Counter, Metrics, Queue};
use sereno_storage::Store;
use tracing::{error, warn};

use crate::board::Board;
use crate::generation::{Generation, Host};
use crate::mailbox::Mailbox;
use crate::reload::Report;
use crate::schedule::News;
use crate::worker::Job;

/// What the threads of this crate share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The generation that the next tick uses.
    pub active: ArcSwap<Generation>,
    /// What scripts are compiled and run with; its clock is everybody's.
    pub host: Host,
    pub store: Store,
    pub metrics: Metrics,
    /// Evaluations that wait for a worker.
    pub jobs: Queue<Job>,
    /// Evaluations of rules that broke their budget last time.
    pub slow_jobs: Queue<Job>,
    /// Where notifications go.
    pub notifications: Queue<Notification>,
    /// What the scheduler waits for.
    pub news: Mailbox<News>,
    /// What is known of the rules' work.
    pub board: Board,
    /// What became of the last change of the files.
    pub last_report: Mutex<Report>,
    /// Ticks of rules that have been evaluated.
    pub evaluations: Counter,
    /// Ticks over a store that was still reading its log back.
    pub unobserved: Counter,
}

impl Shared {
    pub fn last_report(&self) -> MutexGuard<'_, Report> {
        self.last_report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on a notification. Waits for room: nothing is dropped, the ticks that are missed meanwhile are counted.
    pub fn tell(&self, notification: Notification) {
        let refused = match self.notifications.try_send(notification) {
            Ok(()) => return,
            Err(Refused::Full(notification)) => {
                warn!(
                    queue = self.notifications.name(),
                    rule = notification.rule,
                    "The queue of notifications is full; a notification worker waits for room."
                );
                self.notifications.send_blocking(notification)
            }
            Err(Refused::Closed(notification)) => Err(notification),
        };
        if let Err(lost) = refused {
            error!(
                event = lost.event_id,
                message = lost.message,
                "Nobody takes notifications any more; this one is only told here."
            );
        }
    }
}
