//! The text form of series and selectors, `name{label="v"}`: one grammar, read and printed everywhere.
//!
//! ```text
//! selector := name [ "{" [ item { "," item } [","] ] "}" ]  |  "{" quoted { "," item } "}"
//! item     := label ( "=" | "!=" | "=~" | "!~" ) quoted
//! ```
//! A name made of letters, digits and `_ . : / - * ?` stands bare; any other is quoted as the first thing inside the
//! braces. Quoted text escapes `"` and `\` with `\`.

use std::fmt;

use crate::matcher::{LabelMatcher, MatchError, NamePattern, Selector};
use crate::series::{KeyError, SeriesKey};

/// Why a text is not a series or a selector.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TextError {
    /// The grammar is broken at a place.
    #[error("expected {expected} at character {column} of `{text}`")]
    Syntax {
        /// What should stand there.
        expected: &'static str,
        /// Where, counted in characters from 1.
        column: usize,
        /// The whole text.
        text: String,
    },
    /// A selector stands where one series is meant.
    #[error("`{text}` selects series; one series is wanted, with `=` only and no `*` or `?`")]
    NotOneSeries {
        /// The whole text.
        text: String,
    },
    /// The names in it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A regular expression in it does not compile.
    #[error(transparent)]
    Match(#[from] MatchError),
}

/// Prints a series; the inverse of [`parse_series`].
pub(crate) fn write_series<'a>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    // A series named with glob characters is quoted, so that reading it back as a selector means itself.
    let bare = is_bare(name) && !name.contains(['*', '?']);
    let mut separator = if bare {
        f.write_str(name)?;
        "{"
    } else {
        f.write_str("{")?;
        write_quoted(f, name)?;
        ","
    };
    for (label, value) in labels {
        f.write_str(separator)?;
        if is_bare(label) {
            f.write_str(label)?
        } else {
            write_quoted(f, label)?
        }
        f.write_str("=")?;
        write_quoted(f, value)?;
        separator = ",";
    }
    if bare && separator == "{" { Ok(()) } else { f.write_str("}") }
}

pub(crate) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

pub(crate) fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_bare_char)
}

fn is_bare_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-' | '*' | '?')
}

/// Reads one series.
pub(crate) fn parse_series(text: &str) -> Result<SeriesKey, TextError> {
    let parsed = Parser { text, rest: text }.selector()?;
    let not_one = || TextError::NotOneSeries { text: text.to_owned() };
    if parsed.items.iter().any(|item| item.op != Op::Equal)
        || (!parsed.quoted && parsed.name.contains(['*', '?']))
    {
        return Err(not_one());
    }
    Ok(SeriesKey::new(&parsed.name, parsed.items.iter().map(|item| (&item.label, &item.value)))?)
}

/// Reads a selector.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, TextError> {
    let parsed = Parser { text, rest: text }.selector()?;
    let name = match parsed.quoted {
        true => NamePattern::Exact(parsed.name.into()),
        false => NamePattern::parse(&parsed.name),
    };
    let matchers = parsed.items.into_iter().map(|item| match item.op {
        Op::Equal => Ok((item.label, LabelMatcher::Equal(item.value))),
        Op::NotEqual => Ok((item.label, LabelMatcher::NotEqual(item.value))),
        Op::Regex => Ok((item.label, LabelMatcher::regex(&item.value)?)),
        Op::NotRegex => Ok((item.label, LabelMatcher::not_regex(&item.value)?)),
    });
    Ok(Selector { name, matchers: matchers.collect::<Result<_, MatchError>>()? })
}

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

struct Item {
    label: String,
    op: Op,
    value: String,
}

