//! What a rule reads: `metric` and its keys, or `inputs`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_yaml::Value as Yaml;
use sereno_model::{NamePattern, Selector};
use sereno_query::Across;
use sereno_runtime::diagnostic::suggest;
use sereno_runtime::yaml::Step;

use super::values::param;
use super::{Compiler, Kind, SPAN_MAX, WINDOW_DEFAULT};
use crate::expression::RESERVED;
use crate::file::{AggWritten, InputWritten};
use crate::rule::{By, How, Input, Value};

const LOOKBACK_DEFAULT: Duration = Duration::from_secs(86_400);
/// How many inputs a rule may have.
const INPUTS_MAX: usize = 32;
/// The aggregation that is none: seconds since the last sample.
const AGE: &str = "age";
/// What the input of the short form is called.
const SHORT: &str = "v";

/// The name of an aggregation, what it is given, and which of its numbers is meant.
struct Agg {
    name: String,
    params: BTreeMap<String, Yaml>,
    pick: Option<String>,
}

impl<'a> Compiler<'a> {
    /// The inputs, the main one first; `None` where they are broken.
    pub(super) fn inputs(&mut self, kind: Kind, by: &By) -> Option<Vec<Input>> {
        let written = &self.written.written;
        let shared = InputWritten {
            metric: written.metric.clone(),
            r#where: written.r#where.clone(),
            agg: written.agg.clone(),
            across: written.across.clone(),
            window: written.window,
            lookback: written.lookback,
            offset: written.offset,
            r#else: written.r#else,
            keep: written.keep.clone(),
        };
        match &written.inputs {
            _ if kind == Kind::Decide => Some(Vec::new()),
            None if kind == Kind::Lost && shared.metric.is_none() => None,
            None => Some(vec![self.input(SHORT, &shared, &[], kind)?]),
            // Told already, unless they are those of the defaults.
            Some(_) if kind == Kind::Heartbeat && self.written.has_own("inputs") => None,
            Some(_) if kind == Kind::Heartbeat => Some(vec![self.input(SHORT, &shared, &[], kind)?]),
            Some(inputs) => {
                let names: Vec<&'a str> = inputs.keys().filter_map(Yaml::as_str).collect();
                self.several(&names, &shared, kind, by)
            }
        }
    }

