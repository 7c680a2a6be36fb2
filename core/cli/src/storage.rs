//! `sereno storage`: what the server's store holds and does.

use std::io::{self, Write};

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sereno_client::messages::{LabelCount, Storage, StorageLevel};

use crate::console::Console;
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Time, line};
use crate::output::table::Grid;
use crate::output::time::Precision;
use crate::{Context, Stop};

const LEVELS: [&str; 3] = ["as flushed", "merged", "whole days"];

/// The form of the figures of a server or its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For eyes
    Table,
    /// One object
    Json,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How many of the metrics and labels with the most series to list
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=1_000))]
    pub(crate) top: u32,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub(crate) output: Form,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let storage = context.client().await?.storage(args.top).await?;
    match args.output {
        Form::Table => table(&storage, context.console)?,
        Form::Json => line(&mut context.console.out, &Store::of(&storage))?,
    }
    Ok(())
}

/// What the store does now, in words.
pub(crate) fn state(storage: &Storage) -> &str {
    if storage.recovering { "reading the log back" } else { &storage.activity }
}

fn table(storage: &Storage, console: &mut Console) -> io::Result<()> {
    let files = files(storage, console.utf8);
    let out = &mut console.out;
    writeln!(out, "{files}")?;
    let state = crate::console::printable(state(storage));
    writeln!(out, "{} live series; the store is {state}", storage.series)?;
    if let (Some(oldest), Some(newest)) = (storage.oldest, storage.newest) {
        let [oldest, newest] = [oldest, newest].map(|time| Precision::Seconds.format(time));
        writeln!(out, "segments hold samples from {oldest} to {newest}")?;
    }
    let Storage { flushes, flush_failures, compactions, .. } = storage;
    writeln!(
        out,
        "since the server started: {flushes} flushes, {flush_failures} failed, {compactions} merges"
    )?;
    top(&storage.names, ["metrics with the most series", "series"], |_| None, console)?;
    let values = |count: &LabelCount| Some(count.values.to_string());
    top(&storage.labels, ["labels with the most series", "series", "values"], values, console)
}

