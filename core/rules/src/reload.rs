//! From a change of files to a new generation.
//!
//! ```text
//!  hint ─► rest (200 ms, 2 s at most) ─► `.ready` says something else, or there is none?
//!                                          ▼
//!  SIGHUP, `reload` ─► read until it rests ─► same as active? ─► vanished? look again after 1 s
//!                                               unchanged             │
//!          store ◄─ swap ◄─ removal guard, policy ◄─ compile what changed, keep last good
//! ```
//!
//! Invariants:
//! * content decides, not events: the same content is no change, however often it is written;
//! * a file that is gone or empty is believed only after a second look, a second later: many programs save by
//!   removing or emptying first;
//! * the swap is one pointer; an evaluation keeps the generation that it began with;
//! * what is refused or broken is told once, not at every look.
//!
//! Not here: what becomes of states (`carry`), what is stored and how (`bundle`).

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use sereno_runtime::{Clock, Disk};
use tracing::error;

use crate::bundle::BundleError;
use crate::changes::Changes;
use crate::config::{Policy, Reload as Config};
use crate::files::{Files, Markers, Roots};
use crate::generation::{Generation, load_as};
use crate::guard::Guard;
use crate::history::Past;
use crate::mailbox::Mailbox;
use crate::outcome::{Cause, Outcome, Report, Trigger, statuses};
use crate::shared::Shared;
use crate::watch::Watcher;

/// Files that do not rest are read after this time all the same.
const DEBOUNCE_MAX: Duration = Duration::from_secs(2);
/// The time between two reads that must agree.
const READ_AGAIN: Duration = Duration::from_millis(10);
/// How often files are read until two reads agree.
const READS_MAX: usize = 10;
/// When a file that is gone or empty is looked at again.
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Stands for "never" where looking is turned off.
const NEVER: Duration = Duration::from_secs(86_400);

/// What the reloading thread waits for.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    /// How many hints there have been.
    pub hints: u64,
    /// Who has asked for a reload and waits for its report.
    pub asked: Vec<Asked>,
    /// Who wants an earlier generation back.
    pub rollbacks: Vec<Rollback>,
    pub stop: bool,
}

/// Somebody asks for a reload.
#[derive(Debug)]
pub(crate) struct Asked {
    pub asker: Sender<Report>,
    pub cause: Cause,
    /// Whether rules may go that the guard would keep.
    pub allow_removal: bool,
}

/// Somebody wants an earlier generation back.
#[derive(Debug)]
pub(crate) struct Rollback {
    pub asker: Sender<Result<Report, BundleError>>,
    pub number: u64,
    pub who: Option<String>,
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
    pub past: Arc<Past>,
    pub hints_seen: u64,
    pub guard: Guard,
    /// The files that are not active, so that they are not told of again.
    pub refused: Option<Files>,
    /// What the files `.ready` said when the files were looked at last.
    pub markers: Markers,
    /// The generation that was gone back to, while it stays.
    pub pinned_to: Option<u64>,
    /// The number of the next generation.
    pub next_number: u64,
    /// Whether what is active could not be stored yet.
    pub is_unstored: bool,
}

enum News {
    Stop,
    Asked(Vec<Asked>, Vec<Rollback>),
    Hint,
    /// Time has passed.
    Time,
}

/// Why a generation does not become active.
pub(crate) struct Refusal {
    why: String,
    is_confirmable: bool,
}

impl Refusal {
    pub fn why(&self) -> &str {
        &self.why
    }

    pub fn put_into(self, report: &mut Report) {
        report.outcome = Outcome::Refused;
        report.refusal = Some(self.why);
        report.is_confirmable = self.is_confirmable;
    }
}

/// Whether `next` may not take the place of `active`.
pub(crate) fn refuses(
    guard: &Guard,
    config: &Config,
    active: &Generation,
    next: &Generation,
    firing: &dyn Fn(&str) -> bool,
    now: Duration,
) -> Option<Refusal> {
    if config.policy == Policy::AllOrNothing && next.has_errors() {
        let errors = next.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let found = if errors == 1 { "an error was".to_owned() } else { format!("{errors} errors were") };
        let why = format!("{found} found, and `reload.policy` is `all_or_nothing`");
        return Some(Refusal { why, is_confirmable: false });
    }
    let why = guard.refusal(active, next, firing, now)?;
    Some(Refusal { why, is_confirmable: true })
}

impl Reloader {
    /// Runs until told to stop.
    pub fn run(mut self) {
        self.store();
        loop {
            let news = self.next_news();
            self.watcher.refresh(&self.roots);
            match news {
                News::Stop => return self.refuse_askers(),
                News::Asked(askers, rollbacks) => self.answer(askers, rollbacks),
                News::Hint => {
                    // Who asks meanwhile gets the report of the change itself, not that nothing is left to do.
                    if self.rest() {
                        self.look(true);
                    }
                }
                News::Time => {
                    if self.guard_lets_go_in().is_some_and(|left| left.is_zero()) {
                        // Nobody has to say anything for it, so no marker is waited for.
                        self.refused = None;
                        let (files, markers) = (self.read(), self.read_markers());
                        self.attempt(Wish::Hint, &Trigger::Files.into(), files, markers);
                    } else {
                        self.look(false);
                    }
                    self.store();
                }
            }
        }
    }

