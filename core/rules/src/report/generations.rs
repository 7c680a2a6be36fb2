//! The generations of rules that a server has run, and how two of them differ.

use serde::{Deserialize, Serialize};

use sereno_runtime::json::{Seconds, Time};

/// A generation of the rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationInfo {
    /// The version of this form.
    pub schema_version: u32,
    /// Its number; never used twice.
    pub number: u64,
    /// When it became active.
    pub at: Time,
    /// What made it: `start`, `files`, `signal`, `request`, `rollback`.
    pub trigger: String,
    /// Who asked for it, where somebody did.
    pub who: Option<String>,
    /// `applied`, `partial`, `refused`.
    pub outcome: String,
    /// How many rules it has.
    pub rules: u64,
    /// How many files.
    pub files: u64,
    /// How long it took to make.
    pub seconds: Seconds,
    /// What changed, by rule.
    pub changes: Vec<RuleChange>,
    /// Whether it is the one that runs.
    pub active: bool,
    /// Whether the server keeps it although the files differ: the number of the generation that was gone back to.
    pub pinned_to: Option<u64>,
}

/// What a change means for a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleChange {
    /// Its id.
    pub rule: String,
    /// `added`, `removed`, `text`, `logic`, `identity`, `renamed`, `moved`.
    pub class: String,
    /// Its id before, when it was renamed.
    pub renamed_from: Option<String>,
}

/// How two generations differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// The version of this form.
    pub schema_version: u32,
    /// The number of the one.
    pub from: u64,
    /// The number of the other.
    pub to: u64,
    /// The rules that differ, in order of ids.
    pub rules: Vec<RuleChange>,
    /// The files that differ, in order of paths.
    pub files: Vec<FileChange>,
}

/// How a file differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// `added`, `removed`, `changed`.
    pub change: String,
    /// The change as a unified diff.
    pub diff: String,
}
