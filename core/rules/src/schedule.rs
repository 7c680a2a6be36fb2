//! When rules are evaluated: a tick of a rule is a multiple of its `every` since the epoch, exactly; only the start
//! of the work may be late.
//!
//! One thread sleeps until the next tick that is due. It takes one snapshot of the store for all rules due then, puts
//! their evaluations on the queue `notifications`, and sleeps again; nobody spins.
//!
//! Invariants:
//! * a tick of a rule is evaluated at most once, even if the wall clock steps back; ticks that a step forward or a
//!   slow evaluation skips are counted as missed (`rule_missed_ticks_total`), never made up for;
//! * a rule never overlaps itself: while its state is away with a worker, its ticks are missed;
//! * a rule whose last evaluation broke its budget waits in a lane of its own, with one worker for all such rules;
//! * the state of a rule outlives every change of its file that keeps its identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::queue::Refused;
use sereno_storage::Snapshot;
use tracing::warn;

use crate::generation::Generation;
use crate::rule::Rule;
use crate::shared::Shared;
use crate::worker::{Job, RuleState, What};

/// The longest sleep: bounds how late a step of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A wall clock that is this far behind the last tick is worth a warning.
const STEP_BACK_MIN: Duration = Duration::from_secs(5);

/// What the scheduler is told.
#[derive(Debug, Default)]
pub(crate) struct News {
    done: Vec<Done>,
    /// Whether the scheduler waits for a state to come back.
    eager: bool,
    /// Look again: rules have changed, or a clock that is moved by hand has been.
    pub look: bool,
    pub stop: bool,
}

/// An evaluation has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub rule: Arc<str>,
    pub ticket: u64,
    pub state: RuleState,
    pub broke_budget: bool,
}

impl News {
    /// Takes back a state. Gives whether the scheduler must hear of it before its next tick.
    pub fn done(&mut self, done: Done) -> bool {
        self.done.push(done);
        self.eager
    }
}

/// A rule, and when it is due.
struct Slot {
    ticket: u64,
    rule: Arc<Rule>,
    next: Timestamp,
    last: Option<Timestamp>,
    /// `None` while it is away with a worker.
    state: Option<RuleState>,
    slow: bool,
}

/// The scheduler; owns the states of all rules that are not being evaluated.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
    slots: BTreeMap<Arc<str>, Slot>,
    due: BTreeSet<(Timestamp, Arc<str>)>,
    /// Evaluations under way of rules that are gone, and why those are gone.
    leaving: BTreeMap<u64, (Arc<Rule>, &'static str)>,
    tickets: u64,
    told_step_back: bool,
}

impl Scheduler {
    pub fn new(shared: Arc<Shared>) -> Self {
        let generation = shared.active.load_full();
        let mut scheduler = Self {
            shared,
            generation: generation.clone(),
            slots: BTreeMap::new(),
            due: BTreeSet::new(),
            leaving: BTreeMap::new(),
            tickets: 0,
            told_step_back: false,
        };
        scheduler.follow(&generation);
        scheduler
    }

    /// Runs until told to stop; then the queues are closed, and the workers finish what is in them.
    pub fn run(mut self) {
        loop {
            let (done, stop) = self.wait();
            done.into_iter().for_each(|done| self.take_back(done));
            if stop {
                break;
            }
            let active = self.shared.active.load_full();
            if !Arc::ptr_eq(&active, &self.generation) {
                self.follow(&active);
            }
            self.start_due();
        }
        self.shared.jobs.close();
        self.shared.slow_jobs.close();
    }

    fn wait(&self) -> (Vec<Done>, bool) {
        let eager = !self.leaving.is_empty();
        let limit = self.sleep();
        let told = self.shared.news.wait(limit, |news| {
            news.eager = eager;
            // Without haste, what has come back is taken when the next tick is due: no thread wakes for it alone.
            let look = std::mem::take(&mut news.look) || news.stop || (eager && !news.done.is_empty());
            look.then(|| (std::mem::take(&mut news.done), news.stop))
        });
        told.unwrap_or_else(|| self.shared.news.update(|news| (std::mem::take(&mut news.done), news.stop)))
    }

    fn sleep(&self) -> Duration {
        match self.due.first() {
            Some((next, _)) => next.since(self.shared.host.clock.now()).min(SLEEP_MAX),
            None => SLEEP_MAX,
        }
    }

    fn take_back(&mut self, done: Done) {
        if let Some((rule, reason)) = self.leaving.remove(&done.ticket) {
            return self.close(done.ticket, rule, done.state, reason);
        }
        if let Some(slot) = self.slots.get_mut(&done.rule).filter(|slot| slot.ticket == done.ticket) {
            slot.slow = done.broke_budget;
            slot.state = Some(done.state);
        }
    }

    /// Follows a change of the rules.
    fn follow(&mut self, generation: &Arc<Generation>) {
        self.generation = generation.clone();
        let live = |id: &Arc<str>| generation.rules.get(id).filter(|rule| rule.live);
        let ids: Vec<Arc<str>> = self.slots.keys().cloned().collect();
        for id in ids {
            let reason = match (live(&id), generation.rules.contains_key(&id)) {
                (Some(rule), _) if rule.same_identity(&self.slots[&id].rule) => continue,
                (Some(_), _) => "its `metric` or `by` has changed",
                (None, true) => "the rule was turned off",
                (None, false) => "the rule was removed",
            };
            self.end(&id, reason);
        }
        for rule in generation.rules.values().filter(|rule| rule.live) {
            self.enter(rule);
        }
    }

