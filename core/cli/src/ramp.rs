//! `sereno ramp`: puts load on a server and measures how it answers. The load is open: a request is sent when the schedule
//! says, whatever became of those before it, and its round trip counts from that time on. So a server that stalls shows in
//! the figures as it would to whoever waits for it.

mod latency;
mod load;
mod pace;
mod report;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sereno_model::SeriesKey;
use sereno_runtime::{Clock, SystemClock};

use crate::{Context, Exit, Failure, Stop, parse};
use load::Load;
use pace::Pace;
use report::Report;
use schedule::Schedule;

const EXAMPLES: &str = "\
Examples:
  sereno ramp constant foo 60s 100 100
  sereno ramp linear load 2m 1 5000 --series 1000 --label env=test
  sereno ramp exponential load 30s 100 1000000 --batch 1000 --connections 4 -o json

A round trip counts from the time when its request was due, also where the request had to wait until
fewer than --in-flight others waited for their answers.";

/// How the rate goes from INITIAL to FINAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Strategy {
    /// It stays at INITIAL
    Constant,
    /// By equal steps
    Linear,
    /// By equal factors
    Exponential,
}

/// The form of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For eyes
    Plain,
    /// One object
    Json,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How the rate goes from INITIAL to FINAL
    strategy: Strategy,
    /// The metric; its values are 1, 2, 3, …
    #[arg(value_parser = parse::series)]
    metric: SeriesKey,
    /// How long, like `60s`, `2m`, or plain seconds
    #[arg(value_parser = parse::span)]
    duration: Duration,
    /// Metrics per second at the start
    #[arg(value_parser = parse::rate)]
    initial: f64,
    /// Metrics per second at the end
    #[arg(value_parser = parse::rate, value_name = "FINAL")]
    last: f64,
    /// How many series take turns, told apart by the label `series`; one has no such label
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    series: u32,
    /// A label of all series; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// Metrics in a request
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// Connections that take turns
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests that may wait for their answers at once, on all connections
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
    /// The form of the figures
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    output: Form,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let schedule = Schedule::new(args.strategy, args.duration, args.initial, args.last)?;
    let series = args.keys().map_err(|error| Failure::of(Exit::Usage, &error))?;
    let mut clients = Vec::new();
    for _ in 0..args.connections {
        clients.push(context.client().await?);
    }
    let in_flight_max = args.in_flight as usize;
    let mut load = Load::prepare(clients, &series, in_flight_max).await?;

    let bar = progress_bar(schedule.count(), context.console.err_is_tty);
    let offered = f64::from(schedule.count()) / args.duration.as_secs_f64();
    let mut report = Report::of_offer(offered);
    let no_thread = |error| Failure::of(Exit::Negative, &error).hint("the system is out of threads");
    // A clock that starts now, and that the thread of the pace can keep.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut pace = Pace::start(schedule, args.batch, Arc::clone(&clock)).map_err(no_thread)?;
    let ended = tokio::select! {
        biased;
        ended = load.run(&mut pace, &clock, &mut report, &bar) => ended,
        // A user who has seen enough still gets the figures.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    bar.finish_and_clear();
    match args.output {
        Form::Plain => report.print(&mut context.console.out)?,
        Form::Json => report.print_json(&mut context.console.out)?,
    }
    ended?;
    Ok(report.judge(&context.server.address)?)
}

impl Args {
    /// The series that take turns.
    fn keys(&self) -> Result<Vec<SeriesKey>, sereno_model::KeyError> {
        let given = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<(&str, &str)> = self.metric.labels().chain(given).collect();
        let key = |number: u32| {
            let number = number.to_string();
            let own = (self.series > 1).then_some(("series", number.as_str()));
            SeriesKey::new(self.metric.name(), labels.iter().copied().chain(own))
        };
        (1..=self.series).map(key).collect()
    }
}

fn progress_bar(count: u32, err_is_tty: bool) -> ProgressBar {
    let target = if err_is_tty { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec}, {eta} left");
    ProgressBar::with_draw_target(Some(count.into()), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
