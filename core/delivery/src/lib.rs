//! The notification messages handler: takes notifications from the queue `notification_messages`, in order, numbers
//! them, and gives each to the log file, to the history, to the live monitors and to the sinks.
//!
//! Invariants:
//! * a notification is written to the log before anyone else sees it;
//! * neither a client that stops reading, nor a dead sink, nor a full disk delays the others;
//! * whoever was away takes up where it was, also after a restart of the server, or is told that something is missing;
//! * how far the log file and each sink are is told to whoever keeps notifications, so that a start can send again what
//!   they lack: each gets each event at least once;
//! * what is lost (a full queue, a full disk) is counted and told in the server's log.
//!
//! Not here: which notifications there are (`sereno-rules`), the bytes a monitor gets (`sereno-protocol`).
//! The lines of the log file are documented in `EVENTS.md`.

mod config;
mod event;
mod handler;
mod history;
mod log;
mod monitors;
mod reminders;
mod sequenced;
mod sinks;
mod tail;
mod waiting;
mod watch;

pub use config::Config;
pub use event::to_json;
pub use handler::Handler;
pub use history::{Since, Step};
pub use monitors::{End, Monitors, Subscription};
pub use sequenced::Sequenced;
pub use watch::Watch;
