//! Typed trees, and their evaluation. `None` is what is missing.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sereno_model::Timestamp;

use super::scope::Name;
use super::zone::NamedZone;
use crate::template::{bytes_text, duration_text, number_text};

/// What gives names their values.
pub(crate) trait Source {
    fn number(&self, name: &Name) -> Option<f64>;
    fn truth(&self, name: &Name) -> Option<bool>;
    fn text(&self, name: &Name) -> Option<Cow<'_, str>>;
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Truth,
    Text,
    /// Known only when it is told: a trace of a script.
    Any,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Truth => "a condition",
            Self::Text => "a text",
            Self::Any => "a value of unknown type",
        })
    }
}

/// A compiled expression of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Number(Number),
    Truth(Truth),
    Text(Text),
    Any(Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What gives a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Constant(f64),
    Name(Name),
    Minus(Box<Number>),
    Arithmetic(Arithmetic, Box<(Number, Number)>),
    /// `a ?? b`.
    Else(Box<(Number, Number)>),
    /// A function of one number.
    Of(One, Box<Number>),
    /// `round(x, decimals)`.
    Round(Box<Number>, usize),
    Smallest(Vec<Number>),
    Largest(Vec<Number>),
    Clamp(Box<[Number; 3]>),
    Hour(Box<Number>, NamedZone),
    Weekday(Box<Number>, NamedZone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum One {
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Ln,
    Log10,
}

/// What holds or does not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Truth {
    Constant(bool),
    Name(Name),
    Not(Box<Truth>),
    And(Box<(Truth, Truth)>),
    Or(Box<(Truth, Truth)>),
    Else(Box<(Truth, Truth)>),
    Compare(Comparison, Box<(Number, Number)>),
    /// Two texts that are equal, or are not.
    Texts(bool, Box<(Text, Text)>),
    /// Two conditions that agree, or do not.
    Truths(bool, Box<(Truth, Truth)>),
}

/// What gives a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    Constant(Arc<str>),
    Name(Name),
    Else(Box<(Text, Text)>),
    Date(Box<Number>, NamedZone),
    Decimals(Box<Number>, usize),
    Percent(Box<Number>, usize),
    Bytes(Box<Number>),
    Duration(Box<Number>),
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }

    /// The same, with the sides exchanged.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::Unequal => self,
            Self::Less => Self::More,
            Self::AtMost => Self::AtLeast,
            Self::More => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl Arithmetic {
    fn of(self, left: f64, right: f64) -> Option<f64> {
        let number = match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide | Self::Remainder if right == 0.0 => return None,
            Self::Divide => left / right,
            Self::Remainder => left % right,
        };
        there(number)
    }
}

impl One {
    fn of(self, number: f64) -> Option<f64> {
        there(match self {
            Self::Abs => number.abs(),
            Self::Round => number.round(),
            Self::Floor => number.floor(),
            Self::Ceil => number.ceil(),
            Self::Sqrt => number.sqrt(),
            Self::Ln => number.ln(),
            Self::Log10 => number.log10(),
        })
    }
}

/// A number, unless it is NaN.
fn there(number: f64) -> Option<f64> {
    (!number.is_nan()).then_some(number)
}

impl Number {
    pub fn eval<S: Source + ?Sized>(&self, source: &S) -> Option<f64> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Name(name) => source.number(name).and_then(there),
            Self::Minus(number) => number.eval(source).map(|number| -number),
            Self::Arithmetic(how, sides) => how.of(sides.0.eval(source)?, sides.1.eval(source)?),
            Self::Else(sides) => sides.0.eval(source).or_else(|| sides.1.eval(source)),
            Self::Of(function, number) => function.of(number.eval(source)?),
            Self::Round(number, decimals) => Some(round(number.eval(source)?, *decimals)),
            Self::Smallest(numbers) => fold(numbers, source, f64::min),
            Self::Largest(numbers) => fold(numbers, source, f64::max),
            Self::Clamp(three) => {
                let (number, low, high) =
                    (three[0].eval(source)?, three[1].eval(source)?, three[2].eval(source)?);
                (low <= high).then(|| number.clamp(low, high))
            }
            Self::Hour(time, zone) => time_of(time, source).map(|time| f64::from(zone.hour(time))),
            Self::Weekday(time, zone) => time_of(time, source).map(|time| f64::from(zone.weekday(time))),
        }
    }

    fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Name(name) => wanted(name),
            Self::Arithmetic(_, sides) | Self::Else(sides) => sides.0.uses(wanted) || sides.1.uses(wanted),
            Self::Smallest(numbers) | Self::Largest(numbers) => numbers.iter().any(|it| it.uses(wanted)),
            Self::Clamp(three) => three.iter().any(|it| it.uses(wanted)),
            Self::Minus(number)
            | Self::Of(_, number)
            | Self::Round(number, _)
            | Self::Hour(number, _)
            | Self::Weekday(number, _) => number.uses(wanted),
        }
    }
}

