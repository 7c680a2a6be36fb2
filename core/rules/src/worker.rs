//! Notification workers: threads that take batches of rules from their queue, evaluate them, and hand on what is to be
//! told.
//!
//! Invariants:
//! * a worker evaluates only rules whose slots the scheduler has claimed for that tick, and gives each slot back when what
//!   came of it has been handed on: events of a rule are told in order of its ticks;
//! * a batch that waits for others is given out by whoever finishes the last of them; a rule that is slow or in
//!   quarantine is waited for by nobody;
//! * a rule that takes long is the last one of its batch: the rest goes to whoever is free.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_runtime::Queue;
use sereno_runtime::queue::Refused;
use sereno_storage::Snapshot;
use tracing::{info, warn};

use crate::board::{Timing, firing_of};
use crate::calendar::{Batch, Calendar, Entry};
use crate::durable::{GenerationRecord, Record, TickRecord};
use crate::evaluate::{Detail, Outcome, Parents, Tick, closed};
use crate::instance::Standing;
use crate::meta;
use crate::outbox::{Publish, Update};
use crate::rule::Rule;
use crate::shared::Shared;
use crate::slot::{Kept, Slot};

/// A rule that takes longer keeps nobody of its batch waiting.
const LONG: Duration = Duration::from_millis(10);

/// Work for a notification worker.
#[derive(Debug)]
pub(crate) enum Job {
    /// Evaluate rules.
    Tick(Turn),
    /// End the instances of a rule.
    Close(Closing),
}

/// Rules of one batch at one tick.
#[derive(Debug)]
pub(crate) struct Turn {
    pub run: Arc<Run>,
    pub batch: Arc<Batch>,
    /// Which of the batch, by their places: those whose slots were claimed.
    pub claims: Vec<u32>,
    /// Whether others wait for these.
    pub is_awaited: bool,
}

/// A rule that is gone.
#[derive(Debug)]
pub(crate) struct Closing {
    pub slot: Arc<Slot>,
    pub rule: Arc<Rule>,
    pub reason: &'static str,
    pub at: Timestamp,
    pub generation: u64,
    /// The slot of the rule that takes its id, claimed until the end has been told.
    pub successor: Option<Arc<Slot>>,
}

/// What all batches share that are due at a tick with the same `settle`.
#[derive(Debug)]
pub(crate) struct Run {
    pub tick: Timestamp,
    pub snapshot: Snapshot,
    pub calendar: Arc<Calendar>,
    /// When the work was to begin.
    pub planned: Timestamp,
    /// Batches that wait for others, and for how many.
    waiting: Mutex<BTreeMap<usize, (usize, Turn)>>,
}

impl Run {
    pub fn new(tick: Timestamp, snapshot: Snapshot, calendar: Arc<Calendar>, planned: Timestamp) -> Self {
        Self { tick, snapshot, calendar, planned, waiting: Mutex::default() }
    }

    /// Keeps a batch until so many others are done.
    pub fn keep(&self, turn: Turn, others: usize) {
        self.waiting().insert(turn.batch.number, (others, turn));
    }

    /// A batch is done, or missed. Gives those that waited for nothing else.
    pub fn finish(&self, batch: &Batch) -> Vec<Turn> {
        if batch.before.is_empty() {
            return Vec::new();
        }
        let mut waiting = self.waiting();
        let mut free = Vec::new();
        for number in &batch.before {
            let Some((others, _)) = waiting.get_mut(number) else { continue };
            *others = others.saturating_sub(1);
            if *others == 0 {
                free.extend(waiting.remove(number).map(|(_, turn)| turn));
            }
        }
        free
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<usize, (usize, Turn)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The states of other rules at a tick.
struct Family<'a>(&'a Run);

impl Parents for Family<'_> {
    fn standing(&self, rule: &str) -> Option<Arc<[Standing]>> {
        self.0.calendar.parents.get(rule)?.standing(self.0.tick)
    }
}

/// Works until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, queue: &Queue<Job>) {
    while let Some(job) = queue.recv_blocking() {
        match job {
            Job::Tick(turn) => take(shared, turn),
            Job::Close(closing) => close(shared, closing),
        }
    }
}

