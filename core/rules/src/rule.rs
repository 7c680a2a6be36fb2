//! A rule that has passed every check: everything that an evaluation needs, decided once.
//!
//! Not here: how it is written (`file`), how mistakes are found (`compile`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{LabelMatcher, Level, Selector, SeriesKey};
use sereno_query::{Across, Reducer};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_script::{Entry, ParamValue, RuleScript};

use crate::expression::Expression;
use crate::state::Policy;
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
    /// One for each set of values of these labels, in order of their names; `by: []` is one of all.
    Labels(Vec<String>),
}

/// An aggregation over time, and how the series of an instance are joined.
#[derive(Clone, Debug)]
pub struct Value {
    /// The aggregation's name.
    pub agg: String,
    /// What it is.
    pub how: How,
    /// How the series are joined; open where no way is natural.
    pub across: Option<Across>,
    /// Which of several numbers is meant: `score` of `agg: apdex.score`.
    pub pick: Option<String>,
}

/// What gives the number.
#[derive(Clone, Debug)]
pub enum How {
    /// An aggregation over the window.
    Reducer(Arc<dyn Reducer>),
    /// Seconds since the last sample, looked for as far back as the input's window; older than that is the window.
    Age,
}

/// Data that a rule reads: `metric` and its keys, or one of `inputs`.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name by which expressions and scripts know it; `v` for the one of the short form.
    pub name: Arc<str>,
    /// Which series.
    pub selector: Selector,
    /// The number that it gives; without one, a script reads it, or a heartbeat waits for it.
    pub value: Option<Value>,
    /// How far back it reads: `[tick - offset - window, tick - offset)`. For `age`, the `lookback`.
    pub window: Duration,
    /// How long before the tick the window ends.
    pub offset: Duration,
    /// The value where there are no samples.
    pub otherwise: Option<f64>,
    /// Labels beyond `by` that a script's vectors keep, like `le`.
    pub keep: Vec<String>,
}

/// A level at which a rule can fire.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelRule {
    /// Which.
    pub level: Level,
    /// When its condition holds; `None` where a script decides and this only clocks it.
    pub when: Option<Expression>,
    /// When it has ceased to hold; by itself, when `when` does not hold.
    pub clear: Option<Expression>,
}

/// What decides.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The conditions of levels. A rule that only records a series, and a heartbeat, have none.
    Levels,
    /// `fn check(s)` of a script, or `fn decide(ctx)`.
    Script(ScriptUse),
}

/// A script, as a rule uses it.
#[derive(Clone, Debug)]
pub struct ScriptUse {
    /// The script.
    pub script: Arc<RuleScript>,
    /// Its name below `scripts/rules/`.
    pub name: String,
    /// The crc32 of it and of all that it imports.
    pub crc32: u32,
}

/// What may be different for some instances: the rule's own, or one of its `overrides`.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Which instances: matchers on `by` labels, all of which must hold; empty for the rule's own.
    pub only: Vec<(String, LabelMatcher)>,
    /// The levels, the lowest first.
    pub levels: Vec<LevelRule>,
    /// What the state machine needs to know.
    pub policy: Policy,
    /// The number in `limit` or `below`, for messages.
    pub limit: Option<Limit>,
    /// What a script reads as `params`.
    pub params: Arc<BTreeMap<String, ParamValue>>,
    /// Attributes of its notifications, never identity.
    pub labels: Arc<Labels>,
    /// Whether it is evaluated, and told.
    pub mode: Mode,
}

/// The limit of the short form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The number.
    pub number: f64,
    /// Which side of it is worse.
    pub worse: crate::state::Worse,
}

/// Whether a rule is evaluated, and who hears of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everybody.
    #[default]
    Live,
    /// Nobody but the log and monitors that ask for it; no sink.
    Shadow,
    /// It is not evaluated.
    Off,
}

/// A rule that mutes this one while it fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Its id.
    pub rule: Arc<str>,
    /// The labels in which the instances must agree; empty: any instance of it mutes all.
    pub on: Vec<String>,
    /// Whether it mutes from `pending` on.
    pub from_pending: bool,
}

/// Which instances must report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// These; one that has never been seen is absent from the start.
    pub instances: Vec<Labels>,
    /// At least so many; when fewer report, the rule has an absent instance without labels.
    pub min: usize,
}

/// What happens to a rule that cannot be evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Its states stand.
    #[default]
    Hold,
    /// They stand, and an instance `error="evaluation"` of level `warn` fires after three such ticks in a row.
    Alert,
}

/// Another rule that this one names, and where it does: checked once all rules are known.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The id of the other one.
    pub to: Arc<str>,
    /// In `suppressed_by`, rather than in `after`.
    pub mutes: bool,
    /// The labels of `on`, where the rule says so; else they are those that both have in `by`.
    pub on: Option<Vec<String>>,
    /// Whether it mutes from `pending` on.
    pub from_pending: bool,
    /// A finding at that place, without words.
    pub at: Diagnostic,
}

/// How much of a rule an edit changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EditClass {
    /// Nothing.
    Same,
    /// What it says of an alert: message, labels, runbook, reminder. No state changes.
    Text,
    /// What decides. Instances, clocks and memory stay, and the next tick decides.
    Logic,
    /// What its instances are. They are closed, and the rule begins anew.
    Identity,
}

