//! Reports about rules, read; and the words that they have in common on a terminal.

use serde::de::DeserializeOwned;
use sereno_model::SeriesKey;
use sereno_rules::report::{LabelMap, Number, Seconds, Time};

use crate::console::printable;
use crate::output::number::Unit;
use crate::output::time::Precision;
use crate::{Exit, Failure};

/// A report, out of its JSON.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|mistake| {
        Failure::new(Exit::Refused, "the server's answer cannot be read")
            .cause(mistake.to_string())
            .hint("is the server newer than this program?")
    })
}

/// `cpu_high{host="a"}`.
pub(super) fn instance(rule: &str, labels: &LabelMap) -> String {
    let key = SeriesKey::new(rule, labels);
    printable(&key.map_or_else(|_| rule.to_owned(), |key| key.to_string())).into_owned()
}

/// `env="prod" host="a"`.
pub(super) fn labels(labels: &LabelMap) -> String {
    let texts = labels.iter().map(|(name, value)| format!("{name}={value:?}"));
    texts.collect::<Vec<_>>().join(" ")
}

/// Six digits or so; a dash where there is none.
pub(super) fn number(number: Option<Number>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| Unit::Plain.short(number.0))
}

pub(super) fn span(seconds: Seconds) -> String {
    Unit::Seconds.short(seconds.0.as_secs_f64())
}

/// RFC 3339, as fine as it must be; a dash where there is none.
pub(super) fn time(time: Option<Time>) -> String {
    time.map_or_else(|| "-".to_owned(), at)
}

pub(super) fn at(time: Time) -> String {
    let nanos = time.0.nanos();
    Precision::of(nanos).format(nanos)
}

/// The time of day alone, where the day is known: `02:40:00`.
pub(super) fn clock(time: Time) -> String {
    let text = at(time);
    let clock = text.split_once('T').map(|(_, clock)| clock.trim_end_matches('Z').to_owned());
    clock.unwrap_or(text)
}

/// `holds`, `does not hold`, or that something in it is missing.
pub(super) fn truth(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "holds",
        Some(false) => "does not hold",
        None => "cannot be said: something in it is missing",
    }
}

/// A sequence of values as bars, the last of them if there are more than `columns`; a gap is a blank.
pub(super) fn spark(values: &[Option<f64>], columns: usize, utf8: bool) -> String {
    let bars: &[char] = if utf8 {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['_', '.', '-', '=', '+', '*', '#', '@']
    };
    let values = &values[values.len().saturating_sub(columns)..];
    let finite = || values.iter().flatten().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    // Halves: the difference of the extremes may be infinite.
    let room = high / 2.0 - low / 2.0;
    let bar = |value: &Option<f64>| match value.filter(|value| value.is_finite()) {
        None => ' ',
        Some(_) if room <= 0.0 => bars[3],
        Some(value) => {
            let share = ((value / 2.0 - low / 2.0) / room).clamp(0.0, 1.0);
            bars[(share * (bars.len() - 1) as f64).round() as usize]
        }
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_tell_high_from_low() {
        let values = [Some(0.0), Some(5.0), None, Some(10.0), Some(f64::NAN), Some(10.0)];
        assert_eq!(spark(&values, 10, true), "▁▅ █ █");
        assert_eq!(spark(&values, 3, false), "@ @".replace('@', "="), "all alike are in the middle");
        assert_eq!(spark(&[Some(f64::MAX), Some(f64::MIN)], 10, false), "@_");
        assert_eq!(spark(&[], 10, true), "");
    }
}
