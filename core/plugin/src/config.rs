//! The section `plugins` of the configuration: which instances run, under which settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The section `plugins`. Instances are named `kind/name`, for example `host/main`.
///
/// ```yaml
/// plugins:
///   inputs:
///     host/main: { every: 5s }
///   sinks: {}
/// ```
///
/// Only the names are read here; the settings are read by the plugins, through [`Registry`](crate::Registry).
/// A change takes effect after a restart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub(crate) inputs: Option<BTreeMap<String, IgnoredAny>>,
    pub(crate) sinks: BTreeMap<String, IgnoredAny>,
}
