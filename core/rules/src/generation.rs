//! One generation of rules and scripts, and the one way to make one: start, reload and the offline check all call
//! [`load`], so what is accepted offline is accepted by the server.
//!
//! Invariants:
//! * a generation never changes; an evaluation keeps the one it began with;
//! * a rule that is broken now and was good before stays as it was, flagged stale, and the rest advances: no mistake
//!   in a file turns off an alert;
//! * the same files give the same generation, whatever the order in which they are found;
//! * a generation knows of what it was made, its last good versions included ([`Generation::bases`]), so that the same
//!   can be made again after a restart.
//!
//! Only what has changed is compiled: a rule file whose text and whose scripts are the same is taken over as it is.

pub(crate) mod part;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::Clock;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_script::{Library, Limits, Source};

use crate::compile::{Around, Known, link};
use crate::files::{Content, Files, Script};
use crate::rule::Rule;
use part::{Part, defined_twice, place_of};

/// What is active: rules, scripts, and what is wrong with them.
#[derive(Debug)]
pub struct Generation {
    /// Rises with every change that takes effect, and never repeats; the first is 1.
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
    pub(crate) files: Arc<Files>,
    /// The files of the earlier generations that what is stale comes from, by their numbers: loaded one over the other,
    /// and these files over them, they give this generation.
    pub(crate) bases: BTreeMap<u64, Arc<Files>>,
    parts: BTreeMap<PathBuf, Arc<Part>>,
    /// What is wrong in the scripts.
    script_findings: Vec<Diagnostic>,
    /// The texts of scripts that cannot be read, from when they could be.
    remembered: BTreeMap<String, Arc<str>>,
    /// For each rule and script that is stale: the generations that it takes to make it again.
    origins: Origins,
}

/// What scripts are compiled with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    /// How long samples are kept, where that is known: rules that read further back are warned of.
    pub retention: Option<Duration>,
}

/// Where last good versions come from.
#[derive(Debug, Default)]
struct Origins {
    rules: BTreeMap<Arc<str>, BTreeSet<u64>>,
    scripts: BTreeMap<String, BTreeSet<u64>>,
}

impl Generation {
    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The text of a script as far as it could be read.
    fn script_text(&self, place: &str) -> Option<&Arc<str>> {
        let now = self.files.scripts.get(place).and_then(|script| script.content.as_ref().ok());
        now.or_else(|| self.remembered.get(place))
    }
}

/// Makes a generation of files. What is broken in them is taken from `previous`, where it was good.
pub(crate) fn load(files: Files, host: &Host, previous: Option<&Generation>) -> Generation {
    let number = previous.map_or(1, |previous| previous.number + 1);
    load_as(number, Arc::new(files), host, previous)
}

/// The same, with a number.
pub(crate) fn load_as(
    number: u64,
    files: Arc<Files>,
    host: &Host,
    previous: Option<&Generation>,
) -> Generation {
    let Scripts { library, findings, remembered, changed } = Scripts::load(&files, host, previous);
    let around = Around { library: &library, retention: host.retention };
    let mut builder = Builder::new(around, previous);
    for (path, content) in &files.rules {
        builder.file(path, content, changed);
    }
    let Builder { parts, mut rules, broken, mut found, .. } = builder;
    let mut kept = keep_last_good(&mut rules, &broken, previous);
    tie(&mut rules, &mut kept, broken, previous, &mut found);
    let stale: BTreeSet<Arc<str>> =
        kept.iter().cloned().chain(rules_on_stale_scripts(&rules, &library)).collect();
    found.extend(findings.iter().cloned());
    found.extend(missing(&files));
    found.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
    let old_scripts = library.stale().chain(remembered.keys().map(String::as_str));
    let origins = previous.map(|previous| Origins::of(&kept, old_scripts, previous)).unwrap_or_default();
    let bases = previous.map(|previous| bases(&origins, previous)).unwrap_or_default();
    Generation {
        number,
        loaded_at: host.clock.now(),
        rules,
        library,
        stale,
        diagnostics: found,
        files,
        bases,
        parts,
        script_findings: findings,
        remembered,
        origins,
    }
}

/// The scripts of a generation.
struct Scripts {
    library: Library,
    findings: Vec<Diagnostic>,
    remembered: BTreeMap<String, Arc<str>>,
    /// Whether they may differ from those before.
    changed: bool,
}

impl Scripts {
    fn load(files: &Files, host: &Host, previous: Option<&Generation>) -> Self {
        if let Some(previous) = previous.filter(|previous| previous.files.scripts == files.scripts) {
            return Self {
                library: previous.library.clone(),
                findings: previous.script_findings.clone(),
                remembered: previous.remembered.clone(),
                changed: false,
            };
        }
        let (mut findings, mut remembered) = (Vec::new(), BTreeMap::new());
        for (place, script) in &files.scripts {
            if let Err(why) = &script.content {
                findings.push(Diagnostic::error(&script.display, why.clone()));
                let text = previous.and_then(|previous| previous.script_text(place));
                remembered.extend(text.map(|text| (place.clone(), text.clone())));
            }
        }
        let source = |(place, script): (&String, &Script)| {
            // One that cannot be read counts as unchanged.
            let text = script.content.as_ref().ok().or_else(|| remembered.get(place))?.clone();
            Some(Source { path: place.clone(), display: script.display.clone(), text })
        };
        let sources: Vec<Source> = files.scripts.iter().filter_map(source).collect();
        let before = previous.map(|previous| &previous.library);
        let (library, mut found) = Library::load(&sources, &host.limits, &host.clock, before);
        findings.append(&mut found);
        Self { library, findings, remembered, changed: true }
    }
}

