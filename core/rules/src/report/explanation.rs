//! Why an instance is as it is, and what a rule would say now.

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::finding::Finding;
use sereno_runtime::json::{LabelMap, Number, Seconds, Time};

/// Why an instance of a rule is as it is: from the samples to the event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// The version of this form.
    pub schema_version: u32,
    /// The rule's id.
    pub rule: String,
    /// Where it is defined.
    pub path: String,
    /// The line there.
    pub line: u32,
    /// How the rule fares.
    pub health: String,
    /// The generation that decided at that tick.
    pub generation: u64,
    /// Where this comes from: `recorded` (the evidence kept of a transition), `live` (the state now) or `rerun`
    /// (evaluated again over stored samples).
    pub source: String,
    /// The instance.
    pub instance: InstanceLook,
    /// The event or events of that tick.
    pub events: Vec<Event>,
    /// Where they went: `log`, `monitors`, the names of sinks; or why not.
    pub told: Vec<String>,
    /// The last events of the instance, the newest last.
    pub history: Vec<Event>,
    /// The instance's last ticks, the newest last.
    pub recent: Vec<Recent>,
    /// In a sentence: why it does not fire, or why it does.
    pub why: String,
    /// Whether, and why, this need not be what was seen at that tick.
    pub inexact: Option<String>,
    /// The instances that the rule has, when the one asked for is not among them.
    pub known: Vec<LabelMap>,
}

/// What a rule would say now, without any state being changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluated {
    /// The version of this form.
    pub schema_version: u32,
    /// The tick that was evaluated.
    pub tick: Time,
    /// What is wrong in the files.
    pub findings: Vec<Finding>,
    /// Each rule.
    pub rules: Vec<EvaluatedRule>,
}

/// What one rule would say now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluatedRule {
    /// Its id.
    pub rule: String,
    /// What its inputs match in all.
    pub inputs: Vec<InputLook>,
    /// Its instances, in order of their labels.
    pub instances: Vec<InstanceLook>,
    /// What went wrong.
    pub errors: Vec<String>,
    /// Whether the store could not be looked at yet.
    pub unobserved: bool,
    /// Operations that its scripts took.
    pub operations: u64,
    /// Samples that were read.
    pub samples: u64,
    /// How long it took.
    pub seconds: Seconds,
}

/// One instance at one tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceLook {
    /// Its labels.
    pub instance: LabelMap,
    /// The tick.
    pub tick: Time,
    /// Which override applies, from 1; 0 is the rule itself.
    pub variant: u32,
    /// `live`, `shadow` or `off`.
    pub mode: String,
    /// What was read.
    pub inputs: Vec<InputLook>,
    /// The text of `require`, if the rule has one.
    pub require: Option<String>,
    /// Whether it held; `None` when something in it is missing.
    pub require_holds: Option<bool>,
    /// The text of `value`, if the rule has one.
    pub value_text: Option<String>,
    /// The value that was compared.
    pub value: Option<Number>,
    /// What was seen: `judged`, `absent`, `held`, `failed`, `beat`.
    pub seen: String,
    /// The script that decided.
    pub script: Option<String>,
    /// Its verdict, as a script would write it: `alert("crit", 97)`.
    pub verdict: Option<String>,
    /// What it traced.
    pub traces: Vec<TraceLook>,
    /// What went wrong.
    pub error: Option<String>,
    /// Each level, the lowest first.
    pub levels: Vec<LevelLook>,
    /// The state before the tick; `None` where nothing is known of it.
    pub before: Option<StateLook>,
    /// The state after it.
    pub after: Option<StateLook>,
    /// What mutes it.
    pub suppressed: Option<Suppressed>,
    /// What it would tell, when nothing was told.
    pub would_tell: Vec<Event>,
}

/// What one input gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputLook {
    /// Its name; `v` in the short form.
    pub name: String,
    /// Which series it reads.
    pub selector: String,
    /// The aggregation over time.
    pub agg: Option<String>,
    /// How series are joined.
    pub across: Option<String>,
    /// How far back it reads.
    pub window_seconds: Seconds,
    /// How long before the tick the window ends.
    pub offset_seconds: Seconds,
    /// Where the window begins.
    pub from: Time,
    /// Where it ends.
    pub to: Time,
    /// How many series match: of the instance, or of the whole rule.
    pub matched: u64,
    /// The first few of them.
    pub series: Vec<SeriesLook>,
    /// The value.
    pub value: Option<Number>,
    /// Whether that is the one of `else`, because there were no samples.
    pub is_else: bool,
    /// How many samples were read.
    pub samples: Option<u64>,
    /// The time of the newest of them.
    pub newest: Option<Time>,
}

/// One series of an input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeriesLook {
    /// In the text form.
    pub series: String,
    /// How many samples it has in the window.
    pub samples: u64,
    /// The last of them.
    pub last: Option<Number>,
    /// Its time.
    pub last_at: Option<Time>,
}

/// One level of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LevelLook {
    /// The level.
    pub level: String,
    /// The condition; `None` where a script decides.
    pub when: Option<String>,
    /// Whether it held; `None` when something in it is missing.
    pub holds: Option<bool>,
    /// When it has ceased to hold, where that is said.
    pub clear: Option<String>,
    /// Whether that held.
    pub is_clear: Option<bool>,
    /// How long it has held.
    pub held_seconds: Option<Seconds>,
    /// How long it must.
    pub for_seconds: Seconds,
}

/// What a script noted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceLook {
    /// Its name.
    pub name: String,
    /// As text.
    pub value: String,
}

/// Where an instance stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateLook {
    /// `inactive`, `pending`, `firing`, `recovering`.
    pub state: String,
    /// The level at which it fires or is pending.
    pub level: Option<String>,
    /// The tick at which it began to fire.
    pub fired_at: Option<Time>,
    /// Which episode it is, or was last; 0 for none.
    pub episode: u64,
    /// The worst value of the episode.
    pub peak: Option<Number>,
    /// Its tick.
    pub peak_at: Option<Time>,
    /// Whether its data is missing.
    pub stale: bool,
    /// Whether it begins to fire too often.
    pub flapping: bool,
    /// What it waits for.
    pub clocks: Clocks,
    /// Of its data.
    pub absence: AbsenceClock,
}

/// What an instance waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// While it is pending: how long the condition has held.
    pub pending_seconds: Option<Seconds>,
    /// Of how long it must.
    pub for_seconds: Option<Seconds>,
    /// While it recovers: how long everything has been clear.
    pub clear_seconds: Option<Seconds>,
    /// Of how long it must.
    pub recover_for_seconds: Option<Seconds>,
    /// When it reminds next, if nothing else is told before.
    pub reminder_at: Option<Time>,
}

/// How long data has been missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbsenceClock {
    /// When the newest sample was taken.
    pub newest: Option<Time>,
    /// The interval at which samples come.
    pub interval_seconds: Option<Seconds>,
    /// How long it has been quiet, by what was observed.
    pub quiet_seconds: Seconds,
    /// How long it must be, to count as absent.
    pub patience_seconds: Seconds,
    /// Whether it counts as absent.
    pub absent: bool,
    /// What follows: `keep`, `resolve`, `alert`.
    pub then: String,
}

/// What mutes an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Suppressed {
    /// The rule.
    pub by: String,
    /// The labels in which they agree.
    pub on: Vec<String>,
}

/// One of the last ticks of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// The tick.
    pub tick: Time,
    /// What was seen.
    pub seen: String,
    /// The highest level whose condition held.
    pub level: Option<String>,
    /// The value.
    pub value: Option<Number>,
}
