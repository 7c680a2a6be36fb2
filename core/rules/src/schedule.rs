//! When rules are evaluated: a tick of a rule is a multiple of its `every` since the epoch, exactly; only the start
//! of the work may be later, by `settle`.
//!
//! One thread sleeps until the next tick that is due. It takes one snapshot of the store for all rules due then with the
//! same `settle`, puts them on the queue `notifications` in batches, and sleeps again; nobody spins.
//!
//! Invariants:
//! * a tick of a rule is evaluated at most once, even if the wall clock steps back: then rules wait until it has passed
//!   the ticks that they have seen; ticks that a step forward or a slow evaluation skips are counted as missed
//!   (`rule_missed_ticks_total`), with the reason, never made up for;
//! * a rule never overlaps itself: while it is being evaluated, its ticks are missed;
//! * a rule whose last evaluation broke its budget waits in a lane of its own, with one worker for all such rules;
//! * the state of a rule outlives every change of its file that keeps its identity;
//! * where very many rules are due at once, they are given out at the pace of about one processor, so that whoever stores
//!   and asks meanwhile is not kept waiting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_runtime::queue::Refused;
use tracing::warn;

use crate::calendar::{Batch, Calendar, Entry, Group};
use crate::carry::{Fate, REMOVED, fates};
use crate::durable::{GenerationRecord, Missed, Record};
use crate::evaluate::closed;
use crate::generation::Generation;
use crate::health::{Condition, What};
use crate::instance::RuleState;
use crate::meta;
use crate::outbox::Publish;
use crate::rule::{EditClass, Rule};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::timeline::last_tick;
use crate::worker::{Closing, Job, Run, Turn, give_out};

/// The longest sleep: bounds how late a step of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A wall clock that is this far behind the last tick is worth a word.
const STEP_BACK_MIN: Duration = Duration::from_secs(5);
/// So many rules are given out at once; more, at a pace.
const AT_ONCE: usize = 1_000;
/// About what a rule costs.
const PACE: Duration = Duration::from_nanos(1_500);
/// What spreads the rules of a tick at most, and as a part of their `every`.
const SPREAD_MAX: Duration = Duration::from_millis(250);
const SPREAD_PART: u32 = 10;

/// Ticks that were missed, the first and the last of them, with the reason; and by which rules.
type Gaps = BTreeMap<(Timestamp, Timestamp, &'static str), Vec<u32>>;

/// What the scheduler is told.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Look again: rules have changed, or a clock that is moved by hand has been.
    pub look: bool,
    pub stop: bool,
}

/// The scheduler; gives out rules, and knows where their states are.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    calendar: Arc<Calendar>,
    slots: BTreeMap<Arc<str>, Arc<Slot>>,
    /// The next tick of each (`every`, `settle`). Never goes back.
    next: BTreeMap<(Duration, Duration), Timestamp>,
    /// What is to be given out a little later, by the monotonic clock.
    paced: VecDeque<(Duration, Turn)>,
    newest_tick: Option<Timestamp>,
    is_set_back: bool,
    /// How many batches the store had refused at the last tick.
    refused_batches: u64,
}

impl Scheduler {
    /// `before` is what was active when the last server ended: the states that it left behind belong to its rules, and
    /// are carried over as by a reload.
    pub fn new(shared: Arc<Shared>, before: Option<Arc<Generation>>) -> Self {
        let active = shared.active.load_full();
        let knows_before = before.is_some();
        let generation = before.unwrap_or_else(|| active.clone());
        let nothing = Calendar::new(generation.clone(), &BTreeMap::new());
        let mut scheduler = Self {
            refused_batches: shared.outbox.store.refused_batches(),
            shared,
            calendar: Arc::new(nothing),
            slots: BTreeMap::new(),
            next: BTreeMap::new(),
            paced: VecDeque::new(),
            newest_tick: None,
            is_set_back: false,
        };
        scheduler.take_up(&generation);
        if Arc::ptr_eq(&generation, &active) {
            scheduler.note_generation(&active, Vec::new());
        } else {
            scheduler.follow(&active);
        }
        scheduler.forget_unknown(knows_before);
        scheduler
    }

    /// Runs until told to stop; then the queues are closed, and the workers finish what is in them.
    pub fn run(mut self) {
        while !self.wait() {
            let active = self.shared.active.load_full();
            if !Arc::ptr_eq(&active, &self.calendar.generation) {
                self.follow(&active);
            }
            self.start_due();
            self.give_out_paced();
        }
        self.shared.jobs.close();
        self.shared.slow_jobs.close();
    }

