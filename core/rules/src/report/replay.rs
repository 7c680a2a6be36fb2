//! What a rule would have told over stored history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::finding::Finding;
use sereno_runtime::json::{LabelMap, Number, Seconds, Time};

/// What a rule would have told over stored history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayReport {
    /// The version of this form.
    pub schema_version: u32,
    /// The rules that were replayed.
    pub rules: Vec<String>,
    /// The first tick is at or after this time.
    pub start: Time,
    /// The last tick is before this time.
    pub end: Time,
    /// When ticks before `start` were evaluated too, so that clocks run as they would have: the first of them.
    pub warm_up_from: Option<Time>,
    /// The generation whose logic was replayed; 0 for a file that the server does not run.
    pub generation: u64,
    /// How many ticks were evaluated from `start` on, of all rules.
    pub ticks: u64,
    /// How many were not, because the live rule missed them: the server was down, too late, or the rule was paused.
    pub missed_ticks: u64,
    /// How many were not, because the store could not be looked at.
    pub unobserved_ticks: u64,
    /// How many evaluations of an instance failed.
    pub errors: u64,
    /// The first few of them.
    pub first_errors: Vec<String>,
    /// How many instances were seen.
    pub instances: u64,
    /// The totals of all rules.
    pub totals: Totals,
    /// The instances with the most events, the noisiest first; at most 20.
    pub noisiest: Vec<InstanceTotals>,
    /// Every episode, in order of (`fired_at`, rule, instance).
    pub episodes: Vec<Episode>,
    /// Every event, in order of (tick, rule, instance).
    pub events: Vec<Event>,
    /// What was compared, over time, for a plot.
    pub plot: Plot,
    /// Whether, and why, the replay need not give what was recorded live.
    pub inexact: Option<Inexact>,
    /// What was noticed: the rule changed in the meantime, history begins later.
    pub notes: Vec<Note>,
    /// What is wrong in the file that was replayed.
    pub findings: Vec<Finding>,
    /// The difference to what was recorded live, when asked for.
    pub against: Option<Comparison>,
    /// Whether it was ended before its end.
    pub cancelled: bool,
    /// How long it took.
    pub seconds: Seconds,
}

/// How many of what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Events by kind: `firing`, `resolved`, …
    pub kinds: BTreeMap<String, u64>,
    /// How many episodes reached each level, by the highest that they reached.
    pub levels: BTreeMap<String, u64>,
    /// How many episodes there were.
    pub episodes: u64,
    /// How many of them have not ended.
    pub open: u64,
    /// How often an episode began less than its own length, or 15 minutes, after the one before it ended.
    pub flaps: u64,
    /// The time in which any instance fired, over all instances.
    pub firing_seconds: Seconds,
    /// The longest episode.
    pub longest_seconds: Seconds,
    /// The time between the condition and `firing`, over all episodes: the median.
    pub median_pending_seconds: Seconds,
}

impl Totals {
    /// The names by which [`Totals::get`] knows what is counted, beside the kinds and levels themselves.
    pub const NAMES: [&'static str; 18] = [
        "events",
        "fires",
        "resolves",
        "closes",
        "escalations",
        "deescalations",
        "reminders",
        "stales",
        "flappings",
        "info",
        "warn",
        "crit",
        "episodes",
        "open",
        "flaps",
        "firing_seconds",
        "longest_seconds",
        "median_pending_seconds",
    ];

    /// One of them by its name; `None` if there is no such name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let count =
            |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or(0) as f64;
        Some(match name {
            // Reminders repeat what is known.
            "events" => {
                self.kinds.iter().filter(|(kind, _)| *kind != "reminder").map(|(_, n)| *n).sum::<u64>() as f64
            }
            "fires" | "firing" => count(&self.kinds, "firing"),
            "resolves" | "resolved" => count(&self.kinds, "resolved"),
            "closes" | "closed" => count(&self.kinds, "closed"),
            "escalations" | "escalated" => count(&self.kinds, "escalated"),
            "deescalations" | "deescalated" => count(&self.kinds, "deescalated"),
            "reminders" | "reminder" => count(&self.kinds, "reminder"),
            "stales" | "stale" => count(&self.kinds, "stale"),
            "flappings" | "flapping" => count(&self.kinds, "flapping"),
            "info" | "warn" | "crit" => count(&self.levels, name),
            "episodes" => self.episodes as f64,
            "open" => self.open as f64,
            "flaps" => self.flaps as f64,
            "firing_seconds" => self.firing_seconds.0.as_secs_f64(),
            "longest_seconds" => self.longest_seconds.0.as_secs_f64(),
            "median_pending_seconds" => self.median_pending_seconds.0.as_secs_f64(),
            _ => return None,
        })
    }
}

