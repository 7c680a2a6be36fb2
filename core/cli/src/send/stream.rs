//! Lines to samples to the server. One loop reads blocks of lines and pushes what they say; the writer of the client
//! library sends it meanwhile, and sees to it that it is stored.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sereno_client::{ClientError, Closed, SeriesRef, Writer, WriterConfig};
use sereno_model::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::Args;
use super::tally::Tally;
use crate::blocks::{self, Block};
use crate::lines::{Cache, Format, LineError, Reader};
use crate::{Context, Exit, Failure, Stop};

/// How a run ends before its lines do.
enum Ended {
    /// `--strict`, and there was a bad line.
    AtBadLine,
    /// A table whose columns have no meaning.
    NoHeader,
    /// The user has seen enough.
    Interrupted,
    /// The server is gone for good.
    Lost(ClientError),
    /// The lines themselves cannot be read.
    Failed(Failure),
}

impl From<Closed> for Ended {
    fn from(Closed(error): Closed) -> Self {
        Self::Lost(error)
    }
}

pub(super) async fn run(args: &Args, files: &[PathBuf], context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tally = Tally::new(files);
    let timeout = context.server.timeout;
    let config = WriterConfig {
        ack: args.ack(),
        give_up: patience(timeout, context.server.retries),
        on_rejected: Some(tally.on_rejected()),
        ..WriterConfig::default()
    };
    let options = context.options();
    let writer = context.patiently(async || Writer::connect(options.clone(), config.clone()).await).await?;
    let start = context.clock.monotonic();
    let mut sending = Sending {
        time: args.time.map(|time| time.resolve(context.clock.now())),
        strict: args.strict,
        series: Cache::new(|key| writer.series(key)),
        samples: Vec::new(),
        marks: Vec::new(),
        bar: progress_bar(context.console.err_is_tty),
        writer: &writer,
        tally: &mut tally,
        context,
    };
    // One listener for all of it: a signal that comes while nobody listens is lost.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::of(Exit::Negative, &error).hint("the system is out of resources"))?;
    let mut ended = tokio::select! {
        biased;
        _ = interrupt.recv() => Err(Ended::Interrupted),
        ended = sending.send_all(files, args.format) => ended,
    };
    let bar = sending.bar.clone();
    if ended.is_ok()
        || matches!(ended, Err(Ended::AtBadLine | Ended::NoHeader | Ended::Interrupted | Ended::Failed(_)))
    {
        // What was read before is on its way.
        ended = ended.and(tokio::select! {
            biased;
            flushed = writer.flush() => flushed.map_err(Ended::Lost),
            _ = interrupt.recv() => Err(Ended::Interrupted),
        });
    }
    bar.finish_and_clear();
    drop(sending);
    let counters = writer.counters();
    tally.tell_rejected(context.console);
    let stored = tally.conclude(&counters, context.clock.monotonic() - start, context.console);
    let lost = counters.last_error.clone().filter(|error| error.is_lost() && tally.is_cut_off(&counters));
    match ended {
        Ok(()) => match lost {
            Some(error) => Err(error.into()),
            None => Ok(stored?),
        },
        Err(Ended::AtBadLine) => {
            Err(Failure::new(Exit::Negative, "a line is bad, and what follows it was not read")
                .hint("without `--strict`, bad lines are told and all others stored")
                .into())
        }
        Err(Ended::NoHeader) => Err(Failure::new(
            Exit::Negative,
            "without a header, nothing of it can be read",
        )
        .hint(
            "the first line names the columns, like `name,value,time,host`; or is it of another `--format`?",
        )
        .into()),
        Err(Ended::Interrupted) => {
            Err(Failure::new(Exit::Negative, "interrupted; what follows was not sent").into())
        }
        Err(Ended::Failed(failure)) => Err(failure.into()),
        // Why the connection was lost says more than that the writer gave up.
        Err(Ended::Lost(error)) => Err(lost.unwrap_or(error).into()),
    }
}

/// How long one batch is tried: as long as one command that tries again so often. `None` for ever.
fn patience(timeout: Duration, retries: u32) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
    let all = retries.checked_add(1).and_then(|tries| timeout.checked_mul(tries));
    all.filter(|all| *all <= LONGEST)
}

