//! The scripts of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use rhai::{Dynamic, Map};
use sereno_query::Reducer;
use sereno_runtime::Clock;
use sereno_runtime::diagnostic::Diagnostic;

use crate::aggregation;
use crate::compile::{Compiler, Import};
use crate::convert::{Outcome, from_params};
use crate::engine::{self, Host};
use crate::instance::Params;
use crate::limits::Limits;
use crate::lint::{Kind, suggest};
use crate::reference::{self, FunctionDoc};
use crate::rule::RuleScript;
use crate::shipped;
use crate::unit::Unit;

const AGGREGATIONS: &str = "aggregations/";
const RULES: &str = "rules/";
const LIBRARIES: &str = "lib/";
const EXTENSION: &str = ".rhai";

/// The text of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its place in the tree of scripts, with `/`: `aggregations/p95.rhai`, `rules/disk/full.rhai`, `lib/math.rhai`.
    pub path: String,
    /// Where it is, for messages.
    pub display: PathBuf,
    /// What it says.
    pub text: Arc<str>,
}

/// The scripts of one generation, compiled. Cheap to clone; never changes.
#[derive(Clone, Debug)]
pub struct Library(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Arc<Host>,
    /// Rules and aggregations by their places.
    units: BTreeMap<String, Arc<Unit>>,
    imports: BTreeMap<String, Import>,
    aggregations: Arc<Aggregations>,
    stale: BTreeSet<String>,
}

/// The aggregations of one generation, by name.
#[derive(Debug, Default)]
pub(crate) struct Aggregations {
    reducers: BTreeMap<String, Arc<dyn Reducer>>,
    /// What those that take parameters are made from.
    units: BTreeMap<String, Arc<Unit>>,
}

impl Aggregations {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.reducers.contains_key(name)
    }

    /// The aggregation of this name, with parameters or without.
    pub(crate) fn find(&self, name: &str, params: Option<Map>) -> Outcome<Arc<dyn Reducer>> {
        let Some(reducer) = self.reducers.get(name) else {
            let hint = suggest(name, self.reducers.keys().map(String::as_str));
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("there is no aggregation `{name}`{hint}").into());
        };
        let Some(params) = params else { return Ok(reducer.clone()) };
        self.with_params(name, Dynamic::from_map(params))
            .ok_or_else(|| format!("the aggregation `{name}` takes no parameters").into())
    }

    fn with_params(&self, name: &str, params: Dynamic) -> Option<Arc<dyn Reducer>> {
        aggregation::with_params(name, self.units.get(name)?, params)
    }
}

impl Library {
    /// Compiles the scripts over the shipped aggregations, which a source of the same path replaces. What `previous`
    /// holds of the same content is taken from there. A broken script keeps its version from `previous`, marked stale
    /// ([`Library::stale`]), or is left out if there is none; the others advance. The findings come sorted by place.
    ///
    /// Costs a few milliseconds, and the compilation of what changed.
    #[must_use]
    pub fn load(
        sources: &[Source],
        limits: &Limits,
        clock: &Arc<dyn Clock>,
        previous: Option<&Self>,
    ) -> (Self, Vec<Diagnostic>) {
        let previous = previous.map(|library| &*library.0).filter(|inner| inner.host.limits == *limits);
        let host = previous.map_or_else(|| Arc::new(Host::new(limits, clock)), |inner| inner.host.clone());
        let shipped = shipped::sources();
        // Later ones replace earlier ones of the same path.
        let all: BTreeMap<&str, &Source> =
            shipped.iter().chain(sources).map(|source| (source.path.as_str(), source)).collect();
        let loader = Loader::new(host, &all, previous);
        let (inner, mut found) = loader.load(&all);
        found.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
        (Self(Arc::new(inner)), found)
    }

    /// The aggregation `NAME` of `aggregations/NAME.rhai`.
    #[must_use]
    pub fn aggregation(&self, name: &str) -> Option<Arc<dyn Reducer>> {
        self.0.aggregations.reducers.get(name).cloned()
    }

    /// The same with parameters; `None` if there is no such aggregation, or it takes none: only one whose `aggregate` has
    /// two arguments does.
    #[must_use]
    pub fn aggregation_with(&self, name: &str, params: &Params) -> Option<Arc<dyn Reducer>> {
        self.0.aggregations.with_params(name, from_params(params))
    }

    /// The names of the aggregations, sorted.
    pub fn aggregation_names(&self) -> impl Iterator<Item = &str> {
        self.0.aggregations.reducers.keys().map(String::as_str)
    }

