//! What requests say about series, periods and names, read and checked.

use sereno_model::{LabelMatcher, NamePattern, Selector, TimeRange, Timestamp};
use sereno_protocol::v2::messages::{Error, Matcher, MatcherKind};

use super::errors;

/// A selector from its text form, or in pieces; `None` where nothing is said.
pub(super) fn selector(text: &str, metric: &str, matchers: &[Matcher]) -> Result<Option<Selector>, Error> {
    let in_pieces = !metric.is_empty() || !matchers.is_empty();
    match (text.is_empty(), in_pieces) {
        (true, false) => Ok(None),
        (false, true) => Err(errors::invalid(
            "the series are selected both by a text and in pieces",
            "send `selector`, or `metric` and `matchers`",
        )),
        (false, false) => text.parse().map(Some).map_err(|mistake| errors::of_text(text, &mistake)),
        (true, true) => {
            let name = NamePattern::parse(if metric.is_empty() { "*" } else { metric });
            Ok(Some(Selector { name, matchers: label_matchers(matchers)? }))
        }
    }
}

/// The selector of a request that lists: everything, if it says nothing.
pub(super) fn selector_or_all(text: &str) -> Result<Selector, Error> {
    let all = || Selector { name: NamePattern::parse("*"), matchers: Vec::new() };
    Ok(selector(text, "", &[])?.unwrap_or_else(all))
}

/// Conditions on labels.
pub(super) fn label_matchers(matchers: &[Matcher]) -> Result<Vec<(String, LabelMatcher)>, Error> {
    matchers.iter().map(label_matcher).collect()
}

fn label_matcher(matcher: &Matcher) -> Result<(String, LabelMatcher), Error> {
    if matcher.label.is_empty() {
        return Err(errors::invalid("a matcher names no label", ""));
    }
    let value = matcher.value.clone();
    // A kind of a later version must not be taken for another one.
    let unknown = |_| errors::invalid(format!("a matcher of kind {} is not known", matcher.kind), "");
    let read = match MatcherKind::try_from(matcher.kind).map_err(unknown)? {
        MatcherKind::Unspecified => Ok(LabelMatcher::Equal(value)),
        MatcherKind::NotEqual => Ok(LabelMatcher::NotEqual(value)),
        MatcherKind::Regex => LabelMatcher::regex(&value),
        MatcherKind::NotRegex => LabelMatcher::not_regex(&value),
    };
    let told = |mistake| errors::invalid(errors::of_pattern(&mistake), "");
    Ok((matcher.label.clone(), read.map_err(told)?))
}

/// A period, unbounded where nothing is said.
pub(super) fn period(start: Option<i64>, end: Option<i64>) -> Result<TimeRange, Error> {
    let range = TimeRange::new(
        start.map_or(Timestamp::MIN, Timestamp::from_nanos),
        end.map_or(Timestamp::MAX, Timestamp::from_nanos),
    );
    match range.start <= range.end {
        true => Ok(range),
        false => Err(errors::invalid("the period ends before it starts", "swap `start` and `end`")),
    }
}

/// Names by id or glob; empty: all.
pub(super) struct Globs(Vec<NamePattern>);

impl Globs {
    pub(super) fn new(globs: &[String]) -> Self {
        Self(globs.iter().map(|glob| NamePattern::parse(glob)).collect())
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|glob| glob.matches(name))
    }

    /// Those that name one thing and no pattern.
    pub(super) fn exact(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|glob| match glob {
            NamePattern::Exact(name) => Some(&**name),
            NamePattern::Glob { .. } => None,
        })
    }
}
