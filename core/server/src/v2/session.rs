//! One connection. A single loop owns it: reads frames, hands batches to the store, starts a task for every other request,
//! and writes what the outbox holds. It never waits for one thing alone.
//!
//! Invariants:
//! * nothing is read while the frames that are not answered, and the answers that are not read, exceed
//!   `server.in_flight_bytes`; so the client is slowed down by its own socket, and nobody else is;
//! * an idle connection holds neither a buffer nor a timer;
//! * whatever ends the connection, batches that were read are committed, and answered if the client listens.
//!
//! Not here: what requests mean (`answer`), what batches mean (`write`).

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use sereno_protocol::v2::frame::Split;
use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Code, Error, Limits, Pong, Request, Response, response};
use sereno_protocol::v2::write::BatchLimits;
use sereno_protocol::v2::{FrameError, Incoming, decode_request, split_frame};
use sereno_runtime::{Counter, Gauge, Metrics, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;
use tracing::{debug, error};

use super::answer::answer;
use super::budget::Budget;
use super::dictionary::{Dictionary, Full};
use super::flights::{Flights, Panicked};
use super::handshake::{self, HELLO_BYTES_MAX, Tokens};
use super::input::Input;
use super::outbox::Outbox;
use super::output::Output;
use super::pace::Pace;
use super::services::Services;
use super::write::{self, Writes};
use crate::connection::Connection;

/// The longest frame with a batch.
const WRITE_BYTES_MAX: usize = 8 << 20;
/// The longest frame with any other request.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// The longest frame that the server sends.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// The most samples in a batch.
const BATCH_SAMPLES_MAX: usize = 100_000;
/// Bytes of answers at which whoever answers at length waits for the client to read.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Memory of a request that is being answered, beside its frame.
const REQUEST_BYTES: u64 = 4 << 10;
/// How long a client that goes on sending may take at shutdown to read the last answers.
const STOP_LINGER: Duration = Duration::from_millis(500);
/// Others on the same event loop have their turn after so many bytes of frames.
const TURN_BYTES: usize = 128 << 10;
/// What a frame costs beside its bytes, for the same count.
const TURN_FRAME_BYTES: usize = 512;

/// What all sessions share.
#[derive(Clone)]
pub(crate) struct SessionHandler {
    pub services: Services,
    pub tokens: Tokens,
    pub budget: Budget,
    pub limits: SessionLimits,
    /// What an acknowledgement promises where the client does not say.
    pub ack: sereno_storage::Ack,
    /// Nothing more is read. Tasks end by `services.stop`, which may come later.
    pub stop: Shutdown,
    pub counts: Counts,
}

/// What one session may use up.
#[derive(Clone, Copy)]
pub(crate) struct SessionLimits {
    pub in_flight_bytes: u64,
    pub in_flight_requests: usize,
    pub dictionary_len: u32,
    /// How long a client may take for its Hello, between the pieces of a frame, and to read when it must.
    pub timeout: Duration,
}

/// `sessions_open`, `sessions_closed_total` by reason, and what is counted of batches.
#[derive(Clone)]
pub(crate) struct Counts {
    open: Gauge,
    closed: [Counter; Why::ALL.len()],
    writes: write::Counts,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let closed = |why: Why| metrics.counter("sessions_closed_total", &[("reason", why.as_str())]);
        Self {
            open: metrics.gauge("sessions_open", &[]),
            closed: Why::ALL.map(closed),
            writes: write::Counts::new(metrics),
        }
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The client closed it, or the network did.
    Client,
    /// The server stops.
    Stop,
    /// Something that is no frame, or breaks the rules.
    Malformed,
    /// Another version, or no token.
    Refused,
    /// The Hello, or the rest of a frame, did not come.
    Silent,
    /// The client did not read its answers.
    SlowReader,
    /// No memory for a frame within the time limit, or for the dictionary.
    Memory,
}

impl Why {
    /// In the order of their declaration.
    const ALL: [Self; 7] = [
        Self::Client,
        Self::Stop,
        Self::Malformed,
        Self::Refused,
        Self::Silent,
        Self::SlowReader,
        Self::Memory,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Stop => "stop",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::SlowReader => "slow_reader",
            Self::Memory => "memory",
        }
    }
}

