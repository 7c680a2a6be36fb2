//! What the tools answer, as it goes over the wire and into `-o json`: tests, replays, explanations, evaluations,
//! generations. The same values whether they come from a server or were computed by the command line itself.
//!
//! Every answer has a `schema_version`. Later versions add fields and change none: readers ignore what they do not
//! know, and what an older writer leaves out reads as nothing. Times are RFC 3339 in UTC, durations seconds, labels
//! objects; numbers that JSON has no word for are the texts `NaN`, `+Inf` and `-Inf`.
//!
//! Not here: how an answer is found (`trial`, `replay`, `explain`), how it looks on a terminal (`sereno`).

mod coverage;
mod detail;
mod event;
mod explanation;
mod finding;
mod generations;
mod junit;
mod plan;
mod replay;
mod rule;
mod trial;

pub(crate) use detail::detail;

pub use coverage::{Coverage, LevelCoverage, RuleCoverage, ScriptCoverage};
pub use event::Event;
pub use explanation::{
    AbsenceClock, Clocks, Evaluated, EvaluatedRule, Explanation, InputLook, InstanceLook, LevelLook, Recent,
    SeriesLook, StateLook, Suppressed, TraceLook,
};
pub use finding::Finding;
pub use generations::{Difference, FileChange, GenerationInfo, RuleChange};
pub use plan::{Plan, PlannedInstance, PlannedRule};
pub use replay::{
    Bucket, Comparison, Episode, Inexact, InstancePlot, InstanceTotals, Note, Plot, ReplayReport, Span,
    Totals,
};
pub use rule::{InputDetail, LevelDetail, RuleDetail, VariantDetail};
pub use sereno_runtime::json::{LabelMap, Number, Seconds, Time, label_map};
pub use trial::{Check, Failure, Row, RowKind, TestFile, TestKind, TestOutcome, TestReport, TestResult};

/// Counts up when a program that reads these answers could trip over a change.
pub const SCHEMA_VERSION: u32 = 1;
