//! What every part of Sereno runs on: clock, disk, named bounded queues, supervised tasks and threads, shutdown,
//! self-metrics, strict YAML and the diagnostics that users read.
//!
//! Time and disk are parameters: a part takes a [`Clock`] and a [`Disk`], never the operating system's, so that tests
//! can pause, fail and replay them. `.clippy.toml` enforces it.

pub mod clock;
pub mod diagnostic;
pub mod disk;
pub mod json;
pub mod memory_disk;
pub mod metrics;
pub mod open_files;
pub mod queue;
pub mod shutdown;
#[cfg(any(test, feature = "testkit"))]
pub mod sim_disk;
pub mod tasks;
pub mod threads;
pub mod units;
pub mod yaml;

pub use clock::{Clock, ManualClock, SystemClock};
pub use diagnostic::{Diagnostic, Severity};
pub use disk::{Disk, DiskFile, RealDisk};
pub use memory_disk::MemoryDisk;
pub use metrics::{Counter, Gauge, Metrics};
pub use queue::Queue;
pub use shutdown::Shutdown;
#[cfg(any(test, feature = "testkit"))]
pub use sim_disk::SimDisk;
pub use tasks::Tasks;
