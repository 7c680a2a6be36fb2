//! What scripts have used up, and the word to stop.
//!
//! Rhai counts operations from zero in every call and knows nothing of the time, of the samples that native functions
//! look at, and of the rows that they go through. So each thread carries a meter while a script runs on it: the engine's
//! progress hook and the native functions report to it, and a call made from within a call (`s.agg` with a scripted
//! aggregation) goes on counting where the outer one is. What rows of minutes and hours answer costs no samples.
//!
//! A script that is stopped stays stopped: every further operation of the call fails too, whatever it does with the
//! error. Operations and samples are counted alike on every machine; the time is the last resort.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, Position};
use sereno_query::{Interrupt, QueryError, Tally};
use sereno_runtime::Clock;
use sereno_runtime::units::format_duration;

use crate::convert::Outcome;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::trace::{TRACES_MAX, Trace, TraceValue};

/// What the calls for one rule at one tick have used up; a fresh one for each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    operations: u64,
    samples: u64,
}

impl Budget {
    /// Operations so far, with those that native functions count for series and rows.
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
/// How often it is read by calls that read no samples.
const CALLS_PER_CLOCK: u32 = 32;
/// How many lines one call may print; the rest is dropped.
const LINES_MAX: u32 = 20;

thread_local! {
    static METER: Meter = const { Meter::idle() };
}

/// Why a call may not go on.
type Reason = (ErrorKind, String);

struct Meter {
    running: Cell<bool>,
    clock: RefCell<Option<Arc<dyn Clock>>>,
    deadline: Cell<Duration>,
    /// The limits of the call.
    deadline_max: Cell<Duration>,
    operations_max: Cell<u64>,
    operations_per_tick_max: Cell<u64>,
    samples_max: Cell<u64>,
    /// Operations of the calls that have ended, and of those that wait for an inner one.
    operations_before: Cell<u64>,
    /// Operations of the innermost call, as the engine counts them.
    operations: Cell<u64>,
    /// Operations that native functions have counted in this call.
    worked: Cell<u64>,
    samples: Cell<u64>,
    /// Calls of native functions that read.
    calls: Cell<u32>,
    lines: Cell<u32>,
    traces: RefCell<Vec<Trace>>,
    /// Why no further operation is allowed.
    stopped: RefCell<Option<Reason>>,
    /// Whether there is such a reason; cheaper to ask.
    is_stopped: Cell<bool>,
}

impl Meter {
    const fn idle() -> Self {
        Self {
            running: Cell::new(false),
            clock: RefCell::new(None),
            deadline: Cell::new(Duration::ZERO),
            deadline_max: Cell::new(Duration::ZERO),
            operations_max: Cell::new(0),
            operations_per_tick_max: Cell::new(0),
            samples_max: Cell::new(0),
            operations_before: Cell::new(0),
            operations: Cell::new(0),
            worked: Cell::new(0),
            samples: Cell::new(0),
            calls: Cell::new(0),
            lines: Cell::new(0),
            traces: RefCell::new(Vec::new()),
            stopped: RefCell::new(None),
            is_stopped: Cell::new(false),
        }
    }

    fn start(&self, limits: &Limits, clock: &Arc<dyn Clock>, budget: &Budget) {
        self.running.set(true);
        self.deadline.set(clock.monotonic() + limits.deadline);
        self.deadline_max.set(limits.deadline);
        self.operations_max.set(limits.operations_max);
        self.operations_per_tick_max.set(limits.operations_per_tick_max);
        self.samples_max.set(limits.samples_max);
        self.clock.replace(Some(clock.clone()));
        self.operations_before.set(budget.operations);
        self.operations.set(0);
        self.worked.set(0);
        self.samples.set(budget.samples);
        self.lines.set(0);
        self.traces.borrow_mut().clear();
        self.stopped.replace(None);
        self.is_stopped.set(false);
    }

    fn stop(&self) -> Budget {
        self.running.set(false);
        Budget { operations: self.total(), samples: self.samples.get() }
    }

    /// Operations of the tick.
    fn total(&self) -> u64 {
        self.operations_before.get() + self.operations.get() + self.worked.get()
    }

    /// The reason to stop, if the time is up.
    fn check_time(&self) -> Option<Reason> {
        let now = self.clock.borrow().as_ref()?.monotonic();
        (now >= self.deadline.get()).then(|| {
            let deadline = format_duration(self.deadline_max.get());
            (ErrorKind::Limit, format!("the script ran longer than its {deadline}"))
        })
    }

    /// The reason to stop, if the operations are used up.
    fn check_operations(&self) -> Option<Reason> {
        let limit = self.operations_per_tick_max.get();
        if self.total() > limit {
            let message = format!("the scripts of this rule used up their {limit} operations for one tick");
            return Some((ErrorKind::Limit, message));
        }
        // The engine sees to its own part of them.
        let worked = self.worked.get();
        (worked > 0 && worked.saturating_add(self.operations.get()) > self.operations_max.get())
            .then(|| (ErrorKind::Limit, "the script used up its operations for one call".to_owned()))
    }

