//! The generations that were, for people: which there are, how two of them differ.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bundle::{Bundle, BundleError, Bundles};
use crate::changes::Changes;
use crate::files::{Content, Files};
use crate::generation::{Generation, Host};
use crate::outcome::Report;
use crate::report::{Difference, FileChange, GenerationInfo, RuleChange, SCHEMA_VERSION, Seconds, Time};

/// The generations up to the active one. Shared by the reloader, which adds to it, and those who ask.
#[derive(Debug)]
pub(crate) struct Past {
    /// `None` where nothing is stored.
    bundles: Option<Bundles>,
    /// Of the active generation.
    active: Mutex<GenerationInfo>,
}

impl Past {
    /// `active` tells of the active generation; where it was stored before, what was told of it then stands.
    pub fn new(bundles: Option<Bundles>, active: &Report) -> Self {
        let number = active.generation.number;
        let stored = bundles.as_ref().and_then(|bundles| bundles.read(number).ok()).map(|bundle| bundle.info);
        Self { bundles, active: Mutex::new(stored.unwrap_or_else(|| info(active))) }
    }

    /// Takes down that a generation has become active.
    pub fn note(&self, report: &Report) {
        *self.active() = info(report);
    }

    /// Stores the active generation, which runs in spite of `refused`.
    pub fn store(&self, active: &Generation, refused: Option<&Files>) -> io::Result<()> {
        let Some(bundles) = &self.bundles else { return Ok(()) };
        let info = self.active().clone();
        bundles.store(&Bundle::of(active, info, refused))
    }

    /// One that is stored.
    pub fn read(&self, number: u64) -> Result<Bundle, BundleError> {
        let bundles = self.bundles.as_ref().ok_or(BundleError::Missing { number })?;
        bundles.read(number)
    }

    /// All that are known, the newest first. Those that cannot be read are left out.
    pub fn all(&self) -> Vec<GenerationInfo> {
        let active = GenerationInfo { active: true, ..self.active().clone() };
        let stored = self.bundles.iter().flat_map(|bundles| {
            let numbers = bundles.numbers().unwrap_or_default();
            numbers.into_iter().rev().filter(|number| *number != active.number).collect::<Vec<_>>()
        });
        let infos: Vec<_> = stored.filter_map(|number| Some(self.read(number).ok()?.info)).collect();
        std::iter::once(active).chain(infos).collect()
    }

    /// How one differs from another. Compiles both, which takes a stack for scripts.
    pub fn difference(&self, from: u64, to: u64, host: &Host) -> Result<Difference, BundleError> {
        let (from, to) = (self.read(from)?, self.read(to)?);
        let (before, after) = (from.load(from.info.number, host), to.load(to.info.number, host));
        Ok(Difference {
            schema_version: SCHEMA_VERSION,
            from: before.number,
            to: after.number,
            rules: rule_changes(&Changes::between(&before, &after)),
            files: file_changes(&before.files, &after.files),
        })
    }

    fn active(&self) -> MutexGuard<'_, GenerationInfo> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn info(report: &Report) -> GenerationInfo {
    let generation = &report.generation;
    GenerationInfo {
        schema_version: SCHEMA_VERSION,
        number: generation.number,
        at: Time(generation.loaded_at),
        trigger: report.cause.trigger.as_str().to_owned(),
        who: report.cause.who.clone(),
        outcome: report.outcome.as_str().to_owned(),
        rules: generation.rules.len() as u64,
        files: (generation.files.rules.len() + generation.files.scripts.len()) as u64,
        seconds: Seconds(report.duration),
        changes: rule_changes(&report.changes),
        active: false,
        pinned_to: report.pinned_to,
    }
}

/// What a change means, rule by rule, in order of their ids.
pub(crate) fn rule_changes(changes: &Changes) -> Vec<RuleChange> {
    let change = |rule: &str, class: &str, from: Option<&str>| RuleChange {
        rule: rule.to_owned(),
        class: class.to_owned(),
        renamed_from: from.map(str::to_owned),
    };
    let mut all: Vec<RuleChange> = Vec::new();
    all.extend(changes.added.iter().map(|id| change(id, "added", None)));
    all.extend(changes.removed.iter().map(|id| change(id, "removed", None)));
    all.extend(changes.renamed.iter().map(|(old, new)| change(new, "renamed", Some(old))));
    all.extend(changes.classes.iter().map(|(id, class)| change(id, class.as_str(), None)));
    all.sort_by(|a, b| a.rule.cmp(&b.rule));
    all
}

/// The files that differ, rule files first.
fn file_changes(before: &Files, after: &Files) -> Vec<FileChange> {
    let mut changes = Vec::new();
    let mut paths: Vec<_> = before.rules.keys().chain(after.rules.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let texts = (before.rules.get(path), after.rules.get(path));
        changes.extend(file_change(path.display().to_string(), texts));
    }
    let mut places: Vec<_> = before.scripts.keys().chain(after.scripts.keys()).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        let (before, after) = (before.scripts.get(place), after.scripts.get(place));
        let texts = (before.map(|script| &script.content), after.map(|script| &script.content));
        let path = after.or(before).map(|script| script.display.display().to_string());
        changes.extend(file_change(path.unwrap_or_default(), texts));
    }
    changes
}

fn file_change(path: String, texts: (Option<&Content>, Option<&Content>)) -> Option<FileChange> {
    let change = match texts {
        (before, after) if before == after => return None,
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let text = |content: Option<&Content>| match content {
        Some(Ok(text)) => text.to_string(),
        Some(Err(why)) => format!("({why})\n"),
        None => String::new(),
    };
    let (before, after) = (text(texts.0), text(texts.1));
    let (from, to) = (name(&path, texts.0), name(&path, texts.1));
    let diff = similar::TextDiff::from_lines(&before, &after);
    let diff = diff.unified_diff().context_radius(3).header(&from, &to).to_string();
    Some(FileChange { path, change: change.to_owned(), diff })
}

/// As `diff` names a file that is not there.
fn name(path: &str, content: Option<&Content>) -> String {
    if content.is_some() { path.to_owned() } else { "/dev/null".to_owned() }
}