    /// Sleeps until something is due or new. Gives whether to stop.
    fn wait(&self) -> bool {
        let told = self.shared.news.wait(self.sleep(), |news| {
            let look = std::mem::take(&mut news.look) || news.stop;
            look.then_some(news.stop)
        });
        told.unwrap_or(false)
    }

    fn sleep(&self) -> Duration {
        let clock = &self.shared.host.clock;
        let now = clock.now();
        let due = self.next.iter().map(|((_, settle), next)| (*next + *settle).since(now)).min();
        let paced = self.paced.front().map(|(at, _)| at.saturating_sub(clock.monotonic()));
        [due, paced].into_iter().flatten().fold(SLEEP_MAX, Duration::min)
    }

    /// Follows a change of the rules.
    fn follow(&mut self, generation: &Arc<Generation>) {
        let before = self.calendar.generation.clone();
        let mut kept = BTreeMap::new();
        let (mut ended, mut moved) = (Vec::new(), Vec::new());
        for (id, fate) in fates(&before, generation) {
            let Some(slot) = self.slots.remove(&id) else { continue };
            match fate {
                Fate::Stays(class) => {
                    if class > EditClass::Text {
                        slot.quarantine(None);
                    }
                    kept.insert(id, slot);
                }
                Fate::Moves(heir) => {
                    let number = self.shared.outbox.number(&heir);
                    moved.push((slot.number(), number));
                    slot.renumber(number);
                    self.shared.pauses.rename(&id, &heir);
                    self.shared.board.remove(&id);
                    self.shared.board.show(&heir, &slot.record);
                    kept.insert(heir, slot);
                }
                Fate::Ends(reason) => {
                    self.shared.pauses.set(&id, None);
                    self.shared.board.remove(&id);
                    ended.push((slot, before.rules[&id].clone(), reason));
                }
            }
        }
        self.slots = kept;
        self.note_generation(generation, moved);
        self.take_up(generation);
        for (slot, rule, reason) in ended {
            self.close(slot, rule, reason, generation.number);
        }
        self.next
            .retain(|key, _| self.calendar.groups.iter().any(|group| (group.every, group.settle) == *key));
    }

    /// Has it kept that another generation decides from now on.
    fn note_generation(&self, generation: &Generation, moved: Vec<(u32, u32)>) {
        let (number, at) = (generation.number, self.shared.host.clock.now());
        let record = GenerationRecord { number, at, moved, ..GenerationRecord::default() };
        self.shared.outbox.commit(Record::Generation(record), Publish::default());
    }

    fn close(&self, slot: Arc<Slot>, rule: Arc<Rule>, reason: &'static str, generation: u64) {
        let at = self.shared.host.clock.now();
        // A rule that takes its place is not evaluated before its end has been told.
        let successor = self.slots.get(&rule.id).filter(|successor| successor.claim(at)).cloned();
        let job = Job::Close(Closing { slot, rule, reason, at, generation, successor });
        // The lane of slow rules: telling may have to wait for room, and no tick shall wait for that.
        if self.shared.slow_jobs.send_blocking(job).is_err() {
            warn!("The server stops; the end of a rule is not told.");
        }
    }

    /// Makes the calendar of a generation. Rules without a slot begin anew.
    fn take_up(&mut self, generation: &Arc<Generation>) {
        let now = self.shared.host.clock.now();
        for rule in generation.rules.values().filter(|rule| rule.is_on()) {
            self.slots.entry(rule.id.clone()).or_insert_with(|| {
                let state = self.shared.recovered(&rule.id).unwrap_or_default();
                let condition = Condition::with_told(self.shared.meta.holds(&rule.id));
                let slot = Arc::new(Slot::new(self.shared.outbox.number(&rule.id), state, condition));
                slot.show();
                self.shared.board.show(&rule.id, &slot.record);
                slot
            });
        }
        self.slots.retain(|id, _| generation.rules.get(id).is_some_and(|rule| rule.is_on()));
        self.calendar = Arc::new(Calendar::new(generation.clone(), &self.slots));
        self.shared.slots.store(Arc::new(self.slots.clone()));
        for group in &self.calendar.groups {
            let next = || first_tick(group.every, now - group.settle);
            self.next.entry((group.every, group.settle)).or_insert_with(next);
        }
    }

