//! What came of a ramp, in words or as an object.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use sereno_client::messages::{Code, Written};

use super::latency::Latencies;
use crate::{Exit, Failure};

const OK: &str = "ok";

#[derive(Default)]
pub(super) struct Report {
    latencies: Latencies,
    /// Metrics by what became of them.
    counts: BTreeMap<String, u64>,
    /// From the start to the last answer.
    elapsed: Duration,
    /// Metrics per second, as the schedule has them.
    offered: f64,
}

impl Report {
    /// Before the first answer, to a load of so many metrics per second.
    pub(super) fn of_offer(offered: f64) -> Self {
        Self { offered, ..Self::default() }
    }

    pub(super) fn add(&mut self, written: &Written, count: u64, round_trip: Duration, at: Duration) {
        let mut rest = count;
        for rejection in &written.rejected {
            let rejected =
                rejection.spans.chunks_exact(2).map(|span| u64::from(span[1])).sum::<u64>().min(rest);
            rest -= rejected;
            self.count(&word(rejection.reason().as_str_name(), "REASON_"), rejected);
        }
        self.count(if written.unknown { "unknown" } else { OK }, rest);
        self.answered(round_trip, at);
    }

    pub(super) fn refuse(&mut self, code: Code, count: u64, round_trip: Duration, at: Duration) {
        self.count(&word(code.as_str_name(), "CODE_"), count);
        self.answered(round_trip, at);
    }

    fn answered(&mut self, round_trip: Duration, at: Duration) {
        self.latencies.record(round_trip);
        self.elapsed = self.elapsed.max(at);
    }

    fn count(&mut self, word: &str, count: u64) {
        if count > 0 {
            *self.counts.entry(word.to_owned()).or_default() += count;
        }
    }

    fn metrics(&self) -> u64 {
        self.counts.values().sum()
    }

    fn achieved(&self) -> f64 {
        let secs = self.elapsed.as_secs_f64();
        if secs > 0.0 { self.metrics() as f64 / secs } else { 0.0 }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (metrics, secs, achieved) = (self.metrics(), self.elapsed.as_secs_f64(), self.achieved());
        writeln!(
            out,
            "{metrics} metrics in {secs:.2} s, {achieved:.1} per second of {:.1} offered",
            self.offered
        )?;
        let (ok, others): (Vec<_>, Vec<_>) = self.counts.iter().partition(|(word, _)| *word == OK);
        for (word, count) in ok.into_iter().chain(others) {
            writeln!(out, "  {word:<20}{count:>10}")?;
        }
        let Some(summary) = self.latencies.summary() else { return Ok(()) };
        writeln!(out, "round trips in ms")?;
        for (name, round_trip) in summary {
            writeln!(out, "  {name:<20}{:>10.3}", round_trip.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }

    pub(super) fn print_json(&self, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Object<'a> {
            schema_version: u32,
            metrics: u64,
            requests: u64,
            seconds: f64,
            offered_per_second: f64,
            achieved_per_second: f64,
            statuses: &'a BTreeMap<String, u64>,
            round_trip_ms: BTreeMap<&'static str, f64>,
        }
        let summary = self.latencies.summary().into_iter().flatten();
        let object = Object {
            schema_version: 1,
            metrics: self.metrics(),
            requests: self.latencies.count(),
            seconds: self.elapsed.as_secs_f64(),
            offered_per_second: self.offered,
            achieved_per_second: self.achieved(),
            statuses: &self.counts,
            round_trip_ms: summary.map(|(name, time)| (name, time.as_secs_f64() * 1e3)).collect(),
        };
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")
    }

    pub(super) fn judge(&self, address: &str) -> Result<(), Failure> {
        let metrics = self.metrics();
        match metrics - self.counts.get(OK).copied().unwrap_or_default() {
            0 => Ok(()),
            refused => Err(Failure::new(
                Exit::Refused,
                format!("`{address}` refused {refused} of {metrics} metrics"),
            )
            .hint("lower the rate, or give the server more session handlers and longer queues")),
        }
    }
}

/// `queue_full`, of `REASON_QUEUE_FULL`.
fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => "other".to_owned(),
        name => name.to_ascii_lowercase(),
    }
}
