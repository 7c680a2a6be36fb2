//! What a script asks the store for, as it writes it: `s.query(#{ metric: "foo", agg: "mean", window: "5m" })`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, ImmutableString, Map};
use sereno_model::{LabelMatcher, NamePattern, Selector, TimeRange, Timestamp};
use sereno_query::{Across, Reduced, Reducer};

use crate::convert::{Outcome, duration_argument, type_name};
use crate::instance::Labels;
use crate::library::Aggregations;
use crate::lint::suggest;
use crate::reader::range;

/// The keys that both kinds of query take.
const KEYS: [&str; 6] = ["metric", "agg", "window", "offset", "where", "across"];

/// Who asks, which decides what a query may say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker<'a> {
    /// An instance, about series that have its labels.
    Instance { labels: &'a Labels },
    /// A rule, about all; told apart by its labels.
    Whole { by: &'a [String] },
}

impl Asker<'_> {
    fn own_keys(self) -> [&'static str; 2] {
        match self {
            Self::Instance { .. } => ["on", "keep"],
            Self::Whole { .. } => ["by", "keep"],
        }
    }
}

/// The keys of a query: of `s.query`, or of `ctx.query`.
pub(crate) fn keys(of_instance: bool) -> impl Iterator<Item = &'static str> {
    let own = if of_instance {
        Asker::Instance { labels: &Vec::new() }.own_keys()
    } else {
        Asker::Whole { by: &[] }.own_keys()
    };
    KEYS.into_iter().chain(own)
}

/// How series become one answer.
#[derive(Clone, Debug)]
pub(crate) struct How {
    name: String,
    /// Over time.
    pub(crate) reducer: Arc<dyn Reducer>,
    /// Across series.
    pub(crate) across: Option<Across>,
    /// Which of several values is meant.
    value: Option<String>,
}

impl How {
    /// `p95`, or `apdex.score` for one of several values.
    pub(crate) fn named(aggregations: &Aggregations, name: &str, params: Option<Map>) -> Outcome<Self> {
        let (name, value) = match name.rsplit_once('.') {
            Some((first, value)) if !aggregations.has(name) => (first, Some(value.to_owned())),
            _ => (name, None),
        };
        let reducer = aggregations.find(name, params)?;
        Ok(Self { name: name.to_owned(), reducer, across: Across::default_for(name), value })
    }

    /// A name, or `#{ name:, params:, value: }`.
    fn read(aggregations: &Aggregations, agg: &Dynamic) -> Outcome<Self> {
        if let Some(name) = agg.read_lock::<ImmutableString>() {
            return Self::named(aggregations, &name, None);
        }
        let Some(map) = agg.read_lock::<Map>() else {
            return Err(format!("`agg` is the name of an aggregation, not {}", type_name(agg)).into());
        };
        check_keys("agg", &map, ["name", "params", "value"].into_iter())?;
        let params = match map.get("params") {
            None => None,
            Some(params) => match params.clone().try_cast::<Map>() {
                Some(params) => Some(params),
                None => return Err(format!("`params` is a map, not {}", type_name(params)).into()),
            },
        };
        let mut how = Self::named(aggregations, &text(required(&map, "name")?, "name")?, params)?;
        if let Some(value) = map.get("value") {
            how.value = Some(text(value, "value")?);
        }
        Ok(how)
    }

    /// The value that is meant.
    pub(crate) fn pick(&self, reduced: Reduced) -> Outcome<Reduced> {
        let Some(wanted) = &self.value else { return Ok(reduced) };
        let name = &self.name;
        match reduced {
            Reduced::Map(map) => match map.get(wanted) {
                Some(number) => Ok(Reduced::Number(*number)),
                None => {
                    let known: Vec<&str> = map.keys().map(String::as_str).collect();
                    Err(format!("`{name}` has no value `{wanted}`; it has {}", known.join(", ")).into())
                }
            },
            Reduced::None => Ok(Reduced::None),
            Reduced::Number(_) => {
                Err(format!("`{name}` gives one number, so there is no `{name}.{wanted}`").into())
            }
        }
    }

    /// The one number that an answer has to be.
    pub(crate) fn number(&self, reduced: Reduced) -> Outcome<Option<f64>> {
        match self.pick(reduced)? {
            Reduced::None => Ok(None),
            Reduced::Number(number) => Ok(Some(number)),
            Reduced::Map(map) => {
                let (name, first) = (&self.name, map.keys().next().cloned().unwrap_or_default());
                Err(format!(
                    "`{name}` gives several values; name the one that you mean, as in `{name}.{first}`"
                )
                .into())
            }
        }
    }
}

/// A query that has passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) selector: Selector,
    pub(crate) range: TimeRange,
    pub(crate) how: How,
    /// The labels to tell apart, sorted.
    pub(crate) apart: Vec<String>,
}

impl Query {
    pub(crate) fn read(
        map: &Map,
        asker: Asker<'_>,
        aggregations: &Aggregations,
        now: Timestamp,
        window: Duration,
    ) -> Outcome<Self> {
        check_keys("query", map, KEYS.into_iter().chain(asker.own_keys()))?;
        let how = How::read(aggregations, required(map, "agg")?)?;
        let across = map.get("across").map(|across| text(across, "across")).transpose()?;
        let across = match across {
            Some(across) => Some(across.parse::<Across>().map_err(|error| error.to_string())?),
            None => how.across,
        };
        let length = |key: &str| map.get(key).map(|length| duration_argument(key, length)).transpose();
        let range = range(now, length("window")?.unwrap_or(window), length("offset")?.unwrap_or_default());
        let metric = text(required(map, "metric")?, "metric")?;
        let mut matchers = asker.matchers(map)?;
        if let Some(conditions) = map.get("where") {
            read_where(conditions, &mut matchers)?;
        }
        let selector = Selector { name: NamePattern::parse(&metric), matchers };
        Ok(Self { selector, range, how: How { across, ..how }, apart: asker.apart(map)? })
    }
}

