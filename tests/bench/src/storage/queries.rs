//! How long queries take that read a day of samples from segments which the page cache holds.

use std::io;
use std::time::{Duration, Instant};

use sereno_model::{Selector, TimeRange};
use sereno_query::Native;

use super::data::Kind;
use super::engine::{Query, answer};
use super::setup::{Bench, DAY, HOUR, Plan, START};
use super::table::{Table, optional, round};
use super::usage::{median, process_cpu_secs};

/// Of 1,000 series every 10 s.
struct Case {
    name: &'static str,
    selector: &'static str,
    range: TimeRange,
    window: Duration,
    aggregation: Native,
    windows: usize,
    rounds: usize,
    goal_ms: f64,
    /// CPU on all threads; `None` where one thread does it all.
    goal_cpu_ms: Option<f64>,
}

const ONE: &str = r#"bench.gauge{host="host-0123",region="r-3"}"#;

fn cases() -> [Case; 4] {
    // From half past ten, so that neither end is that of a day.
    let hour = TimeRange::new(START + HOUR * 21 / 2, START + HOUR * 23 / 2);
    let minutes = |name, range, windows, goal_ms| Case {
        name,
        selector: ONE,
        range,
        window: Duration::from_secs(60),
        aggregation: Native::Mean,
        windows,
        rounds: 2_001,
        goal_ms,
        goal_cpu_ms: None,
    };
    [
        Case {
            name: "mean over 5 min, 1,000 series, 24 h, summed",
            selector: "bench.gauge",
            range: DAY,
            window: Duration::from_secs(300),
            aggregation: Native::Mean,
            windows: 288,
            rounds: 101,
            goal_ms: 12.0,
            goal_cpu_ms: Some(24.0),
        },
        minutes("mean over 1 min, 1 series, 1 h", hour, 60, 0.02),
        minutes("mean over 1 min, 1 series, 24 h", DAY, 1_440, 0.1),
        Case {
            name: "max over 1 h, 1 series, 24 h",
            selector: ONE,
            range: DAY,
            window: Duration::from_secs(3_600),
            aggregation: Native::Max,
            windows: 24,
            rounds: 2_001,
            goal_ms: 0.02,
            goal_cpu_ms: None,
        },
    ]
}

pub fn run() -> io::Result<()> {
    let columns = ["ms, median", "goal", "ratio", "CPU ms, mean", "goal", "fastest"];
    let table = Table::new("queries: 1,000 gauges every 10 s, in segments", &columns);
    let bench = Bench::new()?;
    bench.fill_day(Plan::usual(Kind::Gauge))?;
    for case in cases() {
        let (rounds, cpu) = measure(&bench, &case)?;
        let fastest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let middle = median(rounds);
        let figures = [middle, case.goal_ms, middle / case.goal_ms, cpu].map(round);
        table.row(case.name, figures.into_iter().chain([optional(case.goal_cpu_ms), round(fastest)]));
    }
    Ok(())
}

/// Milliseconds of each round, and the mean CPU milliseconds of one, over all threads: also those that ended.
fn measure(bench: &Bench, case: &Case) -> io::Result<(Vec<f64>, f64)> {
    let selector: Selector = case.selector.parse().map_err(io::Error::other)?;
    let Case { range, window, aggregation, .. } = *case;
    let query = Query { selector, range, window, aggregation };
    // The first answers warm the page cache and the threads' buffers.
    for _ in 0..3 {
        let found = answer(&bench.store, &query)?.len();
        if found != case.windows {
            return Err(io::Error::other(format!("{found} windows instead of {}", case.windows)));
        }
    }
    let mut rounds = Vec::with_capacity(case.rounds);
    let before = process_cpu_secs()?;
    for _ in 0..case.rounds {
        let start = Instant::now();
        answer(&bench.store, &query)?;
        rounds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (process_cpu_secs()? - before) / case.rounds as f64 * 1e3;
    Ok((rounds, cpu))
}