/// Evaluates rules, and whatever waited for them and finds no room in the queue.
fn take(shared: &Shared, turn: Turn) {
    let mut turns = vec![turn];
    while let Some(turn) = turns.pop() {
        let (run, batch, is_awaited) = (turn.run.clone(), turn.batch.clone(), turn.is_awaited);
        let rest = evaluate(shared, turn);
        match rest.map(|rest| shared.jobs.try_send(Job::Tick(rest))) {
            None if is_awaited => turns.extend(give_out(shared, run.finish(&batch))),
            None | Some(Ok(())) => {}
            Some(Err(Refused::Full(job) | Refused::Closed(job))) => turns.extend(turn_of(job)),
        }
    }
}

/// Puts batches into the queue. Gives back those that find no room.
pub(crate) fn give_out(shared: &Shared, turns: Vec<Turn>) -> Vec<Turn> {
    let refused = |turn: Turn| match shared.jobs.try_send(Job::Tick(turn)) {
        Ok(()) => None,
        Err(Refused::Full(job) | Refused::Closed(job)) => turn_of(job),
    };
    turns.into_iter().filter_map(refused).collect()
}

fn turn_of(job: Job) -> Option<Turn> {
    match job {
        Job::Tick(turn) => Some(turn),
        Job::Close(_) => None,
    }
}

/// What a batch leaves behind.
#[derive(Default)]
struct Left {
    record: TickRecord,
    publish: Publish,
    values: Vec<(SeriesKey, f64)>,
}

/// Evaluates rules, until one takes long. Gives the rest.
fn evaluate(shared: &Shared, turn: Turn) -> Option<Turn> {
    let clock = &shared.host.clock;
    let mut left = Left::default();
    let first = turn.batch.entries.first();
    left.record = TickRecord {
        tick: turn.run.tick,
        every: first.map_or(Duration::ZERO, |entry| entry.rule.every),
        settle: first.map_or(Duration::ZERO, |entry| entry.rule.settle),
        generation: turn.run.calendar.generation.number,
        ..TickRecord::default()
    };
    let mut started = clock.monotonic();
    let late = clock.now().since(turn.run.planned);
    let began = started;
    let mut done = 0;
    for place in &turn.claims {
        let Some(entry) = turn.batch.entries.get(*place as usize) else { continue };
        shared.lateness.note(late + started.saturating_sub(began));
        let took = evaluate_one(shared, &turn.run, entry, &mut started, &mut left);
        done += 1;
        if took >= LONG && done < turn.claims.len() {
            break;
        }
    }
    if !left.values.is_empty() {
        shared.outbox.record(turn.run.tick, left.values);
    }
    shared.outbox.commit(Record::Tick(left.record), left.publish);
    for place in &turn.claims[..done] {
        if let Some(entry) = turn.batch.entries.get(*place as usize) {
            entry.slot.release();
        }
    }
    let rest = turn.claims[done..].to_vec();
    (!rest.is_empty()).then(|| Turn { claims: rest, ..turn })
}

/// `started` is when the evaluation before this one ended, and then when this one has. Gives how long it took.
fn evaluate_one(
    shared: &Shared,
    run: &Run,
    entry: &Entry,
    started: &mut Duration,
    left: &mut Left,
) -> Duration {
    let Entry { slot, rule, is_parent } = entry;
    let mut kept = slot.kept();
    if kept.ended {
        return Duration::ZERO;
    }
    kept.notice_edit(rule);
    let tick = Tick {
        host: &shared.host,
        snapshot: &run.snapshot,
        tick: run.tick,
        generation: run.calendar.generation.number,
        parents: &Family(run),
        detail: Detail::Events,
    };
    if let (true, Some(last)) = (std::mem::take(&mut kept.is_restored), kept.state.last) {
        let snapshot = run.snapshot.at(last);
        Tick { snapshot: &snapshot, tick: last, ..tick }.recall(rule, &mut kept.state);
    }
    let mut outcome = tick.evaluate(rule, &mut kept.state);
    let end = shared.host.clock.monotonic();
    let timing = Timing { end, took: end.saturating_sub(*started) };
    *started = end;
    if outcome.unobserved {
        left.publish.unobserved += 1;
        return timing.took;
    }
    if *is_parent {
        slot.stand(run.tick, kept.state.standing());
    }
    left.publish.evaluated += 1;
    let told = outcome.notifications.len();
    left.record.note(slot.number(), &kept.state, &mut outcome);
    left.values.append(&mut outcome.recorded);
    if told > 0 || !outcome.changed.is_empty() || !outcome.forgotten.is_empty() {
        left.publish.updates.push(update(slot, &kept, &outcome, told));
    }
    judge(shared, run, entry, &mut kept, &outcome, left);
    slot.record.work().note(run.tick, timing, &outcome, &kept);
    timing.took
}

