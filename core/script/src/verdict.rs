//! What a rule script says about an instance.

use std::str::FromStr as _;

use rhai::{Dynamic, Engine, ImmutableString};
use sereno_model::Level;

use crate::convert::{Outcome, optional_number_argument, type_name};
use crate::instance::Labels;
use crate::trace::Trace;

/// What a call gave, and what it showed on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// What it gave.
    pub given: T,
    /// What it traced, in order of first appearance.
    pub traces: Vec<Trace>,
    /// The operations it took.
    pub operations: u64,
}

/// What `decide` told about the instances of its rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// One verdict for each label set, in order of the labels. Known instances that are not here are absent.
    pub emitted: Vec<(Labels, Verdict)>,
}

/// What is said about an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All is well; with the value that was looked at.
    Ok(Option<f64>),
    /// The condition holds at this level; with the value that was looked at.
    Alert(Level, Option<f64>),
    /// There is no data, and why that is so.
    Absent(String),
    /// Nothing can be said at this tick, and why: the state is held.
    Skip(String),
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("Verdict");
    engine.register_fn("ok", || Verdict::Ok(None));
    engine.register_fn("ok", |value: Dynamic| -> Outcome<Verdict> {
        Ok(Verdict::Ok(optional_number_argument("ok", &value)?))
    });
    engine.register_fn("alert", |level: &str| -> Outcome<Verdict> { alert(level, &Dynamic::UNIT) });
    engine.register_fn("alert", |level: &str, value: Dynamic| -> Outcome<Verdict> { alert(level, &value) });
    engine.register_fn("absent", |why: &str| Verdict::Absent(why.to_owned()));
    engine.register_fn("skip", |why: &str| Verdict::Skip(why.to_owned()));
}

fn alert(level: &str, value: &Dynamic) -> Outcome<Verdict> {
    let value = optional_number_argument("alert", value)?;
    Ok(Verdict::Alert(Level::from_str(level).map_err(|error| error.to_string())?, value))
}

/// The verdict in what `check` gave back, or `emit` was given: a verdict, a truth value (true is `crit`) or the name of
/// a level. `who` says it, for the message.
pub(crate) fn read(who: &str, answer: Dynamic) -> Result<Verdict, String> {
    if let Ok(alerts) = answer.as_bool() {
        return Ok(if alerts { Verdict::Alert(Level::Crit, None) } else { Verdict::Ok(None) });
    }
    if let Some(level) = answer.read_lock::<ImmutableString>() {
        return match level.parse() {
            Ok(level) => Ok(Verdict::Alert(level, None)),
            Err(error) => Err(format!("{who} a text, but {error}")),
        };
    }
    let name = type_name(&answer);
    answer.try_cast::<Verdict>().ok_or_else(|| {
        format!(
            "{who} {name}; use `ok(v)`, `alert(level, v)`, `absent(why)` or `skip(why)`, a truth value, \
             or the name of a level"
        )
    })
}
