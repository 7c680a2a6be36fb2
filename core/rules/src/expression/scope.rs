//! Which names there are where an expression stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_runtime::diagnostic::{nearest, suggest};
use sereno_script::ParamValue;

use super::node::Kind;

/// Names that no input may have.
pub(crate) const RESERVED: [&str; 15] = [
    "v", "n", "now", "labels", "level", "params", "rule", "limit", "previous", "traces", "duration",
    "runbook", "kind", "true", "false",
];

/// What an expression or a message can speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `v`: the value that decides.
    Value,
    /// `n`: how many samples the first input was taken from.
    Count,
    /// `now`: the tick, in seconds since the epoch.
    Now,
    /// `level`: the level at which the instance fires; in a message, that of the event.
    Level,
    /// `err`: the value of an input.
    Reading(usize),
    /// `err.n`: how many samples it was taken from.
    Samples(usize),
    /// `err.newest`: when the newest of them was taken, in seconds since the epoch.
    Newest(usize),
    /// `err.age`: how many seconds that is ago.
    Age(usize),
    /// `labels.NAME`: a label of the instance.
    Label(String),
    /// `params.NAME`: a parameter of the rule.
    Param(String),
    /// In messages: the rule's id.
    Rule,
    /// In messages: the rule's `limit` or `below`.
    Limit,
    /// In messages: the level before.
    Previous,
    /// In messages: what happened, `firing` or `resolved`.
    Happened,
    /// In messages: for how many seconds it has fired.
    Duration,
    /// In messages: where to read what to do.
    Runbook,
    /// In messages: `traces.NAME`, what the script told with `trace`.
    Trace(String),
}

/// What `v` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum V {
    /// What `value` gives, or the only input.
    Value,
    /// The only input, where `value` is not known yet.
    Input,
    /// Nothing, and what to write instead.
    None(&'static str),
}

/// The names of one place in one rule.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub v: V,
    pub inputs: Vec<Arc<str>>,
    /// The labels that instances have; `None` if nobody can tell.
    pub labels: Option<Vec<String>>,
    pub params: BTreeMap<String, ParamValue>,
    /// In a message there is more to speak of.
    pub message: Option<InMessage>,
}

/// What a message can speak of beyond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMessage {
    pub has_limit: bool,
    pub has_runbook: bool,
    pub has_script: bool,
}

/// What is wrong, and what to write instead.
pub(super) type Refusal = (String, String);

impl Scope {
    /// What a name stands for.
    pub(super) fn resolve(&self, first: &str, members: &[String]) -> Result<(Name, Kind), Refusal> {
        match (first, members) {
            ("labels", [_, ..]) => self.label(members.join(".")),
            ("params", [_, ..]) => self.param(members.join(".")),
            ("labels" | "params", []) => {
                Err((format!("`{first}` alone is no value"), format!("name one of them: `{first}.NAME`")))
            }
            ("v", _) => match &self.v {
                V::None(hint) => Err(("there is no `v` here".to_owned(), (*hint).to_owned())),
                V::Input => self.input(0, "v", members),
                V::Value if members.is_empty() => Ok((Name::Value, Kind::Number)),
                V::Value => self.input(0, "v", members),
            },
            ("n", []) if self.inputs.is_empty() => {
                Err(("there is no `n` here".to_owned(), "`n` counts the samples of an input".to_owned()))
            }
            ("n", []) => Ok((Name::Count, Kind::Number)),
            ("now", []) => Ok((Name::Now, Kind::Number)),
            ("level", []) => Ok((Name::Level, Kind::Text)),
            ("n" | "now" | "level", _) => {
                Err((format!("`{first}` has no parts"), format!("write `{first}` alone")))
            }
            _ => match self.inputs.iter().position(|input| **input == *first) {
                Some(index) => self.input(index, first, members),
                None => self.only_in_messages(first, members),
            },
        }
    }

    fn input(&self, index: usize, name: &str, members: &[String]) -> Result<(Name, Kind), Refusal> {
        let member = match members {
            [] => Name::Reading(index),
            [member] => match member.as_str() {
                "n" => Name::Samples(index),
                "newest" => Name::Newest(index),
                "age" => Name::Age(index),
                other => return Err(no_member(name, other)),
            },
            [other, ..] => return Err(no_member(name, other)),
        };
        Ok((member, Kind::Number))
    }

