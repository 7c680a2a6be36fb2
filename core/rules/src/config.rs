//! The `rules` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sereno_runtime::units;

/// Where rules come from and how they are run. Every key needs a restart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders (or single files) of rules, read with all their subfolders: `*.yaml` and `*.yml`, but not
    /// `*_test.yaml`. Default `[rules]`, beside the file.
    pub paths: Vec<PathBuf>,
    /// Folders of scripts, each with `aggregations`, `rules` and `lib`; a later one overlays an earlier one, and all
    /// overlay the aggregations that are built in. Default `[../scripts]`, beside the folder of the file.
    pub scripts: Vec<PathBuf>,
    /// How many threads evaluate rules; one more runs the rules that broke their budget. 1 to 256, default 4.
    pub workers: usize,
    /// How many evaluations may wait for a worker; a tick that finds no room is missed and counted. Default 10,000.
    pub queue_length: usize,
    /// How changes are noticed and taken over.
    pub reload: Reload,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: vec!["rules".into()],
            scripts: vec!["../scripts".into()],
            workers: 4,
            queue_length: 10_000,
            reload: Reload::default(),
        }
    }
}

/// How changes of rules and scripts are noticed and taken over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// How often all files are read and compared, in case the system has not told of a change; 0 for never.
    /// Default 5 s.
    #[serde(with = "units::duration")]
    pub poll: Duration,
    /// How long the files must rest after a change before they are read; after 2 s they are read all the same.
    /// Default 200 ms.
    #[serde(with = "units::duration")]
    pub debounce: Duration,
    /// What to do when files vanish and with them more than 30 % of the rules, or one that fires. Default `confirm`.
    pub removal: Removal,
}

impl Default for Reload {
    fn default() -> Self {
        Self { poll: Duration::from_secs(5), debounce: Duration::from_millis(200), removal: Removal::Confirm }
    }
}

/// What to do when many rules vanish at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// Keep them until somebody asks for a reload (SIGHUP).
    Confirm,
    /// Let them go.
    Allow,
}
