//! What rules cost: `rules yaml`, `rules script` (evaluations for each CPU second: snapshot, window read and durable record
//! included), `rules instances` (one tick of one rule with 10,000 instances), `rules steady` (10,000 rules every 5 s on the
//! machine's own clock).

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sereno_model::{Confirmations, SeriesKey, Timestamp};
use sereno_rules::{Config, Context, Rules};
use sereno_runtime::{Clock, ManualClock, Metrics, Queue, RealDisk, SystemClock};
use sereno_script::Limits;
use sereno_storage::{Row, SeriesId, Store};

const RULES: usize = 10_000;
const EVERY: Duration = Duration::from_secs(5);
/// How many ticks are measured; as many again go before, to warm up.
const TICKS: u32 = 20;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SCRIPT: &str = "fn check(s) { if s.value > 1000.0 { alert(\"crit\", s.value) } else { ok(s.value) } }";

/// `None` if there is no such part.
pub fn run(part: &str) -> Option<io::Result<()>> {
    Some(match part {
        "yaml" => fast("yaml", &many("limit: 1000")),
        "script" => fast("script", &many("script: plain.rhai, every: 5s")),
        "instances" => instances(),
        "steady" => steady(),
        "all" => ["yaml", "script", "instances", "steady"].into_iter().filter_map(run).collect(),
        _ => return None,
    })
}

fn many(decides: &str) -> io::Result<String> {
    let every = if decides.contains("every") { "" } else { ", every: 5s" };
    let mut rules = String::from("rules:\n");
    for n in 0..RULES {
        writeln!(rules, "  - {{ id: r{n}, metric: m{n}, by: [], agg: mean, window: 1m, {decides}{every} }}")
            .map_err(io::Error::other)?;
    }
    Ok(rules)
}

struct World {
    rules: Rules,
    metrics: Metrics,
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    fn open(text: &str, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("rules"))?;
        std::fs::create_dir_all(folder.path().join("scripts/rules"))?;
        std::fs::write(folder.path().join("rules/all.yaml"), text)?;
        std::fs::write(folder.path().join("scripts/rules/plain.rhai"), SCRIPT)?;
        let storage = sereno_storage::Config {
            directory: folder.path().join("data"),
            series_per_minute_max: 0,
            ..sereno_storage::Config::default()
        };
        let (disk, metrics) = (Arc::new(RealDisk), Metrics::default());
        let store = Store::open(&storage, disk.clone(), clock.clone(), &metrics).map_err(io::Error::other)?;
        let config = Config {
            paths: vec![folder.path().join("rules")],
            scripts: vec![folder.path().join("scripts")],
            ..Config::default()
        };
        let context = Context {
            store: store.clone(),
            clock,
            disk,
            notifications: Queue::bounded("notification_messages", 100_000, &metrics),
            confirmations: Confirmations::default(),
            metrics: metrics.clone(),
            limits: Limits::default(),
            directory: Some(folder.path().join("kept")),
        };
        let rules = Rules::start(&config, context).map_err(io::Error::other)?;
        Ok(Self { rules, metrics, store, _folder: folder })
    }

    fn metric(&self, name: &str) -> f64 {
        let all = self.metrics.snapshot().into_iter();
        all.filter(|(metric, _)| metric.starts_with(name)).map(|(_, n)| n).sum()
    }

    fn series(&self, names: impl Iterator<Item = String>) -> io::Result<Vec<SeriesId>> {
        names
            .map(|name| {
                let key: SeriesKey = name.parse().map_err(io::Error::other)?;
                self.store.series(&key).map_err(io::Error::other)
            })
            .collect()
    }

    /// A sample of each series at these times.
    fn fill(&self, series: &[SeriesId], times: impl Iterator<Item = Timestamp>) -> io::Result<()> {
        for time in times {
            for some in series.chunks(5_000) {
                let rows = some.iter().map(|id| Row::at(*id, time, 1.0)).collect();
                if !self.store.append(rows).wait().is_ok() {
                    return Err(io::Error::other("samples were refused"));
                }
            }
        }
        Ok(())
    }

    /// Waits until so many evaluations are done. Very many rules are given out at a pace, for which the clock has to go on.
    fn wait_for(&self, evaluations: f64, go_on: &dyn Fn()) -> io::Result<()> {
        let start = Instant::now();
        while self.metric("rule_evaluations_total") < evaluations {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(io::Error::other("the evaluations do not come"));
            }
            std::thread::sleep(Duration::from_micros(200));
            go_on();
        }
        Ok(())
    }
}

