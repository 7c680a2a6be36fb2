//! Expressions in rule files: `v >= 80`, `ratio(err, all)`, `n >= 5 && hour(now, "Europe/Madrid") >= 8`. The same language
//! stands inside the `${…}` of messages.
//!
//! Compiled once, when the rule is loaded, and evaluated without allocating (a message may allocate). A language of
//! its own, with the look of Rhai: a call of Rhai costs more than a microsecond, and would bring along its traps.
//!
//! Invariants:
//! * everything has a type (number, truth or text) that is known when the rule is loaded, and mixing them is an error then;
//! * what is computed from something missing is missing, so that absent data can never look like good health;
//!   NaN and anything divided by zero are missing too. Only `a ?? b`, `false && …` and `true || …` go on without it;
//! * `1 / 2` is 0.5.
//!
//! Not here: which names a rule has (`scope` is told), what a tick saw (`evaluate`).

mod check;
mod lex;
mod node;
mod parse;
mod scope;
#[cfg(test)]
mod tests;
mod zone;

use std::borrow::Cow;
use std::collections::BTreeMap;

use sereno_model::{Level, Timestamp};
use sereno_script::ParamValue;

use crate::rule::Labels;
use crate::state::Worse;
use crate::template::number_text;

pub(crate) use lex::read_number;
pub(crate) use node::{Comparison, Kind, Node, Number, Source, Truth};
pub use scope::Name;
pub(crate) use scope::{InMessage, RESERVED, Scope, V};

/// The longest expression, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// As it was written, for people.
    pub text: String,
    node: Node,
}

/// What one input gave for one instance at one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Its value, `else` taken into account; `None` where its data is absent. Never NaN.
    pub value: Option<f64>,
    /// How many samples it was taken from.
    pub samples: Option<u64>,
    /// The time of the newest of them.
    pub newest: Option<Timestamp>,
}

