//! A client of protocol version 1, from the protocol page alone.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::{PATIENCE, until};

/// Statuses on the wire.
pub const OK: u16 = 1;
/// The server is too busy.
pub const SERVER_UNAVAILABLE: u16 = 2;
/// The server failed.
pub const SERVER_ERROR: u16 = 3;
/// Known, but nothing in the period.
pub const EMPTY: u16 = 4;
/// Unknown.
pub const DOES_NOT_EXIST: u16 = 5;
/// Not understood.
pub const BAD_FORMAT: u16 = 6;

/// A connection that has said what it is for.
///
/// # Panics
/// The server cannot be reached.
#[must_use]
pub fn connect(address: SocketAddr, intention: i32) -> TcpStream {
    try_connect(address, intention).expect("the server accepts")
}

/// The same to a server that may be gone.
///
/// # Errors
/// It is.
pub fn try_connect(address: SocketAddr, intention: i32) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(&intention.to_be_bytes())?;
    Ok(stream)
}

/// A Pascal string in a field of `size` bytes; longer texts are cut.
#[must_use]
pub fn pstr(text: &[u8], size: usize) -> Vec<u8> {
    let mut field = vec![0; size];
    let length = text.len().min(size - 1);
    field[0] = length as u8;
    field[1..=length].copy_from_slice(&text[..length]);
    field
}

/// A metric record.
#[must_use]
pub fn metric(id: &[u8], value: u32) -> Vec<u8> {
    [pstr(id, 28), value.to_be_bytes().to_vec()].concat()
}

/// Sends one metric; gives its status.
///
/// # Errors
/// The connection is gone.
pub fn send(stream: &mut TcpStream, id: &[u8], value: u32) -> io::Result<u16> {
    stream.write_all(&metric(id, value))?;
    status(stream)
}

/// Reads one status.
///
/// # Errors
/// The connection is gone.
pub fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut status = [0; 2];
    stream.read_exact(&mut status)?;
    Ok(u16::from_be_bytes(status))
}

/// A query record.
#[must_use]
pub fn query_record(id: &[u8], aggregation: &str, window: f64, start: f64, end: f64) -> Vec<u8> {
    let numbers = [window, start, end].map(f64::to_be_bytes).concat();
    [pstr(id, 28), pstr(aggregation.as_bytes(), 12), numbers].concat()
}

/// Asks, and reads until the server closes: (status, value) of each response.
///
/// # Panics
/// The answer breaks the protocol.
#[must_use]
pub fn query(
    address: SocketAddr,
    id: &[u8],
    aggregation: &str,
    window: f64,
    start: f64,
    end: f64,
) -> Vec<(u16, f32)> {
    let mut stream = connect(address, 2);
    stream.write_all(&query_record(id, aggregation, window, start, end)).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server closes");
    let responses = answer.chunks(7).map(|response| {
        assert_eq!(response.len(), 7, "half a response");
        let status = u16::from_be_bytes([response[0], response[1]]);
        let value = f32::from_be_bytes([response[2], response[3], response[4], response[5]]);
        (status, value, response[6])
    });
    let responses: Vec<_> = responses.collect();
    let last: Vec<u8> = responses.iter().map(|(.., last)| *last).collect();
    assert!(
        last.ends_with(&[1]) && last.iter().filter(|last| **last == 1).count() == 1,
        "`last` marks the last: {last:?}"
    );
    responses.into_iter().map(|(status, value, _)| (status, value)).collect()
}

/// All values of a metric, in order of time. Asks again while the server still reads its log back.
///
/// # Panics
/// There are none, or the answer breaks the protocol.
#[must_use]
pub fn values(address: SocketAddr, id: &[u8]) -> Vec<f32> {
    let answer = until("an answer", || {
        let answer = query(address, id, "mean", 0.0, 0.0, 0.0);
        (answer.first().map(|(status, _)| *status) != Some(SERVER_UNAVAILABLE)).then_some(answer)
    });
    assert!(answer.iter().all(|(status, _)| *status == OK), "{answer:?}");
    answer.into_iter().map(|(_, value)| value).collect()
}

/// What a monitor is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Unix seconds.
    pub time: f64,
    /// The text.
    pub message: String,
    /// Whether the server shuts down.
    pub stopping: bool,
    /// The status.
    pub status: u16,
}

/// Reads one notification.
///
/// # Errors
/// The connection is gone.
pub fn told(stream: &mut TcpStream) -> io::Result<Told> {
    let mut record = [0; 139];
    stream.read_exact(&mut record)?;
    let mut time = [0; 8];
    time.copy_from_slice(&record[..8]);
    let length = usize::from(record[8]);
    let message = String::from_utf8(record[9..9 + length].to_vec()).map_err(io::Error::other)?;
    Ok(Told {
        time: f64::from_be_bytes(time),
        message,
        stopping: record[136] == 1,
        status: u16::from_be_bytes([record[137], record[138]]),
    })
}