    fn several(
        &mut self,
        names: &[&'a str],
        shared: &InputWritten,
        kind: Kind,
        by: &By,
    ) -> Option<Vec<Input>> {
        let path = [Step::Key("inputs")];
        if names.is_empty() || names.len() > INPUTS_MAX {
            let message = format!("a rule has 1 to {INPUTS_MAX} inputs");
            self.error(
                &path,
                message,
                "like `inputs: { err: { metric: errors, agg: increase, window: 5m } }`",
            );
            return None;
        }
        let mut inputs = Vec::new();
        for name in names {
            let path = [path[0], Step::Key(name)];
            if !self.is_name(name, &path) {
                continue;
            }
            let Some(own) = self.read::<InputWritten>(&path) else { continue };
            let all = overlaid(own, shared.clone());
            inputs.extend(self.input(name, &all, &path, kind));
        }
        let one_of_all = matches!(by, By::Unsaid) || *by == By::Labels(Vec::new());
        let broken = inputs.len() < names.len();
        if !broken && !one_of_all && inputs.iter().all(|input| input.otherwise.is_some()) {
            let message = "every input has an `else`, so nothing tells which instances there are";
            self.error(&path, message, "leave out `else` where samples are always expected");
        }
        (!broken).then_some(inputs)
    }

    fn is_name(&mut self, name: &str, path: &[Step<'_>]) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if RESERVED.contains(&name) {
            let error = self.written.key_error(path, format!("an input cannot be called `{name}`"));
            self.found.push(error.hint("the name has a meaning of its own; choose another"));
            return false;
        }
        if !begins || !name.chars().all(plain) {
            let error = self.written.key_error(path, format!("an input cannot be called `{name}`"));
            self.found.push(error.hint("letters, digits and `_`, so that expressions can name it"));
            return false;
        }
        true
    }

    fn input(&mut self, name: &str, of: &InputWritten, prefix: &[Step<'_>], kind: Kind) -> Option<Input> {
        let before = self.found.len();
        let selector = self.selector(of, prefix, kind);
        let value = match (&of.agg, kind) {
            (_, Kind::Heartbeat) => None,
            (Some(agg), _) => self.value(agg, of, prefix),
            (None, Kind::Check | Kind::Lost) => None,
            (None, _) => {
                let hint = "add `agg: …`: `mean`, `max`, `count`, `p95`, …";
                self.missing_of(name, "agg", hint);
                None
            }
        };
        let ages = matches!(&value, Some(Value { how: How::Age, .. }));
        let window = match () {
            () if ages || kind == Kind::Heartbeat => self.lookback(of, prefix, ages),
            () => self.window(name, of, prefix, kind),
        };
        if of.offset.is_some_and(|offset| offset > SPAN_MAX) {
            self.error(&self.place(prefix, "offset"), "`offset` must be at most a year", "like `offset: 7d`");
        }
        if of.r#else.is_some_and(|number| !number.is_finite()) {
            self.error(&self.place(prefix, "else"), "`else` must be a number", "like `else: 0`");
        }
        if self.found[before..].iter().any(sereno_runtime::diagnostic::Diagnostic::is_error) {
            return None;
        }
        Some(Input {
            name: name.into(),
            selector: selector?,
            value,
            window: window?,
            offset: of.offset.unwrap_or_default(),
            otherwise: of.r#else,
            keep: of.keep.clone().unwrap_or_default(),
        })
    }

    fn selector(&mut self, of: &InputWritten, prefix: &[Step<'_>], kind: Kind) -> Option<Selector> {
        let Some(name) = of.metric.as_ref().filter(|name| !name.is_empty()) else {
            let hint = match kind {
                Kind::Check => {
                    "add `metric: …` or `inputs: …`: a script with `check` is asked about their instances"
                }
                _ => "add `metric: …`, the series to read; `*` and `?` stand for any characters",
            };
            match prefix {
                [] => self.missing("metric", hint),
                _ => self.error(prefix, "the input has no `metric`", hint),
            }
            return None;
        };
        let mut matchers = Vec::new();
        for (label, value) in of.r#where.iter().flatten() {
            let own = [prefix, &[Step::Key("where"), Step::Key(label)]].concat();
            let path = match self.written.has(&own) {
                true => own,
                false => vec![Step::Key("where"), Step::Key(label)],
            };
            let conditions = self.matchers(label, value, &path);
            matchers.extend(conditions.into_iter().map(|matcher| (label.clone(), matcher)));
        }
        Some(Selector { name: NamePattern::parse(name), matchers })
    }

    fn window(&mut self, name: &str, of: &InputWritten, prefix: &[Step<'_>], kind: Kind) -> Option<Duration> {
        let place = self.place(prefix, "lookback");
        if of.lookback.is_some() && self.is_own(&place) {
            self.error(
                &place,
                "`lookback` belongs to `agg: age`",
                "how far back other aggregations read is `window`",
            );
        }
        match of.window {
            Some(window) => self.span("window", window, prefix),
            None if matches!(kind, Kind::Check | Kind::Lost) => Some(WINDOW_DEFAULT),
            None => {
                self.missing_of(name, "window", "add `window: …`, how far back the aggregation reads");
                None
            }
        }
    }

    fn lookback(&mut self, of: &InputWritten, prefix: &[Step<'_>], ages: bool) -> Option<Duration> {
        let place = self.place(prefix, "window");
        if ages && of.window.is_some() && self.is_own(&place) {
            let hint = "how far back it looks for the last sample is `lookback`, by itself 24h";
            self.error(&place, "`agg: age` has no `window`", hint);
        }
        self.span("lookback", of.lookback.unwrap_or(LOOKBACK_DEFAULT), prefix)
    }

    fn span(&mut self, key: &'static str, span: Duration, prefix: &[Step<'_>]) -> Option<Duration> {
        if span.is_zero() || span > SPAN_MAX {
            let message = format!("`{key}` must be longer than 0 and at most a year");
            self.error(&self.place(prefix, key), message, "like `15s`, `5m`, `7d`");
            return None;
        }
        Some(span)
    }

    fn value(&mut self, written: &Yaml, of: &InputWritten, prefix: &[Step<'_>]) -> Option<Value> {
        let path = self.place(prefix, "agg");
        let Agg { name, params, pick } = self.agg(written, &path)?;
        let across = match of.across.as_deref().map(str::parse::<Across>) {
            None => Across::default_for(&name),
            Some(Ok(across)) => Some(across),
            Some(Err(error)) => {
                self.error(
                    &self.place(prefix, "across"),
                    error.to_string(),
                    "leave it out for the usual one",
                );
                None
            }
        };
        if name == AGE {
            if !params.is_empty() || pick.is_some() {
                self.error(&path, "`age` takes neither `params` nor `value`", "write `agg: age`");
            }
            return Some(Value { agg: name, how: How::Age, across, pick: None });
        }
        let library = self.around.library;
        let Some(plain) = library.aggregation(&name) else {
            let names: Vec<&str> = library.aggregation_names().chain([AGE]).collect();
            let hint = suggest(&name, "aggregations", names.iter().copied());
            self.error(&path, format!("there is no aggregation `{name}`"), hint);
            return None;
        };
        let reducer = match params.is_empty() {
            true => Some(plain),
            false => {
                let params = params.iter().map(|(name, value)| (name.clone(), param(value))).collect();
                library.aggregation_with(&name, &params)
            }
        };
        let Some(reducer) = reducer else {
            let hint = "remove `params`: only `fn aggregate(w, params)` takes them";
            self.error(&path, format!("the aggregation `{name}` takes no parameters"), hint);
            return None;
        };
        Some(Value { agg: name, how: How::Reducer(reducer), across, pick })
    }

    /// `mean`, `apdex.score`, or `{ name: apdex, params: …, value: score }`.
    fn agg(&mut self, written: &Yaml, path: &[Step<'_>]) -> Option<Agg> {
        match written {
            Yaml::String(name) => Some(self.named_agg(name)),
            Yaml::Mapping(_) => {
                let long: AggWritten = self.read(path)?;
                Some(Agg { name: long.name, params: long.params, pick: long.value })
            }
            _ => {
                let hint = "like `agg: mean`, `agg: apdex.score` or `agg: { name: apdex, params: { satisfied: 0.3 } }`";
                self.error(path, "`agg` must be the name of an aggregation", hint);
                None
            }
        }
    }

    fn named_agg(&self, text: &str) -> Agg {
        let whole = |name: &str| Agg { name: name.to_owned(), params: BTreeMap::new(), pick: None };
        match text.split_once('.') {
            Some((name, pick)) if self.around.library.aggregation(text).is_none() => {
                Agg { pick: Some(pick.to_owned()), ..whole(name) }
            }
            _ => whole(text),
        }
    }

    /// The aggregations that the rule names, whether they exist or not.
    pub(super) fn aggregation_names(&self) -> impl Iterator<Item = String> {
        let written = &self.written.written;
        let of_inputs = written.inputs.iter().flat_map(|inputs| inputs.values());
        let aggs = of_inputs.filter_map(|input| input.get("agg")).chain(&written.agg);
        aggs.filter_map(|agg| match agg {
            Yaml::String(name) => Some(self.named_agg(name).name),
            Yaml::Mapping(long) => long.get("name")?.as_str().map(str::to_owned),
            _ => None,
        })
    }

    /// Where a key of an input stands: at the input, or at the rule.
    pub(super) fn place<'b>(&self, prefix: &[Step<'b>], key: &'b str) -> Vec<Step<'b>> {
        let own = [prefix, &[Step::Key(key)]].concat();
        if self.written.has(&own) { own } else { vec![Step::Key(key)] }
    }

    /// Whether a key stands in the rule, rather than under `defaults`, or at the rule for all of its inputs.
    fn is_own(&self, place: &[Step<'_>]) -> bool {
        let beside_inputs = place.len() == 1 && self.written.written.inputs.is_some();
        self.written.has_own_at(place) && !beside_inputs
    }

    fn missing_of(&mut self, input: &str, key: &str, hint: &str) {
        match input {
            SHORT => self.missing(key, hint),
            _ => self.error(
                &[Step::Key("inputs"), Step::Key(input)],
                format!("the input `{input}` has no `{key}`"),
                hint,
            ),
        }
    }
}

/// What an input does not say itself, the rule says for all. Their conditions on labels are joined.
fn overlaid(own: InputWritten, shared: InputWritten) -> InputWritten {
    let conditions = match (own.r#where, shared.r#where) {
        (Some(own), Some(mut all)) => {
            all.extend(own);
            Some(all)
        }
        (own, shared) => own.or(shared),
    };
    InputWritten {
        metric: own.metric.or(shared.metric),
        r#where: conditions,
        agg: own.agg.or(shared.agg),
        across: own.across.or(shared.across),
        window: own.window.or(shared.window),
        lookback: own.lookback.or(shared.lookback),
        offset: own.offset.or(shared.offset),
        r#else: own.r#else.or(shared.r#else),
        keep: own.keep.or(shared.keep),
    }
}