impl SessionHandler {
    /// Serves one connection to its end.
    pub(crate) async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let Ok((mut stream, _place)) = connection.bind() else { return };
        let _open = Open::new(&self.counts.open);
        let (mut reader, writer) = stream.split();
        let mut session = Session::new(&self);
        let why = match session.run(&mut reader, &writer).await {
            Ok(why) => why,
            Err(error) => {
                debug!(%peer, %error, "A connection broke.");
                Why::Client
            }
        };
        drop(session);
        self.counts.closed[why as usize].inc();
        debug!(%peer, reason = why.as_str(), "Session closed.");
        match why {
            Why::Client | Why::SlowReader => {}
            Why::Stop => {
                // Without anything unread, closing takes nothing from the client.
                if stream.try_read(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                    linger(&mut stream, STOP_LINGER).await;
                }
            }
            Why::Malformed | Why::Refused | Why::Silent | Why::Memory => tokio::select! {
                () = linger(&mut stream, self.limits.timeout) => {}
                () = self.stop.stopping() => {}
            },
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            write_bytes_max: WRITE_BYTES_MAX as u64,
            request_bytes_max: REQUEST_BYTES_MAX as u64,
            response_bytes_max: RESPONSE_BYTES_MAX as u64,
            batch_samples_max: BATCH_SAMPLES_MAX as u64,
            dictionary_len_max: self.limits.dictionary_len.into(),
            in_flight_bytes_max: self.limits.in_flight_bytes,
            in_flight_requests_max: self.limits.in_flight_requests as u64,
        }
    }
}

/// One connection.
struct Session<'a> {
    handler: &'a SessionHandler,
    input: Input,
    output: Output,
    outbox: Outbox,
    flights: Flights,
    /// There once the client has said Hello.
    greeted: Option<Greeted>,
    began: Instant,
    pace: Pace,
    /// Nothing is read until then, so that the store can catch up.
    pause: Option<Instant>,
    /// Nothing more is read: why, and since when.
    ending: Option<(Why, Instant)>,
}

struct Greeted {
    services: Rc<Services>,
    writes: Rc<Writes>,
}

impl<'a> Session<'a> {
    fn new(handler: &'a SessionHandler) -> Self {
        let budget = &handler.budget;
        let outbox = Outbox::new(OUTBOX_BYTES_MAX).charged(budget.nothing());
        Self {
            handler,
            input: Input::new(budget.clone()),
            output: Output::new(outbox.clone()),
            outbox,
            flights: Flights::default(),
            greeted: None,
            began: Instant::now(),
            pace: Pace::default(),
            pause: None,
            ending: None,
        }
    }

    async fn run(&mut self, reader: &mut ReadHalf<'_>, writer: &WriteHalf<'_>) -> io::Result<Why> {
        let mut stopping = pin!(self.handler.stop.stopping());
        loop {
            self.output.flush(writer)?;
            if self.output.stuck_since().is_some_and(|since| self.is_over(since)) {
                return Ok(Why::SlowReader);
            }
            if let Some((why, _)) = self.ending
                && self.flights.is_empty()
                && self.output.is_done()
            {
                return Ok(why);
            }
            let running = self.ending.is_none();
            let reads = running && self.pause.is_none() && self.has_room();
            let memory = self.input.wants_memory();
            let deadline = self.deadline(reads);
            tokio::select! {
                biased;
                () = &mut stopping, if running => self.end(Why::Stop),
                Some(ended) = self.flights.next() => {
                    if let Err(Panicked(id)) = self.flights.ended(ended) {
                        self.tell_panic(id);
                    }
                }
                writable = writer.writable(), if self.output.is_blocked() => writable?,
                charge = self.handler.budget.take(memory.unwrap_or(0)), if reads && memory.is_some() => {
                    self.input.give_memory(charge);
                }
                read = poll_fn(|cx| self.input.poll_read(reader, cx)), if reads && memory.is_none() => {
                    self.receive(read?, writer).await?;
                }
                () = self.outbox.filled(), if !self.output.is_blocked() => {}
                () = until(self.pause), if self.pause.is_some() => self.pause = None,
                () = until(deadline) => if let Some(why) = self.late(reads) {
                    return Ok(why);
                },
            }
        }
    }

    /// Whether the client may have more under way. One that does not read gets nothing more to read.
    fn has_room(&self) -> bool {
        let bytes = self.flights.bytes() + self.outbox.waiting() as u64;
        bytes <= self.handler.limits.in_flight_bytes && !self.outbox.is_full()
    }

