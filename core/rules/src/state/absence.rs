//! Missing data: how long an instance has been quiet by what was observed, and what follows.
//!
//! The clock of quiet runs from the newest sample, but never over a time in which nobody looked: after an outage of the
//! server, or evaluations that failed, it goes on where it was.

use std::time::Duration;

use sereno_model::{EventKind, Timestamp};

use super::policy::{After, Policy, Then};
use super::{Clock, Event, Phase, Reason, State};

/// What is known of the data of an instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// When the newest sample seen was taken.
    pub newest: Option<Timestamp>,
    /// The interval between samples, as it is seen at ticks: grows at once, shrinks slowly. In steps of a quarter of
    /// `every`, so that it stays the same while samples come as usual.
    pub interval: Option<Duration>,
    /// Whether the last tick read any sample, be it an old one.
    pub read: bool,
    /// Since when ticks have looked without a gap.
    pub watched_since: Option<Timestamp>,
    /// How long there had been no sample at the last tick, by what was observed.
    pub quiet: Duration,
    /// Whether it counts as absent.
    pub absent: bool,
}

impl Data {
    /// Moves its clock.
    pub(super) fn go_on(&mut self, tick: Timestamp, clock: Clock) {
        if !clock.is_neighbour {
            self.watched_since = Some(tick);
        }
        self.quiet += clock.looked;
    }

    /// Takes in what a tick saw.
    pub(super) fn notice(&mut self, newest: Option<Timestamp>, tick: Timestamp, every: Duration) {
        self.read = newest.is_some();
        let Some(sample) = newest.filter(|sample| Some(*sample) > self.newest) else { return };
        if let Some(before) = self.newest.filter(|before| Some(*before) >= self.watched_since) {
            self.interval = Some(next_interval(self.interval, sample.since(before), every));
        }
        self.newest = newest;
        self.absent = false;
        self.restart(tick);
    }

    /// Sets the clock of quiet at `tick` by the newest sample, but not to a time in which nobody looked.
    pub(super) fn restart(&mut self, tick: Timestamp) {
        self.quiet = self.newest.max(self.watched_since).map_or(Duration::ZERO, |from| tick.since(from));
    }

    /// How long it must be quiet to count as absent.
    #[must_use]
    pub fn patience(&self, policy: &Policy) -> Duration {
        match policy.absence.after {
            After::Time(time) => time,
            After::Intervals(count) => {
                self.interval.unwrap_or_default().max(policy.every).mul_f64(count.clamp(0.0, 1e6))
            }
        }
    }

    /// Whether it has been quiet for long enough to count as absent.
    pub(super) fn is_quiet(&self, policy: &Policy) -> bool {
        self.quiet >= self.patience(policy)
    }
}

/// The interval after a sample that came `gap` after the one before.
fn next_interval(interval: Option<Duration>, gap: Duration, every: Duration) -> Duration {
    let step = (every.as_nanos() / 4).max(1);
    let rounded = |nanos: u128| Duration::from_nanos(u64::try_from(nanos / step * step).unwrap_or(u64::MAX));
    let gap = rounded(gap.as_nanos() + step / 2);
    let slow = interval.map_or(gap, |interval| rounded((interval.as_nanos() * 3 + gap.as_nanos()) / 4));
    gap.max(slow)
}

impl State {
    /// A tick without data, after long enough.
    pub(super) fn miss(&mut self, tick: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
        self.data.absent = true;
        self.held = [None; 3];
        if self.episode.is_none() {
            self.phase = Phase::Inactive;
        }
        let reason = Reason::Absent(self.data.quiet);
        let because = |event: Event| Event { reason: Some(reason.clone()), ..event };
        match policy.absence.then {
            Then::Resolve => {
                events.extend(self.tell(EventKind::Resolved, None, None, tick).map(because));
                self.end();
            }
            Then::Alert(level) if self.episode.is_none() => {
                let told = events.len();
                self.fire(level, None, true, tick, policy, events);
                for event in &mut events[told..] {
                    event.reason = Some(reason.clone());
                }
            }
            Then::Alert(level) => {
                self.go_stale(tick, events);
                self.phase = Phase::Firing;
                let higher = self.level().is_some_and(|current| level > current);
                if higher {
                    self.change_level(level, None, tick, events);
                }
            }
            Then::Keep => {
                self.go_stale(tick, events);
                self.close_if_over(tick, policy, events);
            }
        }
    }

    fn go_stale(&mut self, tick: Timestamp, events: &mut Vec<Event>) {
        let reason = Reason::Absent(self.data.quiet);
        let Some(episode) = self.episode.as_mut().filter(|episode| !episode.stale) else { return };
        episode.stale = true;
        let event = self.tell(EventKind::Stale, None, None, tick);
        events.extend(event.map(|event| Event { reason: Some(reason), ..event }));
    }

    fn close_if_over(&mut self, tick: Timestamp, policy: &Policy, events: &mut Vec<Event>) {
        let Some(close_after) = policy.absence.close_after else { return };
        let kept = self.episode.as_ref().is_some_and(|episode| !episode.of_absence);
        let patience = self.data.patience(policy).saturating_add(close_after);
        if kept && self.data.quiet >= patience {
            events.extend(self.close(tick, Reason::Absent(self.data.quiet)));
        }
    }
}
