//! Episodes, from `firing` to `resolved` or `closed`, and what is told of them.

use std::time::Duration;

use sereno_model::{EventKind, Level, Timestamp};

use super::policy::{Flap, Policy, Worse};
use super::{Phase, State};

/// From `firing` to `resolved` or `closed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The level now.
    pub level: Level,
    /// The tick that began it.
    pub fired_at: Timestamp,
    /// The tick of the last event about it.
    pub last_word: Timestamp,
    /// The worst value since the last event about it.
    pub extreme: Option<f64>,
    /// The worst value of all, and its tick.
    pub peak: Option<(f64, Timestamp)>,
    /// How many events it has had.
    pub events: u32,
    /// Whether missing data began it, not the condition.
    pub of_absence: bool,
    /// Whether it was told that its data is missing.
    pub stale: bool,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The level; for `resolved` and `closed`, the one that ended.
    pub level: Level,
    /// The level before, where it changed.
    pub previous: Option<Level>,
    /// The value that decided.
    pub value: Option<f64>,
    /// The worst value since the previous event.
    pub extreme: Option<f64>,
    /// The worst value of the episode, and its tick.
    pub peak: Option<(f64, Timestamp)>,
    /// The tick that began the episode.
    pub fired_at: Timestamp,
    /// The number of the episode, from 1.
    pub episode: u64,
    /// The number of the event within its episode, from 1.
    pub number: u32,
    /// Why, where it is not the condition.
    pub reason: Option<Reason>,
    /// Whether its data is missing at this tick.
    pub stale: bool,
    /// Whether the instance begins to fire too often.
    pub flapping: bool,
}

/// Why something happened that no condition decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There has been no data for so long.
    Absent(Duration),
    /// Somebody or something else ended it: a reload, a person.
    Other(String),
}

impl State {
    /// Begins an episode.
    pub(super) fn fire(
        &mut self,
        level: Level,
        value: Option<f64>,
        of_absence: bool,
        tick: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) {
        let mut episode = Episode {
            level,
            fired_at: tick,
            last_word: tick,
            extreme: None,
            peak: None,
            events: 0,
            of_absence,
            stale: of_absence,
        };
        episode.notice(value, tick, policy.worse);
        self.phase = Phase::Firing;
        self.episodes += 1;
        self.episode = Some(episode);
        let begins_to_flap = self.begin(tick, policy.flap);
        events.extend(self.tell(EventKind::Firing, None, value, tick));
        if begins_to_flap {
            events.extend(self.tell(EventKind::Flapping, None, value, tick));
        }
    }

    /// Notes that it begins to fire, or does so again after it was clear; tells whether that is once too often.
    pub(super) fn begin(&mut self, tick: Timestamp, flap: Flap) -> bool {
        self.begins.push(tick);
        self.calm(tick, flap);
        let begins_to_flap = !self.flapping && self.begins.len() > flap.max;
        self.flapping |= begins_to_flap;
        begins_to_flap
    }

    /// Forgets the beginnings that are too old to count, and those beyond the number that matters.
    pub(super) fn calm(&mut self, tick: Timestamp, flap: Flap) {
        self.begins.retain(|begin| tick.since(*begin) < flap.window);
        let too_many = self.begins.len().saturating_sub(flap.max.saturating_add(1));
        self.begins.drain(..too_many);
        self.flapping &= self.begins.len() > flap.max / 2;
    }

    pub(super) fn change_level(
        &mut self,
        level: Level,
        value: Option<f64>,
        tick: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let Some(episode) = &mut self.episode else { return };
        let previous = std::mem::replace(&mut episode.level, level);
        let kind = match level.cmp(&previous) {
            std::cmp::Ordering::Greater => EventKind::Escalated,
            std::cmp::Ordering::Less => EventKind::Deescalated,
            std::cmp::Ordering::Equal => return,
        };
        events.extend(self.tell(kind, Some(previous), value, tick));
    }

    /// A firing instance repeats itself now and then, whatever this tick saw: nobody has said that it is over.
    pub(super) fn remind(
        &mut self,
        value: Option<f64>,
        tick: Timestamp,
        policy: &Policy,
        events: &mut Vec<Event>,
    ) {
        let due = |episode: &Episode| {
            !policy.reminder.is_zero() && tick.since(episode.last_word) >= policy.reminder
        };
        if self.phase == Phase::Firing && self.episode.as_ref().is_some_and(due) {
            events.extend(self.tell(EventKind::Reminder, None, value, tick));
        }
    }

    /// The event, after which the worst value is looked for anew.
    pub(super) fn tell(
        &mut self,
        kind: EventKind,
        previous: Option<Level>,
        value: Option<f64>,
        tick: Timestamp,
    ) -> Option<Event> {
        let (flapping, number) = (self.flapping, self.episodes);
        let episode = self.episode.as_mut()?;
        episode.last_word = tick;
        episode.events = episode.events.saturating_add(1);
        Some(Event {
            kind,
            level: episode.level,
            previous,
            value,
            extreme: episode.extreme.take(),
            peak: episode.peak,
            fired_at: episode.fired_at,
            episode: number,
            number: episode.events,
            reason: None,
            stale: episode.stale,
            flapping,
        })
    }

    pub(super) fn end(&mut self) {
        self.phase = Phase::Inactive;
        self.episode = None;
        self.held = [None; 3];
    }
}

impl Episode {
    /// Keeps the value if it is the worst so far. NaN is no value.
    pub(super) fn notice(&mut self, value: Option<f64>, tick: Timestamp, worse: Worse) {
        let Some(value) = value.filter(|value| !value.is_nan()) else { return };
        let is_worse = |other: f64| worse.is_worse(value, other);
        if self.extreme.is_none_or(is_worse) {
            self.extreme = Some(value);
        }
        if self.peak.is_none_or(|(peak, _)| is_worse(peak)) {
            self.peak = Some((value, tick));
        }
    }
}
