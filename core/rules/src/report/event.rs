//! An event, with the fields that a line of the notification log has (`EVENTS.md`), but for those that only the log
//! gives: its position and when it was handled.

use serde::{Deserialize, Serialize};
use sereno_model::{Marks, Notification};

use sereno_runtime::json::{LabelMap, Number, Time, label_map};

/// What a rule tells, or would have told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field of the log's lines")]
pub struct Event {
    /// The tick that decided.
    pub tick: Time,
    /// `firing`, `resolved`, …
    pub kind: String,
    /// The level; for `resolved` and `closed` the one that ended.
    pub level: String,
    /// The level before, where it changed.
    pub previous: Option<String>,
    /// The rule's id.
    pub rule: String,
    /// The labels that tell the instance from the rule's others.
    pub instance: LabelMap,
    /// The value that decided.
    pub value: Option<Number>,
    /// The worst value since the previous word about the instance.
    pub extreme: Option<Number>,
    /// The worst value of the episode.
    pub peak: Option<Number>,
    /// Its tick.
    pub peak_at: Option<Time>,
    /// How many samples the value was taken from.
    pub samples: Option<Number>,
    /// For a human.
    pub message: String,
    /// Why, where no condition decided.
    pub reason: Option<String>,
    /// When the instance began to fire.
    pub fired_at: Time,
    /// Which episode of the instance it is, from 1.
    pub episode: u64,
    /// Attributes that the rule gives.
    pub labels: LabelMap,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// The rule that mutes this one.
    pub suppressed_by: Option<String>,
    /// There is no data at this tick.
    pub stale: bool,
    /// The instance begins to fire too often.
    pub flapping: bool,
    /// The rule only runs along.
    pub shadow: bool,
    /// It was decided long after its tick.
    pub late: bool,
    /// It was told before it was durable.
    pub undurable: bool,
    /// Which generation of the rules decided.
    pub generation: u64,
    /// The same for the same event, however often it is told.
    pub event_id: String,
}

impl From<&Notification> for Event {
    fn from(told: &Notification) -> Self {
        Self {
            tick: Time(told.tick),
            kind: told.kind.as_str().to_owned(),
            level: told.level.as_str().to_owned(),
            previous: told.previous.map(|level| level.as_str().to_owned()),
            rule: told.rule.clone(),
            instance: label_map(&told.instance),
            value: told.value.map(Number),
            extreme: told.extreme.map(Number),
            peak: told.peak.map(|(value, _)| Number(value)),
            peak_at: told.peak.map(|(_, tick)| Time(tick)),
            samples: told.samples.map(Number),
            message: told.message.clone(),
            reason: told.reason.clone(),
            fired_at: Time(told.fired_at),
            episode: told.episode,
            labels: label_map(&told.labels),
            runbook: told.runbook.clone(),
            suppressed_by: told.suppressed_by.clone(),
            stale: told.marks.stale,
            flapping: told.marks.flapping,
            shadow: told.marks.shadow,
            late: told.marks.late,
            undurable: told.marks.undurable,
            generation: told.generation,
            event_id: told.event_id.clone(),
        }
    }
}

impl Event {
    /// What it was made of; `None` if its kind or level has no meaning to this version.
    #[must_use]
    pub fn to_notification(&self) -> Option<Notification> {
        let pairs =
            |labels: &LabelMap| labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Notification {
            event_id: self.event_id.clone(),
            kind: self.kind.parse().ok()?,
            rule: self.rule.clone(),
            instance: pairs(&self.instance),
            level: self.level.parse().ok()?,
            previous: self.previous.as_deref().map(str::parse).transpose().ok()?,
            value: self.value.map(|value| value.0),
            extreme: self.extreme.map(|extreme| extreme.0),
            peak: self.peak.zip(self.peak_at).map(|(value, at)| (value.0, at.0)),
            samples: self.samples.map(|samples| samples.0),
            tick: self.tick.0,
            fired_at: self.fired_at.0,
            episode: self.episode,
            message: self.message.clone(),
            reason: self.reason.clone(),
            labels: pairs(&self.labels),
            runbook: self.runbook.clone(),
            suppressed_by: self.suppressed_by.clone(),
            marks: Marks {
                stale: self.stale,
                flapping: self.flapping,
                shadow: self.shadow,
                late: self.late,
                undurable: self.undurable,
            },
            generation: self.generation,
        })
    }
}
