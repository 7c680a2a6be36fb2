//! `sereno send`: samples from the command line in one request, or from lines in many.

mod stream;
mod tally;

use std::io::Write;
use std::path::PathBuf;

use sereno_client::messages::{self, Written};
use sereno_client::{Batch, BatchTimes};
use sereno_model::SeriesKey;

use crate::console::printable;
use crate::lines::{self, Format};
use crate::parse::{self, When};
use crate::{Context, Exit, Failure, Stop};

const USAGE: &str = "sereno send [OPTIONS] <NAME> <VALUE> [<NAME> <VALUE>]...
       sereno send [OPTIONS] <NAME=VALUE>...
       sereno send [OPTIONS] -
       sereno send [OPTIONS] --file <FILE>...";

const EXAMPLES: &str = "\
Examples:
  sereno send foo 5
  sereno send 'cpu.load{host=\"a\"}' 0.75 'mem.used{host=\"a\"}' 2.1e9
  sereno send jobs.done=17 --time 2026-11-23T08:00:00Z --ack disk
  tail -f numbers.log | sereno send -
  sereno send --file history.csv more.jsonl

A line of text is a series, a value and perhaps a time: cpu.load{host=\"a\"} 0.75 1764000000
A time is RFC 3339 or a Unix time, whose size tells whether it counts s, ms, us or ns.
Lines without a time are stamped by the server, unless --time says one.
A bad line is told with its number, and all others are stored.";

/// When a sample counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ack {
    /// The server has it; no promise
    Received,
    /// It survives the death of the server
    Os,
    /// It survives a loss of power
    Disk,
}

#[derive(clap::Args, Debug)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Series and their values, like `foo 5` or `'cpu{host="a"}' 0.5`, or `foo=5`; or `-` for lines on standard input
    #[arg(value_name = "NAME VALUE", allow_negative_numbers = true, required_unless_present = "files")]
    samples: Vec<String>,
    /// Files of lines; `-` is standard input
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., conflicts_with = "samples")]
    files: Vec<PathBuf>,
    /// How the lines are written
    #[arg(long, value_name = "FORM", default_value = "auto")]
    format: Format,
    /// The time of samples that have none of their own: RFC 3339, Unix time, or `-1h`
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    time: Option<When>,
    /// When a sample counts as stored; without it, what the server's configuration says
    #[arg(long, value_name = "LEVEL")]
    ack: Option<Ack>,
    /// Stop at the first bad line; those before it are stored
    #[arg(long)]
    strict: bool,
}

impl Args {
    fn ack(&self) -> messages::Ack {
        match self.ack {
            None => messages::Ack::Unspecified,
            Some(Ack::Received) => messages::Ack::Received,
            Some(Ack::Os) => messages::Ack::Os,
            Some(Ack::Disk) => messages::Ack::Disk,
        }
    }
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    match args.samples.as_slice() {
        [] => stream::run(args, &args.files, context).await,
        [dash] if dash == "-" => stream::run(args, &[PathBuf::from("-")], context).await,
        samples => now(args, samples, context).await,
    }
}

/// Sends what the command line says, and waits for the one answer.
async fn now(args: &Args, samples: &[String], context: &mut Context<'_>) -> Result<(), Stop> {
    let samples = pairs(samples)?;
    let mut batch = Batch::new(args.ack());
    if let Some(time) = args.time {
        batch.times = BatchTimes::One(time.resolve(context.clock.now()));
    }
    for (reference, (key, value)) in (0_u32..).zip(&samples) {
        batch.define(reference, key);
        batch.push(reference, *value);
    }
    let client = context.client().await?;
    let written = client.write(&batch).await?;
    judge(&written, &samples, context)?;
    Ok(writeln!(context.console.out, "ok")?)
}

/// `NAME VALUE` pairs and `NAME=VALUE`.
fn pairs(args: &[String]) -> Result<Vec<(SeriesKey, f64)>, Failure> {
    let mut pairs = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if let Some(pair) = joined(arg) {
            pairs.push(pair);
            continue;
        }
        let key = parse::series(arg).map_err(|why| invalid(arg, "NAME", &why))?;
        let value = rest.next().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("`{}` has no value", printable(arg)))
                .hint(format!("`sereno send '{}' 1`", printable(arg)))
        })?;
        let value = lines::number::float(value.as_bytes())
            .ok_or_else(|| invalid(value, "VALUE", "it is not a number"))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// As clap says it.
fn invalid(text: &str, what: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("invalid value '{}' for '<{what}>': {}", printable(text), printable(why)),
    )
}

/// `name=5`: no text form of a series ends in `=` and a number, since values of labels are quoted.
fn joined(arg: &str) -> Option<(SeriesKey, f64)> {
    let (name, value) = arg.rsplit_once('=')?;
    Some((name.parse().ok()?, lines::number::float(value.as_bytes())?))
}

fn judge(written: &Written, samples: &[(SeriesKey, f64)], context: &mut Context<'_>) -> Result<(), Failure> {
    let address = &context.server.address;
    if written.unknown {
        return Err(Failure::new(
            Exit::Refused,
            format!("`{address}` does not know whether it stored the metric"),
        )
        .hint("a sync of its disk failed: its log tells more"));
    }
    let Some(first) = written.rejected.first() else { return Ok(()) };
    let mut count = 0;
    for rejection in &written.rejected {
        for span in rejection.spans.chunks_exact(2) {
            let span = samples.iter().skip(span[0] as usize).take(span[1] as usize);
            for (key, _) in span {
                count += 1;
                if samples.len() > 1 {
                    context.console.say(format_args!("{key}: {}", printable(&rejection.message)));
                }
            }
        }
    }
    let (what, why) = match samples.len() {
        1 => ("the metric".to_owned(), format!(": {}", printable(&first.message))),
        all => (format!("{count} of {all} metrics"), String::new()),
    };
    let hint = match written.rejected.iter().any(|rejection| rejection.retry) {
        true => "the server is too busy now; try again in a moment",
        false => "the server's log tells more",
    };
    Err(Failure::new(Exit::Refused, format!("`{address}` refused {what}{why}")).hint(hint))
}
