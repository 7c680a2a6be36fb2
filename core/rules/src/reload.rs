//! From a change of files to a new generation.
//!
//! ```text
//!  hint ─► rest (200 ms, 2 s at most) ─► read twice alike ─► same as active? ─► vanished? look again after 1 s
//!  SIGHUP, `reload` ─────────────────────────┘                 unchanged             │
//!                                              swap ◄─ removal guard ◄─ compile, keep last good
//! ```
//!
//! Invariants:
//! * content decides, not events: the same content is no change, however often it is written;
//! * a file that is gone or empty is believed only after a second look, a second later: many programs save by
//!   removing or emptying first;
//! * the swap is one pointer; an evaluation keeps the generation that it began with;
//! * what is refused or broken is told once, not at every look.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use sereno_runtime::diagnostic::Severity;
use sereno_runtime::{Clock, Disk};
use tracing::{error, info, warn};

use crate::changes::Changes;
use crate::config::{Reload as Config, Removal};
use crate::files::{Files, Roots};
use crate::generation::{Generation, load};
use crate::mailbox::Mailbox;
use crate::shared::Shared;
use crate::watch::Watcher;

/// Files that do not rest are read after this time all the same.
const DEBOUNCE_MAX: Duration = Duration::from_secs(2);
/// The time between two reads that must agree.
const READ_AGAIN: Duration = Duration::from_millis(20);
/// How often files are read until two reads agree.
const READS_MAX: usize = 10;
/// When a file that is gone or empty is looked at again.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// The share of the rules, in percent, that may vanish without anybody's word.
const REMOVED_PERCENT_MAX: usize = 30;
/// Stands for "never" where looking is turned off.
const NEVER: Duration = Duration::from_secs(86_400);

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is good, and active.
    Applied,
    /// The files say what is active already.
    Unchanged,
    /// What is good is active; what is broken stays as it was before, or is left out if it is new.
    Partial,
    /// Nothing has changed, because too many rules would have vanished.
    Refused,
}

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Refused => "refused",
        }
    }
}

/// What became of a reload, and the generation that is active after it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// What it meant for the rules; when it was refused, what it would have meant.
    pub changes: Changes,
    /// The generation that is active now, with what is wrong in its files.
    pub generation: Arc<Generation>,
}

/// What the reloading thread waits for.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    /// How many hints there have been.
    pub hints: u64,
    /// Who has asked for a reload and waits for its report.
    pub asked: Vec<Asked>,
    pub stop: bool,
}

/// Somebody asks for a reload.
#[derive(Debug)]
pub(crate) struct Asked {
    pub asker: Sender<Report>,
    /// Whether rules may go that the guard would keep.
    pub allow_removal: bool,
}

/// Who wants a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// The files look changed.
    Hint,
    /// Somebody waits for a report.
    Asked,
    /// Somebody waits, and rules may go that the guard would keep.
    AllowRemoval,
}

/// The reloading thread.
pub(crate) struct Reloader {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub roots: Roots,
    pub config: Config,
    pub triggers: Arc<Mailbox<Triggers>>,
    pub watcher: Watcher,
    /// The files that were refused last, so that they are not told of again.
    pub refused: Option<Files>,
    pub hints_seen: u64,
}

enum Trigger {
    Stop,
    Asked(Vec<Asked>),
    Hint,
    Poll,
}

