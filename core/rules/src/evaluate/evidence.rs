//! Why an instance was judged as it was, in numbers: what `explain` shows, and what is kept for every transition.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::Timestamp;
use sereno_script::Trace;

use super::judge::Truth;
use crate::expression::Reading;
use crate::rule::Labels;
use crate::state::{Event, Seen, State};

/// How much of an evaluation is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Nothing.
    #[default]
    None,
    /// Instances that had something to tell.
    Events,
    /// Every instance.
    Everything,
}

/// Why one instance was judged as it was at one tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evidence {
    pub tick: Timestamp,
    pub rule: Arc<str>,
    pub instance: Arc<Labels>,
    pub generation: u64,
    /// What was read.
    pub inputs: Vec<Measurement>,
    /// The number that was compared.
    pub value: Option<f64>,
    /// What the conditions of the levels said; all false where a script decided.
    pub truth: Truth,
    /// What it all meant.
    pub seen: Seen,
    /// Why, where a script or a failure says so.
    pub why: Option<String>,
    /// What the script showed on its way.
    pub traces: Vec<Trace>,
    /// The state before and after.
    pub before: State,
    pub after: State,
    /// What there was to tell.
    pub events: Vec<Event>,
    /// The rule that muted it.
    pub muted_by: Option<Arc<str>>,
}

/// What one input gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measurement {
    pub name: Arc<str>,
    /// In the text form of selectors.
    pub selector: String,
    /// How many series of it belong to the instance.
    pub series: usize,
    pub window: Duration,
    pub offset: Duration,
    pub reading: Reading,
}
