//! What leaves the engine after a tick: what is to be kept, and then shown and told.
//!
//! Invariants:
//! * nothing is shown or told before it is durable, where there is a journal;
//! * what a tick has decided is shown in listings before it is told, and told in order of its ticks within each rule;
//! * nothing is dropped: a full queue is waited for.

use std::path::Path;
use std::sync::Arc;

use sereno_model::{Notification, Outgoing, SeriesKey, Timestamp};
use sereno_runtime::queue::Refused;
use sereno_runtime::{Counter, Queue};
use sereno_storage::{Late, Row, Store};
use tracing::{error, warn};

use crate::board::{Firing, Record as Shown};
use crate::durable::{Journal, Record, Recovered, Settings, Surroundings};
use crate::rule::Labels;
use crate::rules::Context;

/// What is to be shown of one rule at one tick.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// Where it is shown.
    pub record: Shown,
    /// The instances whose alert has changed: how it stands, or that there is none.
    pub firing: Vec<(Arc<Labels>, Option<Firing>)>,
    /// How many notifications of what is committed with it are of this rule: the next ones.
    pub notifications: usize,
}

/// What is to be shown of a batch.
#[derive(Debug, Default)]
pub(crate) struct Publish {
    /// In the order in which it is told.
    pub updates: Vec<Update>,
    /// How many rules were evaluated.
    pub evaluated: u64,
    /// How many could not be looked at.
    pub unobserved: u64,
}

/// Where it goes.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub store: Store,
    notifications: Queue<Outgoing>,
    journal: Option<Journal>,
    counts: Counts,
    record_failures: Counter,
}

#[derive(Clone, Debug)]
struct Counts {
    /// Ticks of rules that have been evaluated.
    evaluations: Counter,
    /// Ticks over a store that could not be looked at.
    unobserved: Counter,
}

impl Publish {
    /// Shows it, with what is about to be told.
    fn show(self, told: &[Outgoing], counts: &Counts) {
        let mut told = told.iter();
        for update in self.updates {
            let told: Vec<&Notification> = told.by_ref().take(update.notifications).map(|it| &**it).collect();
            update.record.work().fire(update.firing, &told);
        }
        counts.evaluations.add(self.evaluated);
        counts.unobserved.add(self.unobserved);
    }
}

impl Outbox {
    /// With a journal where the server has a directory for it. Gives what survived of the states.
    pub fn open(context: &Context, settings: impl FnOnce(&Path) -> Settings) -> (Self, Recovered) {
        let metrics = &context.metrics;
        let (journal, recovered) = match &context.directory {
            Some(directory) => journal(context, settings(directory)),
            None => (None, Recovered::default()),
        };
        let counts = Counts {
            evaluations: metrics.counter("rule_evaluations_total", &[]),
            unobserved: metrics.counter("rule_unobserved_ticks_total", &[]),
        };
        let outbox = Self {
            store: context.store.clone(),
            notifications: context.notifications.clone(),
            journal,
            counts,
            record_failures: metrics.counter("rule_records_refused_total", &[]),
        };
        (outbox, recovered)
    }

    /// The number that stands for a rule in records.
    pub fn number(&self, rule: &Arc<str>) -> u32 {
        self.journal.as_ref().map_or(0, |journal| journal.number(rule))
    }

    /// The journal, to look things up in.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Has a record kept, then shows what it means, then tells it.
    pub fn commit(&self, record: Record, publish: Publish) {
        let counts = self.counts.clone();
        match &self.journal {
            Some(journal) => {
                journal.commit(record, Some(Box::new(move |told| publish.show(told, &counts))));
            }
            None => {
                let told: Vec<Outgoing> =
                    record.notifications().iter().cloned().map(Outgoing::from).collect();
                publish.show(&told, &counts);
                told.into_iter().for_each(|outgoing| self.tell(outgoing));
            }
        }
    }

    /// Writes what waits. Nothing may be committed any more.
    pub fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// Ticks at which nobody could look.
    pub fn unobserved(&self, rules: u64) {
        self.counts.unobserved.add(rules);
    }

    /// Samples that came after a tick had looked at their time.
    pub fn late(&self, late: Vec<Late>) {
        if let (Some(journal), false) = (&self.journal, late.is_empty()) {
            journal.commit(Record::Late(late), None);
        }
    }

    /// Writes the values of `record` rules, at the time of their tick: the next one sees them.
    pub fn record(&self, tick: Timestamp, values: Vec<(SeriesKey, f64)>) {
        let mut rows = Vec::with_capacity(values.len());
        for (key, value) in values {
            match self.store.series(&key) {
                Ok(series) => rows.push(Row::at(series, tick, value)),
                Err(_) => self.record_failures.inc(),
            }
        }
        if !rows.is_empty() {
            // Nobody waits for it: what the store refuses is counted there.
            drop(self.store.append(rows));
        }
    }

    /// Hands on a notification. Waits for room: nothing is dropped, the ticks that are missed meanwhile are counted.
    fn tell(&self, outgoing: Outgoing) {
        let refused = match self.notifications.try_send(outgoing) {
            Ok(()) => return,
            Err(Refused::Full(outgoing)) => {
                warn!(
                    queue = self.notifications.name(),
                    rule = outgoing.rule,
                    "The queue of notifications is full; whoever tells waits for room."
                );
                self.notifications.send_blocking(outgoing)
            }
            Err(Refused::Closed(outgoing)) => Err(outgoing),
        };
        if let Err(lost) = refused {
            error!(
                event = lost.event_id,
                message = lost.message,
                "Nobody takes notifications any more; this one is only told here."
            );
        }
    }
}

/// Without a journal rules run all the same, and it is told: after a restart their states begin anew.
fn journal(context: &Context, settings: Settings) -> (Option<Journal>, Recovered) {
    let directory = settings.directory.clone();
    let around = Surroundings {
        disk: context.disk.clone(),
        clock: context.clock.clone(),
        notifications: context.notifications.clone(),
        confirmations: context.confirmations.clone(),
        metrics: context.metrics.clone(),
    };
    match Journal::open(around, settings) {
        Ok((journal, recovered)) => (Some(journal), recovered),
        Err(error) => {
            error!(
                directory = %directory.display(),
                %error,
                "The states of rules cannot be kept: after a restart they begin anew, and what is under way is lost."
            );
            (None, Recovered::default())
        }
    }
}
