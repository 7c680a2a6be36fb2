//! The scripts of one generation.

use std::path::PathBuf;
use std::sync::Arc;

use sereno_query::Reducer;
use sereno_runtime::Clock;
use sereno_runtime::diagnostic::Diagnostic;

use crate::limits::Limits;
use crate::rule::RuleScript;

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
pub struct Library {}

impl Library {
    /// Compiles the scripts over the shipped aggregations, which a source of the same path replaces. What `previous`
    /// holds of the same content is taken from there. A broken script keeps its version from `previous`, marked stale
    /// ([`Library::stale`]), or is left out if there is none; the others advance. The findings come sorted by place.
    #[must_use]
    pub fn load(
        sources: &[Source],
        limits: &Limits,
        clock: &Arc<dyn Clock>,
        previous: Option<&Self>,
    ) -> (Self, Vec<Diagnostic>) {
        let _ = (sources, limits, clock, previous);
        (Self {}, Vec::new())
    }

    /// The aggregation `NAME` of `aggregations/NAME.rhai`.
    #[must_use]
    pub fn aggregation(&self, name: &str) -> Option<Arc<dyn Reducer>> {
        let _ = name;
        None
    }

    /// The names of the aggregations, sorted.
    pub fn aggregation_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The rule script by its place below `rules/`, as rule files name it: `disk/full.rhai`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<Arc<RuleScript>> {
        let _ = name;
        None
    }

    /// The names of the rule scripts, sorted.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The crc32 of a script (by its place in the tree) and of all that it imports: it changes when the script may
    /// behave differently.
    #[must_use]
    pub fn crc32(&self, path: &str) -> Option<u32> {
        let _ = path;
        None
    }

    /// The places of the scripts whose newest content is broken, and whose last good version is used instead.
    pub fn stale(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
