//! How long a small query takes, from the first byte of the request to the last one of the answer.

use std::io;
use std::time::{Duration, Instant};

use sereno_protocol::v2::messages::{Query, request, response};

use super::client::{Connection, stored};
use super::data::{Batches, a_month_ago};
use super::{Bench, quantile};
use crate::storage::table::{Table, round};

const ROUNDS: usize = 20_000;
const HOUR: i64 = 3_600_000_000_000;

pub fn run() -> io::Result<()> {
    let bench = Bench::start("")?;
    let mut connection = Connection::open(bench.server.address)?;
    let start = a_month_ago();
    let mut batches = Batches::new(0, 1, 360, start);
    let mut frame = Vec::new();
    batches.put(&mut frame);
    connection.send(&frame)?;
    stored(&connection.receive()?, 360)?;
    let query = Query {
        selector: "cpu.load{host=\"host-0-0\",cpu=\"0\"}".into(),
        aggregation: "mean".into(),
        window: 60_000_000_000,
        start: Some(start),
        end: Some(start + HOUR),
        ..Query::default()
    };
    let cpu = bench.server.cpu_secs()?;
    let mut taken = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (body, begun) = (request::Body::Query(query.clone()), Instant::now());
        let answer = connection.ask(body)?;
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
        let response::Body::Query(part) = answer else {
            return Err(io::Error::other(format!("no answer: {answer:?}")));
        };
        let points = part.chunks.iter().map(|chunk| chunk.values.len()).sum::<usize>();
        if points < 60 {
            return Err(io::Error::other(format!("{points} windows in an hour")));
        }
    }
    bench.server.wait_idle(Duration::from_millis(500))?;
    let cpu = (bench.server.cpu_secs()? - cpu) / ROUNDS as f64 * 1e3;
    taken.sort_by(f64::total_cmp);
    let at = |share| quantile(&taken, share);
    let table = Table::new("Round trip of a query", &["p50 ms", "goal", "p90 ms", "p99 ms", "CPU ms"]);
    table.row("mean over 1 m windows, 1 series, 1 h", [at(0.5), 0.1, at(0.9), at(0.99), cpu].map(round));
    Ok(())
}
