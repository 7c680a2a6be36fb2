//! Rules: from YAML and scripts to notifications, on every tick.
//!
//! ```text
//!  files ─► reload ─► generation ─┐ (one pointer, swapped between ticks)
//!                                 ▼
//!  clock ─────────────────► scheduler ─► [notifications] ─► notification workers ×N ─► [notification messages]
//!  store ─ one snapshot per tick ─┘      [slow rules] ────► one more worker ──────────────┘
//! ```
//!
//! Who owns what: the reloader owns the files and makes generations ([`Generation`], never changed once made); the
//! scheduler owns the state of every rule, lends it to a worker for one evaluation and gets it back; the state machine
//! ([`state`]) is a pure function.
//!
//! Invariants, from the user's side:
//! * an error, missing data, a reload or a restart never resolves an alert; what ends for another reason than
//!   recovery is `closed`, with the reason;
//! * state belongs to a rule's id and an instance's labels; every other edit leaves firing alerts as they are;
//! * one mistake in one file costs nothing but itself: the rule's last good version goes on, and says so;
//! * a script that does not end delays no other rule.
//!
//! Not here: what becomes of notifications (`sereno-delivery`), what scripts may say (`sereno-script`). Not yet: `for`
//! and several levels, absence as a state, states that survive a restart.

mod board;
mod changes;
mod compile;
mod config;
mod evaluate;
mod file;
mod files;
mod generation;
mod mailbox;
mod message;
mod reload;
mod rule;
mod rules;
mod schedule;
mod shared;
pub mod state;
mod status;
mod template;
mod watch;
mod worker;

pub use changes::Changes;
pub use config::{Config, Reload, Removal};
pub use generation::Generation;
pub use reload::{Outcome, Report};
pub use rule::{By, Condition, Labels, Rule, Value};
pub use rules::{CheckReport, Context, Rules, StartError, check};
pub use status::{Alert, Health, RuleStatus};
pub use template::{Name, Template};