/// What could not be read.
#[derive(Default)]
struct Broken {
    ids: BTreeSet<Arc<str>>,
    /// Files with a rule whose id is not known, which may have been any that the file defined before.
    paths: BTreeSet<PathBuf>,
    /// All ids of rules that are written, whether there was a good version of them or not.
    written: BTreeSet<Arc<str>>,
    /// Whether there are rules whose ids could not even be read.
    unreadable: bool,
}

struct Builder<'a> {
    around: Around<'a>,
    previous: Option<&'a Generation>,
    parts: BTreeMap<PathBuf, Arc<Part>>,
    rules: BTreeMap<Arc<str>, Arc<Rule>>,
    broken: Broken,
    found: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn new(around: Around<'a>, previous: Option<&'a Generation>) -> Self {
        Self {
            around,
            previous,
            parts: BTreeMap::new(),
            rules: BTreeMap::new(),
            broken: Broken::default(),
            found: Vec::new(),
        }
    }

    fn file(&mut self, path: &Path, content: &Content, scripts_changed: bool) {
        let text = match content {
            Ok(text) => text,
            Err(why) => {
                self.found.push(Diagnostic::error(path, why.clone()));
                self.broken.paths.insert(path.to_owned());
                self.broken.unreadable = true;
                return;
            }
        };
        let before = self.previous.and_then(|previous| previous.parts.get(path));
        let part = match before.filter(|part| part.text == *text) {
            Some(part) if !scripts_changed || part.suits(self.around.library) => part.clone(),
            _ => Arc::new(Part::compile(path, text, self.around)),
        };
        self.add(path, &part);
        self.parts.insert(path.to_owned(), part);
    }

    fn add(&mut self, path: &Path, part: &Part) {
        self.found.extend(part.found.iter().cloned());
        if part.is_unreadable {
            self.broken.paths.insert(path.to_owned());
            self.broken.unreadable = true;
        }
        for id in &part.broken {
            self.broken(path, id.as_deref());
        }
        for rule in &part.rules {
            // The first of two rules of one id stands.
            match self.rules.get(&rule.id) {
                Some(first) => self.found.push(defined_twice(rule, &part.text, first)),
                None => {
                    self.rules.insert(rule.id.clone(), rule.clone());
                }
            }
        }
    }

    fn broken(&mut self, path: &Path, id: Option<&str>) {
        self.broken.unreadable |= id.is_none();
        self.broken.written.extend(id.map(Arc::from));
        let known = |id: &&str| self.previous.is_some_and(|previous| previous.rules.contains_key(*id));
        match id.filter(known) {
            Some(id) => self.broken.ids.insert(id.into()),
            None => self.broken.paths.insert(path.to_owned()),
        };
    }
}

impl Origins {
    /// Where the rules that were `kept`, and the scripts that are not what their files say, come from.
    fn of<'a>(
        kept: &BTreeSet<Arc<str>>,
        old_scripts: impl Iterator<Item = &'a str>,
        previous: &Generation,
    ) -> Self {
        let before = &previous.origins;
        // What was good there was made of its files, and of the scripts that were stale there.
        let of_previous = || -> BTreeSet<u64> {
            before.scripts.values().flatten().copied().chain([previous.number]).collect()
        };
        let rule = |id: &Arc<str>| {
            let origin = before.rules.get(id).cloned().unwrap_or_else(of_previous);
            (id.clone(), origin)
        };
        let script = |place: &str| {
            let origin = before.scripts.get(place).cloned().unwrap_or_else(of_previous);
            (place.to_owned(), origin)
        };
        Self { rules: kept.iter().map(rule).collect(), scripts: old_scripts.map(script).collect() }
    }
}

/// The files that it takes to make again what is stale.
fn bases(origins: &Origins, previous: &Generation) -> BTreeMap<u64, Arc<Files>> {
    let needed: BTreeSet<u64> =
        origins.rules.values().chain(origins.scripts.values()).flatten().copied().collect();
    let all = previous.bases.iter().map(|(number, files)| (*number, files));
    let all = all.chain([(previous.number, &previous.files)]);
    all.filter(|(number, _)| needed.contains(number)).map(|(number, files)| (number, files.clone())).collect()
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

/// Ties the rules to each other. One whose links are wrong is as broken as any other: its last good version goes on.
fn tie(
    rules: &mut BTreeMap<Arc<str>, Arc<Rule>>,
    kept: &mut BTreeSet<Arc<str>>,
    broken: Broken,
    previous: Option<&Generation>,
    found: &mut Vec<Diagnostic>,
) {
    let Broken { mut written, unreadable, .. } = broken;
    loop {
        let wrong = link(rules, Known { stale: kept, broken: &written, unreadable }, found);
        if wrong.is_empty() {
            return;
        }
        for id in wrong {
            rules.remove(&id);
            if let Some(before) = previous.and_then(|previous| previous.rules.get(&id)) {
                rules.insert(id.clone(), before.clone());
                kept.insert(id.clone());
            }
            written.insert(id);
        }
    }
}

fn rules_on_stale_scripts(rules: &BTreeMap<Arc<str>, Arc<Rule>>, library: &Library) -> BTreeSet<Arc<str>> {
    let stale: BTreeSet<&str> = library.stale().collect();
    if stale.is_empty() {
        return BTreeSet::new();
    }
    let uses_stale = |rule: &Rule| {
        let script =
            rule.script().is_some_and(|script| stale.contains(format!("rules/{}", script.name).as_str()));
        let aggregation = rule
            .inputs
            .iter()
            .filter_map(|input| input.value.as_ref())
            .any(|value| stale.contains(place_of(&value.agg).as_str()));
        script || aggregation
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