    /// What was said before a restart about rules that there are not any more, and states that nobody took up.
    fn forget_unknown(&self, knows_before: bool) {
        let (shared, generation) = (&self.shared, self.calendar.generation.number);
        let now = shared.host.clock.now();
        let is_gone = |rule: &String| rule != meta::ALL && !self.slots.contains_key(rule.as_str());
        for rule in shared.meta.rules().into_iter().filter(is_gone) {
            shared.forget(&rule, now, generation);
        }
        if !knows_before {
            for rule in shared.left_over() {
                warn!(%rule, "The state of a rule was kept, but nothing is known of the rule; its alerts wait for it.");
            }
            return;
        }
        // The last server removed them, and died before it could tell so.
        for (id, state) in shared.take_left_over() {
            self.end_left_over(&id, state, now, generation);
        }
    }

    fn end_left_over(&self, id: &Arc<str>, mut state: RuleState, now: Timestamp, generation: u64) {
        let outbox = &self.shared.outbox;
        let rule = meta::stand_in(id);
        let instances = state.instances.iter_mut();
        let told = instances.filter_map(|(labels, it)| closed(&rule, labels, it, now, REMOVED, generation));
        let record = GenerationRecord {
            number: generation,
            at: now,
            why: REMOVED.to_owned(),
            dropped: vec![outbox.number(id)],
            notifications: told.collect(),
            ..GenerationRecord::default()
        };
        outbox.commit(Record::Generation(record), Publish::default());
    }

    /// Starts what is due; all that has the same tick and `settle` over one snapshot.
    fn start_due(&mut self) {
        let now = self.shared.host.clock.now();
        self.notice_step_back(now);
        let calendar = self.calendar.clone();
        let mut due: BTreeMap<(Timestamp, Duration), Vec<&Group>> = BTreeMap::new();
        for group in &calendar.groups {
            let Some(next) = self.next.get_mut(&(group.every, group.settle)) else { continue };
            if *next + group.settle > now {
                continue;
            }
            let tick = last_tick(group.every, now - group.settle);
            let missed = tick.since(*next).as_nanos() / group.every.as_nanos().max(1);
            *next = tick + group.every;
            due.entry((tick, group.settle)).or_default().push(group);
            if missed > 0 {
                let missed = u64::try_from(missed).unwrap_or(u64::MAX);
                let entries = group.batches.iter().flat_map(|number| &calendar.batches[*number].entries);
                entries.for_each(|entry| self.miss(entry, missed, "late"));
            }
        }
        for ((tick, settle), groups) in due {
            self.start(tick, settle, &groups);
        }
    }

    fn start(&mut self, tick: Timestamp, settle: Duration, groups: &[&Group]) {
        let shared = self.shared.clone();
        self.newest_tick = self.newest_tick.max(Some(tick));
        shared.outbox.store.settle(tick);
        let snapshot = shared.outbox.store.snapshot().at(tick);
        shared.outbox.late(shared.outbox.store.take_late());
        if self.is_refusing() {
            let rules: usize = groups.iter().map(|group| group.rules).sum();
            let entries = groups.iter().flat_map(|group| &group.batches);
            let entries = entries.flat_map(|number| &self.calendar.batches[*number].entries);
            entries.for_each(|entry| entry.slot.miss("refused"));
            shared.outbox.unobserved(rules as u64);
            return;
        }
        let run = Arc::new(Run::new(tick, snapshot, self.calendar.clone(), tick + settle));
        let numbers: BTreeSet<usize> =
            groups.iter().flat_map(|group| group.batches.iter().copied()).collect();
        let (mut ready, mut gaps) = (Vec::new(), Gaps::new());
        for number in groups.iter().flat_map(|group| &group.batches) {
            let batch = self.calendar.batches[*number].clone();
            let claims = self.claim(&run, &batch, &mut gaps);
            let others = batch.after.iter().filter(|other| numbers.contains(other)).count();
            let turn = Turn { run: run.clone(), batch, claims, is_awaited: true };
            match others {
                0 => ready.push(turn),
                others => run.keep(turn, others),
            }
        }
        for ((first, last, reason), rules) in gaps {
            let missed = Missed { rules, first, last, reason: reason.to_owned() };
            shared.outbox.commit(Record::Missed(missed), Publish::default());
        }
        let shortest = groups.iter().map(|group| group.every).min().unwrap_or_default();
        self.give_out(ready, SPREAD_MAX.min(shortest / SPREAD_PART));
    }

    /// Whether the store has refused samples since the last tick for reasons of its own, and takes none: then nothing that
    /// is missing tells anything about its sender, and nobody looks.
    fn is_refusing(&mut self) -> bool {
        let store = &self.shared.outbox.store;
        let refused = store.refused_batches();
        let more = std::mem::replace(&mut self.refused_batches, refused) != refused;
        more && store.refusing_since().is_some()
    }