    fn label(&self, label: String) -> Result<(Name, Kind), Refusal> {
        match &self.labels {
            Some(known) if !known.contains(&label) => {
                let hint = match nearest(&label, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `labels.{near}`?"),
                    None => format!("instances have the labels of `by`: add `{label}` there"),
                };
                Err((format!("instances of the rule have no label `{label}`"), hint))
            }
            _ => Ok((Name::Label(label), Kind::Text)),
        }
    }

    fn param(&self, param: String) -> Result<(Name, Kind), Refusal> {
        let kind = match self.params.get(&param) {
            Some(ParamValue::Int(_) | ParamValue::Float(_)) => Kind::Number,
            Some(ParamValue::Bool(_)) => Kind::Truth,
            Some(ParamValue::Text(_)) => Kind::Text,
            Some(ParamValue::List(_) | ParamValue::Map(_) | ParamValue::Null) => match self.message {
                Some(_) => Kind::Any,
                None => {
                    let hint = "only a script can read lists and maps".to_owned();
                    return Err((format!("`params.{param}` is neither number, truth nor text"), hint));
                }
            },
            None => {
                let hint = match nearest(&param, self.params.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `params.{near}`?"),
                    None => format!("add `{param}` to `params`"),
                };
                return Err((format!("the rule has no parameter `{param}`"), hint));
            }
        };
        Ok((Name::Param(param), kind))
    }

    fn only_in_messages(&self, first: &str, members: &[String]) -> Result<(Name, Kind), Refusal> {
        let Some(message) = self.message else { return Err(self.unknown(first)) };
        let missing = |what: &str, hint: &str| Err((format!("the rule has no {what}"), hint.to_owned()));
        match (first, members) {
            ("rule", []) => Ok((Name::Rule, Kind::Text)),
            ("previous", []) => Ok((Name::Previous, Kind::Text)),
            ("kind", []) => Ok((Name::Happened, Kind::Text)),
            ("duration", []) => Ok((Name::Duration, Kind::Number)),
            ("limit", []) if message.has_limit => Ok((Name::Limit, Kind::Number)),
            ("limit", []) => {
                missing("`limit`", "only the short form has one; limits of your own are in `params`")
            }
            ("runbook", []) if message.has_runbook => Ok((Name::Runbook, Kind::Text)),
            ("runbook", []) => missing("`runbook`", "add `runbook: https://…`"),
            ("traces", [_, ..]) if message.has_script => Ok((Name::Trace(members.join(".")), Kind::Any)),
            ("traces", _) => {
                missing("traces", "a script tells them: `trace(\"name\", value)`, then `traces.name`")
            }
            _ => Err(self.unknown(first)),
        }
    }

    fn unknown(&self, name: &str) -> Refusal {
        let mut known: Vec<&str> = self.inputs.iter().map(|input| &**input).collect();
        known.extend(["n", "now", "level", "labels.NAME", "params.NAME"]);
        if matches!(self.v, V::Value | V::Input) && !known.contains(&"v") {
            known.insert(0, "v");
        }
        if self.message.is_some() {
            known.extend(["rule", "limit", "previous", "kind", "duration", "runbook", "traces.NAME"]);
        }
        let quoted = self.labels.iter().flatten().any(|label| label == name);
        let hint = match (quoted, name) {
            (true, _) => format!("a label is `labels.{name}`"),
            (_, "value") => "the value is `v`".to_owned(),
            (_, "count" | "samples") => "the number of samples is `n`".to_owned(),
            (_, "params" | "param") => "a parameter is `params.NAME`".to_owned(),
            (_, "label") => "a label is `labels.NAME`".to_owned(),
            _ => suggest(name, "there are", known.iter().copied()),
        };
        (format!("there is nothing called `{name}`"), hint)
    }
}

fn no_member(input: &str, member: &str) -> Refusal {
    let hint = suggest(member, "an input has", ["n", "newest", "age"]);
    (format!("`{input}` has no `{member}`"), hint)
}
