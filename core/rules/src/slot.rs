//! The place of a rule with the scheduler: its state, who has it, and when it may be evaluated.
//!
//! Invariants:
//! * whoever evaluates a rule has claimed its slot, and nobody else can until it is given back: a rule never overlaps
//!   itself;
//! * a slot outlives every change of its rule's file that keeps its identity;
//! * once a slot has ended, whatever still waits for a worker finds that out, and does nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_model::Timestamp;

use crate::board::{Record, firing_of};
use crate::evaluate::InstanceError;
use crate::health::Condition;
use crate::instance::{RuleState, Standing};
use crate::rule::Rule;

/// How many ticks others may look back at a rule: as many as can be under way at once.
const STANDINGS_MAX: usize = 4;

/// Why ticks are missed; the first, where nobody was there to say.
const REASONS: [&str; 7] = ["down", "late", "busy", "queue", "quarantined", "paused", "refused"];

/// The place of a rule with the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Where people see how the rule fares.
    pub record: Record,
    /// What stands for the rule in records.
    number: AtomicU32,
    claimed: AtomicBool,
    /// Whether its last evaluation broke its budget.
    slow: AtomicBool,
    /// Before this time it is not evaluated, because it is quarantined; in nanoseconds.
    quarantined_until: AtomicI64,
    /// The newest tick that was given out, in nanoseconds.
    last: AtomicI64,
    /// Why the last tick that it missed was missed, by its place in [`REASONS`].
    missed_for: AtomicU8,
    kept: Mutex<Kept>,
    /// Where its instances stood at the last ticks, the newest last; kept only for rules that others ask about.
    standing: Mutex<VecDeque<(Timestamp, Arc<[Standing]>)>>,
}

/// What is kept of a rule from tick to tick.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub state: RuleState,
    pub condition: Condition,
    /// The rule as it was at the last tick.
    pub rule: Option<Arc<Rule>>,
    /// What went wrong last time; the same is not logged twice.
    pub errors: Vec<InstanceError>,
    pub told_ungrouped: bool,
    /// Whether the state survived a restart, and its clocks of absence are still to be brought up to date.
    pub is_restored: bool,
    /// Whether the rule is gone.
    pub ended: bool,
}

impl Slot {
    /// A slot that goes on with a state.
    pub fn new(number: u32, state: RuleState, condition: Condition) -> Self {
        let last = state.last.map_or(i64::MIN, Timestamp::nanos);
        let standing = state.last.map(|last| (last, state.standing()));
        let is_restored = state.last.is_some();
        let kept = Kept { state, condition, is_restored, ..Kept::default() };
        Self {
            number: AtomicU32::new(number),
            standing: Mutex::new(standing.into_iter().collect()),
            last: AtomicI64::new(last),
            quarantined_until: AtomicI64::new(i64::MIN),
            kept: Mutex::new(kept),
            ..Self::default()
        }
    }

    /// Shows the alerts of a state that survived a restart.
    pub fn show(&self) {
        let kept = self.kept();
        let firing = kept.state.instances.iter().map(|(labels, it)| (labels.clone(), firing_of(it)));
        self.record.work().fire(firing.collect(), &[]);
    }

    /// What stands for the rule in records.
    pub fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// The rule has another id now.
    pub fn renumber(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Takes the slot for one evaluation at `tick`. `false` if somebody has it.
    pub fn claim(&self, tick: Timestamp) -> bool {
        let claimed = !self.claimed.swap(true, Ordering::Acquire);
        if claimed {
            self.last.store(tick.nanos(), Ordering::Relaxed);
        }
        claimed
    }

    /// Says why it misses ticks.
    pub fn miss(&self, reason: &str) {
        let place = REASONS.iter().position(|known| *known == reason).unwrap_or_default();
        self.missed_for.store(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Why it has missed the ticks up to now.
    pub fn take_reason(&self) -> &'static str {
        REASONS[usize::from(self.missed_for.swap(0, Ordering::Relaxed))]
    }

    /// Gives the slot back.
    pub fn release(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    /// The newest tick that was given out.
    pub fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        (last != i64::MIN).then(|| Timestamp::from_nanos(last))
    }

    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub fn set_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// Whether it is quarantined at `tick`.
    pub fn is_quarantined(&self, tick: Timestamp) -> bool {
        tick.nanos() < self.quarantined_until.load(Ordering::Relaxed)
    }

    /// Evaluates it no more before `until`; `None` lifts that.
    pub fn quarantine(&self, until: Option<Timestamp>) {
        self.quarantined_until.store(until.map_or(i64::MIN, Timestamp::nanos), Ordering::Relaxed);
    }

    /// What is kept of the rule. Who has not claimed the slot waits for one evaluation at most.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its instances stood at the newest tick that is not after `tick`.
    pub fn standing(&self, tick: Timestamp) -> Option<Arc<[Standing]>> {
        let standings = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = standings.iter().rev().find(|(of, _)| *of <= tick);
        known.map(|(_, standing)| standing.clone())
    }

    /// Takes down where its instances stand after `tick`.
    pub fn stand(&self, tick: Timestamp, standing: Arc<[Standing]>) {
        let mut standings = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standings.len() >= STANDINGS_MAX {
            standings.pop_front();
        }
        standings.push_back((tick, standing));
    }
}