    fn answer(&mut self, askers: Vec<Asked>, rollbacks: Vec<Rollback>) {
        if let Some(first) = askers.first() {
            let allow_removal = askers.iter().any(|asked| asked.allow_removal);
            let wish = if allow_removal { Wish::AllowRemoval } else { Wish::Asked };
            let markers = self.read_markers();
            let files = self.read();
            let report = self.attempt(wish, &first.cause, files, markers);
            for asked in askers {
                // Who does not wait for the answer any more needs none.
                let _gone = asked.asker.send(report.clone());
            }
        }
        for Rollback { asker, number, who } in rollbacks {
            let _gone = asker.send(self.roll_back(number, who));
        }
    }

    /// Who asked too late hears so, by the end of the channel.
    fn refuse_askers(&self) {
        self.triggers.update(|triggers| {
            triggers.asked.clear();
            triggers.rollbacks.clear();
        });
    }

    fn next_news(&mut self) -> News {
        let poll = if self.config.poll.is_zero() { NEVER } else { self.config.poll };
        let limit = self.guard_lets_go_in().map_or(poll, |left| left.min(poll));
        let seen = self.hints_seen;
        let news = self.triggers.wait(limit, |triggers| {
            if triggers.stop {
                return Some((News::Stop, seen));
            }
            if !triggers.asked.is_empty() || !triggers.rollbacks.is_empty() {
                let (asked, rollbacks) =
                    (std::mem::take(&mut triggers.asked), std::mem::take(&mut triggers.rollbacks));
                let hints = if asked.is_empty() { seen } else { triggers.hints };
                return Some((News::Asked(asked, rollbacks), hints));
            }
            (triggers.hints != seen).then_some((News::Hint, triggers.hints))
        });
        let (news, seen) = news.unwrap_or((News::Time, seen));
        self.hints_seen = seen;
        news
    }

    /// How long until what the guard has refused is let go.
    fn guard_lets_go_in(&self) -> Option<Duration> {
        let waits = self.refused.is_some() && self.shared.last_report().is_confirmable;
        self.guard.lets_go_in(self.clock().monotonic()).filter(|_| waits)
    }

    /// Waits until no hint has come for a while; `false` if somebody asks before.
    fn rest(&mut self) -> bool {
        let started = self.clock().monotonic();
        loop {
            let left = DEBOUNCE_MAX.saturating_sub(self.clock().monotonic().saturating_sub(started));
            let seen = self.hints_seen;
            let news = self.triggers.wait(self.config.debounce.min(left), |triggers| {
                let asked = triggers.stop || !triggers.asked.is_empty() || !triggers.rollbacks.is_empty();
                (asked || triggers.hints != seen).then_some((asked, triggers.hints))
            });
            match news {
                Some((true, _)) => return false,
                Some((false, hints)) if !left.is_zero() => self.hints_seen = hints,
                _ => return true,
            }
        }
    }

    /// Looks whether the files have changed, and takes over what has. A look that nothing called for is not told.
    fn look(&mut self, is_hinted: bool) {
        let markers = self.read_markers();
        if markers.are_there() && markers == self.markers {
            return self.count_look("waits");
        }
        let files = self.read();
        let are_back = self.refused.is_some() && files == *self.shared.active.load().files;
        if is_hinted || are_back || !self.is_known(&files, Wish::Hint) {
            self.attempt(Wish::Hint, &Trigger::Files.into(), files, markers);
            self.count_look("read");
        } else {
            self.markers = markers;
            self.count_look("same");
        }
    }

    fn count_look(&self, outcome: &str) {
        self.shared.metrics.counter("rules_looks_total", &[("outcome", outcome)]).inc();
    }

    /// One reload, of files that were just read. One that may remove rules is done at once.
    fn attempt(&mut self, wish: Wish, cause: &Cause, first: Files, markers: Markers) -> Report {
        let started = self.clock().monotonic();
        self.markers = markers;
        let active = self.shared.active.load_full();
        let mut files = self.settle(first, &active.files);
        if self.is_known(&files, wish) {
            return self.unchanged(&files, cause);
        }
        let may_remove = wish == Wish::AllowRemoval;
        if !may_remove && !files.vanished_since(&active.files).is_empty() {
            self.pause(SECOND_LOOK);
            files = self.settle(self.read(), &active.files);
            if self.is_known(&files, wish) {
                return self.unchanged(&files, cause);
            }
        }
        self.guard.notice(&files.vanished_since(&active.files), self.clock().monotonic());
        let next = load_as(self.next_number, Arc::new(files), &self.shared.host, Some(&active));
        let changes = Changes::between(&active, &next);
        let files = statuses(&active.files, &next.files, &next.diagnostics);
        let diagnostics = next.diagnostics.clone();
        let cause = cause.clone();
        match self.refusal(&active, &next).filter(|refusal| !(may_remove && refusal.is_confirmable)) {
            Some(refusal) => {
                self.refused = Some((*next.files).clone());
                let report = Report { pinned_to: self.pinned_to, ..Report::of(active, cause) };
                let mut report = Report { changes, files, diagnostics, ..report };
                refusal.put_into(&mut report);
                report.duration = self.clock().monotonic().saturating_sub(started);
                self.tell(report)
            }
            None => {
                self.refused = None;
                self.pinned_to = None;
                let report = Report { changes, files, ..Report::of(Arc::new(next), cause) };
                self.apply(report, started)
            }
        }
    }

