//! What is kept of a rule and of its instances from tick to tick.
//!
//! Everything in [`RuleState`] but its `cache` decides what comes next, so it is what has to survive a restart
//! (`durable`), a reload (`carry`), and what a replay begins with. The cache is found again by itself.
//!
//! Not here: who may change it (the one who evaluates the rule, `evaluate`), how it is written down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_script::Memory;

use crate::evaluate::Cache;
use crate::rule::Labels;
use crate::state::{Seen, State};

/// How many ticks of an instance are remembered for people who ask.
pub(crate) const RECENT_MAX: usize = 50;

/// What is kept of a rule.
#[derive(Debug, Default)]
pub(crate) struct RuleState {
    /// Its instances, those of which there is no data any more included.
    pub instances: BTreeMap<Arc<Labels>, InstanceState>,
    /// What `decide` of its script remembers.
    pub memory: ScriptMemory,
    /// The last tick that was evaluated.
    pub last: Option<Timestamp>,
    /// At how many ticks in a row something has failed.
    pub failing_ticks: u32,
    /// How many new instances the last tick has refused, because there may be no more.
    pub refused: usize,
    /// What need not be looked up again at every tick. Not durable.
    pub cache: Cache,
}

/// What is kept of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceState {
    /// Where it stands.
    pub state: State,
    /// The value that was seen last.
    pub value: Option<f64>,
    /// What `check` of the rule's script remembers.
    pub memory: ScriptMemory,
    /// What the last tick saw; `None` before the first.
    pub seen: Option<Seen>,
    /// The last tick at which there was data, or that began it.
    pub seen_at: Option<Timestamp>,
    /// How much of the time since its newest sample nobody has looked: what `age` leaves out.
    pub unwatched: Duration,
    /// What mutes it.
    pub muting: Muting,
    /// Whether an event of this episode went to sinks: they then hear of its end, whatever mutes it.
    pub told: bool,
    /// Whether its script used up its budget at the last tick: it comes after the others then. Not durable.
    pub broke_budget: bool,
    /// The last ticks. Not durable.
    pub recent: Recent,
}

/// What a script remembers, and which script it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptMemory {
    /// `this`.
    pub this: Memory,
    /// The crc32 of the script, with what it imports, that left it behind.
    pub crc32: u32,
    /// The rule's `state_version` then.
    pub version: u32,
}

/// Whether something mutes an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Muting {
    /// The rule that does.
    pub by: Option<Arc<str>>,
    /// That rule is clear since the last tick: the instance is muted for one more, so that what the same cause has
    /// broken has time to be seen well.
    pub is_over: bool,
}

/// The last ticks of an instance, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<Brief>);

/// What one tick saw, in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Brief {
    pub tick: Timestamp,
    pub seen: Seen,
    pub value: Option<f64>,
}

impl Recent {
    /// Adds a tick; the oldest goes when there are too many.
    pub fn push(&mut self, brief: Brief) {
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(brief);
    }

    /// The ticks, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Brief> {
        self.0.iter()
    }
}

impl RuleState {
    /// A copy of what is durable, to try something out on.
    #[must_use]
    pub fn trial_copy(&self) -> Self {
        Self {
            instances: self.instances.clone(),
            memory: self.memory.clone(),
            last: self.last,
            failing_ticks: self.failing_ticks,
            refused: self.refused,
            cache: Cache::default(),
        }
    }
}

/// An instance that is not inactive, as other rules see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Which.
    pub labels: Arc<Labels>,
    /// The level at which it fires; `None` while it is pending.
    pub level: Option<sereno_model::Level>,
}

impl RuleState {
    /// How many instances fire.
    #[must_use]
    pub fn firing(&self) -> usize {
        self.instances.values().filter(|instance| instance.state.episode.is_some()).count()
    }

    /// The instances that are pending, fire or recover, in order of their labels.
    #[must_use]
    pub fn standing(&self) -> Arc<[Standing]> {
        let active = self.instances.iter().filter(|(_, instance)| !instance.state.is_inactive());
        active
            .map(|(labels, instance)| Standing { labels: labels.clone(), level: instance.state.level() })
            .collect()
    }
}
