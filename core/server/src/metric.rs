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
use sereno_storage::{Outcome, Row, SeriesId, Store};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use crate::connection::Connection;

/// What is read at once: 2,048 metrics.
const READ_BYTES: usize = 2_048 * METRIC_BYTES;
/// Bytes of a record that hold the id.
const ID_BYTES: usize = 28;
/// How many ids a connection remembers before it starts afresh.
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
            let answer = self.store_batch(batch).await;
            if stream.write_all(&answer).await.is_err() || malformed.is_some() {
                return;
            }
        }
    }

    /// Stores a batch; gives the answers.
    async fn store_batch(&self, batch: Batch) -> Vec<u8> {
        let Batch { rows, refused, malformed } = batch;
        let count = rows.len() + refused.len();
        let outcome = self.store.append(rows).await;
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

    /// Puts `server_unavailable` where a metric was not stored.
    fn refuse(&self, answers: &mut [u8], outcome: &Outcome, refused: &[u32]) {
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
    rows: Vec<Row>,
    /// Places of metrics whose series may not be created, in rising order; they have no row.
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
        let mut batch =
            Batch { rows: Vec::with_capacity(records.len()), refused: Vec::new(), malformed: None };
        for (place, record) in records.iter().enumerate() {
            let (id, value) = record.split_at(ID_BYTES);
            let value = u32::from_be_bytes([value[0], value[1], value[2], value[3]]);
            match self.series(id, record) {
                Ok(Some(series)) => batch.rows.push(Row::now(series, f64::from(value))),
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
                if self.ids.len() >= KNOWN_IDS_MAX {
                    self.ids.clear();
                }
                self.ids.insert(key, series);
                series
            }
        };
        self.last = Some((key, series));
        Ok(Some(series))
    }

    fn create(&self, identifier: &str) -> Option<SeriesId> {
        // The protocol allows no name that the store does not.
        let key = SeriesKey::from_name(identifier).ok()?;
        self.handler.store.series(&key).map_err(|error| warn!(%error, "A new series is refused.")).ok()
    }
}