    /// Makes the generation of a report the active one.
    fn apply(&mut self, mut report: Report, started: Duration) -> Report {
        self.next_number = report.generation.number + 1;
        self.guard.notice(&[], started);
        self.shared.active.store(report.generation.clone());
        self.shared.news.update(|news| news.look = true);
        report.duration = self.clock().monotonic().saturating_sub(started);
        self.past.note(&report);
        self.is_unstored = true;
        let report = self.tell(report);
        self.store();
        report
    }

    /// Makes an earlier generation active, whatever the files say; they are left alone until they change.
    fn roll_back(&mut self, number: u64, who: Option<String>) -> Result<Report, BundleError> {
        let started = self.clock().monotonic();
        let bundle = self.past.read(number)?;
        let active = self.shared.active.load_full();
        let cause = Cause { trigger: Trigger::Rollback, who };
        let markers = self.read_markers();
        let files = self.settle(self.read(), &bundle.files);
        let is_pinned = !files.says_the_same_as(&bundle.files);
        let mut next = bundle.load(self.next_number, &self.shared.host);
        next.loaded_at = self.clock().now();
        self.markers = markers;
        self.pinned_to = is_pinned.then_some(number);
        self.refused = is_pinned.then_some(files);
        let report = Report {
            changes: Changes::between(&active, &next),
            files: statuses(&active.files, &next.files, &next.diagnostics),
            pinned_to: self.pinned_to,
            ..Report::of(Arc::new(next), cause)
        };
        Ok(self.apply(report, started))
    }

    fn unchanged(&mut self, files: &Files, cause: &Cause) -> Report {
        let active = self.shared.active.load_full();
        if *files == *active.files && self.refused.take().is_some() {
            // They were put back.
            self.pinned_to = None;
            self.guard.notice(&[], Duration::ZERO);
            *self.shared.last_report() = Report::of(active.clone(), cause.clone());
        }
        let report = Report {
            outcome: Outcome::Unchanged,
            pinned_to: self.pinned_to,
            ..Report::of(active, cause.clone())
        };
        report.count(&self.shared);
        report
    }

    /// Whether these files are active already, or were refused and nobody asks again.
    fn is_known(&self, files: &Files, wish: Wish) -> bool {
        *files == *self.shared.active.load().files
            || (wish == Wish::Hint && self.refused.as_ref() == Some(files))
    }

    fn refusal(&self, active: &Generation, next: &Generation) -> Option<Refusal> {
        let firing = self.shared.board.firing();
        let now = self.clock().monotonic();
        refuses(&self.guard, &self.config, active, next, &|id| firing.contains_key(id), now)
    }

    fn read(&self) -> Files {
        Files::read(&*self.disk, &self.roots).beside(&self.shared.active.load().files)
    }

    fn read_markers(&self) -> Markers {
        Markers::read(&*self.disk, &self.roots)
    }

    /// Reads until two reads agree: a file that is being written is read again. What says the same as `settled` is not.
    fn settle(&self, first: Files, settled: &Files) -> Files {
        let mut files = first.sharing(settled);
        for _ in 1..READS_MAX {
            if files == *settled {
                break;
            }
            self.pause(READ_AGAIN);
            let again = files.read_again(&*self.disk, &self.roots, settled).sharing(&files);
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

    fn tell(&self, report: Report) -> Report {
        let mut last = self.shared.last_report();
        report.count(&self.shared);
        report.log(&last.diagnostics);
        *last = report.clone();
        report
    }

    /// Stores what is active, if that has not been done: what fails now may work later.
    fn store(&mut self) {
        if !self.is_unstored {
            return;
        }
        let active = self.shared.active.load_full();
        match self.past.store(&active, self.refused.as_ref().filter(|_| self.pinned_to.is_some())) {
            Ok(()) => self.is_unstored = false,
            Err(error) => {
                self.shared.metrics.counter("rules_generation_store_failures_total", &[]).inc();
                error!(
                    generation = active.number,
                    %error,
                    "The active rules could not be stored; after a restart with broken files, older ones would run."
                );
            }
        }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.shared.host.clock
    }
}