impl Asker<'_> {
    /// What the asker itself demands of the labels.
    fn matchers(self, map: &Map) -> Outcome<Vec<(String, LabelMatcher)>> {
        let Self::Instance { labels } = self else { return Ok(Vec::new()) };
        let equal = |(name, value): &(String, String)| (name.clone(), LabelMatcher::Equal(value.clone()));
        let Some(on) = map.get("on") else { return Ok(labels.iter().map(equal).collect()) };
        let find = |name: String| match labels.iter().find(|(label, _)| *label == name) {
            Some(label) => Ok(equal(label)),
            None => {
                let known: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
                let message =
                    format!("`on`: the instance has no label `{name}`, only [{}]", known.join(", "));
                Err(message.into())
            }
        };
        texts(on, "on")?.into_iter().map(find).collect()
    }

    fn apart(self, map: &Map) -> Outcome<Vec<String>> {
        let named = |key: &str| map.get(key).map(|names| texts(names, key)).transpose();
        let mut apart = match self {
            Self::Instance { .. } => Vec::new(),
            Self::Whole { by } => named("by")?.unwrap_or_else(|| by.to_vec()),
        };
        apart.extend(named("keep")?.unwrap_or_default());
        apart.sort_unstable();
        apart.dedup();
        Ok(apart)
    }
}

fn check_keys<'a>(what: &str, map: &Map, known: impl Iterator<Item = &'a str> + Clone) -> Outcome<()> {
    for key in map.keys() {
        if !known.clone().any(|known| known == key) {
            return Err(unknown_key(what, key, known).into());
        }
    }
    Ok(())
}

/// What to say of a key that there is not.
pub(crate) fn unknown_key<'a>(what: &str, key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let advice = match (key, suggest(key, known.clone())) {
        ("else", _) => "write `s.query(…) ?? 0`, or `a.join_or(b, 0)`".to_owned(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        (_, None) => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    };
    format!("a {what} has no `{key}`; {advice}")
}

fn required<'a>(map: &'a Map, key: &str) -> Outcome<&'a Dynamic> {
    map.get(key).ok_or_else(|| format!("a query needs `{key}`").into())
}

fn text(value: &Dynamic, key: &str) -> Outcome<String> {
    match value.read_lock::<ImmutableString>() {
        Some(text) => Ok(text.to_string()),
        None => Err(format!("`{key}` is a text, not {}", type_name(value)).into()),
    }
}

/// A list of texts, or one.
pub(crate) fn texts(value: &Dynamic, key: &str) -> Outcome<Vec<String>> {
    match value.read_lock::<Array>() {
        Some(values) => values.iter().map(|value| text(value, key)).collect(),
        None => Ok(vec![text(value, key)?]),
    }
}

fn read_where(conditions: &Dynamic, matchers: &mut Vec<(String, LabelMatcher)>) -> Outcome<()> {
    let Some(conditions) = conditions.read_lock::<Map>() else {
        let kind = type_name(conditions);
        return Err(format!("`where` is a map such as `#{{ env: \"prod\" }}`, not {kind}").into());
    };
    for (label, condition) in conditions.iter() {
        match condition.read_lock::<Array>() {
            None => matchers.push((label.to_string(), matcher(condition)?)),
            Some(several) => read_several(label, &several, matchers)?,
        }
    }
    Ok(())
}

/// Several conditions on one label, as in rule files: one of the values, and none of the negated ones.
fn read_several(label: &str, several: &[Dynamic], matchers: &mut Vec<(String, LabelMatcher)>) -> Outcome<()> {
    let mut any_of = Vec::new();
    for condition in several {
        match matcher(condition)? {
            LabelMatcher::Equal(value) => any_of.push(regex::escape(&value)),
            LabelMatcher::Regex(regex) => any_of.push(regex.as_str().to_owned()),
            not => matchers.push((label.to_owned(), not)),
        }
    }
    if any_of.is_empty() {
        return match several {
            [] => Err(format!("`where`: `{label}` has no values to choose from").into()),
            _ => Ok(()),
        };
    }
    let any_of = LabelMatcher::regex(&any_of.join("|")).map_err(|error| error.to_string())?;
    matchers.push((label.to_owned(), any_of));
    Ok(())
}

thread_local! {
    /// Compiling a pattern takes longer than a whole call.
    static PATTERNS: RefCell<BTreeMap<String, LabelMatcher>> = const { RefCell::new(BTreeMap::new()) };
}
const PATTERNS_MAX: usize = 256;

fn matcher(condition: &Dynamic) -> Outcome<LabelMatcher> {
    let text = match condition.read_lock::<ImmutableString>() {
        Some(text) => text.to_string(),
        // A label's value is a text, and `code: 500` means the text "500".
        None if condition.is_int() || condition.is_float() || condition.is_bool() => condition.to_string(),
        None => return Err(format!("a condition of `where` is a text, not {}", type_name(condition)).into()),
    };
    if !text.starts_with('~') && !text.starts_with("!~") {
        return LabelMatcher::parse(&text).map_err(|error| error.to_string().into());
    }
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(known) = patterns.get(&text) {
            return Ok(known.clone());
        }
        let matcher = LabelMatcher::parse(&text).map_err(|error| error.to_string())?;
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(text, matcher.clone());
        Ok(matcher)
    })
}
