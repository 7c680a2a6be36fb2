//! Which series are meant: a pattern for the name and conditions on labels.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::series::SeriesKey;
use crate::text;

/// The part of a selector that looks at the metric name.
#[derive(Clone, Debug)]
pub enum NamePattern {
    /// This name alone.
    Exact(Arc<str>),
    /// A glob: `*` stands for any run of characters, `?` for one.
    Glob {
        /// As it was written.
        pattern: Arc<str>,
        /// What it means.
        regex: Regex,
    },
}

impl NamePattern {
    /// A glob if the text holds `*` or `?`, else that exact name.
    #[must_use]
    pub fn parse(pattern: &str) -> Self {
        let exact = Self::Exact(pattern.into());
        if !pattern.contains(['*', '?']) {
            return exact;
        }
        let escaped = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
        // An escaped text with `.*` always compiles; only an absurd length could exceed the size limit.
        Regex::new(&format!("^(?s:{escaped})$"))
            .map_or(exact, |regex| Self::Glob { pattern: pattern.into(), regex })
    }

    /// Whether a metric name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Glob { regex, .. } => regex.is_match(name),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Glob { pattern: text, .. } => text,
        }
    }
}

/// A condition on the value of one label. A series without the label has the value "".
#[derive(Clone, Debug)]
pub enum LabelMatcher {
    /// The value is this one.
    Equal(String),
    /// The value is another one, or missing.
    NotEqual(String),
    /// The whole value matches.
    Regex(Regex),
    /// The whole value does not match, or is missing and "" does not match.
    NotRegex(Regex),
}

impl LabelMatcher {
    /// The whole value matches `pattern`.
    ///
    /// # Errors
    /// [`MatchError`] if the pattern does not compile.
    pub fn regex(pattern: &str) -> Result<Self, MatchError> {
        anchored(pattern).map(Self::Regex)
    }

    /// The whole value does not match `pattern`.
    ///
    /// # Errors
    /// [`MatchError`] if the pattern does not compile.
    pub fn not_regex(pattern: &str) -> Result<Self, MatchError> {
        anchored(pattern).map(Self::NotRegex)
    }

    /// The form of rule files: `v`, `!v`, `~regex`, `!~regex`.
    ///
    /// # Errors
    /// [`MatchError`] if a pattern does not compile.
    pub fn parse(text: &str) -> Result<Self, MatchError> {
        match text.strip_prefix("!~") {
            Some(pattern) => Self::not_regex(pattern),
            None => match (text.strip_prefix('!'), text.strip_prefix('~')) {
                (Some(value), _) => Ok(Self::NotEqual(value.to_owned())),
                (_, Some(pattern)) => Self::regex(pattern),
                _ => Ok(Self::Equal(text.to_owned())),
            },
        }
    }

    /// Whether a value ("" when missing) is meant.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(unwanted) => value != unwanted,
            Self::Regex(regex) => regex.is_match(value),
            Self::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

fn anchored(pattern: &str) -> Result<Regex, MatchError> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|source| MatchError { pattern: pattern.to_owned(), source: Box::new(source) })
}

/// A regular expression that does not compile.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{pattern}` is not a regular expression")]
pub struct MatchError {
    /// As it was written.
    pub pattern: String,
    /// What the compiler says.
    pub source: Box<regex::Error>,
}

/// Which series are meant. Text form: `cpu.*{env="prod",host!~"test.*"}`.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The condition on the name.
    pub name: NamePattern,
    /// Conditions on labels; all must hold.
    pub matchers: Vec<(String, LabelMatcher)>,
}

impl Selector {
    /// Every series of one name, whatever its labels.
    #[must_use]
    pub fn exact(name: &str) -> Self {
        Self { name: NamePattern::Exact(name.into()), matchers: Vec::new() }
    }

    /// Whether a series is meant.
    #[must_use]
    pub fn matches(&self, key: &SeriesKey) -> bool {
        self.name.matches(key.name()) && self.matches_labels(key)
    }

    /// Whether a series whose name is known to match is meant.
    #[must_use]
    pub fn matches_labels(&self, key: &SeriesKey) -> bool {
        self.matchers.iter().all(|(label, matcher)| matcher.matches(key.label(label)))
    }
}

impl std::str::FromStr for Selector {
    type Err = text::TextError;

    /// Reads the text form.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text::parse_selector(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_str();
        let exact_glob = matches!(&self.name, NamePattern::Exact(name) if name.contains(['*', '?']));
        let bare = text::is_bare(name) && !exact_glob;
        if bare {
            f.write_str(name)?;
        }
        if bare && self.matchers.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        if !bare {
            text::write_quoted(f, name)?;
        }
        for (i, (label, matcher)) in self.matchers.iter().enumerate() {
            if i > 0 || !bare {
                f.write_str(",")?;
            }
            if text::is_bare(label) {
                f.write_str(label)?
            } else {
                text::write_quoted(f, label)?
            }
            let (op, value) = match matcher {
                LabelMatcher::Equal(value) => ("=", value.as_str()),
                LabelMatcher::NotEqual(value) => ("!=", value.as_str()),
                LabelMatcher::Regex(regex) => ("=~", unanchored(regex)),
                LabelMatcher::NotRegex(regex) => ("!~", unanchored(regex)),
            };
            f.write_str(op)?;
            text::write_quoted(f, value)?;
        }
        f.write_str("}")
    }
}

fn unanchored(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_globs_decide() {
        let key = SeriesKey::new("http.requests", [("code", "503"), ("env", "prod")]).unwrap();
        let matches = |text: &str| text.parse::<Selector>().unwrap().matches(&key);
        assert!(matches("http.requests"));
        assert!(matches("http.*"));
        assert!(matches(r#"http.request?{code=~"5..", env!="dev", rack!="r1"}"#));
        assert!(matches(r#"{"http.requests", code!~"4.."}"#));
        assert!(!matches("http.request"), "a name matches as a whole");
        assert!(!matches(r#"http.requests{code=~"5"}"#), "a regular expression matches the whole value");
        assert!(!matches(r#"{"http.*"}"#), "a quoted name is exact");
    }

    #[test]
    fn rule_files_write_matchers_with_a_prefix() {
        let matches = |text: &str, value: &str| LabelMatcher::parse(text).unwrap().matches(value);
        assert!(matches("prod", "prod") && !matches("prod", ""));
        assert!(matches("!prod", "dev") && matches("!prod", "") && !matches("!prod", "prod"));
        assert!(matches("~5..", "503") && !matches("~5..", "5031"));
        assert!(matches("!~5..", "404") && !matches("!~5..", "500"));
        assert!(LabelMatcher::parse("~(").is_err());
    }
}