    fn end(&mut self, id: &Arc<str>, reason: &'static str) {
        let Some(slot) = self.slots.remove(id) else { return };
        self.due.remove(&(slot.next, id.clone()));
        self.shared.board.remove(id);
        match slot.state {
            Some(state) => self.close(slot.ticket, slot.rule, state, reason),
            None => {
                self.leaving.insert(slot.ticket, (slot.rule, reason));
            }
        }
    }

    fn close(&self, ticket: u64, rule: Arc<Rule>, state: RuleState, reason: &'static str) {
        let tick = self.shared.host.clock.now();
        let generation = self.generation.clone();
        let job = Job { ticket, rule, state, tick, generation, what: What::Close(reason) };
        // The lane of slow rules: telling may have to wait for room, and no tick shall wait for that.
        if self.shared.slow_jobs.send_blocking(job).is_err() {
            warn!("The server stops; the end of a rule is not told.");
        }
    }

    /// Takes up a rule, or its new version.
    fn enter(&mut self, rule: &Arc<Rule>) {
        let now = self.shared.host.clock.now();
        match self.slots.get_mut(&rule.id) {
            None => {
                self.tickets += 1;
                let next = first_tick(rule.every, now);
                let state = RuleState::default();
                self.shared.board.show(&rule.id, &state.record);
                let slot = Slot {
                    ticket: self.tickets,
                    rule: rule.clone(),
                    next,
                    last: None,
                    state: Some(state),
                    slow: false,
                };
                self.due.insert((next, rule.id.clone()));
                self.slots.insert(rule.id.clone(), slot);
            }
            Some(slot) => {
                if slot.rule.every != rule.every {
                    self.due.remove(&(slot.next, rule.id.clone()));
                    let after = slot.last.map_or(now, |last| now.max(last + Duration::from_nanos(1)));
                    slot.next = first_tick(rule.every, after);
                    self.due.insert((slot.next, rule.id.clone()));
                }
                let record = self.shared.board.get(&rule.id);
                if let Some(record) = record.filter(|_| !slot.rule.reads_the_same(rule)) {
                    record.work().matched = false;
                }
                slot.rule = rule.clone();
            }
        }
    }

    /// Starts what is due, all of it over one snapshot.
    fn start_due(&mut self) {
        let now = self.shared.host.clock.now();
        self.notice_step_back(now);
        if self.due.first().is_none_or(|(next, _)| *next > now) {
            return;
        }
        let snapshot = self.shared.store.snapshot();
        while let Some((next, id)) = self.due.first().filter(|(next, _)| *next <= now).cloned() {
            self.due.remove(&(next, id.clone()));
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let tick = last_tick(slot.rule.every, now);
            let mut missed = tick.since(next).as_nanos() / slot.rule.every.as_nanos();
            slot.last = Some(tick);
            slot.next = tick + slot.rule.every;
            self.due.insert((slot.next, id.clone()));
            if !start(&self.shared, &self.generation, slot, tick, &snapshot) {
                missed += 1;
            }
            if missed > 0 {
                let missed = u64::try_from(missed).unwrap_or(u64::MAX);
                self.shared.metrics.counter("rule_missed_ticks_total", &[("rule", &id)]).add(missed);
                if let Some(record) = self.shared.board.get(&id) {
                    record.work().missed_ticks += missed;
                }
            }
        }
    }

    fn notice_step_back(&mut self, now: Timestamp) {
        let last = self.slots.values().filter_map(|slot| slot.last).max();
        let behind = last.map_or(Duration::ZERO, |last| last.since(now));
        let far = behind >= STEP_BACK_MIN;
        if far && !self.told_step_back {
            warn!(
                seconds = behind.as_secs(),
                "The wall clock was set back; rules wait until it has passed the ticks that they have seen."
            );
        }
        self.told_step_back = far;
    }
}

/// Hands a rule's tick to the workers; `false` if the tick is missed.
fn start(
    shared: &Shared,
    generation: &Arc<Generation>,
    slot: &mut Slot,
    tick: Timestamp,
    snapshot: &Snapshot,
) -> bool {
    let Some(state) = slot.state.take() else { return false };
    let what = What::Evaluate(snapshot.at(tick));
    let job = Job {
        ticket: slot.ticket,
        rule: slot.rule.clone(),
        state,
        tick,
        generation: generation.clone(),
        what,
    };
    let queue = if slot.slow { &shared.slow_jobs } else { &shared.jobs };
    match queue.try_send(job) {
        Ok(()) => true,
        Err(Refused::Full(job) | Refused::Closed(job)) => {
            slot.state = Some(job.state);
            false
        }
    }
}

/// The newest tick at or before `now`.
fn last_tick(every: Duration, now: Timestamp) -> Timestamp {
    let every = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_nanos(now.nanos() - now.nanos().rem_euclid(every))
}

/// The first tick at or after `now`.
fn first_tick(every: Duration, now: Timestamp) -> Timestamp {
    let last = last_tick(every, now);
    if last == now { now } else { last + every }
}
