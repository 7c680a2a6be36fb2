//! The writer's task: owns the connection and the batches that are under way.
//!
//! One loop reads answers, writes frames and waits. A frame is made when the one before it has gone, so that the bytes of
//! one frame wait here, whatever is under way.

use std::sync::Arc;
use std::time::Duration;

use sereno_protocol::v2::messages::{Limits, Response, response};
use sereno_protocol::v2::write::{Times, WriteFrame};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};

use super::columns::Columns;
use super::dictionary::Dictionary;
use super::shared::Shared;
use super::verdict::{self, Verdict};
use super::window::{Sending, Window};
use crate::backoff::Backoff;
use crate::client::define;
use crate::error::{ClientError, Waiting};
use crate::link::{FIRST_ID, Link, connect};
use crate::options::Options;

/// Frames are made until this many bytes wait to be written.
const OUT_BYTES: usize = 128 << 10;
/// For as good as ever, where there is nothing to wait for but an event.
const LONG: Duration = Duration::from_secs(24 * 3_600);

/// Delivers until all has been said and done.
pub(super) async fn run(shared: Arc<Shared>, options: Options, client_id: u64, link: Link) {
    let window = Window::new(shared.config.in_flight_batches);
    let pause_max = shared.config.pause_max;
    let mut task = Task {
        shared,
        options,
        client_id,
        window,
        again: Backoff::new(Duration::from_millis(20), pause_max.min(Duration::from_secs(1))),
        reconnect: Backoff::new(Duration::from_millis(100), pause_max),
        paused_until: None,
        progress: Instant::now(),
    };
    // Whatever ends this task, nobody waits for it any longer.
    let _ends = Ends(task.shared.clone());
    let error = task.deliver(link).await;
    task.end(error);
}

struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end(ClientError::WriterClosed);
    }
}

struct Task {
    shared: Arc<Shared>,
    options: Options,
    client_id: u64,
    window: Window,
    again: Backoff,
    reconnect: Backoff,
    /// Nothing is sent before, since the server has no room.
    paused_until: Option<Instant>,
    /// When a batch was last done: those that wait behind it have not been tried before.
    progress: Instant,
}

/// How it ended with a connection.
enum Over {
    /// All is done, and nobody pushes any more.
    Left,
    Lost(ClientError),
}

impl From<ClientError> for Over {
    fn from(error: ClientError) -> Self {
        Self::Lost(error)
    }
}

/// One connection and what waits to be written to it.
struct Line {
    link: Link,
    dictionary: Dictionary,
    next_id: u64,
    out: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// When the server last took or said something.
    heard: Instant,
}

impl Task {
    async fn deliver(&mut self, first: Link) -> ClientError {
        let mut link = first;
        loop {
            let Over::Lost(error) = self.serve(link).await else { return ClientError::WriterClosed };
            self.window.lose();
            self.paused_until = None;
            link = match self.connect_again(error).await {
                Ok(link) => link,
                Err(Over::Left) => return ClientError::WriterClosed,
                Err(Over::Lost(error)) => return error,
            };
            self.shared.set_limits(&link.limits);
            self.shared.lock().counters.reconnects += 1;
        }
    }

    /// Uses a connection for as long as it lasts.
    async fn serve(&mut self, link: Link) -> Over {
        let mut line = Line {
            dictionary: Dictionary::new(link.limits.dictionary_len_max),
            link,
            next_id: FIRST_ID,
            out: Vec::new(),
            written: 0,
            heard: Instant::now(),
        };
        loop {
            if let Err(over) = self.turn(&mut line).await {
                return over;
            }
        }
    }

