//! What is written down: as the engine has it, free of any form of bytes (`wire` gives it one).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, Timestamp};
use sereno_storage::Late;

use super::wire;
pub(crate) use crate::pause::Pause;
use crate::rule::Labels;
use crate::state::{Seen, State};

/// One thing that is written down as a whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// The number that stands for a rule in this file from here on.
    Named { number: u32, rule: Arc<str> },
    /// Rules that were evaluated at one tick, with all that came of it.
    Tick(TickRecord),
    /// Ticks that were not evaluated.
    Missed(Missed),
    /// Samples that came after a tick had looked at their time.
    Late(Vec<Late>),
    /// Another generation of rules took over.
    Generation(GenerationRecord),
    /// All notifications up to this number are done with, for the log file or a sink.
    Delivered { to: Arc<str>, up_to: u64 },
    /// A rule is not evaluated for a while, or is again.
    Paused { number: u32, pause: Option<Pause> },
}

/// Rules that were evaluated at one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TickRecord {
    pub tick: Timestamp,
    /// The time between two ticks, the same for all of them.
    pub every: Duration,
    pub settle: Duration,
    /// Which generation of the rules decided.
    pub generation: u64,
    /// What the snapshot of the tick showed: the position of each queue of the store. Once for a tick is enough.
    pub cut: Vec<u64>,
    /// The rules all of whose instances took this tick in. Of an instance that is not in `changed`, nothing happened
    /// but what [`State::go_on`] does. A rule that left some of its instances out (its budget broke) is not here, and
    /// has all that took part in `changed`.
    pub evaluated: Vec<u32>,
    /// Those of which more is to be told, in the order of evaluation.
    pub changed: Vec<ChangedRule>,
    /// What goes out, in order.
    pub notifications: Vec<Notification>,
    /// Why, for every instance that told something.
    pub evidence: Vec<wire::Evidence>,
}

/// A rule of which more is to be told than that it was evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChangedRule {
    pub number: u32,
    /// What is kept of the rule itself: if its memory changed, and whenever something fails.
    pub own: Option<SavedOwn>,
    /// Instances as they are now; `None` for one that is forgotten.
    pub instances: Vec<(Arc<Labels>, Option<SavedInstance>)>,
}

/// What is kept of a rule beside its instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SavedOwn {
    /// What `decide` of its script remembers.
    pub memory: SavedMemory,
    /// At how many ticks in a row something has failed.
    pub failing_ticks: u32,
}

/// What a script remembers, as bytes, and which script it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SavedMemory {
    pub bytes: Vec<u8>,
    pub crc32: u32,
    pub version: u32,
}

/// What is kept of an instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SavedInstance {
    pub state: State,
    /// The value that was seen when this was written.
    pub value: Option<f64>,
    pub memory: SavedMemory,
    pub seen: Option<Seen>,
    /// The last tick at which there was data, or that began it.
    pub seen_at: Option<Timestamp>,
    /// How much of the time since its newest sample nobody has looked.
    pub unwatched: Duration,
    pub muted_by: Option<Arc<str>>,
    pub mute_is_over: bool,
    /// Whether an event of this episode went to sinks.
    pub told: bool,
}

/// What is kept of a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SavedRule {
    pub own: SavedOwn,
    /// The last tick that was evaluated.
    pub last: Option<Timestamp>,
    pub pause: Option<Pause>,
    pub instances: BTreeMap<Arc<Labels>, SavedInstance>,
}

/// Ticks that were not evaluated: the server was down or too slow, the rule was paused, nothing could be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    pub rules: Vec<u32>,
    /// The first and the last of them.
    pub first: Timestamp,
    pub last: Timestamp,
    pub reason: String,
}

/// Another generation of rules took over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GenerationRecord {
    pub number: u64,
    pub at: Timestamp,
    /// What asked for it, and who.
    pub why: String,
    /// Rules whose state goes on under another number: (from, to).
    pub moved: Vec<(u32, u32)>,
    /// Rules whose state ends, after the moves.
    pub dropped: Vec<u32>,
    /// What was told of the instances that end.
    pub notifications: Vec<Notification>,
}

impl SavedInstance {
    /// Takes in a tick of which nothing was written.
    pub fn go_on(&mut self, tick: Timestamp, every: Duration) {
        self.state.go_on(tick, every);
        if self.state.data.read {
            self.seen_at = Some(tick);
        }
    }
}

impl Record {
    /// The numbers that it uses, of which its file has to say what they stand for.
    pub fn rules(&self) -> impl Iterator<Item = u32> + '_ {
        let many: &[u32] = match self {
            Self::Tick(tick) => &tick.evaluated,
            Self::Missed(missed) => &missed.rules,
            Self::Generation(generation) => &generation.dropped,
            Self::Paused { number, .. } => std::slice::from_ref(number),
            Self::Named { .. } | Self::Late(_) | Self::Delivered { .. } => &[],
        };
        let changed: &[ChangedRule] = if let Self::Tick(tick) = self { &tick.changed } else { &[] };
        let moved: &[(u32, u32)] = match self {
            Self::Generation(generation) => &generation.moved,
            _ => &[],
        };
        let changed = changed.iter().map(|rule| rule.number);
        let moved = moved.iter().flat_map(|(from, to)| [*from, *to]);
        many.iter().copied().chain(changed).chain(moved)
    }

    /// What goes out with it.
    pub fn notifications(&self) -> &[Notification] {
        match self {
            Self::Tick(tick) => &tick.notifications,
            Self::Generation(generation) => &generation.notifications,
            _ => &[],
        }
    }
}
