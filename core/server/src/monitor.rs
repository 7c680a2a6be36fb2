//! The monitor handlers: write notifications to the clients that watch.

use std::io;
use std::sync::Arc;

use sereno_delivery::{End, Monitors, Subscription};
use sereno_model::{EventKind, Notification};
use sereno_protocol::v1::{NotificationResponse, Status};
use sereno_runtime::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing::debug;

use crate::connection::Connection;

/// What all monitor handlers share.
#[derive(Clone)]
pub(crate) struct MonitorHandler {
    pub monitors: Monitors,
    pub clock: Arc<dyn Clock>,
}

impl MonitorHandler {
    /// Serves one connection until the client closes it, stops reading, or the server stops.
    pub(crate) async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let Ok((mut stream, _place)) = connection.bind() else { return };
        let Some(subscription) = self.monitors.subscribe() else {
            let refused = NotificationResponse::refused(self.clock.now(), Status::ServerUnavailable);
            drop(stream.write_all(&refused.encode()).await);
            return;
        };
        if let Err(error) = self.stream(&mut stream, &subscription).await {
            debug!(%peer, %error, "A monitor has gone.");
        }
    }

    async fn stream(&self, stream: &mut TcpStream, subscription: &Subscription) -> io::Result<()> {
        let (mut reads, mut writes) = stream.split();
        let mut ignored = [0; 64];
        loop {
            let notification = tokio::select! {
                notification = subscription.recv() => notification,
                // A monitor says nothing more, so whatever can be read is its end.
                read = reads.read(&mut ignored) => match read? {
                    0 => return Ok(()),
                    _ => continue,
                },
            };
            let Some(notification) = notification else { break };
            let Some(record) = record(&notification) else { continue };
            tokio::select! {
                written = writes.write_all(&record) => written?,
                () = subscription.dropped() => return Ok(()),
            }
        }
        if subscription.end() == Some(End::Stopping) {
            let stopping = NotificationResponse::stopping(self.clock.now());
            writes.write_all(&stopping.encode()).await?;
            writes.shutdown().await?;
        }
        Ok(())
    }
}

/// What version 1 is told: that something fires, still fires, or has recovered.
fn record(notification: &Notification) -> Option<[u8; sereno_protocol::v1::NOTIFICATION_RESPONSE_BYTES]> {
    matches!(notification.kind, EventKind::Firing | EventKind::Reminder | EventKind::Resolved)
        .then(|| NotificationResponse::new(notification.tick, &notification.message).encode())
}
