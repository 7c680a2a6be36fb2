//! A rule as the server understands it, defaults included.

use serde::{Deserialize, Serialize};

use sereno_runtime::json::{LabelMap, Number, Seconds, Time};

/// A rule as the server understands it, defaults included, and how it fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleDetail {
    /// The version of this form.
    pub schema_version: u32,
    /// Its id.
    pub rule: String,
    /// The file that defines it.
    pub path: String,
    /// The line in it.
    pub line: u32,
    /// The generation that runs.
    pub generation: u64,
    /// The id that its state was kept under before.
    pub renamed_from: Option<String>,
    /// What makes instances: the labels; `*` alone for one instance per series.
    pub by: Vec<String>,
    /// The time between two ticks.
    pub every_seconds: Seconds,
    /// How long after a tick its data is taken to be complete.
    pub settle_seconds: Seconds,
    /// What it reads.
    pub inputs: Vec<InputDetail>,
    /// The number compared.
    pub value: Option<String>,
    /// What must hold for a verdict.
    pub require: Option<String>,
    /// The script that decides.
    pub script: Option<String>,
    /// The rule itself, then its overrides.
    pub variants: Vec<VariantDetail>,
    /// Instances that must report.
    pub expect: Vec<LabelMap>,
    /// At least so many must.
    pub expect_min: u64,
    /// The series that its value is written to.
    pub record: Option<String>,
    /// What mutes it: the ids.
    pub suppressed_by: Vec<String>,
    /// The rules evaluated before it.
    pub after: Vec<String>,
    /// How many instances it may have.
    pub max_instances: u64,
    /// What it says.
    pub message: Option<String>,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// The file's own text of it, where that is known.
    pub source: Option<String>,
    /// How it fares.
    pub health: String,
    /// What went wrong last.
    pub error: Option<String>,
    /// How many instances are known.
    pub instances: u64,
    /// How many of them fire.
    pub firing: u64,
    /// How many ticks have been evaluated.
    pub evaluations: u64,
    /// How many have been missed.
    pub missed_ticks: u64,
    /// The last tick that was evaluated.
    pub last_tick: Option<Time>,
    /// The next one.
    pub next_tick: Option<Time>,
    /// How long the last one took.
    pub last_seconds: Option<Seconds>,
    /// Until when it is paused.
    pub paused_until: Option<Time>,
    /// Why.
    pub paused_why: Option<String>,
}

/// What a rule reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputDetail {
    /// Its name; `v` in the short form.
    pub name: String,
    /// Which series.
    pub selector: String,
    /// The aggregation over time.
    pub agg: Option<String>,
    /// How series are joined.
    pub across: Option<String>,
    /// How far back it reads.
    pub window_seconds: Seconds,
    /// How long before the tick the window ends.
    pub offset_seconds: Seconds,
    /// The value where there are no samples.
    pub otherwise: Option<Number>,
}

/// The rule itself, or one of its overrides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariantDetail {
    /// Which instances: matchers by label, as they are written; none for the rule itself.
    pub only: LabelMap,
    /// `live`, `shadow` or `off`.
    pub mode: String,
    /// Its levels, the lowest first.
    pub levels: Vec<LevelDetail>,
    /// How long everything must be clear before it is resolved.
    pub recover_for_seconds: Seconds,
    /// How long it is silent before it reminds; 0 for never.
    pub reminder_seconds: Seconds,
    /// What missing data means: `keep`, `resolve`, `alert crit`.
    pub absent_then: String,
    /// When missing data counts as absent: `3x` or a time.
    pub absent_after: String,
    /// How long after that an alert is closed; none for never.
    pub close_after_seconds: Option<Seconds>,
    /// What a script reads as `params`, as texts.
    pub params: LabelMap,
    /// Attributes of its notifications.
    pub labels: LabelMap,
}

/// A level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LevelDetail {
    /// Which.
    pub level: String,
    /// When it holds; none where a script decides.
    pub when: Option<String>,
    /// When it has ceased to.
    pub clear: Option<String>,
    /// How long it must hold.
    pub for_seconds: Seconds,
}
