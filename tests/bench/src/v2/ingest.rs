//! How many samples a second are acknowledged after the log, and what they cost the server.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use sereno_protocol::v2::messages::response;

use super::client::{Connection, stored};
use super::data::{Batches, a_month_ago};
use super::{Bench, median};
use crate::storage::table::{Table, round};

/// Batches that a connection has sent and not been answered.
const IN_FLIGHT: usize = 4;
const ROUNDS: usize = 3;

struct Shape {
    name: &'static str,
    connections: usize,
    /// Of all connections together.
    series: usize,
    per_series: usize,
    samples: usize,
    rate_goal: f64,
    cpu_goal: f64,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "10k series, batches of 10k, 4 of a series, 4 connections",
        connections: 4,
        series: 10_000,
        per_series: 4,
        samples: 100_000_000,
        rate_goal: 6e6,
        cpu_goal: 0.20,
    },
    Shape {
        name: "10k series, batches of 10k, 1 of a series, 1 connection",
        connections: 1,
        series: 10_000,
        per_series: 1,
        samples: 40_000_000,
        rate_goal: 3e6,
        cpu_goal: 0.30,
    },
];

pub fn run() -> io::Result<()> {
    let columns = ["samples/s", "goal", "CPU-s/M", "goal", "clients' CPU"];
    let table = Table::new("Samples over version 2, acknowledged after the log", &columns);
    for shape in SHAPES {
        let rounds = (0..ROUNDS).map(|_| measure(&shape)).collect::<io::Result<Vec<_>>>()?;
        let of = |figure: fn(&Figure) -> f64| median(rounds.iter().map(figure).collect());
        let figures =
            [of(|f| f.rate), shape.rate_goal, of(|f| f.server_cpu), shape.cpu_goal, of(|f| f.client_cpu)];
        table.row(shape.name, figures.map(round));
    }
    Ok(())
}

struct Figure {
    rate: f64,
    /// CPU seconds per million samples.
    server_cpu: f64,
    client_cpu: f64,
}

fn measure(shape: &Shape) -> io::Result<Figure> {
    let bench = Bench::start("")?;
    let (address, cpu, own_cpu) = (bench.server.address, bench.server.cpu_secs()?, own_cpu_secs()?);
    let start = Instant::now();
    // Each connection has its share of the series, as agents do.
    let per_connection = shape.samples / shape.connections;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..shape.connections)
            .map(|index| scope.spawn(move || send(address, index, shape, per_connection)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
    })?;
    let elapsed = start.elapsed().as_secs_f64();
    let client_cpu = own_cpu_secs()? - own_cpu;
    bench.server.wait_idle(Duration::from_secs(1))?;
    let millions = shape.samples as f64 / 1e6;
    Ok(Figure {
        rate: shape.samples as f64 / elapsed,
        server_cpu: (bench.server.cpu_secs()? - cpu) / millions,
        client_cpu: client_cpu / millions,
    })
}

fn send(address: SocketAddr, index: usize, shape: &Shape, samples: usize) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    let mut batches = Batches::new(index, shape.series / shape.connections, shape.per_series, a_month_ago());
    let wanted = batches.samples() as u64;
    let mut spare: Vec<Vec<u8>> = Vec::new();
    // What is refused is sent again, as any client does, so a round ends when all of it is stored.
    let mut in_flight = VecDeque::new();
    for _ in 0..samples / batches.samples() {
        let mut frame = spare.pop().unwrap_or_default();
        frame.clear();
        batches.put(&mut frame);
        connection.send(&frame)?;
        in_flight.push_back(frame);
        if in_flight.len() == IN_FLIGHT {
            settle(&mut connection, &mut in_flight, &mut spare, wanted)?;
        }
    }
    while !in_flight.is_empty() {
        settle(&mut connection, &mut in_flight, &mut spare, wanted)?;
    }
    Ok(())
}

/// Takes the next answer, and sends the batch again if it was refused.
fn settle(
    connection: &mut Connection,
    in_flight: &mut VecDeque<Vec<u8>>,
    spare: &mut Vec<Vec<u8>>,
    wanted: u64,
) -> io::Result<()> {
    let response = connection.receive()?;
    let Some(frame) = in_flight.pop_front() else { return Err(io::Error::other("an answer to nothing")) };
    match &response.body {
        Some(response::Body::Written(written))
            if written.rejected.iter().any(|rejection| rejection.retry) =>
        {
            thread::sleep(Duration::from_millis(written.retry_after_ms));
            connection.send(&frame)?;
            in_flight.push_back(frame);
        }
        _ => {
            stored(&response, wanted)?;
            spare.push(frame);
        }
    }
    Ok(())
}

pub fn own_cpu_secs() -> io::Result<f64> {
    crate::process::cpu_secs("self")
}
