//! The connection behind a client: who waits for which answer, and what waits to be written.
//!
//! Invariants:
//! * every response goes to the request that it names, or to nobody;
//! * when the connection ends, all who wait are told at once, and whoever asks later as well;
//! * of requests other than batches, no more are under way than the server allows, those that nobody waits for any more
//!   included.
//!
//! Two tasks read and write; both end with the [`Connection`], which all clients and open answers share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_protocol::v2::frame::split_frame;
use sereno_protocol::v2::messages::{Cancel, Limits, Request, Response, Welcome, request, response};
use sereno_protocol::v2::{FrameError, put_frame};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::error::{ClientError, Waiting};
use crate::link::{FIRST_ID, Inbox, Link, spawn, within};
use crate::options::{Options, Timeouts};

/// Parts of one answer that may wait for their reader.
const PARTS_MAX: usize = 16;
/// Bytes that may wait to be written before requests wait as well.
const OUT_BYTES_MAX: usize = 1 << 20;

/// Owns both tasks.
pub(super) struct Connection {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

struct Shared {
    address: String,
    timeouts: Timeouts,
    welcome: Welcome,
    limits: Limits,
    sink: OwnedWriteHalf,
    state: Mutex<State>,
    /// There is something to write, or the connection has failed.
    filled: Notify,
    /// There is room to write, or the connection has failed.
    drained: Notify,
    /// One per request that may be under way. Closed when the connection has failed.
    seats: Arc<Semaphore>,
}

struct State {
    next_id: u64,
    pending: HashMap<u64, Pending>,
    /// Frames to write.
    out: Vec<u8>,
    /// Whether the writing task has taken frames and not written them all.
    writing: bool,
    failure: Option<ClientError>,
}

/// A request that is under way.
struct Pending {
    /// `None` if nobody waits for the answer any more.
    replies: Option<mpsc::Sender<Response>>,
    _seat: Option<OwnedSemaphorePermit>,
}

/// What a request is, for its place on the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch: bounded by its bytes.
    Write,
    /// Answered soon.
    Short,
    /// Worth a word when nobody waits for the answer any more.
    Cancellable,
    /// The same, and it may carry files.
    Files,
}

