//! Keys and selectors for property tests: few names and values, so that they meet.

use std::ops::Range;

use proptest::prelude::*;
use sereno_model::{LabelMatcher, NamePattern, Selector, SeriesKey};

const NAMES: &[&str] = &["a", "ab", "a!", "http.requests", "http.errors", "héron"];
const LABELS: &[&str] = &["env", "en", "host", "h"];
const VALUES: &[&str] = &["prod", "prod-2", "dev", "p", "é", "host-1", "host-12", "host-2", "pr\u{10ffff}"];
const PATTERNS: &[&str] = &[
    "prod",
    "p.*",
    "pr?.*",
    "prod|dev",
    "prod|",
    ".*",
    ".+",
    "",
    "host-1.*",
    "host-[12]",
    "x|y",
    "(?i)PROD",
    ".",
    "host-1+2?",
    "é.*|p",
    "[^p].*",
];

/// One key.
pub(crate) fn key() -> impl Strategy<Value = SeriesKey> {
    let label = prop::option::weighted(0.6, prop::sample::select(VALUES));
    (prop::sample::select(NAMES), prop::collection::vec(label, LABELS.len())).prop_map(|(name, values)| {
        let labels = LABELS.iter().zip(values).filter_map(|(label, value)| Some((*label, value?)));
        SeriesKey::new(name, labels).unwrap()
    })
}

/// Keys in their order, each once.
pub(crate) fn keys(count: Range<usize>) -> impl Strategy<Value = Vec<SeriesKey>> {
    prop::collection::btree_set(key(), count).prop_map(|keys| keys.into_iter().collect())
}

/// A selector with all kinds of conditions.
pub(crate) fn selector() -> impl Strategy<Value = Selector> {
    let exact = prop::sample::select(NAMES).prop_map(|name| NamePattern::Exact(name.into()));
    let glob = prop::sample::select(&["*", "a*", "http.*", "?", "*r*", "x*", "h?ron"][..]);
    let name = prop_oneof![exact, glob.prop_map(NamePattern::parse)];
    let label = prop_oneof![9 => prop::sample::select(LABELS), 1 => prop::sample::select(&["", "none"][..])];
    (name, prop::collection::vec((label.prop_map(str::to_owned), matcher()), 0..4))
        .prop_map(|(name, matchers)| Selector { name, matchers })
}

fn matcher() -> impl Strategy<Value = LabelMatcher> {
    let value = || prop_oneof![5 => prop::sample::select(VALUES), 1 => Just("")].prop_map(str::to_owned);
    let pattern = || prop::sample::select(PATTERNS);
    prop_oneof![
        value().prop_map(LabelMatcher::Equal),
        value().prop_map(LabelMatcher::NotEqual),
        pattern().prop_map(|text| LabelMatcher::regex(text).unwrap()),
        pattern().prop_map(|text| LabelMatcher::not_regex(text).unwrap()),
    ]
}
