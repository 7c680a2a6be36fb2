//! What the inputs of an instance give at a tick.
//!
//! Exact meanings (`config/README.md`): a window without a sample has no value, except that a count is 0; NaN is no
//! value; `else` stands in for a value that is missing; an age is never missing, and time in which nobody looked does not
//! make anything older.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_query::{Across, Interrupt, Native, QueryError, ReduceError, Reduced, Reducer, Tally, measure};
use sereno_runtime::Clock;
use sereno_script::{Budget, ErrorKind, ScriptError};
use sereno_storage::Series;

use super::group::range;
use crate::expression::Reading;
use crate::generation::Host;
use crate::rule::{How, Input, Value};

/// Why an instance, or the whole rule, has no verdict.
#[derive(Debug)]
pub(super) struct Failure {
    pub text: String,
    pub broke_budget: bool,
}

/// The account on which a rule reads at one tick, kept from tick to tick for the sake of its memory.
pub(super) struct Account {
    tally: Arc<Tally>,
    interrupt: Option<Interrupt>,
    /// On the monotonic clock, in nanoseconds.
    deadline: Arc<AtomicU64>,
    /// What was used up at this tick.
    pub budget: Budget,
    /// The same, when the account was renewed last.
    before: Budget,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            tally: Tally::new(0, None),
            interrupt: None,
            deadline: Arc::default(),
            budget: Budget::default(),
            before: Budget::default(),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl Account {
    /// Begins a tick: nothing is used up, and there is as much time as one call may take.
    pub fn open(&mut self, host: &Host) {
        self.budget = Budget::default();
        let deadline = host.clock.monotonic() + host.limits.deadline;
        self.deadline.store(nanos(deadline), Ordering::Relaxed);
        self.renew(host);
    }

    /// Begins anew after a failure, which spoils what is read after it; what was used up stays used up.
    pub fn renew(&mut self, host: &Host) {
        self.before = self.budget;
        let interrupt = self.interrupt.get_or_insert_with(|| interrupt(&host.clock, &self.deadline)).clone();
        let left = host.limits.samples_max.saturating_sub(self.budget.samples());
        Tally::renew(&mut self.tally, left, Some(interrupt));
    }

    /// The value of an input over its series, with what it rests on.
    fn measure(
        &mut self,
        series: &[Series],
        input: &Input,
        tick: Timestamp,
        reducer: &dyn Reducer,
        across: Option<Across>,
    ) -> Result<sereno_query::Measured, Failure> {
        measure(series, range(input, tick), reducer, across, &self.tally).map_err(Failure::query)
    }

    /// How many samples have been decoded at this tick.
    pub fn used(&mut self) -> u64 {
        self.settle();
        self.budget.samples()
    }

    /// Counts what was read since it was renewed: before a script goes on with the budget.
    pub fn settle(&mut self) {
        self.budget.settle(self.before, &self.tally);
    }

    /// What `input` gives for an instance. `unwatched` is how much of the time since the newest sample nobody looked.
    pub fn read(
        &mut self,
        series: &[Series],
        input: &Input,
        tick: Timestamp,
        unwatched: Unwatched,
    ) -> Result<Reading, Failure> {
        let mut reading = match &input.value {
            None => self.presence(series, input, tick)?,
            Some(Value { how: How::Age, across, .. }) => self.age(series, input, tick, *across, unwatched)?,
            Some(value @ Value { how: How::Reducer(reducer), .. }) => {
                self.reduce(series, input, tick, value, &**reducer)?
            }
        };
        reading.value = reading.value.filter(|number| !number.is_nan()).or(input.otherwise);
        Ok(reading)
    }

    /// An input without a value: only that there are samples, and of when, counts.
    pub fn presence(
        &mut self,
        series: &[Series],
        input: &Input,
        tick: Timestamp,
    ) -> Result<Reading, Failure> {
        if series.is_empty() {
            return Ok(Reading { samples: Some(0), ..Reading::default() });
        }
        let measured = self.measure(series, input, tick, &Native::Count, Some(Across::Sum))?;
        Ok(Reading { value: None, samples: Some(measured.count), newest: measured.newest })
    }

    fn reduce(
        &mut self,
        series: &[Series],
        input: &Input,
        tick: Timestamp,
        value: &Value,
        reducer: &dyn Reducer,
    ) -> Result<Reading, Failure> {
        let empty = if reducer.native() == Some(Native::Count) { Some(0.0) } else { None };
        if series.is_empty() {
            return Ok(Reading { value: empty, samples: Some(0), newest: None });
        }
        let measured = self.measure(series, input, tick, reducer, value.across)?;
        let number = if measured.count == 0 { empty } else { pick(value, measured.value)? };
        Ok(Reading { value: number, samples: Some(measured.count), newest: measured.newest })
    }

    /// Whether a series without samples since `before` has none before that either: in a replay, one that begins later.
    fn is_unborn(&self, series: &[Series], before: Timestamp) -> bool {
        let last = |series: &Series| self.tally.read(|reads| series.last_before(before, reads));
        !series.iter().any(|series| last(series).is_some_and(|last| last.is_some()))
    }

    /// Seconds since the newest sample of each series, joined across them; a series without one is as old as can be seen.
    fn age(
        &mut self,
        series: &[Series],
        input: &Input,
        tick: Timestamp,
        across: Option<Across>,
        unwatched: Unwatched,
    ) -> Result<Reading, Failure> {
        let end = tick - input.offset;
        let mut reading = Reading { value: None, samples: Some(0), newest: None };
        let (mut ages, mut count) = (Vec::with_capacity(series.len()), 0);
        for series in series.chunks(1) {
            let measured = self.measure(series, input, tick, &Native::Count, Some(Across::Sum))?;
            count += measured.count;
            if measured.newest.is_none() && self.is_unborn(series, end - input.window) {
                continue;
            }
            reading.newest = reading.newest.max(measured.newest);
            ages.push(measured.newest.map_or(input.window, |newest| {
                end.since(newest).saturating_sub(unwatched.since(newest)).min(input.window)
            }));
        }
        reading.samples = Some(count);
        let ages = ages.into_iter();
        let age = match across.unwrap_or(Across::Max) {
            Across::Min | Across::Pool => ages.min(),
            // Joined as other numbers are; the sum of ages is nothing that anybody wants, but what was asked for.
            Across::Sum => Some(ages.sum()),
            Across::Count => Some(Duration::from_secs(ages.len() as u64)),
            Across::Mean => {
                let count = ages.len();
                ages.sum::<Duration>().checked_div(u32::try_from(count).unwrap_or(u32::MAX))
            }
            Across::Max => ages.max(),
        };
        reading.value = Some(age.unwrap_or(input.window).as_secs_f64());
        Ok(reading)
    }
}

/// How much of the time since the newest sample of an instance nobody has looked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwatched {
    /// The newest sample that was known before.
    pub newest: Option<Timestamp>,
    /// The time since that one that nobody looked.
    pub before: Duration,
    /// The last tick and this one, if there is a gap between them.
    pub gap: Option<(Timestamp, Timestamp)>,
}

