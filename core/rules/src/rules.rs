//! The running rules as the server sees them, and the offline check.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use sereno_model::Notification;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::threads::{SCRIPT_STACK_BYTES, STACK_BYTES, spawn};
use sereno_runtime::{Clock, Disk, Metrics, Queue, RealDisk, SystemClock};
use sereno_script::Limits;
use sereno_storage::Store;
use tracing::warn;

use crate::board::{Board, Record};
use crate::config::Config;
use crate::files::{Files, Roots};
use crate::generation::{Generation, Host, load};
use crate::mailbox::Mailbox;
use crate::reload::{Asked, Reloader, Report, Triggers};
use crate::rule::Rule;
use crate::schedule::{News, Scheduler};
use crate::shared::Shared;
use crate::status::{self, Alert, RuleStatus};
use crate::watch::Watcher;
use crate::worker;

/// What rules run on.
#[derive(Clone, Debug)]
pub struct Context {
    /// What they read.
    pub store: Store,
    /// When they run.
    pub clock: Arc<dyn Clock>,
    /// Where their files are.
    pub disk: Arc<dyn Disk>,
    /// Where their notifications go. When it is full, workers wait.
    pub notifications: Queue<Notification>,
    /// Where they count.
    pub metrics: Metrics,
    /// What their scripts may use up.
    pub limits: Limits,
}

/// Why rules cannot be started. Broken rule files are no reason: they are told of, and the rest runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its range.
    #[error("`rules.workers` is {workers}, but must be 1 to 256")]
    Workers {
        /// Its value.
        workers: usize,
    },
    /// The system refuses a thread.
    #[error("failed to start thread `{name}`")]
    Thread {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// The running rules. Clones share them.
#[derive(Clone)]
pub struct Rules(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    triggers: Arc<Mailbox<Triggers>>,
    /// The names of the threads that run.
    running: Arc<Mailbox<BTreeMap<String, ()>>>,
    threads: Mutex<Vec<(String, JoinHandle<()>)>>,
}

impl Rules {
    /// Loads the rules and starts their threads. What is broken in the files is logged, and left out.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(config: &Config, context: Context) -> Result<Self, StartError> {
        if !(1..=256).contains(&config.workers) {
            return Err(StartError::Workers { workers: config.workers });
        }
        let roots = Roots { rules: config.paths.clone(), scripts: config.scripts.clone() };
        let triggers = Arc::new(Mailbox::default());
        // Watch, then read: a change in between is seen.
        let mut watcher = Watcher::new(&triggers);
        watcher.refresh(&roots);
        let shared = Arc::new(first_generation(config, &roots, &context));
        let reloader = Reloader {
            shared: shared.clone(),
            disk: context.disk,
            roots,
            config: config.reload.clone(),
            triggers: triggers.clone(),
            watcher,
            refused: None,
            hints_seen: 0,
        };
        let rules =
            Self(Arc::new(Inner { shared, triggers, running: Arc::default(), threads: Mutex::default() }));
        rules.start_threads(config.workers, reloader)?;
        Ok(rules)
    }

    fn start_threads(&self, workers: usize, reloader: Reloader) -> Result<(), StartError> {
        for index in 0..workers {
            let shared = self.0.shared.clone();
            let name = format!("notification-worker-{index}");
            self.0.spawn(name, SCRIPT_STACK_BYTES, move || worker::run(&shared, &shared.jobs))?;
        }
        let shared = self.0.shared.clone();
        let slow = move || worker::run(&shared, &shared.slow_jobs);
        self.0.spawn("notification-slow".into(), SCRIPT_STACK_BYTES, slow)?;
        let scheduler = Scheduler::new(self.0.shared.clone());
        self.0.spawn("rules-scheduler".into(), STACK_BYTES, move || scheduler.run())?;
        // Compiling scripts recurses.
        self.0.spawn("rules-reload".into(), SCRIPT_STACK_BYTES, move || reloader.run())
    }

    /// What is active now. Query handlers take aggregations from its library.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.0.shared.active.load_full()
    }

    /// Reads all files now. With `allow_removal`, rules may go that the removal guard would keep, also those that it
    /// has kept so far; without, it is asked, and a refusal is told again. Blocks until it is done, for as long as
    /// compiling takes, and a second longer where files have vanished and may not; `None` when the rules have been
    /// stopped. Who asks at the same time as others gets the same report, and one of them is enough to allow a removal.
    #[must_use]
    pub fn reload(&self, allow_removal: bool) -> Option<Report> {
        let (asker, answer) = mpsc::channel();
        self.0.triggers.update(|triggers| {
            (!triggers.stop).then(|| triggers.asked.push(Asked { asker, allow_removal }))
        })?;
        answer.recv().ok()
    }

    /// The rules and how they fare, in order of their ids. Cost: linear in the rules.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleStatus> {
        let (shared, generation) = (&self.0.shared, self.generation());
        let records: BTreeMap<_, _> = shared.board.all().into_iter().collect();
        let now = shared.host.clock.monotonic();
        let nothing = Record::default();
        let status = |rule: &Arc<Rule>| {
            RuleStatus::new(rule, &generation, records.get(&rule.id).unwrap_or(&nothing), now)
        };
        generation.rules.values().map(status).collect()
    }

    /// What fires, in order of rules and instances. Whoever has seen a notification finds its effect here.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let records = self.0.shared.board.all();
        records.iter().flat_map(|(rule, record)| status::alerts(rule, record)).collect()
    }

    /// How many instances of each rule fire, for the rules of which any does.
    #[must_use]
    pub fn firing(&self) -> BTreeMap<Arc<str>, usize> {
        self.0.shared.board.firing()
    }

    /// What became of the last change of the files (or of the start), and the active generation with its number, its
    /// time, and what is wrong in its files. While files are refused, the outcome is
    /// [`Refused`](crate::Outcome::Refused), and `refusal` says why.
    #[must_use]
    pub fn diagnostics(&self) -> Report {
        self.0.shared.last_report().clone()
    }

    /// Tells the scheduler that the clock has been moved by hand.
    pub fn wake(&self) {
        self.0.shared.news.update(|news| news.look = true);
    }

    /// Stops after the evaluations that have been started, and waits for them, at most `limit`. Gives the names of the
    /// threads that have not ended by then; they end when what they wait for does.
    #[must_use]
    pub fn stop(&self, limit: Duration) -> Vec<String> {
        self.0.triggers.update(|triggers| triggers.stop = true);
        self.0.shared.news.update(|news| news.stop = true);
        self.0.running.wait(limit, |running| running.is_empty().then_some(()));
        let late: Vec<String> = self.0.running.update(|running| running.keys().cloned().collect());
        let threads = std::mem::take(&mut *self.0.threads());
        for (name, thread) in threads.into_iter().filter(|(name, _)| !late.contains(name)) {
            if thread.join().is_err() {
                warn!(thread = name, "A thread ended with a panic.");
            }
        }
        late
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("generation", &self.generation().number).finish_non_exhaustive()
    }
}

