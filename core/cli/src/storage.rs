//! `sereno storage`: the figures of the server's store, from the series in which it watches itself.
//!
//! They are at most 15 s old, and numbers of protocol version 1: single precision, so large ones are rounded.

use std::io::{self, Write};
use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sereno_client::v1::{self, Status};

use crate::args::{Figures, Storage};
use crate::{Context, Exit, Failure, Stop};

/// The server writes its figures four times in it.
const PERIOD: Duration = Duration::from_secs(60);
const LEVELS: [&str; 3] = ["as flushed", "merged", "whole days"];

pub(crate) async fn run(args: &Storage, context: &mut Context<'_>) -> Result<(), Stop> {
    let store = Store::ask(context).await?;
    match args.output {
        Figures::Table => store.table(&mut context.console.out)?,
        Figures::Json => {
            serde_json::to_writer(&mut *context.console.out, &store).map_err(io::Error::from)?;
            context.console.out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// What the store holds and does.
#[derive(Debug, Serialize)]
struct Store {
    state: &'static str,
    series: u64,
    head: Amount,
    log: Log,
    levels: Vec<Level>,
    flushes: u64,
    flush_failures: u64,
    compactions: u64,
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
    level: usize,
    segments: u64,
    samples: u64,
    bytes: u64,
    bytes_per_sample: Option<f64>,
}

impl Store {
    async fn ask(context: &mut Context<'_>) -> Result<Self, Stop> {
        let mut of = async |name: String| number(&name, context).await;
        let mut levels = Vec::new();
        for level in 0..LEVELS.len() {
            let segments = of(format!("segments_l{level}")).await?;
            let samples = of(format!("segment_samples_l{level}")).await?;
            let bytes = of(format!("segment_bytes_l{level}")).await?;
            let bytes_per_sample = (samples > 0).then(|| bytes as f64 / samples as f64);
            levels.push(Level { level, segments, samples, bytes, bytes_per_sample });
        }
        Ok(Self {
            state: match of("storage_state".into()).await? {
                1 => "flushing",
                2 => "merging",
                3 => "reading the log back",
                _ => "idle",
            },
            series: of("storage_series".into()).await?,
            head: Amount { samples: of("head_samples".into()).await?, bytes: of("head_bytes".into()).await? },
            log: Log { files: of("wal_files".into()).await?, bytes: of("wal_size_bytes".into()).await? },
            levels,
            flushes: of("flushes_total".into()).await?,
            flush_failures: of("flush_failures_total".into()).await?,
            compactions: of("compactions_total".into()).await?,
        })
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY.with_rounded_corners());
        table.set_header(["", "files", "samples", "bytes", "bytes/sample"]);
        let bytes = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
        let row = |name: &str, files: String, samples: String, size: u64, each: Option<f64>| {
            let each = each.map_or_else(String::new, |each| format!("{each:.3}"));
            [name.to_owned(), files, samples, bytes(size), each]
        };
        table.add_row(row("head", String::new(), self.head.samples.to_string(), self.head.bytes, None));
        table.add_row(row("log", self.log.files.to_string(), String::new(), self.log.bytes, None));
        for level in &self.levels {
            let name = format!("segments, {}", LEVELS[level.level]);
            let (files, samples) = (level.segments.to_string(), level.samples.to_string());
            table.add_row(row(&name, files, samples, level.bytes, level.bytes_per_sample));
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        writeln!(out, "{table}")?;
        writeln!(out, "{} live series; the store is {}", self.series, self.state)?;
        let Self { flushes, flush_failures, compactions, .. } = self;
        writeln!(
            out,
            "since the server started: {flushes} flushes, {flush_failures} failed, {compactions} merges"
        )
    }
}

/// The newest value of one of the server's own series.
async fn number(name: &str, context: &mut Context<'_>) -> Result<u64, Stop> {
    let name = format!("sereno.{name}");
    let start = context.clock.now() - PERIOD;
    let query = v1::Query::new(&name, "last", PERIOD.as_secs_f64() * 2.0)
        .map_err(|error| Failure::of(Exit::Usage, &error))?
        .between(Some(start), None);
    let (address, timeouts) = (&context.server.address, context.timeouts());
    let responses = context.patiently(async || sereno_client::query(address, &query, timeouts).await).await?;
    match responses.last() {
        Some(response) if response.status == Status::Ok => Ok(response.value.max(0.0) as u64),
        Some(response) if matches!(response.status, Status::DoesNotExist | Status::Empty) => {
            Err(Failure::new(Exit::Negative, format!("`{address}` has not told of its store yet"))
                .hint("it does so every 15 s; try again in a moment")
                .into())
        }
        other => {
            let status = other.map_or_else(|| "nothing".to_owned(), |response| response.status.to_string());
            Err(Failure::new(Exit::Refused, format!("`{address}` refused: {status}"))
                .hint("the server's log tells why")
                .into())
        }
    }
}
