//! Batches of samples: decoded by columns, resolved by the connection's dictionary, handed to the store in the order in
//! which they came.
//!
//! The common case is answered on the spot: the store takes the batch while it is handed over. What has to wait, for its
//! sync or for another thread that writes, becomes an [`Open`] batch, and the session goes on reading.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sereno_model::Timestamp;
use sereno_protocol::v2::messages::{Ack, Code, Error, Response, Written, response};
use sereno_protocol::v2::write::{BatchLimits, Columns, Head, WriteError, decode};
use sereno_runtime::{Counter, Metrics};
use sereno_storage::{Append, BatchId, Numbered, Outcome, Refusal, Row, SeriesId, Store};

use super::budget::{Budget, Charge};
use super::dictionary::{Dictionary, Full, Slot};
use super::outbox::Outbox;
use super::rejections::{RejectionCounts, Rejections};

/// When to send a batch again that there was no memory for, in milliseconds.
pub(super) const OVERLOAD_RETRY_MS: u64 = 100;
/// Memory of a sample that is under way: its row, and its place in the columns.
const SAMPLE_BYTES: usize = size_of::<Row>() + 20;

thread_local! {
    /// The columns of the batch in hand; a batch that waits takes them along.
    static COLUMNS: RefCell<Columns> = RefCell::default();
}

/// `samples_received_total`, `batches_total`, and what was rejected.
#[derive(Clone)]
pub(super) struct Counts {
    samples: Counter,
    batches: Counter,
    rejected: RejectionCounts,
}

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            samples: metrics.counter("samples_received_total", &[]),
            batches: metrics.counter("batches_total", &[]),
            rejected: RejectionCounts::new(metrics),
        }
    }
}

/// What the batches of one connection share.
pub(super) struct Writes {
    pub store: Store,
    /// What [`Ack::Unspecified`] stands for.
    pub ack: sereno_storage::Ack,
    /// Zero if the client does not number its batches.
    pub client_id: u64,
    pub limits: BatchLimits,
    pub budget: Budget,
    pub dictionary: RefCell<Dictionary>,
    pub outbox: Outbox,
    pub counts: Counts,
    /// Samples since the session last asked.
    pub taken: Cell<u64>,
}

/// A batch that is not finished yet.
pub(super) struct Open {
    append: First,
    batch: Batch,
    columns: Columns,
    _charge: Charge,
}

/// The first attempt to store a batch.
enum First {
    /// Under way.
    Open(Append),
    /// Done, but some of its series need another one.
    Done(Outcome),
}

/// A batch that has been handed over.
struct Batch {
    id: u64,
    ack: sereno_storage::Ack,
    /// If it has one: which it is, and whether it may have come before.
    number: Option<(BatchId, bool)>,
    samples: u64,
    rejections: Rejections,
    /// For each row, which sample it is; `None`: row i is sample i.
    places: Option<Vec<u32>>,
    /// Whether the client has its answer.
    answered: bool,
    /// How often the dictionary had changed its mind when this batch came.
    changes: u64,
}

/// The rows of a batch, and what never became one.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    places: Option<Vec<u32>>,
    rejections: Rejections,
}

impl Writes {
    /// Hands a batch to the store; gives what has to be waited for. [`Full`] ends the session.
    pub(super) fn write(&self, id: u64, message: &[u8]) -> Result<Option<Open>, Full> {
        COLUMNS.with_borrow_mut(|columns| {
            let head = match decode(message, &self.limits, columns) {
                Ok(head) => head,
                Err(error) => {
                    self.outbox.put(&failed(id, *refused(&error)));
                    return Ok(None);
                }
            };
            // Definitions go for the batches after this one too, whatever becomes of its samples.
            self.dictionary.borrow_mut().define(&head.series)?;
            Ok(self.begin(id, &head, columns).unwrap_or_else(|error| {
                self.outbox.put(&failed(id, *error));
                None
            }))
        })
    }

