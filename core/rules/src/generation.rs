//! One generation of rules and scripts, and the one way to make one: start, reload and the offline check all call
//! [`load`], so what is accepted offline is accepted by the server.
//!
//! Invariants:
//! * a generation never changes; an evaluation keeps the one it began with;
//! * a rule that is broken now and was good before stays as it was, flagged stale, and the rest advances: no mistake
//!   in a file turns off an alert;
//! * the same files give the same generation, whatever the order in which they are found.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_runtime::Clock;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_script::{Library, Limits, Source};

use crate::compile::compile;
use crate::file::{self, Entry, Located};
use crate::files::{Content, Files};
use crate::rule::{Condition, Rule};

/// What is active: rules, scripts, and what is wrong with them.
#[derive(Debug)]
pub struct Generation {
    /// Rises by one with every change that takes effect; the first is 1.
    pub number: u64,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// The rules by their ids.
    pub rules: BTreeMap<Arc<str>, Arc<Rule>>,
    /// The scripts.
    pub library: Library,
    /// The rules whose newest version, or whose script's, is broken, and which go on with the one before.
    pub stale: BTreeSet<Arc<str>>,
    /// What is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    pub(crate) files: Files,
}

/// What scripts are compiled with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
}

impl Generation {
    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Makes a generation of files. What is broken in them is taken from `previous`, where it was good.
pub(crate) fn load(files: Files, host: &Host, previous: Option<&Generation>) -> Generation {
    let mut found = Vec::new();
    let sources = sources(&files, previous, &mut found);
    let before = previous.map(|previous| &previous.library);
    let (library, mut script_findings) = Library::load(&sources, &host.limits, &host.clock, before);
    found.append(&mut script_findings);
    let mut builder =
        Builder { library: &library, previous, rules: BTreeMap::new(), broken: Broken::default(), found };
    for (path, content) in &files.rules {
        builder.file(path, content);
    }
    let Builder { mut rules, broken, mut found, .. } = builder;
    let mut stale = keep_last_good(&mut rules, &broken, previous);
    stale.extend(rules_on_stale_scripts(&rules, &library));
    found.extend(missing(&files));
    found.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
    let number = previous.map_or(1, |previous| previous.number + 1);
    let loaded_at = host.clock.now();
    Generation { number, loaded_at, rules, library, stale, diagnostics: found, files }
}

/// The scripts to compile. One that cannot be read counts as unchanged.
fn sources(files: &Files, previous: Option<&Generation>, found: &mut Vec<Diagnostic>) -> Vec<Source> {
    let mut sources = Vec::new();
    for (path, script) in &files.scripts {
        let text = match &script.content {
            Ok(text) => Some(text),
            Err(why) => {
                found.push(Diagnostic::error(&script.display, why.clone()));
                let before = previous.and_then(|previous| previous.files.scripts.get(path));
                before.and_then(|script| script.content.as_ref().ok())
            }
        };
        sources.extend(text.map(|text| Source {
            path: path.clone(),
            display: script.display.clone(),
            text: text.clone(),
        }));
    }
    sources
}

/// What could not be read.
#[derive(Default)]
struct Broken {
    ids: BTreeSet<Arc<str>>,
    /// Files with a rule whose id is not known, which may have been any that the file defined before.
    paths: BTreeSet<PathBuf>,
}

struct Builder<'a> {
    library: &'a Library,
    previous: Option<&'a Generation>,
    rules: BTreeMap<Arc<str>, Arc<Rule>>,
    broken: Broken,
    found: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn file(&mut self, path: &Path, content: &Content) {
        let text = match content {
            Ok(text) => text,
            Err(why) => {
                self.found.push(Diagnostic::error(path, why.clone()));
                self.broken.paths.insert(path.to_owned());
                return;
            }
        };
        let mut file = file::parse(path, text);
        self.found.append(&mut file.found);
        let Some(entries) = file.entries else {
            self.broken.paths.insert(path.to_owned());
            return;
        };
        for entry in entries {
            match entry {
                Entry::Good(written) => self.rule(path, &written),
                Entry::Broken(id) => self.broken(path, id.as_deref()),
            }
        }
    }

    fn rule(&mut self, path: &Path, written: &Located) {
        match compile(written, self.library, &mut self.found) {
            Some(rule) => self.add(rule, written),
            None => self.broken(path, written.written.id.as_deref()),
        }
    }

    /// The first of two rules of one id stands.
    fn add(&mut self, rule: Rule, written: &Located) {
        match self.rules.get(&rule.id) {
            Some(first) => {
                let error = written.error(
                    &[sereno_runtime::yaml::Step::Key("id")],
                    format!("rule `{}` is defined twice", rule.id),
                );
                let place = format!("{}:{}", first.path.display(), first.line);
                self.found
                    .push(error.hint(format!("the first one is at {place} and stays; rename this one")));
            }
            None => {
                self.rules.insert(rule.id.clone(), Arc::new(rule));
            }
        }
    }

    fn broken(&mut self, path: &Path, id: Option<&str>) {
        let known = |id: &&str| self.previous.is_some_and(|previous| previous.rules.contains_key(*id));
        match id.filter(known) {
            Some(id) => self.broken.ids.insert(id.into()),
            None => self.broken.paths.insert(path.to_owned()),
        };
    }
}

/// Puts back what was good before and is broken now. Gives the ids.
fn keep_last_good(
    rules: &mut BTreeMap<Arc<str>, Arc<Rule>>,
    broken: &Broken,
    previous: Option<&Generation>,
) -> BTreeSet<Arc<str>> {
    let mut kept = BTreeSet::new();
    for (id, rule) in previous.iter().flat_map(|previous| &previous.rules) {
        let lost = broken.ids.contains(id) || broken.paths.contains(&rule.path);
        if lost && !rules.contains_key(id) {
            rules.insert(id.clone(), rule.clone());
            kept.insert(id.clone());
        }
    }
    kept
}

fn rules_on_stale_scripts(rules: &BTreeMap<Arc<str>, Arc<Rule>>, library: &Library) -> BTreeSet<Arc<str>> {
    let stale: BTreeSet<&str> = library.stale().collect();
    let uses_stale = |rule: &Rule| {
        let script = match &rule.condition {
            Condition::Script { name, .. } => stale.contains(format!("rules/{name}").as_str()),
            Condition::Threshold { .. } => false,
        };
        script
            || rule
                .value()
                .is_some_and(|value| stale.contains(format!("aggregations/{}.rhai", value.agg).as_str()))
    };
    rules.iter().filter(|(_, rule)| uses_stale(rule)).map(|(id, _)| id.clone()).collect()
}

fn missing(files: &Files) -> Vec<Diagnostic> {
    let missing = files.missing.iter().map(|path| {
        Diagnostic::warning(path, "the path does not exist").hint("it is read as soon as it appears")
    });
    let unreadable = files
        .unreadable
        .iter()
        .map(|(path, why)| Diagnostic::error(path, format!("cannot be listed: {why}")));
    missing.chain(unreadable).collect()
}
