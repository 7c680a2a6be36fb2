//! The metric handlers: read metrics, hand them to the store, answer each in order.
//!
//! Everything that one read brings is one batch with one completion. A connection that waits for its batch is not read,
//! so a client cannot have more in flight than one read buffer; only a full queue of the store refuses.
//!
//! The read buffer belongs to the worker, not to the connection: ten thousand idle clients share one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use sereno_model::SeriesKey;
use sereno_protocol::v1::{METRIC_BYTES, METRIC_RESPONSE_BYTES, Metric, Status};
use sereno_runtime::{Counter, Metrics, Shutdown};
use sereno_storage::{Outcome, Refusal, Row, SeriesId, Store};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

use crate::connection::Connection;

/// What is read at once: 2,048 metrics.
const READ_BYTES: usize = 2_048 * METRIC_BYTES;
/// Bytes of a record that hold the id.
const ID_BYTES: usize = 28;
/// How many ids a connection remembers before it starts afresh with its next batch.
const KNOWN_IDS_MAX: usize = 65_536;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What all metric handlers share.
#[derive(Clone)]
pub(crate) struct MetricHandler {
    pub store: Store,
    pub stop: Shutdown,
    pub counts: Counts,
}

/// `metrics_received_total`, `metrics_refused_total` (answered `server_unavailable`), `metrics_bad_format_total`.
#[derive(Clone)]
pub(crate) struct Counts {
    received: Counter,
    refused: Counter,
    bad_format: Counter,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            received: metrics.counter("metrics_received_total", &[]),
            refused: metrics.counter("metrics_refused_total", &[]),
            bad_format: metrics.counter("metrics_bad_format_total", &[]),
        }
    }
}

impl MetricHandler {
    /// Serves one connection until the client closes it, sends what cannot be read, or the server stops.
    pub(crate) async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let Ok((mut stream, _place)) = connection.bind() else { return };
        let mut stopping = pin!(self.stop.stopping());
        let mut session = Session { handler: &self, ids: HashMap::new(), last: None, rest: Vec::new() };
        loop {
            let batch = tokio::select! {
                biased;
                batch = poll_fn(|cx| session.poll_batch(&mut stream, cx)) => batch,
                () = &mut stopping => return,
            };
            let Ok(Some(batch)) = batch else { return };
            let malformed = batch.malformed;
            if let Some(error) = &malformed {
                self.counts.bad_format.inc();
                debug!(%peer, %error, "Connection closed: a metric cannot be read.");
            }
            let answer = self.store_batch(&mut session, batch).await;
            if stream.write_all(&answer).await.is_err() || malformed.is_some() {
                return;
            }
        }
    }

    /// Stores a batch; gives the answers.
    async fn store_batch(&self, session: &mut Session<'_>, batch: Batch) -> Vec<u8> {
        let Batch { samples, refused, malformed } = batch;
        let count = samples.len() + refused.len();
        let rows = samples.iter().map(|(series, value)| Row::now(*series, *value)).collect();
        let mut outcome = self.store.append(rows).await;
        if outcome.refused.iter().any(|(_, why)| *why == Refusal::Retired) {
            self.send_again(session, &samples, &mut outcome).await;
        }
        self.counts.received.add(count as u64);
        let mut answers = Status::Ok.encode().repeat(count);
        if !outcome.is_ok() || !refused.is_empty() {
            self.refuse(&mut answers, &outcome, &refused);
        }
        if malformed.is_some() {
            answers.extend(Status::BadFormat.encode());
        }
        answers
    }

    /// Sends the samples again whose series the store had given up since this connection learned its id; no client
    /// hears of that.
    async fn send_again(
        &self,
        session: &mut Session<'_>,
        samples: &[(SeriesId, f64)],
        outcome: &mut Outcome,
    ) {
        let (retired, mut refused): (Vec<_>, Vec<_>) =
            std::mem::take(&mut outcome.refused).into_iter().partition(|(_, why)| *why == Refusal::Retired);
        let mut fresh: HashMap<SeriesId, Option<SeriesId>> = HashMap::new();
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for (place, why) in retired {
            let (old, value) = samples[place as usize];
            match fresh.entry(old).or_insert_with(|| session.renew(old)) {
                Some(series) => {
                    rows.push(Row::now(*series, value));
                    places.push(place);
                }
                None => refused.push((place, why)),
            }
        }
        let second = self.store.append(rows).await;
        refused.extend(second.refused.into_iter().map(|(row, why)| (places[row as usize], why)));
        refused.sort_unstable_by_key(|(place, _)| *place);
        outcome.refused = refused;
        outcome.unknown |= second.unknown;
    }

    /// Puts `server_unavailable` where a metric was not stored. Where nobody knows whether it is, since a sync failed,
    /// every metric of the batch may be sent again.
    fn refuse(&self, answers: &mut [u8], outcome: &Outcome, refused: &[u32]) {
        if outcome.unknown {
            let count = answers.len() / METRIC_RESPONSE_BYTES;
            answers.copy_from_slice(&Status::ServerUnavailable.encode().repeat(count));
            self.counts.refused.add(count as u64);
            return;
        }
        let mut put = |place: usize| {
            let at = place * METRIC_RESPONSE_BYTES;
            answers[at..at + METRIC_RESPONSE_BYTES].copy_from_slice(&Status::ServerUnavailable.encode());
            self.counts.refused.inc();
        };
        refused.iter().for_each(|place| put(*place as usize));
        // Rows skip the places that never became rows.
        let mut skipped = refused.iter().copied().peekable();
        let mut before = 0;
        for (row, _) in &outcome.refused {
            while skipped.next_if(|place| *place <= row + before).is_some() {
                before += 1;
            }
            put((row + before) as usize);
        }
    }
}

