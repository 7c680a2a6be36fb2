//! What the threads of this crate share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sereno_model::Timestamp;
use sereno_runtime::{Metrics, Queue};

use crate::board::Board;
use crate::durable::{Record, SavedRule, TickRecord};
use crate::generation::{Generation, Host};
use crate::health::What;
use crate::instance::RuleState;
use crate::lateness::Lateness;
use crate::mailbox::Mailbox;
use crate::meta::{self, Meta, Said};
use crate::outbox::{Outbox, Publish, Update};
use crate::outcome::Report;
use crate::pause::Pauses;
use crate::schedule::News;
use crate::slot::Slot;
use crate::worker::Job;

/// What the threads of this crate share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The generation that the next tick uses.
    pub active: ArcSwap<Generation>,
    /// What scripts are compiled and run with; its clock is everybody's.
    pub host: Host,
    pub metrics: Metrics,
    /// Evaluations that wait for a worker.
    pub jobs: Queue<Job>,
    /// Evaluations of rules that broke their budget last time.
    pub slow_jobs: Queue<Job>,
    /// What leaves the engine goes through here.
    pub outbox: Outbox,
    /// What the engine itself has to say.
    pub meta: Meta,
    /// What people have stopped for a while.
    pub pauses: Pauses,
    pub lateness: Lateness,
    /// What survived a restart of the states of rules, until they are taken up.
    pub recovered: Mutex<BTreeMap<Arc<str>, SavedRule>>,
    /// What the scheduler waits for.
    pub news: Mailbox<News>,
    /// What is known of the rules' work.
    pub board: Board,
    /// The places of the rules with the scheduler, for whoever asks where they stand.
    pub slots: ArcSwap<BTreeMap<Arc<str>, Arc<Slot>>>,
    /// What became of the last change of the files.
    pub last_report: Mutex<Report>,
}

impl Shared {
    pub fn last_report(&self) -> MutexGuard<'_, Report> {
        self.last_report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What survived of a rule's state from before the start, once.
    pub fn recovered(&self, rule: &str) -> Option<RuleState> {
        let mut recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
        recovered.remove(rule).map(SavedRule::restore)
    }

    /// The rules of which states survived that nobody has taken up.
    pub fn left_over(&self) -> Vec<Arc<str>> {
        let recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = |(rule, saved): (&Arc<str>, &SavedRule)| saved.fires().then(|| rule.clone());
        recovered.iter().filter_map(is_left).collect()
    }

    /// Says something about all rules.
    pub fn say(&self, what: What, holds: bool, words: &str, now: Timestamp, generation: u64) {
        self.meta.note(meta::ALL, what, holds, words, now, generation, |state, said| {
            self.keep_said(state, said, now, generation);
        });
    }

    /// A rule is gone, and with it what was said about it.
    pub fn forget(&self, rule: &str, now: Timestamp, generation: u64) {
        self.meta.forget(rule, now, generation, |state, said| self.keep_said(state, said, now, generation));
    }

    /// Has what the engine says kept, shown and told outside of the ticks of a rule.
    fn keep_said(&self, state: &RuleState, mut said: Said, now: Timestamp, generation: u64) {
        let notifications = said.outcome.notifications.len();
        let mut record = TickRecord { tick: now, generation, ..TickRecord::default() };
        record.note(self.outbox.number(&meta::ID.into()), state, &mut said.outcome);
        let update = Update { record: self.meta.record.clone(), firing: said.firing, notifications };
        self.outbox.commit(Record::Tick(record), Publish { updates: vec![update], ..Publish::default() });
    }

    /// The states that survived and that nobody has taken up, for good.
    pub fn take_left_over(&self) -> BTreeMap<Arc<str>, RuleState> {
        let left = std::mem::take(&mut *self.recovered.lock().unwrap_or_else(PoisonError::into_inner));
        left.into_iter().map(|(rule, saved)| (rule, saved.restore())).collect()
    }
}

impl Drop for Shared {
    /// The last thread of the engine has ended: what it left is written.
    fn drop(&mut self) {
        self.outbox.close();
    }
}
