//! Numbers out of bytes: values and times. Most are short plain decimals, which need no text and no general parser.

use sereno_model::Timestamp;

/// Every power of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// So many digits always fit into the 53 bits of a float.
const EXACT_DIGITS: usize = 15;

/// A float in any form that Rust reads: `1`, `-2.5`, `1e-3`, `NaN`, `+Inf`, `-infinity`.
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    plain_decimal(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}

/// A decimal of at most 15 digits without an exponent. Both its digits and the power of ten below them are exact floats,
/// so their quotient is rounded once, and correctly.
fn plain_decimal(text: &[u8]) -> Option<f64> {
    let (negative, digits) = signed(text);
    if digits.is_empty() || digits.len() > EXACT_DIGITS + 1 {
        return None;
    }
    let (mut mantissa, mut point) = (0_u64, None);
    for (place, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(place),
            _ => return None,
        }
    }
    let scale = point.map_or(0, |place| digits.len() - place - 1);
    let digit_count = digits.len() - usize::from(point.is_some());
    if !(1..=EXACT_DIGITS).contains(&digit_count) {
        return None;
    }
    let value = mantissa as f64 / POWERS[scale];
    Some(if negative { -value } else { value })
}

/// A Unix time. Its size tells its unit: seconds until the year 5138, then milliseconds, microseconds, nanoseconds; every
/// unit may have decimals, and none of them is lost down to the nanosecond. `None` if it is no number, or one that is out
/// of range.
pub(crate) fn unix_time(text: &[u8]) -> Option<Timestamp> {
    let (negative, digits) = signed(text);
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let all_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || whole.len() > 19 || !all_digits(whole) || !all_digits(fraction) {
        return with_exponent(text);
    }
    // Nineteen digits fit.
    let number = whole.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let unit = unit_nanos(number);
    let mut nanos = i128::from(number) * i128::from(unit);
    let mut place = unit;
    for digit in fraction {
        place /= 10;
        nanos += i128::from(place) * i128::from(digit - b'0');
    }
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(Timestamp::from_nanos)
}

/// `1.5e9`, as some programs print it.
fn with_exponent(text: &[u8]) -> Option<Timestamp> {
    let number = float(text).filter(|number| number.is_finite())?;
    let nanos = (number * unit_nanos(number.abs() as u64) as f64).round();
    let in_range = nanos.abs() < i64::MAX as f64;
    in_range.then_some(Timestamp::from_nanos(nanos as i64))
}

const fn unit_nanos(number: u64) -> u64 {
    if number < 100_000_000_000 {
        1_000_000_000
    } else if number < 100_000_000_000_000 {
        1_000_000
    } else if number < 100_000_000_000_000_000 {
        1_000
    } else {
        1
    }
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(found: Option<f64>, wanted: Option<f64>) -> bool {
        found.map(f64::to_bits) == wanted.map(f64::to_bits)
    }

    proptest! {
        #[test]
        fn floats_are_those_of_the_standard_library(text in "[-+]?[0-9]{0,18}[.]?[0-9]{0,18}(e-?[0-9]{1,3})?") {
            prop_assert!(same(float(text.as_bytes()), text.parse().ok()), "{text}");
        }

        #[test]
        fn every_float_is_read_as_it_is_printed(bits: u64) {
            let value = f64::from_bits(bits);
            let read = float(value.to_string().as_bytes());
            let nan = value.is_nan() && read.is_some_and(f64::is_nan);
            prop_assert!(nan || same(read, Some(value)));
        }

        #[test]
        fn times_are_exact_in_every_unit(nanos in 100_000_000_000_000_000_i64..) {
            let (secs, below) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            let written = [format!("{secs}.{below:09}"), nanos.to_string()];
            for text in written {
                prop_assert_eq!(unix_time(text.as_bytes()), Some(Timestamp::from_nanos(nanos)), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let (_, _) = (float(&bytes), unix_time(&bytes));
        }
    }

    #[test]
    fn the_size_of_a_time_tells_its_unit() {
        let at = |text: &str| unix_time(text.as_bytes()).map(Timestamp::nanos);
        let nanos = Some(1_700_000_000_123_456_789);
        assert_eq!(at("1700000000.123456789"), nanos);
        assert_eq!(at("1700000000123.456789"), nanos);
        assert_eq!(at("1700000000123456.789"), nanos);
        assert_eq!(at("1700000000123456789"), nanos);
        assert_eq!(at("1.7e9"), Some(1_700_000_000_000_000_000));
        assert_eq!(at("1700000000.1234567891"), nanos, "what is finer than a nanosecond is cut");
        assert_eq!(at("-1.5"), Some(-1_500_000_000));
        assert_eq!((at("0"), at("1.")), (Some(0), Some(1_000_000_000)));
        // Around the change from one unit to the next; the largest of a unit is past the year 2262, and so no time.
        let change = Some(100_000_000_000_000_000);
        assert_eq!((at("9000000000"), at("99999999999")), (Some(9_000_000_000_000_000_000), None));
        assert_eq!((at("100000000000"), at("99999999999999")), (change, None));
        assert_eq!((at("100000000000000"), at("99999999999999999")), (change, None));
        assert_eq!(at("100000000000000000"), change);
        for text in
            ["", "-", ".", "1.2.3", "1e300", "inf", "NaN", "99999999999999999999", "9999999999999999999"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn odd_floats_are_read_and_others_are_not() {
        for (text, value) in [("+Inf", f64::INFINITY), ("-inf", f64::NEG_INFINITY), ("1.", 1.0), (".5", 0.5)]
        {
            assert_eq!(float(text.as_bytes()), Some(value), "{text}");
        }
        assert!(same(float(b"-0"), Some(-0.0)));
        for text in ["", "-", ".", "-.", "1_000", "0x10", "1,5", "--1", "1 "] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
    }
}