    fn check_samples(&self, samples: u64) -> Option<Reason> {
        let total = self.samples.get().saturating_add(samples);
        self.samples.set(total);
        let limit = self.samples_max.get();
        if total > limit {
            return Some((ErrorKind::Limit, format!("the script looked at more than its {limit} samples")));
        }
        // What reads no samples is quick, and a look at the clock would take most of its time. Long reads of rows look
        // themselves.
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        if samples > 0 || calls.is_multiple_of(CALLS_PER_CLOCK) { self.check_time() } else { None }
    }

    /// The reason to stop: the first one, which holds from then on.
    fn stop_for(&self, reason: impl FnOnce() -> Option<Reason>) -> Option<Dynamic> {
        if !self.running.get() {
            return None;
        }
        let mut stopped = self.stopped.borrow_mut();
        if stopped.is_none() {
            *stopped = reason();
            self.is_stopped.set(stopped.is_some());
        }
        stopped.as_ref().map(|(_, reason)| reason.clone().into())
    }

    fn trace(&self, name: &str, value: TraceValue) {
        let mut traces = self.traces.borrow_mut();
        if let Some(known) = traces.iter_mut().find(|trace| *trace.name == *name) {
            known.value = value;
        } else if traces.len() < TRACES_MAX {
            traces.push(Trace { name: name.into(), value });
        }
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
    METER.with(|meter| {
        meter.operations.set(operations);
        let is_fine = !meter.is_stopped.get()
            && !operations.is_multiple_of(OPERATIONS_PER_CLOCK)
            && meter.total() <= meter.operations_per_tick_max.get();
        if is_fine {
            return None;
        }
        meter.stop_for(|| meter.check_operations().or_else(|| meter.check_time()))
    })
}

/// Tells that a native function looks at `samples`.
pub(crate) fn charge(samples: u64) -> Outcome<()> {
    stop_for(|meter| meter.check_samples(samples))
}

/// Tells that a native function goes through `items`: series, rows, comparisons of a sort. Each is an operation.
pub(crate) fn work(items: usize) -> Outcome<()> {
    stop_for(|meter| {
        meter.worked.set(meter.worked.get().saturating_add(items as u64));
        meter.check_operations().or_else(|| meter.check_time())
    })
}

/// Ends the call: what its answer would be made of cannot be read.
pub(crate) fn check_reads(tally: &Tally) -> Outcome<()> {
    match tally.check() {
        Ok(()) => Ok(()),
        Err(error) => unreadable(&error),
    }
}

/// Ends the call for an error that no script may catch.
pub(crate) fn unreadable(error: &QueryError) -> Outcome<()> {
    let kind = match error {
        QueryError::TooManySamples { .. } | QueryError::Deadline => ErrorKind::Limit,
        _ => ErrorKind::Unreadable,
    };
    stop_for(|_| Some((kind, error.to_string())))
}

fn stop_for(reason: impl FnOnce(&Meter) -> Option<Reason>) -> Outcome<()> {
    match METER.with(|meter| meter.stop_for(|| reason(meter))) {
        Some(reason) => Err(EvalAltResult::ErrorTerminated(reason, Position::NONE).into()),
        None => Ok(()),
    }
}

/// Keeps what a script shows.
pub(crate) fn trace(name: &str, value: TraceValue) {
    METER.with(|meter| meter.trace(name, value));
}

/// What the last call on this thread has shown.
pub(crate) fn take_traces() -> Vec<Trace> {
    METER.with(|meter| meter.traces.take())
}

/// Why the last call on this thread was stopped, if it was.
pub(crate) fn stopped() -> Option<Reason> {
    METER.with(|meter| if meter.is_stopped.get() { meter.stopped.borrow().clone() } else { None })
}

/// Whether the script that runs on this thread has used up its time.
static IS_OVER: LazyLock<Interrupt> =
    LazyLock::new(|| Arc::new(|| METER.with(|meter| meter.running.get() && meter.check_time().is_some())));

impl Budget {
    /// An account to read on: what is left of the samples of the tick and, for a script, until its call's time is up. One
    /// for each instance of a rule, since a read that fails spoils what is read after it.
    #[must_use]
    pub fn tally(&self, limits: &Limits) -> Arc<Tally> {
        tally(self.samples_left(limits))
    }

    /// How many samples may still be read.
    pub(crate) fn samples_left(&self, limits: &Limits) -> u64 {
        limits.samples_max.saturating_sub(self.samples)
    }

    /// Counts what was read on an account that began at `before`, where that is more than what the meter was told.
    pub fn settle(&mut self, before: Self, tally: &Tally) {
        self.samples = self.samples.max(before.samples.saturating_add(tally.cost().samples));
    }
}

/// An account of so many samples, until the time of the call is up.
pub(crate) fn tally(samples_max: u64) -> Arc<Tally> {
    Tally::new(samples_max, Some(IS_OVER.clone()))
}

/// Whether the call may print another line.
pub(crate) fn may_print() -> bool {
    METER.with(|meter| meter.lines.replace(meter.lines.get().saturating_add(1)) < LINES_MAX)
}
