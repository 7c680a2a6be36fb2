//! The `storage` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::batch::Ack;
use crate::registry::Limits;
use crate::store::OpenError;

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
    /// What an acknowledgement promises where the sender does not say: `os`, the samples survive the death of the
    /// process; `disk`, they survive the loss of power, at the price of one fdatasync per group of batches. Default `os`.
    pub ack: Ack,
    /// How many samples may wait in one queue before further ones are refused. Default 16384.
    pub queue_samples_max: u32,
    /// How much memory the head may take before further samples are refused: about 24 bytes a sample and 100 a series.
    /// It is moved to segments when it holds half of that. At least 1 MiB. Default 2 GiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub head_bytes_max: u64,
    /// How many series may be live before new ones are refused. Default 1,000,000.
    pub series_max: u32,
    /// How many new series there may be in a minute before further ones are refused; the minute's worth may come at
    /// once. 0 for any number. Default 500,000: a restart of everything passes, a label that never repeats does not
    /// fill memory before someone looks.
    pub series_per_minute_max: u32,
    /// How many labels a new series may have; no more than 64 whatever is set. Default 30.
    pub labels_max: u32,
    /// How many bytes the value of a label of a new series may have; no more than 1024 whatever is set. Default 1024.
    pub label_value_bytes_max: u32,
    /// A series without a sample for so long is no longer live: it makes room for others, stays readable, and is live
    /// again when it comes back. 0 for never. Default 6 h.
    #[serde(with = "sereno_runtime::units::duration")]
    pub series_idle: Duration,
    /// How much is written to one WAL file before the next is begun, at least 64 KiB. Default 64 MiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub wal_file_bytes: u64,
    /// How much the whole WAL may hold before samples are refused. The head is moved to segments, and its WAL deleted,
    /// when it holds half of that; it bounds how long a start takes to read it back. At least 1 MiB. Default 512 MiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub wal_bytes_max: u64,
    /// How much room is set aside ahead of the end of a WAL file, at most: a full disk is then found before a sample is
    /// half written. It doubles from 256 KiB as the file grows, so a small store stays small. 0 for none. Default 4 MiB.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub wal_reserve_bytes: u64,
    /// How often what was written is made durable: the most that a loss of power can take. Default 200 ms.
    #[serde(with = "sereno_runtime::units::duration")]
    pub sync_interval: Duration,
    /// How long samples stay in the head before they are moved to segments, at most. Default 1 h.
    #[serde(with = "sereno_runtime::units::duration")]
    pub flush_interval: Duration,
    /// How long samples are kept; older ones are deleted by whole days (UTC), and refused when they come. 0 for ever.
    /// Default 400 days.
    #[serde(with = "sereno_runtime::units::duration")]
    pub retention: Duration,
    /// How much segments may hold before the oldest days are deleted; the newest day always stays. 0 for any amount.
    /// Default 0.
    #[serde(with = "sereno_runtime::units::bytes")]
    pub retention_bytes: u64,
    /// How far ahead of the clock the time of a sample may lie; one that is further is refused. 0 for any. Default 24 h.
    #[serde(with = "sereno_runtime::units::duration")]
    pub future_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("../data"),
            queues: 64,
            writers: 1,
            ack: Ack::Os,
            queue_samples_max: 16_384,
            head_bytes_max: 2 << 30,
            series_max: 1_000_000,
            series_per_minute_max: 500_000,
            labels_max: 30,
            label_value_bytes_max: 1_024,
            series_idle: Duration::from_secs(6 * 3_600),
            wal_file_bytes: 64 << 20,
            wal_bytes_max: 512 << 20,
            wal_reserve_bytes: 4 << 20,
            sync_interval: Duration::from_millis(200),
            flush_interval: Duration::from_secs(3_600),
            retention: Duration::from_secs(400 * 86_400),
            retention_bytes: 0,
            future_max: Duration::from_secs(86_400),
        }
    }
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            series_max: self.series_max,
            series_per_minute_max: self.series_per_minute_max,
            labels_max: self.labels_max,
            label_value_bytes_max: self.label_value_bytes_max,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let error = |key, value, range| Err(OpenError::Config { key, value, range });
        match self {
            Self { queues: 0 | 4097.., .. } => error("queues", self.queues.into(), "1 to 4096"),
            Self { writers: 0, .. } => error("writers", 0, "at least 1"),
            Self { queue_samples_max: 0, .. } => error("queue_samples_max", 0, "at least 1"),
            Self { head_bytes_max: ..1_048_576, .. } => {
                error("head_bytes_max", self.head_bytes_max, "at least 1 MiB")
            }
            Self { wal_file_bytes: ..65_536, .. } => {
                error("wal_file_bytes", self.wal_file_bytes, "at least 64 KiB")
            }
            Self { wal_bytes_max: ..1_048_576, .. } => {
                error("wal_bytes_max", self.wal_bytes_max, "at least 1 MiB")
            }
            _ => Ok(()),
        }
    }
}
