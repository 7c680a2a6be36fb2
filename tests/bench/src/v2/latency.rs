//! How long an acknowledgement takes at a given load. Batches go out at their appointed times, whatever the answers do, and
//! the time counts from the appointment: a server that stalls is not spared the batches that it held up.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Connection, stored};
use super::data::{Batches, a_month_ago};
use super::{Bench, quantile};
use crate::storage::table::{Table, round};

const CONNECTIONS: usize = 4;
/// Samples in a batch, one of each series.
const SERIES: usize = 1_000;
/// Samples a second, over all connections.
const OFFERED: f64 = 1e6;
const TIME: Duration = Duration::from_secs(20);

pub fn run() -> io::Result<()> {
    let bench = Bench::start("")?;
    let columns = ["offered/s", "p50 ms", "p90 ms", "p99 ms", "goal", "max ms", "CPU-s/M"];
    let table = Table::new("Time from the appointed moment of a batch to its acknowledgement", &columns);
    let cpu = bench.server.cpu_secs()?;
    let mut all = on_each(CONNECTIONS, |index| offer(bench.server.address, index))?;
    bench.server.wait_idle(Duration::from_secs(1))?;
    let cpu = (bench.server.cpu_secs()? - cpu) / (all.len() * SERIES) as f64 * 1e6;
    all.sort_by(f64::total_cmp);
    let at = |share| quantile(&all, share);
    let figures = [OFFERED, at(0.5), at(0.9), at(0.99), 5.0, at(1.0), cpu];
    table.row("4 connections, batches of 1,000 samples", figures.map(round));
    Ok(())
}

/// Offers a share of the load; gives the milliseconds of each batch.
fn offer(address: SocketAddr, index: usize) -> io::Result<Vec<f64>> {
    let mut connection = Connection::open(address)?;
    let mut sender = connection.stream()?;
    let interval = Duration::from_secs_f64((SERIES * CONNECTIONS) as f64 / OFFERED);
    let count = (TIME.as_secs_f64() / interval.as_secs_f64()) as usize;
    let (appointed, appointments) = mpsc::channel();
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> io::Result<()> {
            let mut batches = Batches::new(index, SERIES, 1, a_month_ago());
            let (start, mut frame) = (Instant::now(), Vec::new());
            for number in 0..count {
                let due = start + interval * number as u32;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                frame.clear();
                batches.put(&mut frame);
                appointed.send(due).map_err(io::Error::other)?;
                io::Write::write_all(&mut sender, &frame)?;
            }
            Ok(())
        });
        let mut taken = Vec::with_capacity(count);
        for due in appointments {
            stored(&connection.receive()?, SERIES as u64)?;
            taken.push(due.elapsed().as_secs_f64() * 1e3);
        }
        sending.join().unwrap_or_else(|_| Err(io::Error::other("panic")))?;
        Ok(taken)
    })
}

/// Does something on several connections at once; gives all figures.
pub fn on_each(
    connections: usize,
    client: impl Fn(usize) -> io::Result<Vec<f64>> + Sync,
) -> io::Result<Vec<f64>> {
    thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..connections).map(|index| scope.spawn(move || client(index))).collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().unwrap_or_else(|_| Err(io::Error::other("panic")))?);
        }
        Ok(all)
    })
}