/// What is to be shown of a rule.
fn update(slot: &Slot, kept: &Kept, outcome: &Outcome, notifications: usize) -> Update {
    let instances = &kept.state.instances;
    let changed = outcome.changed.iter();
    let changed = changed.map(|labels| (labels.clone(), instances.get(labels).and_then(firing_of)));
    let forgotten = outcome.forgotten.iter().map(|labels| (labels.clone(), None));
    Update { record: slot.record.clone(), firing: changed.chain(forgotten).collect(), notifications }
}

/// What the tick means for the rule's health.
fn judge(shared: &Shared, run: &Run, entry: &Entry, kept: &mut Kept, outcome: &Outcome, left: &mut Left) {
    let Entry { slot, rule, .. } = entry;
    kept.log(shared, rule, run.tick, outcome);
    let failing_ticks = kept.state.failing_ticks;
    let changed = kept.condition.note(outcome, failing_ticks);
    slot.set_slow(outcome.broke_budget);
    slot.quarantine(changed.quarantine.map(|length| run.tick + length));
    let generation = run.calendar.generation.number;
    for (what, holds, words) in changed.told {
        shared.meta.note(&rule.id, what, holds, &words, run.tick, generation, |state, mut said| {
            let notifications = said.outcome.notifications.len();
            left.record.note(shared.outbox.number(&meta::ID.into()), state, &mut said.outcome);
            let record = shared.meta.record.clone();
            left.publish.updates.push(Update { record, firing: said.firing, notifications });
        });
    }
}

impl Kept {
    /// An edited rule may be mended: what was held against it counts no more.
    fn notice_edit(&mut self, rule: &Arc<Rule>) {
        let Some(before) = self.rule.replace(rule.clone()) else { return };
        if Arc::ptr_eq(&before, rule) {
            return;
        }
        self.condition.forgive();
        if !before.reads_the_same(rule) {
            self.condition.forget_matches();
        }
    }

    /// Logs what is new about the rule.
    fn log(&mut self, shared: &Shared, rule: &Rule, tick: Timestamp, outcome: &Outcome) {
        if outcome.ungrouped_series > 0 && !self.told_ungrouped {
            self.told_ungrouped = true;
            warn!(
                rule = %rule.id, series = outcome.ungrouped_series,
                "A rule reads several series as one; say `by: [LABEL]` or `by: \"*\"` to tell them apart, or `by: []` if one is meant."
            );
        }
        if let Some(first) = outcome.errors.first() {
            let (count, first) = (outcome.errors.len(), &first.text);
            shared.metrics.counter("rule_errors_total", &[("rule", &rule.id)]).add(count as u64);
            if outcome.errors != self.errors {
                warn!(rule = %rule.id, %tick, instances = count, "A rule fails; its alerts are held.\n{first}");
            }
        } else if !self.errors.is_empty() {
            info!(rule = %rule.id, %tick, "A rule that failed works again.");
        }
        self.errors.clone_from(&outcome.errors);
    }
}

/// Ends the instances of a rule, when an evaluation under way has ended.
fn close(shared: &Shared, closing: Closing) {
    let Closing { slot, rule, reason, at, generation, successor } = closing;
    let mut kept = slot.kept();
    kept.ended = true;
    let mut update = Update { record: slot.record.clone(), ..Update::default() };
    let mut record =
        GenerationRecord { number: generation, at, why: reason.to_owned(), ..Default::default() };
    record.dropped.push(slot.number());
    for (labels, instance) in &mut kept.state.instances {
        record.notifications.extend(closed(&rule, labels, instance, at, reason, generation));
        update.firing.push((labels.clone(), None));
    }
    drop(kept);
    update.notifications = record.notifications.len();
    let publish = Publish { updates: vec![update], ..Publish::default() };
    shared.outbox.commit(Record::Generation(record), publish);
    match successor {
        Some(successor) => successor.release(),
        None => shared.forget(&rule.id, at, generation),
    }
}
