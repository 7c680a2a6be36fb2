//! Clients.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sereno_protocol::v1::{Intention, METRIC_BYTES, Metric};

fn connect(address: SocketAddr, intention: bool) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    if intention {
        stream.write_all(&Intention::SendMetrics.encode())?;
    }
    Ok(stream)
}

fn record(connection: usize) -> io::Result<[u8; METRIC_BYTES]> {
    let id = format!("bench.{connection}");
    Ok(Metric::new(&id, 42).map_err(io::Error::other)?.encode())
}

fn check(answers: &[u8]) -> io::Result<()> {
    let ok = answers.as_chunks().0.iter().all(|answer| *answer == [0, 1]);
    if ok { Ok(()) } else { Err(io::Error::other("a metric was refused")) }
}

/// One metric, one answer, and so on for a while, on several connections at once; gives the answers of all.
pub fn round_trips(
    address: SocketAddr,
    connections: usize,
    intention: bool,
    time: Duration,
) -> io::Result<u64> {
    on_each(connections, |connection| {
        let mut stream = connect(address, intention)?;
        let (record, mut answer) = (record(connection)?, [0; 2]);
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            stream.write_all(&record)?;
            stream.read_exact(&mut answer)?;
            check(&answer)?;
            count += 1;
        }
        Ok(count)
    })
}

/// As many metrics as fit, without waiting for answers, on several connections at once.
pub fn pipelined(
    address: SocketAddr,
    connections: usize,
    intention: bool,
    time: Duration,
) -> io::Result<u64> {
    /// Metrics in flight on one connection: two read buffers of the server.
    const WINDOW: usize = 4_096;
    on_each(connections, |connection| {
        let mut stream = connect(address, intention)?;
        let half = record(connection)?.repeat(WINDOW / 2);
        let mut answers = vec![0; WINDOW];
        stream.write_all(&half)?;
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            stream.write_all(&half)?;
            stream.read_exact(&mut answers)?;
            check(&answers)?;
            count += WINDOW as u64 / 2;
        }
        stream.read_exact(&mut answers)?;
        Ok(count + WINDOW as u64 / 2)
    })
}

fn on_each(connections: usize, client: impl Fn(usize) -> io::Result<u64> + Sync) -> io::Result<u64> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|connection| {
                scope.spawn({
                    let client = &client;
                    move || client(connection)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
            .sum()
    })
}
