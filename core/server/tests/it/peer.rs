//! A server on a free port, and a client that knows frames and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use sereno_protocol::v2::frame::Split;
use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{
    Ack, Code, Error, Hello, Request, Response, Welcome, Write, Written, response,
};
use sereno_protocol::v2::{INTENTION, put_frame, split_frame};
use sereno_runtime::{Disk, RealDisk, Shutdown, SystemClock};
use sereno_server::{Config, Loaded, Server, Stopped};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Long enough for anything that does come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with its folder.
pub(crate) struct Site {
    pub server: Server,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::new(RealDisk), change).await
    }

    pub(crate) async fn on(disk: Arc<dyn Disk>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.storage.directory = folder.path().join("data");
        config.rules.paths = Vec::new();
        config.rules.scripts = Vec::new();
        change(&mut config);
        let loaded = Loaded { config, inputs: Vec::new(), sinks: Vec::new(), notification_log: None };
        let server =
            Server::start(loaded, disk, Arc::new(SystemClock::new())).await.expect("the server starts");
        Self { server, _folder: folder }
    }

    pub(crate) async fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.server.address()).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let mut peer = Peer { stream, unread: Vec::new() };
        peer.send(&INTENTION).await;
        peer
    }

    /// A session that has been welcomed.
    pub(crate) async fn session(&self) -> Peer {
        let mut peer = self.connect().await;
        peer.ask(1, Body::Hello(hello())).await;
        peer.welcome().await;
        peer
    }

    /// A figure that the server tells of itself; 0 if it does not.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let figures = self.server.metrics().snapshot();
        figures.into_iter().find(|(figure, _)| figure == name).map_or(0.0, |(_, value)| value)
    }

    /// Waits until a figure has a value.
    pub(crate) async fn reaches(&self, name: &str, value: f64) {
        let reached = async {
            while self.figure(name) != value {
                tokio::task::yield_now().await;
            }
        };
        let late = tokio::time::timeout(PATIENCE, reached).await.is_err();
        assert!(!late, "`{name}` is {}, not {value}", self.figure(name));
    }

    pub(crate) async fn stop(self) -> Stopped {
        self.server.stop(Shutdown::default()).await
    }
}

/// Writes a file for the server.
pub(crate) fn write_file(path: &Path, content: &str) {
    sereno_runtime::disk::replace(&RealDisk, path, content.as_bytes()).expect("written");
}

pub(crate) fn hello() -> Hello {
    Hello { major: 2, client: "test 1".into(), ..Hello::default() }
}

/// The client's end of a connection.
pub(crate) struct Peer {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    pub(crate) async fn ask(&mut self, id: u64, body: Body) {
        self.send(&frame(id, body)).await;
    }

    /// The next response; `None` at the end.
    pub(crate) async fn try_next(&mut self) -> Option<Response> {
        loop {
            if let Ok(Split::Frame { message, taken }) = split_frame(&self.unread, 1 << 30) {
                let response = Response::decode(message).expect("a response");
                self.unread.drain(..taken);
                return Some(response);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.unread));
            match read.await.expect("something comes") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Response {
        self.try_next().await.expect("the session is open")
    }

    pub(crate) async fn body(&mut self, id: u64) -> response::Body {
        let response = self.next().await;
        assert_eq!(response.id, id, "{response:?}");
        response.body.expect("a body")
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.body(1).await {
            response::Body::Welcome(welcome) => welcome,
            other => panic!("no welcome, but {other:?}"),
        }
    }

    pub(crate) async fn written(&mut self, id: u64) -> Written {
        match self.body(id).await {
            response::Body::Written(written) => written,
            other => panic!("nothing written, but {other:?}"),
        }
    }

    pub(crate) async fn error(&mut self, id: u64) -> Error {
        match self.body(id).await {
            response::Body::Error(error) => error,
            other => panic!("no error, but {other:?}"),
        }
    }

    /// Expects an error of the whole connection, and its end.
    pub(crate) async fn is_closed_with(&mut self, id: u64, code: Code) -> Error {
        let error = self.error(id).await;
        assert_eq!(error.code(), code, "{error:?}");
        assert_eq!(self.try_next().await, None);
        error
    }
}

pub(crate) fn frame(id: u64, body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(&mut bytes, &Request { id, body: Some(body) });
    bytes
}

/// A batch that defines each reference as `metric{n="reference"}` and has one sample for each, which the server stamps.
pub(crate) fn batch(references: std::ops::Range<u32>) -> Write {
    Write {
        series: references.clone().map(|n| definition(n, "metric", &[("n", &n.to_string())])).collect(),
        refs: references.clone().collect(),
        values: references.map(f64::from).collect(),
        ack: Ack::Os.into(),
        ..Write::default()
    }
}

/// A batch of ten series with so many samples each.
pub(crate) fn wide(count: u32) -> Write {
    let values = (0..10 * count).map(f64::from).collect();
    Write { counts: vec![count; 10], values, ..batch(0..10) }
}

pub(crate) fn definition(
    reference: u32,
    name: &str,
    labels: &[(&str, &str)],
) -> sereno_protocol::v2::messages::SeriesDef {
    let labels = labels.iter().flat_map(|(label, value)| [(*label).to_owned(), (*value).to_owned()]);
    sereno_protocol::v2::messages::SeriesDef { r#ref: reference, name: name.into(), labels: labels.collect() }
}
