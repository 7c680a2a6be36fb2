//! A rule that has passed every check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Level, Selector, SeriesKey};
use sereno_query::{Across, Reducer};
use sereno_script::{ParamValue, RuleScript};

use crate::state::{Policy, Worse};
use crate::template::Template;

/// The labels that tell an instance from the rule's others, in order of their names.
pub type Labels = Vec<(String, String)>;

/// What makes instances of the series that a rule reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One of all; nobody said so, so it is worth a warning when several series match.
    Unsaid,
    /// One for each series: `by: "*"`.
    Series,
    /// One for each set of values of these labels; `by: []` is one of all.
    Labels(Vec<String>),
}

/// An aggregation over time, and how the series of an instance are joined.
#[derive(Clone, Debug)]
pub struct Value {
    /// The aggregation's name.
    pub agg: String,
    /// What it is.
    pub reducer: Arc<dyn Reducer>,
    /// How the series are joined; open where no way is natural.
    pub across: Option<Across>,
}

/// When an instance fires.
#[derive(Clone, Debug)]
pub enum Condition {
    /// When its value is at or over a limit, or below one.
    Threshold {
        /// How the value is computed.
        value: Value,
        /// The limit.
        limit: f64,
        /// Which side of it is worse.
        worse: Worse,
        /// The level at which it fires.
        level: Level,
        /// The value of an empty window; without one its data is absent.
        otherwise: Option<f64>,
    },
    /// When the script says so.
    Script {
        /// The script.
        script: Arc<RuleScript>,
        /// Its name below `rules/`.
        name: String,
        /// The crc32 of it and of what it imports.
        crc32: u32,
        /// Its parameters.
        params: BTreeMap<String, ParamValue>,
        /// What `s.value` is, if the rule says.
        value: Option<Value>,
    },
}

/// A rule that has passed every check.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, and the only identity of its state.
    pub id: Arc<str>,
    /// The file that defines it.
    pub path: PathBuf,
    /// The line in it.
    pub line: u32,
    /// Which series it reads.
    pub selector: Selector,
    /// What makes instances of them.
    pub by: By,
    /// How far back it reads: `[tick - window, tick)`.
    pub window: Duration,
    /// The time between two ticks.
    pub every: Duration,
    /// When an instance fires.
    pub condition: Condition,
    /// What to say then.
    pub message: Option<Template>,
    /// How long a firing instance is silent before it reminds.
    pub reminder: Duration,
    /// Whether it is evaluated.
    pub live: bool,
}

impl Rule {
    /// Whether a state kept for `other` is one for this rule. Everything else may change under a firing alert.
    #[must_use]
    pub fn same_identity(&self, other: &Self) -> bool {
        let grouping = |rule: &Self| match &rule.by {
            By::Unsaid => By::Labels(Vec::new()),
            by => by.clone(),
        };
        self.id == other.id
            && self.selector.name.as_str() == other.selector.name.as_str()
            && grouping(self) == grouping(other)
    }

    /// Whether both read the same series.
    #[must_use]
    pub fn reads_the_same(&self, other: &Self) -> bool {
        self.selector.to_string() == other.selector.to_string()
    }

    /// The labels of the instance to which a series belongs.
    #[must_use]
    pub fn instance_of(&self, key: &SeriesKey) -> Labels {
        let owned = |(label, value): (&str, &str)| (label.to_owned(), value.to_owned());
        match &self.by {
            By::Unsaid => Vec::new(),
            By::Series => key.labels().map(owned).collect(),
            By::Labels(labels) => {
                labels.iter().map(|label| (label.clone(), key.label(label).to_owned())).collect()
            }
        }
    }

    /// What the state machine needs to know.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let worse = match &self.condition {
            Condition::Threshold { worse, .. } => *worse,
            Condition::Script { .. } => Worse::Higher,
        };
        Policy { reminder: self.reminder, worse }
    }

    /// The aggregation that gives its value, if it has one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match &self.condition {
            Condition::Threshold { value, .. } => Some(value),
            Condition::Script { value, .. } => value.as_ref(),
        }
    }
}