    fn begin(&self, id: u64, head: &Head<'_>, columns: &mut Columns) -> Result<Option<Open>, Box<Error>> {
        let samples = columns.values.len();
        let charge = self.budget.try_take((samples * SAMPLE_BYTES) as u64).ok_or_else(overloaded)?;
        let Rows { rows, places, rejections } = self.rows(columns)?;
        self.counts.batches.inc();
        self.counts.samples.add(samples as u64);
        self.taken.set(self.taken.get() + samples as u64);
        let (ack, number) = (self.ack(head), self.number(head));
        let mut append = self.hand_over(rows, ack, number, places.as_ref());
        let changes = self.dictionary.borrow().changes();
        let samples = samples as u64;
        let mut batch = Batch { id, ack, number, samples, rejections, places, answered: false, changes };
        if head.ack == Ack::Received {
            self.answer_received(&mut batch);
        }
        let mut unheard = Context::from_waker(Waker::noop());
        match Pin::new(&mut append).poll(&mut unheard) {
            Poll::Ready(outcome) if !has_retired(&outcome) => {
                self.settle(batch, &outcome);
                Ok(None)
            }
            pending => {
                let append = match pending {
                    Poll::Ready(outcome) => First::Done(outcome),
                    Poll::Pending => First::Open(append),
                };
                let columns = std::mem::take(columns);
                Ok(Some(Open { append, batch, columns, _charge: charge }))
            }
        }
    }

    fn ack(&self, head: &Head<'_>) -> sereno_storage::Ack {
        match head.ack {
            Ack::Unspecified => self.ack,
            Ack::Received | Ack::Os => sereno_storage::Ack::Os,
            Ack::Disk => sereno_storage::Ack::Disk,
        }
    }

    fn number(&self, head: &Head<'_>) -> Option<(BatchId, bool)> {
        let numbered = self.client_id != 0 && head.number != 0;
        numbered.then_some((BatchId { client: self.client_id, number: head.number }, head.resent))
    }

    /// `places` as in [`Batch`].
    fn hand_over(
        &self,
        rows: Vec<Row>,
        ack: sereno_storage::Ack,
        number: Option<(BatchId, bool)>,
        places: Option<&Vec<u32>>,
    ) -> Append {
        match number {
            Some((id, resent)) => {
                self.store.append_numbered(rows, ack, Numbered { id, resent, places: places.cloned() })
            }
            None => self.store.append_with(rows, ack),
        }
    }

    /// The rows of the columns. How times are given is asked once, not for every sample.
    fn rows(&self, columns: &Columns) -> Result<Rows, Box<Error>> {
        let values = &columns.values;
        match columns.times.as_slice() {
            [] => self.rows_of(columns, |series, rows, samples| {
                rows.extend(values[samples].iter().map(|value| Row::now(series, *value)));
            }),
            [time] => {
                let time = Timestamp::from_nanos(*time);
                self.rows_of(columns, |series, rows, samples| {
                    rows.extend(values[samples].iter().map(|value| Row::at(series, time, *value)));
                })
            }
            times => self.rows_of(columns, |series, rows, samples| {
                let samples = times[samples.clone()].iter().zip(&values[samples]);
                rows.extend(
                    samples.map(|(time, value)| Row::at(series, Timestamp::from_nanos(*time), *value)),
                );
            }),
        }
    }

    fn rows_of(
        &self,
        columns: &Columns,
        push: impl Fn(SeriesId, &mut Vec<Row>, Range<usize>),
    ) -> Result<Rows, Box<Error>> {
        let dictionary = &mut *self.dictionary.borrow_mut();
        let mut built = Rows { rows: Vec::with_capacity(columns.values.len()), ..Rows::default() };
        for (reference, samples) in columns.runs() {
            let series = match dictionary.slots().get(reference as usize) {
                Some(Slot::Series(series)) => *series,
                Some(Slot::Refused) => match dictionary.retry(reference) {
                    Ok(series) => series,
                    Err(why) => {
                        let places = || (0..samples.start as u32).collect();
                        built.places.get_or_insert_with(places);
                        let (first, count) = (samples.start as u32, samples.len() as u32);
                        built.rejections.add(first, count, why.reason, why.retry, &why.message);
                        continue;
                    }
                },
                Some(Slot::Undefined) | None => return Err(undefined(reference)),
            };
            if let Some(places) = &mut built.places {
                places.extend(samples.start as u32..samples.end as u32);
            }
            push(series, &mut built.rows, samples);
        }
        Ok(built)
    }