    /// Handles what was read, frame by frame.
    async fn receive(&mut self, buffer: Vec<u8>, writer: &WriteHalf<'_>) -> io::Result<()> {
        if buffer.is_empty() {
            self.end(Why::Client);
            return Ok(());
        }
        let (mut at, mut turn) = (0, 0);
        while self.ending.is_none() {
            let limit = if self.greeted.is_some() { WRITE_BYTES_MAX } else { HELLO_BYTES_MAX };
            match split_frame(&buffer[at..], limit) {
                Ok(Split::Frame { message, taken }) => {
                    at += taken;
                    turn += taken + TURN_FRAME_BYTES;
                    self.handle(message);
                }
                Ok(Split::Incomplete { needed }) => {
                    self.input.keep(buffer, at, needed);
                    return Ok(());
                }
                Err(error) => self.tell_malformed(&error),
            }
            if turn > TURN_BYTES {
                turn = 0;
                self.output.flush(writer)?;
                tokio::task::yield_now().await;
            }
        }
        let end = buffer.len();
        self.input.keep(buffer, end, 0);
        Ok(())
    }

    fn handle(&mut self, message: &[u8]) {
        match decode_request(message, REQUEST_BYTES_MAX) {
            Err(error) => self.tell_malformed(&error),
            Ok(Incoming::Write { id, batch }) => self.write(id, batch),
            Ok(Incoming::Other(request)) if self.greeted.is_none() => self.greet(*request),
            Ok(Incoming::Other(request)) => self.request(*request, message.len()),
        }
    }

    fn greet(&mut self, request: Request) {
        let id = request.id;
        let guest = match handshake::receive(request, &self.handler.tokens) {
            Ok(guest) => guest,
            Err(error) => return self.fail(id, *error, Why::Refused),
        };
        debug!(client = guest.client, "Session opened.");
        let SessionHandler { services, budget, limits, ack, counts, .. } = self.handler;
        let writes = Writes {
            store: services.store.clone(),
            ack: *ack,
            client_id: guest.client_id,
            limits: BatchLimits { samples_max: BATCH_SAMPLES_MAX, dictionary_len_max: limits.dictionary_len },
            budget: budget.clone(),
            dictionary: RefCell::new(Dictionary::new(services.store.clone(), budget.nothing())),
            outbox: self.outbox.clone(),
            counts: counts.writes.clone(),
            taken: Cell::new(0),
        };
        self.greeted = Some(Greeted { services: Rc::new(services.clone()), writes: Rc::new(writes) });
        let welcome = handshake::welcome(self.handler.limits(), services.clock.now());
        self.put(id, response::Body::Welcome(welcome));
    }

    fn write(&mut self, id: u64, batch: &[u8]) {
        let Some(Greeted { writes, .. }) = &self.greeted else {
            let message = "a connection begins with a Hello";
            return self.fail(id, failure(Code::Malformed, message), Why::Malformed);
        };
        let writes = writes.clone();
        if !self.is_fresh(id) {
            return;
        }
        match writes.write(id, batch) {
            Ok(None) => {}
            Ok(Some(open)) => {
                let answered = open.is_answered();
                self.flights.start_batch(id, answered, batch.len(), open.finish(writes.clone()));
            }
            Err(Full) => return self.fail(0, *write::overloaded(), Why::Memory),
        }
        if let Some(wait) = self.pace.wait(writes.taken.take(), writes.store.fullness()) {
            self.pause = Some(self.pause.unwrap_or_else(Instant::now) + wait);
        }
    }

    fn request(&mut self, request: Request, bytes: usize) {
        let Request { id, body } = request;
        if !self.is_fresh(id) {
            return;
        }
        match body {
            None => self.refuse(id, Code::Unsupported, "this server knows no such request"),
            Some(Body::Hello(_)) => self.refuse(id, Code::Invalid, "the Hello was said already"),
            // Batches come apart from all other requests; this is for one that did not.
            Some(Body::Write(_)) => self.refuse(id, Code::Invalid, "a request has more than one body"),
            Some(Body::Ping(_)) => {
                let time = self.handler.services.clock.now().nanos();
                self.put(id, response::Body::Pong(Pong { time }));
            }
            Some(Body::Cancel(cancel)) => {
                if self.flights.cancel(cancel.request) {
                    self.refuse(cancel.request, Code::Cancelled, "cancelled by the client");
                }
            }
            body => self.start(id, body, bytes),
        }
    }

