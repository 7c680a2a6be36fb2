//! One rule at one tick: which instances there are, what each of them sees, and which events follow.
//!
//! Everything runs it: notification workers at live ticks, rule tests in virtual time, replay, explain and plans. It
//! knows no threads and no queues, and of the clock only how long it may take. What it decides depends on nothing but
//! (rule, state, snapshot, tick, the states of other rules).
//!
//! Invariants:
//! * a tick over a store that is still reading its log back is unobserved: no state changes, nothing is absent;
//! * an error or a panic in one instance leaves the rule's other instances alone, and holds its own state;
//! * instances are evaluated in order of their labels, those that broke their budget last time after all others, and
//!   told in order of their labels; once the tick has taken longer than one call may, a broken budget ends it for the
//!   rest, for which nobody has looked;
//! * a muted event is made and told all the same, and says what mutes it.

mod decide;
mod evidence;
mod group;
mod instances;
mod judge;
mod mute;
mod read;
mod recall;
mod script;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, SeriesKey, Timestamp};
use sereno_storage::{ReadError, Snapshot};

pub(crate) use evidence::Measurement;
pub(crate) use evidence::{Detail, Evidence};
pub(crate) use group::Cache;
pub(crate) use instances::closed;
pub(crate) use judge::Truth;
pub(crate) use mute::Parents;

use self::instances::Pass;
use crate::generation::Host;
use crate::instance::RuleState;
use crate::rule::{Labels, Rule};

/// How long an instance that is inactive is remembered without data.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// At how many ticks in a row a rule has to fail until it is told.
pub(crate) const FAILING_TICKS: u32 = 3;

/// One tick, for whichever rules are due at it.
#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub host: &'a Host,
    /// What there is to read; the same for all rules of the tick.
    pub snapshot: &'a Snapshot,
    pub tick: Timestamp,
    /// Which generation of the rules decides.
    pub generation: u64,
    /// The states of other rules.
    pub parents: &'a dyn Parents,
    /// How much is written down.
    pub detail: Detail,
}

/// What came out of it, beside the state.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether nothing was looked at: the store is still reading its log back.
    pub unobserved: bool,
    /// The instances of which more has changed than the passing of time tells ([`crate::state::State::go_on`]), in
    /// order of their labels.
    pub changed: Vec<Arc<Labels>>,
    /// The instances that have been forgotten.
    pub forgotten: Vec<Arc<Labels>>,
    /// Whether the memory of the rule's `decide` may have changed.
    pub memory_changed: bool,
    /// What to tell, in order of the instances.
    pub notifications: Vec<Notification>,
    /// What is written down, in the same order.
    pub evidence: Vec<Evidence>,
    /// What went wrong; several instances often fail alike.
    pub errors: Vec<InstanceError>,
    /// What the rule's `record` writes, at the time of the tick.
    pub recorded: Vec<(SeriesKey, f64)>,
    /// How many series each input has matched.
    pub matched: Vec<usize>,
    /// How many series were matched though nobody says how to group them; 0 if that is fine.
    pub ungrouped_series: usize,
    /// How many new instances were refused, because there may be no more.
    pub refused: usize,
    /// Whether a script was stopped because it used up its budget.
    pub broke_budget: bool,
    /// What scripts have used up.
    pub operations: u64,
    /// How many samples were decoded.
    pub samples: u64,
}

/// What went wrong with an instance, or with the rule as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InstanceError {
    /// `None` for the whole rule.
    pub labels: Option<Arc<Labels>>,
    /// With the name of the instance.
    pub text: String,
    pub broke_budget: bool,
}

impl Tick<'_> {
    /// Evaluates a rule, and brings its state to this tick. A tick that is not after the last one changes nothing.
    /// Cost: linear in the instances and in the samples of their windows, plus the scripts.
    pub fn evaluate(&self, rule: &Rule, state: &mut RuleState) -> Outcome {
        let mut outcome = Outcome::default();
        if state.last.is_some_and(|last| self.tick <= last) {
            return outcome;
        }
        if self.snapshot.recovering() {
            return Outcome { unobserved: true, ..outcome };
        }
        let mut cache = std::mem::take(&mut state.cache);
        // Instances are changed one by one, each when it is decided, so a panic leaves nothing half done but the rest.
        let body = AssertUnwindSafe(|| self.look(rule, state, &mut cache, &mut outcome));
        if catch_unwind(body).is_err() {
            let text = format!("{}: its evaluation panicked, which is a mistake in the server", rule.id);
            outcome.errors.push(InstanceError { labels: None, text, broke_budget: false });
            // What it was doing is not to be trusted.
            cache = Cache::default();
        }
        cache.release();
        state.cache = cache;
        outcome
    }

    fn look(&self, rule: &Rule, state: &mut RuleState, cache: &mut Cache, outcome: &mut Outcome) {
        let found = match cache.find(rule, self.snapshot, self.tick) {
            Ok(found) => found,
            Err(ReadError::Recovering) => {
                outcome.unobserved = true;
                return;
            }
            Err(error) => {
                let text = format!("{}: {error}", rule.id);
                outcome.errors.push(InstanceError { labels: None, text, broke_budget: false });
                state.failing_ticks = state.failing_ticks.saturating_add(1);
                return;
            }
        };
        found.account.open(self.host);
        Pass::new(self, rule, found, outcome).run(state);
    }
}
