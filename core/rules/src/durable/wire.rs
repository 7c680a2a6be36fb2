//! The form in which records are written: Protocol Buffers, so that later versions can add fields. `FORMAT.md` names
//! them for people.
//!
//! Not here: what they mean (`record`), how one becomes the other (`convert`).

/// The content of a frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Frame {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "1")]
    Named(Named),
    #[prost(message, tag = "2")]
    Tick(Tick),
    #[prost(message, tag = "3")]
    Missed(Missed),
    #[prost(message, tag = "4")]
    Late(LateSamples),
    #[prost(message, tag = "5")]
    Generation(Generation),
    #[prost(message, tag = "6")]
    Delivered(Delivered),
    #[prost(message, tag = "7")]
    Paused(Paused),
    #[prost(message, tag = "8")]
    Rule(Rule),
    #[prost(message, tag = "9")]
    Outbox(Outbox),
    #[prost(message, tag = "10")]
    End(End),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Named {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(string, tag = "2")]
    pub rule: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Tick {
    #[prost(sfixed64, tag = "1")]
    pub tick: i64,
    #[prost(uint64, tag = "2")]
    pub every: u64,
    #[prost(uint64, tag = "3")]
    pub settle: u64,
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    #[prost(uint64, repeated, tag = "5")]
    pub cut: Vec<u64>,
    /// Pairs: how many numbers are left out since the run before, how many are in the run.
    #[prost(uint32, repeated, tag = "6")]
    pub evaluated: Vec<u32>,
    #[prost(message, repeated, tag = "7")]
    pub changed: Vec<Changed>,
    /// The number of the first notification; the others follow.
    #[prost(uint64, tag = "8")]
    pub first_number: u64,
    #[prost(message, repeated, tag = "9")]
    pub notifications: Vec<Notification>,
    #[prost(message, repeated, tag = "10")]
    pub evidence: Vec<Evidence>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Changed {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(message, optional, tag = "2")]
    pub own: Option<Own>,
    #[prost(message, repeated, tag = "3")]
    pub instances: Vec<Instance>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Own {
    #[prost(message, optional, tag = "1")]
    pub memory: Option<Memory>,
    #[prost(uint32, tag = "2")]
    pub failing_ticks: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Memory {
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
    #[prost(fixed32, tag = "2")]
    pub crc32: u32,
    #[prost(uint32, tag = "3")]
    pub version: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Instance {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(bool, tag = "2")]
    pub is_forgotten: bool,
    #[prost(message, optional, tag = "3")]
    pub state: Option<State>,
    #[prost(double, optional, tag = "4")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "5")]
    pub memory: Option<Memory>,
    #[prost(message, optional, tag = "6")]
    pub seen: Option<Seen>,
    #[prost(sfixed64, optional, tag = "7")]
    pub seen_at: Option<i64>,
    #[prost(uint64, tag = "8")]
    pub unwatched: u64,
    #[prost(string, optional, tag = "9")]
    pub muted_by: Option<String>,
    #[prost(bool, tag = "10")]
    pub mute_is_over: bool,
    #[prost(bool, tag = "11")]
    pub told: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Seen {
    /// 1 judged, 2 beat, 3 absent, 4 held, 5 failed.
    #[prost(uint32, tag = "1")]
    pub what: u32,
    /// Levels as bits, `info` the lowest.
    #[prost(uint32, tag = "2")]
    pub when: u32,
    #[prost(uint32, tag = "3")]
    pub clear: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    /// 0 inactive, 1 pending, 2 firing, 3 recovering.
    #[prost(uint32, tag = "1")]
    pub phase: u32,
    /// The level while it is pending: 1 info, 2 warn, 3 crit.
    #[prost(uint32, tag = "2")]
    pub pending: u32,
    #[prost(uint64, tag = "3")]
    pub clear_for: u64,
    #[prost(uint64, optional, tag = "4")]
    pub held_info: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub held_warn: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub held_crit: Option<u64>,
    #[prost(message, optional, tag = "7")]
    pub episode: Option<Episode>,
    #[prost(uint64, tag = "8")]
    pub episodes: u64,
    #[prost(sfixed64, optional, tag = "9")]
    pub last: Option<i64>,
    /// 0 nothing, 1 data, 2 a verdict.
    #[prost(uint32, tag = "10")]
    pub saw: u32,
    #[prost(sfixed64, optional, tag = "11")]
    pub newest: Option<i64>,
    #[prost(uint64, optional, tag = "12")]
    pub interval: Option<u64>,
    #[prost(bool, tag = "13")]
    pub read: bool,
    #[prost(sfixed64, optional, tag = "14")]
    pub watched_since: Option<i64>,
    #[prost(uint64, tag = "15")]
    pub quiet: u64,
    #[prost(bool, tag = "16")]
    pub absent: bool,
    #[prost(sfixed64, repeated, tag = "17")]
    pub begins: Vec<i64>,
    #[prost(bool, tag = "18")]
    pub flapping: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Episode {
    /// 1 info, 2 warn, 3 crit.
    #[prost(uint32, tag = "1")]
    pub level: u32,
    #[prost(sfixed64, tag = "2")]
    pub fired_at: i64,
    #[prost(sfixed64, tag = "3")]
    pub last_word: i64,
    #[prost(double, optional, tag = "4")]
    pub extreme: Option<f64>,
    #[prost(double, optional, tag = "5")]
    pub peak: Option<f64>,
    #[prost(sfixed64, tag = "6")]
    pub peak_at: i64,
    #[prost(uint32, tag = "7")]
    pub events: u32,
    #[prost(bool, tag = "8")]
    pub of_absence: bool,
    #[prost(bool, tag = "9")]
    pub stale: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Notification {
    #[prost(string, tag = "1")]
    pub event_id: String,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(string, tag = "3")]
    pub rule: String,
    #[prost(message, repeated, tag = "4")]
    pub instance: Vec<Label>,
    #[prost(uint32, tag = "5")]
    pub level: u32,
    #[prost(uint32, tag = "6")]
    pub previous: u32,
    #[prost(double, optional, tag = "7")]
    pub value: Option<f64>,
    #[prost(double, optional, tag = "8")]
    pub extreme: Option<f64>,
    #[prost(double, optional, tag = "9")]
    pub peak: Option<f64>,
    #[prost(sfixed64, tag = "10")]
    pub peak_at: i64,
    #[prost(double, optional, tag = "11")]
    pub samples: Option<f64>,
    #[prost(sfixed64, tag = "12")]
    pub tick: i64,
    #[prost(sfixed64, tag = "13")]
    pub fired_at: i64,
    #[prost(uint64, tag = "14")]
    pub episode: u64,
    #[prost(string, tag = "15")]
    pub message: String,
    #[prost(string, optional, tag = "16")]
    pub reason: Option<String>,
    #[prost(message, repeated, tag = "17")]
    pub labels: Vec<Label>,
    #[prost(string, optional, tag = "18")]
    pub runbook: Option<String>,
    #[prost(string, optional, tag = "19")]
    pub suppressed_by: Option<String>,
    #[prost(uint64, tag = "20")]
    pub generation: u64,
    #[prost(bool, tag = "21")]
    pub stale: bool,
    #[prost(bool, tag = "22")]
    pub flapping: bool,
    #[prost(bool, tag = "23")]
    pub shadow: bool,
    #[prost(bool, tag = "24")]
    pub late: bool,
    #[prost(bool, tag = "25")]
    pub undurable: bool,
}

/// Why an instance was judged as it was at one tick.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Evidence {
    #[prost(sfixed64, tag = "1")]
    pub tick: i64,
    #[prost(string, tag = "2")]
    pub rule: String,
    #[prost(message, repeated, tag = "3")]
    pub instance: Vec<Label>,
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<Measurement>,
    #[prost(double, optional, tag = "6")]
    pub value: Option<f64>,
    #[prost(bool, optional, tag = "7")]
    pub require: Option<bool>,
    /// Levels as bits: whose `when` holds, in whose `when` something is missing, whose `clear` holds.
    #[prost(uint32, tag = "8")]
    pub when: u32,
    #[prost(uint32, tag = "9")]
    pub unknown: u32,
    #[prost(uint32, tag = "10")]
    pub clear: u32,
    #[prost(message, optional, tag = "11")]
    pub seen: Option<Seen>,
    /// What a script or a failure says.
    #[prost(string, optional, tag = "12")]
    pub why: Option<String>,
    /// What the script showed on its way.
    #[prost(message, repeated, tag = "13")]
    pub traces: Vec<Trace>,
    #[prost(message, optional, tag = "14")]
    pub before: Option<State>,
    #[prost(message, optional, tag = "15")]
    pub after: Option<State>,
    #[prost(string, optional, tag = "16")]
    pub muted_by: Option<String>,
}

/// What a script showed: one of the three, or `()`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Trace {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(double, optional, tag = "2")]
    pub number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub flag: Option<bool>,
}

/// What one input gave.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Measurement {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub selector: String,
    #[prost(uint64, tag = "3")]
    pub series: u64,
    #[prost(uint64, tag = "4")]
    pub window: u64,
    #[prost(uint64, tag = "5")]
    pub offset: u64,
    #[prost(double, optional, tag = "6")]
    pub value: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub samples: Option<u64>,
    #[prost(sfixed64, optional, tag = "8")]
    pub newest: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Missed {
    /// As in [`Tick`].
    #[prost(uint32, repeated, tag = "1")]
    pub rules: Vec<u32>,
    #[prost(sfixed64, tag = "2")]
    pub first: i64,
    #[prost(sfixed64, tag = "3")]
    pub last: i64,
    #[prost(string, tag = "4")]
    pub reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LateSamples {
    #[prost(message, repeated, tag = "1")]
    pub late: Vec<Late>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Late {
    /// A series in its canonical bytes, else a metric, else all of them.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub series: Option<Vec<u8>>,
    #[prost(string, optional, tag = "2")]
    pub metric: Option<String>,
    #[prost(sfixed64, tag = "3")]
    pub first: i64,
    #[prost(sfixed64, tag = "4")]
    pub last: i64,
    #[prost(uint64, tag = "5")]
    pub count: u64,
    #[prost(sfixed64, tag = "6")]
    pub settled: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Generation {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(sfixed64, tag = "2")]
    pub at: i64,
    #[prost(string, tag = "3")]
    pub why: String,
    /// Pairs: from, to.
    #[prost(uint32, repeated, tag = "4")]
    pub moved: Vec<u32>,
    #[prost(uint32, repeated, tag = "5")]
    pub dropped: Vec<u32>,
    #[prost(uint64, tag = "6")]
    pub first_number: u64,
    #[prost(message, repeated, tag = "7")]
    pub notifications: Vec<Notification>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delivered {
    /// A sink; empty for the log file.
    #[prost(string, tag = "1")]
    pub to: String,
    #[prost(uint64, tag = "2")]
    pub up_to: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Paused {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Without it, the pause is over.
    #[prost(sfixed64, optional, tag = "2")]
    pub until: Option<i64>,
    #[prost(string, tag = "3")]
    pub why: String,
}

/// Of a snapshot: a rule, or more instances of one that came before.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Rule {
    #[prost(message, optional, tag = "1")]
    pub changed: Option<Changed>,
    #[prost(sfixed64, optional, tag = "2")]
    pub last: Option<i64>,
    #[prost(message, optional, tag = "3")]
    pub paused: Option<Paused>,
}

/// Of a snapshot: notifications that are not done with.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outbox {
    /// The number that the next notification gets.
    #[prost(uint64, tag = "1")]
    pub next_number: u64,
    /// The numbers of `notifications`.
    #[prost(uint64, repeated, tag = "2")]
    pub numbers: Vec<u64>,
    #[prost(message, repeated, tag = "3")]
    pub notifications: Vec<Notification>,
    #[prost(message, repeated, tag = "4")]
    pub delivered: Vec<Delivered>,
}

/// The end of a snapshot: without it, it is none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct End {
    /// How many frames came before.
    #[prost(uint64, tag = "1")]
    pub frames: u64,
    /// The generation that is active.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
}
