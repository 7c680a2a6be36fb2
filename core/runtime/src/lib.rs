//! What every part of Sereno runs on: clock, disk, named bounded queues, supervised tasks and threads, shutdown,
//! self-metrics, strict YAML and the diagnostics that users read.
//!
//! Time and disk are parameters: a part takes a [`Clock`] and a [`Disk`], never the operating system's, so that tests
//! can pause, fail and replay them. `.clippy.toml` enforces it.

pub mod clock;
pub mod diagnostic;
pub mod disk;
pub mod metrics;
pub mod queue;
pub mod shutdown;
pub mod tasks;
pub mod threads;
pub mod units;
pub mod yaml;

pub use clock::{Clock, ManualClock, SystemClock};
pub use diagnostic::{Diagnostic, Severity};
pub use disk::{Disk, DiskFile, RealDisk};
pub use metrics::{Counter, Gauge, Metrics};
pub use queue::Queue;
pub use shutdown::Shutdown;
pub use tasks::Tasks;
