//! What other files would mean for the rules that run.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use sereno_runtime::json::{LabelMap, Number, Time};

/// What other files would mean for the rules that run, if they were loaded now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The version of this form.
    pub schema_version: u32,
    /// The generation that runs, with which they are compared.
    pub generation: u64,
    /// The tick at which they were evaluated.
    pub tick: Time,
    /// What is wrong in the files.
    pub findings: Vec<Finding>,
    /// The rules that would be different, in order of ids.
    pub rules: Vec<PlannedRule>,
    /// How many rules would stay as they are.
    pub unchanged: u64,
    /// Why a reload would be refused, if so.
    pub refusal: Option<String>,
}

/// What would become of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedRule {
    /// Its id.
    pub rule: String,
    /// `added`, `removed`, `text`, `logic`, `identity`, `renamed`, `moved`.
    pub class: String,
    /// Its id before, when it was renamed.
    pub renamed_from: Option<String>,
    /// The file that defines it.
    pub path: String,
    /// The line in it.
    pub line: u32,
    /// Instances that would begin to fire, or to be pending.
    pub opens: Vec<PlannedInstance>,
    /// Instances that fire or are pending, and would be closed, or clear.
    pub closes: Vec<PlannedInstance>,
    /// Instances that fire and would do so at another level.
    pub changes: Vec<PlannedInstance>,
    /// How many instances would go on as they are: fire, be pending, or neither.
    pub keeps: u64,
    /// What went wrong when it was evaluated.
    pub errors: Vec<String>,
    /// Whether the store could not be looked at, and so nothing is said of instances.
    pub unobserved: bool,
}

/// What would become of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedInstance {
    /// Its labels.
    pub instance: LabelMap,
    /// Where it stands: `inactive`, `pending`, `firing`, `recovering`.
    pub state: String,
    /// Where it would stand.
    pub becomes: String,
    /// The level that it has.
    pub level: Option<String>,
    /// The level that it would have.
    pub becomes_level: Option<String>,
    /// The value that would decide.
    pub value: Option<Number>,
    /// Why, where no condition decides.
    pub reason: Option<String>,
}

impl Plan {
    /// Whether anything would be different.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.rules.is_empty()
    }
}
