//! The store: samples are routed to queues by the crc32 of their series, each queue has one writer, a writer appends
//! group commits to its write-ahead log, and queries read snapshots of what was committed.
//!
//! ```text
//!  append ─► inbox of writer j mod W ─► commit: WAL frame, write(2) ─► head of queue j ─► answer
//!  snapshot: a time and a cut (the commit position of every queue) ─► reads of the heads, filtered by the cut
//! ```
//!
//! Promises (`DESIGN.md` section 4, bytes in `FORMAT.md`):
//! * an [`Append`] that ends without a refusal has been handed to the kernel: it survives the death of the process;
//! * a refused sample never appears later;
//! * a [`Snapshot`] gives the same answer whenever and wherever it is read;
//! * damage is reported, and never stops the store from opening.
//!
//! First form: everything since the store was created is kept in the head and in the WAL. Not here yet: segments,
//! summaries, retention, the label index.

mod batch;
mod config;
mod head;
mod registry;
mod snapshot;
mod store;
mod superblock;
mod wal;
mod writer;

pub use batch::{Append, Outcome, Refusal, Row};
pub use config::Config;
pub use registry::{CreateError, SeriesId};
pub use snapshot::{Series, Snapshot};
pub use store::{OpenError, Recovery, Store};
