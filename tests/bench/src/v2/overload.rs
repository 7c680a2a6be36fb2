//! What becomes of a server that is offered much more than it can take.
//!
//! The most that it takes is measured first, with few connections that wait for their answers. Then connections that do
//! not wait offer 2 and 10 times as much, with batches that are encoded before: the load costs next to nothing itself.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use sereno_protocol::v2::messages::{Code, response};

use super::client::Connection;
use super::data::{Batches, FIRST_ID, a_month_ago};
use super::{Bench, quantile};
use crate::storage::table::{Table, round};

const SERIES: usize = 1_000;
const TIME: Duration = Duration::from_secs(10);
/// Batches that are encoded once and sent in turn.
const ENCODED: usize = 64;

pub fn run() -> io::Result<()> {
    let bench = Bench::start("")?;
    let address = bench.server.address;
    let calm = probe(address, Duration::from_secs(2))?;
    let most = offer(address, 4, f64::INFINITY)?;
    let columns = [
        "offered/s",
        "stored/s",
        "of the most",
        "goal",
        "refused/s",
        "unanswered",
        "RSS MiB",
        "calm after s",
    ];
    let table = Table::new("Overload", &columns);
    let resident =
        |bench: &Bench| Ok::<_, io::Error>(bench.server.resident_bytes()? as f64 / (1 << 20) as f64);
    let row = |name: &str, load: &Load, calm_after: f64| -> io::Result<()> {
        let figures = [
            load.offered(),
            load.stored(),
            load.stored() / most.stored(),
            0.9,
            load.refused as f64 / load.seconds,
            load.unanswered as f64,
            resident(&bench)?,
            calm_after,
        ];
        table.row(name, figures.map(round));
        Ok(())
    };
    row("the most, 4 connections", &most, 0.0)?;
    for (name, factor, connections) in
        [("2 times, 8 connections", 2.0, 8), ("10 times, 40 connections", 10.0, 40)]
    {
        let load = offer(address, connections, factor * most.stored())?;
        row(name, &load, calm_after(address, &calm)?)?;
    }
    println!(
        "a calm round trip: p50 {} ms, p99 {} ms",
        round(quantile(&calm, 0.5)),
        round(quantile(&calm, 0.99))
    );
    Ok(())
}

#[derive(Default)]
struct Load {
    seconds: f64,
    sent: u64,
    stored: u64,
    refused: u64,
    unanswered: u64,
}

impl Load {
    fn offered(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    fn stored(&self) -> f64 {
        self.stored as f64 / self.seconds
    }
}

/// Offers samples at this rate, as far as the sockets take them.
fn offer(address: SocketAddr, connections: usize, rate: f64) -> io::Result<Load> {
    let start = Instant::now();
    let loads = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|index| scope.spawn(move || one(address, index, rate / connections as f64)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
            .collect::<io::Result<Vec<Load>>>()
    })?;
    let mut sum = Load { seconds: start.elapsed().as_secs_f64(), ..Load::default() };
    for load in loads {
        sum.sent += load.sent;
        sum.stored += load.stored;
        sum.refused += load.refused;
        sum.unanswered += load.unanswered;
    }
    Ok(sum)
}

fn one(address: SocketAddr, index: usize, rate: f64) -> io::Result<Load> {
    let mut connection = Connection::open(address)?;
    let mut sender = connection.stream()?;
    let mut batches = Batches::new(index, SERIES, 1, a_month_ago());
    let mut frame = || {
        let mut frame = Vec::new();
        batches.put(&mut frame);
        frame
    };
    let first = frame();
    let mut frames: Vec<Vec<u8>> = (1..ENCODED).map(|_| frame()).collect();
    connection.send(&first)?;
    connection.receive()?;
    // Without a rate of its own, a client waits for its answers, eight batches in flight.
    let (tickets, waiting) = std::sync::mpsc::sync_channel(if rate.is_finite() { 1 << 20 } else { 8 });
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> io::Result<u64> {
            let (start, mut sent) = (Instant::now(), 0_u64);
            let places = frames.len();
            for place in (0..places).cycle() {
                let frame = &mut frames[place];
                if rate.is_finite() {
                    let due = start + Duration::from_secs_f64(sent as f64 * SERIES as f64 / rate);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                if start.elapsed() >= TIME {
                    break;
                }
                set_id(frame, sent);
                tickets.send(()).map_err(io::Error::other)?;
                io::Write::write_all(&mut sender, frame)?;
                sent += 1;
            }
            Ok(sent * SERIES as u64)
        });
        let mut load = Load::default();
        for () in waiting {
            match connection.receive()?.body {
                Some(response::Body::Written(written)) => {
                    load.stored += written.stored;
                    load.refused += SERIES as u64 - written.stored;
                }
                Some(response::Body::Error(error)) if error.code() == Code::Overloaded => {
                    load.refused += SERIES as u64;
                }
                other => return Err(io::Error::other(format!("an unexpected answer: {other:?}"))),
            }
        }
        load.sent = sending.join().unwrap_or_else(|_| Err(io::Error::other("panic")))?;
        load.unanswered = load.sent - load.stored - load.refused;
        Ok(load)
    })
}

/// Gives an encoded frame another id. It takes five bytes, after the frame's length and the key of the field.
fn set_id(frame: &mut [u8], number: u64) {
    let length_bytes = frame.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let mut id = FIRST_ID + number;
    for byte in &mut frame[length_bytes + 1..][..5] {
        *byte = (id & 0x7F) as u8 | 0x80;
        id >>= 7;
    }
    frame[length_bytes + 5] &= 0x7F;
}

/// Round trips of single samples, in milliseconds, sorted.
fn probe(address: SocketAddr, time: Duration) -> io::Result<Vec<f64>> {
    let mut connection = Connection::open(address)?;
    let mut batches = Batches::new(usize::MAX, 1, 1, a_month_ago());
    let (start, mut taken, mut frame) = (Instant::now(), Vec::new(), Vec::new());
    while start.elapsed() < time {
        frame.clear();
        batches.put(&mut frame);
        let begun = Instant::now();
        connection.send(&frame)?;
        super::client::stored(&connection.receive()?, 1)?;
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(1));
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

/// How long after a load its effects are gone: the end of the first half second whose p99 is at most three times the calm one.
fn calm_after(address: SocketAddr, calm: &[f64]) -> io::Result<f64> {
    let start = Instant::now();
    let wanted = 3.0 * quantile(calm, 0.99);
    while start.elapsed() < Duration::from_secs(60) {
        if quantile(&probe(address, Duration::from_millis(500))?, 0.99) <= wanted {
            break;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
