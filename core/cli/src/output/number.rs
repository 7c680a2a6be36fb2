//! Numbers as people read them: with the digits that matter, and in the unit that the metric's name tells.
//!
//! Two kinds of text: [`exact`] is read back to the very same number, by programs; [`Unit::short`] and [`Unit::tick`]
//! are for eyes.

/// What values are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nothing, or nobody knows.
    #[default]
    Plain,
    /// Seconds, shown as a duration.
    Seconds,
    /// Bytes, shown in powers of 1024.
    Bytes,
}

const DAY: f64 = 86_400.0;
/// The steps of an axis of seconds, beyond those of numbers in general, below 10 days.
const STEPS_SECS: [f64; 20] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0,
    21_600.0, 43_200.0, DAY, 172_800.0, 432_000.0,
];
const LARGE: [&str; 6] = ["", "k", "M", "G", "T", "P"];
const SMALL: [&str; 4] = ["", "m", "µ", "n"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl Unit {
    /// By the end of the metric's name, `_seconds` or `_bytes`, also before `_total`; and by the aggregation, whose
    /// values may be something else.
    pub(crate) fn of(name: &str, aggregation: &str) -> Self {
        let per_second = matches!(aggregation, "rate" | "slope");
        match (name.strip_suffix("_total").unwrap_or(name).rsplit(['_', '.']).next(), aggregation) {
            (_, "age") => Self::Seconds,
            (_, "count" | "changes" | "resets") => Self::Plain,
            (Some("bytes"), _) => Self::Bytes,
            (Some("seconds"), _) if !per_second => Self::Seconds,
            _ => Self::Plain,
        }
    }

    /// For tables: about six digits, `1234.57`, `2m30s`, `1.21 KiB`.
    pub(crate) fn short(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => special(value),
            Self::Plain => plain(value),
            Self::Seconds if value.abs() < 60.0 => match value.abs() {
                0.0 => "0s".into(),
                ..1.0 => format!("{}s", small(value, 4)),
                _ => format!("{}s", significant(value, 4)),
            },
            Self::Seconds => duration(value, 2),
            Self::Bytes => binary(value, |scaled| significant(scaled, 3)),
        }
    }

    /// For the scale beside a plot whose marks are `step` apart, up to `largest`: as many digits as tell neighbours
    /// apart, `1.2k`, `250m`.
    pub(crate) fn tick(self, value: f64, step: f64, largest: f64) -> String {
        if value.abs() < step / 2.0 {
            return "0".into();
        }
        match self {
            Self::Plain if largest < 1.0 => small_tick(value, step),
            Self::Plain => large_tick(value, step),
            Self::Seconds if largest < 1.0 => format!("{}s", small_tick(value, step)),
            Self::Seconds if step < 1.0 || value.abs() < 60.0 => {
                format!("{}s", trimmed(value, decimals(step)))
            }
            Self::Seconds => duration(value, 4),
            Self::Bytes => binary(value, |scaled| {
                // A step is a power of two: of a half or a quarter, every digit is needed.
                trimmed(scaled, (-(step * scaled / value).log2()).ceil().clamp(0.0, 3.0) as usize)
            }),
        }
    }

    /// A round number that is at least `least`, for the distance of the marks of a scale.
    pub(crate) fn step(self, least: f64) -> f64 {
        match self {
            Self::Bytes if least >= 1.0 => least.log2().ceil().exp2(),
            Self::Seconds if least >= 1.0 => {
                let listed = STEPS_SECS.into_iter().find(|step| *step >= least);
                listed.unwrap_or_else(|| decimal_step(least / DAY) * DAY)
            }
            _ => decimal_step(least),
        }
    }
}

/// The shortest text that is read back as this number; `NaN`, `+Inf` and `-Inf` for those.
pub(crate) fn exact(value: f64) -> String {
    match value.abs() {
        0.0 | 1e-5..1e16 => value.to_string(),
        _ if value.is_finite() => format!("{value:e}"),
        _ => special(value),
    }
}