impl Inner {
    fn spawn(
        &self,
        name: String,
        stack_bytes: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        self.running.update(|running| running.insert(name.clone(), ()));
        let leaves = Leaves { name: name.clone(), running: self.running.clone() };
        let thread = spawn(&name, stack_bytes, move || {
            let _leaves = leaves;
            body();
        });
        let thread = thread.map_err(|source| StartError::Thread { name: name.clone(), source })?;
        self.threads().push((name, thread));
        Ok(())
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<(String, JoinHandle<()>)>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    /// Threads that nobody has stopped end too, each after what it has in hand.
    fn drop(&mut self) {
        self.triggers.update(|triggers| triggers.stop = true);
        self.shared.news.update(|news| news.stop = true);
    }
}

/// Strikes a thread off the list of those that run, however it ends.
struct Leaves {
    name: String,
    running: Arc<Mailbox<BTreeMap<String, ()>>>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.running.update(|running| running.remove(&self.name));
    }
}

fn first_generation(config: &Config, roots: &Roots, context: &Context) -> Shared {
    let host = Host { limits: context.limits, clock: context.clock.clone() };
    let generation = Arc::new(load(Files::read(&*context.disk, roots), &host, None));
    let report = Report::of(generation.clone());
    let shared = Shared {
        active: ArcSwap::new(generation),
        host,
        store: context.store.clone(),
        metrics: context.metrics.clone(),
        jobs: Queue::bounded("notifications", config.queue_length, &context.metrics),
        slow_jobs: Queue::bounded("slow notifications", config.queue_length, &context.metrics),
        notifications: context.notifications.clone(),
        news: Mailbox::<News>::default(),
        board: Board::default(),
        last_report: Mutex::new(report.clone()),
        evaluations: context.metrics.counter("rule_evaluations_total", &[]),
        unobserved: context.metrics.counter("rule_unobserved_ticks_total", &[]),
    };
    report.log(&shared);
    shared
}

/// What the offline check found.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// What is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// How many rule files were read.
    pub files: usize,
    /// How many rules are good.
    pub rules: usize,
    /// How many scripts were read.
    pub scripts: usize,
}

impl CheckReport {
    /// Whether everything may be loaded.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Checks rules and scripts without a server, as a reload would; only that a path must exist. Needs a stack of
/// [`SCRIPT_STACK_BYTES`].
#[must_use]
pub fn check(rule_paths: &[PathBuf], script_paths: &[PathBuf]) -> CheckReport {
    let roots = Roots { rules: rule_paths.to_vec(), scripts: script_paths.to_vec() };
    let host = Host { limits: Limits::default(), clock: Arc::new(SystemClock::new()) };
    let generation = load(Files::read(&RealDisk, &roots), &host, None);
    let severe = |mut diagnostic: Diagnostic| {
        if generation.files.missing.contains(&diagnostic.path) {
            diagnostic = Diagnostic::error(&diagnostic.path, diagnostic.message);
        }
        diagnostic
    };
    CheckReport {
        files: generation.files.rules.len(),
        rules: generation.rules.len(),
        scripts: generation.files.scripts.len(),
        diagnostics: generation.diagnostics.iter().cloned().map(severe).collect(),
    }
}