/// A rule that has passed every check.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, and the only identity of its state.
    pub id: Arc<str>,
    /// The id that its state was kept under before.
    pub renamed_from: Option<Arc<str>>,
    /// The file that defines it.
    pub path: PathBuf,
    /// The line in it.
    pub line: u32,
    /// What it reads; the first is the main one. Empty for a script with `decide` that only queries.
    pub inputs: Vec<Input>,
    /// The `window` of a script with `decide`, which has no inputs.
    pub decide_window: Duration,
    /// What makes instances.
    pub by: By,
    /// The time between two ticks.
    pub every: Duration,
    /// How long after a tick its data is taken to be complete.
    pub settle: Duration,
    /// The number compared, from the inputs; by itself the value of the only input.
    pub value: Option<Expression>,
    /// What must hold for a verdict; else the state is held.
    pub require: Option<Expression>,
    /// What decides.
    pub decision: Decision,
    /// The rule's own variant, then its overrides in their order. The first of
    /// `variants[1..]` that matches an instance is its variant, else `variants[0]`.
    pub variants: Vec<Variant>,
    /// Instances that must report.
    pub expect: Expect,
    /// The name of the series that its value is written to.
    pub record: Option<String>,
    /// What mutes it.
    pub suppressed_by: Vec<Suppression>,
    /// The rules to be evaluated before it in the same tick, those that mute it included; sorted.
    pub after: Vec<Arc<str>>,
    /// How many instances it may have.
    pub max_instances: usize,
    /// What happens when it cannot be evaluated.
    pub on_error: OnError,
    /// What to say.
    pub message: Option<Template>,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// The version of the shape of its script's memory.
    pub state_version: u32,
    /// The crc32 of the rule as it is written, defaults included: another one is an edit.
    pub text_crc32: u32,
    /// The same without what only says something: message, labels, runbook, reminder. It covers the scripts used.
    pub logic_crc32: u32,
    /// The other rules that it names, where it names them.
    pub(crate) links: Vec<Link>,
    /// A finding where `renamed_from` stands, without words.
    pub(crate) renamed_at: Option<Box<Diagnostic>>,
}

impl Rule {
    /// What is compared for identity: a state kept for `other` is one for this rule if these are equal. Everything else
    /// may change under a firing alert. (The id may have changed by `renamed_from`.)
    #[must_use]
    pub fn same_identity(&self, other: &Self) -> bool {
        self.grouping() == other.grouping() && self.reads() == other.reads()
    }

    /// How much of `old` it changes.
    #[must_use]
    pub fn edit_class(&self, old: &Self) -> EditClass {
        if !self.same_identity(old) {
            EditClass::Identity
        } else if self.logic_crc32 != old.logic_crc32 {
            EditClass::Logic
        } else if self.text_crc32 != old.text_crc32 {
            EditClass::Text
        } else {
            EditClass::Same
        }
    }

    /// Whether it only waits for samples to come: nothing is compared.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        self.decides_by_levels() && self.inputs.iter().all(|input| input.value.is_none())
    }

    /// Whether it only writes its value as a series: nothing is compared.
    #[must_use]
    pub fn only_records(&self) -> bool {
        self.decides_by_levels()
            && !self.is_heartbeat()
            && self.variants.iter().all(|it| it.levels.is_empty())
    }

    fn decides_by_levels(&self) -> bool {
        matches!(self.decision, Decision::Levels)
    }

    fn grouping(&self) -> By {
        match &self.by {
            By::Unsaid => By::Labels(Vec::new()),
            by => by.clone(),
        }
    }

    /// The names of the metrics that make its instances.
    fn reads(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.inputs.iter().map(|input| input.selector.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Whether both read the same series.
    #[must_use]
    pub fn reads_the_same(&self, other: &Self) -> bool {
        let selectors = |rule: &Self| -> Vec<String> {
            rule.inputs.iter().map(|input| input.selector.to_string()).collect()
        };
        selectors(self) == selectors(other)
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

    /// The number of the variant that an instance has.
    #[must_use]
    pub fn variant_of(&self, labels: &Labels) -> usize {
        let value = |label: &str| {
            labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value.as_str())
        };
        let matches =
            |variant: &Variant| variant.only.iter().all(|(label, matcher)| matcher.matches(value(label)));
        self.variants.iter().skip(1).position(matches).map_or(0, |index| index + 1)
    }

    /// Whether any instance of it may be evaluated.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.variants.iter().any(|variant| variant.mode != Mode::Off)
    }

    /// The script that decides, if one does.
    #[must_use]
    pub fn script(&self) -> Option<&ScriptUse> {
        match &self.decision {
            Decision::Script(script) => Some(script),
            Decision::Levels => None,
        }
    }

    /// Whether its script decides for all instances at once.
    #[must_use]
    pub fn is_decided_as_a_whole(&self) -> bool {
        self.script().is_some_and(|used| used.script.entry() == Entry::Decide)
    }

    /// The input that `metric` at the top of the rule stands for, if there is one.
    #[must_use]
    pub fn main_input(&self) -> Option<&Input> {
        self.inputs.first()
    }

    /// The window of the main input, or what a script with `decide` is given for it.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.main_input().map_or(self.decide_window, |input| input.window)
    }
}
