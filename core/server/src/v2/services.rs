//! What all sessions share.

use std::sync::Arc;
use std::time::Duration;

use sereno_delivery::Monitors;
use sereno_model::Timestamp;
use sereno_rules::Rules;
use sereno_runtime::{Clock, Metrics, Queue, Shutdown};
use sereno_storage::Store;

use super::budget::Budget;
use super::snapshots::Snapshots;
use crate::query::{Job, QueryLimits};

/// The parts of the server that requests ask for something.
#[derive(Clone)]
pub(crate) struct Services {
    pub store: Store,
    pub rules: Rules,
    pub monitors: Monitors,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    /// Work for the query workers, the threads that may compute.
    pub jobs: Queue<Job>,
    pub limits: QueryLimits,
    /// Memory of everything that is under way; answers that wait to be read are part of it.
    pub memory: Budget,
    pub query_timeout: Duration,
    /// What queries saw a moment ago.
    pub snapshots: Snapshots,
    /// When the server started.
    pub started: Timestamp,
    /// Whether version 1 is served too.
    pub serves_v1: bool,
    /// Requests come to an end.
    pub stop: Shutdown,
}
