//! `trace(name, value)`: what a script wants to be seen of its reasoning.
//!
//! A trace never changes what a rule decides, and never breaks a rule: what is too much is left out.

use std::sync::Arc;

use rhai::{Dynamic, Engine, ImmutableString};

use crate::convert::{Outcome, number, type_name};
use crate::meter;

/// How many names one call may trace.
pub(crate) const TRACES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 256;

/// A value that a script has shown, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its name, at most 64 bytes.
    pub name: Arc<str>,
    /// The last value that was given under this name.
    pub value: TraceValue,
}

/// A value worth showing.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceValue {
    /// A number.
    Number(f64),
    /// A text, cut to 256 bytes.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// `()`.
    Nothing,
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("trace", trace);
}

fn trace(name: &str, value: Dynamic) -> Outcome<()> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("`trace`: a name has at most {NAME_BYTES_MAX} bytes, not {}", name.len()).into());
    }
    meter::trace(name, read(&value)?);
    Ok(())
}

fn read(value: &Dynamic) -> Outcome<TraceValue> {
    if let Some(number) = number(value) {
        return Ok(TraceValue::Number(number));
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(TraceValue::Flag(flag));
    }
    if value.is_unit() {
        return Ok(TraceValue::Nothing);
    }
    match value.read_lock::<ImmutableString>() {
        Some(text) => Ok(TraceValue::Text(cut(&text, TEXT_BYTES_MAX).to_owned())),
        None => {
            let kind = type_name(value);
            Err(format!("`trace` shows a number, a text, a truth value or `()`, not {kind}").into())
        }
    }
}

/// As much of a text as fits, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The traces as a map, as a message sees them.
pub(crate) fn to_map(traces: &[Trace]) -> rhai::Map {
    let value = |trace: &Trace| match &trace.value {
        TraceValue::Number(number) => Dynamic::from_float(*number),
        TraceValue::Text(text) => text.clone().into(),
        TraceValue::Flag(flag) => Dynamic::from_bool(*flag),
        TraceValue::Nothing => Dynamic::UNIT,
    };
    traces.iter().map(|trace| (trace.name.as_ref().into(), value(trace))).collect()
}
