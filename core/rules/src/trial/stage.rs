//! What tests are run on: rules and scripts from files, compiled as a server does it; one for each thread that runs
//! tests, so that scripts are compiled once for all tests that use the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::{Clock, ManualClock, RealDisk};
use sereno_script::Limits;

use super::file::{START, Source};
use crate::files::{Files, Roots};
use crate::generation::{Generation, Host, load_as};

/// What tests are run on.
pub(super) struct Stage {
    /// The clock of everything here. It stands still while something is evaluated, so no deadline ever passes, and
    /// what a script may do is a matter of its budget alone.
    pub clock: Arc<ManualClock>,
    pub host: Host,
    /// The scripts that were named for all tests.
    given: Option<Vec<PathBuf>>,
    /// Generations of scripts alone, by their folders.
    bases: BTreeMap<Vec<PathBuf>, Arc<Generation>>,
    /// The scripts that were called, by their places and files.
    pub called: BTreeSet<(PathBuf, String)>,
}

impl Stage {
    pub fn new(given: Option<Vec<PathBuf>>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let host = Host { limits: Limits::default(), clock: clock.clone(), retention: None };
        Self { clock, host, given, bases: BTreeMap::new(), called: BTreeSet::new() }
    }

    /// Scripts alone, with what is wrong in them.
    pub fn scripts(&mut self, test: &Path, named: Option<&Path>) -> Arc<Generation> {
        let folders = match (named, &self.given) {
            (Some(named), _) => vec![named.to_owned()],
            (None, Some(given)) => given.clone(),
            (None, None) => nearest_scripts(test).into_iter().collect(),
        };
        let host = &self.host;
        let load = || {
            let roots = Roots { rules: Vec::new(), scripts: folders.clone() };
            Arc::new(load_as(0, Arc::new(Files::read(&RealDisk, &roots)), host, None))
        };
        self.bases.entry(folders.clone()).or_insert_with(load).clone()
    }

    /// Rules over scripts. `previous` is what they take the place of.
    pub fn rules(
        &self,
        test: &Path,
        source: &Source,
        scripts: &Generation,
        previous: Option<&Generation>,
    ) -> Result<Generation, Diagnostic> {
        let mut files = match source {
            Source::Files(paths) => {
                Files::read(&RealDisk, &Roots { rules: paths.clone(), scripts: Vec::new() })
            }
            Source::Inline(_) => Files::default(),
        };
        if let Source::Inline(text) = source {
            files.rules.insert(test.to_owned(), Ok(text.as_str().into()));
        }
        if let Some(missing) = files.missing.first() {
            let error = Diagnostic::error(missing, "there is no such rule file");
            return Err(
                error.hint(format!("the test is in {}; `rules: FILE` is relative to it", test.display()))
            );
        }
        files.scripts = scripts.files.scripts.clone();
        let number = previous.map_or(1, |previous| previous.number + 1);
        Ok(load_as(number, Arc::new(files), &self.host, Some(previous.unwrap_or(scripts))))
    }

    /// Sets the clock: to the start of a test, or on.
    pub fn go_to(&self, time: Timestamp) {
        match time >= self.clock.now() {
            true => self.clock.advance(time.since(self.clock.now())),
            false => self.clock.step_to(time),
        }
    }
}

/// The nearest folder `scripts` upwards, or the one that the test is in.
fn nearest_scripts(test: &Path) -> Option<PathBuf> {
    let test = std::path::absolute(test).unwrap_or_else(|_| test.to_owned());
    let is_it = |folder: &Path| folder.file_name().is_some_and(|name| name == "scripts");
    test.ancestors().skip(1).find_map(|folder| match is_it(folder) {
        true => Some(folder.to_owned()),
        false => Some(folder.join("scripts")).filter(|scripts| scripts.is_dir()),
    })
}
