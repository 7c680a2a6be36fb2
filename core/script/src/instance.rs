//! What a script is asked about: one label set of a rule at one tick (`s`), a whole rule (`ctx`), or an alert to be
//! worded (`a`). Everything here is a handle: nothing is read before the script asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{EventKind, Level, Timestamp};
use sereno_query::{Across, Reducer};
use sereno_storage::{Series, Snapshot};

use crate::trace::Trace;

/// Labels by name, in order of the names.
pub type Labels = Vec<(String, String)>;

/// The parameters of a rule, by name.
pub type Params = BTreeMap<String, ParamValue>;

/// A parameter of a rule, from its YAML.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<ParamValue>),
    /// Values by name.
    Map(BTreeMap<String, ParamValue>),
}

/// One label set of a rule at one tick: what `s` stands for in `fn check(s)`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The tick.
    pub now: Timestamp,
    /// The labels that tell this instance from the rule's others; a label that its series lack is "".
    pub labels: Arc<Labels>,
    /// The rule's parameters.
    pub params: Arc<Params>,
    /// The level at which it fires now.
    pub level: Option<Level>,
    /// `inactive`, `pending`, `firing` or `recovering`.
    pub state: &'static str,
    /// The rule's window.
    pub window: Duration,
    /// What `s.query` looks into.
    pub snapshot: Snapshot,
    /// What the rule reads, its main input first.
    pub inputs: Vec<InputView>,
    /// What `s.value` is, for a rule that computes it; otherwise it is the value of the main input.
    pub value: Option<Option<f64>>,
}

/// One input of a rule, for one instance.
#[derive(Clone, Debug)]
pub struct InputView {
    /// Its name in the rule file; `v` in the short form.
    pub name: Arc<str>,
    /// The series of this instance, in order of their keys.
    pub series: Vec<Series>,
    /// How far back it reads.
    pub window: Duration,
    /// The window ends so much before the tick.
    pub offset: Duration,
    /// What gives its value; without it, asking for the value is an error.
    pub value: Option<Value>,
    /// Its value when there is no data.
    pub otherwise: Option<f64>,
}

/// How a value is computed: over time, then across the series.
#[derive(Clone, Debug)]
pub struct Value {
    /// Over time.
    pub reducer: Arc<dyn Reducer>,
    /// Across the series; may be left open for a single one.
    pub across: Option<Across>,
}

/// The firing instances of a rule, as they were decided at this tick; `None` for a rule that may not be asked about.
pub type AlertsOf = Arc<dyn Fn(&str) -> Option<Vec<(Labels, Level)>> + Send + Sync>;

/// A whole rule at one tick: what `ctx` stands for in `fn decide(ctx)`.
#[derive(Clone)]
pub struct Whole {
    /// The tick.
    pub now: Timestamp,
    /// The rule's parameters.
    pub params: Arc<Params>,
    /// The rule's window, for queries that name none.
    pub window: Duration,
    /// What `ctx.query` looks into.
    pub snapshot: Snapshot,
    /// The labels that instances are told apart by.
    pub by: Vec<String>,
    /// The instances that were told of before, in order of their labels, with the level at which they fire.
    pub known: Vec<(Labels, Option<Level>)>,
    /// What other rules have firing.
    pub alerts: AlertsOf,
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("now", &self.now).field("by", &self.by).finish_non_exhaustive()
    }
}

/// An event of an instance that wants words: what `a` stands for in `fn message(a)`.
#[derive(Clone, Debug)]
pub struct AlertView {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What happened.
    pub kind: EventKind,
    /// The level now; of what has ended, the one that it had.
    pub level: Level,
    /// The level before.
    pub previous: Option<Level>,
    /// The value that decided.
    pub value: Option<f64>,
    /// The worst value since the last word about the instance.
    pub extreme: Option<f64>,
    /// How many samples the value was made of.
    pub n: Option<f64>,
    /// The labels of the instance.
    pub labels: Arc<Labels>,
    /// The rule's parameters.
    pub params: Arc<Params>,
    /// What the script traced at this tick.
    pub traces: Vec<Trace>,
    /// The tick.
    pub now: Timestamp,
    /// When the instance began to fire.
    pub fired_at: Timestamp,
    /// How long it has fired.
    pub duration: Duration,
    /// The rule's runbook.
    pub runbook: Option<String>,
    /// What `check` saw, for a message that reads more.
    pub instance: Option<Arc<Instance>>,
}
