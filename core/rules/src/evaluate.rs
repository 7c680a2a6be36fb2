//! One rule at one tick: which instances there are, what each of them says, and which events follow.
//!
//! A pure function of (rule, states, snapshot, tick): it gives the new states and the notifications, and changes
//! nothing itself, so a result that came too late can be dropped as a whole.
//!
//! Invariants:
//! * a tick over a store that is still reading its log back is unobserved: no state changes, nothing is absent;
//! * an error in one instance leaves the rule's other instances alone, and holds its own state;
//! * instances are evaluated and told in order of their labels, those that broke their budget last time after all
//!   others; once the tick has taken longer than one call may, a broken budget ends it for the rest, which are held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{EventKind, Notification, TimeRange, Timestamp};
use sereno_query::{Across, Native, QueryError, ReduceError, Reduced, reduce_group};
use sereno_script::{Budget, ErrorKind, Instance, Memory, RuleScript, ScriptError, Verdict};
use sereno_storage::{ReadError, Series, Snapshot};

use crate::generation::Host;
use crate::message::{Context, instance_name, notification};
use crate::rule::{By, Condition, Labels, Rule, Value};
use crate::state::{Event, Observed, State, Worse};
use crate::template::Name;

/// What is kept about one instance from tick to tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceState {
    pub state: State,
    /// The value that was seen last.
    pub value: Option<f64>,
    memory: Memory,
    /// The version of the script that the memory comes from.
    memory_crc32: u32,
    broke_budget: bool,
}

/// What is kept about a rule.
pub(crate) type Instances = BTreeMap<Labels, InstanceState>;

/// One tick of one rule.
pub(crate) struct Tick<'a> {
    pub rule: &'a Rule,
    pub host: &'a Host,
    pub snapshot: &'a Snapshot,
    pub tick: Timestamp,
    pub generation: u64,
}

/// What came out of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The instances that were looked at, as they are now.
    pub instances: Vec<(Labels, InstanceState)>,
    /// What to tell, in order.
    pub notifications: Vec<Notification>,
    /// What went wrong, with the instance it concerns; several instances often fail alike.
    pub errors: Vec<String>,
    /// Whether a script was stopped because it used up its budget.
    pub broke_budget: bool,
    /// The store could not be looked at: the tick is unobserved, everything stays as it is.
    pub unobserved: bool,
    /// How many series were matched.
    pub series: usize,
    /// How many of them though nobody says how to group them; 0 if that is fine.
    pub ungrouped_series: usize,
}

/// Why an instance has no verdict.
struct Failure {
    text: String,
    broke_budget: bool,
}

