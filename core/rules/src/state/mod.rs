//! The alert state of one instance: a pure function of (state, what a tick saw, tick, policy).
//!
//! ```text
//!             when, for not over            for over                 all clear
//!  inactive ─────────────────────► pending ─────────► firing ─────────────────────► recovering
//!     ▲  ▲          clear             │                 ▲ ▲      not clear any more      │
//!     │  └────────────────────────────┘                 │ └──────────────────────────────┤
//!     └──────────────────────────────────── resolved ───┴──────── recover_for over ──────┘
//! ```
//!
//! | from | the tick sees | to | tells |
//! |---|---|---|---|
//! | inactive, pending | a level's `when`, its `for` not over | pending | |
//! | inactive, pending | a level's `when`, its `for` over | firing | `firing`, `flapping` if it is once too often |
//! | inactive, pending | no `when` | inactive | |
//! | firing | a higher level's `when`, its `for` over | firing | `escalated` |
//! | firing | its level clear, a lower one not | firing | `deescalated` |
//! | firing | its level neither in `when` nor clear, or a higher one pending | firing | |
//! | firing | all clear | recovering, or inactive without `recover_for` | `resolved` in the latter case |
//! | recovering | all clear, `recover_for` over | inactive | `resolved` |
//! | recovering | anything else that can be judged | firing | `flapping` if it is once too often |
//! | any | nothing that can be judged: held, failed, no data yet for long enough | as it was | |
//! | pending | no data for long enough | inactive | |
//! | firing, recovering | no data for long enough, `then: keep` | as it was | `stale`, once |
//! | firing, recovering | no data for `close_after` more | inactive | `closed` |
//! | firing, recovering | no data for long enough, `then: resolve` | inactive | `resolved` |
//! | inactive, pending | no data for long enough, `then: alert` | firing | `firing` |
//! | firing, recovering | no data for long enough, `then: alert` | firing | `stale`, once; `escalated` if that is higher |
//! | firing | any of these, `reminder` after the last word | as it says | `reminder` |
//! | any | [`State::close`] | inactive | `closed`, if it fired or recovered |
//!
//! Invariants:
//! * only a tick that *saw* every level clear resolves (or data that is absent, where the rule says `then: resolve`);
//!   an error, a held tick, missing data, a reload, a restart or a gap never does;
//! * an instance that ends for any other reason is closed, with the reason, and never called resolved;
//! * time counts towards `for` and `recover_for` only between two neighbouring ticks that both judged, and towards
//!   absence only between two that both looked: what nobody looked at (an outage, a skipped or failed tick) stands
//!   still, and is not forgotten;
//! * a firing instance is never demoted because `for` grew;
//! * an episode is named by its number and the tick at which it began to fire, so an event has the same id however
//!   often it is computed;
//! * what a tick does to the state is known from its class alone, unless [`State::only_went_on`] denies it: a log of
//!   the others restores every state.
//!
//! Not here: what a tick sees (`evaluate`), who is told (`notify`), what survives a crash (`durable`).

mod absence;
mod episode;
mod levels;
mod policy;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sereno_model::{EventKind, Level, Timestamp};

pub use absence::Data;
pub use episode::{Episode, Event, Reason};
pub use levels::Levels;
pub use policy::{Absence, After, Flap, Policy, Then, Worse};

/// How many `every` may lie between two ticks that count as neighbours: one missed tick hides little.
const NEIGHBOURS_MAX: u32 = 2;

/// What one tick saw of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The condition could be judged: the levels whose `when` holds, and those whose `clear` does.
    Judged {
        /// Whose condition holds.
        when: Levels,
        /// Whose condition has ceased to hold. A level may be in neither: between two thresholds.
        clear: Levels,
    },
    /// A heartbeat: nothing is compared, only the age of the newest sample counts.
    Beat,
    /// There is no data.
    Absent,
    /// Nothing can be said: `require` does not hold, or the script asked to wait.
    Held,
    /// The evaluation failed.
    Failed,
}

/// What one tick saw of an instance, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What it means.
    pub seen: Seen,
    /// The value that was compared.
    pub value: Option<f64>,
    /// When the newest sample was taken that the rule has read for this instance, if it read any.
    pub newest: Option<Timestamp>,
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The condition was not seen, or was seen not to hold.
    #[default]
    Inactive,
    /// The condition of this level holds, not yet for long enough.
    Pending(Level),
    /// The condition holds as far as is known.
    Firing,
    /// Everything has been clear for so long, which is less than `recover_for`.
    Recovering(Duration),
}