    /// Claims the rules of a batch for a tick. Slow ones go their own way; those that cannot be evaluated miss it.
    fn claim(&self, run: &Arc<Run>, batch: &Arc<Batch>, gaps: &mut Gaps) -> Vec<u32> {
        let mut claims = Vec::with_capacity(batch.entries.len());
        for (place, entry) in (0_u32..).zip(&batch.entries) {
            let slot = &entry.slot;
            let last = slot.last();
            if last >= Some(run.tick) {
                continue;
            }
            if self.shared.pauses.is_paused(&entry.rule.id, run.tick) {
                slot.miss("paused");
                continue;
            }
            if slot.is_quarantined(run.tick) {
                self.miss(entry, 1, "quarantined");
                continue;
            }
            if !slot.claim(run.tick) {
                self.miss(entry, 1, "busy");
                continue;
            }
            note_gap(entry, last, run.tick, gaps);
            if slot.is_slow() {
                let (run, batch) = (run.clone(), batch.clone());
                self.start_slow(Turn { run, batch, claims: vec![place], is_awaited: false });
            } else {
                claims.push(place);
            }
        }
        claims
    }

    fn start_slow(&self, turn: Turn) {
        if let Err(Refused::Full(job) | Refused::Closed(job)) =
            self.shared.slow_jobs.try_send(Job::Tick(turn))
        {
            self.give_back(job);
        }
    }

    /// The rules of a batch that found no room miss the tick.
    fn give_back(&self, job: Job) {
        let Job::Tick(turn) = job else { return };
        for place in &turn.claims {
            let Some(entry) = turn.batch.entries.get(*place as usize) else { continue };
            entry.slot.release();
            self.miss(entry, 1, "queue");
        }
    }

    /// Gives out batches, at a pace if there are very many rules.
    fn give_out(&mut self, turns: Vec<Turn>, spread: Duration) {
        let started = self.shared.host.clock.monotonic();
        let all: usize = turns.iter().map(|turn| turn.claims.len()).sum();
        let paced = u32::try_from(all.saturating_sub(AT_ONCE)).unwrap_or(u32::MAX);
        let pace = PACE.min(spread.checked_div(paced).unwrap_or_default());
        let mut count = 0;
        for turn in turns {
            let later = u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(AT_ONCE as u32);
            count += turn.claims.len();
            if later == 0 {
                self.send(turn);
            } else {
                self.paced.push_back((started + pace * later, turn));
            }
        }
    }

    fn give_out_paced(&mut self) {
        let now = self.shared.host.clock.monotonic();
        while self.paced.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, turn)) = self.paced.pop_front() {
                self.send(turn);
            }
        }
    }

    fn send(&self, turn: Turn) {
        let (run, batch) = (turn.run.clone(), turn.batch.clone());
        let mut refused = give_out(&self.shared, vec![turn]);
        while let Some(turn) = refused.pop() {
            self.give_back(Job::Tick(turn));
            refused.extend(give_out(&self.shared, run.finish(&batch)));
        }
    }

    fn miss(&self, entry: &Entry, count: u64, reason: &str) {
        let labels = [("reason", reason), ("rule", &*entry.rule.id)];
        self.shared.metrics.counter("rule_missed_ticks_total", &labels).add(count);
        entry.slot.miss(reason);
        entry.slot.record.work().missed_ticks += count;
    }

    fn notice_step_back(&mut self, now: Timestamp) {
        let behind = self.newest_tick.map_or(Duration::ZERO, |newest| newest.since(now));
        let is_set_back = behind >= STEP_BACK_MIN;
        if is_set_back == std::mem::replace(&mut self.is_set_back, is_set_back) {
            return;
        }
        if is_set_back {
            warn!(
                seconds = behind.as_secs(),
                "The wall clock was set back; rules wait until it has passed the ticks that they have seen."
            );
        }
        let words =
            "the wall clock was set back, and rules wait until it has passed the ticks that they have seen";
        self.shared.say(What::Clock, is_set_back, words, now, self.calendar.generation.number);
    }
}

/// Takes down the ticks between the last one that a rule was given out at and this one.
fn note_gap(entry: &Entry, last: Option<Timestamp>, tick: Timestamp, gaps: &mut Gaps) {
    let every = entry.rule.every;
    let reason = entry.slot.take_reason();
    let Some(last) = last else { return };
    let (first, last) = (last_tick(every, last) + every, tick - every);
    if first <= last {
        gaps.entry((first, last, reason)).or_default().push(entry.slot.number());
    }
}

/// The first tick at or after `now`.
fn first_tick(every: Duration, now: Timestamp) -> Timestamp {
    let last = last_tick(every, now);
    if last == now { now } else { last + every }
}