    /// Ends a batch.
    fn settle(&self, mut batch: Batch, outcome: &Outcome) {
        for (row, why) in &outcome.refused {
            batch.rejections.add_refusal(batch.place(*row), *why);
        }
        self.answer(batch, outcome.unknown);
    }

    /// Sends the samples again whose series the store had given up since this connection learned its id, and ends the
    /// batch; no client hears of that, but one that has given a reference another meaning meanwhile: what it stood for
    /// then is not known any more, and the samples are rejected, to be sent again.
    async fn settle_retired(&self, mut batch: Batch, outcome: Outcome, columns: &Columns) {
        let (retired, refused): (Vec<_>, Vec<_>) =
            outcome.refused.into_iter().partition(|(_, why)| *why == Refusal::Retired);
        let mut refused: Vec<(u32, Refusal)> =
            refused.into_iter().map(|(row, why)| (batch.place(row), why)).collect();
        let mut retired: Vec<u32> = retired.into_iter().map(|(row, _)| batch.place(row)).collect();
        if self.dictionary.borrow().changes() != batch.changes {
            refused.extend(retired.drain(..).map(|place| (place, Refusal::Retired)));
        }
        let (rows, places) = self.renewed_rows(&mut batch, &retired, columns);
        let second = self.hand_over(rows, batch.ack, batch.number, Some(&places)).await;
        refused.extend(second.refused.into_iter().map(|(row, why)| (places[row as usize], why)));
        refused.sort_unstable_by_key(|(place, _)| *place);
        for (place, why) in refused {
            batch.rejections.add_refusal(place, why);
        }
        self.answer(batch, outcome.unknown || second.unknown);
    }

    /// Rows for the samples at `places`, which rise, with the ids that their series have now.
    fn renewed_rows(&self, batch: &mut Batch, places: &[u32], columns: &Columns) -> (Vec<Row>, Vec<u32>) {
        let mut dictionary = self.dictionary.borrow_mut();
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        let mut places = places.iter().copied().peekable();
        for (reference, samples) in columns.runs() {
            let mut series = None;
            while let Some(place) = places.next_if(|place| (*place as usize) < samples.end) {
                match series.get_or_insert_with(|| dictionary.renew(reference)) {
                    Ok(series) => {
                        rows.push(row(columns, *series, place as usize));
                        kept.push(place);
                    }
                    Err(why) => batch.rejections.add(place, 1, why.reason, why.retry, &why.message),
                }
            }
        }
        (rows, kept)
    }

    fn answer_received(&self, batch: &mut Batch) {
        batch.answered = true;
        self.outbox.put(&answered(batch.id, written(batch.samples, batch.rejections.clone())));
    }

    fn answer(&self, batch: Batch, unknown: bool) {
        batch.rejections.count(&self.counts.rejected);
        if batch.answered {
            return;
        }
        let written = Written { unknown, ..written(batch.samples, batch.rejections) };
        self.outbox.put(&answered(batch.id, written));
    }
}

impl Batch {
    /// Which sample of the batch a row is.
    fn place(&self, row: u32) -> u32 {
        self.places.as_ref().map_or(row, |places| places[row as usize])
    }
}

impl Open {
    /// Whether the client has its answer already, and may use the id again.
    pub(super) fn is_answered(&self) -> bool {
        self.batch.answered
    }

    /// Waits for the store, and answers.
    pub(super) async fn finish(self, writes: Rc<Writes>) {
        let Self { append, batch, columns, _charge } = self;
        let outcome = match append {
            First::Open(append) => append.await,
            First::Done(outcome) => outcome,
        };
        if has_retired(&outcome) {
            writes.settle_retired(batch, outcome, &columns).await;
        } else {
            writes.settle(batch, &outcome);
        }
        // Whoever decodes next finds memory in place.
        COLUMNS.with_borrow_mut(|present| {
            if present.values.capacity() < columns.values.capacity() {
                *present = columns;
            }
        });
    }
}

