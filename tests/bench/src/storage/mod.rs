//! Benchmarks of the storage engine alone, without a server: what a sample takes on disk, what it costs to append, what
//! a series takes in memory, and how fast series are found, read and read back after a crash.
//!
//! Each figure stands beside its goal. Data is made from fixed seeds, and its time is that of a clock set by hand, so a
//! day of samples passes as fast as they can be written. Files go to a temporary folder (`TMPDIR`), which is removed.
//!
//! * [`sizes`], [`append`], [`memory`], [`select`], [`queries`], [`ready`]: the parts, each a table;
//! * [`data`]: the samples; [`setup`]: a store and how it is filled; [`usage`]: what this process uses;
//! * [`engine`]: what answers the queries, in one place, so that another can take over.

mod append;
mod data;
mod engine;
mod memory;
mod queries;
mod ready;
mod select;
mod setup;
mod sizes;
pub mod table;
mod usage;

use std::io;

type Part = (&'static str, fn() -> io::Result<()>);

/// In the order of `all`.
const PARTS: [Part; 6] = [
    ("sizes", sizes::run),
    ("append", append::run),
    ("memory", memory::run),
    ("select", select::run),
    ("queries", queries::run),
    ("ready", ready::run),
];

/// Runs one part by its name, or `all`. `None` if there is no such part.
pub fn run(part: &str) -> Option<io::Result<()>> {
    if part == "all" {
        return Some(PARTS.iter().try_for_each(|(_, run)| run()));
    }
    PARTS.iter().find(|(name, _)| *name == part).map(|(_, run)| run())
}

/// The other processes of the parts, started by them; each prints its figures in one line.
pub fn child(words: &[&str]) -> io::Result<()> {
    match words {
        ["memory", series, samples] => memory::child(number(series)?, number(samples)?),
        ["fill", directory, series] => ready::fill(directory.as_ref(), number(series)?),
        ["reopen", directory] => ready::reopen(directory.as_ref()),
        _ => Err(io::Error::other("no such part")),
    }
}

fn number(word: &str) -> io::Result<u32> {
    word.parse().map_err(io::Error::other)
}
