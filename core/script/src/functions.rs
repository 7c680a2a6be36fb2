//! Free functions: arithmetic that is safe with missing data, and text for humans.

use std::time::Duration;

use rhai::{Dynamic, Engine};

use crate::convert::{Outcome, from_option, number_argument, optional_number_argument};

/// How a message says that there is no value: it is about to be sent, and must not fail for want of one.
const NONE: &str = "none";

pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("ratio", ratio);
    engine.register_fn("clamp", clamp);
    engine.register_fn("round", round);
    engine.register_fn("fmt", fmt);
    engine.register_fn("pct", pct);
    engine.register_fn("human_bytes", human_bytes);
    engine.register_fn("human_duration", human_duration);
}

/// `a / b`; no value when `b` is 0 or either is missing, since a share of nothing is not 0 and not infinite.
fn ratio(a: Dynamic, b: Dynamic) -> Outcome<Dynamic> {
    let (a, b) = (optional_number_argument("ratio", &a)?, optional_number_argument("ratio", &b)?);
    Ok(from_option(a.zip(b).filter(|(_, b)| *b != 0.0).map(|(a, b)| a / b)))
}

fn clamp(value: Dynamic, low: Dynamic, high: Dynamic) -> Outcome<f64> {
    let argument = |value: &Dynamic| number_argument("clamp", value);
    let (value, low, high) = (argument(&value)?, argument(&low)?, argument(&high)?);
    if low <= high {
        return Ok(value.clamp(low, high));
    }
    Err(format!("`clamp`: {low} to {high} is no range; give the lower bound first").into())
}

fn round(value: Dynamic, decimals: i64) -> Outcome<f64> {
    let value = number_argument("round", &value)?;
    let text = format!("{value:.*}", check_decimals("round", decimals)?);
    // Through the text: scaling by a power of ten would round 1.005 twice.
    text.parse().map_err(|_| format!("`round`: `{text}` is no number").into())
}

fn fmt(value: Dynamic, decimals: i64) -> Outcome<String> {
    let decimals = check_decimals("fmt", decimals)?;
    Ok(match optional_number_argument("fmt", &value)? {
        Some(value) => format!("{value:.decimals$}"),
        None => NONE.to_owned(),
    })
}

fn pct(share: Dynamic, decimals: i64) -> Outcome<String> {
    let decimals = check_decimals("pct", decimals)?;
    Ok(match optional_number_argument("pct", &share)? {
        Some(share) => format!("{:.decimals$} %", share * 100.0),
        None => NONE.to_owned(),
    })
}

fn check_decimals(function: &str, decimals: i64) -> Outcome<usize> {
    usize::try_from(decimals)
        .ok()
        .filter(|decimals| *decimals <= 17)
        .ok_or_else(|| format!("`{function}` takes 0 to 17 decimals, not {decimals}").into())
}

fn human_bytes(value: Dynamic) -> Outcome<String> {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(mut value) = optional_number_argument("human_bytes", &value)? else {
        return Ok(NONE.to_owned());
    };
    let mut unit = 0;
    while value.abs() >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0);
    Ok(format!("{value:.decimals$} {}", UNITS[unit]))
}

/// Whole seconds, at most two units: `3d 4h` reads better than `3d 4h 12m 9s`.
fn human_duration(seconds: Dynamic) -> Outcome<String> {
    let Some(seconds) = optional_number_argument("human_duration", &seconds)? else {
        return Ok(NONE.to_owned());
    };
    let sign = if seconds < 0.0 { "-" } else { "" };
    let Ok(duration) = Duration::try_from_secs_f64(seconds.abs().round()) else {
        return Ok(format!("{seconds} s"));
    };
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    parts.truncate(2);
    Ok(if parts.is_empty() { "0s".to_owned() } else { format!("{sign}{}", parts.join(" ")) })
}
