//! Notification workers: threads that take evaluations from their queue, run them, and hand on what is to be told.
//!
//! Invariants:
//! * the state of a rule travels with the evaluation and back, so it has one owner at any moment and a rule never
//!   overlaps itself;
//! * a result whose rule has changed its identity meanwhile is dropped as a whole;
//! * a panic ends one evaluation, and changes nothing but a counter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_runtime::Queue;
use sereno_storage::Snapshot;
use tracing::{info, warn};

use crate::board::{Record, Timing};
use crate::evaluate::{Instances, Outcome, Tick};
use crate::generation::Generation;
use crate::message::{Context, notification};
use crate::rule::Rule;
use crate::schedule::Done;
use crate::shared::Shared;

/// What is kept about a rule from tick to tick.
#[derive(Debug, Default)]
pub(crate) struct RuleState {
    pub instances: Instances,
    /// Where people see how it fares.
    pub record: Record,
    /// What went wrong last time; the same is not logged twice.
    errors: Vec<String>,
    told_ungrouped: bool,
}

/// Work for a notification worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// Tells the scheduler whose state comes back.
    pub ticket: u64,
    pub rule: Arc<Rule>,
    pub state: RuleState,
    pub tick: Timestamp,
    pub generation: Arc<Generation>,
    pub what: What,
}

/// What is to be done with a rule.
#[derive(Debug)]
pub(crate) enum What {
    /// Evaluate it over what this snapshot shows.
    Evaluate(Snapshot),
    /// End its instances, for this reason.
    Close(&'static str),
}

/// Works until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, queue: &Queue<Job>) {
    while let Some(mut job) = queue.recv_blocking() {
        match job.what {
            Evaluate(ref snapshot) => {
                let started = shared.host.clock.monotonic();
                let outcome = evaluate(shared, &job, snapshot);
                let end = shared.host.clock.monotonic();
                let timing = Timing { end, took: end.saturating_sub(started) };
                let (broke_budget, unobserved) = (outcome.broke_budget, outcome.unobserved);
                job.take(shared, outcome, timing);
                let done =
                    Done { rule: job.rule.id.clone(), ticket: job.ticket, state: job.state, broke_budget };
                shared.news.update_quietly(|news| news.done(done));
                // Counted when all is told and given back: whoever sees the count finds what came of it.
                let counter = if unobserved { &shared.unobserved } else { &shared.evaluations };
                counter.inc();
            }
            Close(reason) => close(shared, job, reason),
        }
    }
}

use What::{Close, Evaluate};

fn evaluate(shared: &Shared, job: &Job, snapshot: &Snapshot) -> Outcome {
    let tick = Tick {
        rule: &job.rule,
        host: &shared.host,
        snapshot,
        tick: job.tick,
        generation: job.generation.number,
    };
    // The evaluation only reads what it is given, so a panic leaves nothing half changed.
    catch_unwind(AssertUnwindSafe(|| tick.evaluate(&job.state.instances))).unwrap_or_else(|_| {
        shared.metrics.counter("rule_panics_total", &[("rule", &job.rule.id)]).inc();
        let text = format!("{}: its evaluation panicked, which is a mistake in the server", job.rule.id);
        Outcome { errors: vec![text], ..Outcome::default() }
    })
}

impl Job {
    fn take(&mut self, shared: &Shared, outcome: Outcome, timing: Timing) {
        let active = shared.active.load();
        let current = active.rules.get(&self.rule.id);
        let is_current = current.is_some_and(|current| current.live && current.same_identity(&self.rule));
        if outcome.unobserved || !is_current {
            return;
        }
        self.report(shared, &outcome);
        // Before anything is told: who hears of an event finds it in the listing.
        let mut work = self.state.record.work();
        work.note(self.tick, timing, &outcome);
        self.state.instances.extend(outcome.instances);
        work.instances = self.state.instances.len();
        drop(work);
        for notification in outcome.notifications {
            shared.tell(notification);
        }
    }

    /// Logs what is new about the rule's health.
    fn report(&mut self, shared: &Shared, outcome: &Outcome) {
        let rule = &self.rule;
        if outcome.ungrouped_series > 0 && !self.state.told_ungrouped {
            self.state.told_ungrouped = true;
            warn!(
                rule = %rule.id, series = outcome.ungrouped_series,
                "A rule reads several series as one; say `by: [LABEL]` or `by: \"*\"` to tell them apart, or `by: []` if one is meant."
            );
        }
        if let Some(first) = outcome.errors.first() {
            let count = outcome.errors.len();
            shared.metrics.counter("rule_errors_total", &[("rule", &rule.id)]).add(count as u64);
            if outcome.errors != self.state.errors {
                warn!(rule = %rule.id, tick = %self.tick, instances = count, "A rule fails; its alerts are held.\n{first}");
            }
        } else if !self.state.errors.is_empty() {
            info!(rule = %rule.id, tick = %self.tick, "A rule that failed works again.");
        }
        self.state.errors.clone_from(&outcome.errors);
    }
}

fn close(shared: &Shared, job: Job, reason: &'static str) {
    for (labels, instance) in job.state.instances {
        if let Some(event) = instance.state.close(job.tick) {
            let context = Context { reason: Some(reason.to_owned()), ..Context::default() };
            shared.tell(notification(&job.rule, &labels, &event, job.tick, job.generation.number, context));
        }
    }
}