fn has_retired(outcome: &Outcome) -> bool {
    outcome.refused.iter().any(|(_, why)| *why == Refusal::Retired)
}

/// The row of one sample.
fn row(columns: &Columns, series: SeriesId, place: usize) -> Row {
    let value = columns.values[place];
    match columns.times.as_slice() {
        [] => Row::now(series, value),
        [time] => Row::at(series, Timestamp::from_nanos(*time), value),
        times => Row::at(series, Timestamp::from_nanos(times[place]), value),
    }
}

fn written(samples: u64, rejections: Rejections) -> Written {
    let stored = samples - rejections.samples();
    let (rejected, retry_after_ms) = rejections.into_groups();
    Written { stored, rejected, unknown: false, retry_after_ms }
}

fn answered(id: u64, written: Written) -> Response {
    Response { id, more: false, body: Some(response::Body::Written(written)) }
}

fn failed(id: u64, error: Error) -> Response {
    Response { id, more: false, body: Some(response::Body::Error(error)) }
}

fn refused(error: &WriteError) -> Box<Error> {
    let code = match error {
        WriteError::TooManySamples { .. } | WriteError::Reference { .. } => Code::TooLarge,
        _ => Code::Invalid,
    };
    Box::new(Error { code: code.into(), message: error.to_string(), ..Error::default() })
}

fn undefined(reference: u32) -> Box<Error> {
    let message = format!("series reference {reference} is not defined on this connection");
    let hint = "define a series in the batch that names it first, or in one before".into();
    Box::new(Error { code: Code::Invalid.into(), message, hint, ..Error::default() })
}