/// What a tick saw, as far as clocks care: each counts only between two ticks that both saw enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saw {
    /// Nothing: the evaluation failed before it had read a sample, or there was no tick yet. All clocks stand still.
    #[default]
    Nothing,
    /// Whether there is data, but no verdict. The clock of absence runs.
    Data,
    /// A verdict. All clocks run.
    Verdict,
}

/// The state of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// For each level, how long its condition has held, by what was seen; `None` when it does not hold.
    pub held: [Option<Duration>; 3],
    /// While it fires or recovers.
    pub episode: Option<Episode>,
    /// How many episodes there have been.
    pub episodes: u64,
    /// The last tick, whatever it saw.
    pub last: Option<Timestamp>,
    /// What that one saw.
    pub saw: Saw,
    /// Of its data.
    pub data: Data,
    /// The ticks at which it recently began to fire, for the first time or again: no more than tell whether it flaps.
    pub begins: Vec<Timestamp>,
    /// Whether it begins to fire too often.
    pub flapping: bool,
}

/// Whether the time between two ticks of a rule was watched.
#[must_use]
pub fn is_neighbour(last: Timestamp, tick: Timestamp, policy: &Policy) -> bool {
    tick.since(last) <= policy.every.saturating_mul(NEIGHBOURS_MAX)
}

