//! The running rules as the server sees them, and the offline check.

mod standing;
mod tools;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use sereno_model::{Confirmations, Outgoing};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::threads::{SCRIPT_STACK_BYTES, STACK_BYTES, spawn};
use sereno_runtime::{Clock, Disk, Metrics, Queue, RealDisk, SystemClock};
use sereno_script::Limits;
use sereno_storage::Store;
use tracing::{error, warn};

use crate::board::{Board, Record};
use crate::bundle::{BundleError, Bundles};
use crate::config::{Config, Reload};
use crate::durable::{self, Recovered, SavedRule, Settings};
use crate::files::{Files, Markers, Roots};
use crate::generation::{Generation, Host, load};
use crate::history::Past;
use crate::lateness::Lateness;
use crate::mailbox::Mailbox;
use crate::meta::{self, Meta};
use crate::outbox::{Outbox, Publish};
use crate::outcome::{Cause, Report, Trigger};
use crate::pause::{Pause, Pauses};
use crate::plan::{PlannedFile, Planner};
use crate::reload::{Asked, Reloader, Rollback, SECOND_LOOK, Triggers};
use crate::report::{Difference, GenerationInfo, Plan};
use crate::rule::Rule;
use crate::schedule::{News, Scheduler};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::start;
use crate::status::{self, Alert, RuleStatus};
use crate::watch::Watcher;
use crate::worker;

