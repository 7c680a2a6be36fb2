//! Values of keys that several parts read: labels, matchers, parameters.

use std::collections::BTreeMap;

use serde_yaml::Value as Yaml;
use sereno_model::LabelMatcher;
use sereno_runtime::yaml::Step;
use sereno_script::ParamValue;

use super::Compiler;
use crate::rule::{By, Labels};

impl Compiler<'_> {
    pub(super) fn by(&mut self) -> By {
        let path = [Step::Key("by")];
        let hint = "write `by: [host]`, or `by: \"*\"` for one instance per series";
        match &self.written.written.by {
            None => By::Unsaid,
            Some(Yaml::String(all)) if all == "*" => By::Series,
            Some(Yaml::Sequence(items)) => {
                let mut labels: Vec<String> =
                    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
                if labels.len() < items.len() || labels.iter().any(String::is_empty) {
                    self.error(&path, "`by` must be a list of label names", "like `by: [host, mount]`");
                }
                labels.sort();
                if let Some(pair) = labels.windows(2).find(|pair| pair[0] == pair[1]) {
                    let message = format!("`by` names `{}` twice", pair[0]);
                    self.error(&path, message, "remove one of them");
                }
                labels.dedup();
                By::Labels(labels)
            }
            Some(other) => {
                let hint = match other.as_str() {
                    Some(label) => {
                        format!("write `by: [{label}]`, or `by: \"*\"` for one instance per series")
                    }
                    None => hint.to_owned(),
                };
                self.error(&path, "`by` must be a list of label names", hint);
                By::Unsaid
            }
        }
    }

    /// The conditions on one label. The values of a list are alternatives; negated ones must all hold.
    pub(super) fn matchers(&mut self, label: &str, value: &Yaml, path: &[Step<'_>]) -> Vec<LabelMatcher> {
        let items: Vec<(&Yaml, Vec<Step<'_>>)> = match value {
            Yaml::Sequence(items) => {
                let item = |index| [path, &[Step::Index(index)]].concat();
                items.iter().enumerate().map(|(index, value)| (value, item(index))).collect()
            }
            one => vec![(one, path.to_vec())],
        };
        let mut wanted = Vec::new();
        let mut unwanted = Vec::new();
        for (value, item) in &items {
            let Some(text) = self.text_of(value, item) else {
                let hint = "write a value, `\"!value\"`, `\"~regex\"` or `\"!~regex\"`, or a list of them";
                self.error(item, format!("`{label}` must be compared with text or a number"), hint);
                continue;
            };
            match LabelMatcher::parse(&text) {
                Ok(matcher) if text.starts_with('!') => unwanted.push(matcher),
                Ok(_) => wanted.push(text),
                Err(error) => {
                    let why = last_line(&error.source);
                    self.error(item, error.to_string(), why);
                }
            }
        }
        if items.is_empty() {
            let message = format!("`{label}` is compared with an empty list");
            self.error(path, message, "remove it, or name the values");
        }
        if !wanted.is_empty() {
            unwanted.extend(alternatives(&wanted));
        }
        unwanted
    }

    pub(super) fn params(&mut self) -> BTreeMap<String, ParamValue> {
        let params = self.written.written.params.iter().flatten();
        params.map(|(name, value)| (name.clone(), param(value))).collect()
    }

    /// Attributes of notifications.
    pub(super) fn labels(
        &mut self,
        written: Option<&BTreeMap<String, Yaml>>,
        prefix: &[Step<'_>],
        by: &By,
    ) -> Labels {
        let mut labels = Labels::new();
        for (label, value) in written.into_iter().flatten() {
            let path = [prefix, &[Step::Key("labels"), Step::Key(label)]].concat();
            let identity = matches!(by, By::Labels(by) if by.contains(label));
            match self.text_of(value, &path) {
                _ if identity => {
                    let message = format!("`{label}` is a label of the instances already");
                    self.error(&path, message, "give the attribute another name");
                }
                Some(text) => labels.push((label.clone(), text)),
                None => self.error(&path, format!("`{label}` must be text"), "like `labels: { team: db }`"),
            }
        }
        labels
    }

    /// A text as it is written, `1.10` too; not nothing, which would look like a label that is missing.
    pub(super) fn text_of(&self, value: &Yaml, path: &[Step<'_>]) -> Option<String> {
        self.written.text(path).filter(|_| !value.is_null()).map(str::to_owned)
    }

    /// A list of texts, or one alone.
    pub(super) fn texts<'b>(&mut self, key: &'b str, value: &Yaml) -> Vec<(String, Vec<Step<'b>>)> {
        let path = vec![Step::Key(key)];
        let items: Vec<(&Yaml, Vec<Step<'b>>)> = match value {
            Yaml::Sequence(items) => {
                let path = |index| vec![Step::Key(key), Step::Index(index)];
                items.iter().enumerate().map(|(index, item)| (item, path(index))).collect()
            }
            one => vec![(one, path)],
        };
        let mut texts = Vec::new();
        for (item, path) in items {
            match item.as_str() {
                Some(text) => texts.push((text.to_owned(), path)),
                None => self.error(
                    &path,
                    format!("`{key}` must be a list of ids"),
                    format!("like `{key}: [host_down]`"),
                ),
            }
        }
        texts
    }
}

/// One condition for several wanted values: any of them.
fn alternatives(wanted: &[String]) -> Option<LabelMatcher> {
    if let [one] = wanted {
        return LabelMatcher::parse(one).ok();
    }
    let pattern = |text: &String| match text.strip_prefix('~') {
        Some(pattern) => format!("(?:{pattern})"),
        None => regex::escape(text),
    };
    let patterns: Vec<String> = wanted.iter().map(pattern).collect();
    LabelMatcher::regex(&patterns.join("|")).ok()
}

fn last_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

pub(super) fn param(value: &Yaml) -> ParamValue {
    match value {
        Yaml::Null => ParamValue::Null,
        Yaml::Bool(bool) => ParamValue::Bool(*bool),
        Yaml::Number(number) => match number.as_i64() {
            Some(int) => ParamValue::Int(int),
            None => ParamValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Yaml::String(text) => ParamValue::Text(text.clone()),
        Yaml::Sequence(items) => ParamValue::List(items.iter().map(param).collect()),
        Yaml::Mapping(entries) => ParamValue::Map(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), param(value)))
                .collect(),
        ),
        Yaml::Tagged(tagged) => param(&tagged.value),
    }
}
