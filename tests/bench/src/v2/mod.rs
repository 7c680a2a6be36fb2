//! Protocol version 2: samples in batches by columns, and their answers; queries; many clients at once.
//!
//! The server is a process of its own with its default configuration. Its CPU seconds are counted from the first batch
//! until it has nothing more to do, so flushes and merges that the load brought about are in them.

mod client;
mod crowd;
mod data;
mod ingest;
mod latency;
mod lines;
mod overload;
mod query;

use std::io;

use crate::process::Server;
use crate::servers;

type Part = fn() -> io::Result<()>;

/// Runs one part, or `all` of them. `None` if there is no such part.
pub fn run(part: &str) -> Option<io::Result<()>> {
    let parts: [(&str, Part); 6] = [
        ("ingest", ingest::run),
        ("latency", latency::run),
        ("query", query::run),
        ("lines", lines::run),
        ("overload", overload::run),
        ("crowd", crowd::run),
    ];
    if part == "all" {
        return Some(parts.into_iter().try_for_each(|(_, run)| run()));
    }
    parts.into_iter().find(|(name, _)| *name == part).map(|(_, run)| run())
}

/// A server with its defaults in a folder of its own, which goes with it.
struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn start(extra: &str) -> io::Result<Self> {
        let folder = servers::folder_with("rules: []\n", "", extra)?;
        let server = Server::start(&["serve-sereno", &folder.path().to_string_lossy()])?;
        Ok(Self { server, _folder: folder })
    }
}

/// The middle of three or more.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which a share of the sorted figures lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