struct Parsed {
    name: String,
    quoted: bool,
    items: Vec<Item>,
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn selector(&mut self) -> Result<Parsed, TextError> {
        let bare = self.bare();
        if !self.eat("{") {
            self.expect(!bare.is_empty(), "a metric name")?;
            self.expect(self.rest.trim().is_empty(), "`{` or the end")?;
            return Ok(Parsed { name: bare, quoted: false, items: Vec::new() });
        }
        let quoted = bare.is_empty();
        let name = if quoted { self.quoted()? } else { bare };
        let mut more = !quoted || self.eat(",");
        let mut items = Vec::new();
        while !self.eat("}") {
            self.expect(more, "`,` or `}`")?;
            items.push(self.item()?);
            more = self.eat(",");
        }
        self.expect(self.rest.trim().is_empty(), "the end")?;
        Ok(Parsed { name, quoted, items })
    }

    fn item(&mut self) -> Result<Item, TextError> {
        self.skip_space();
        let label = if self.rest.starts_with('"') { self.quoted()? } else { self.bare() };
        self.expect(!label.is_empty(), "a label name")?;
        let ops = [("=~", Op::Regex), ("!~", Op::NotRegex), ("!=", Op::NotEqual), ("=", Op::Equal)];
        let op = ops.into_iter().find(|(text, _)| self.eat(text)).map(|(_, op)| op);
        let Some(op) = op else { return self.fail("`=`, `!=`, `=~` or `!~`") };
        Ok(Item { label, op, value: self.quoted()? })
    }

    fn bare(&mut self) -> String {
        self.skip_space();
        let end = self.rest.find(|c| !is_bare_char(c)).unwrap_or(self.rest.len());
        let (bare, rest) = self.rest.split_at(end);
        self.rest = rest;
        bare.to_owned()
    }

    fn quoted(&mut self) -> Result<String, TextError> {
        if !self.eat("\"") {
            return self.fail("a quoted text");
        }
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => {
                    self.rest = chars.as_str();
                    return Ok(out);
                }
                Some('\\') => match chars.next() {
                    Some(c @ ('"' | '\\')) => out.push(c),
                    // Anything else keeps its backslash, so that `\d` reads as itself in a regular expression.
                    Some(c) => out.extend(['\\', c]),
                    None => break,
                },
                Some(c) => out.push(c),
                None => break,
            }
        }
        self.rest = "";
        self.fail("a closing `\"`")
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&self, holds: bool, expected: &'static str) -> Result<(), TextError> {
        if holds { Ok(()) } else { self.fail(expected) }
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, TextError> {
        let read = self.text.len() - self.rest.len();
        let column = self.text[..read].chars().count() + 1;
        Err(TextError::Syntax { expected, column, text: self.text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            name in "[^\\p{Cc}]{1,20}",
            labels in proptest::collection::btree_map("[^\\p{Cc}]{1,8}", "[^\\p{Cc}]{0,8}", 0..4),
        ) {
            let key = SeriesKey::new(&name, &labels).unwrap();
            prop_assert_eq!(key.to_string().parse::<SeriesKey>().unwrap(), key.clone());
            let selector = key.to_string().parse::<Selector>().unwrap();
            prop_assert!(selector.matches(&key));
        }

        #[test]
        fn any_text_is_answered_without_panic(text in ".{0,40}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert!(selector.to_string().parse::<Selector>().is_ok());
            }
        }
    }

    #[test]
    fn a_broken_text_says_where() {
        let error = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        assert_eq!(error(""), "expected a metric name at character 1 of ``");
        assert_eq!(error("cpu{host}"), "expected `=`, `!=`, `=~` or `!~` at character 9 of `cpu{host}`");
        assert_eq!(
            error(r#"cpu{a="1" b="2"}"#),
            r#"expected `,` or `}` at character 11 of `cpu{a="1" b="2"}`"#
        );
        assert_eq!(error(r#"cpu{a="1"#), r#"expected a closing `"` at character 9 of `cpu{a="1`"#);
        assert!(matches!(r#"cpu{a!="1"}"#.parse::<SeriesKey>(), Err(TextError::NotOneSeries { .. })));
    }
}
