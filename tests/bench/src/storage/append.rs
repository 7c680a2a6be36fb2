//! What it costs to append a sample and bring it to its last place: log, head, flushes every hour of a day, merges
//! during the day and at its end. The making of samples is not counted.

use std::io;

use super::data::Kind;
use super::setup::{Bench, Feed, HOUR, Plan, send};
use super::table::{Table, round, with_goal};
use super::usage::{cpu_secs_by_thread, process_cpu_secs, thread_cpu_secs};

const CASES: [(&str, u32, f64); 2] =
    [("10,000 series, 1 sample a batch, one time", 1, 0.20), ("10,000 series, 4 samples a batch", 4, 0.10)];

pub fn run() -> io::Result<()> {
    let columns =
        ["all", "goal", "ratio", "append", "flush", "compaction", "sync and rest", "log, GB", "samples, M"];
    let table = Table::new("append: CPU seconds per million samples", &columns);
    for (name, ticks_per_batch, goal) in CASES {
        let cost = day(Plan { series: 10_000, ticks_per_batch, ..Plan::usual(Kind::Gauge) })?;
        let per_million = |secs: f64| secs / cost.samples as f64 * 1e6;
        let rest = cost.all - cost.append - cost.flush - cost.compaction;
        let parts = [cost.append, cost.flush, cost.compaction, rest].map(|secs| round(per_million(secs)));
        let amounts = [cost.log_bytes / 1e9, cost.samples as f64 / 1e6].map(round);
        table.row(name, with_goal(per_million(cost.all), Some(goal)).into_iter().chain(parts).chain(amounts));
    }
    Ok(())
}

/// CPU seconds, and what for.
#[derive(Default)]
struct Cost {
    samples: u64,
    all: f64,
    append: f64,
    flush: f64,
    compaction: f64,
    log_bytes: f64,
}

fn day(plan: Plan) -> io::Result<Cost> {
    let bench = Bench::new()?;
    let mut feed = Feed::new(&bench.store, plan)?;
    let mut cost = Cost::default();
    let mut making = 0.0;
    let start = process_cpu_secs()?;
    for _ in 0..24 {
        let before = thread_cpu_secs()?;
        let batches = feed.hour();
        let made = thread_cpu_secs()?;
        for batch in batches {
            cost.samples += batch.len() as u64;
            send(&bench.store, batch)?;
        }
        let sent = thread_cpu_secs()?;
        bench.clock.advance(HOUR);
        bench.store.flush().map_err(io::Error::other)?;
        making += made - before;
        cost.append += sent - made;
        cost.flush += thread_cpu_secs()? - sent;
    }
    let before = thread_cpu_secs()?;
    bench.clock.advance(3 * HOUR);
    bench.store.compact().map_err(io::Error::other)?;
    // Merges during the day are done by the store's own thread, which does little else.
    let own = cpu_secs_by_thread()?.get("maintenance").copied().unwrap_or_default();
    cost.compaction = thread_cpu_secs()? - before + own;
    cost.all = process_cpu_secs()? - start - making;
    let metrics = bench.metrics.snapshot();
    cost.log_bytes =
        metrics.iter().filter(|(name, _)| name == "wal_bytes_total").map(|(_, value)| value).sum();
    Ok(cost)
}