impl Reloader {
    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            let trigger = self.next_trigger();
            self.watcher.refresh(&self.roots);
            match trigger {
                Trigger::Stop => return self.refuse_askers(),
                Trigger::Asked(askers) => {
                    let allow_removal = askers.iter().any(|asked| asked.allow_removal);
                    let report = self.attempt(if allow_removal { Wish::AllowRemoval } else { Wish::Asked });
                    for asked in askers {
                        // Who does not wait for the answer any more needs none.
                        let _gone = asked.asker.send(report.clone());
                    }
                }
                Trigger::Hint => {
                    // Who asks meanwhile gets the report of the change itself, not that nothing is left to do.
                    if self.rest() {
                        self.attempt(Wish::Hint);
                    }
                }
                Trigger::Poll => {
                    if !self.is_known(&Files::read(&*self.disk, &self.roots), Wish::Hint) {
                        self.attempt(Wish::Hint);
                    }
                }
            }
        }
    }

    /// Who asked too late hears so, by the end of the channel.
    fn refuse_askers(&self) {
        self.triggers.update(|triggers| triggers.asked.clear());
    }

    fn next_trigger(&mut self) -> Trigger {
        let poll = if self.config.poll.is_zero() { NEVER } else { self.config.poll };
        let seen = self.hints_seen;
        let trigger = self.triggers.wait(poll, |triggers| {
            if triggers.stop {
                return Some((Trigger::Stop, seen));
            }
            if !triggers.asked.is_empty() {
                return Some((Trigger::Asked(std::mem::take(&mut triggers.asked)), triggers.hints));
            }
            (triggers.hints != seen).then_some((Trigger::Hint, triggers.hints))
        });
        let (trigger, seen) = trigger.unwrap_or((Trigger::Poll, seen));
        self.hints_seen = seen;
        trigger
    }

    /// Waits until no hint has come for a while; `false` if somebody asks before.
    fn rest(&mut self) -> bool {
        let started = self.clock().monotonic();
        loop {
            let left = DEBOUNCE_MAX.saturating_sub(self.clock().monotonic().saturating_sub(started));
            let seen = self.hints_seen;
            let news = self.triggers.wait(self.config.debounce.min(left), |triggers| {
                let asked = triggers.stop || !triggers.asked.is_empty();
                (asked || triggers.hints != seen).then_some((asked, triggers.hints))
            });
            match news {
                Some((true, _)) => return false,
                Some((false, hints)) if !left.is_zero() => self.hints_seen = hints,
                _ => return true,
            }
        }
    }

    /// One reload. One that may remove rules is done at once.
    fn attempt(&mut self, wish: Wish) -> Report {
        let mut files = self.read_stable();
        if self.is_known(&files, wish) {
            return self.unchanged(files);
        }
        let active = self.shared.active.load_full();
        let may_remove = wish == Wish::AllowRemoval;
        if !may_remove && !files.vanished_since(&active.files).is_empty() {
            self.pause(SECOND_LOOK);
            files = self.read_stable();
            if self.is_known(&files, wish) {
                return self.unchanged(files);
            }
        }
        let vanished = files.vanished_since(&active.files);
        let next = load(files, &self.shared.host, Some(&active));
        let changes = Changes::between(&active, &next);
        let guarded = !may_remove && self.config.removal == Removal::Confirm;
        if let Some(refusal) = guarded.then(|| self.removal(&active, &next, &vanished)).flatten() {
            self.refused = Some(next.files);
            let outcome = Outcome::Refused;
            return self.report(Report { outcome, refusal: Some(refusal), changes, generation: active });
        }
        self.refused = None;
        let next = Arc::new(next);
        self.shared.active.store(next.clone());
        self.shared.news.update(|news| news.look = true);
        self.report(Report { changes, ..Report::of(next) })
    }

    fn unchanged(&mut self, files: Files) -> Report {
        let active = self.shared.active.load_full();
        if files == active.files && self.refused.take().is_some() {
            // They were put back.
            *self.shared.last_report() = Report::of(active.clone());
        }
        self.shared.metrics.counter("rules_reloads_total", &[("outcome", "unchanged")]).inc();
        Report { outcome: Outcome::Unchanged, ..Report::of(active) }
    }

    /// Whether these files are active already, or were refused and nobody asks again.
    fn is_known(&self, files: &Files, wish: Wish) -> bool {
        *files == self.shared.active.load().files
            || (wish == Wish::Hint && self.refused.as_ref() == Some(files))
    }

    /// Reads until two reads agree: a file that is being written is read again.
    fn read_stable(&self) -> Files {
        let mut files = Files::read(&*self.disk, &self.roots);
        for _ in 1..READS_MAX {
            self.pause(READ_AGAIN);
            let again = Files::read(&*self.disk, &self.roots);
            if again == files {
                break;
            }
            files = again;
        }
        files
    }

    fn pause(&self, duration: Duration) {
        self.triggers.wait(duration, |triggers| triggers.stop.then_some(()));
    }

    /// Why the rules that would go with vanished files may not go, if so.
    fn removal(&self, active: &Generation, next: &Generation, vanished: &[PathBuf]) -> Option<String> {
        let gone = |rule: &&Arc<crate::rule::Rule>| {
            !next.rules.contains_key(&rule.id) && vanished.contains(&rule.path)
        };
        let removed: Vec<_> = active.rules.values().filter(gone).map(|rule| rule.id.clone()).collect();
        let firing = self.shared.board.firing();
        let what = match removed.iter().find(|id| firing.contains_key(*id)) {
            Some(id) => format!("rule `{id}` fires"),
            None if removed.len() * 100 > active.rules.len() * REMOVED_PERCENT_MAX => {
                format!("{} of {} rules would go", removed.len(), active.rules.len())
            }
            None => return None,
        };
        let paths: Vec<String> = vanished.iter().map(|path| format!("`{}`", path.display())).collect();
        Some(format!("{} vanished, and {what}", paths.join(", ")))
    }

    fn report(&self, report: Report) -> Report {
        report.log(&self.shared);
        *self.shared.last_report() = report.clone();
        report
    }

    fn clock(&self) -> &dyn Clock {
        &*self.shared.host.clock
    }
}

impl Report {
    /// The report of a generation that has just become active.
    pub(crate) fn of(generation: Arc<Generation>) -> Self {
        let outcome = if generation.has_errors() { Outcome::Partial } else { Outcome::Applied };
        Self { outcome, refusal: None, changes: Changes::default(), generation }
    }

    /// Tells the log and the metrics.
    pub(crate) fn log(&self, shared: &Shared) {
        let Self { outcome, refusal, generation, .. } = self;
        let metrics = &shared.metrics;
        metrics.counter("rules_reloads_total", &[("outcome", outcome.as_str())]).inc();
        metrics.gauge("rules_last_reload_successful", &[]).set(i64::from(*outcome == Outcome::Applied));
        metrics.gauge("rules_generation", &[]).set(i64::try_from(generation.number).unwrap_or(i64::MAX));
        metrics.gauge("rules_stale", &[]).set(generation.stale.len() as i64);
        let (number, rules) = (generation.number, generation.rules.len());
        if let Some(refusal) = refusal {
            error!(
                generation = number,
                rules,
                "The rules stay as they are: {refusal}. Put the files back, or send SIGHUP to confirm that they are to go."
            );
            return;
        }
        for diagnostic in &generation.diagnostics {
            match diagnostic.severity {
                Severity::Error => error!("{diagnostic}"),
                Severity::Warning => warn!("{diagnostic}"),
            }
        }
        match outcome {
            Outcome::Partial => {
                let stale = generation.stale.iter().map(|id| &**id).collect::<Vec<_>>().join(" ");
                warn!(
                    generation = number,
                    rules, stale, "The rules are loaded in part: what is broken stays as it was."
                );
            }
            _ => info!(generation = number, rules, "The rules are loaded."),
        }
    }
}
