//! A small server of version 1 for tests of clients: real TCP on a free port of the loopback, samples in memory, every
//! window one window. It knows no time, so every sample lies in every period. The ids in [`BUSY`], [`EMPTY`] and
//! [`SILENT`] make it answer as a server in trouble would.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use sereno_model::Timestamp;
use sereno_protocol::v1::{
    INTENTION_BYTES, Intention, METRIC_BYTES, Metric, MetricResponse, NotificationResponse, QUERY_BYTES,
    Query, QueryPartialResponse, Status,
};

/// Metrics and queries with this id are answered `server_unavailable`.
pub const BUSY: &str = "busy";
/// Queries of this id are answered `empty`.
pub const EMPTY: &str = "empty";
/// Metrics and queries with this id are never answered.
pub const SILENT: &str = "silent";

type Samples = Arc<Mutex<BTreeMap<String, Vec<u32>>>>;

/// A server that lives as long as its process.
pub struct TestServer {
    address: String,
    samples: Samples,
}

impl TestServer {
    /// Starts a server whose monitors are told `notices`, and then that it stops.
    ///
    /// # Panics
    /// When the machine has no port left.
    #[must_use]
    pub fn start(notices: Vec<(Timestamp, String)>) -> Self {
        let samples = Samples::default();
        let served = Arc::clone(&samples);
        let address = listen(move |stream| {
            let (samples, notices) = (Arc::clone(&served), notices.clone());
            // A client that leaves is an error on this side, and of no interest to a test.
            thread(move || drop(serve(stream, &samples, &notices)));
            true
        });
        Self { address, samples }
    }

    /// Takes one connection, reads its intention, and does what `script` says; then listens no more. Gives the address.
    /// A script reads all that its client sends, else the end of the connection may overtake what it wrote.
    ///
    /// # Panics
    /// When the machine has no port left.
    pub fn script(script: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static) -> String {
        let mut script = Some(script);
        listen(move |mut stream| {
            if let (Some(script), Ok(_)) = (script.take(), read::<INTENTION_BYTES>(&mut stream)) {
                drop(script(stream));
            }
            false
        })
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The values that were accepted for a metric, in order.
    #[must_use]
    pub fn values(&self, identifier: &str) -> Vec<u32> {
        lock(&self.samples).get(identifier).cloned().unwrap_or_default()
    }
}

fn listen(mut each: impl FnMut(TcpStream) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    thread(move || while listener.accept().is_ok_and(|(stream, _)| each(stream)) {});
    address
}

#[expect(clippy::disallowed_methods, reason = "a test's server ends with the test's process")]
fn thread(body: impl FnOnce() + Send + 'static) {
    drop(std::thread::spawn(body));
}

fn lock(samples: &Samples) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u32>>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, samples: &Samples, notices: &[(Timestamp, String)]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match Intention::decode(&read::<INTENTION_BYTES>(&mut stream)?) {
        Ok(Intention::SendMetrics) => loop {
            let record = read::<METRIC_BYTES>(&mut stream)?;
            let Some(status) = accept(&record, samples) else { continue };
            stream.write_all(&MetricResponse { status }.encode())?;
            if status == Status::BadFormat {
                return Ok(());
            }
        },
        Ok(Intention::Query) => {
            let record = read::<QUERY_BYTES>(&mut stream)?;
            match answer(&record, samples) {
                Some(responses) => {
                    responses.iter().try_for_each(|response| stream.write_all(&response.encode()))
                }
                None => until_client_leaves(stream),
            }
        }
        Ok(Intention::Monitor) => {
            for (time, message) in notices {
                stream.write_all(&NotificationResponse::new(*time, message).encode())?;
            }
            stream.write_all(&NotificationResponse::stopping(Timestamp::default()).encode())
        }
        Err(_) => Ok(()),
    }
}

fn accept(record: &[u8; METRIC_BYTES], samples: &Samples) -> Option<Status> {
    let Ok(metric) = Metric::decode(record) else { return Some(Status::BadFormat) };
    match metric.identifier() {
        SILENT => None,
        BUSY => Some(Status::ServerUnavailable),
        identifier => {
            lock(samples).entry(identifier.to_owned()).or_default().push(metric.value());
            Some(Status::Ok)
        }
    }
}

fn answer(record: &[u8; QUERY_BYTES], samples: &Samples) -> Option<Vec<QueryPartialResponse>> {
    let failed = |status| Some(vec![QueryPartialResponse::failed(status)]);
    let Ok(query) = Query::decode(record) else { return failed(Status::BadFormat) };
    match query.identifier() {
        SILENT => return None,
        BUSY => return failed(Status::ServerUnavailable),
        EMPTY => return failed(Status::Empty),
        _ => {}
    }
    let samples = lock(samples);
    let Some(values) = samples.get(query.identifier()) else { return failed(Status::DoesNotExist) };
    let Some(values) = windows(&query, values) else { return failed(Status::BadFormat) };
    let respond = |(i, value): (usize, &f64)| QueryPartialResponse {
        status: Status::Ok,
        value: *value as f32,
        last: i + 1 == values.len(),
    };
    Some(values.iter().enumerate().map(respond).collect())
}

fn windows(query: &Query<'_>, values: &[u32]) -> Option<Vec<f64>> {
    let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
    let one = match query.aggregation() {
        _ if query.window_secs() == 0.0 => return Some(values),
        "mean" => values.iter().sum::<f64>() / values.len() as f64,
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "count" => values.len() as f64,
        _ => return None,
    };
    Some(vec![one])
}

/// Keeps the connection open, and silent.
fn until_client_leaves(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut record = [0; N];
    stream.read_exact(&mut record)?;
    Ok(record)
}
