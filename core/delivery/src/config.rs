//! The section `delivery` of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sereno_runtime::units;

/// The section `delivery`. A change takes effect after a restart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The log of notifications, one JSON object per line; its directory is created. Relative to the configuration
    /// file. Default: `notifications.jsonl` in the storage directory.
    pub log_file: Option<PathBuf>,
    /// How many notifications may wait for the handler (queue `notification_messages`). When it is full, the
    /// notification workers wait. Default: 10000.
    pub queue_len_max: usize,
    /// How many live clients may watch at once; the next one is told that the server is unavailable. Default: 1000.
    pub monitors_max: usize,
    /// How many notifications may wait for one live client; a client that falls further behind is dropped.
    /// Default: 1024.
    pub monitor_queue_len_max: usize,
    /// How many notifications may wait for one sink; further ones are dropped for that sink, counted and logged.
    /// Default: 10000.
    pub sink_queue_len_max: usize,
    /// How long one attempt of a sink may take. Default: 30s.
    #[serde(with = "units::duration")]
    pub sink_timeout: Duration,
    /// How long, at shutdown, what is queued may take to reach the log and the monitors, and then again what waits
    /// for sinks. Default: 1s.
    #[serde(with = "units::duration")]
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_file: None,
            queue_len_max: 10_000,
            monitors_max: 1_000,
            monitor_queue_len_max: 1_024,
            sink_queue_len_max: 10_000,
            sink_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// Where the log of notifications is: `log_file` seen from the directory of the configuration file, or its
    /// default place in the storage directory.
    #[must_use]
    pub fn log_path(&self, config_dir: &Path, storage_dir: &Path) -> PathBuf {
        match &self.log_file {
            Some(path) => config_dir.join(path),
            None => storage_dir.join("notifications.jsonl"),
        }
    }
}