/// What one read brought.
struct Batch {
    samples: Vec<(SeriesId, f64)>,
    /// Places of metrics whose series may not be created, in rising order; they have no sample.
    refused: Vec<u32>,
    /// Why the record after the last one cannot be read.
    malformed: Option<sereno_protocol::v1::FormatError>,
}

/// One connection.
struct Session<'a> {
    handler: &'a MetricHandler,
    /// The ids that this connection has used, by their bytes on the wire.
    ids: HashMap<[u8; ID_BYTES], SeriesId>,
    /// The last one: most clients send one metric many times.
    last: Option<([u8; ID_BYTES], SeriesId)>,
    /// The start of a record whose end has not come yet.
    rest: Vec<u8>,
}

impl Session<'_> {
    /// Reads what is there; ready with the metrics in it, or `None` at the end of the stream.
    fn poll_batch(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Batch>>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            loop {
                let kept = self.rest.len();
                buffer[..kept].copy_from_slice(&self.rest);
                let mut unread = ReadBuf::new(&mut buffer[kept..]);
                match Pin::new(&mut *stream).poll_read(cx, &mut unread) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) if unread.filled().is_empty() => return Poll::Ready(Ok(None)),
                    Poll::Ready(Ok(())) => {}
                }
                let filled = kept + unread.filled().len();
                let (records, rest) = buffer[..filled].as_chunks::<METRIC_BYTES>();
                self.rest.clear();
                self.rest.extend_from_slice(rest);
                if !records.is_empty() {
                    return Poll::Ready(Ok(Some(self.batch(records))));
                }
            }
        })
    }

    fn batch(&mut self, records: &[[u8; METRIC_BYTES]]) -> Batch {
        if self.ids.len() >= KNOWN_IDS_MAX {
            self.ids.clear();
        }
        let mut batch =
            Batch { samples: Vec::with_capacity(records.len()), refused: Vec::new(), malformed: None };
        for (place, record) in records.iter().enumerate() {
            let (id, value) = record.split_at(ID_BYTES);
            let value = u32::from_be_bytes([value[0], value[1], value[2], value[3]]);
            match self.series(id, record) {
                Ok(Some(series)) => batch.samples.push((series, f64::from(value))),
                Ok(None) => batch.refused.push(place as u32),
                Err(error) => {
                    batch.malformed = Some(error);
                    break;
                }
            }
        }
        batch
    }

    /// The series of a record; `None` if there may be no more series.
    fn series(
        &mut self,
        id: &[u8],
        record: &[u8; METRIC_BYTES],
    ) -> Result<Option<SeriesId>, sereno_protocol::v1::FormatError> {
        if let Some((last, series)) = &self.last
            && last == id
        {
            return Ok(Some(*series));
        }
        let mut key = [0; ID_BYTES];
        key.copy_from_slice(id);
        let series = match self.ids.get(&key) {
            Some(series) => *series,
            None => {
                let identifier = Metric::decode(record)?.identifier();
                let Some(series) = self.create(identifier) else { return Ok(None) };
                self.ids.insert(key, series);
                series
            }
        };
        self.last = Some((key, series));
        Ok(Some(series))
    }

    /// The series that goes by another id now. Looks through all ids of the connection, which is rarely needed.
    fn renew(&mut self, old: SeriesId) -> Option<SeriesId> {
        self.last = None;
        let (id, _) = self.ids.iter().find(|(_, series)| **series == old)?;
        let id = *id;
        let mut record = [0; METRIC_BYTES];
        record[..ID_BYTES].copy_from_slice(&id);
        let series = self.create(Metric::decode(&record).ok()?.identifier())?;
        self.ids.insert(id, series);
        Some(series)
    }

    fn create(&self, identifier: &str) -> Option<SeriesId> {
        // The protocol allows no name that the store does not.
        let key = SeriesKey::from_name(identifier).ok()?;
        // The store tells of it.
        self.handler.store.series(&key).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use sereno_model::{Selector, TimeRange, Timestamp};
    use sereno_runtime::{ManualClock, RealDisk};
    use sereno_storage::{Config, Reads};

    use super::*;

    fn record(identifier: &str, value: u32) -> [u8; METRIC_BYTES] {
        let mut record = [0; METRIC_BYTES];
        record[0] = identifier.len() as u8;
        record[1..=identifier.len()].copy_from_slice(identifier.as_bytes());
        record[ID_BYTES..].copy_from_slice(&value.to_be_bytes());
        record
    }

    /// A client that sleeps over night must not find its metric refused in the morning.
    #[tokio::test]
    async fn a_series_that_was_given_up_comes_back_unnoticed() {
        let directory = tempfile::tempdir().expect("a folder");
        let config = Config {
            directory: directory.path().to_owned(),
            series_idle: Duration::from_secs(1),
            ..Config::default()
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let metrics = Metrics::default();
        let store =
            Store::open(&config, Arc::new(RealDisk), clock.clone(), &metrics).expect("the store opens");
        let handler = MetricHandler { store, stop: Shutdown::default(), counts: Counts::new(&metrics) };
        let session = || Session { handler: &handler, ids: HashMap::new(), last: None, rest: Vec::new() };
        let (mut sleeper, mut other) = (session(), session());
        let ok = |count: usize| Status::Ok.encode().repeat(count);

        let batch = sleeper.batch(&[record("a", 1), record("b", 2)]);
        assert_eq!(handler.store_batch(&mut sleeper, batch).await, ok(2));
        for value in 0..2 {
            handler.store.flush().expect("flushed");
            clock.advance(Duration::from_secs(10));
            let batch = other.batch(&[record("c", value)]);
            assert_eq!(handler.store_batch(&mut other, batch).await, ok(1));
        }
        handler.store.flush().expect("flushed");
        let retired = metrics.snapshot().into_iter().find(|(name, _)| name == "retired_series_total");
        assert_eq!(retired.map(|(_, count)| count), Some(2.0), "else this test shows nothing");

        let batch = sleeper.batch(&[record("a", 3), record("c", 4), record("b", 5), record("a", 6)]);
        assert_eq!(handler.store_batch(&mut sleeper, batch).await, ok(4));
        let snapshot = handler.store.snapshot();
        let values = |name: &str| {
            let series = snapshot.select(&Selector::exact(name), TimeRange::ALL).expect("readable");
            let samples = series[0].read(TimeRange::ALL, &mut Reads::default()).expect("readable");
            samples.iter().map(|sample| sample.value).collect::<Vec<_>>()
        };
        assert_eq!((values("a"), values("b")), (vec![1.0, 3.0, 6.0], vec![2.0, 5.0]));
        assert_eq!(values("c"), [0.0, 1.0, 4.0]);
    }
}
