//! What is known of each rule's work, for people who ask: how it went last, and what fires.
//!
//! Invariants:
//! * a record belongs to one stay of a rule with the scheduler; once the rule has gone, what a late evaluation writes
//!   is seen by nobody;
//! * it is written before the notifications of the same tick are handed on: whoever has seen an event finds it here;
//! * an evaluation costs one lock that hardly anybody else takes, and as many steps as there are alerts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sereno_model::{EventKind, Level, Notification, Timestamp};

use crate::evaluate::Outcome;
use crate::instance::InstanceState;
use crate::rule::Labels;
use crate::slot::Kept;

/// The records of the rules that are evaluated.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<Arc<str>, Record>>);

/// The record of one rule; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Work>>);

/// How a rule has fared since it was taken up.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub evaluations: u64,
    pub missed_ticks: u64,
    /// What went wrong at the last tick.
    pub error: Option<String>,
    /// Whether an input has never matched a series.
    pub is_unmatched: bool,
    pub is_quarantined: bool,
    /// How many new instances the last tick has refused.
    pub refused: usize,
    pub instances: usize,
    pub last_tick: Option<Timestamp>,
    pub last_duration: Option<Duration>,
    longest: Longest,
    pub firing: BTreeMap<Arc<Labels>, Firing>,
}

/// An instance that fires.
#[derive(Clone, Debug)]
pub(crate) struct Firing {
    pub level: Level,
    pub since: Timestamp,
    pub value: Option<f64>,
    pub message: Option<Arc<str>>,
}

/// When an evaluation was done, by the monotonic clock, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub end: Duration,
    pub took: Duration,
}

impl Board {
    /// Shows the record of a rule that is taken up.
    pub fn show(&self, rule: &Arc<str>, record: &Record) {
        self.lock().insert(rule.clone(), record.clone());
    }

    /// Takes away the record of a rule that has gone.
    pub fn remove(&self, rule: &Arc<str>) {
        self.lock().remove(rule);
    }

    /// The record of a rule, if it is evaluated.
    pub fn get(&self, rule: &str) -> Option<Record> {
        self.lock().get(rule).cloned()
    }

    /// All records, in order of their rules.
    pub fn all(&self) -> Vec<(Arc<str>, Record)> {
        self.lock().iter().map(|(rule, record)| (rule.clone(), record.clone())).collect()
    }

    /// How many instances of each rule fire, for the rules of which any does.
    pub fn firing(&self) -> BTreeMap<Arc<str>, usize> {
        let count = |record: Record| record.work().firing.len();
        let counts = self.all().into_iter().map(|(rule, record)| (rule, count(record)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    pub fn work(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The alert of an instance, if it fires.
pub(crate) fn firing_of(instance: &InstanceState) -> Option<Firing> {
    let episode = instance.state.episode.as_ref()?;
    Some(Firing { level: episode.level, since: episode.fired_at, value: instance.value, message: None })
}

impl Work {
    /// Takes down how a tick went; what fires is taken down when it is told.
    pub fn note(&mut self, tick: Timestamp, timing: Timing, outcome: &Outcome, kept: &Kept) {
        self.evaluations += 1;
        self.error = outcome.errors.first().map(|error| error.text.clone());
        self.is_unmatched = kept.condition.is_unmatched();
        self.is_quarantined = kept.condition.is_quarantined();
        self.refused = outcome.refused;
        self.instances = kept.state.instances.len();
        self.last_tick = Some(tick);
        self.last_duration = Some(timing.took);
        self.longest.note(timing);
        for (labels, firing) in &mut self.firing {
            firing.value = kept.state.instances.get(labels).and_then(|instance| instance.value);
        }
    }

    /// Takes down how alerts stand now, and what is told of them.
    pub fn fire(&mut self, firing: Vec<(Arc<Labels>, Option<Firing>)>, told: &[&Notification]) {
        for (labels, now) in firing {
            match now {
                Some(now) => self.fires(&labels, now),
                None => drop(self.firing.remove(&labels)),
            }
        }
        for notification in told {
            if let Some(firing) = self.firing.get_mut(&notification.instance) {
                firing.message = Some(words(notification).into());
            }
        }
    }

    fn fires(&mut self, labels: &Arc<Labels>, now: Firing) {
        match self.firing.get_mut(labels) {
            Some(firing) => *firing = Firing { message: firing.message.take().or(now.message), ..now },
            None => {
                self.firing.insert(labels.clone(), now);
            }
        }
    }

    /// The longest evaluation of the last minute or two, or the last one if there was none then.
    pub fn longest(&self, now: Duration) -> Option<Duration> {
        self.last_duration.map(|last| last.max(self.longest.recent(now)))
    }
}

/// What an alert says: a reminder repeats it under another heading.
fn words(notification: &Notification) -> &str {
    let text = notification.message.as_str();
    match notification.kind {
        EventKind::Reminder => text.strip_prefix("still: ").unwrap_or(text),
        _ => text,
    }
}

/// The longest of the present minute and of the one before.
#[derive(Debug, Default)]
struct Longest {
    minute: u64,
    present: Duration,
    before: Duration,
}

impl Longest {
    fn note(&mut self, timing: Timing) {
        let minute = minute(timing.end);
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.present } else { Duration::ZERO };
            (self.minute, self.present) = (minute, Duration::ZERO);
        }
        self.present = self.present.max(timing.took);
    }

    fn recent(&self, now: Duration) -> Duration {
        match minute(now).saturating_sub(self.minute) {
            0 => self.present.max(self.before),
            1 => self.present,
            _ => Duration::ZERO,
        }
    }
}

fn minute(monotonic: Duration) -> u64 {
    monotonic.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_evaluation_is_forgotten_after_two_minutes() {
        let mut longest = Longest::default();
        let ms = Duration::from_millis;
        let at = Duration::from_secs;
        longest.note(Timing { end: at(10), took: ms(50) });
        longest.note(Timing { end: at(20), took: ms(7) });
        assert_eq!((longest.recent(at(59)), longest.recent(at(61))), (ms(50), ms(50)));
        longest.note(Timing { end: at(70), took: ms(3) });
        assert_eq!(longest.recent(at(70)), ms(50), "the minute before still counts");
        longest.note(Timing { end: at(130), took: ms(1) });
        assert_eq!(longest.recent(at(130)), ms(3));
        assert_eq!((longest.recent(at(180)), longest.recent(at(240))), (ms(1), Duration::ZERO));
        longest.note(Timing { end: at(1_000), took: ms(2) });
        assert_eq!(longest.recent(at(1_000)), ms(2), "after a pause nothing old is left");
    }
}
