//! Arguments as people write them. Each reader gives the end of a sentence that clap begins:
//! `invalid value 'x' for '<Y>': …`.

use std::time::{Duration, UNIX_EPOCH};

use sereno_model::{SeriesKey, TextError, Timestamp};
use sereno_runtime::units;

use crate::lines::number;

/// One series, `name{label="v"}`.
pub(crate) fn series(text: &str) -> Result<SeriesKey, String> {
    text.parse().map_err(|error: TextError| error.to_string())
}

/// A label, `name=value`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is a label like `env=prod`")?;
    SeriesKey::new("any", [(name, value)]).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Seconds, from `15s` or plain `15` or `0.5`; 0 is allowed.
pub(crate) fn window(text: &str) -> Result<f64, String> {
    let secs = match text.parse::<f64>() {
        Ok(secs) => secs,
        Err(_) => units::parse_duration(text)?.as_secs_f64(),
    };
    match secs.is_finite() && secs >= 0.0 {
        true => Ok(secs),
        false => Err("it is 0 or a positive time, like `15s`, `1m`, `0.5`".into()),
    }
}

/// As [`window`], but more than 0.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let too_long = || "it is too long".to_owned();
    match Duration::try_from_secs_f64(window(text)?).map_err(|_| too_long())? {
        Duration::ZERO => Err("it is a time longer than 0, like `15s`, `1m`, `0.5`".into()),
        span => Ok(span),
    }
}

/// Metrics per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("it is a number of metrics per second, 0 or more".into()),
    }
}

/// `host:port`.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("it is HOST:PORT, like `127.0.0.1:5678` or `[::1]:5678`".into()),
    }
}

/// A time, as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    pub(crate) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now - span,
        }
    }
}

/// RFC 3339 (without an offset: UTC), a Unix time in s, ms, us or ns, `now`, or `-1h`.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When::Ago(Duration::ZERO));
    }
    if let Some(ago) = text.strip_prefix('-') {
        return units::parse_duration(ago).map(When::Ago);
    }
    number::unix_time(text.as_bytes()).or_else(|| rfc3339(text)).map(When::At).ok_or_else(|| {
        "it is a time like `2026-11-23T08:00:00Z`, a Unix time, `now`, or a time ago like `-1h`".into()
    })
}

/// RFC 3339; without an offset it is UTC.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (local, offset_secs) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((local, offset)) if offset.starts_with(['+', '-']) && local.contains(':') => {
            (local, offset_secs(offset)?)
        }
        _ => (text.trim_end_matches(['Z', 'z']), 0),
    };
    let time = humantime::parse_rfc3339_weak(local).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let local = i64::try_from(time.as_nanos()).ok()?;
    Some(Timestamp::from_nanos(local - offset_secs * 1_000_000_000))
}

/// `+HH:MM`, in seconds.
fn offset_secs(offset: &str) -> Option<i64> {
    let (hours, minutes) = offset[1..].split_once(':')?;
    let number = |text: &str, below: i64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| digits && *number < below)
    };
    let secs = number(hours, 24)? * 3_600 + number(minutes, 60)? * 60;
    Some(if offset.starts_with('-') { -secs } else { secs })
}

/// A time as it is printed everywhere: RFC 3339, UTC, milliseconds.
pub(crate) fn format_time(time: Timestamp) -> String {
    match u64::try_from(time.nanos()) {
        Ok(nanos) => humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string(),
        Err(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let at = |secs: i64| Ok(When::At(Timestamp::from_millis(secs * 1_000)));
        for text in ["1500000000", "2017-07-14T02:40:00Z", "2017-07-14 02:40:00", "2017-07-14T04:40:00+02:00"]
        {
            assert_eq!(when(text), at(1_500_000_000), "{text}");
        }
        assert_eq!(when("2017-07-13T21:10:00.000-05:30"), at(1_500_000_000));
        assert_eq!(when("-1h30m"), Ok(When::Ago(Duration::from_secs(5_400))));
        assert_eq!(when("-90"), Err("a duration needs a unit: `90s`, `90m`, …".into()));
        for text in ["", "yesterday", "2017-07-14", "2017-07-14T04:40:00+2:00", "NaN", "inf", "ααα€"] {
            assert!(when(text).is_err(), "{text}");
        }
        assert_eq!(format_time(Timestamp::from_millis(1_500_000_000_250)), "2017-07-14T02:40:00.250Z");
    }

    #[test]
    fn windows_take_units_and_plain_seconds() {
        assert_eq!(
            (window("15s"), window("0"), window("10"), window("0.5")),
            (Ok(15.0), Ok(0.0), Ok(10.0), Ok(0.5))
        );
        assert!(window("-1").is_err() && window("NaN").is_err() && window("1e999").is_err());
        assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
        assert!(span("0").is_err() && span("1e300").is_err());
    }
}