/// What the names in an expression stand for.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `v` in the conditions of levels: what `value` gave, or the only input. (`v` in `value` and `require` is that input.)
    pub value: Option<f64>,
    /// The inputs, in the order of the rule; `n` is the first one's count.
    pub inputs: &'a [Reading],
    /// `now`.
    pub now: Timestamp,
    /// `level`: the one at which the instance fires now, if it does.
    pub level: Option<Level>,
    /// `labels.NAME`.
    pub labels: &'a Labels,
    /// `params.NAME`.
    pub params: &'a BTreeMap<String, ParamValue>,
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    /// The character at which the mistake begins, from 0.
    pub offset: usize,
    /// How many characters are meant.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl Expression {
    /// Compiles an expression that says whether something holds.
    pub(crate) fn condition(text: &str, scope: &Scope) -> Result<Self, ExpressionError> {
        Self::of_kind(text, scope, Kind::Truth, "compare it with something: `v >= 80`")
    }

    /// Compiles an expression that gives a number.
    pub(crate) fn amount(text: &str, scope: &Scope) -> Result<Self, ExpressionError> {
        Self::of_kind(text, scope, Kind::Number, "give a number: `ratio(err, all)`")
    }

    fn of_kind(text: &str, scope: &Scope, wanted: Kind, hint: &str) -> Result<Self, ExpressionError> {
        let node = Node::compile(text, scope)?;
        match node.kind() {
            kind if kind == wanted => Ok(Self { text: text.trim().to_owned(), node }),
            kind => Err(ExpressionError {
                offset: text.chars().take_while(|c| c.is_whitespace()).count(),
                length: text.trim().chars().count(),
                message: format!("this is {kind}, and {wanted} is needed"),
                hint: hint.to_owned(),
            }),
        }
    }

    /// `v >= limit`, or `v < limit`.
    #[must_use]
    pub fn limit(limit: f64, worse: Worse) -> Self {
        let comparison = match worse {
            Worse::Higher => Comparison::AtLeast,
            Worse::Lower => Comparison::Less,
        };
        Self::bound(comparison, limit)
    }

    /// `v`, compared with a number.
    pub(crate) fn bound(comparison: Comparison, limit: f64) -> Self {
        let sides = (Number::Name(Name::Value), Number::Constant(limit));
        Self {
            text: format!("v {comparison} {}", number_text(limit)),
            node: Node::Truth(Truth::Compare(comparison, Box::new(sides))),
        }
    }

    /// Whether it holds; `None` where something is missing.
    #[must_use]
    pub fn holds(&self, names: &Names<'_>) -> Option<bool> {
        match &self.node {
            Node::Truth(truth) => truth.eval(names),
            Node::Number(_) | Node::Text(_) | Node::Any(_) => None,
        }
    }

    /// Its number; `None` where something is missing. Never NaN.
    #[must_use]
    pub fn number(&self, names: &Names<'_>) -> Option<f64> {
        match &self.node {
            Node::Number(number) => number.eval(names),
            Node::Truth(_) | Node::Text(_) | Node::Any(_) => None,
        }
    }

    /// Whether it asks how many samples this input has. Who evaluates it need not count otherwise.
    #[must_use]
    pub fn uses_samples(&self, input: usize) -> bool {
        self.node.uses(&|name| *name == Name::Samples(input) || (input == 0 && *name == Name::Count))
    }

    /// Whether it asks for the time of the newest sample of this input.
    #[must_use]
    pub fn uses_newest(&self, input: usize) -> bool {
        self.node.uses(&|name| *name == Name::Newest(input) || *name == Name::Age(input))
    }

    /// Whether it asks for the value of this input, or for `v`.
    #[must_use]
    pub fn uses_value(&self, input: usize) -> bool {
        self.node.uses(&|name| *name == Name::Reading(input) || *name == Name::Value)
    }

    pub(crate) fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        self.node.uses(wanted)
    }

    /// The bound, if it is nothing but `v` compared with a number.
    pub(crate) fn as_bound(&self) -> Option<(Comparison, f64)> {
        let Node::Truth(Truth::Compare(comparison, sides)) = &self.node else { return None };
        match &**sides {
            (Number::Name(Name::Value), Number::Constant(limit)) => Some((*comparison, *limit)),
            (Number::Constant(limit), Number::Name(Name::Value)) => Some((comparison.mirrored(), *limit)),
            _ => None,
        }
    }
}

impl Source for Names<'_> {
    fn number(&self, name: &Name) -> Option<f64> {
        let seconds = |time: Timestamp| time.secs_f64();
        match name {
            Name::Value => self.value,
            Name::Now => Some(seconds(self.now)),
            Name::Count => self.inputs.first()?.samples.map(|count| count as f64),
            Name::Reading(input) => self.inputs.get(*input)?.value,
            Name::Samples(input) => self.inputs.get(*input)?.samples.map(|count| count as f64),
            Name::Newest(input) => self.inputs.get(*input)?.newest.map(seconds),
            Name::Age(input) => {
                self.inputs.get(*input)?.newest.map(|newest| self.now.since(newest).as_secs_f64())
            }
            Name::Param(param) => match self.params.get(param)? {
                ParamValue::Int(int) => Some(*int as f64),
                ParamValue::Float(float) => Some(*float),
                _ => None,
            },
            _ => None,
        }
    }

    fn truth(&self, name: &Name) -> Option<bool> {
        match name {
            Name::Param(param) => match self.params.get(param)? {
                ParamValue::Bool(truth) => Some(*truth),
                _ => None,
            },
            _ => None,
        }
    }

    fn text(&self, name: &Name) -> Option<Cow<'_, str>> {
        match name {
            Name::Level => Some(self.level.map_or("", Level::as_str).into()),
            Name::Label(label) => {
                let value = self.labels.iter().find(|(name, _)| name == label);
                Some(value.map_or("", |(_, value)| value.as_str()).into())
            }
            Name::Param(param) => match self.params.get(param)? {
                ParamValue::Text(text) => Some(text.as_str().into()),
                _ => None,
            },
            _ => None,
        }
    }
}
