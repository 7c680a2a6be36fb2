//! The keys of rule files. Where a value may have several forms it is kept as it is, and read in `compile`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml::{Mapping, Value};
use sereno_runtime::units;

/// A rule as it is written. Every key may also stand under the file's `defaults:`, but for `id` and `renamed_from`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    pub id: Option<String>,
    pub metric: Option<String>,
    pub r#where: Option<BTreeMap<String, Value>>,
    pub by: Option<Value>,
    pub agg: Option<Value>,
    pub across: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub window: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub lookback: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub offset: Option<Duration>,
    pub r#else: Option<f64>,
    pub keep: Option<Vec<String>>,
    pub inputs: Option<Mapping>,
    pub require: Option<Value>,
    pub value: Option<Value>,
    pub limit: Option<Value>,
    pub below: Option<Value>,
    pub when: Option<Value>,
    pub clear: Option<Value>,
    #[serde(deserialize_with = "some_duration")]
    pub r#for: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub recover_for: Option<Duration>,
    pub level: Option<String>,
    pub levels: Option<Mapping>,
    pub script: Option<String>,
    pub params: Option<BTreeMap<String, Value>>,
    pub state_version: Option<u32>,
    pub absent: Option<Value>,
    pub expect: Option<Value>,
    pub on_error: Option<OnErrorWritten>,
    pub overrides: Option<Vec<Value>>,
    pub suppressed_by: Option<Value>,
    pub after: Option<Value>,
    pub record: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub every: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub settle: Option<Duration>,
    pub max_instances: Option<usize>,
    pub mode: Option<ModeWritten>,
    pub message: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub reminder: Option<Duration>,
    pub labels: Option<BTreeMap<String, Value>>,
    pub runbook: Option<String>,
    pub renamed_from: Option<String>,
}

/// One of `inputs`. What it does not say, the rule may say for all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InputWritten {
    pub metric: Option<String>,
    pub r#where: Option<BTreeMap<String, Value>>,
    pub agg: Option<Value>,
    pub across: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub window: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub lookback: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub offset: Option<Duration>,
    pub r#else: Option<f64>,
    pub keep: Option<Vec<String>>,
}

/// The long form of `agg`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggWritten {
    pub name: String,
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    #[serde(default)]
    pub value: Option<String>,
}

/// One of `levels`, in the long form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LevelWritten {
    pub when: Option<Value>,
    pub clear: Option<Value>,
    #[serde(deserialize_with = "some_duration")]
    pub r#for: Option<Duration>,
}

/// The long form of `absent`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AbsentWritten {
    pub after: Option<Value>,
    pub then: Option<ThenWritten>,
    pub level: Option<String>,
    pub close_after: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThenWritten {
    Keep,
    Resolve,
    Alert,
}

/// The long form of `expect`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExpectWritten {
    pub min: Option<usize>,
    pub instances: Option<Vec<Value>>,
}

/// One of `suppressed_by`, in the long form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressedWritten {
    pub rule: String,
    #[serde(default)]
    pub on: Option<Vec<String>>,
    #[serde(default)]
    pub r#while: Option<WhileWritten>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhileWritten {
    Pending,
    Firing,
}

/// One of `overrides`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OverrideWritten {
    pub r#where: Option<BTreeMap<String, Value>>,
    pub limit: Option<Value>,
    pub below: Option<Value>,
    pub clear: Option<Value>,
    #[serde(deserialize_with = "some_duration")]
    pub r#for: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub recover_for: Option<Duration>,
    pub levels: Option<Mapping>,
    pub params: Option<BTreeMap<String, Value>>,
    pub labels: Option<BTreeMap<String, Value>>,
    pub mode: Option<ModeWritten>,
}

/// Whether a rule is evaluated, and who hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeWritten {
    Live,
    Shadow,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnErrorWritten {
    Hold,
    Alert,
}

impl Written {
    /// What the rule does not say itself is what the defaults say. `where`, `params` and `labels` are joined; of the ways
    /// to decide the rule has those of one place, and who names a `metric` has no `inputs` of the defaults.
    pub fn or(self, defaults: &Self) -> Self {
        let mut defaults = defaults.clone();
        if self.decides() {
            (defaults.limit, defaults.below, defaults.when, defaults.clear) = (None, None, None, None);
            (defaults.levels, defaults.script) = (None, None);
        }
        if self.metric.is_some() {
            defaults.inputs = None;
        }
        Self {
            id: self.id,
            metric: self.metric.or(defaults.metric),
            r#where: joined(self.r#where, defaults.r#where),
            by: self.by.or(defaults.by),
            agg: self.agg.or(defaults.agg),
            across: self.across.or(defaults.across),
            window: self.window.or(defaults.window),
            lookback: self.lookback.or(defaults.lookback),
            offset: self.offset.or(defaults.offset),
            r#else: self.r#else.or(defaults.r#else),
            keep: self.keep.or(defaults.keep),
            inputs: self.inputs.or(defaults.inputs),
            require: self.require.or(defaults.require),
            value: self.value.or(defaults.value),
            limit: self.limit.or(defaults.limit),
            below: self.below.or(defaults.below),
            when: self.when.or(defaults.when),
            clear: self.clear.or(defaults.clear),
            r#for: self.r#for.or(defaults.r#for),
            recover_for: self.recover_for.or(defaults.recover_for),
            level: self.level.or(defaults.level),
            levels: self.levels.or(defaults.levels),
            script: self.script.or(defaults.script),
            params: joined(self.params, defaults.params),
            state_version: self.state_version.or(defaults.state_version),
            absent: self.absent.or(defaults.absent),
            expect: self.expect.or(defaults.expect),
            on_error: self.on_error.or(defaults.on_error),
            overrides: self.overrides.or(defaults.overrides),
            suppressed_by: self.suppressed_by.or(defaults.suppressed_by),
            after: self.after.or(defaults.after),
            record: self.record.or(defaults.record),
            every: self.every.or(defaults.every),
            settle: self.settle.or(defaults.settle),
            max_instances: self.max_instances.or(defaults.max_instances),
            mode: self.mode.or(defaults.mode),
            message: self.message.or(defaults.message),
            reminder: self.reminder.or(defaults.reminder),
            labels: joined(self.labels, defaults.labels),
            runbook: self.runbook.or(defaults.runbook),
            renamed_from: self.renamed_from,
        }
    }

    /// Whether it says when it fires.
    pub fn decides(&self) -> bool {
        let conditions = [&self.limit, &self.below, &self.when];
        conditions.iter().any(|it| it.is_some()) || self.levels.is_some() || self.script.is_some()
    }

    /// The rule without what only says something of an alert, and decides nothing.
    pub fn logic(&self) -> Self {
        Self { message: None, reminder: None, labels: None, runbook: None, ..self.clone() }
    }
}

fn joined(
    own: Option<BTreeMap<String, Value>>,
    defaults: Option<BTreeMap<String, Value>>,
) -> Option<BTreeMap<String, Value>> {
    match (own, defaults) {
        (Some(own), Some(mut all)) => {
            all.extend(own);
            Some(all)
        }
        (own, defaults) => own.or(defaults),
    }
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    units::duration::deserialize(deserializer).map(Some)
}
