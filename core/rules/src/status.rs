//! What there is, for people: the rules with their health, and the alerts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Level, Timestamp};

use crate::board::{Firing, Record};
use crate::generation::Generation;
use crate::pause::Pause;
use crate::rule::{Labels, Limit, Rule};
use crate::state::Worse;
use crate::template::number_text;

/// How a rule fares; where several are true, the one that is listed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It was evaluated, and nothing is wrong.
    Ok,
    /// It has not been evaluated yet.
    Waiting,
    /// One of its inputs has never matched a series.
    Unmatched,
    /// It has as many instances as it may, and new ones are refused.
    Limited,
    /// Its newest version, or its script's, is broken; the last good one runs.
    Stale,
    /// Its last evaluation failed, for one instance at least; alerts that fire are held.
    Error,
    /// It breaks its budget again and again, and is evaluated only now and then.
    Quarantined,
    /// Somebody has stopped it for a while.
    Paused,
    /// It is not evaluated, because its file says so.
    Off,
}

impl Health {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Waiting,
        Self::Unmatched,
        Self::Limited,
        Self::Stale,
        Self::Error,
        Self::Quarantined,
        Self::Paused,
        Self::Off,
    ];

    /// The name in listings and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Unmatched => "unmatched",
            Self::Limited => "limited",
            Self::Stale => "stale",
            Self::Error => "error",
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule, and how it fares. The counts begin when the server starts, and again when the rule's identity changes.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatus {
    /// Its name.
    pub id: Arc<str>,
    /// The file that defines it.
    pub path: PathBuf,
    /// The line in it.
    pub line: u32,
    /// Which series it reads, in the text form of selectors.
    pub selector: String,
    /// The aggregation that gives its value, if it has one.
    pub agg: Option<String>,
    /// The script that decides, if one does: its name below `rules/`.
    pub script: Option<String>,
    /// How far back it reads.
    pub window: Duration,
    /// The time between two ticks.
    pub every: Duration,
    /// When it fires, if a limit decides: `>= 10`, `< 5`.
    pub limit: Option<String>,
    /// At which level it fires, if a limit decides.
    pub level: Option<Level>,
    /// How it fares.
    pub health: Health,
    /// Whether its newest version, or its script's, is broken.
    pub is_stale: bool,
    /// What went wrong at the last tick, for the first instance that failed.
    pub error: Option<String>,
    /// How many instances are known.
    pub instances: usize,
    /// How many of them fire.
    pub firing: usize,
    /// How many ticks have been evaluated.
    pub evaluations: u64,
    /// How many ticks have been missed.
    pub missed_ticks: u64,
    /// The last tick that was evaluated.
    pub last_tick: Option<Timestamp>,
    /// How long that took.
    pub last_duration: Option<Duration>,
    /// The longest evaluation of the last minute or two, or the last one if there was none then.
    pub longest_duration: Option<Duration>,
    /// Until when it is paused, and why.
    pub paused: Option<Pause>,
}

impl RuleStatus {
    /// `now` by the monotonic clock.
    pub(crate) fn new(
        rule: &Rule,
        generation: &Generation,
        record: &Record,
        now: Duration,
        paused: Option<Pause>,
    ) -> Self {
        let work = record.work();
        let is_stale = generation.stale.contains(&rule.id);
        let health = match () {
            () if !rule.is_on() => Health::Off,
            () if paused.is_some() => Health::Paused,
            () if work.is_quarantined => Health::Quarantined,
            () if work.error.is_some() => Health::Error,
            () if is_stale => Health::Stale,
            () if work.last_tick.is_none() => Health::Waiting,
            () if work.refused > 0 => Health::Limited,
            () if work.is_unmatched => Health::Unmatched,
            () => Health::Ok,
        };
        let main = rule.main_input();
        let limit = rule.variants[0].limit.map(limit_text);
        let level = rule.variants[0].levels.last().map(|level| level.level);
        let script = rule.script().map(|script| script.name.clone());
        Self {
            id: rule.id.clone(),
            path: rule.path.clone(),
            line: rule.line,
            selector: main.map_or_else(String::new, |input| input.selector.to_string()),
            agg: main.and_then(|input| input.value.as_ref()).map(|value| value.agg.clone()),
            script,
            window: rule.window(),
            every: rule.every,
            limit,
            level,
            health,
            is_stale,
            error: work.error.clone(),
            instances: work.instances,
            firing: work.firing.len(),
            evaluations: work.evaluations,
            missed_ticks: work.missed_ticks,
            last_tick: work.last_tick,
            last_duration: work.last_duration,
            longest_duration: work.longest(now),
            paused,
        }
    }
}

fn limit_text(limit: Limit) -> String {
    match limit.worse {
        Worse::Higher => format!(">= {}", number_text(limit.number)),
        Worse::Lower => format!("< {}", number_text(limit.number)),
    }
}

/// An instance that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The labels that tell this instance from the rule's others, in order of their names.
    pub instance: Labels,
    /// How bad it is now.
    pub level: Level,
    /// The tick at which it began to fire.
    pub since: Timestamp,
    /// The value that was seen last.
    pub value: Option<f64>,
    /// What was last told about it.
    pub message: Option<String>,
}

/// The alerts of a rule, in order of their labels.
pub(crate) fn alerts(rule: &Arc<str>, record: &Record) -> Vec<Alert> {
    let alert = |(instance, firing): (&Arc<Labels>, &Firing)| Alert {
        rule: rule.clone(),
        instance: instance.to_vec(),
        level: firing.level,
        since: firing.since,
        value: firing.value,
        message: firing.message.as_deref().map(str::to_owned),
    };
    record.work().firing.iter().map(alert).collect()
}
