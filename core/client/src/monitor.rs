//! Watches the notifications of a server, across losses of the connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use sereno_protocol::v2::messages::monitor_part::Part;
use sereno_protocol::v2::messages::{
    self, Event, Heartbeat, Position, Request, Response, Snapshot, request, response,
};
use sereno_protocol::v2::{messages::Code, put_frame};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::error::{ClientError, Waiting};
use crate::link::{FIRST_ID, Link, connect, connect_patiently, within};
use crate::options::Options;

/// What a server says between heartbeats unless it is told otherwise.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Heartbeats that may be missing before a connection is taken for dead.
const MISSED_MAX: u32 = 2;

/// What a monitor is told.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are events, and a box would cost each of them an allocation"
)]
pub enum Notice {
    /// The alerts that fire; the first, if it was asked for. Everything after it comes as events.
    Snapshot(Snapshot),
    /// Something happened. Texts come from elsewhere: escape them before they reach a terminal.
    Event(Event),
    /// Notifications are missing here.
    Gap {
        /// How many, if that is known.
        missed: Option<u64>,
    },
    /// Nothing happened that this monitor wants to know.
    Heartbeat(Heartbeat),
    /// The connection is lost; the monitor tries to get another one.
    Lost(ClientError),
    /// There is a connection again. What happened meanwhile comes next.
    Resumed,
    /// The server stops; the monitor will try to find it again.
    Stopping,
}

/// Watches notifications. Connects again by itself after a loss, from the last position, and says so.
///
/// ```no_run
/// # async fn watch() -> Result<(), sereno_client::ClientError> {
/// use sereno_client::messages::Monitor as Request;
/// use sereno_client::{Monitor, Notice, Options};
///
/// let request = Request { snapshot: true, level: "warn".into(), ..Request::default() };
/// let mut monitor = Monitor::open(&Options::new("localhost:5678"), request).await?;
/// loop {
///     match monitor.next().await? {
///         Notice::Event(event) => println!("{} {}: {}", event.rule, event.kind, event.message),
///         Notice::Lost(error) => eprintln!("{error}; trying again"),
///         _ => {}
///     }
/// }
/// # }
/// ```
pub struct Monitor {
    options: Options,
    request: messages::Monitor,
    /// Where the stream has got to.
    position: Option<Position>,
    state: State,
    backoff: Backoff,
    /// Whether the user knows that there is no connection.
    told: bool,
    ready: VecDeque<Notice>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Link, ClientError>> + Send>>;

enum State {
    Open(Box<Link>),
    Opening(Opening),
    /// The server will never take it.
    Ended(ClientError),
}

impl Monitor {
    /// Connects and asks for notifications. What is wrong with the request shows in the first [`Self::next`].
    ///
    /// # Errors
    /// [`ClientError`]: the first connection must succeed.
    pub async fn open(options: &Options, request: messages::Monitor) -> Result<Self, ClientError> {
        let link = connect_patiently(options, 0).await?;
        let time = link.welcome.time;
        let link = ask(options, link, request.clone()).await?;
        let mut request = request;
        if request.since.is_none() && request.since_time.is_none() {
            // A loss before the first word of the server would else lose what happened meanwhile.
            request.since_time = Some(time);
        }
        Ok(Self {
            options: options.clone(),
            request,
            position: None,
            state: State::Open(Box::new(link)),
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            told: false,
            ready: VecDeque::new(),
        })
    }

    /// Where the stream has got to: a later monitor that has it as its `since` misses nothing that the server remembers.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The next notice, however long it takes.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`]: the server will never take this monitor: its request makes no sense, or its token is wrong. Not
    /// for losses of the connection, which are [`Notice::Lost`].
    pub async fn next(&mut self) -> Result<Notice, ClientError> {
        loop {
            if let Some(notice) = self.ready.pop_front() {
                return Ok(notice);
            }
            match self.advance().await {
                Ok(()) => {}
                Err(error) if is_final(&error) => {
                    self.state = State::Ended(error.clone());
                    return Err(error);
                }
                Err(error) => self.lose(error),
            }
        }
    }

