//! The server's side of a connection, in the hands of a test. Decodes with the generated messages alone, so that what the
//! client encodes by hand is read by somebody else.

use std::io;
use std::pin::pin;
use std::time::Duration;

use prost::Message;
use sereno_client::messages::{
    Error, Hello, Limits, MonitorPart, Request, Response, SeriesDef, Welcome, Write, Written, monitor_part,
    request, response,
};
use sereno_client::{Options, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const LIMITS: Limits = Limits {
    write_bytes_max: 1 << 20,
    request_bytes_max: 64 << 10,
    response_bytes_max: 1 << 20,
    batch_samples_max: 50_000,
    dictionary_len_max: 1 << 20,
    in_flight_bytes_max: 8 << 20,
    in_flight_requests_max: 64,
};

/// Waits long enough for any machine; no test gets there.
pub fn patient(address: &str) -> Options {
    let minute = Duration::from_secs(60);
    Options { timeouts: Timeouts { connect: minute, answer: minute }, ..Options::new(address) }
}

/// One connection.
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Starts a server; each connection, counted from 0, is played by the future that `script` gives for it.
pub async fn serve<F>(mut script: impl FnMut(usize, Peer) -> F + Send + 'static) -> String
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(async move {
        for count in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let script = script(count, Peer { stream, buffer: Vec::new() });
            // A client that leaves is an error on this side, and of no interest to a test.
            spawn(async move { drop(script.await) });
        }
    });
    address
}

#[expect(clippy::disallowed_methods, reason = "a test's server ends with the test's runtime")]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

impl Peer {
    /// Takes the hello and says welcome.
    pub async fn welcome(&mut self) -> io::Result<Hello> {
        self.welcome_with(LIMITS).await
    }

    pub async fn welcome_with(&mut self, limits: Limits) -> io::Result<Hello> {
        let (id, hello) = self.hello().await?;
        let welcome = Welcome {
            major: 2,
            server: "fake 1".into(),
            time: 77,
            limits: Some(limits),
            ..Welcome::default()
        };
        self.answer(id, response::Body::Welcome(welcome)).await?;
        Ok(hello)
    }

    pub async fn hello(&mut self) -> io::Result<(u64, Hello)> {
        let mut intention = [0; 4];
        self.stream.read_exact(&mut intention).await?;
        assert_eq!(intention, [0, 0, 0, 4]);
        match self.request().await? {
            (id, request::Body::Hello(hello)) => Ok((id, hello)),
            (_, other) => panic!("a connection began with {other:?}"),
        }
    }

    /// The next request. Cancel safe.
    pub async fn request(&mut self) -> io::Result<(u64, request::Body)> {
        loop {
            let mut rest = &self.buffer[..];
            if let Ok(length) = prost::decode_length_delimiter(&mut rest)
                && rest.len() >= length
            {
                let request = Request::decode(&rest[..length]).unwrap();
                let taken = self.buffer.len() - rest.len() + length;
                self.buffer.drain(..taken);
                return Ok((request.id, request.body.expect("a known request")));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next request, which is a batch.
    pub async fn batch(&mut self) -> io::Result<(u64, Write)> {
        match self.request().await? {
            (id, request::Body::Write(write)) => Ok((id, write)),
            (_, other) => panic!("no batch but {other:?}"),
        }
    }

    pub async fn answer(&mut self, id: u64, body: response::Body) -> io::Result<()> {
        self.respond(&Response { id, more: false, body: Some(body) }).await
    }

    pub async fn part(&mut self, id: u64, body: response::Body) -> io::Result<()> {
        self.respond(&Response { id, more: true, body: Some(body) }).await
    }

    pub async fn notify(&mut self, id: u64, part: monitor_part::Part) -> io::Result<()> {
        self.part(id, response::Body::Monitor(MonitorPart { part: Some(part) })).await
    }

    pub async fn error(&mut self, id: u64, error: Error) -> io::Result<()> {
        self.answer(id, response::Body::Error(error)).await
    }

    pub async fn stored(&mut self, id: u64, write: &Write) -> io::Result<()> {
        let written = Written { stored: write.values.len() as u64, ..Written::default() };
        self.answer(id, response::Body::Written(written)).await
    }

    pub async fn respond(&mut self, response: &Response) -> io::Result<()> {
        self.send(&response.encode_length_delimited_to_vec()).await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until the client has gone.
    pub async fn until_gone(&mut self) -> io::Result<()> {
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map(drop)
    }

    /// Whether the client leaves before it asks anything more.
    pub async fn is_left_alone(&mut self) -> bool {
        pin!(self.request()).await.is_err()
    }
}

/// A definition as a series in text.
pub fn text(definition: &SeriesDef) -> String {
    let labels = definition.labels.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    sereno_model::SeriesKey::new(&definition.name, labels).unwrap().to_string()
}