fn fold<S: Source + ?Sized>(numbers: &[Number], source: &S, join: fn(f64, f64) -> f64) -> Option<f64> {
    let (first, others) = numbers.split_first()?;
    others.iter().try_fold(first.eval(source)?, |number, other| Some(join(number, other.eval(source)?)))
}

fn time_of<S: Source + ?Sized>(number: &Number, source: &S) -> Option<Timestamp> {
    number.eval(source).and_then(Timestamp::from_secs_f64)
}

/// Through the text: scaling by a power of ten would round 1.005 twice.
fn round(number: f64, decimals: usize) -> f64 {
    let mut digits = Digits { bytes: [0; DIGITS_MAX], len: 0 };
    match fmt::Write::write_fmt(&mut digits, format_args!("{number:.decimals$}")) {
        Ok(()) => std::str::from_utf8(&digits.bytes[..digits.len]).ok().and_then(|text| text.parse().ok()),
        Err(fmt::Error) => None,
    }
    .unwrap_or(number)
}

/// The digits of the largest number with the most decimals, and some.
const DIGITS_MAX: usize = 340;

/// A text that is written without allocating.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    len: usize,
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl Truth {
    pub fn eval<S: Source + ?Sized>(&self, source: &S) -> Option<bool> {
        match self {
            Self::Compare(how, sides) => Some(how.holds(sides.0.eval(source)?, sides.1.eval(source)?)),
            Self::Constant(truth) => Some(*truth),
            Self::Name(name) => source.truth(name),
            Self::Not(truth) => truth.eval(source).map(|truth| !truth),
            // One side that decides is enough, whatever is missing on the other.
            Self::And(sides) => match sides.0.eval(source) {
                Some(false) => Some(false),
                Some(true) => sides.1.eval(source),
                None => sides.1.eval(source).filter(|truth| !truth),
            },
            Self::Or(sides) => match sides.0.eval(source) {
                Some(true) => Some(true),
                Some(false) => sides.1.eval(source),
                None => sides.1.eval(source).filter(|truth| *truth),
            },
            Self::Else(sides) => sides.0.eval(source).or_else(|| sides.1.eval(source)),
            Self::Texts(equal, sides) => {
                let same = sides.0.eval(source)? == sides.1.eval(source)?;
                Some(same == *equal)
            }
            Self::Truths(equal, sides) => {
                let same = sides.0.eval(source)? == sides.1.eval(source)?;
                Some(same == *equal)
            }
        }
    }

    fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Name(name) => wanted(name),
            Self::Not(truth) => truth.uses(wanted),
            Self::And(sides) | Self::Or(sides) | Self::Else(sides) | Self::Truths(_, sides) => {
                sides.0.uses(wanted) || sides.1.uses(wanted)
            }
            Self::Compare(_, sides) => sides.0.uses(wanted) || sides.1.uses(wanted),
            Self::Texts(_, sides) => sides.0.uses(wanted) || sides.1.uses(wanted),
        }
    }
}

impl Text {
    pub fn eval<'a, S: Source + ?Sized>(&'a self, source: &'a S) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Constant(text) => Cow::Borrowed(&**text),
            Self::Name(name) => return source.text(name),
            Self::Else(sides) => return sides.0.eval(source).or_else(|| sides.1.eval(source)),
            Self::Date(time, zone) => zone.date(time_of(time, source)?).into(),
            Self::Decimals(number, decimals) => format!("{:.decimals$}", number.eval(source)?).into(),
            Self::Percent(number, decimals) => {
                format!("{:.decimals$} %", number.eval(source)? * 100.0).into()
            }
            Self::Bytes(number) => bytes_text(number.eval(source)?).into(),
            Self::Duration(number) => duration_text(number.eval(source)?).into(),
        })
    }

    fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Name(name) => wanted(name),
            Self::Else(sides) => sides.0.uses(wanted) || sides.1.uses(wanted),
            Self::Date(number, _)
            | Self::Decimals(number, _)
            | Self::Percent(number, _)
            | Self::Bytes(number)
            | Self::Duration(number) => number.uses(wanted),
        }
    }
}

impl Node {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Number,
            Self::Truth(_) => Kind::Truth,
            Self::Text(_) => Kind::Text,
            Self::Any(_) => Kind::Any,
        }
    }

    /// For people.
    pub fn show<S: Source + ?Sized>(&self, source: &S) -> Option<String> {
        match self {
            Self::Number(Number::Name(Name::Duration)) => source.number(&Name::Duration).map(duration_text),
            Self::Number(number) => number.eval(source).map(number_text),
            Self::Truth(truth) => truth.eval(source).map(|truth| truth.to_string()),
            Self::Text(text) => text.eval(source).map(Cow::into_owned),
            Self::Any(name) => {
                source.text(name).map(Cow::into_owned).or_else(|| source.number(name).map(number_text))
            }
        }
    }

    pub fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        match self {
            Self::Number(number) => number.uses(wanted),
            Self::Truth(truth) => truth.uses(wanted),
            Self::Text(text) => text.uses(wanted),
            Self::Any(name) => wanted(name),
        }
    }
}
