//! The store: samples are routed to queues by the crc32 of their series, each queue has one writer, a writer appends
//! group commits to its write-ahead log, the head is flushed to segments, and queries read snapshots of all that.
//!
//! ```text
//!  append ─► inbox of writer j mod W ─► commit: WAL frame, write(2) ─► head of queue j ─► answer
//!                                                                        │ flush
//!  files:  wal/*.wal        segments/*.seg ◄───── compaction ◄───────────┘        manifest/*.manifest
//!
//!  snapshot: a version (segments, generations of the head) and a cut (the commit position of every queue)
//! ```
//!
//! Promises (`DESIGN.md` section 4, bytes in `FORMAT.md`):
//! * an [`Append`] that ends without a refusal has been handed to the kernel: it survives the death of the process;
//!   with [`Ack::Disk`] it survives the loss of power;
//! * a refused sample never appears later;
//! * a [numbered](Store::append_numbered) batch that is sent again is stored once;
//! * a [`Snapshot`] gives the same answer whenever and wherever it is read;
//! * damage is reported, and never stops the store from opening.
//!
//! In reading order: [`batch`], [`writer`], [`numbered`] and [`wal`] (writing); [`head`], [`flush`](maintain),
//! [`segment`], [`codec`] and [`manifest`] (keeping); [`registry`], [`labels`] and [`index`] (finding); [`snapshot`],
//! [`selection`], [`series`] and [`read`] (reading); [`late`] (what a tick did not see); [`recover`] and [`verify`] (what a crash or a bad disk left).
//!
//! Not here: windows and aggregations (`sereno-query`), protocols, replication.

mod batch;
mod blobs;
mod bytes;
mod checksum;
mod codec;
mod config;
mod head;
mod index;
mod labels;
mod late;
mod maintain;
mod manifest;
mod numbered;
mod read;
mod recover;
mod refusals;
mod registry;
mod segment;
mod selection;
mod series;
mod shared;
mod snapshot;
mod stats;
mod store;
mod summary;
mod superblock;
mod verify;
mod wal;
mod writer;

pub use batch::{Ack, Append, BatchId, Numbered, Outcome, Refusal, Row};
pub use config::Config;
pub use late::{Late, LateWhat};
pub use maintain::{Activity, MaintainError};
pub use read::{Measure, ReadError, Reads, Want};
pub use recover::Recovery;
pub use registry::{Cardinality, CreateError, SeriesId, Share};
pub use segment::{Damage, Why};
pub use selection::Selection;
pub use series::{LOOKBACK, Series};
pub use snapshot::Snapshot;
pub use stats::{LevelStats, Stats};
pub use store::{OpenError, Store};
pub use summary::{DAY_NANOS, HOUR_NANOS, MINUTE_NANOS, Summary, Windows, larger, smaller};
pub use verify::{FileKind, FileReport, Report, verify};
