//! The acceptor: takes connections from the kernel and hands them to the dispatchers.

use std::io;
use std::time::Duration;

use sereno_runtime::{Metrics, Shutdown};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::connection::{Connection, Places};
use crate::stage::Inboxes;

/// How long to wait when the system has no descriptor left: accepting again at once would only spin.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Accepts until the word to stop. Owns the listener, which is closed then.
pub(crate) async fn run(
    listener: TcpListener,
    places: Places,
    dispatchers: Inboxes,
    metrics: Metrics,
    stop: Shutdown,
) {
    let accepted = metrics.counter("connections_accepted_total", &[]);
    let refused = metrics.counter("connections_refused_total", &[]);
    let mut full = false;
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = stop.stopping() => return,
        };
        let (stream, peer) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                warn!(%error, "A connection could not be accepted; raise the limit of open files if this repeats.");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                continue;
            }
        };
        accepted.inc();
        let place = places.take();
        if place.is_some() == full {
            full = !full;
            match full {
                true => {
                    warn!("`server.connections_max` is reached: connections are closed until there is room.")
                }
                false => info!("There is room for connections again."),
            }
        }
        match (place, prepare(stream)) {
            (Some(place), Ok(stream)) => dispatchers.put(Connection { stream, peer, place }),
            (None, _) => refused.inc(),
            // The client is gone already.
            (Some(_), Err(_)) => {}
        }
    }
}

fn prepare(stream: tokio::net::TcpStream) -> io::Result<std::net::TcpStream> {
    // Answers of two bytes must not wait for company.
    stream.set_nodelay(true)?;
    stream.into_std()
}
