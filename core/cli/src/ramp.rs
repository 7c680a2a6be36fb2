//! `sereno ramp`: puts load on a server and measures how it answers. One connection, one metric at a time, each sent
//! when the schedule says, or at once when it is late; so the count is exact and a slow server only takes longer.

mod latency;
mod schedule;

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sereno_client::v1::{Metric, Status};
use sereno_client::{ClientError, Sender};
use sereno_runtime::Clock;

use crate::args::Ramp;
use crate::{Context, Exit, Failure, Stop};
use latency::Latencies;
use schedule::Schedule;

const STATUSES: [Status; 6] = [
    Status::Ok,
    Status::ServerUnavailable,
    Status::ServerError,
    Status::Empty,
    Status::DoesNotExist,
    Status::BadFormat,
];

pub(crate) async fn run(args: &Ramp, context: &mut Context<'_>) -> Result<(), Stop> {
    let schedule = Schedule::new(args.strategy, args.duration, args.initial, args.last)?;
    let (address, timeouts) = (&context.server.address, context.timeouts());
    let mut sender = context.patiently(async || Sender::connect(address, timeouts).await).await?;

    let bar = progress_bar(schedule.count(), context.console.err_is_tty);
    let mut report = Report::default();
    let ended = tokio::select! {
        biased;
        ended = load(&args.metric, &schedule, &mut sender, context.clock, &mut report, &bar) => ended,
        // A user who has seen enough still gets the figures.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    bar.finish_and_clear();
    report.print(&mut context.console.out)?;
    ended?;
    report.judge(address)
}

async fn load(
    metric: &str,
    schedule: &Schedule,
    sender: &mut Sender,
    clock: &dyn Clock,
    report: &mut Report,
    bar: &ProgressBar,
) -> Result<(), Stop> {
    let start = clock.monotonic();
    for value in 1..=schedule.count() {
        let metric = Metric::new(metric, value).map_err(|error| Failure::of(Exit::Usage, &error))?;
        let mut sent_at = clock.monotonic() - start;
        let due = schedule.arrival(value);
        if due > sent_at {
            tokio::time::sleep(due - sent_at).await;
            sent_at = clock.monotonic() - start;
        }
        let answer: Result<Status, ClientError> = sender.send(metric).await;
        report.elapsed = clock.monotonic() - start;
        report.add(answer?, report.elapsed - sent_at);
        bar.inc(1);
    }
    Ok(())
}

fn progress_bar(count: u32, err_is_tty: bool) -> ProgressBar {
    let target = if err_is_tty { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec}, {eta} left");
    ProgressBar::with_draw_target(Some(count.into()), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What came of it.
#[derive(Default)]
struct Report {
    latencies: Latencies,
    counts: [u64; STATUSES.len()],
    elapsed: Duration,
}

impl Report {
    fn add(&mut self, status: Status, round_trip: Duration) {
        self.latencies.record(round_trip);
        if let Some(index) = STATUSES.iter().position(|known| *known == status) {
            self.counts[index] += 1;
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (sent, secs) = (self.latencies.count(), self.elapsed.as_secs_f64());
        let per_second = if secs > 0.0 { sent as f64 / secs } else { 0.0 };
        writeln!(out, "{sent} metrics in {secs:.2} s, {per_second:.1} per second")?;
        for (status, count) in STATUSES.iter().zip(self.counts).filter(|(_, count)| *count > 0) {
            writeln!(out, "  {:<20}{count:>10}", status.as_str())?;
        }
        let Some(summary) = self.latencies.summary() else { return Ok(()) };
        writeln!(out, "round trips in ms")?;
        for (name, round_trip) in summary {
            writeln!(out, "  {name:<20}{:>10.3}", round_trip.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }

    fn judge(&self, address: &str) -> Result<(), Stop> {
        let [ok, ..] = self.counts;
        match self.latencies.count() - ok {
            0 => Ok(()),
            refused => Err(Failure::new(
                Exit::Refused,
                format!("`{address}` refused {refused} of {} metrics", self.latencies.count()),
            )
            .hint("lower the rate, or give the server more metric handlers and longer queues")
            .into()),
        }
    }
}