pub use self::standing::Standing;
pub use self::tools::{ExplainRequest, ReplayRequest, Subject, ToolError};

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
    pub notifications: Queue<Outgoing>,
    /// Where the log file and the sinks say how far they are: what is not confirmed is sent again after a restart.
    pub confirmations: Confirmations,
    /// Where they count.
    pub metrics: Metrics,
    /// What their scripts may use up.
    pub limits: Limits,
    /// Where they keep what must outlive the server, like the generations that were active; `None` for nowhere.
    pub directory: Option<PathBuf>,
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
    past: Arc<Past>,
    reload: Reload,
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
        let bundles = bundles(&context);
        // Read before the files: a marker that is written meanwhile is news.
        let markers = Markers::read(&*context.disk, &roots);
        let mut files = Files::read(&*context.disk, &roots);
        if start::has_vanished(&files, bundles.as_ref()) {
            triggers.wait(SECOND_LOOK, |triggers: &mut Triggers| triggers.stop.then_some(()));
            files = Files::read(&*context.disk, &roots);
        }
        let host = Host {
            limits: context.limits,
            clock: context.clock.clone(),
            retention: context.store.retention(),
        };
        let (outbox, recovered) =
            Outbox::open(&context, |directory| Settings::in_directory(directory.to_owned()));
        let fires = |id: &str| recovered.rules.get(id).is_some_and(SavedRule::fires);
        let first = start::begin(files, &host, bundles.as_ref(), &config.reload, &fires);
        let past = Arc::new(Past::new(bundles, &first.report));
        let shared = Arc::new(shared(config, host, &context, first.report.clone(), outbox, recovered));
        let reloader = Reloader {
            shared: shared.clone(),
            disk: context.disk,
            roots,
            config: config.reload.clone(),
            triggers: triggers.clone(),
            watcher,
            past: past.clone(),
            hints_seen: 0,
            guard: first.guard,
            refused: first.refused,
            markers,
            pinned_to: first.report.pinned_to,
            next_number: first.next_number,
            is_unstored: first.is_unstored,
        };
        let (running, threads) = (Arc::default(), Mutex::default());
        let rules =
            Self(Arc::new(Inner { shared, triggers, past, reload: config.reload.clone(), running, threads }));
        rules.start_threads(config.workers, reloader, first.before)?;
        Ok(rules)
    }

    fn start_threads(
        &self,
        workers: usize,
        reloader: Reloader,
        before: Option<Arc<Generation>>,
    ) -> Result<(), StartError> {
        for index in 0..workers {
            let shared = self.0.shared.clone();
            let name = format!("notification-worker-{index}");
            self.0.spawn(name, SCRIPT_STACK_BYTES, move || worker::run(&shared, &shared.jobs))?;
        }
        let shared = self.0.shared.clone();
        let slow = move || worker::run(&shared, &shared.slow_jobs);
        self.0.spawn("notification-slow".into(), SCRIPT_STACK_BYTES, slow)?;
        let scheduler = Scheduler::new(self.0.shared.clone(), before);
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
        self.reload_as(Trigger::Request.into(), allow_removal)
    }

    /// The same, telling what led to it and who did.
    #[must_use]
    pub fn reload_as(&self, cause: Cause, allow_removal: bool) -> Option<Report> {
        let (asker, answer) = mpsc::channel();
        self.0.triggers.update(|triggers| {
            (!triggers.stop).then(|| triggers.asked.push(Asked { asker, cause, allow_removal }))
        })?;
        answer.recv().ok()
    }

    /// The generations that have been active, as far as they are stored, the newest first. Reads their files.
    #[must_use]
    pub fn history(&self) -> Vec<GenerationInfo> {
        self.0.past.all()
    }

    /// How the rules and files of one stored generation differ from those of another. Compiles both.
    ///
    /// # Errors
    /// [`BundleError`] if one of them cannot be had.
    pub fn difference(&self, from: u64, to: u64) -> Result<Difference, BundleError> {
        let (past, host) = (self.0.past.clone(), self.0.shared.host.clone());
        on_deep_stack(move || past.difference(from, to, &host))
            .unwrap_or(Err(BundleError::Missing { number: from }))
    }

    /// What other files would mean for the rules that run, if they were loaded now: what is compiled and evaluated for
    /// that has no effect. Scripts among them take the place of all that there are; without any, those stay. `None`
    /// once `go_on`, which is asked between rules, says no. Needs a stack of [`SCRIPT_STACK_BYTES`].
    #[must_use]
    pub fn plan(&self, files: Vec<PlannedFile>, go_on: &dyn Fn() -> bool) -> Option<Plan> {
        let shared = &self.0.shared;
        let active = shared.active.load_full();
        let copy = |(id, slot): (&Arc<str>, &Arc<Slot>)| (id.clone(), slot.kept().state.trial_copy());
        let states = shared.slots.load().iter().map(copy).collect();
        let planner = Planner {
            host: &shared.host,
            config: &self.0.reload,
            active: &active,
            states,
            snapshot: &shared.outbox.store.snapshot(),
            now: shared.host.clock.now(),
            go_on,
        };
        planner.plan(files)
    }

    /// Makes an earlier generation active again, as a new one, without touching the files: what these say stays refused
    /// until they change or somebody reloads. Blocks until it is done; `None` when the rules have been stopped.
    ///
    /// # Errors
    /// [`BundleError`] if it cannot be had; everything is then as it was.
    #[must_use]
    pub fn rollback(&self, number: u64, who: Option<String>) -> Option<Result<Report, BundleError>> {
        let (asker, answer) = mpsc::channel();
        self.0.triggers.update(|triggers| {
            (!triggers.stop).then(|| triggers.rollbacks.push(Rollback { asker, number, who }))
        })?;
        answer.recv().ok()
    }

    /// The rules and how they fare, in order of their ids. Cost: linear in the rules.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleStatus> {
        let (shared, generation) = (&self.0.shared, self.generation());
        let records: BTreeMap<_, _> = shared.board.all().into_iter().collect();
        let (now, wall) = (shared.host.clock.monotonic(), shared.host.clock.now());
        let nothing = Record::default();
        let status = |rule: &Arc<Rule>| {
            let pause = shared.pauses.get(&rule.id, wall);
            RuleStatus::new(rule, &generation, records.get(&rule.id).unwrap_or(&nothing), now, pause)
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

    /// Stops evaluating a rule until a time: its ticks are not looked at, and its alerts stay as they are. `None` lifts
    /// that. `false` if there is no such rule.
    #[must_use]
    pub fn pause(&self, rule: &str, pause: Option<Pause>) -> bool {
        let is_known = self.generation().rules.contains_key(rule);
        if is_known {
            let shared = &self.0.shared;
            shared.pauses.set(rule, pause.clone());
            let number = shared.outbox.number(&rule.into());
            shared.outbox.commit(durable::Record::Paused { number, pause }, Publish::default());
        }
        is_known
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

/// Runs what compiles scripts, which recurses. `None` if the system grants no thread, or it panics.
fn on_deep_stack<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn("rules-tool", SCRIPT_STACK_BYTES, body).ok()?.join().ok()
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

/// Where generations are stored. Without it rules run all the same, and it is told.
fn bundles(context: &Context) -> Option<Bundles> {
    let directory = context.directory.as_ref()?;
    match Bundles::open(&context.disk, directory) {
        Ok(bundles) => Some(bundles),
        Err(error) => {
            error!(
                directory = %directory.display(),
                %error,
                "The generations of the rules cannot be stored: after a restart with broken files they would not run."
            );
            None
        }
    }
}

fn shared(
    config: &Config,
    host: Host,
    context: &Context,
    report: Report,
    outbox: Outbox,
    recovered: Recovered,
) -> Shared {
    let mut recovered = recovered.rules;
    let own = recovered.remove(meta::ID).map(SavedRule::restore).unwrap_or_default();
    let pauses = Pauses::default();
    for (rule, saved) in &recovered {
        pauses.set(rule, saved.pause.clone());
    }
    let shared = Shared {
        active: ArcSwap::new(report.generation.clone()),
        host,
        outbox,
        meta: Meta::new(own),
        pauses,
        recovered: Mutex::new(recovered),
        lateness: Lateness::new(&context.metrics),
        metrics: context.metrics.clone(),
        jobs: Queue::bounded("notifications", config.queue_length, &context.metrics),
        slow_jobs: Queue::bounded("slow notifications", config.queue_length, &context.metrics),
        news: Mailbox::<News>::default(),
        board: Board::default(),
        slots: ArcSwap::default(),
        last_report: Mutex::new(report),
    };
    shared.board.show(&meta::ID.into(), &shared.meta.record);
    let report = shared.last_report();
    report.count(&shared);
    report.log(&[]);
    drop(report);
    shared
}

/// What the offline check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// What is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// How many rule files were read.
    pub files: usize,
    /// How many rules are good.
    pub rules: usize,
    /// Those.
    pub checked: Vec<CheckedRule>,
    /// How many scripts were read.
    pub scripts: usize,
}

/// A rule that is good, for whoever looks further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRule {
    /// Its id.
    pub id: Arc<str>,
    /// The file that defines it.
    pub path: PathBuf,
    /// The line in it.
    pub line: u32,
    /// What it reads, in the text form of selectors.
    pub selectors: Vec<String>,
}

impl CheckedRule {
    fn of(rule: &Rule) -> Self {
        let selectors = rule.inputs.iter().map(|input| input.selector.to_string()).collect();
        Self { id: rule.id.clone(), path: rule.path.clone(), line: rule.line, selectors }
    }
}

impl CheckReport {
    /// A report of findings alone.
    #[must_use]
    pub fn of(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics, ..Self::default() }
    }

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
    let host = Host { limits: Limits::default(), clock: Arc::new(SystemClock::new()), retention: None };
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
        checked: generation.rules.values().map(|rule| CheckedRule::of(rule)).collect(),
        scripts: generation.files.scripts.len(),
        diagnostics: generation.diagnostics.iter().cloned().map(severe).collect(),
    }
}
