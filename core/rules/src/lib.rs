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
//! scheduler knows the slots of all rules and claims them for their ticks; the worker that has a claimed slot owns the
//! rule's state until it gives it back; the journal makes what a tick decides durable, and only then it is shown and
//! told; the state machine ([`state`]) is a pure function, and so is the evaluator around it.
//!
//! Invariants, from the user's side:
//! * an error, missing data, a reload or a restart never resolves an alert; what ends for another reason than
//!   recovery is `closed`, with the reason;
//! * state belongs to a rule's id and an instance's labels; every other edit leaves firing alerts as they are;
//! * one mistake in one file costs nothing but itself: the rule's last good version goes on, and says so;
//! * a script that does not end delays no other rule.
//!
//! Not here: what becomes of notifications (`sereno-delivery`), what scripts may say (`sereno-script`).

mod board;
mod bundle;
mod calendar;
mod carry;
mod changes;
mod class;
mod compile;
mod config;
mod durable;
mod evaluate;
mod explain;
mod expression;
mod file;
mod files;
mod generation;
mod guard;
mod health;
mod history;
mod instance;
mod lateness;
mod mailbox;
mod message;
mod meta;
mod order;
mod outbox;
mod outcome;
mod pause;
mod plan;
mod reload;
mod replay;
pub mod report;
mod rule;
mod rules;
mod schedule;
pub mod schema;
mod shared;
mod slot;
mod start;
pub mod state;
mod status;
mod template;
mod timeline;
pub mod trial;
mod watch;
mod worker;

pub use bundle::BundleError;
pub use changes::Changes;
pub use config::{Config, Policy, Reload, Removal};
pub use expression::{Expression, Names, Reading};
pub use generation::Generation;
pub use outcome::{Cause, FileState, FileStatus, Outcome, Report, Trigger};
pub use pause::Pause;
pub use plan::PlannedFile;
pub use rule::{
    By, Decision, EditClass, Expect, How, Input, Labels, LevelRule, Limit, Mode, OnError, Rule, ScriptUse,
    Suppression, Value, Variant,
};
pub use rules::{
    CheckReport, CheckedRule, Context, ExplainRequest, ReplayRequest, Rules, Standing, StartError, Subject,
    ToolError, check,
};
pub use sereno_script::FunctionDoc;
pub use status::{Alert, Health, RuleStatus};
pub use template::{Name, Template};

/// All that scripts may call, in the order of `scripts/README.md`.
#[must_use]
pub fn functions() -> Vec<FunctionDoc> {
    sereno_script::Library::function_reference()
}
