//! What the tests of protocol 2 share: clients that are patient with a machine under load, and the whole of what is
//! stored.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use prost::Message as _;
use sereno_client::messages::request::Body;
use sereno_client::messages::response::Body as Answered;
use sereno_client::messages::{Ack, Code, Hello, Query, Request, Response};
use sereno_client::{Answer, Client, Group, Options, Timeouts};
use sereno_model::SeriesKey;
use sereno_protocol::v2::frame::Split;
use sereno_protocol::v2::write::{Definition, Times, WriteFrame};
use sereno_protocol::v2::{INTENTION, put_frame, split_frame};
use sereno_tests::PATIENCE;
use sereno_tests::client::connect;
use tokio::runtime::Runtime;

/// A runtime of the test's own.
pub(crate) fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

/// A server that may take its time.
pub(crate) fn options(address: SocketAddr) -> Options {
    Options {
        timeouts: Timeouts { connect: PATIENCE, answer: PATIENCE },
        client: "tests".into(),
        ..Options::new(address.to_string())
    }
}

pub(crate) async fn client(address: SocketAddr) -> Client {
    Client::connect(&options(address)).await.unwrap()
}

/// The series `name` with labels.
pub(crate) fn series<const N: usize>(name: &str, labels: [(&str, &str); N]) -> SeriesKey {
    SeriesKey::new(name, labels).unwrap()
}

/// Asks until the server has read its log back, and has room.
pub(crate) async fn ask(client: &Client, query: Query) -> Answer {
    loop {
        match client.query(query.clone()).await {
            Ok(answer) => return answer,
            Err(error) if matches!(error.code(), Some(Code::Recovering | Code::Overloaded)) => {
                tokio::time::sleep(error.retry_after().unwrap_or_default().max(PAUSE)).await;
            }
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
}

const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The samples of one series, as (time, value).
pub(crate) type Samples = Vec<(i64, f64)>;

/// Every sample of every series that matches, by the series' text, in order of time; as many as `count` counts.
pub(crate) async fn samples(client: &Client, selector: &str) -> BTreeMap<String, Samples> {
    for _ in 0..10 {
        let answer = ask(client, Query { selector: selector.into(), ..Query::default() }).await;
        let counted = ask(client, counting(selector, Some(answer.as_of.nanos()))).await;
        let mut found = BTreeMap::new();
        for Group { name, labels, times, values, .. } in answer.groups {
            let key = SeriesKey::new(&name, labels).unwrap().to_string();
            let samples: Samples = times.into_iter().zip(values).collect();
            assert!(found.insert(key.clone(), samples).is_none(), "{key} comes twice");
        }
        let counts = counted.groups.into_iter().map(|Group { name, labels, values, .. }| {
            let key = SeriesKey::new(&name, labels).unwrap().to_string();
            (key, values.iter().sum::<f64>() as usize)
        });
        let counts: BTreeMap<String, usize> = counts.collect();
        if found.iter().map(|(key, samples)| (key, samples.len())).eq(counts.iter().map(|(k, n)| (k, *n))) {
            return found;
        }
        // On a busy machine the moment that was seen first may be gone, and some be stored meanwhile.
        assert!(!counted.exact, "`count` of {selector} is {counts:?}, but the samples are {found:?}");
    }
    panic!("no moment is kept");
}

/// How many samples there are, by the aggregation.
pub(crate) async fn count(client: &Client, selector: &str) -> f64 {
    ask(client, counting(selector, None)).await.groups.iter().flat_map(|group| &group.values).sum()
}

fn counting(selector: &str, as_of: Option<i64>) -> Query {
    // A century: a handful of windows from the first moment that there is to the last.
    const WINDOW: u64 = 3_153_600_000 * 1_000_000_000;
    Query {
        selector: selector.into(),
        aggregation: "count".into(),
        window: WINDOW,
        as_of,
        ..Query::default()
    }
}

/// The values, in order of time.
pub(crate) fn values(samples: &Samples) -> Vec<f64> {
    samples.iter().map(|(_, value)| *value).collect()
}

/// A connection of protocol 2 on which a test writes the bytes itself.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    /// Says what the connection is for, and no more.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self { stream: connect(address, 4), received: Vec::new() }
    }

    /// Shakes hands.
    pub(crate) fn greet(address: SocketAddr) -> Self {
        Self::open(address).greeted()
    }

    /// Says what a connection of the test's own making is for, and shakes hands.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let mut wire = Self { stream, received: Vec::new() };
        wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        wire.stream.write_all(&INTENTION).unwrap();
        wire.greeted()
    }

    fn greeted(self) -> Self {
        let mut wire = self;
        wire.ask(1, Body::Hello(Hello { major: 2, ..Hello::default() }));
        let welcome = wire.read().and_then(|response| response.body);
        assert!(matches!(welcome, Some(Answered::Welcome(_))), "{welcome:?}");
        wire
    }

    pub(crate) fn ask(&mut self, id: u64, body: Body) {
        self.stream.write_all(&framed(id, body)).unwrap();
    }

    /// The next frame, its length included; nothing if the server has closed the connection.
    pub(crate) fn read_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Split::Frame { taken, .. } = split_frame(&self.received, 1 << 24).unwrap() {
                let rest = self.received.split_off(taken);
                return Some(std::mem::replace(&mut self.received, rest));
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(count @ 1..) => self.received.extend_from_slice(&bytes[..count]),
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waited in vain for an answer: {error}"),
            }
        }
    }

    /// The next answer; nothing if the server has closed the connection.
    pub(crate) fn read(&mut self) -> Option<Response> {
        Some(response(&self.read_frame()?))
    }

    /// Reads on to the last answer to a request, and gives all answers to it.
    pub(crate) fn read_all(&mut self, id: u64) -> Vec<Answered> {
        let mut answers = Vec::new();
        loop {
            let response = self.read().expect("the server answers");
            if response.id == id {
                answers.extend(response.body);
                if !response.more {
                    return answers;
                }
            }
        }
    }

    /// Whether the server has nothing more to say and closes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read_frame().is_none()
    }
}

