//! A client as thin as can be: what is measured is the server.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use prost::Message as _;
use sereno_protocol::v2::frame::{Split, split_frame};
use sereno_protocol::v2::messages::{Hello, Request, Response, request, response};
use sereno_protocol::v2::{INTENTION, MAJOR, MINOR, put_frame};

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A connection that has shaken hands.
pub struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    taken: usize,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, inbox: Vec::new(), taken: 0 };
        connection.stream.write_all(&INTENTION)?;
        let hello = Hello { major: MAJOR, minor: MINOR, client: "sereno-bench".into(), ..Hello::default() };
        match connection.ask(request::Body::Hello(hello))? {
            response::Body::Welcome(_) => Ok(connection),
            other => Err(io::Error::other(format!("no welcome: {other:?}"))),
        }
    }

    /// Sends a request and takes one response.
    pub fn ask(&mut self, body: request::Body) -> io::Result<response::Body> {
        let mut frame = Vec::new();
        put_frame(&mut frame, &Request { id: u64::MAX, body: Some(body) });
        self.send(&frame)?;
        self.receive()?.body.ok_or_else(|| io::Error::other("an empty answer"))
    }

    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// The next response.
    pub fn receive(&mut self) -> io::Result<Response> {
        loop {
            match split_frame(&self.inbox[self.taken..], ANSWER_BYTES_MAX).map_err(io::Error::other)? {
                Split::Frame { message, taken } => {
                    let response = Response::decode(message).map_err(io::Error::other)?;
                    self.taken += taken;
                    return Ok(response);
                }
                Split::Incomplete { .. } => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.inbox.drain(..self.taken);
        self.taken = 0;
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.inbox.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    }

    /// The socket, to be used by another thread.
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }
}

/// How many samples a response says are stored. Anything but full success is an error.
pub fn stored(response: &Response, wanted: u64) -> io::Result<u64> {
    match &response.body {
        Some(response::Body::Written(written)) if written.stored == wanted && !written.unknown => Ok(wanted),
        other => Err(io::Error::other(format!("a batch was not stored: {other:?}"))),
    }
}
