//! How long it takes to find 10,000 of a million series by two labels.

use std::io;
use std::time::{Duration, Instant};

use sereno_model::Selector;
use sereno_storage::Row;

use super::data::crossed_key;
use super::setup::{Bench, DAY, HOUR, START, create, send};
use super::table::{Table, round, with_goal};
use super::usage::{median, thread_cpu_secs};

const SERIES: u32 = 1_000_000;
const FOUND: usize = 10_000;
const BATCH: usize = 10_000;
const ROUNDS: usize = 41;

pub fn run() -> io::Result<()> {
    let table = Table::new(
        "select: milliseconds, 10,000 of 1,000,000 series",
        &["ms, median", "goal", "ratio", "fastest", "CPU ms, mean"],
    );
    let bench = Bench::new()?;
    let mut rows = Vec::with_capacity(BATCH);
    for number in 0..SERIES {
        rows.push(Row::at(create(&bench.store, &crossed_key(number))?, START, 1.0));
        if rows.len() == BATCH {
            send(&bench.store, std::mem::replace(&mut rows, Vec::with_capacity(BATCH)))?;
        }
    }
    bench.clock.advance(HOUR);
    // The live index settles in the background.
    std::thread::sleep(Duration::from_secs(3));
    table.row("live", measure(&bench, Some(2.0))?);
    let start = Instant::now();
    bench.store.flush().map_err(io::Error::other)?;
    let flushed = start.elapsed().as_secs_f64() * 1e3;
    table.row("live and in segments", measure(&bench, None)?);
    let bench = bench.reopen()?;
    table.row("in segments alone", measure(&bench, Some(2.0))?);
    table.row("(the flush of a million series)", [round(flushed)]);
    Ok(())
}

/// With the snapshot.
fn measure(bench: &Bench, goal: Option<f64>) -> io::Result<Vec<String>> {
    let selector: Selector = r#"bench.gauge{region="r-3",service="s-7"}"#.parse().map_err(io::Error::other)?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    let before = thread_cpu_secs()?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let found = bench.store.snapshot().select(&selector, DAY).map_err(io::Error::other)?;
        rounds.push(start.elapsed().as_secs_f64() * 1e3);
        if found.len() != FOUND {
            return Err(io::Error::other(format!("{} series found instead of {FOUND}", found.len())));
        }
    }
    let cpu = (thread_cpu_secs()? - before) / ROUNDS as f64 * 1e3;
    let fastest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(with_goal(median(rounds), goal).into_iter().chain([round(fastest), round(cpu)]).collect())
}
