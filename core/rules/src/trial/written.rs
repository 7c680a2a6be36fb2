//! A test file as it is written: which keys there are. What they mean is read in `file`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;
use sereno_runtime::units;

/// Keys that people bring along from other systems, and what to write instead.
pub(super) const FOREIGN_KEYS: &[(&str, &str)] = &[
    ("rule_files", "each test names its own `rules`, or tests the file that it is called after"),
    ("evaluation_interval", "rules are evaluated at their own ticks, `every`"),
    ("interval", "the interval of series is `every`"),
    ("input_series", "write `series: { 'cpu.load{host=\"a\"}': 97x12 }`"),
    ("alert_rule_test", "write `expect`: every event, in order"),
    ("promql_expr_test", "write `aggregations` at the top of the file"),
    ("exp_alerts", "write `expect`: every event, in order"),
    ("eval_time", "write `at: 70s`, or `at: 60s..70s`"),
    ("alertname", "the name of a rule is its id: `rule`"),
    ("exp_labels", "write `instance: { host: a }`"),
    ("exp_annotations", "write `message`"),
    ("values", "write the values beside the name of the series"),
    ("severity", "write `level: info`, `warn` or `crit`"),
];

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Top {
    pub tests: Option<Vec<Value>>,
    pub aggregations: Option<Vec<Value>>,
}

/// A test of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    pub name: Option<String>,
    pub rules: Option<Value>,
    pub scripts: Option<Value>,
    pub start: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub every: Option<Duration>,
    pub series: Option<BTreeMap<String, Value>>,
    pub steps: Option<Vec<Value>>,
    pub expect: Option<Vec<Value>>,
    pub never: Option<Vec<Value>>,
    pub sinks: Option<BTreeMap<String, Vec<Value>>>,
    pub health: Option<BTreeMap<String, String>>,
    pub inexact: Option<bool>,
    #[serde(deserialize_with = "some_duration")]
    pub until: Option<Duration>,
}

/// A part of a series.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Segment {
    #[serde(deserialize_with = "some_duration")]
    pub at: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub r#for: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub every: Option<Duration>,
    pub v: Option<Value>,
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub gap: Option<bool>,
}

/// Something that is done at a moment.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Step {
    #[serde(deserialize_with = "some_duration")]
    pub at: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub r#for: Option<Duration>,
    pub reload: Option<Value>,
    pub restart: Option<bool>,
    pub sink_down: Option<String>,
    pub late: Option<BTreeMap<String, Value>>,
}

/// What an event is expected to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Event {
    pub at: Option<Value>,
    pub kind: Option<String>,
    pub level: Option<String>,
    pub previous: Option<String>,
    pub instance: Option<BTreeMap<String, Value>>,
    pub rule: Option<String>,
    pub value: Option<Value>,
    pub message: Option<String>,
    pub reason: Option<String>,
    pub suppressed_by: Option<String>,
    pub stale: Option<bool>,
    pub flapping: Option<bool>,
    pub shadow: Option<bool>,
}

/// A test of an aggregation.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Aggregation {
    pub name: Option<String>,
    pub params: Option<BTreeMap<String, Value>>,
    #[serde(deserialize_with = "some_duration")]
    pub window: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub every: Option<Duration>,
    pub samples: Option<Value>,
    pub scripts: Option<Value>,
    pub expect: Option<Value>,
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    units::duration::deserialize(deserializer).map(Some)
}