fn special(value: f64) -> String {
    let text = match value {
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => "NaN",
    };
    text.to_owned()
}

/// 1, 2 or 5 times a power of ten.
fn decimal_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least).unwrap_or(least)
}

/// How many decimals a multiple of `step` has.
fn decimals(step: f64) -> usize {
    // A little less than the logarithm, which may be off by the last bit.
    (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn significant(value: f64, digits: i32) -> String {
    let magnitude = value.abs().log10().floor().clamp(-300.0, 300.0) as i32;
    trimmed(value, (digits - 1 - magnitude).clamp(0, 12) as usize)
}

fn plain(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        magnitude if magnitude < 1e15 && value.fract() == 0.0 => format!("{value:.0}"),
        1e-4..1e15 => significant(value, 6),
        _ => scientific(value),
    }
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.5e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text,
    }
}

/// Thousandths, millionths …
fn small(value: f64, digits: i32) -> String {
    let mut scaled = value;
    for prefix in SMALL {
        if scaled.abs() >= 0.9995 {
            return format!("{}{prefix}", significant(scaled, digits));
        }
        scaled *= 1e3;
    }
    scientific(value)
}

fn small_tick(value: f64, step: f64) -> String {
    let mut scale = 1.0;
    for prefix in SMALL {
        // By the step, so that the marks of a scale have one prefix.
        if value.abs() * scale >= 0.9995 || step * scale >= 0.9995 {
            let decimals = decimals(step * scale);
            return if decimals <= 3 {
                format!("{}{prefix}", trimmed(value * scale, decimals))
            } else {
                wide_tick(value, step)
            };
        }
        scale *= 1e3;
    }
    scientific(value)
}

fn large_tick(value: f64, step: f64) -> String {
    let mut scale = 1.0;
    for prefix in LARGE {
        if value.abs() < 999.9995 * scale {
            return match decimals(step / scale) {
                decimals @ 0..=3 => format!("{}{prefix}", trimmed(value / scale, decimals)),
                _ => wide_tick(value, step),
            };
        }
        scale *= 1e3;
    }
    scientific(value)
}

/// Where neighbours share so many digits that no prefix tells them apart.
fn wide_tick(value: f64, step: f64) -> String {
    if value.abs() < 1e15 { trimmed(value, decimals(step)) } else { scientific(value) }
}

fn binary(value: f64, digits: impl Fn(f64) -> String) -> String {
    let mut scaled = value;
    for unit in BINARY {
        if scaled.abs() < 1023.995 {
            return if scaled == 0.0 { format!("0 {unit}") } else { format!("{} {unit}", digits(scaled)) };
        }
        scaled /= 1024.0;
    }
    format!("{} B", scientific(value))
}

