//! What a series with a few samples takes in memory, all in: registry, index and head. Each case in a process of its own.

use std::io;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_storage::{Row, SeriesId};

use super::data::key;
use super::setup::{Bench, START, create, figures, send};
use super::table::{Table, round, with_goal};
use super::usage::{resident_bytes, resident_bytes_peak};

/// Series, samples of each, and the goal in bytes a series.
const CASES: [(u32, u32, Option<f64>); 4] =
    [(100_000, 6, Some(500.0)), (1_000_000, 6, Some(700.0)), (100_000, 1, None), (100_000, 60, None)];
const BATCH: usize = 10_000;

pub fn run() -> io::Result<()> {
    let columns =
        ["bytes/series", "goal", "ratio", "of the series", "of the head", "head's count", "peak", "all, MB"];
    let table = Table::new("memory: resident bytes a series, two labels", &columns);
    for (series, samples, goal) in CASES {
        let words = ["memory", &series.to_string(), &samples.to_string()];
        let [found, head, counted, peak] = figures(&words)?;
        let each = |bytes: f64| bytes / f64::from(series);
        let parts = [found, head, counted, peak].map(|bytes| round(each(bytes)));
        let all = round((found + head) / 1e6);
        let name = format!("{series} series of {samples} samples");
        table.row(&name, with_goal(each(found + head), goal).into_iter().chain(parts).chain([all]));
    }
    Ok(())
}

/// Prints the resident bytes that series brought, those that their samples brought, what the head counts for itself, and
/// the peak over both.
pub fn child(series: u32, samples: u32) -> io::Result<()> {
    let bench = Bench::new()?;
    // Touched before the first look, so that what the benchmark itself keeps is not counted.
    let mut ids: Vec<SeriesId> = vec![create(&bench.store, &key(0))?; series as usize];
    let mut state: Vec<i64> = vec![1; series as usize];
    let empty = resident_bytes()?;
    for (number, id) in (0..).zip(&mut ids) {
        *id = create(&bench.store, &key(number))?;
    }
    settle();
    let created = resident_bytes()?;
    for tick in 0..samples {
        let time = Timestamp::from_nanos(START.nanos() + i64::from(tick) * 10_000_000_000);
        for (ids, states) in ids.chunks(BATCH).zip(state.chunks_mut(BATCH)) {
            let row = |(id, state): (&SeriesId, &mut i64)| {
                *state += 1;
                Row::at(*id, time, *state as f64)
            };
            send(&bench.store, ids.iter().zip(states).map(row).collect())?;
        }
    }
    settle();
    let full = resident_bytes()?;
    let counted = bench.store.stats().head_bytes;
    let peak = resident_bytes_peak()? - empty;
    println!("{} {} {counted} {peak}", created - empty, full - created);
    Ok(())
}

/// Lets the store's own threads merge what they merge.
fn settle() {
    std::thread::sleep(Duration::from_secs(3));
}