impl Tick<'_> {
    /// Evaluates the rule. Cost: linear in the samples of the window, plus the scripts.
    pub fn evaluate(&self, states: &Instances) -> Outcome {
        let mut outcome = Outcome::default();
        let series = match self.snapshot.select(&self.rule.selector, self.range()) {
            Ok(series) => series,
            Err(ReadError::Recovering) => return Outcome { unobserved: true, ..outcome },
            Err(error) => {
                outcome.errors.push(format!("{}: {error}", self.rule.id));
                return outcome;
            }
        };
        outcome.series = series.len();
        if self.rule.by == By::Unsaid && series.len() > 1 {
            outcome.ungrouped_series = series.len();
        }
        let started = self.host.clock.monotonic();
        let mut budget = Budget::default();
        for (labels, series) in self.in_turn(series, states) {
            let late = || self.host.clock.monotonic().saturating_sub(started) >= self.deadline();
            if outcome.broke_budget && late() {
                break;
            }
            let before = states.get(&labels).cloned().unwrap_or_default();
            self.instance(labels, before, series, &mut budget, &mut outcome);
        }
        outcome
    }

    fn range(&self) -> TimeRange {
        TimeRange::before(self.tick, self.rule.window)
    }

    fn deadline(&self) -> Duration {
        self.host.limits.deadline
    }

    /// The series of each instance, those that broke their budget last.
    fn in_turn(&self, series: Vec<Series>, states: &Instances) -> Vec<(Labels, Vec<Series>)> {
        let mut groups: BTreeMap<Labels, Vec<Series>> = BTreeMap::new();
        let one_of_all = match &self.rule.by {
            By::Unsaid => true,
            By::Labels(labels) => labels.is_empty(),
            By::Series => false,
        };
        let has_else = matches!(&self.rule.condition, Condition::Threshold { otherwise: Some(_), .. });
        if one_of_all && has_else {
            groups.insert(Labels::new(), Vec::new());
        }
        for series in series {
            groups.entry(self.rule.instance_of(series.key())).or_default().push(series);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(labels, _)| states.get(labels).is_some_and(|state| state.broke_budget));
        groups
    }

    fn instance(
        &self,
        labels: Labels,
        mut now: InstanceState,
        series: Vec<Series>,
        budget: &mut Budget,
        outcome: &mut Outcome,
    ) {
        let asked = Arc::new(self.ask(&labels, &now.state, series));
        now.broke_budget = false;
        let observed = self.observe(&asked, &mut now, budget).unwrap_or_else(|failure| {
            now.broke_budget = failure.broke_budget;
            outcome.broke_budget |= failure.broke_budget;
            outcome.errors.push(format!("{}: {}", instance_name(self.rule, &labels), failure.text));
            Observed::Nothing
        });
        if let Observed::Clear(value) | Observed::Alert(_, value) = observed {
            now.value = value;
        }
        let (state, event) = now.state.step(observed, self.tick, self.rule.policy());
        now.state = state;
        if let Some(event) = event {
            let context = self.context(&asked, &event, budget, &mut outcome.errors);
            let told = notification(self.rule, &labels, &event, self.tick, self.generation, context);
            outcome.notifications.push(told);
        }
        outcome.instances.push((labels, now));
    }

    fn ask(&self, labels: &Labels, state: &State, series: Vec<Series>) -> Instance {
        let params = match &self.rule.condition {
            Condition::Script { params, .. } => params.clone(),
            Condition::Threshold { .. } => BTreeMap::new(),
        };
        let value = self
            .rule
            .value()
            .map(|value| sereno_script::Value { reducer: value.reducer.clone(), across: value.across });
        Instance {
            now: self.tick,
            labels: labels.iter().cloned().collect(),
            params,
            level: state.level(),
            series,
            window: self.rule.window,
            value,
        }
    }

    fn observe(
        &self,
        asked: &Arc<Instance>,
        now: &mut InstanceState,
        budget: &mut Budget,
    ) -> Result<Observed, Failure> {
        match &self.rule.condition {
            Condition::Threshold { value, limit, worse, level, otherwise } => {
                let number = self
                    .reduce(value, &asked.series, budget)?
                    .or(*otherwise)
                    .filter(|number| !number.is_nan());
                let Some(number) = number else { return Ok(Observed::Nothing) };
                let fires = match worse {
                    Worse::Higher => number >= *limit,
                    Worse::Lower => number < *limit,
                };
                Ok(if fires { Observed::Alert(*level, Some(number)) } else { Observed::Clear(Some(number)) })
            }
            Condition::Script { script, crc32, .. } => {
                let verdict =
                    check(script, *crc32, asked, now, budget).map_err(|error| Failure::script(&error))?;
                Ok(match verdict {
                    Verdict::Ok(value) => Observed::Clear(value),
                    Verdict::Alert(level, value) => Observed::Alert(level, value),
                    Verdict::Absent(_) | Verdict::Skip(_) => Observed::Nothing,
                })
            }
        }
    }

    /// The value of an instance; `None` when its window has none.
    fn reduce(&self, value: &Value, series: &[Series], budget: &mut Budget) -> Result<Option<f64>, Failure> {
        if series.is_empty() {
            return Ok(None);
        }
        let (before, tally) = (*budget, budget.tally(&self.host.limits));
        let reduced = reduce_group(series, self.range(), &*value.reducer, value.across, &tally);
        budget.settle(before, &tally);
        match reduced.map_err(Failure::query)? {
            Reduced::None => Ok(None),
            Reduced::Number(number) => Ok(Some(number)),
            Reduced::Map(map) => {
                let names: Vec<String> = map.into_keys().collect();
                let text = format!(
                    "`{}` gives several values ({}), and a rule compares one",
                    value.agg,
                    names.join(", ")
                );
                Err(Failure { text, broke_budget: false })
            }
        }
    }

    /// What a message may speak of, found out only when it does.
    fn context(
        &self,
        asked: &Arc<Instance>,
        event: &Event,
        budget: &mut Budget,
        errors: &mut Vec<String>,
    ) -> Context {
        let mut context = Context::default();
        if self.rule.message.as_ref().is_some_and(|message| message.mentions(&Name::Count)) {
            let count = {
                let tally = budget.tally(&self.host.limits);
                reduce_group(&asked.series, self.range(), &Native::Count, Some(Across::Sum), &tally)
            };
            context.samples = count.ok().and_then(|count| count.number());
        }
        if let (Condition::Script { script, .. }, None) = (&self.rule.condition, &self.rule.message) {
            // The script describes what is wrong; when nothing is any more, the usual words do.
            if event.kind != EventKind::Resolved {
                match script.message(asked, event.level, event.value, budget) {
                    Ok(text) => context.script_text = text,
                    Err(error) => errors.push(error.to_string()),
                }
            }
        }
        context
    }
}

/// Asks the script. Memory that another version of the script left behind is tried first, and thrown away if the new
/// version cannot use it.
fn check(
    script: &RuleScript,
    crc32: u32,
    asked: &Arc<Instance>,
    now: &mut InstanceState,
    budget: &mut Budget,
) -> Result<Verdict, ScriptError> {
    let foreign = now.memory_crc32 != crc32;
    let mut verdict = script.check(&mut now.memory, asked, budget);
    if foreign && verdict.as_ref().is_err_and(|error| error.kind == ErrorKind::Failed) {
        let mut fresh = Memory::default();
        verdict = script.check(&mut fresh, asked, budget);
        if verdict.is_ok() {
            now.memory = fresh;
        }
    }
    if verdict.is_ok() {
        now.memory_crc32 = crc32;
    }
    verdict
}

impl Failure {
    fn script(error: &ScriptError) -> Self {
        Self { text: error.diagnostic.to_string(), broke_budget: error.kind == ErrorKind::Limit }
    }

    fn query(error: QueryError) -> Self {
        match error {
            QueryError::Reduce(ReduceError { aggregation, source }) => {
                match source.downcast_ref::<ScriptError>() {
                    Some(script) => Self::script(script),
                    None => Self {
                        text: format!("aggregation `{aggregation}` failed: {source}"),
                        broke_budget: false,
                    },
                }
            }
            QueryError::TooManySamples { .. } => Self { text: error.to_string(), broke_budget: true },
            error => Self { text: error.to_string(), broke_budget: false },
        }
    }
}
