//! What a sample takes on disk when its day is over, all files counted.

use std::io;

use super::data::{Kind, jitter_entropy};
use super::setup::{Bench, Plan};
use super::table::{Table, round, with_goal};

struct Case {
    name: &'static str,
    plan: Plan,
    goal: Option<f64>,
}

fn cases() -> Vec<Case> {
    let usual = |name, kind, goal| Case { name, plan: Plan::usual(kind), goal: Some(goal) };
    let late =
        |name, kind, goal| Case { name, plan: Plan { jitter: true, ..Plan::usual(kind) }, goal: Some(goal) };
    let gauge = |name, series, interval_secs| {
        let plan = Plan { series, interval_secs, ..Plan::usual(Kind::Gauge) };
        Case { name, plan, goal: None }
    };
    vec![
        usual("gauge", Kind::Gauge, 0.90),
        usual("counter", Kind::Counter, 0.90),
        usual("constant", Kind::Constant, 0.015),
        usual("noisy", Kind::Noisy, 6.6),
        late("gauge, jittered", Kind::Gauge, 1.55),
        late("counter, jittered", Kind::Counter, 1.56),
        late("constant, jittered", Kind::Constant, 0.70),
        late("noisy, jittered", Kind::Noisy, 7.2),
        gauge("gauge every 15 s", 1_000, 15),
        gauge("gauge every 1 s, 100 series", 100, 1),
    ]
}

pub fn run() -> io::Result<()> {
    let columns = ["bytes/sample", "goal", "ratio", "entropy", "manifest", "bytes/series", "segments"];
    let table = Table::new("sizes: a day, 1,000 series every 10 s, compacted", &columns);
    for Case { name, plan, goal } in cases() {
        let bench = Bench::new()?;
        let samples = bench.fill_day(plan)?;
        let sealed = bench.store.stats().segments();
        if sealed.samples != samples {
            return Err(io::Error::other(format!(
                "{samples} samples were sent, {} are kept",
                sealed.samples
            )));
        }
        let manifest = bench.file_bytes("manifest")? as f64;
        let bytes = bench.file_bytes("segments")? as f64 + manifest;
        let jitter = if plan.jitter { jitter_entropy() } else { 0.0 };
        let entropy = plan.kind.entropy() + jitter;
        let rest = [
            round(entropy),
            round(manifest / samples as f64),
            round(bytes / f64::from(plan.series)),
            sealed.segments.to_string(),
        ];
        table.row(name, with_goal(bytes / samples as f64, goal).into_iter().chain(rest));
    }
    Ok(())
}