struct Sending<'a, 'c> {
    writer: &'a Writer,
    series: Cache<'a, SeriesRef>,
    time: Option<Timestamp>,
    strict: bool,
    /// What the lines of a block say, and beside it where it is said.
    samples: Vec<(SeriesRef, Option<Timestamp>, f64)>,
    marks: Vec<u64>,
    bar: ProgressBar,
    tally: &'a mut Tally,
    context: &'a mut Context<'c>,
}

impl Sending<'_, '_> {
    async fn send_all(&mut self, files: &[PathBuf], format: Format) -> Result<(), Ended> {
        for (stream, file) in files.iter().enumerate() {
            self.series.forget();
            let input = open(file).map_err(|error| Ended::Failed(unreadable(file, &error)))?;
            if file.as_os_str() == "-" && io::stdin().is_terminal() && self.context.console.err_is_tty {
                self.context.console.say("reading lines from the terminal, Ctrl-D ends");
            }
            let format = if format == Format::Auto { by_name(file) } else { format };
            self.send(stream, file, input, Reader::new(format)).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        stream: usize,
        file: &Path,
        input: Box<dyn Read + Send>,
        mut reader: Reader,
    ) -> Result<(), Ended> {
        let mut blocks = blocks::read(input).map_err(|error| Ended::Failed(unreadable(file, &error)))?;
        let mut line = 0;
        loop {
            match blocks.recv().await {
                None => return Ok(()),
                Some(Block::Failed(error)) => return Err(Ended::Failed(unreadable(file, &error))),
                Some(Block::TooLong) => {
                    line += 1;
                    self.bad(Tally::mark(stream, line), &LineError::TooLong)?;
                }
                Some(Block::Lines(block)) => {
                    let understood = self.understand(&block, &mut reader, stream, &mut line);
                    self.writer.push_all_tagged(&self.samples, &self.marks).await?;
                    self.bar.set_position(self.tally.lines);
                    self.tell_rejected();
                    understood?;
                }
            }
        }
    }

    /// Reads the lines of a block, and stops where nothing more is to be read.
    fn understand(
        &mut self,
        block: &[u8],
        reader: &mut Reader,
        stream: usize,
        line: &mut u64,
    ) -> Result<(), Ended> {
        self.samples.clear();
        self.marks.clear();
        for text in blocks::lines(block) {
            *line += 1;
            self.tally.lines += 1;
            match reader.read(text, &mut self.series) {
                Ok(None) => {}
                Ok(Some(sample)) => {
                    self.samples.push((sample.series, sample.time.or(self.time), sample.value));
                    self.marks.push(Tally::mark(stream, *line));
                }
                Err(error) => self.bad(Tally::mark(stream, *line), &error)?,
            }
        }
        Ok(())
    }

    fn bad(&mut self, mark: u64, error: &LineError) -> Result<(), Ended> {
        let (bar, console) = (&self.bar, &mut *self.context.console);
        bar.suspend(|| self.tally.bad(mark, &error.to_string(), console));
        match error {
            LineError::Header(_) => Err(Ended::NoHeader),
            _ if self.strict => Err(Ended::AtBadLine),
            _ => Ok(()),
        }
    }

    fn tell_rejected(&mut self) {
        let (bar, console) = (&self.bar, &mut *self.context.console);
        bar.suspend(|| self.tally.tell_rejected(console));
    }
}

#[expect(clippy::disallowed_methods, reason = "the user's own files, read once from the start to the end")]
fn open(file: &Path) -> io::Result<Box<dyn Read + Send>> {
    match file.as_os_str() == "-" {
        true => Ok(Box::new(io::stdin())),
        false => Ok(Box::new(std::fs::File::open(file)?)),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Negative, format!("failed to read `{}`", file.display())).cause(error.to_string())
}

fn by_name(file: &Path) -> Format {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Format::Csv,
        "jsonl" | "ndjson" | "json" => Format::Jsonl,
        _ => Format::Auto,
    }
}

fn progress_bar(err_is_tty: bool) -> ProgressBar {
    let target = if err_is_tty { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{spinner} {human_pos} lines, {per_sec}, {elapsed}");
    let bar = ProgressBar::with_draw_target(None, target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    if err_is_tty {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}
