//! Between the values of a script and ours.

use std::collections::BTreeMap;
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, ImmutableString};
use sereno_model::Level;
use sereno_query::{Reduced, Window};
use sereno_runtime::units::parse_duration;

use crate::alert::Alert;
use crate::instance::{Labels, ParamValue};
use crate::subject::{Input, Subject};
use crate::vector::{Row, Vector};
use crate::verdict::Verdict;
use crate::whole::{Alerts, Context};

/// What a native function gives back.
pub(crate) type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// What a value is called in messages.
pub(crate) fn type_name(value: &Dynamic) -> &'static str {
    match () {
        () if value.is_unit() => "`()`",
        () if value.is_bool() => "a truth value",
        () if value.is_int() || value.is_float() => "a number",
        () if value.is_string() || value.is_char() => "a text",
        () if value.is_array() => "an array",
        () if value.is_map() => "a map",
        () if value.is_fnptr() => "a function",
        () if value.is::<Window>() => "a window",
        () if value.is::<Subject>() => "an instance",
        () if value.is::<Verdict>() => "a verdict",
        () if value.is::<Vector>() => "a vector",
        () if value.is::<Row>() => "a row",
        () if value.is::<Input>() => "an input",
        () if value.is::<Context>() => "a rule",
        () if value.is::<Alert>() => "an alert",
        () if value.is::<Alerts>() => "a list of alerts",
        () => "a value of another kind",
    }
}

/// An integer or float as a float.
pub(crate) fn number(value: &Dynamic) -> Option<f64> {
    value.as_float().ok().or_else(|| value.as_int().ok().map(|int| int as f64))
}

/// The numeric argument of a function.
pub(crate) fn number_argument(function: &str, value: &Dynamic) -> Outcome<f64> {
    number(value).ok_or_else(|| format!("`{function}` wants a number, not {}", type_name(value)).into())
}

/// A number, or `()` for none.
pub(crate) fn optional_number_argument(function: &str, value: &Dynamic) -> Outcome<Option<f64>> {
    if value.is_unit() { Ok(None) } else { number_argument(function, value).map(Some) }
}

/// A duration: a text with its unit, or seconds.
pub(crate) fn duration_argument(function: &str, value: &Dynamic) -> Outcome<Duration> {
    let wrong = |why: String| format!("`{function}` wants a duration such as \"5m\": {why}");
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).map_err(|error| wrong(error.to_string()).into());
    }
    match value.read_lock::<ImmutableString>() {
        Some(text) => match simple_duration(&text) {
            Some(duration) => Ok(duration),
            None => parse_duration(&text).map_err(|why| wrong(format!("`{}`: {why}", text.as_str())).into()),
        },
        None => Err(wrong(format!("this is {}", type_name(value))).into()),
    }
}

/// A duration of one number and one unit, as nearly all are. Scripts name theirs at every call, and the general way takes
/// longer than what it is for.
fn simple_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let is_plain = (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_plain).map(|number| Duration::from_secs(number * unit))
}

/// A number if there is one, else `()`.
pub(crate) fn from_option(number: Option<f64>) -> Dynamic {
    number.map_or(Dynamic::UNIT, Dynamic::from_float)
}

/// What a script sees of an answer.
pub(crate) fn from_reduced(reduced: Reduced) -> Dynamic {
    match reduced {
        Reduced::None => Dynamic::UNIT,
        Reduced::Number(number) => Dynamic::from_float(number),
        Reduced::Map(map) => {
            let entries = map.into_iter().map(|(name, number)| (name.into(), Dynamic::from_float(number)));
            Dynamic::from_map(entries.collect())
        }
    }
}

/// What a script gave as the answer for a window.
pub(crate) fn to_reduced(value: &Dynamic) -> Result<Reduced, String> {
    if value.is_unit() {
        return Ok(Reduced::None);
    }
    if let Some(number) = number(value) {
        return Ok(Reduced::Number(number));
    }
    let Ok(map) = value.as_map_ref() else {
        let name = type_name(value);
        return Err(format!("an aggregation answers with a number, `()` or a map of numbers, not {name}"));
    };
    let mut numbers = BTreeMap::new();
    for (name, value) in map.iter().filter(|(_, value)| !value.is_unit()) {
        let number = number(value)
            .ok_or_else(|| format!("`{name}` of the answer is {}, not a number", type_name(value)))?;
        numbers.insert(name.to_string(), number);
    }
    Ok(Reduced::Map(numbers))
}

/// A parameter of a rule.
pub(crate) fn from_param(param: &ParamValue) -> Dynamic {
    match param {
        ParamValue::Null => Dynamic::UNIT,
        ParamValue::Bool(value) => (*value).into(),
        ParamValue::Int(value) => (*value).into(),
        ParamValue::Float(value) => (*value).into(),
        ParamValue::Text(value) => value.clone().into(),
        ParamValue::List(values) => Dynamic::from_array(values.iter().map(from_param).collect()),
        ParamValue::Map(values) => from_params(values),
    }
}

/// The parameters of a rule.
pub(crate) fn from_params(params: &BTreeMap<String, ParamValue>) -> Dynamic {
    Dynamic::from_map(params.iter().map(|(name, param)| (name.as_str().into(), from_param(param))).collect())
}

/// Labels as a map of texts.
pub(crate) fn from_labels(labels: &Labels) -> Dynamic {
    let entries = labels.iter().map(|(name, value)| (name.as_str().into(), value.clone().into()));
    Dynamic::from_map(entries.collect())
}

/// Labels that a script gives, in order of their names: a map keeps that order.
pub(crate) fn to_labels(map: &rhai::Map) -> Outcome<Labels> {
    let label = |(name, value): (_, &Dynamic)| {
        let name: &rhai::Identifier = name;
        match value.read_lock::<ImmutableString>() {
            Some(value) => Ok((name.to_string(), value.to_string())),
            None => Err(format!("the label `{name}` is {}, not a text", type_name(value)).into()),
        }
    };
    map.iter().map(label).collect()
}

/// The name of a level, or `()`.
pub(crate) fn from_level(level: Option<Level>) -> Dynamic {
    level.map_or(Dynamic::UNIT, |level| level.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_durations_as_the_long_way_does() {
        for number in ["0", "1", "05", "90", "999999999", "1234567890", "+5", "-5", "1.5", "", " 5", "5 "] {
            for unit in ["s", "m", "h", "d", "ms", "M", "w", "", "é", "5s"] {
                let text = format!("{number}{unit}");
                if let Some(duration) = simple_duration(&text) {
                    assert_eq!(parse_duration(&text), Ok(duration), "{text}");
                }
            }
        }
        assert_eq!(simple_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(simple_duration("7d"), Some(Duration::from_secs(604_800)));
    }
}
