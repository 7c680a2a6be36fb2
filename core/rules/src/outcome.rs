//! What became of a reload, and how it is told: in the log, in figures, and as a value for whoever asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_runtime::diagnostic::{Diagnostic, Severity};
use tracing::{error, info, warn};

use crate::changes::Changes;
use crate::files::{Content, Files};
use crate::generation::Generation;
use crate::shared::Shared;

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is good, and active.
    Applied,
    /// The files say what is active already.
    Unchanged,
    /// What is good is active; what is broken stays as it was before, or is left out if it is new.
    Partial,
    /// Nothing has changed: too many rules would have vanished, or something is broken and
    /// [`Policy::AllOrNothing`](crate::Policy::AllOrNothing) holds.
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

/// What led to a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The start of the server.
    Start,
    /// The files have changed.
    Files,
    /// The process was told to (SIGHUP).
    Signal,
    /// Somebody has asked.
    Request,
    /// Somebody wants an earlier generation back.
    Rollback,
}

impl Trigger {
    /// The name in logs and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Files => "files",
            Self::Signal => "signal",
            Self::Request => "request",
            Self::Rollback => "rollback",
        }
    }
}

/// What led to a reload, and who did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What led to it.
    pub trigger: Trigger,
    /// Who did, as far as is known.
    pub who: Option<String>,
}

impl From<Trigger> for Cause {
    fn from(trigger: Trigger) -> Self {
        Self { trigger, who: None }
    }
}

/// How a file differs from the one that is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It says the same.
    Same,
    /// There was none.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

impl FileState {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// How a file fared in a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Where it is.
    pub path: PathBuf,
    /// How it differs.
    pub state: FileState,
    /// How many errors were found in it.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
}

/// What became of a reload, and the generation that is active after it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// Whether it is refused only until somebody says that rules may go.
    pub is_confirmable: bool,
    /// What led to it.
    pub cause: Cause,
    /// How long it took, from the first look at the files.
    pub duration: Duration,
    /// What it meant for the rules; when it was refused, what it would have meant.
    pub changes: Changes,
    /// The files that have changed, or in which something is wrong; in order of their paths, scripts last.
    pub files: Vec<FileStatus>,
    /// What is wrong in the files that were looked at, whether they are active now or refused; sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The generation that is active now.
    pub generation: Arc<Generation>,
    /// While an earlier generation was gone back to and the files say something else: its number.
    pub pinned_to: Option<u64>,
}

impl Report {
    /// The report of a generation that is active.
    pub(crate) fn of(generation: Arc<Generation>, cause: Cause) -> Self {
        let outcome = if generation.has_errors() { Outcome::Partial } else { Outcome::Applied };
        Self {
            outcome,
            refusal: None,
            is_confirmable: false,
            cause,
            duration: Duration::ZERO,
            changes: Changes::default(),
            files: Vec::new(),
            diagnostics: generation.diagnostics.clone(),
            generation,
            pinned_to: None,
        }
    }

    /// Whether all is well now.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcome != Outcome::Refused && !self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Counts it.
    pub(crate) fn count(&self, shared: &Shared) {
        let metrics = &shared.metrics;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.counter("rules_reloads_total", &[("outcome", self.outcome.as_str())]).inc();
        metrics.gauge("rules_last_reload_successful", &[]).set(i64::from(self.is_good()));
        if self.is_good() {
            let seconds = shared.host.clock.now().nanos() / 1_000_000_000;
            metrics.gauge("rules_last_reload_success_timestamp_seconds", &[]).set(seconds);
        }
        metrics.gauge("rules_generation", &[]).set(signed(self.generation.number));
        metrics.gauge("rules_stale", &[]).set(signed(self.generation.stale.len() as u64));
    }

    /// Tells the log: a line for the outcome, and one for each finding that is not among `known`.
    pub(crate) fn log(&self, known: &[Diagnostic]) {
        for diagnostic in self.diagnostics.iter().filter(|diagnostic| !known.contains(diagnostic)) {
            match diagnostic.severity {
                Severity::Error => error!("{diagnostic}"),
                Severity::Warning => warn!("{diagnostic}"),
            }
        }
        let (number, rules, trigger) =
            (self.generation.number, self.generation.rules.len(), self.cause.trigger.as_str());
        if let Some(refusal) = &self.refusal {
            let way_out = match self.is_confirmable {
                true => "Put the files back, or send SIGHUP to confirm that they are to go.",
                false => "Mend the files.",
            };
            error!(generation = number, rules, trigger, "The rules stay as they are: {refusal}. {way_out}");
            return;
        }
        let who = self.cause.who.as_deref();
        let Changes { added, removed, changed, renamed, .. } = &self.changes;
        let (added, removed, changed) = (added.len(), removed.len(), changed.len());
        let milliseconds = self.duration.as_millis() as u64;
        match self.outcome {
            Outcome::Partial => {
                let stale = self.generation.stale.iter().map(|id| &**id).collect::<Vec<_>>().join(" ");
                warn!(
                    generation = number,
                    rules,
                    stale,
                    trigger,
                    who,
                    added,
                    removed,
                    changed,
                    milliseconds,
                    "The rules are loaded in part: what is broken stays as it was."
                );
            }
            _ => info!(
                generation = number,
                rules, trigger, who, added, removed, changed, milliseconds, "The rules are loaded."
            ),
        }
        for (old, new) in renamed {
            info!(from = &**old, to = &**new, "A rule was renamed; its alerts go on.");
        }
        if let Some(pinned_to) = self.pinned_to {
            warn!(
                generation = number,
                pinned_to,
                "An earlier generation was gone back to. It stays until the files change, or somebody reloads."
            );
        }
    }
}

/// The files that differ from those that are active, and those in which something is wrong.
pub(crate) fn statuses(active: &Files, now: &Files, found: &[Diagnostic]) -> Vec<FileStatus> {
    let mut counts: BTreeMap<&Path, (usize, usize)> = BTreeMap::new();
    for diagnostic in found {
        let (errors, warnings) = counts.entry(&diagnostic.path).or_default();
        *(if diagnostic.is_error() { errors } else { warnings }) += 1;
    }
    let (before, after) = (contents(active), contents(now));
    let mut names: Vec<_> = before.keys().chain(after.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let status = |name: (bool, &Path)| {
        let state = match (before.get(&name), after.get(&name)) {
            (None, _) => FileState::Added,
            (_, None) => FileState::Removed,
            (Some(before), Some(after)) if before == after => FileState::Same,
            _ => FileState::Changed,
        };
        let (errors, warnings) = counts.get(name.1).copied().unwrap_or_default();
        FileStatus { path: name.1.to_owned(), state, errors, warnings }
    };
    let told = |status: &FileStatus| status.state != FileState::Same || status.errors + status.warnings > 0;
    names.into_iter().map(status).filter(told).collect()
}

/// Rule files, then scripts.
fn contents(files: &Files) -> BTreeMap<(bool, &Path), &Content> {
    let rules = files.rules.iter().map(|(path, content)| ((false, path.as_path()), content));
    let scripts = files.scripts.values().map(|script| ((true, script.display.as_path()), &script.content));
    rules.chain(scripts).collect()
}
