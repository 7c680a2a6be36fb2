//! What survives a crash: the states of rules and instances, the notifications that are on their way, and the history
//! of ticks that explain and replay read.
//!
//! ```text
//!  workers, scheduler, reloader ─► [rules journal] ─► keeper: append, sync once ─► board, [notification messages]
//!                                                       │
//!                        state-N.log, snapshot-N ◄──────┴── mirror: what a start would find now
//! ```
//!
//! Invariants:
//! * transitions, memory and notifications of a rule at a tick are one frame: all of it or nothing;
//! * nothing is told before it is durable; when the disk refuses, it is told all the same, marked `undurable`;
//! * a start finds the newest good snapshot and the logs after it, and comes to the state that was, bit for bit;
//! * after a failed write or sync nothing more is appended to that file: the next thing written is a whole snapshot;
//! * what a sink has not confirmed is sent again after a start.
//!
//! Not here: what is in a state (`state`, `instance`), who gets notifications (`sereno-delivery`). Bytes: `FORMAT.md`.

mod convert;
mod frame;
mod history;
mod journal;
mod keeper;
mod log;
mod mirror;
mod outbox;
mod record;
mod recover;
mod save;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use history::{History, Stretch};
pub(crate) use journal::{Journal, Recovered, Surroundings};
pub(crate) use keeper::Settings;
pub(crate) use record::{GenerationRecord, Missed, Record, SavedRule, TickRecord};
pub(crate) use save::through_restart;
