//! A client's connection on its way through the stages.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use sereno_runtime::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An accepted connection. While it exists it counts against `server.connections_max`.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Not bound to any thread's event loop, so that it can be handed on.
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub place: Place,
}

/// One of the places for connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    open: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.add(-1);
    }
}

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    open: Gauge,
}

impl Places {
    pub(crate) fn new(count: usize, open: Gauge) -> Self {
        Self { free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), open }
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        self.open.add(1);
        Some(Place { _permit: permit, open: self.open.clone() })
    }
}

impl Connection {
    /// Binds the connection to the event loop of the current thread.
    pub(crate) fn bind(self) -> io::Result<(tokio::net::TcpStream, Place)> {
        Ok((tokio::net::TcpStream::from_std(self.stream)?, self.place))
    }
}