/// A request as it is sent.
pub(crate) fn framed(id: u64, body: Body) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, &Request { id, body: Some(body) });
    frame
}

/// What a frame says.
pub(crate) fn response(frame: &[u8]) -> Response {
    match split_frame(frame, 1 << 24) {
        Ok(Split::Frame { message, taken }) if taken == frame.len() => Response::decode(message).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A request with a batch; `series` are defined with it, and `runs` are a reference and the values of its series, whose
/// times rise by a microsecond each from `first` on.
pub(crate) fn batch(
    id: u64,
    series: &[(u32, &str)],
    runs: &[(u32, &[f64])],
    first: i64,
    ack: Ack,
) -> Vec<u8> {
    let definitions: Vec<_> = series
        .iter()
        .map(|(reference, name)| Definition { reference: *reference, name, labels: Vec::new() })
        .collect();
    let refs: Vec<u32> = runs.iter().map(|(reference, _)| *reference).collect();
    let counts: Vec<u32> = runs.iter().map(|(_, values)| values.len() as u32).collect();
    let values: Vec<f64> = runs.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let times: Vec<i64> = (0..values.len() as i64).map(|n| first + n * 1_000).collect();
    let mut frame = Vec::new();
    WriteFrame {
        id,
        series: &definitions,
        refs: &refs,
        counts: &counts,
        times: Times::Each(&times),
        values: &values,
        ack,
        number: 0,
        resent: false,
    }
    .put(&mut frame);
    frame
}

/// One of the server's own figures.
pub(crate) async fn figure(client: &Client, name: &str) -> f64 {
    let info = client.info(true).await.unwrap();
    let found = info.figures.iter().find(|figure| figure.name == name);
    found.unwrap_or_else(|| panic!("{name}: {:?}", info.figures)).value
}
