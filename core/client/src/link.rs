//! A connection that has shaken hands: frames in, bytes out. Owned by whoever asked for it.
//!
//! Not here: what the frames are about; when to connect again.

use std::sync::Arc;
use std::time::Duration;

use sereno_protocol::v2::frame::{FrameError, Split, split_frame};
use sereno_protocol::v2::messages::{Hello, Limits, Request, Response, Welcome, request, response};
use sereno_protocol::v2::{INTENTION, MAJOR, MINOR, decode_response, put_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

use crate::error::{ClientError, Waiting};
use crate::options::Options;

/// The request id of the hello; nobody else has it.
const HELLO_ID: u64 = 1;
/// The first id that is free for requests.
pub(crate) const FIRST_ID: u64 = HELLO_ID + 1;

/// The most of a program's name that is sent.
const CLIENT_BYTES_MAX: usize = 255;
/// How long a welcome may be.
const WELCOME_BYTES_MAX: usize = 64 << 10;
/// The longest frame that is read, whatever a server says about itself.
const RESPONSE_BYTES_MAX: u64 = 16 << 20;
/// Read at a time; also how far the buffer grows ahead of what came.
const READ_BYTES: usize = 64 << 10;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// What a server without a word about a limit is taken to mean.
const DEFAULT_LIMITS: Limits = Limits {
    write_bytes_max: 1 << 20,
    request_bytes_max: 64 << 10,
    response_bytes_max: 4 << 20,
    batch_samples_max: 65_536,
    dictionary_len_max: 65_536,
    in_flight_bytes_max: 8 << 20,
    in_flight_requests_max: 64,
};

/// Both directions of a connection, and what the server said about it.
pub(crate) struct Link {
    pub inbox: Inbox,
    pub outbox: OwnedWriteHalf,
    pub welcome: Welcome,
    /// All of them above 0.
    pub limits: Limits,
}

/// The receiving side: what was read and not yet taken.
pub(crate) struct Inbox {
    address: String,
    source: OwnedReadHalf,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken.
    start: usize,
    frame_bytes_max: usize,
}

/// Connects and shakes hands; again, as often as the options say, while nobody listens.
pub(crate) async fn connect_patiently(options: &Options, client_id: u64) -> Result<Link, ClientError> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..options.retries {
        match connect(options, client_id).await {
            Err(error) if error.is_refused() => {}
            result => return result,
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    connect(options, client_id).await
}

/// Connects and shakes hands, once.
pub(crate) async fn connect(options: &Options, client_id: u64) -> Result<Link, ClientError> {
    let timed_out = |waiting| ClientError::Timeout {
        address: options.address.clone(),
        waiting,
        after: options.timeouts.connect,
    };
    let deadline = tokio::time::Instant::now() + options.timeouts.connect;
    let stream = tokio::time::timeout_at(deadline, TcpStream::connect(&options.address))
        .await
        .map_err(|_| timed_out(Waiting::Connection))?
        .map_err(|source| ClientError::Connect {
            address: options.address.clone(),
            source: Arc::new(source),
        })?;
    tokio::time::timeout_at(deadline, shake_hands(stream, options, client_id))
        .await
        .map_err(|_| timed_out(Waiting::Handshake))?
}

async fn shake_hands(stream: TcpStream, options: &Options, client_id: u64) -> Result<Link, ClientError> {
    let address = &options.address;
    stream.set_nodelay(true).map_err(|error| ClientError::lost(address, error))?;
    let (source, mut outbox) = stream.into_split();
    let hello = Request { id: HELLO_ID, body: Some(request::Body::Hello(hello(options, client_id))) };
    let mut bytes = INTENTION.to_vec();
    put_frame(&mut bytes, &hello);
    outbox.write_all(&bytes).await.map_err(|error| ClientError::lost(address, error))?;

    let mut inbox = Inbox::new(address.clone(), source);
    loop {
        let response = inbox.next().await?.ok_or_else(|| ClientError::closed(address, Waiting::Handshake))?;
        match response.body {
            Some(response::Body::Welcome(welcome)) if welcome.major == MAJOR => {
                let limits = limits(&welcome);
                inbox.frame_bytes_max = limits.response_bytes_max as usize;
                return Ok(Link { inbox, outbox, welcome, limits });
            }
            Some(response::Body::Error(error)) => return Err(ClientError::of_server(address, error)),
            // Of a later version: a server that has more to say than its welcome.
            None => {}
            Some(_) => return Err(ClientError::Unexpected { address: address.clone() }),
        }
    }
}

fn hello(options: &Options, client_id: u64) -> Hello {
    let ends = options.client.char_indices().map(|(start, letter)| start + letter.len_utf8());
    let end = ends.take_while(|end| *end <= CLIENT_BYTES_MAX).last().unwrap_or_default();
    Hello {
        major: MAJOR,
        minor: MINOR,
        client: options.client[..end].to_owned(),
        token: options.token.clone().unwrap_or_default(),
        features: Vec::new(),
        client_id,
    }
}

fn limits(welcome: &Welcome) -> Limits {
    let told = welcome.limits.unwrap_or_default();
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    let default = DEFAULT_LIMITS;
    Limits {
        write_bytes_max: or(told.write_bytes_max, default.write_bytes_max),
        request_bytes_max: or(told.request_bytes_max, default.request_bytes_max),
        response_bytes_max: or(told.response_bytes_max, default.response_bytes_max).min(RESPONSE_BYTES_MAX),
        batch_samples_max: or(told.batch_samples_max, default.batch_samples_max),
        dictionary_len_max: or(told.dictionary_len_max, default.dictionary_len_max),
        in_flight_bytes_max: or(told.in_flight_bytes_max, default.in_flight_bytes_max),
        in_flight_requests_max: or(told.in_flight_requests_max, default.in_flight_requests_max),
    }
}

impl Inbox {
    const fn new(address: String, source: OwnedReadHalf) -> Self {
        Self { address, source, buffer: Vec::new(), start: 0, frame_bytes_max: WELCOME_BYTES_MAX }
    }

    /// The next response, or `None` when the server closed between two.
    ///
    /// Cancel safe: what was read stays.
    pub(crate) async fn next(&mut self) -> Result<Option<Response>, ClientError> {
        loop {
            if let Some(response) = self.take()? {
                return Ok(Some(response));
            }
            if self.fill().await? == 0 {
                let whole = self.start == self.buffer.len();
                return if whole { Ok(None) } else { Err(self.closed_within()) };
            }
        }
    }

    /// A response that is already here.
    pub(crate) fn take(&mut self) -> Result<Option<Response>, ClientError> {
        let split = split_frame(&self.buffer[self.start..], self.frame_bytes_max);
        match split.map_err(|error| self.malformed(error))? {
            Split::Incomplete { .. } => Ok(None),
            Split::Frame { message, taken } => {
                let response = decode_response(message).map_err(|error| self.malformed(error))?;
                self.start += taken;
                Ok(Some(response))
            }
        }
    }

    /// Reads what has come, at least a byte; 0 at the end. Cancel safe. The buffer grows with what came, not with what a
    /// length claims.
    pub(crate) async fn fill(&mut self) -> Result<usize, ClientError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 16 * READ_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(READ_BYTES);
        let read = self.source.read_buf(&mut self.buffer).await;
        read.map_err(|error| ClientError::lost(&self.address, error))
    }

    fn malformed(&self, source: FrameError) -> ClientError {
        ClientError::Format { address: self.address.clone(), source }
    }

    fn closed_within(&self) -> ClientError {
        ClientError::lost(&self.address, std::io::ErrorKind::UnexpectedEof.into())
    }
}

impl ClientError {
    pub(crate) fn lost(address: &str, source: std::io::Error) -> Self {
        Self::Connection { address: address.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn closed(address: &str, waiting: Waiting) -> Self {
        Self::Closed { address: address.to_owned(), waiting }
    }
}

/// Waits at most so long for the next part of an answer.
pub(crate) async fn within<T>(
    address: &str,
    after: Duration,
    waiting: Waiting,
    wait: impl Future<Output = T>,
) -> Result<T, ClientError> {
    let timed_out = |_| ClientError::Timeout { address: address.to_owned(), waiting, after };
    timeout(after, wait).await.map_err(timed_out)
}

/// Starts a task that ends with the handle that owns it, or by itself.
#[expect(
    clippy::disallowed_methods,
    reason = "a library has no shutdown to be joined at; every task here is aborted, or ended, by its owner's drop"
)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
    tokio::spawn(task).abort_handle()
}