pub(super) fn overloaded() -> Box<Error> {
    Box::new(Error {
        code: Code::Overloaded.into(),
        message: "the server has no memory left for what is under way".into(),
        hint: "send it again after a moment; raise `server.memory_max` if this lasts".into(),
        retry_after_ms: OVERLOAD_RETRY_MS,
        ..Error::default()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use sereno_model::{Selector, TimeRange};
    use sereno_protocol::v2::frame::Split;
    use sereno_protocol::v2::write::{Definition, Times, WriteFrame};
    use sereno_protocol::v2::{Incoming, decode_request, split_frame};
    use sereno_runtime::{Gauge, ManualClock, RealDisk};
    use sereno_storage::{Config, Reads};

    use super::*;

    fn writes(store: &Store, metrics: &Metrics) -> Rc<Writes> {
        let budget = Budget::new(1 << 30, Gauge::default());
        Rc::new(Writes {
            store: store.clone(),
            ack: sereno_storage::Ack::Os,
            client_id: 7,
            limits: BatchLimits { samples_max: 1_000, dictionary_len_max: 1_000 },
            dictionary: RefCell::new(Dictionary::new(store.clone(), budget.nothing())),
            budget,
            outbox: Outbox::new(1 << 20),
            counts: Counts::new(metrics),
            taken: Cell::new(0),
        })
    }

    /// Hands over the values, each under the reference beside it, with the first references standing for `names`.
    fn hand_over(writes: &Rc<Writes>, names: &[&str], values: &[(u32, f64)]) -> Option<Open> {
        let series: Vec<_> = (0..)
            .zip(names)
            .map(|(reference, name)| Definition { reference, name, labels: Vec::new() })
            .collect();
        let (refs, values): (Vec<u32>, Vec<f64>) = values.iter().copied().unzip();
        let frame = WriteFrame {
            id: 1,
            series: &series,
            refs: &refs,
            counts: &[],
            times: Times::Server,
            values: &values,
            ack: Ack::Unspecified,
            number: 0,
            resent: false,
        };
        let mut bytes = Vec::new();
        frame.put(&mut bytes);
        let Ok(Split::Frame { message, .. }) = split_frame(&bytes, 1 << 20) else { panic!("a frame") };
        let Ok(Incoming::Write { id, batch }) = decode_request(message, 0) else { panic!("a batch") };
        writes.write(id, batch).expect("there is memory")
    }

    /// The first of the answers that wait.
    fn answer(writes: &Writes) -> Written {
        let mut out = Vec::new();
        assert!(writes.outbox.try_take(&mut out), "it is answered");
        let Ok(Split::Frame { message, .. }) = split_frame(&out, 1 << 20) else { panic!("a frame") };
        let response = <Response as prost::Message>::decode(message).expect("a response");
        match response.body {
            Some(response::Body::Written(written)) => written,
            other => panic!("{other:?}"),
        }
    }

    /// Stores values; gives how many are stored.
    async fn store(writes: &Rc<Writes>, names: &[&str], values: &[(u32, f64)]) -> u64 {
        if let Some(open) = hand_over(writes, names, values) {
            open.finish(writes.clone()).await;
        }
        let Written { stored, rejected, .. } = answer(writes);
        assert_eq!(rejected, []);
        stored
    }

    /// A store whose series `names` were given up, and the connection that had brought them.
    async fn asleep(directory: &tempfile::TempDir, names: &[&str]) -> (Store, Rc<Writes>, Rc<Writes>) {
        let config = Config {
            directory: directory.path().to_owned(),
            series_idle: Duration::from_secs(1),
            ..Config::default()
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let metrics = Metrics::default();
        let shared =
            Store::open(&config, Arc::new(RealDisk), clock.clone(), &metrics).expect("the store opens");
        let (sleeper, other) = (writes(&shared, &metrics), writes(&shared, &metrics));
        let values: Vec<_> =
            (0..).zip(1..).take(names.len()).map(|(n, value)| (n, f64::from(value))).collect();
        assert_eq!(store(&sleeper, &[names, &["c"]].concat(), &values).await, names.len() as u64);
        for value in 0..2 {
            shared.flush().expect("flushed");
            clock.advance(Duration::from_secs(10));
            assert_eq!(store(&other, &["c"], &[(0, value.into())]).await, 1);
        }
        shared.flush().expect("flushed");
        let retired = metrics.counter("retired_series_total", &[]).get();
        assert_eq!(retired, names.len() as u64, "else this test shows nothing");
        (shared, sleeper, other)
    }

    fn stored(store: &Store, name: &str) -> Vec<f64> {
        let series = store.snapshot().select(&Selector::exact(name), TimeRange::ALL).expect("readable");
        let samples = series[0].read(TimeRange::ALL, &mut Reads::default()).expect("readable");
        samples.iter().map(|sample| sample.value).collect()
    }

    /// What a reference stood for when a batch came is what counts, and nothing else gets its samples.
    #[tokio::test]
    async fn samples_of_a_series_that_was_given_up_never_go_to_another_one() {
        let directory = tempfile::tempdir().expect("a folder");
        let (shared, sleeper, _) = asleep(&directory, &["a"]).await;
        let first = hand_over(&sleeper, &[], &[(0, 3.0)]).expect("its series is given up");
        assert!(hand_over(&sleeper, &["b"], &[(0, 4.0)]).is_none());
        assert_eq!(answer(&sleeper).stored, 1, "what came later is answered first");
        first.finish(sleeper.clone()).await;
        let Written { stored: count, rejected, .. } = answer(&sleeper);
        assert_eq!((count, rejected.len(), rejected[0].retry), (0, 1, true));
        assert_eq!((stored(&shared, "a"), stored(&shared, "b")), (vec![1.0], vec![4.0]));
    }

    /// A client that sleeps over night must not find its samples refused in the morning.
    #[tokio::test]
    async fn series_that_were_given_up_come_back_unnoticed() {
        let directory = tempfile::tempdir().expect("a folder");
        let (shared, sleeper, _other) = asleep(&directory, &["a", "b"]).await;
        assert_eq!(store(&sleeper, &[], &[(0, 3.0), (2, 4.0), (1, 5.0), (0, 6.0)]).await, 4);
        assert_eq!(store(&sleeper, &[], &[(0, 7.0)]).await, 1);
        assert_eq!((stored(&shared, "a"), stored(&shared, "b")), (vec![1.0, 3.0, 6.0, 7.0], vec![2.0, 5.0]));
        assert_eq!(stored(&shared, "c"), [0.0, 1.0, 4.0]);
    }
}
