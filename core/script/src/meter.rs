//! What scripts have used up, and the word to stop.
//!
//! Rhai counts operations from zero in every call and knows nothing of the time or of the samples that native
//! functions look at. What rows of minutes and hours answer costs no samples. So each thread carries a meter while a script runs on it: the engine's progress hook and the
//! native functions report to it, and a call made from within a call (`s.agg` with a scripted aggregation) goes on
//! counting where the outer one is.
//!
//! A script that is stopped stays stopped: every further operation of the call fails too, whatever it does with the
//! error.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, Position};
use sereno_query::Tally;
use sereno_runtime::Clock;
use sereno_runtime::units::format_duration;

use crate::convert::Outcome;
use crate::limits::Limits;

/// What the calls for one rule at one tick have used up; a fresh one for each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    operations: u64,
    samples: u64,
}

impl Budget {
    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Samples decoded or looked at so far; one that is looked at twice counts twice.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

/// How often the clock is read: once in so many operations.
const OPERATIONS_PER_CLOCK: u64 = 1_024;
/// How many lines one call may print; the rest is dropped.
const LINES_MAX: u32 = 20;

thread_local! {
    static METER: Meter = const { Meter::idle() };
}

struct Meter {
    running: Cell<bool>,
    limits: Cell<Option<Limits>>,
    clock: RefCell<Option<Arc<dyn Clock>>>,
    deadline: Cell<Duration>,
    /// Operations of the calls that have ended, and of those that wait for an inner one.
    operations_before: Cell<u64>,
    /// Operations of the innermost call.
    operations: Cell<u64>,
    samples: Cell<u64>,
    lines: Cell<u32>,
    /// Why no further operation is allowed.
    stopped: RefCell<Option<String>>,
}

impl Meter {
    const fn idle() -> Self {
        Self {
            running: Cell::new(false),
            limits: Cell::new(None),
            clock: RefCell::new(None),
            deadline: Cell::new(Duration::ZERO),
            operations_before: Cell::new(0),
            operations: Cell::new(0),
            samples: Cell::new(0),
            lines: Cell::new(0),
            stopped: RefCell::new(None),
        }
    }

    fn start(&self, limits: &Limits, clock: &Arc<dyn Clock>, budget: &Budget) {
        self.running.set(true);
        self.limits.set(Some(*limits));
        self.deadline.set(clock.monotonic() + limits.deadline);
        self.clock.replace(Some(clock.clone()));
        self.operations_before.set(budget.operations);
        self.operations.set(0);
        self.samples.set(budget.samples);
        self.lines.set(0);
        self.stopped.replace(None);
    }

    fn stop(&self) -> Budget {
        self.running.set(false);
        Budget {
            operations: self.operations_before.get() + self.operations.get(),
            samples: self.samples.get(),
        }
    }

    /// The reason to stop, if the time is up.
    fn check_time(&self) -> Option<String> {
        let now = self.clock.borrow().as_ref()?.monotonic();
        let deadline = self.limits.get()?.deadline;
        (now >= self.deadline.get())
            .then(|| format!("the script ran longer than its {}", format_duration(deadline)))
    }

    /// The reason to stop after so many operations of this call, if there is one.
    fn check_operations(&self, operations: u64) -> Option<String> {
        self.operations.set(operations);
        let limit = self.limits.get()?.operations_per_tick_max;
        if self.operations_before.get() + operations > limit {
            return Some(format!("the scripts of this rule used up their {limit} operations for one tick"));
        }
        if operations.is_multiple_of(OPERATIONS_PER_CLOCK) { self.check_time() } else { None }
    }

    fn check_samples(&self, samples: u64) -> Option<String> {
        let total = self.samples.get().saturating_add(samples);
        self.samples.set(total);
        let limit = self.limits.get()?.samples_max;
        if total > limit {
            return Some(format!("the script looked at more than its {limit} samples"));
        }
        self.check_time()
    }

    /// The reason to stop: the first one, which holds from then on.
    fn stop_for(&self, reason: impl FnOnce() -> Option<String>) -> Option<Dynamic> {
        if !self.running.get() {
            return None;
        }
        let mut stopped = self.stopped.borrow_mut();
        if stopped.is_none() {
            *stopped = reason();
        }
        stopped.as_ref().map(|reason| reason.clone().into())
    }
}

/// Runs one call under the meter of this thread. `body` must not unwind.
pub(crate) fn metered<T>(
    limits: &Limits,
    clock: &Arc<dyn Clock>,
    budget: &mut Budget,
    body: impl FnOnce() -> T,
) -> T {
    METER.with(|meter| {
        if meter.running.get() {
            let outer = meter.operations.replace(0);
            meter.operations_before.set(meter.operations_before.get() + outer);
            let out = body();
            let inner = meter.operations.replace(outer);
            meter.operations_before.set(meter.operations_before.get() - outer + inner);
            return out;
        }
        meter.start(limits, clock, budget);
        let out = body();
        *budget = meter.stop();
        out
    })
}

/// The engine's progress hook: told of every operation, gives a reason to stop.
pub(crate) fn progress(operations: u64) -> Option<Dynamic> {
    METER.with(|meter| meter.stop_for(|| meter.check_operations(operations)))
}

/// Tells that a native function looks at `samples`.
pub(crate) fn charge(samples: u64) -> Outcome<()> {
    stop_for(|meter| meter.check_samples(samples))
}

/// Ends the call: what its answer would be made of cannot be read.
pub(crate) fn check_reads(tally: &Tally) -> Outcome<()> {
    match tally.check() {
        Ok(()) => Ok(()),
        Err(error) => stop_for(|_| Some(error.to_string())),
    }
}

fn stop_for(reason: impl FnOnce(&Meter) -> Option<String>) -> Outcome<()> {
    match METER.with(|meter| meter.stop_for(|| reason(meter))) {
        Some(reason) => Err(EvalAltResult::ErrorTerminated(reason, Position::NONE).into()),
        None => Ok(()),
    }
}

impl Budget {
    /// An account to read on: what is left of the samples of the tick and, for a script, until its call's time is up. One
    /// for each instance of a rule, since a read that fails spoils what is read after it.
    #[must_use]
    pub fn tally(&self, limits: &Limits) -> Arc<Tally> {
        let is_over = || METER.with(|meter| meter.running.get() && meter.check_time().is_some());
        Tally::new(limits.samples_max.saturating_sub(self.samples), Some(Arc::new(is_over)))
    }

    /// Counts what was read on an account that began at `before`, where that is more than what the meter was told.
    pub fn settle(&mut self, before: Self, tally: &Tally) {
        self.samples = self.samples.max(before.samples.saturating_add(tally.cost().samples));
    }
}

/// Whether the call may print another line.
pub(crate) fn may_print() -> bool {
    METER.with(|meter| meter.lines.replace(meter.lines.get().saturating_add(1)) < LINES_MAX)
}
