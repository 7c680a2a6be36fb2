//! The `storage` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// How samples are kept. Every key needs a restart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the store lives; created if it is missing. Default `../data`, beside the folder of the file.
    pub directory: PathBuf,
    /// How many queues series are hashed to, 1 to 4096. Fixed when the store is created; later values are ignored
    /// with a warning. Default 64.
    pub queues: u32,
    /// How many writers share the queues, 1 to the number of queues. May be changed at every start: no file moves.
    /// Default 1: a commit costs about 1 µs and is lent the thread that brings it, so a second writer pays only when
    /// more than two cores ingest.
    pub writers: u32,
    /// How many samples may wait in one queue before further ones are refused. Default 16384.
    pub queue_samples_max: u32,
    /// How much memory samples may take before further ones are refused, 24 bytes each. Default 2 GiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub head_bytes_max: u64,
    /// How many series there may be before new ones are refused. Default 1,000,000.
    pub series_max: u32,
    /// How much is written to one WAL file before the next is begun, at least 1 MiB. Default 64 MiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub wal_file_bytes: u64,
    /// How often what was written is made durable: the most that a loss of power can take. Default 200 ms.
    #[serde(with = "sereno_runtime::units::duration")]
    pub sync_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("../data"),
            queues: 64,
            writers: 1,
            queue_samples_max: 16_384,
            head_bytes_max: 2 << 30,
            series_max: 1_000_000,
            wal_file_bytes: 64 << 20,
            sync_interval: Duration::from_millis(200),
        }
    }
}
