//! Lines of text on the standard input of one `sereno send -`, until the last is stored.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::data::a_month_ago;
use super::{Bench, median};
use crate::storage::table::{Table, round};

const LINES: usize = 5_000_000;
const SERIES: usize = 10_000;
const ROUNDS: usize = 3;

pub fn run() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lines");
    write_lines(&path)?;
    let rounds = (0..ROUNDS).map(|_| measure(&path)).collect::<io::Result<Vec<_>>>()?;
    let table =
        Table::new("Lines of text, to stored", &["lines/s", "goal", "server CPU-s/M", "client CPU-s/M"]);
    let of = |index: usize| median(rounds.iter().map(|round| round[index]).collect());
    table.row("one `sereno send -`, 10k series with 2 labels", [of(0), 1.5e6, of(1), of(2)].map(round));
    Ok(())
}

fn write_lines(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let start = a_month_ago() / 1_000_000_000;
    for line in 0..LINES {
        let (series, time) = (line % SERIES, start + (line / SERIES) as i64 * 10);
        let value = (line * 37 + series) % 10_000;
        let (host, cpu) = (series / 10, series % 10);
        writeln!(
            file,
            "cpu.load{{host=\"host-{host}\",cpu=\"{cpu}\"}} {}.{:02} {time}",
            value / 100,
            value % 100
        )?;
    }
    file.flush()
}

/// Lines a second, and CPU seconds per million lines of server and client.
fn measure(lines: &Path) -> io::Result<[f64; 3]> {
    let bench = Bench::start("")?;
    let (cpu, children, start) = (bench.server.cpu_secs()?, children_cpu_secs()?, Instant::now());
    let program = std::env::current_exe()?;
    let address = bench.server.address.to_string();
    let sent = Command::new(program)
        .args(["cli", "--server", &address, "send", "-"])
        .stdin(File::open(lines)?)
        .stderr(std::process::Stdio::null())
        .status()?;
    let elapsed = start.elapsed().as_secs_f64();
    if !sent.success() {
        return Err(io::Error::other(format!("`sereno send -` ended with {sent}")));
    }
    let client = children_cpu_secs()? - children;
    bench.server.wait_idle(Duration::from_secs(1))?;
    let millions = LINES as f64 / 1e6;
    Ok([LINES as f64 / elapsed, (bench.server.cpu_secs()? - cpu) / millions, client / millions])
}

/// CPU seconds of the processes that this one has started and that have ended.
fn children_cpu_secs() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    Ok((ticks(13) + ticks(14)) / 100.0)
}
