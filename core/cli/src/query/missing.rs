//! What to say when there is no value: whether the metric is unknown, its labels are, or the period is empty.

use std::borrow::Cow;

use sereno_client::messages::ListLabels;
use sereno_client::{Client, ClientError};
use sereno_model::Selector;

use crate::console::printable;
use crate::{Exit, Failure};

/// The label that holds the metric's name.
pub(crate) const NAME: &str = "__name__";
/// How many names are looked through for one that is meant.
const NAMES_MAX: u64 = 10_000;
/// How many names are suggested.
const SUGGESTIONS_MAX: usize = 3;
/// How alike two names must be, from 0 to 1.
const LIKENESS_MIN: f64 = 0.6;
/// How alike a name is to a part of it.
const LIKENESS_PART: f64 = 0.75;

/// The failure for an answer without values, when `matched` series match.
pub(crate) async fn explain(
    client: &Client,
    address: &str,
    selector: &str,
    matched: u64,
) -> Result<Failure, ClientError> {
    let shown = printable(selector).into_owned();
    if matched > 0 {
        return Ok(Failure::new(Exit::Negative, format!("`{shown}` has no sample in the period"))
            .hint("widen `--start` and `--end`, or `--last`"));
    }
    let request = ListLabels { label: NAME.into(), limit: NAMES_MAX, ..ListLabels::default() };
    let (names, _) = client.labels(request).await?;
    let names: Vec<String> = names.into_iter().map(|name| name.text).collect();
    Ok(unknown(address, selector, &names))
}

/// The failure when no series matches, among all `names`.
fn unknown(address: &str, selector: &str, names: &[String]) -> Failure {
    let shown = printable(selector);
    let Ok(parsed) = selector.parse::<Selector>() else {
        return Failure::new(Exit::Negative, format!("`{address}` has no series `{shown}`"));
    };
    let name = printable(parsed.name.as_str());
    let no_series = || Failure::new(Exit::Negative, format!("`{address}` has no series `{shown}`"));
    if names.iter().any(|name| parsed.name.matches(name)) {
        return no_series()
            .hint(format!("the labels do not match; `sereno series {}` lists what there is", word(&name)));
    }
    // A name with these characters that is no pattern is quoted.
    if name.contains(['*', '?']) && !selector.starts_with('{') {
        return no_series().hint("`sereno names` lists the metrics");
    }
    let failure = Failure::new(Exit::Negative, format!("`{address}` has no metric `{name}`"));
    let alike = similar(parsed.name.as_str(), names);
    let alike: Vec<String> = alike.into_iter().map(|name| format!("`{}`", printable(name))).collect();
    match alike.as_slice() {
        [] => failure.hint(format!("check its spelling, or send it first: `sereno send {} 1`", word(&shown))),
        [one] => failure.hint(format!("did you mean {one}?")),
        [most @ .., last] => failure.hint(format!("did you mean {} or {last}?", most.join(", "))),
    }
}

/// A text as a shell takes it for one word.
fn word(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-');
    if text.chars().all(harmless) { Cow::Borrowed(text) } else { Cow::Owned(format!("'{text}'")) }
}

/// Those of `names` that may be meant, the likeliest first.
fn similar<'a>(wanted: &str, names: &'a [String]) -> Vec<&'a str> {
    let lower = wanted.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        let part = if name.contains(&lower) || lower.contains(&name) { LIKENESS_PART } else { 0.0 };
        strsim::normalized_damerau_levenshtein(&lower, &name).max(part)
    };
    let mut alike: Vec<(f64, &str)> = names.iter().map(|name| (likeness(name), name.as_str())).collect();
    alike.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    // Stable, so that equals stay in the order of their names.
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_told_with_the_next_thing_to_do() {
        let names = ["cpu.load", "cpu.loads", "host.cpu.usage", "foo"].map(str::to_owned);
        let told = |selector: &str| unknown("SERVER", selector, &names).to_string();
        insta::assert_snapshot!(
            ["cpu.laod", "usage", "zzz", "nope*", r#"foo{host="a"}"#, r#"{"odd{name"}"#].map(told).join("\n"), @r#"
        error: `SERVER` has no metric `cpu.laod`
          hint:  did you mean `cpu.load` or `cpu.loads`?
        error: `SERVER` has no metric `usage`
          hint:  did you mean `host.cpu.usage`?
        error: `SERVER` has no metric `zzz`
          hint:  check its spelling, or send it first: `sereno send zzz 1`
        error: `SERVER` has no series `nope*`
          hint:  `sereno names` lists the metrics
        error: `SERVER` has no series `foo{host="a"}`
          hint:  the labels do not match; `sereno series foo` lists what there is
        error: `SERVER` has no metric `odd{name`
          hint:  check its spelling, or send it first: `sereno send '{"odd{name"}' 1`
        "#);
    }
}
