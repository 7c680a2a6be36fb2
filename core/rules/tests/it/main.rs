//! Running rules on a real store, real files and the machine's clock.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "the tests write files and wait")]

mod clocks;
mod edits;
mod examples;
mod interleaving;
mod isolation;
mod listing;
mod reload;
mod restart;
mod shipped;
mod stories;
mod ticks;
mod tools;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sereno_model::{EventKind, Notification, Outgoing, SeriesKey};
use sereno_rules::{Config, Context, Reload, Rules};
use sereno_runtime::{Clock, Metrics, Queue, RealDisk, SystemClock};
use sereno_script::Limits;
use sereno_storage::{Row, Store};

/// Long enough for a machine under load; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    folder: tempfile::TempDir,
    rules: Rules,
    store: Store,
    notifications: Queue<Outgoing>,
    metrics: Metrics,
    seen: Vec<Notification>,
}

impl Bench {
    /// Rules in `rules/`, scripts in `scripts/`, a store in `data/`.
    fn start(files: &[(&str, &str)], config: Config) -> Self {
        Self::start_at(files, config, Arc::new(SystemClock::new()))
    }

    /// The same, on a clock of the test's own.
    fn start_at(files: &[(&str, &str)], config: Config, clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = sereno_storage::Config { directory: folder.path().join("data"), ..Default::default() };
        let store = Store::open(&storage, Arc::new(RealDisk), clock.clone(), &Metrics::default()).unwrap();
        Self::start_in(folder, files, config, clock, store)
    }

    /// The same, over a store of the test's own.
    fn start_over(files: &[(&str, &str)], clock: Arc<dyn Clock>, store: Store) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), files, Config::default(), clock, store)
    }

    fn start_in(
        folder: tempfile::TempDir,
        files: &[(&str, &str)],
        config: Config,
        clock: Arc<dyn Clock>,
        store: Store,
    ) -> Self {
        fs::create_dir_all(folder.path().join("rules")).unwrap();
        fs::create_dir_all(folder.path().join("scripts/rules")).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::start_rules(folder, config, clock, store)
    }

    /// Over what is in the folder.
    fn start_rules(folder: tempfile::TempDir, config: Config, clock: Arc<dyn Clock>, store: Store) -> Self {
        let (disk, metrics) = (Arc::new(RealDisk), Metrics::default());
        let notifications = Queue::bounded("notification_messages", 10_000, &metrics);
        let context = Context {
            store: store.clone(),
            clock,
            disk,
            notifications: notifications.clone(),
            confirmations: sereno_model::Confirmations::default(),
            metrics: metrics.clone(),
            limits: Limits::default(),
            directory: Some(folder.path().join("kept")),
        };
        let config = Config {
            paths: vec![folder.path().join("rules")],
            scripts: vec![folder.path().join("scripts")],
            ..config
        };
        let rules = Rules::start(&config, context).unwrap();
        Self { folder, rules, store, notifications, metrics, seen: Vec::new() }
    }

    /// Stops the rules, lets `edit` change the files, and starts again.
    fn restart(self, config: Config, edit: impl FnOnce(&Path)) -> Self {
        assert_eq!(self.rules.stop(PATIENCE), Vec::<String>::new());
        edit(self.folder.path());
        Self::start_rules(self.folder, config, Arc::new(SystemClock::new()), self.store)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn send(&self, metric: &str, value: f64) {
        let id = self.store.series(&SeriesKey::from_name(metric).unwrap()).unwrap();
        assert!(self.store.append(vec![Row::now(id, value)]).wait().is_ok());
    }

    /// Waits for a notification, sending `value` to `metric` again and again, so that its window is never empty.
    fn wait_for(&mut self, metric: &str, value: f64, rule: &str, kind: EventKind) {
        self.until(&format!("{rule} {kind}"), |bench| {
            bench.send(metric, value);
            bench.told(rule, kind) > 0
        });
    }

    fn told(&mut self, rule: &str, kind: EventKind) -> usize {
        while let Some(notification) = self.notifications.try_recv() {
            self.seen.push(Notification::clone(&notification));
        }
        self.seen.iter().filter(|told| told.rule == rule && told.kind == kind).count()
    }

    fn until(&mut self, what: &str, holds: impl FnMut(&mut Self) -> bool) {
        self.until_or(PATIENCE, what, holds);
    }

    fn until_or(&mut self, patience: Duration, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < patience, "waited too long for {what}: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics
            .snapshot()
            .into_iter()
            .filter(|(metric, _)| metric.starts_with(name))
            .map(|(_, n)| n)
            .sum()
    }

    fn limit_of(&self, rule: &str) -> Option<String> {
        self.rules.generation().rules.get(rule).map(|rule| format!("{rule:?}"))
    }
}

fn quick() -> Config {
    Config { reload: Reload { poll: Duration::from_secs(1), ..Reload::default() }, ..Config::default() }
}

/// A rule of one second over one metric.
fn rule(id: &str, limit: u32) -> String {
    format!("  - {{ id: {id}, metric: {id}, agg: max, window: 1s, limit: {limit} }}\n")
}

fn file(rules: &[String]) -> String {
    format!("rules:\n{}", rules.concat())
}

/// Writes beside and renames over, as editors and deployments do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new~");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}