    fn start(&mut self, id: u64, body: Option<Body>, bytes: usize) {
        let Some(Greeted { services, .. }) = &self.greeted else { return };
        let services = services.clone();
        if self.flights.requests() >= self.handler.limits.in_flight_requests {
            let message = "as many requests of this connection wait for their answers as may";
            let error =
                Error { retry_after_ms: write::OVERLOAD_RETRY_MS, ..failure(Code::Overloaded, message) };
            return self.put(id, response::Body::Error(error));
        }
        match self.handler.budget.try_take(bytes as u64 + REQUEST_BYTES) {
            Some(charge) => {
                let answer = answer(services, id, body, self.outbox.clone());
                self.flights.start_request(id, bytes, charge, answer);
            }
            None => self.put(id, response::Body::Error(*write::overloaded())),
        }
    }

    /// Whether an id can be taken; if not, the client is told.
    fn is_fresh(&mut self, id: u64) -> bool {
        if id == 0 {
            self.fail(0, failure(Code::Invalid, "a request has the id 0"), Why::Malformed);
            return false;
        }
        let taken = self.flights.contains(id);
        if taken {
            self.refuse(id, Code::Invalid, "a request has the id of another one that is not answered yet");
        }
        !taken
    }

    fn put(&self, id: u64, body: response::Body) {
        self.outbox.put(&Response { id, more: false, body: Some(body) });
    }

    fn refuse(&self, id: u64, code: Code, message: &str) {
        self.put(id, response::Body::Error(failure(code, message)));
    }

    fn tell_malformed(&mut self, error: &FrameError) {
        let code = match error {
            FrameError::TooLong { .. } => Code::TooLarge,
            _ => Code::Malformed,
        };
        self.fail(0, failure(code, error.to_string()), Why::Malformed);
    }

    fn tell_panic(&self, id: u64) {
        error!(request = id, "A request panicked; this is a bug of the server.");
        self.refuse(id, Code::Internal, "the server failed at this request; its log has the detail");
    }

    /// Ends the session with an error.
    fn fail(&mut self, id: u64, error: Error, why: Why) {
        self.put(id, response::Body::Error(error));
        self.end(why);
    }

    /// Reads nothing more. Batches are still answered; requests too, if it is the server that ends it.
    fn end(&mut self, why: Why) {
        self.ending = Some((why, Instant::now()));
        if why != Why::Stop {
            self.flights.cancel_all();
        }
    }

    /// When the client will have taken too long for what it has to do now.
    fn deadline(&mut self, reads: bool) -> Option<Instant> {
        let since = match self.ending {
            // At shutdown the stage counts the time.
            Some((Why::Stop, _)) => None,
            Some((_, since)) => Some(since),
            None if self.greeted.is_none() => Some(self.began),
            None if reads => self.input.waits_since(),
            None => {
                self.input.excuse();
                None
            }
        };
        let since = since.into_iter().chain(self.output.stuck_since()).min();
        since.map(|since| since + self.handler.limits.timeout)
    }

    fn is_over(&self, since: Instant) -> bool {
        since.elapsed() >= self.handler.limits.timeout
    }

    /// The deadline has passed: ends the session, or tells that it has ended.
    fn late(&mut self, reads: bool) -> Option<Why> {
        if let Some((why, since)) = self.ending {
            return (why != Why::Stop && self.is_over(since)).then_some(why);
        }
        let since = if self.greeted.is_none() { Some(self.began) } else { self.input.waits_since() };
        if !since.is_some_and(|since| self.is_over(since)) || !reads {
            return None;
        }
        if self.input.wants_memory().is_some() {
            self.fail(0, *write::overloaded(), Why::Memory);
        } else {
            let what = if self.greeted.is_none() { "the Hello" } else { "the rest of a frame" };
            let message = format!("{what} did not come within {:?}", self.handler.limits.timeout);
            self.fail(0, failure(Code::Deadline, message), Why::Silent);
        }
        None
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Tasks may hold the outbox a moment longer.
        self.outbox.close();
    }
}

/// Lets the client read what it was sent last: closing with something unread would take it from the client.
async fn linger(stream: &mut TcpStream, limit: Duration) {
    let mut unread = [0; 4096];
    let read_all = async {
        stream.shutdown().await?;
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Gone, or late: it has had its chance.
    let _end = tokio::time::timeout(limit, read_all).await;
}

/// Counts an open session.
struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

fn failure(code: Code, message: impl Into<String>) -> Error {
    Error { code: code.into(), message: message.into(), ..Error::default() }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
