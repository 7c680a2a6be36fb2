//! The notifications that are on their way, until the log file and every sink have confirmed them.
//!
//! Invariants:
//! * numbers rise and are never given twice, over all starts;
//! * what is confirmed by all is forgotten; of what is not, the newest event of every instance stays;
//! * while a start reads records back, nothing is forgotten: it does not know yet who there is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sereno_model::{LOG, Lacking, Notification, Outgoing, compact};

/// How many notifications may wait before reminders and events that others have overtaken are dropped.
const WAITING_MAX: usize = 10_000;

/// What is on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outbox {
    /// The number that the next one gets.
    next_number: u64,
    waiting: VecDeque<Outgoing>,
    /// How far the log file and each sink are.
    done: BTreeMap<Arc<str>, u64>,
    /// How many may wait before room is made again.
    room: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        let done = BTreeMap::from([(LOG.into(), 0)]);
        Self { next_number: 1, waiting: VecDeque::new(), done, room: WAITING_MAX }
    }
}

impl Outbox {
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// No number below this is given any more.
    pub fn skip_to(&mut self, number: u64) {
        self.next_number = self.next_number.max(number);
    }

    /// Takes one in under its number.
    pub fn push(&mut self, number: u64, notification: Notification) -> Outgoing {
        let outgoing = Outgoing { number, notification: Arc::new(notification), lacking: Lacking::All };
        self.skip_to(number.saturating_add(1));
        self.waiting.push_back(outgoing.clone());
        outgoing
    }

    /// Notes how far one is, whoever it may be.
    pub fn confirm(&mut self, to: &str, up_to: u64) {
        let done = self.done.entry(to.into()).or_insert(0);
        *done = up_to.max(*done);
    }

    /// Forgets what all have, and keeps what nobody takes within bounds.
    pub fn tidy(&mut self) {
        let all = self.done.values().min().copied().unwrap_or(0);
        while self.waiting.front().is_some_and(|first| first.number <= all) {
            self.waiting.pop_front();
        }
        if self.waiting.len() > self.room {
            compact(&mut self.waiting, WAITING_MAX - WAITING_MAX / 8);
            // With more instances than that, not every push looks through all of them again.
            self.room = if self.waiting.len() > WAITING_MAX { self.waiting.len() * 2 } else { WAITING_MAX };
        }
    }

    /// From now on these are waited for, beside the log file. A new one does not get what was told before it came.
    pub fn set_sinks(&mut self, sinks: &[Arc<str>]) {
        let newest = self.next_number.saturating_sub(1);
        self.done.retain(|name, _| &**name == LOG || sinks.contains(name));
        for sink in sinks {
            self.done.entry(sink.clone()).or_insert(newest);
        }
        self.tidy();
    }

    /// What somebody has not confirmed, in order, and who.
    pub fn unconfirmed(&self) -> Vec<Outgoing> {
        let lacks = |to: &str, number: u64| self.done.get(to).is_some_and(|done| *done < number);
        let lacking = |outgoing: &Outgoing| Lacking::Only {
            log: lacks(LOG, outgoing.number),
            sinks: self
                .done
                .keys()
                .filter(|name| &***name != LOG && lacks(name, outgoing.number))
                .cloned()
                .collect(),
        };
        let waiting = self.waiting.iter();
        waiting.map(|outgoing| Outgoing { lacking: lacking(outgoing), ..outgoing.clone() }).collect()
    }

    pub fn waiting(&self) -> impl Iterator<Item = &Outgoing> {
        self.waiting.iter()
    }

    pub fn done(&self) -> impl Iterator<Item = (&str, u64)> {
        self.done.iter().map(|(name, done)| (&**name, *done))
    }
}
