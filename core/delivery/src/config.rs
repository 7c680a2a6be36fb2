//! The section `delivery` of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use sereno_runtime::units;

/// The most that may be kept in memory for those who resume.
const HISTORY_MAX: usize = 1_000_000;

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
    /// How many notifications may wait for one subscription; a client that falls further behind is dropped.
    /// Default: 1024.
    pub monitor_queue_len_max: usize,
    /// How many of the last notifications are kept in memory, so that a client that was away can take up where it
    /// was; at the start they are read back from the log file. At least as many are kept as `monitor_queue_len_max`
    /// says, for a client that is slower than the rest. 0 to 1000000, about 500 bytes each. Default: 10000.
    #[serde(deserialize_with = "history")]
    pub history: usize,
    /// How many notifications may wait for one sink. Beyond it reminders are dropped for that sink, and then events of
    /// instances that have newer ones; this is counted and logged. The newest event of an instance is never dropped.
    /// Default: 10000.
    pub sink_queue_len_max: usize,
    /// How long one attempt of a sink may take. Default: 30s.
    #[serde(with = "units::duration")]
    pub sink_timeout: Duration,
    /// How often an alert that goes on firing is told to sinks again, at most; the log and monitors get every reminder.
    /// 0 for every one. Default: 4h.
    #[serde(with = "units::duration")]
    pub sink_reminder: Duration,
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
            history: 10_000,
            sink_queue_len_max: 10_000,
            sink_timeout: Duration::from_secs(30),
            sink_reminder: Duration::from_secs(4 * 3_600),
            drain_timeout: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// How many notifications the history holds.
    pub(crate) fn history_len(&self) -> usize {
        self.history.max(self.monitor_queue_len_max)
    }

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

fn history<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let history = usize::deserialize(deserializer)?;
    match history <= HISTORY_MAX {
        true => Ok(history),
        false => Err(serde::de::Error::custom(format!(
            "{history} is more than the {HISTORY_MAX} that may be kept"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_has_a_bound() {
        let read = |history: usize| serde_json::from_str::<Config>(&format!(r#"{{"history":{history}}}"#));
        assert_eq!(read(1_000_000).unwrap().history_len(), 1_000_000);
        assert_eq!(read(0).unwrap().history_len(), 1_024, "one place holds what a queue would");
        let error = read(1_000_001).unwrap_err().to_string();
        assert!(error.starts_with("1000001 is more than the 1000000 that may be kept"), "{error}");
    }
}