impl State {
    /// The level at which it fires.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.episode.as_ref().map(|episode| episode.level)
    }

    /// `inactive`, `pending`, `firing` or `recovering`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.phase {
            Phase::Inactive => "inactive",
            Phase::Pending(_) => "pending",
            Phase::Firing => "firing",
            Phase::Recovering(_) => "recovering",
        }
    }

    /// Whether nothing would be lost if it were forgotten, but that it was once seen.
    #[must_use]
    pub fn is_inactive(&self) -> bool {
        self.phase == Phase::Inactive
    }

    /// Takes in what a tick saw, and adds what is to be told to `events`. A tick that is not after the last one is
    /// ignored.
    pub fn step(&mut self, look: &Look, tick: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
        if self.last.is_some_and(|last| tick <= last) {
            return;
        }
        let saw = match look.seen {
            Seen::Judged { .. } | Seen::Beat => Saw::Verdict,
            Seen::Absent | Seen::Held => Saw::Data,
            // It may have failed behind the reading.
            Seen::Failed if look.newest.is_some() => Saw::Data,
            Seen::Failed => Saw::Nothing,
        };
        let clock = self.look_at_clock(saw, tick, policy.every);
        self.data.notice(look.newest, tick, policy.every);
        let is_quiet = self.data.is_quiet(policy);
        match look.seen {
            Seen::Judged { when, clear } => {
                self.judge(when, clear, clock.judged, look.value, tick, policy, events)
            }
            Seen::Beat if is_quiet => {
                self.saw = Saw::Data;
                self.miss(tick, policy, events);
            }
            Seen::Beat => {
                self.judge(Levels::NONE, Levels::ALL, clock.judged, look.value, tick, policy, events)
            }
            Seen::Absent if is_quiet => self.miss(tick, policy, events),
            Seen::Absent | Seen::Held | Seen::Failed => {}
        }
        self.remind(look.value, tick, policy, events);
        self.calm(tick, policy.flap);
    }

    /// Ends the instance for a reason that is no recovery. The state is that of a new one then.
    pub fn close(&mut self, tick: Timestamp, reason: Reason) -> Option<Event> {
        let event = self
            .tell(EventKind::Closed, None, None, tick)
            .map(|event| Event { reason: Some(reason), ..event });
        self.end();
        event
    }

    /// Says again that it fires, whoever has heard of it before; `None` if it does not fire.
    pub fn repeat(&mut self, value: Option<f64>, tick: Timestamp) -> Option<Event> {
        let fires = self.phase == Phase::Firing;
        fires.then(|| self.tell(EventKind::Reminder, None, value, tick)).flatten()
    }

    /// Takes in a tick that saw the same as the last one and had nothing to tell: how the state is brought up to date
    /// from a log that keeps only what changed. What it does not know is which samples there were: see
    /// [`State::recall`].
    pub fn go_on(&mut self, tick: Timestamp, every: Duration) {
        if self.last.is_some_and(|last| tick <= last) {
            return;
        }
        let clock = self.look_at_clock(self.saw, tick, every);
        for held in self.held.iter_mut().flatten() {
            *held += clock.judged;
        }
        if let Phase::Recovering(clear_for) = &mut self.phase {
            *clear_for += clock.judged;
        }
    }

    /// Whether the tick that made this state of `before` did no more than [`State::go_on`] would have done, but for
    /// samples that [`State::recall`] finds again: then nothing of it needs to be written down.
    #[must_use]
    pub fn only_went_on(&self, before: &Self, every: Duration) -> bool {
        let Some(tick) = self.last else { return true };
        // A gap is written down, so that behind it the clock of absence is known by the newest sample alone.
        if self.data.watched_since != before.data.watched_since {
            return false;
        }
        let mut gone_on = before.clone();
        gone_on.go_on(tick, every);
        gone_on.data.newest = self.data.newest;
        gone_on.data.quiet = self.data.quiet;
        gone_on == *self
    }

    /// After a recovery: the time of the newest sample that the last tick had read for this instance, found by reading
    /// the same window again. Without it the clock of absence would have run while samples came.
    pub fn recall(&mut self, newest: Option<Timestamp>) {
        let Some(last) = self.last else { return };
        if self.data.read && newest > self.data.newest {
            self.data.newest = newest;
            self.data.restart(last);
        }
    }

    /// Moves on to a tick that sees so much, and tells which time counts since the one before.
    fn look_at_clock(&mut self, saw: Saw, tick: Timestamp, every: Duration) -> Clock {
        let gap = self.last.map_or(Duration::MAX, |last| tick.since(last));
        let is_neighbour = gap <= every.saturating_mul(NEIGHBOURS_MAX);
        let counted = |enough: bool| if is_neighbour && enough { gap } else { Duration::ZERO };
        let clock = Clock {
            is_neighbour,
            looked: counted(saw != Saw::Nothing && self.saw != Saw::Nothing),
            judged: counted(saw == Saw::Verdict && self.saw == Saw::Verdict),
        };
        (self.last, self.saw) = (Some(tick), saw);
        self.data.go_on(tick, clock);
        clock
    }

    /// Moves the clocks of the levels.
    fn count(&mut self, when: Levels, counted: Duration) {
        for level in Levels::ALL.iter() {
            let held = &mut self.held[level as usize];
            *held = when.contains(level).then(|| held.map_or(Duration::ZERO, |held| held + counted));
        }
    }

    /// The levels whose condition has held for its `for`.
    fn ready(&self, policy: &Policy) -> Levels {
        Levels::ALL
            .iter()
            .filter(|level| {
                let (held, wanted) = (self.held[*level as usize], policy.hold[*level as usize]);
                held.zip(wanted).is_some_and(|(held, wanted)| held >= wanted)
            })
            .collect()
    }

    #[expect(clippy::too_many_arguments, reason = "one tick's facts, each used once")]
    fn judge(
        &mut self,
        when: Levels,
        clear: Levels,
        counted: Duration,
        value: Option<f64>,
        tick: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) {
        self.data.absent = false;
        self.count(when, counted);
        let ready = self.ready(policy);
        let Some(episode) = &mut self.episode else {
            self.phase = when.highest().map_or(Phase::Inactive, Phase::Pending);
            if let Some(level) = ready.highest() {
                self.fire(level, value, false, tick, policy, events);
            }
            return;
        };
        episode.stale = false;
        let current = episode.level;
        // A level that the rule does not have (of an absence, or one that an edit took away) is clear.
        let clear = clear.or(policy.levels().complement()).and_not(when);
        let stays = clear.complement().up_to(current);
        // A higher level that is pending is no recovery, even where the conditions of the lower ones exclude it.
        let rises = (!when.above(current).is_empty()).then_some(current);
        match (stays.or(ready.above(current)).highest().or(rises), self.phase) {
            (Some(level), before) => {
                self.phase = Phase::Firing;
                episode.notice(value, tick, policy.worse);
                self.change_level(level, value, tick, events);
                if matches!(before, Phase::Recovering(_)) && self.begin(tick, policy.flap) {
                    events.extend(self.tell(EventKind::Flapping, None, value, tick));
                }
            }
            (None, Phase::Recovering(clear_for)) => {
                self.recover(clear_for + counted, value, tick, policy, events)
            }
            (None, _) => self.recover(Duration::ZERO, value, tick, policy, events),
        }
    }

    /// All has been clear for so long.
    fn recover(
        &mut self,
        clear_for: Duration,
        value: Option<f64>,
        tick: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) {
        self.phase = Phase::Recovering(clear_for);
        if clear_for >= policy.recover_for {
            events.extend(self.tell(EventKind::Resolved, None, value, tick));
            self.end();
        }
    }
}

/// The time since the tick before that counts at a tick; nothing where there is a gap between them.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Whether there is no gap.
    is_neighbour: bool,
    /// Towards absence.
    looked: Duration,
    /// Towards `for` and `recover_for`.
    judged: Duration,
}