/// How much one instance told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceTotals {
    /// The rule.
    pub rule: String,
    /// The instance.
    pub instance: LabelMap,
    /// Its events, reminders apart.
    pub events: u64,
    /// Its episodes.
    pub episodes: u64,
    /// How long it fired.
    pub firing_seconds: Seconds,
}

/// From `firing` to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Episode {
    /// The rule.
    pub rule: String,
    /// The instance.
    pub instance: LabelMap,
    /// The highest level that it reached.
    pub level: String,
    /// The tick at which the condition that made it fire began to hold, where that is known.
    pub pending_from: Option<Time>,
    /// The tick at which it began to fire.
    pub fired_at: Time,
    /// The tick at which it ended; `None` if it has not.
    pub ended_at: Option<Time>,
    /// How it ended: `resolved` or `closed`.
    pub ended_by: Option<String>,
    /// Why, when it was closed.
    pub reason: Option<String>,
    /// The worst value.
    pub peak: Option<Number>,
    /// Its tick.
    pub peak_at: Option<Time>,
    /// How many events it had, reminders apart.
    pub events: u64,
    /// How many reminders.
    pub reminders: u64,
    /// The message with which it began.
    pub message: String,
}

/// What was compared, over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plot {
    /// How long a bucket is.
    pub step: Seconds,
    /// The number in `limit` or `below`, when there is one.
    pub limit: Option<Number>,
    /// Whether low values are the bad ones.
    pub below: bool,
    /// The noisiest instances first, or where nothing fired the first ones; at most 8.
    pub instances: Vec<InstancePlot>,
}

/// One instance over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstancePlot {
    /// The rule.
    pub rule: String,
    /// The instance.
    pub instance: LabelMap,
    /// Its values; buckets without any are left out.
    pub buckets: Vec<Bucket>,
    /// When it fired.
    pub firing: Vec<Span>,
}

/// The values of one bucket of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bucket {
    /// Where it begins.
    pub at: Time,
    /// The least value.
    pub min: Number,
    /// The greatest.
    pub max: Number,
    /// The last.
    pub last: Number,
}

/// A time in which an instance fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// The level.
    pub level: String,
    /// From this tick on.
    pub from: Time,
    /// Until this one, or the end of the replay.
    pub to: Time,
}

/// Why a replay need not give what was recorded live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inexact {
    /// How many samples came, or were replaced, after ticks had looked at their time.
    pub late: u64,
    /// The time of the first of them.
    pub first: Option<Time>,
    /// The time of the last of them.
    pub last: Option<Time>,
    /// Other reasons: history that is not complete.
    pub reasons: Vec<String>,
}

/// Something to know about a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// From when on it is true, where that matters.
    pub at: Option<Time>,
    /// What.
    pub text: String,
}

/// The difference between two runs over the same time: `here`, and the live rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// What `here` is compared with: `recorded` events, or a `replay` of the live rule.
    pub with: String,
    /// The totals of the other side.
    pub totals: Totals,
    /// Episodes that overlap one of the other side, for the same instance.
    pub both: u64,
    /// Episodes that only this run has.
    pub only_here: Vec<Episode>,
    /// Episodes that only the live rule has.
    pub only_there: Vec<Episode>,
    /// Over the episodes of both: how much earlier this run fired, in seconds; negative for later. The median.
    pub median_lead_seconds: Option<Number>,
    /// Whether the events are the same, apart from their generations: what a replay of an unchanged rule must give.
    pub identical: bool,
    /// The first event that differs, of each side, as they are told.
    pub first_difference: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_known_by_their_names() {
        let mut totals = Totals { flaps: 2, open: 1, ..Totals::default() };
        totals.kinds = [("firing", 3), ("reminder", 9)].map(|(kind, count)| (kind.to_owned(), count)).into();
        for name in Totals::NAMES {
            assert!(totals.get(name).is_some(), "{name}");
        }
        let given = ["fires", "events", "reminders", "crit", "flaps", "rain"].map(|name| totals.get(name));
        assert_eq!(given, [Some(3.0), Some(3.0), Some(9.0), Some(0.0), Some(2.0), None]);
    }

    #[test]
    fn what_an_older_writer_leaves_out_reads_as_nothing() {
        let read: ReplayReport = serde_json::from_str(r#"{"rules":["a"],"ticks":3,"of_later":[1]}"#).unwrap();
        assert_eq!((read.rules, read.ticks, read.against), (vec!["a".to_owned()], 3, None));
    }
}
