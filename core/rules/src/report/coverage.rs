//! What the tests of a run have reached.

use serde::{Deserialize, Serialize};

/// What the tests of a run have reached, of the rules and scripts that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// Every rule of the files under test, in order of ids.
    pub rules: Vec<RuleCoverage>,
    /// Every script and aggregation that the folders under test define, in order of names.
    pub scripts: Vec<ScriptCoverage>,
}

/// What became of a rule in the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleCoverage {
    /// Its id.
    pub rule: String,
    /// The file that defines it.
    pub path: String,
    /// The line in it.
    pub line: u32,
    /// How many tests evaluated it.
    pub tests: u64,
    /// The kinds of events that it has told in any test.
    pub kinds: Vec<String>,
    /// Its levels, and those of its overrides.
    pub levels: Vec<LevelCoverage>,
}

/// A level of a rule or of one of its overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LevelCoverage {
    /// The level; `any` where only a script knows which it has.
    pub level: String,
    /// Which override, from 1; 0 is the rule itself.
    pub variant: u32,
    /// Whether any test made it fire.
    pub fired: bool,
}

/// A script, and whether any test called it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScriptCoverage {
    /// Its path below the scripts folder, like `rules/zscore.rhai`.
    pub script: String,
    /// Whether any test called it.
    pub called: bool,
}

impl RuleCoverage {
    /// Whether every level of it, and of its overrides, has fired in some test.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tests > 0 && self.levels.iter().all(|level| level.fired)
    }
}

impl Coverage {
    /// How many levels have fired, of how many.
    #[must_use]
    pub fn levels(&self) -> (usize, usize) {
        let all = self.rules.iter().flat_map(|rule| &rule.levels);
        let fired = all.clone().filter(|level| level.fired).count();
        (fired, all.count())
    }

    /// How many rules are reached by a test, of how many.
    #[must_use]
    pub fn tested(&self) -> (usize, usize) {
        (self.rules.iter().filter(|rule| rule.tests > 0).count(), self.rules.len())
    }
}
