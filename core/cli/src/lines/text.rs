//! The plain form: a series in its text form, a value and, if it is known, a time: `cpu.load{host="a"} 1.5 1700000000`.
//! Blank lines and lines that begin with `#` say nothing.

use sereno_model::SeriesKey;

use super::{Cache, LineError, Sample, excerpt, number, time};

/// Reads one line, without its end. Blanks (spaces and tabs) separate; those around are ignored, and so is a carriage
/// return at the end.
pub(crate) fn read<T: Copy>(line: &[u8], series: &mut Cache<'_, T>) -> Result<Option<Sample<T>>, LineError> {
    let line = line.trim_ascii();
    if matches!(line.first(), None | Some(b'#')) {
        return Ok(None);
    }
    let (name, rest) = line.split_at(series_len(line));
    let (value, rest) = word(rest);
    let (written_time, rest) = word(rest);
    let key = || Ok(utf8(name)?.parse::<SeriesKey>()?);
    if value.is_empty() {
        // A series that is broken may have taken the value in.
        return Err(key().err().unwrap_or(LineError::NoValue));
    }
    if !rest.is_empty() {
        return Err(LineError::Trailing(excerpt(rest)));
    }
    let value = number::float(value).ok_or_else(|| LineError::Value(excerpt(value)))?;
    let time = if written_time.is_empty() { None } else { Some(time(written_time)?) };
    let series = series.get(name, key)?;
    Ok(Some(Sample { series, time, value }))
}

fn utf8(bytes: &[u8]) -> Result<&str, LineError> {
    std::str::from_utf8(bytes).map_err(|_| LineError::NotUtf8)
}

/// How long the series at the start is: a word, and what stands in braces behind it. Whether it is a series is up to the
/// model; a brace that is never closed takes the whole line, so that the model can say where.
fn series_len(line: &[u8]) -> usize {
    let word = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'{')).unwrap_or(line.len());
    let brace = word + blanks(&line[word..]);
    match line.get(brace) {
        Some(b'{') => brace + braces_len(&line[brace..]),
        _ => word,
    }
}

/// From an opening brace to the closing one that is not in quotes.
fn braces_len(text: &[u8]) -> usize {
    let (mut quoted, mut place) = (false, 1);
    while let Some(byte) = text.get(place) {
        place += 1;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => place += 1,
            b'}' if !quoted => return place,
            _ => {}
        }
    }
    text.len()
}

/// The next word, and what follows the blanks behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = &text[blanks(text)..];
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, &rest[blanks(rest)..])
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sereno_model::Timestamp;

    use super::*;
    use crate::lines::testing::{Keys, told};

    fn line(text: &str) -> String {
        told(|series| read(text.as_bytes(), series))
    }

    #[test]
    fn a_line_is_a_series_a_value_and_perhaps_a_time() {
        assert_eq!(line("foo 5"), "foo = 5");
        assert_eq!(
            line("cpu.load{host=\"a\"} -1.5e3 1700000000.25\r"),
            r#"cpu.load{host="a"} = -1500 at 1700000000.25"#
        );
        assert_eq!(line("  a{x=\"1\"}\t2 \t 2017-07-14T02:40:00Z "), r#"a{x="1"} = 2 at 1500000000"#);
        assert_eq!(line(r#"a { y = "} \" {", x = "b c" } NaN"#), r#"a{x="b c",y="} \" {"} = NaN"#);
        assert_eq!(line(r#"{"odd{name",x="1"}+Inf"#), r#"{"odd{name",x="1"} = inf"#);
        assert_eq!(line("año{día=\"mié\"} 1"), "año{día=\"mié\"} = 1");
        assert_eq!(
            (line(""), line(" \t"), line("# foo 5"), line("\r")),
            ("-".into(), "-".into(), "-".into(), "-".into())
        );
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        insta::assert_snapshot!(
            [
                "foo",
                "foo bar",
                "foo 1 yesterday",
                "foo 1 2 3",
                "foo 1,5",
                "{} 1",
                "foo{a=\"1} 5",
                "foo{a=\"1\",a=\"2\"} 5",
                "foo{a=~\"1\"} 5",
                "foo* 5",
                "foo=5",
                "foo{a} 5",
                "foo 1 99999999999999999999",
                "foo \u{1b}[2J",
                "foo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ]
            .map(line)
            .join("\n"),
            @r#"
            the value is missing
            `bar` is no number
            `yesterday` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`
            `3` is too much: a line is a series, a value and perhaps a time
            `1,5` is no number
            expected a quoted text at character 2 of `{}`
            expected a closing `"` at character 12 of `foo{a="1} 5`
            label `a` is given twice
            `foo{a=~"1"}` selects series; one series is wanted, with `=` only and no `*` or `?`
            `foo*` selects series; one series is wanted, with `=` only and no `*` or `?`
            expected `{` or the end at character 4 of `foo=5`
            expected `=`, `!=`, `=~` or `!~` at character 6 of `foo{a}`
            `99999999999999999999` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`
            `\u{1b}[2J` is no number
            `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is no number
            "#
        );
        assert_eq!(told(|series| read(b"f\xff\xff 1", series)), "it is not UTF-8");
    }

    fn key() -> impl Strategy<Value = SeriesKey> {
        let labels = proptest::collection::btree_map("[^\\p{Cc}]{1,8}", "[^\\p{Cc}]{0,8}", 0..4);
        ("[^\\p{Cc}]{1,20}", labels).prop_map(|(name, labels)| SeriesKey::new(&name, &labels).unwrap())
    }

    proptest! {
        #[test]
        fn every_series_is_read_as_it_is_printed(key in key(), value: f64, nanos: Option<i64>) {
            let time = nanos.map(Timestamp::from_nanos);
            let written = time.map(|time| time.nanos().to_string()).unwrap_or_default();
            prop_assume!(nanos.is_none_or(|nanos| nanos.unsigned_abs() >= 100_000_000_000_000_000));
            let keys = Keys::default();
            let sample = read(format!("{key} {value} {written}").as_bytes(), &mut keys.cache()).unwrap().unwrap();
            prop_assert_eq!(&keys.of(sample.series), &key);
            prop_assert_eq!((sample.value.to_bits(), sample.time), (value.to_bits(), time));
        }

        /// What stands before the value means to the model what it means here, also when it means nothing.
        #[test]
        fn a_series_is_what_the_model_takes_for_one(text in "[a-b{}\"\\\\=~!, *]{1,20}") {
            let keys = Keys::default();
            if let Ok(Some(sample)) = read(format!("{text} 1").as_bytes(), &mut keys.cache()) {
                let end = if sample.time.is_some() { unreachable!("no digits but the value") } else { text.len() };
                prop_assert_eq!(text[..end].parse::<SeriesKey>().unwrap(), keys.of(sample.series));
            } else if !text.trim_ascii().is_empty() {
                prop_assert!(text.parse::<SeriesKey>().is_err(), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            told(|series| read(&bytes, series));
        }

        #[test]
        fn any_near_miss_is_answered(text in "[a{}\"\\\\=, 1.#-]{0,24}") {
            told(|series| read(text.as_bytes(), series));
        }
    }
}