fn files(storage: &Storage, utf8: bool) -> Table {
    let mut table = Table::new();
    match utf8 {
        true => table.load_style(presets::UTF8_BORDERS_ONLY.with_rounded_corners()),
        false => table.load_style(presets::ASCII_BORDERS_ONLY_CONDENSED),
    };
    table.set_header(["", "files", "samples", "bytes", "bytes/sample"]);
    let bytes = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    let row = |name: &str, files: String, samples: String, size: u64, each: Option<f64>| {
        let each = each.map_or_else(String::new, |each| format!("{each:.3}"));
        [name.to_owned(), files, samples, bytes(size), each]
    };
    let head = storage.head_samples.to_string();
    table.add_row(row("head", String::new(), head, storage.head_bytes, None));
    table.add_row(row("log", storage.wal_files.to_string(), String::new(), storage.wal_bytes, None));
    for level in &storage.levels {
        let known = usize::try_from(level.level).ok().and_then(|index| LEVELS.get(index));
        let name = known
            .map_or_else(|| format!("segments, level {}", level.level), |name| format!("segments, {name}"));
        let (files, samples) = (level.segments.to_string(), level.samples.to_string());
        table.add_row(row(&name, files, samples, level.bytes, bytes_per_sample(level)));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn bytes_per_sample(level: &StorageLevel) -> Option<f64> {
    (level.samples > 0).then(|| level.bytes as f64 / level.samples as f64)
}

fn top<const N: usize>(
    counts: &[LabelCount],
    header: [&str; N],
    more: impl Fn(&LabelCount) -> Option<String>,
    console: &mut Console,
) -> io::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(console, header, 1);
    for count in counts {
        grid.row([count.text.clone(), count.series.to_string()].into_iter().chain(more(count)));
    }
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

/// As JSON has it.
#[derive(Debug, Serialize)]
struct Store<'a> {
    schema_version: u32,
    state: &'a str,
    series: u64,
    head: Amount,
    log: Log,
    levels: Vec<Level>,
    oldest: Option<Time>,
    newest: Option<Time>,
    flushes: u64,
    flush_failures: u64,
    compactions: u64,
    names: Vec<Share<'a>>,
    labels: Vec<Share<'a>>,
}

#[derive(Debug, Serialize)]
struct Amount {
    samples: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Log {
    files: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Level {
    level: u32,
    segments: u64,
    samples: u64,
    bytes: u64,
    bytes_per_sample: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Share<'a> {
    text: &'a str,
    series: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<u64>,
}

impl<'a> Store<'a> {
    fn of(storage: &'a Storage) -> Self {
        let level = |level: &StorageLevel| Level {
            level: level.level,
            segments: level.segments,
            samples: level.samples,
            bytes: level.bytes,
            bytes_per_sample: bytes_per_sample(level),
        };
        let name = |count: &'a LabelCount| Share { text: &count.text, series: count.series, values: None };
        let label = |count: &'a LabelCount| Share { values: Some(count.values), ..name(count) };
        Self {
            schema_version: SCHEMA_VERSION,
            state: state(storage),
            series: storage.series,
            head: Amount { samples: storage.head_samples, bytes: storage.head_bytes },
            log: Log { files: storage.wal_files, bytes: storage.wal_bytes },
            levels: storage.levels.iter().map(level).collect(),
            oldest: storage.oldest.map(Time),
            newest: storage.newest.map(Time),
            flushes: storage.flushes,
            flush_failures: storage.flush_failures,
            compactions: storage.compactions,
            names: storage.names.iter().map(name).collect(),
            labels: storage.labels.iter().map(label).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    fn storage() -> Storage {
        let level =
            |level, segments, samples, bytes| StorageLevel { level, segments, samples, bytes, series: 1 };
        let count = |text: &str, series, values| LabelCount { text: text.into(), series, values };
        let second = 1_500_000_000_000_000_000;
        Storage {
            series: 12,
            head_samples: 1_000,
            head_bytes: 20_000,
            wal_files: 2,
            wal_bytes: 3 << 20,
            levels: vec![level(0, 3, 1_000, 1_500), level(1, 0, 0, 0), level(7, 1, 10, 1)],
            names: vec![count("cpu.load", 8, 0), count("evil\x1b[2J", 4, 0)],
            labels: vec![count("host", 12, 3)],
            activity: "idle".into(),
            oldest: Some(second),
            newest: Some(second + 1),
            flushes: 3,
            flush_failures: 1,
            compactions: 2,
            ..Storage::default()
        }
    }

    #[test]
    fn a_store_in_every_form() {
        insta::assert_snapshot!(written(|console| table(&storage(), console), console(100)), @r"
        ╭──────────────────────────────────────────────────────────────────╮
        │                        files   samples      bytes   bytes/sample │
        ╞══════════════════════════════════════════════════════════════════╡
        │ head                              1000   19.5 KiB                │
        │ log                        2              3.0 MiB                │
        │ segments, as flushed       3      1000    1.5 KiB          1.500 │
        │ segments, merged           0         0        0 B                │
        │ segments, level 7          1        10        1 B          0.100 │
        ╰──────────────────────────────────────────────────────────────────╯
        12 live series; the store is idle
        segments hold samples from 2017-07-14T02:40:00Z to 2017-07-14T02:40:00Z
        since the server started: 3 flushes, 1 failed, 2 merges
        ╭───────────────────────────────────────╮
        │ metrics with the most series   series │
        ╞═══════════════════════════════════════╡
        │ cpu.load                            8 │
        │ evil\u{1b}[2J                       4 │
        ╰───────────────────────────────────────╯
        ╭───────────────────────────────────────────────╮
        │ labels with the most series   series   values │
        ╞═══════════════════════════════════════════════╡
        │ host                              12        3 │
        ╰───────────────────────────────────────────────╯
        ");
        let json =
            |storage: &Storage| written(|console| line(&mut console.out, &Store::of(storage)), console(100));
        insta::assert_snapshot!(json(&storage()), @r#"{"schema_version":1,"state":"idle","series":12,"head":{"samples":1000,"bytes":20000},"log":{"files":2,"bytes":3145728},"levels":[{"level":0,"segments":3,"samples":1000,"bytes":1500,"bytes_per_sample":1.5},{"level":1,"segments":0,"samples":0,"bytes":0,"bytes_per_sample":null},{"level":7,"segments":1,"samples":10,"bytes":1,"bytes_per_sample":0.1}],"oldest":"2017-07-14T02:40:00.000Z","newest":"2017-07-14T02:40:00.000000001Z","flushes":3,"flush_failures":1,"compactions":2,"names":[{"text":"cpu.load","series":8},{"text":"evil\u001b[2J","series":4}],"labels":[{"text":"host","series":12,"values":3}]}"#);
    }

    #[test]
    fn an_empty_store_that_recovers() {
        let empty = Storage { recovering: true, ..Storage::default() };
        let mut narrow = console(100);
        narrow.utf8 = false;
        insta::assert_snapshot!(written(|console| table(&empty, console), narrow), @"
        +-----------------------------------------------+
        |        files   samples   bytes   bytes/sample |
        +===============================================+
        | head                 0     0 B                |
        | log        0               0 B                |
        +-----------------------------------------------+
        0 live series; the store is reading the log back
        since the server started: 0 flushes, 0 failed, 0 merges
        ");
    }
}
