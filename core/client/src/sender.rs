//! Sends metrics over one connection.

use sereno_protocol::v1::{Intention, METRIC_RESPONSE_BYTES, Metric, MetricResponse, Status};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{Inbox, Timeouts, connect};
use crate::error::{ClientError, Waiting};

/// A connection that sends metrics. After an error, or after [`Status::BadFormat`], it is of no further use.
pub struct Sender {
    inbox: Inbox,
    outbox: OwnedWriteHalf,
}

impl Sender {
    /// Connects to `address`, `host:port`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::Timeout`].
    pub async fn connect(address: &str, timeouts: Timeouts) -> Result<Self, ClientError> {
        let (inbox, outbox) = connect(address, Intention::SendMetrics, Waiting::Statuses, timeouts).await?;
        Ok(Self { inbox, outbox })
    }

    /// Sends one metric and waits for its status: one round trip.
    ///
    /// Not cancel safe: a cancelled call leaves a status under way that the next call would take for its own.
    ///
    /// # Errors
    /// [`ClientError`]; the metric may have been accepted or not.
    pub async fn send(&mut self, metric: Metric<'_>) -> Result<Status, ClientError> {
        let written = self.outbox.write_all(&metric.encode()).await;
        written.map_err(|error| self.inbox.peer().lost(error))?;
        next_status(&mut self.inbox).await
    }

    /// Sends metrics without waiting for one status before the next metric, and appends their statuses, in order.
    /// Costs 32 bytes of memory for each metric of the call.
    ///
    /// Not cancel safe, as [`Self::send`].
    ///
    /// # Errors
    /// [`ClientError`]; `statuses` then holds those that came. The metrics after them may have been accepted or not.
    pub async fn send_all(
        &mut self,
        metrics: &[Metric<'_>],
        statuses: &mut Vec<Status>,
    ) -> Result<(), ClientError> {
        let bytes: Vec<u8> = metrics.iter().flat_map(|metric| metric.encode()).collect();
        // Both directions at once: a server whose answers are not read stops reading.
        let write = self.outbox.write_all(&bytes);
        let read = async {
            for _ in metrics {
                statuses.push(next_status(&mut self.inbox).await?);
            }
            Ok(())
        };
        tokio::pin!(read);
        tokio::select! {
            result = &mut read => result,
            // Reading has the last word even when writing failed: statuses may still be under way, and a connection
            // that is gone shows there too.
            _ = write => read.await,
        }
    }
}

async fn next_status(inbox: &mut Inbox) -> Result<Status, ClientError> {
    let record = inbox.next_due::<METRIC_RESPONSE_BYTES>().await?;
    Ok(MetricResponse::decode(&record).map_err(|error| inbox.peer().format(error))?.status)
}