    /// The rule script by its place below `rules/`, as rule files name it: `disk/full.rhai`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<Arc<RuleScript>> {
        let unit = self.0.units.get(&format!("{RULES}{name}"))?;
        Some(Arc::new(RuleScript::new(unit.clone(), self.0.aggregations.clone())))
    }

    /// The names of the rule scripts, sorted.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.0.units.keys().filter_map(|path| path.strip_prefix(RULES))
    }

    /// The crc32 of a script (by its place in the tree) and of all that it imports: it changes when the script may
    /// behave differently.
    #[must_use]
    pub fn crc32(&self, path: &str) -> Option<u32> {
        let unit = self.0.units.get(path).map(|unit| &unit.texts);
        unit.or_else(|| self.0.imports.get(path).map(|import| &import.texts)).map(|texts| texts.crc32())
    }

    /// All that scripts may call, in the order of `scripts/README.md`, then what comes with the language. The same for every
    /// library.
    #[must_use]
    pub fn function_reference() -> Vec<FunctionDoc> {
        reference::reference(&engine::build(&Limits::default()))
    }

    /// The places of the scripts whose newest content is broken, and whose last good version is used instead.
    pub fn stale(&self) -> impl Iterator<Item = &str> {
        self.0.stale.iter().map(String::as_str)
    }
}

/// The making of one library.
struct Loader<'a> {
    host: Arc<Host>,
    compiler: Compiler<'a>,
    previous: Option<&'a Inner>,
    found: Vec<Diagnostic>,
    stale: BTreeSet<String>,
}

static NO_IMPORTS: BTreeMap<String, Import> = BTreeMap::new();

impl<'a> Loader<'a> {
    fn new(host: Arc<Host>, all: &BTreeMap<&'a str, &'a Source>, previous: Option<&'a Inner>) -> Self {
        let libraries = all.iter().filter(|(path, _)| path.starts_with(LIBRARIES));
        let libraries = libraries.map(|(path, source)| (*path, *source)).collect();
        let last_imports = previous.map_or(&NO_IMPORTS, |inner| &inner.imports);
        let name =
            |path: &&str| Some(path.strip_prefix(AGGREGATIONS)?.trim_end_matches(EXTENSION).to_owned());
        let aggregations = all.keys().filter_map(name).collect();
        let compiler = Compiler::new(host.clone(), libraries, aggregations, last_imports);
        Self { host, compiler, previous, found: Vec::new(), stale: BTreeSet::new() }
    }

    fn load(mut self, all: &BTreeMap<&str, &Source>) -> (Inner, Vec<Diagnostic>) {
        self.compiler.compile_libraries();
        let mut units = BTreeMap::new();
        for (path, source) in all {
            let Some(kind) = self.kind(source) else { continue };
            if let Some(unit) = self.unit(source, kind) {
                self.found.extend(unit.warnings.iter().cloned());
                units.insert((*path).to_owned(), unit);
            }
        }
        let mut aggregations = Aggregations::default();
        for (path, unit) in &units {
            let Some(name) = path.strip_prefix(AGGREGATIONS) else { continue };
            let name = name.trim_end_matches(EXTENSION);
            aggregations.reducers.insert(name.to_owned(), aggregation::reducer(name, unit));
            aggregations.units.insert(name.to_owned(), unit.clone());
        }
        let aggregations = Arc::new(aggregations);
        self.found.append(&mut self.compiler.found);
        self.stale.extend(self.compiler.stale.drain(..));
        let imports = self.compiler.into_imports();
        (Inner { host: self.host, units, imports, aggregations, stale: self.stale }, self.found)
    }

    /// What a script is for, by its folder; `None` for libraries, which are compiled apart, and for strays.
    fn kind(&mut self, source: &Source) -> Option<Kind> {
        match &source.path {
            path if path.starts_with(AGGREGATIONS) => Some(Kind::Aggregation),
            path if path.starts_with(RULES) => Some(Kind::Rule),
            path if path.starts_with(LIBRARIES) => None,
            _ => {
                let stray = Diagnostic::warning(&source.display, "this script is not used");
                self.found.push(stray.hint("move it to aggregations/, rules/ or lib/"));
                None
            }
        }
    }

    fn unit(&mut self, source: &Source, kind: Kind) -> Option<Arc<Unit>> {
        let last_good = self.previous.and_then(|inner| inner.units.get(&source.path));
        if let Some(unit) = last_good.filter(|unit| self.compiler.is_current(&unit.texts, source)) {
            return Some(unit.clone());
        }
        match self.compiler.unit(source, kind) {
            Ok(unit) => Some(Arc::new(unit)),
            Err(findings) => {
                self.found.extend(findings);
                self.stale.extend(last_good.map(|_| source.path.clone()));
                last_good.cloned()
            }
        }
    }
}