impl Connection {
    pub(super) fn start(options: &Options, link: Link) -> Arc<Self> {
        let Link { inbox, outbox, welcome, limits } = link;
        let seats = usize::try_from(limits.in_flight_requests_max).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            address: options.address.clone(),
            timeouts: options.timeouts,
            welcome,
            limits,
            sink: outbox,
            state: Mutex::new(State {
                next_id: FIRST_ID,
                pending: HashMap::new(),
                out: Vec::new(),
                writing: false,
                failure: None,
            }),
            filled: Notify::new(),
            drained: Notify::new(),
            seats: Arc::new(Semaphore::new(seats.min(Semaphore::MAX_PERMITS))),
        });
        let tasks = [spawn(read(Arc::clone(&shared), inbox)), spawn(write(Arc::clone(&shared)))];
        Arc::new(Self { shared, tasks })
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.shared.welcome
    }

    pub(super) fn unexpected(&self) -> ClientError {
        ClientError::Unexpected { address: self.shared.address.clone() }
    }

    /// Sends a request, and gives what its answer will come in.
    pub(super) async fn ask(self: &Arc<Self>, body: request::Body) -> Result<Replies, ClientError> {
        let kind = match body {
            request::Body::EvaluateRules(_) | request::Body::ReplayRule(_) | request::Body::PlanRules(_) => {
                Kind::Files
            }
            request::Body::Query(_) | request::Body::ExplainRule(_) => Kind::Cancellable,
            _ => Kind::Short,
        };
        self.send(kind, |id, out| put_frame(out, &Request { id, body: Some(body) })).await
    }

    /// Sends the frame that `put` writes. Cancel safe: a frame is sent as a whole or not at all.
    pub(super) async fn send(
        self: &Arc<Self>,
        kind: Kind,
        put: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<Replies, ClientError> {
        let shared = &*self.shared;
        let answer = shared.timeouts.answer;
        let seat = match kind {
            Kind::Write => None,
            Kind::Short | Kind::Cancellable | Kind::Files => {
                let seat = Arc::clone(&shared.seats).acquire_owned();
                let seat = within(&shared.address, answer, Waiting::Answer, seat).await?;
                Some(seat.map_err(|_| shared.failure().unwrap_or_else(|| shared.closed()))?)
            }
        };
        within(&shared.address, answer, Waiting::Answer, shared.room()).await??;
        let (sender, receiver) = mpsc::channel(if kind == Kind::Cancellable { PARTS_MAX } else { 1 });
        let id = shared.put(kind, Pending { replies: Some(sender), _seat: seat }, put)?;
        Ok(Replies { connection: Arc::clone(self), id, kind, receiver, done: false })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no connection any more; `None` if there is one.
    fn failure(&self) -> Option<ClientError> {
        self.lock().failure.clone()
    }

    /// What becomes of an answer that its reader left lying for too long.
    fn timed_out(&self, waiting: Waiting) -> ClientError {
        ClientError::Timeout { address: self.address.clone(), waiting, after: self.timeouts.answer }
    }

    fn closed(&self) -> ClientError {
        ClientError::closed(&self.address, Waiting::Answer)
    }

    /// Waits until there is room to write.
    async fn room(&self) -> Result<(), ClientError> {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            {
                let state = self.lock();
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                if state.out.len() < OUT_BYTES_MAX {
                    return Ok(());
                }
            }
            drained.await;
        }
    }

    /// Appends a frame, and writes it at once if nothing waits before it.
    fn put(
        &self,
        kind: Kind,
        pending: Pending,
        put: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<u64, ClientError> {
        let limit = match kind {
            Kind::Write | Kind::Files => self.limits.write_bytes_max,
            Kind::Short | Kind::Cancellable => self.limits.request_bytes_max,
        };
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let id = state.next_id;
        state.next_id += 1;
        let start = state.out.len();
        put(id, &mut state.out);
        let limit_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Err(FrameError::TooLong { bytes, .. }) = split_frame(&state.out[start..], limit_bytes) {
            state.out.truncate(start);
            return Err(ClientError::TooLarge { address: self.address.clone(), bytes: bytes as u64, limit });
        }
        state.pending.insert(id, pending);
        self.write_now(&mut state);
        Ok(id)
    }

    /// Saves the way through the writing task, where the system takes everything at once. It finds the errors as well.
    fn write_now(&self, state: &mut State) {
        if !state.writing
            && let Ok(written) = self.sink.try_write(&state.out)
        {
            state.out.drain(..written);
        }
        if !state.out.is_empty() {
            self.filled.notify_one();
        }
    }

    /// Nobody waits for this answer any more.
    fn abandon(&self, id: u64, kind: Kind) {
        let mut state = self.lock();
        if kind == Kind::Write {
            state.pending.remove(&id);
            return;
        }
        // Its seat stays taken: the server still works on it.
        let Some(pending) = state.pending.get_mut(&id) else { return };
        pending.replies = None;
        if matches!(kind, Kind::Cancellable | Kind::Files) {
            let cancel = request::Body::Cancel(Cancel { request: id });
            let own = state.next_id;
            state.next_id += 1;
            put_frame(&mut state.out, &Request { id: own, body: Some(cancel) });
            self.write_now(&mut state);
        }
    }

    async fn deliver(&self, response: Response) {
        let id = response.id;
        let replies = {
            let mut state = self.lock();
            match response.more {
                true => state.pending.get(&id).and_then(|pending| pending.replies.clone()),
                false => state.pending.remove(&id).and_then(|pending| pending.replies),
            }
        };
        let Some(replies) = replies else { return };
        // Full only when a reader of parts is slow.
        let Err(mpsc::error::TrySendError::Full(response)) = replies.try_send(response) else { return };
        let sent = within(&self.address, self.timeouts.answer, Waiting::Answer, replies.send(response)).await;
        if sent.is_err() {
            self.abandon(id, Kind::Cancellable);
        }
    }

    fn fail(&self, failure: ClientError) {
        let mut state = self.lock();
        state.failure.get_or_insert(failure);
        state.pending.clear();
        state.out = Vec::new();
        drop(state);
        self.seats.close();
        self.filled.notify_one();
        self.drained.notify_waiters();
    }
}

async fn read(shared: Arc<Shared>, mut inbox: Inbox) {
    let failure = loop {
        match inbox.next().await {
            Ok(Some(Response { id: 0, body: Some(response::Body::Error(error)), .. })) => {
                break ClientError::of_server(&shared.address, error);
            }
            Ok(Some(response)) => shared.deliver(response).await,
            Ok(None) => break shared.closed(),
            Err(error) => break error,
        }
    };
    shared.fail(failure);
}

async fn write(shared: Arc<Shared>) {
    let mut frames = Vec::new();
    loop {
        let ready = {
            let mut state = shared.lock();
            if state.failure.is_some() {
                return;
            }
            std::mem::swap(&mut state.out, &mut frames);
            state.writing = !frames.is_empty();
            state.writing
        };
        if !ready {
            shared.filled.notified().await;
            continue;
        }
        shared.drained.notify_waiters();
        if let Err(error) = write_all(&shared.sink, &frames).await {
            return shared.fail(ClientError::lost(&shared.address, error));
        }
        frames.clear();
        frames.shrink_to(OUT_BYTES_MAX);
    }
}

async fn write_all(sink: &OwnedWriteHalf, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        sink.writable().await?;
        match sink.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The responses to one request.
pub(super) struct Replies {
    connection: Arc<Connection>,
    id: u64,
    kind: Kind,
    receiver: mpsc::Receiver<Response>,
    done: bool,
}

impl Replies {
    /// The next one that this version knows; `None` after the last. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<response::Body>, ClientError> {
        while !self.done {
            let response = self.next_response().await?;
            self.done = !response.more;
            match response.body {
                Some(response::Body::Error(error)) => {
                    return Err(ClientError::of_server(&self.connection.shared.address, error));
                }
                Some(body) => return Ok(Some(body)),
                None if self.done => return Err(self.unexpected()),
                None => {}
            }
        }
        Ok(None)
    }

    async fn next_response(&mut self) -> Result<Response, ClientError> {
        let shared = &self.connection.shared;
        let waiting = match self.kind {
            Kind::Write => Waiting::Acknowledgement,
            Kind::Short | Kind::Cancellable | Kind::Files => Waiting::Answer,
        };
        let response = within(&shared.address, shared.timeouts.answer, waiting, self.receiver.recv()).await;
        match response {
            Ok(Some(response)) => Ok(response),
            Ok(None) => {
                self.done = true;
                Err(shared.failure().unwrap_or_else(|| shared.timed_out(waiting)))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn unexpected(&self) -> ClientError {
        self.connection.unexpected()
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if !self.done {
            self.connection.shared.abandon(self.id, self.kind);
        }
    }
}
