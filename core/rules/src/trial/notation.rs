//! The samples of a series in a rule test, written in one line: `97x12 _x6 10+0.5x12`.
//!
//! ```text
//! 97          one sample
//! 97x12       a sample, then 12 more like it
//! 10+0.5x12   10, then 12 more, each 0.5 above the one before; `10-0.5x12` falls
//! _           a sample that is missing; `_x6` are six
//! NaN Inf -Inf
//! ```
//!
//! Each item takes one interval, the missing ones too. That is the notation of `promtool test rules`.

use std::time::Duration;

/// How many samples a series may have in a test.
pub(crate) const SAMPLES_MAX: usize = 1_000_000;

/// A sample: when, from the start of the test, and its value.
pub(crate) type At = (Duration, f64);

/// What is wrong with a text, and at which of its characters, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotationError {
    pub offset: usize,
    pub length: usize,
    pub message: String,
    pub hint: String,
}

/// The samples of a text, `every` apart, the first at 0; and how long it all takes.
pub(crate) fn parse(text: &str, every: Duration) -> Result<(Vec<At>, Duration), NotationError> {
    let mut samples = Vec::new();
    let mut slots: u64 = 0;
    let mut offset = 0;
    for word in text.split(' ') {
        let place = offset;
        offset += word.chars().count() + 1;
        let word = word.trim();
        if word.is_empty() {
            continue;
        }
        let fail = |(message, hint): (String, String)| NotationError {
            offset: place,
            length: word.chars().count(),
            message,
            hint,
        };
        let run = Run::parse(word).map_err(fail)?;
        let count = run.count();
        if slots.saturating_add(count) > SAMPLES_MAX as u64 {
            let message = format!("more than {SAMPLES_MAX} samples");
            return Err(fail((message, "give fewer, further apart: `every: 1m`".to_owned())));
        }
        for index in 0..count {
            // Bounded by SAMPLES_MAX.
            let at = every.saturating_mul((slots + index) as u32);
            samples.extend(run.value(index).map(|value| (at, value)));
        }
        slots += count;
    }
    Ok((samples, every.saturating_mul(slots as u32)))
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Run {
    Missing(u64),
    Values { first: f64, step: f64, more: u64 },
}

type Problem = (String, String);

impl Run {
    fn parse(word: &str) -> Result<Self, Problem> {
        if let Some(rest) = word.strip_prefix('_') {
            return match rest.strip_prefix('x') {
                Some(count) => Ok(Self::Missing(whole(count, word)?)),
                None if rest.is_empty() => Ok(Self::Missing(1)),
                None => Err(unreadable(word)),
            };
        }
        let (first, rest) = number(word).ok_or_else(|| unreadable(word))?;
        if rest.is_empty() {
            return Ok(Self::Values { first, step: 0.0, more: 0 });
        }
        if let Some(count) = rest.strip_prefix('x') {
            return Ok(Self::Values { first, step: 0.0, more: whole(count, word)? });
        }
        let (step, rest) =
            number(rest).filter(|_| rest.starts_with(['+', '-'])).ok_or_else(|| unreadable(word))?;
        let count = rest.strip_prefix('x').ok_or_else(|| {
            let hint = format!("write how many follow: `{word}x10`");
            (format!("`{word}` does not say how often it rises or falls"), hint)
        })?;
        Ok(Self::Values { first, step, more: whole(count, word)? })
    }

    fn count(self) -> u64 {
        match self {
            Self::Missing(count) => count,
            Self::Values { more, .. } => more.saturating_add(1),
        }
    }

    fn value(self, index: u64) -> Option<f64> {
        match self {
            Self::Missing(_) => None,
            Self::Values { first, step: 0.0, .. } => Some(first),
            // By multiplication, so that the last value does not depend on how roundings add up.
            Self::Values { first, step, .. } => Some(first + step * index as f64),
        }
    }
}

/// The number at the beginning of a text, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    for (name, value) in [("NaN", f64::NAN), ("Inf", f64::INFINITY)] {
        if let Some(rest) = unsigned.strip_prefix(name) {
            return Some((sign * value, rest));
        }
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(unsigned);
    if unsigned[end..].starts_with('.') {
        end += 1 + digits(&unsigned[end + 1..]);
    }
    if let Some(exponent) = unsigned[end..].strip_prefix(['e', 'E']) {
        let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(plain);
        if count > 0 {
            end += 1 + (exponent.len() - plain.len()) + count;
        }
    }
    let (number, rest) = unsigned.split_at(end);
    Some((sign * number.parse::<f64>().ok()?, rest))
}

fn whole(text: &str, word: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| (format!("`{text}` in `{word}` is not a number of samples"), "like `97x12`".to_owned()))
}

fn unreadable(word: &str) -> Problem {
    let hint = match word {
        "stale" => "a series has no end here: leave the samples out with `_`",
        _ => "values are like `97`, `97x12`, `10+0.5x12`, `_`, `_x6`, `NaN`, `Inf`",
    };
    (format!("`{word}` is no value"), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> String {
        match parse(text, Duration::from_secs(10)) {
            Ok((samples, length)) => {
                let shown: Vec<String> =
                    samples.iter().map(|(at, value)| format!("{}:{value}", at.as_secs())).collect();
                format!("{} | {}", shown.join(" "), length.as_secs())
            }
            Err(error) => format!("{}+{} {}; {}", error.offset, error.length, error.message, error.hint),
        }
    }

    #[test]
    fn the_notation_is_promtools() {
        assert_eq!(check("1 2  -3"), "0:1 10:2 20:-3 | 30");
        assert_eq!(check("97x2 _x2 5"), "0:97 10:97 20:97 50:5 | 60");
        assert_eq!(check("_ 1+0.5x2"), "10:1 20:1.5 30:2 | 40");
        assert_eq!(check("10-2x2 1e-3-1e-3x1"), "0:10 10:8 20:6 30:0.001 40:0 | 50");
        assert_eq!(check("NaN Inf -Infx1"), "0:NaN 10:inf 20:-inf 30:-inf | 40");
        assert_eq!(check(""), " | 0");
        assert!(check("-1+-1x1").contains("is no value"));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        assert_eq!(
            check("1 2+3"),
            "2+3 `2+3` does not say how often it rises or falls; write how many follow: `2+3x10`"
        );
        assert_eq!(check("1 2xa"), "2+3 `a` in `2xa` is not a number of samples; like `97x12`");
        assert_eq!(
            check("ä"),
            "0+1 `ä` is no value; values are like `97`, `97x12`, `10+0.5x12`, `_`, `_x6`, `NaN`, `Inf`"
        );
        assert_eq!(
            check("1 stale"),
            "2+5 `stale` is no value; a series has no end here: leave the samples out with `_`"
        );
        assert_eq!(
            check("1x99999999999"),
            "0+13 more than 1000000 samples; give fewer, further apart: `every: 1m`"
        );
        assert_eq!(
            check("_x18446744073709551615 1"),
            "0+22 more than 1000000 samples; give fewer, further apart: `every: 1m`"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[-+0-9.exNaInf_ äx]{0,20}") {
            let _either = parse(&text, Duration::from_secs(1));
        }
    }
}
