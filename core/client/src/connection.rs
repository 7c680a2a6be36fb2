//! One TCP connection, read record by record.

use std::io;
use std::time::Duration;

use sereno_protocol::v1::{FormatError, Intention};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::error::{ClientError, Waiting};

const INBOX_BYTES: usize = 16 << 10;

/// How long a client waits for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name lookup included.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    /// 5 s for a connection, 30 s for an answer.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(30) }
    }
}

/// The receiving side: what was read and not yet taken. Owned by one reader.
pub(crate) struct Inbox {
    peer: Peer,
    source: OwnedReadHalf,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Who is at the other end, for errors.
pub(crate) struct Peer {
    pub(crate) address: String,
    waiting: Waiting,
    timeout: Duration,
}

/// Connects and says what for.
pub(crate) async fn connect(
    address: &str,
    intention: Intention,
    waiting: Waiting,
    timeouts: Timeouts,
) -> Result<(Inbox, OwnedWriteHalf), ClientError> {
    let peer = |waiting, timeout| Peer { address: address.to_owned(), waiting, timeout };
    let failed = |source| ClientError::Connect { address: address.to_owned(), source };
    let stream = timeout(timeouts.connect, TcpStream::connect(address))
        .await
        .map_err(|_| peer(Waiting::Connection, timeouts.connect).timed_out())?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (source, mut sink) = stream.into_split();
    sink.write_all(&intention.encode()).await.map_err(failed)?;
    Ok((Inbox::new(peer(waiting, timeouts.answer), source), sink))
}

impl Inbox {
    fn new(peer: Peer, source: OwnedReadHalf) -> Self {
        Self { peer, source, buffer: vec![0; INBOX_BYTES].into(), start: 0, end: 0 }
    }

    pub(crate) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The next record, or `None` when the server closed between two records.
    ///
    /// Cancel safe: what was read stays.
    pub(crate) async fn next<const N: usize>(&mut self) -> Result<Option<[u8; N]>, ClientError> {
        while self.end - self.start < N {
            if self.fill().await? == 0 {
                return if self.end == self.start { Ok(None) } else { Err(self.peer.closed()) };
            }
        }
        Ok(self.take())
    }

    /// The next record of an answer that is due: it comes before the timeout, and before the server closes.
    pub(crate) async fn next_due<const N: usize>(&mut self) -> Result<[u8; N], ClientError> {
        // Pipelined answers are already here; no timer is set for them.
        if let Some(record) = self.take() {
            return Ok(record);
        }
        match timeout(self.peer.timeout, self.next()).await {
            Ok(record) => record?.ok_or_else(|| self.peer.closed()),
            Err(_) => Err(self.peer.timed_out()),
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let record = *self.buffer[self.start..self.end].first_chunk()?;
        self.start += N;
        Some(record)
    }

    async fn fill(&mut self) -> Result<usize, ClientError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let read =
            self.source.read(&mut self.buffer[self.end..]).await.map_err(|error| self.peer.lost(error))?;
        self.end += read;
        Ok(read)
    }
}

impl Peer {
    fn timed_out(&self) -> ClientError {
        ClientError::Timeout { address: self.address.clone(), waiting: self.waiting, after: self.timeout }
    }

    pub(crate) fn closed(&self) -> ClientError {
        ClientError::Closed { address: self.address.clone(), waiting: self.waiting }
    }

    pub(crate) fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Connection { address: self.address.clone(), source }
    }

    pub(crate) fn format(&self, source: FormatError) -> ClientError {
        ClientError::Format { address: self.address.clone(), source }
    }
}