/// Ticks one after the other, as fast as they go.
fn fast(name: &str, rules: &io::Result<String>) -> io::Result<()> {
    let rules = rules.as_ref().map_err(|error| io::Error::other(error.to_string()))?;
    let clock = Arc::new(ManualClock::new(START - Duration::from_millis(1)));
    let world = World::open(rules, clock.clone())?;
    let series = world.series((0..RULES).map(|n| format!("m{n}")))?;
    let samples = 12 + 2 * TICKS;
    world.fill(&series, (0..samples).map(|n| START - Duration::from_secs(60) + EVERY * n))?;
    let mut measured = (0.0, Instant::now());
    for tick in 0..2 * TICKS {
        if tick == TICKS {
            measured = (cpu_secs()?, Instant::now());
        }
        clock.step_to(START + EVERY * tick);
        world.rules.wake();
        world.wait_for(f64::from(tick + 1) * RULES as f64, &|| clock.advance(Duration::from_millis(1)))?;
    }
    let evaluations = f64::from(TICKS) * RULES as f64;
    let (cpu, wall) = (cpu_secs()? - measured.0, measured.1.elapsed().as_secs_f64());
    println!(
        "{name}: mean over 1 min of one series: {:.0} evaluations/s, {:.0} for each CPU second ({:.2} µs each)",
        evaluations / wall,
        evaluations / cpu,
        cpu / evaluations * 1e6
    );
    Ok(())
}

fn instances() -> io::Result<()> {
    let clock = Arc::new(ManualClock::new(START - Duration::from_millis(1)));
    let rule = "rules: [ { id: r, metric: m, by: [host], agg: mean, window: 1m, every: 5s, limit: 1000, max_instances: 20000 } ]";
    let world = World::open(rule, clock.clone())?;
    let series = world.series((0..RULES).map(|n| format!("m{{host=\"{n}\"}}")))?;
    world.fill(&series, (0..20_u32).map(|n| START - Duration::from_secs(60) + EVERY * n))?;
    for tick in 0..8_u32 {
        clock.step_to(START + EVERY * tick);
        world.rules.wake();
        let start = Instant::now();
        world.wait_for(f64::from(tick + 1), &|| clock.advance(Duration::from_micros(1)))?;
        println!("instances: {} in {:?}, all in all", world.rules.rules()[0].instances, start.elapsed());
    }
    Ok(())
}

fn steady() -> io::Result<()> {
    let world = World::open(&many("limit: 1000")?, Arc::new(SystemClock::new()))?;
    let series = world.series((0..RULES).map(|n| format!("m{n}")))?;
    let now = SystemClock::new().now();
    world.fill(&series, (0..48_u32).map(|n| now - Duration::from_secs(60) + EVERY * n / 2))?;
    std::thread::sleep(Duration::from_secs(6));
    let (cpu, start) = (cpu_secs()?, Instant::now());
    let (evaluations, late) =
        (world.metric("rule_evaluations_total"), world.metric("rule_late_ticks_total{over=\"20ms\"}"));
    std::thread::sleep(Duration::from_secs(30));
    let share = (cpu_secs()? - cpu) / start.elapsed().as_secs_f64() / 2.0;
    let evaluations = world.metric("rule_evaluations_total") - evaluations;
    let late = world.metric("rule_late_ticks_total{over=\"20ms\"}") - late;
    println!(
        "steady: {RULES} rules every 5 s: {:.2} % of two cores; {evaluations} evaluations, {late} later than 20 ms, {} missed",
        share * 100.0,
        world.metric("rule_missed_ticks_total")
    );
    Ok(())
}

/// Of this process, all threads.
fn cpu_secs() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}
