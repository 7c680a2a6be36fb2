//! What a rule script is asked about: one label set of a rule, at one tick.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Level, Timestamp};
use sereno_query::{Across, Reducer};
use sereno_storage::Series;

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
    /// The labels that tell this instance from the rule's others.
    pub labels: BTreeMap<String, String>,
    /// The rule's parameters.
    pub params: BTreeMap<String, ParamValue>,
    /// The level at which it fires now.
    pub level: Option<Level>,
    /// Its series, in order of their keys.
    pub series: Vec<Series>,
    /// The rule's window.
    pub window: Duration,
    /// What gives `s.value`; without it, asking for the value is an error.
    pub value: Option<Value>,
}

/// How the value of an instance is computed: over time, then across its series.
#[derive(Clone, Debug)]
pub struct Value {
    /// Over time.
    pub reducer: Arc<dyn Reducer>,
    /// Across the series; may be left open for a single one.
    pub across: Option<Across>,
}