/// The first `parts` of days, hours, minutes and seconds that are not zero.
fn duration(secs: f64, parts: usize) -> String {
    if secs.abs() >= 1e5 * DAY {
        return format!("{}s", scientific(secs));
    }
    // In range, as was just checked.
    let whole = secs.abs().round() as u64;
    let units = [(whole / 86_400, "d"), (whole / 3_600 % 24, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let told = units[first..].iter().take(parts).filter(|(count, _)| *count > 0);
    let text: String = told.map(|(count, unit)| format!("{count}{unit}")).collect();
    format!("{}{text}", if secs < 0.0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_come_from_the_end_of_the_name() {
        assert_eq!(Unit::of("wal_sync_duration_seconds", "p95"), Unit::Seconds);
        assert_eq!(Unit::of("host.memory.bytes", "mean"), Unit::Bytes);
        assert_eq!(Unit::of("host.network.sent_bytes_total", "rate"), Unit::Bytes);
        assert_eq!(Unit::of("cpu_seconds_total", "rate"), Unit::Plain);
        assert_eq!(Unit::of("wal_sync_duration_seconds", "count"), Unit::Plain);
        assert_eq!(Unit::of("batch.done", "age"), Unit::Seconds);
        assert_eq!(Unit::of("bytesize", "mean"), Unit::Plain);
    }

    #[test]
    fn tables_show_the_digits_that_matter() {
        let short = |unit: Unit, values: &[f64]| {
            values.iter().map(|value| unit.short(*value)).collect::<Vec<_>>().join(" | ")
        };
        let values = [0.0, -3.0, 0.1 + 0.2, 1234.56789, 1e9, 123_456_789.5, 1e15, -1e300, 1e-7, f64::NAN];
        insta::assert_snapshot!(short(Unit::Plain, &values), @"0 | -3 | 0.3 | 1234.57 | 1000000000 | 123456790 | 1e15 | -1e300 | 1e-7 | NaN");
        let values = [0.0, 0.00025, 0.9996, 1.5, 59.5, 150.0, -3_660.0, 90_000.0, 1e12, f64::INFINITY];
        insta::assert_snapshot!(short(Unit::Seconds, &values), @"0s | 250µs | 0.9996s | 1.5s | 59.5s | 2m30s | -1h1m | 1d1h | 1e12s | +Inf");
        let values = [0.0, 512.0, 1234.0, 1023.999 * 1024.0, 5e9, -1e30];
        insta::assert_snapshot!(short(Unit::Bytes, &values), @"0 B | 512 B | 1.21 KiB | 1 MiB | 4.66 GiB | -1e30 B");
    }

    #[test]
    fn scales_have_round_steps_and_labels_that_differ() {
        let scale = |unit: Unit, from: f64, range: f64| {
            let step = unit.step(range / 4.0);
            let first = (from / step).floor() * step;
            let ticks = (0..5).map(|i| first + step * f64::from(i));
            let largest = (first + step * 4.0).abs();
            ticks.map(|tick| unit.tick(tick, step, largest)).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!([
            scale(Unit::Plain, 0.0, 4_700.0),
            scale(Unit::Plain, 0.0, 4.7e6),
            scale(Unit::Plain, 1_000.0, 10.0),
            scale(Unit::Plain, 1e9, 10.0),
            scale(Unit::Plain, 0.0, 0.9),
            scale(Unit::Plain, 0.0, 0.002),
            scale(Unit::Plain, -1.0, 2.0),
            scale(Unit::Seconds, 0.0, 0.9),
            scale(Unit::Seconds, 0.0, 170.0),
            scale(Unit::Seconds, 100.0, 0.5),
            scale(Unit::Seconds, 0.0, 3.0 * DAY),
            scale(Unit::Bytes, 0.0, 3e9),
            scale(Unit::Bytes, 4096.0, 700.0),
        ].join("\n"), @"
        0 2k 4k 6k 8k
        0 2M 4M 6M 8M
        1k 1.005k 1.01k 1.015k 1.02k
        1000000000 1000000005 1000000010 1000000015 1000000020
        0 0.5 1 1.5 2
        0 500µ 1m 1.5m 2m
        -1 -0.5 0 0.5 1
        0 0.5s 1s 1.5s 2s
        0 1m 2m 3m 4m
        100s 100.2s 100.4s 100.6s 100.8s
        0 1d 2d 3d 4d
        0 1 GiB 2 GiB 3 GiB 4 GiB
        4 KiB 4.25 KiB 4.5 KiB 4.75 KiB 5 KiB
        ");
    }

    proptest! {
        #[test]
        fn exact_numbers_are_read_back(value in any::<f64>()) {
            let back: f64 = exact(value).parse().expect("a number");
            prop_assert!(back == value || back.is_nan() && value.is_nan());
        }

        #[test]
        fn every_number_has_a_short_text(value in any::<f64>(), unit in 0..3) {
            let unit = [Unit::Plain, Unit::Seconds, Unit::Bytes][unit as usize];
            prop_assert!(unit.short(value).len() <= 18, "{}", unit.short(value));
        }
    }
}