impl Unwatched {
    /// The time after `sample` that nobody looked.
    pub fn since(&self, sample: Timestamp) -> Duration {
        let gap = self.gap.map_or(Duration::ZERO, |(from, to)| to.since(from.max(sample)));
        let before = if Some(sample) > self.newest { Duration::ZERO } else { self.before };
        before + gap
    }
}

fn interrupt(clock: &Arc<dyn Clock>, deadline: &Arc<AtomicU64>) -> Interrupt {
    let (clock, deadline) = (clock.clone(), deadline.clone());
    Arc::new(move || nanos(clock.monotonic()) >= deadline.load(Ordering::Relaxed))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The one number that a rule compares.
fn pick(value: &Value, reduced: Reduced) -> Result<Option<f64>, Failure> {
    match (reduced, &value.pick) {
        (Reduced::None, _) => Ok(None),
        (Reduced::Number(number), None) => Ok(Some(number)),
        (Reduced::Map(map), Some(name)) => match map.get(name) {
            Some(number) => Ok(Some(*number)),
            None => {
                let names: Vec<String> = map.into_keys().collect();
                Err(Failure::text(format!("`{}` gives {}, but no `{name}`", value.agg, names.join(", "))))
            }
        },
        (Reduced::Map(map), None) => {
            let names: Vec<String> = map.into_keys().collect();
            let (agg, all) = (&value.agg, names.join(", "));
            Err(Failure::text(format!("`{agg}` gives several values ({all}), and a rule compares one")))
        }
        (Reduced::Number(_), Some(name)) => {
            Err(Failure::text(format!("`{}` gives one number, not a `{name}` among several", value.agg)))
        }
    }
}

impl Failure {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), broke_budget: false }
    }

    pub fn script(error: &ScriptError) -> Self {
        Self { text: error.diagnostic.to_string(), broke_budget: error.kind == ErrorKind::Limit }
    }

    pub fn query(error: QueryError) -> Self {
        match error {
            QueryError::Reduce(ReduceError { aggregation, source }) => {
                match source.downcast_ref::<ScriptError>() {
                    Some(script) => Self::script(script),
                    None => Self::text(format!("aggregation `{aggregation}` failed: {source}")),
                }
            }
            QueryError::TooManySamples { .. } | QueryError::Deadline => {
                Self { text: error.to_string(), broke_budget: true }
            }
            error => Self::text(error.to_string()),
        }
    }
}
