//! The dispatchers: read what a connection is for, and hand it to the stage that serves it.

use std::time::Duration;

use sereno_protocol::v1::{INTENTION_BYTES, Intention};
use sereno_protocol::v2;
use sereno_runtime::{Counter, Metrics, Shutdown};
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use crate::connection::Connection;
use crate::stage::Inboxes;

/// Where connections go from here, and how long they may take to say where.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    pub metrics: Inboxes,
    pub queries: Inboxes,
    pub monitors: Inboxes,
    pub sessions: Inboxes,
    pub serves_v1: bool,
    pub timeout: Duration,
    pub stop: Shutdown,
    pub counts: Counts,
}

/// `connections_dispatched_total` by intention.
#[derive(Clone)]
pub(crate) struct Counts {
    metrics: Counter,
    queries: Counter,
    monitors: Counter,
    sessions: Counter,
    /// Silent, slow, gone, or speaking something else.
    dropped: Counter,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let count = |intention| metrics.counter("connections_dispatched_total", &[("intention", intention)]);
        Self {
            metrics: count("metrics"),
            queries: count("query"),
            monitors: count("monitor"),
            sessions: count("session"),
            dropped: count("none"),
        }
    }
}

impl Dispatcher {
    /// Serves one connection: four bytes, within the time limit. Nothing more is read, so the rest stays in the socket
    /// for the stage that follows.
    pub(crate) async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let Ok((mut stream, place)) = connection.bind() else { return };
        let mut record = [0; INTENTION_BYTES];
        let read = tokio::select! {
            read = tokio::time::timeout(self.timeout, stream.read_exact(&mut record)) => matches!(read, Ok(Ok(_))),
            () = self.stop.stopping() => return,
        };
        let Some((count, next)) = self.next(&record).filter(|_| read) else {
            self.counts.dropped.inc();
            if read {
                debug!(%peer, ?record, v1 = self.serves_v1, "Connection closed: its intention is not served here.");
            }
            return;
        };
        let Ok(stream) = stream.into_std() else { return };
        count.inc();
        next.put(Connection { stream, peer, place });
    }

    /// Where a connection goes that begins with this.
    fn next(&self, record: &[u8; INTENTION_BYTES]) -> Option<(&Counter, &Inboxes)> {
        if *record == v2::INTENTION {
            return Some((&self.counts.sessions, &self.sessions));
        }
        let intention = Intention::decode(record).ok().filter(|_| self.serves_v1)?;
        Some(match intention {
            Intention::SendMetrics => (&self.counts.metrics, &self.metrics),
            Intention::Query => (&self.counts.queries, &self.queries),
            Intention::Monitor => (&self.counts.monitors, &self.monitors),
        })
    }
}