    /// Does what there is to do, and waits for more.
    async fn turn(&mut self, line: &mut Line) -> Result<(), Over> {
        while let Some(response) = line.link.inbox.take()? {
            self.answered(response, line)?;
        }
        let now = Instant::now();
        self.expire(now);
        self.fill(line, now);
        if self.is_over(now) {
            return Err(Over::Left);
        }
        if self.silent_at(line).is_some_and(|silent| silent <= now) {
            let (address, after) = (self.options.address.clone(), self.options.timeouts.answer);
            return Err(ClientError::Timeout { address, waiting: Waiting::Acknowledgement, after }.into());
        }
        let wake_at = self.wake_at(line, now);
        let Line { link, out, written, heard, .. } = line;
        tokio::select! {
            read = link.inbox.fill() => {
                if read? == 0 {
                    return Err(ClientError::closed(&self.options.address, Waiting::Acknowledgement).into());
                }
                *heard = Instant::now();
            }
            wrote = link.outbox.write(&out[*written..]), if *written < out.len() => {
                *written += wrote.map_err(|error| ClientError::lost(&self.options.address, error))?;
                *heard = Instant::now();
            }
            () = self.shared.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
        Ok(())
    }

    fn answered(&mut self, response: Response, line: &mut Line) -> Result<(), ClientError> {
        if let Response { id: 0, body: Some(response::Body::Error(error)), .. } = response {
            return Err(ClientError::of_server(&self.options.address, error));
        }
        // What was given up may still be answered.
        let Some(flight) = self.window.find(response.id) else { return Ok(()) };
        self.reconnect.reset();
        let number = flight.number;
        let all_defined = flight.define_all;
        flight.sending = None;
        flight.define_all = false;
        let verdict = match response.body {
            Some(response::Body::Written(written)) => verdict::of_written(written),
            Some(response::Body::Error(error)) => {
                // Whether its definitions were read is not known.
                line.dictionary.forget(&flight.columns.refs);
                verdict::of_error(error, all_defined)
            }
            _ => Verdict::Unknown,
        };
        match verdict {
            Verdict::Again { after, known } => {
                flight.last = known.or(flight.last.take());
                self.pause(after);
            }
            Verdict::DefineAll => flight.define_all = true,
            verdict => {
                let verdict = match verdict {
                    Verdict::Refused { .. } if flight.in_doubt => Verdict::Unknown,
                    verdict => verdict,
                };
                self.again.reset();
                self.progress = Instant::now();
                self.settle(number, verdict);
            }
        }
        Ok(())
    }

    fn pause(&mut self, hint: Duration) {
        let now = Instant::now();
        // Many batches may be answered so at once; that is one reason to wait, not many.
        let least = match self.paused_until {
            Some(until) if until > now => until,
            _ => now + self.again.next(),
        };
        self.paused_until = Some(least.max(now + hint));
    }

    fn settle(&mut self, number: u64, verdict: Verdict) {
        if let Some(flight) = self.window.remove(number) {
            flight.settle(verdict, self.window.open_from(), &self.shared);
        }
    }

    /// Makes frames, as long as there is room for them.
    fn fill(&mut self, line: &mut Line, now: Instant) {
        if line.written == line.out.len() {
            line.out.clear();
            line.written = 0;
        }
        if self.is_paused(now) || line.written > 0 {
            return;
        }
        while line.out.len() < OUT_BYTES {
            if !self.window.waits() && !self.admit(now) {
                return;
            }
            if !self.put(line, now) {
                return;
            }
        }
    }

    /// Takes the next batch in, if there is one and it may be under way.
    fn admit(&mut self, now: Instant) -> bool {
        if !self.window.has_room() {
            return false;
        }
        let mut state = self.shared.lock();
        let due = state.filling_since().is_some_and(|since| since + self.shared.config.linger <= now);
        if state.sealed.is_empty() && due {
            state.seal();
        }
        let Some(sealed) = state.sealed.pop_front() else { return false };
        drop(state);
        self.window.admit(sealed);
        true
    }

    /// Makes the frame of the next batch. False if there is none, or no room.
    fn put(&mut self, line: &mut Line, now: Instant) -> bool {
        let Some(flight) = self.window.next_to_send(line.link.limits.in_flight_bytes_max) else {
            return false;
        };
        if flight.define_all {
            line.dictionary.forget(&flight.columns.refs);
        }
        let (start, id) = (line.out.len(), line.next_id);
        let how = Sent { id, number: flight.number, resent: flight.sent_before };
        match put_batch(line, &flight.columns, how, &self.shared) {
            Ok(()) => {
                line.next_id += 1;
                flight.sending = Some(Sending { id, bytes: line.out.len() - start, at: now });
                if std::mem::replace(&mut flight.sent_before, true) {
                    self.shared.lock().counters.resent += 1;
                }
            }
            Err(message) => {
                line.out.truncate(start);
                line.dictionary.forget(&flight.columns.refs);
                let (number, sent_before) = (flight.number, flight.sent_before);
                let verdict = match sent_before {
                    true => Verdict::Unknown,
                    false => Verdict::Refused { reason: Default::default(), message: message.into() },
                };
                self.settle(number, verdict);
            }
        }
        true
    }

    /// Gives up what has been tried for too long.
    fn expire(&mut self, now: Instant) {
        let Some(give_up) = self.shared.config.give_up else { return };
        while self.window.expiry(give_up).is_some_and(|expiry| expiry <= now) {
            let Some(flight) = self.window.pop() else { return };
            let verdict = match (&flight.last, flight.sent_before) {
                (Some(last), _) if flight.sending.is_none() => Verdict::Done(last.clone()),
                (_, true) => Verdict::Unknown,
                (_, false) => gave_up(give_up),
            };
            flight.settle(verdict, self.window.open_from(), &self.shared);
        }
        while let Some(sealed) = self.expired(give_up, now) {
            // No other batch gets its number: it never had one.
            let flight = super::window::Flight::never_sent(sealed);
            flight.settle(gave_up(give_up), self.window.open_from(), &self.shared);
        }
    }

    fn expired(&self, give_up: Duration, now: Instant) -> Option<super::shared::Sealed> {
        let mut state = self.shared.lock();
        let is_over = |since: Instant| self.waits_until(since, give_up).is_some_and(|end| end <= now);
        if state.sealed.is_empty() && state.filling_since().is_some_and(is_over) {
            state.seal();
        }
        let expired = state.sealed.front().is_some_and(|sealed| is_over(sealed.since));
        if expired { state.sealed.pop_front() } else { None }
    }

    /// When samples that came at `since` and have not been sent are given up.
    fn waits_until(&self, since: Instant, give_up: Duration) -> Option<Instant> {
        since.max(self.progress).checked_add(give_up)
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// Whether nobody pushes any more, and all is done or has had its time.
    fn is_over(&self, now: Instant) -> bool {
        let state = self.shared.lock();
        let Some(leaving) = state.leaving else { return false };
        (self.window.is_empty() && state.is_idle()) || leaving + self.options.timeouts.answer <= now
    }

    /// When the connection is taken for dead.
    fn silent_at(&self, line: &Line) -> Option<Instant> {
        let oldest = self.window.oldest_sending()?;
        Some(oldest.max(line.heard) + self.options.timeouts.answer)
    }

    /// When there is something to do that nothing else wakes this task for.
    fn wake_at(&self, line: &Line, now: Instant) -> Instant {
        let paused = self.paused_until.filter(|until| *until > now);
        let may_send = paused.is_none() && line.written == line.out.len() && self.window.has_room();
        let moments = [paused, self.silent_at(line), self.lingers_until(may_send), self.ends_at()];
        moments.into_iter().flatten().min().unwrap_or(now + LONG)
    }

    fn lingers_until(&self, may_send: bool) -> Option<Instant> {
        let since = self.shared.lock().filling_since().filter(|_| may_send && !self.window.waits());
        since.map(|since| since + self.shared.config.linger)
    }

    /// When batches, or the writer, have had their time.
    fn ends_at(&self) -> Option<Instant> {
        let state = self.shared.lock();
        let leaving = state.leaving.map(|leaving| leaving + self.options.timeouts.answer);
        let expiry = self.shared.config.give_up.and_then(|give_up| {
            let sealed = state.sealed.front().map(|sealed| sealed.since);
            let waiting = sealed.or(state.filling_since());
            let waiting = waiting.and_then(|since| self.waits_until(since, give_up));
            self.window.expiry(give_up).into_iter().chain(waiting).min()
        });
        leaving.into_iter().chain(expiry).min()
    }

    /// Connects again, for as long as it takes.
    async fn connect_again(&mut self, lost: ClientError) -> Result<Link, Over> {
        let mut error = lost;
        loop {
            if verdict::is_final(&error) {
                return Err(error.into());
            }
            let pause =
                self.reconnect.next().max(error.retry_after().unwrap_or_default().min(verdict::HINT_MAX));
            self.shared.lock().counters.last_error = Some(error);
            let (options, client_id) = (self.options.clone(), self.client_id);
            let attempt = async move {
                tokio::time::sleep(pause).await;
                connect(&options, client_id).await
            };
            match self.meanwhile(attempt).await? {
                Ok(link) => return Ok(link),
                Err(failed) => error = failed,
            }
        }
    }

    /// Waits, and gives up meanwhile what has had its time.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, Over> {
        tokio::pin!(wait);
        loop {
            let now = Instant::now();
            self.expire(now);
            if self.is_over(now) {
                return Err(Over::Left);
            }
            let wake_at = self.ends_at().unwrap_or(now + LONG);
            tokio::select! {
                value = &mut wait => return Ok(value),
                () = self.shared.work.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Counts what was not delivered.
    fn end(&mut self, error: ClientError) {
        if !matches!(error, ClientError::WriterClosed) || !self.window.is_empty() {
            self.shared.fail(&error);
        }
        while let Some(flight) = self.window.pop() {
            let verdict = match (flight.sent_before, &flight.last) {
                (true, Some(last)) if flight.sending.is_none() => Verdict::Done(last.clone()),
                (true, _) => Verdict::Unknown,
                (false, _) => {
                    Verdict::Refused { reason: Default::default(), message: "the writer has ended".into() }
                }
            };
            flight.settle(verdict, self.window.open_from(), &self.shared);
        }
        self.shared.end(error);
    }
}

fn gave_up(after: Duration) -> Verdict {
    let message = format!("gave up after {after:?}; it was never sent");
    Verdict::Refused { reason: Default::default(), message }
}

/// What a sending says beside the samples.
#[derive(Clone, Copy)]
struct Sent {
    id: u64,
    number: u64,
    resent: bool,
}

/// Appends the frame of a batch, with the series that the connection does not know yet.
fn put_batch(line: &mut Line, columns: &Columns, sent: Sent, shared: &Shared) -> Result<(), &'static str> {
    let Limits { batch_samples_max, write_bytes_max, .. } = line.link.limits;
    if columns.len() as u64 > batch_samples_max {
        return Err("the server takes fewer samples at once than it did when the batch was made");
    }
    let naming = line.dictionary.name(&columns.refs);
    let naming = naming.map_err(|_| "the server takes fewer series than it did when the batch was made")?;
    let keys: Vec<_> = {
        let state = if naming.new.is_empty() { None } else { Some(shared.lock()) };
        let new = naming.new.iter();
        new.filter_map(|(place, series)| Some((*place, state.as_ref()?.key(*series)?))).collect()
    };
    let definitions: Vec<_> = keys.iter().map(|(place, key)| define(*place, key)).collect();
    let start = line.out.len();
    WriteFrame {
        id: sent.id,
        series: &definitions,
        refs: naming.places.as_deref().unwrap_or(&columns.refs),
        counts: columns.counts_to_send(),
        times: times(&columns.times),
        values: &columns.values,
        ack: shared.config.ack,
        number: sent.number,
        resent: sent.resent,
    }
    .put(&mut line.out);
    match (line.out.len() - start) as u64 > write_bytes_max {
        true => Err("the server takes fewer bytes at once than it did when the batch was made"),
        false => Ok(()),
    }
}

/// Samples that were taken together often have one time.
fn times(times: &[i64]) -> Times<'_> {
    match times {
        [] => Times::Server,
        [first, rest @ ..] if rest.iter().all(|time| time == first) => Times::One(*first),
        _ => Times::Each(times),
    }
}