    /// Waits for one step: a response, or a connection. Cancel safe.
    async fn advance(&mut self) -> Result<(), ClientError> {
        match &mut self.state {
            State::Open(link) => {
                let (address, silence) = (&self.options.address, silence(&self.options, &self.request));
                let response = within(address, silence, Waiting::Notification, link.inbox.next()).await??;
                let response = response.ok_or_else(|| ClientError::closed(address, Waiting::Notification))?;
                self.take(response)
            }
            State::Opening(opening) => {
                let link = opening.as_mut().await?;
                self.state = State::Open(Box::new(link));
                self.told = false;
                self.ready.push_back(Notice::Resumed);
                Ok(())
            }
            State::Ended(error) => Err(error.clone()),
        }
    }

    fn take(&mut self, response: Response) -> Result<(), ClientError> {
        match response.body {
            Some(response::Body::Error(error)) if response.id == FIRST_ID || response.id == 0 => {
                return Err(ClientError::of_server(&self.options.address, error));
            }
            Some(response::Body::Monitor(part)) if response.id == FIRST_ID => {
                // The server speaks to this monitor, so the next loss is a new one.
                self.backoff.reset();
                if let Some(part) = part.part {
                    self.tell(part);
                }
            }
            _ => {}
        }
        match response.more || response.id != FIRST_ID {
            true => Ok(()),
            false => Err(ClientError::closed(&self.options.address, Waiting::Notification)),
        }
    }

    fn tell(&mut self, part: Part) {
        let (position, notice) = match part {
            // Others may follow, and what `since` asked for does: it is no place to go on from.
            Part::Snapshot(snapshot) => (None, Notice::Snapshot(snapshot)),
            Part::Event(event) => (event.position, Notice::Event(event)),
            Part::Gap(gap) => (None, Notice::Gap { missed: gap.missed }),
            Part::Heartbeat(heartbeat) => (heartbeat.position, Notice::Heartbeat(heartbeat)),
            Part::Stopping(_) => {
                self.told = true;
                (None, Notice::Stopping)
            }
        };
        self.position = position.or(self.position);
        self.ready.push_back(notice);
    }

    fn lose(&mut self, error: ClientError) {
        let pause =
            self.backoff.next().max(error.retry_after().unwrap_or_default().min(Duration::from_secs(60)));
        let (options, mut request) = (self.options.clone(), self.request.clone());
        // Alerts that fire were told already; what changed since comes as events.
        request.snapshot &= self.position.is_none();
        if let Some(position) = self.position {
            (request.since, request.since_time) = (Some(position), None);
        }
        self.state = State::Opening(Box::pin(async move {
            sleep(pause).await;
            let link = connect(&options, 0).await?;
            ask(&options, link, request).await
        }));
        if !std::mem::replace(&mut self.told, true) {
            self.ready.push_back(Notice::Lost(error));
        }
    }
}

async fn ask(options: &Options, mut link: Link, request: messages::Monitor) -> Result<Link, ClientError> {
    let mut frame = Vec::new();
    put_frame(&mut frame, &Request { id: FIRST_ID, body: Some(request::Body::Monitor(request)) });
    let limit = link.limits.request_bytes_max;
    if frame.len() as u64 > limit {
        let (address, bytes) = (options.address.clone(), frame.len() as u64);
        return Err(ClientError::TooLarge { address, bytes, limit });
    }
    let write = link.outbox.write_all(&frame);
    let written = within(&options.address, options.timeouts.answer, Waiting::Notification, write).await?;
    written.map_err(|error| ClientError::lost(&options.address, error))?;
    Ok(link)
}

/// How long a living server says nothing at most.
fn silence(options: &Options, request: &messages::Monitor) -> Duration {
    let heartbeat = match request.heartbeat_ms {
        0 => HEARTBEAT,
        millis => Duration::from_millis(millis),
    };
    heartbeat.saturating_mul(MISSED_MAX).saturating_add(options.timeouts.answer)
}

/// Whether the same request will fail again.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Server { error, .. } => {
            !matches!(error.code, Code::Overloaded | Code::Recovering | Code::Closing | Code::Cancelled)
        }
        ClientError::Unauthorized { .. } | ClientError::TooLarge { .. } => true,
        _ => false,
    }
}
