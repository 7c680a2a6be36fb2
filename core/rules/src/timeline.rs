//! Rules in virtual time: the evaluator without threads, queues and clocks. Rule tests, replay, plans and property tests
//! run it; notification workers do the same, many rules at a time.
//!
//! Not here: where snapshots come from, what becomes of notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, SeriesKey, TimeRange, Timestamp};
use sereno_query::Tally;
use sereno_storage::Snapshot;
use tracing::debug;

use crate::carry::carry;
use crate::evaluate::{Detail, Outcome, Parents, Tick};
use crate::generation::{Generation, Host};
use crate::instance::{RuleState, Standing};
use crate::order::in_order;
use crate::rule::Rule;

/// The rules of a generation, and where they stand.
pub(crate) struct Timeline {
    host: Host,
    generation: Arc<Generation>,
    /// In the order in which they are evaluated.
    rules: Vec<Arc<Rule>>,
    states: BTreeMap<Arc<str>, RuleState>,
    /// Of the rules that others name in `after`.
    standing: StandingOf,
    /// How much is written down.
    pub detail: Detail,
    /// The rules that are evaluated, where that is not all of them.
    only: Option<BTreeSet<Arc<str>>>,
}

/// What came of one tick.
#[derive(Debug, Default)]
pub(crate) struct TickOutcome {
    /// What came of each rule that was due, in the order in which they were evaluated. Their notifications have been
    /// taken out.
    pub rules: Vec<(Arc<str>, Outcome)>,
    /// What to tell, in order of (rule, instance).
    pub notifications: Vec<Notification>,
    /// What rules with `record` write, at the time of the tick.
    pub recorded: Vec<(SeriesKey, f64)>,
}

/// The states of the rules that others ask for.
#[derive(Debug, Default)]
struct StandingOf(BTreeMap<Arc<str>, Arc<[Standing]>>);

impl Parents for StandingOf {
    fn standing(&self, rule: &str) -> Option<Arc<[Standing]>> {
        self.0.get(rule).cloned()
    }
}

impl Timeline {
    /// All rules begin without a state.
    #[must_use]
    pub fn new(host: Host, generation: Arc<Generation>) -> Self {
        let mut timeline = Self {
            host,
            rules: Vec::new(),
            generation,
            states: BTreeMap::new(),
            standing: StandingOf::default(),
            detail: Detail::None,
            only: None,
        };
        timeline.settle_in();
        timeline
    }

    /// Evaluates only some of the rules from now on.
    pub fn narrow(&mut self, only: BTreeSet<Arc<str>>) {
        self.only = Some(only);
        self.settle_in();
    }

    /// Reads what the rules need for the ticks of `range` into memory, for whoever goes through many ticks of one
    /// snapshot; at most so many samples for each rule. What is too much is read when it is needed.
    pub fn prefetch(&mut self, snapshot: &Snapshot, range: TimeRange, samples_max: u64) {
        for rule in &self.rules {
            let Some(state) = self.states.get_mut(&rule.id) else { continue };
            let tally = Tally::new(samples_max, None);
            if let Err(error) = state.cache.prefetch(rule, snapshot, range, &tally) {
                debug!(rule = &*rule.id, error = %error, "A rule reads its samples tick by tick.");
            }
        }
    }

    /// What is active.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Evaluates every rule that is due at `tick` over what the snapshot shows then.
    pub fn tick(&mut self, tick: Timestamp, snapshot: &Snapshot) -> TickOutcome {
        self.tick_where(tick, snapshot, &mut |_| true)
    }

    /// The same, but for the rules that are not wanted: to them it is as if they had missed the tick.
    pub fn tick_where(
        &mut self,
        tick: Timestamp,
        snapshot: &Snapshot,
        is_wanted: &mut dyn FnMut(&Rule) -> bool,
    ) -> TickOutcome {
        let snapshot = snapshot.at(tick);
        let mut all = TickOutcome::default();
        for rule in &self.rules {
            if !is_tick(rule.every, tick) || !is_wanted(rule) {
                continue;
            }
            let now = Tick {
                host: &self.host,
                snapshot: &snapshot,
                tick,
                generation: self.generation.number,
                parents: &self.standing,
                detail: self.detail,
            };
            let Some(state) = self.states.get_mut(&rule.id) else { continue };
            let mut outcome = now.evaluate(rule, state);
            if let Some(standing) = self.standing.0.get_mut(&rule.id) {
                *standing = state.standing();
            }
            all.notifications.append(&mut outcome.notifications);
            all.recorded.append(&mut outcome.recorded);
            all.rules.push((rule.id.clone(), outcome));
        }
        all.notifications.sort_by(|a, b| (&a.rule, &a.instance).cmp(&(&b.rule, &b.instance)));
        all
    }

    /// The first tick of any rule after a time; `None` if there are no rules.
    #[must_use]
    pub fn next_tick(&self, after: Timestamp) -> Option<Timestamp> {
        self.rules.iter().map(|rule| last_tick(rule.every, after) + rule.every).min()
    }

    /// Goes on with other rules. What is kept is kept as a reload of the server does it; what ends is told.
    pub fn reload(&mut self, generation: Arc<Generation>, now: Timestamp) -> Vec<Notification> {
        let carried = carry(std::mem::take(&mut self.states), &self.generation, &generation, now);
        self.generation = generation;
        self.states = carried.states;
        self.settle_in();
        carried.notifications
    }

    /// The states, by the ids of their rules.
    #[must_use]
    pub fn states(&self) -> &BTreeMap<Arc<str>, RuleState> {
        &self.states
    }

    /// Goes on with other states: those that came through a restart, or that a live rule has.
    pub fn set_states(&mut self, states: BTreeMap<Arc<str>, RuleState>) {
        self.states = states;
        self.settle_in();
    }

    /// Brings everything in line with the rules that there are.
    fn settle_in(&mut self) {
        let on =
            |rule: &Arc<Rule>| rule.is_on() && self.only.as_ref().is_none_or(|only| only.contains(&rule.id));
        self.rules = in_order(&self.generation.rules).into_iter().filter(on).collect();
        self.states.retain(|id, _| self.generation.rules.get(id).is_some_and(on));
        for rule in &self.rules {
            self.states.entry(rule.id.clone()).or_default();
        }
        let parents = self.rules.iter().flat_map(|rule| &rule.after);
        self.standing.0 =
            parents.filter_map(|id| Some((id.clone(), self.states.get(id)?.standing()))).collect();
    }
}

/// Whether a rule has a tick at this time.
fn is_tick(every: Duration, time: Timestamp) -> bool {
    last_tick(every, time) == time
}

/// The newest tick at or before `time`: ticks are the multiples of `every` since the epoch.
pub(crate) fn last_tick(every: Duration, time: Timestamp) -> Timestamp {
    let every = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_nanos(time.nanos() - time.nanos().rem_euclid(every))
}
