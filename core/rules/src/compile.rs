//! From what is written to what can run: every check that can be made before the rule is needed is made here, and
//! every finding says where it stands and what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_yaml::Value as Yaml;
use sereno_model::{LabelMatcher, Level, NamePattern, Selector};
use sereno_query::Across;
use sereno_runtime::diagnostic::{Diagnostic, suggest};
use sereno_runtime::units;
use sereno_runtime::yaml::Step;
use sereno_script::{Library, ParamValue};

use crate::file::{Located, Mode};
use crate::rule::{By, Condition, Rule, Value};
use crate::state::Worse;
use crate::template::{Name, Template, TemplateError};

/// The shortest time between two ticks.
const EVERY_MIN: Duration = Duration::from_millis(250);
/// The time between two ticks of a rule that does not say; the short form ticks once per window.
const EVERY_DEFAULT: Duration = Duration::from_secs(15);
const REMINDER_DEFAULT: Duration = Duration::from_secs(60);
const WINDOW_DEFAULT: Duration = Duration::from_secs(60);

/// Checks a rule. The findings of a good one are warnings.
pub(crate) fn compile(written: &Located, library: &Library, found: &mut Vec<Diagnostic>) -> Option<Rule> {
    let mut compiler = Compiler { written, library, found: Vec::new() };
    let rule = compiler.rule();
    let good = !compiler.found.iter().any(Diagnostic::is_error);
    found.append(&mut compiler.found);
    rule.filter(|_| good)
}

struct Compiler<'a> {
    written: &'a Located,
    library: &'a Library,
    found: Vec<Diagnostic>,
}

impl Compiler<'_> {
    /// Goes on after a mistake, to find the others too.
    fn rule(&mut self) -> Option<Rule> {
        let written = &self.written.written;
        let id = self.id();
        let selector = self.selector();
        let by = self.by();
        let window = self.positive("window", written.window);
        let every = self.every(window);
        let condition = self.condition(window.is_some());
        let message = self.message(&by);
        if written.reminder.is_some_and(|reminder| !reminder.is_zero() && reminder < EVERY_MIN) {
            self.error("reminder", "`reminder` is too short", "give at least 250ms, or 0 for never");
        }
        Some(Rule {
            id: id?.into(),
            path: self.written.path().to_owned(),
            line: self.written.line(),
            selector: selector?,
            by,
            window: window.unwrap_or(WINDOW_DEFAULT),
            every,
            condition: condition?,
            message,
            reminder: written.reminder.unwrap_or(REMINDER_DEFAULT),
            live: written.mode != Some(Mode::Off),
        })
    }

    fn id(&mut self) -> Option<String> {
        let id = self.written.written.id.clone();
        let Some(id) = id else {
            self.missing("id", "add `id: …`, the name under which its alerts are known");
            return None;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
            let hint = "1 to 100 of the letters a-z, A-Z, digits, `_`, `.` and `-`";
            self.error("id", format!("`{id}` cannot be an id"), hint);
            return None;
        }
        Some(id)
    }

    fn selector(&mut self) -> Option<Selector> {
        let name = match self.written.written.metric.clone() {
            Some(name) if !name.is_empty() => name,
            _ => {
                self.missing(
                    "metric",
                    "add `metric: …`, the series to read; `*` and `?` stand for any characters",
                );
                return None;
            }
        };
        let mut matchers = Vec::new();
        for label in self.written.written.r#where.iter().flat_map(BTreeMap::keys) {
            matchers.extend(self.matchers(label).into_iter().map(|matcher| (label.clone(), matcher)));
        }
        Some(Selector { name: NamePattern::parse(&name), matchers })
    }

    /// The conditions on one label. The values of a list are alternatives; negated ones must all hold.
    fn matchers(&mut self, label: &str) -> Vec<LabelMatcher> {
        let path = [Step::Key("where"), Step::Key(label)];
        let items = match self.written.written.r#where.as_ref().and_then(|labels| labels.get(label)) {
            Some(Yaml::Sequence(items)) => {
                (0..items.len()).map(|index| [&path[..], &[Step::Index(index)]].concat()).collect()
            }
            _ => vec![path.to_vec()],
        };
        let mut wanted = Vec::new();
        let mut unwanted = Vec::new();
        for item in &items {
            let Some(text) = self.written.text(item) else {
                let error =
                    self.written.error(item, format!("`{label}` must be compared with text or a number"));
                self.found.push(
                    error.hint(
                        "write a value, `\"!value\"`, `\"~regex\"` or `\"!~regex\"`, or a list of them",
                    ),
                );
                continue;
            };
            match LabelMatcher::parse(text) {
                Ok(matcher) if text.starts_with('!') => unwanted.push(matcher),
                Ok(_) => wanted.push(text.to_owned()),
                Err(error) => {
                    let why = last_line(&error.source);
                    self.found.push(self.written.error(item, error.to_string()).hint(why));
                }
            }
        }
        match (wanted.as_slice(), items.len()) {
            ([], 0) => {
                let error = self.written.error(&path, format!("`{label}` is compared with an empty list"));
                self.found.push(error.hint("remove it, or name the values"));
            }
            ([], _) => {}
            _ => unwanted.extend(alternatives(&wanted)),
        }
        unwanted
    }

    fn by(&mut self) -> By {
        match &self.written.written.by {
            None => By::Unsaid,
            Some(Yaml::String(all)) if all == "*" => By::Series,
            Some(Yaml::Sequence(items)) => {
                let labels: Vec<String> =
                    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
                if labels.len() < items.len() {
                    self.error("by", "`by` must be a list of label names", "like `by: [host, mount]`");
                }
                let mut sorted = labels;
                sorted.sort();
                sorted.dedup();
                By::Labels(sorted)
            }
            Some(other) => {
                let hint = match other.as_str() {
                    Some(label) => {
                        format!("write `by: [{label}]`, or `by: \"*\"` for one instance per series")
                    }
                    None => "write `by: [host]`, or `by: \"*\"` for one instance per series".to_owned(),
                };
                self.error("by", "`by` must be a list of label names", hint);
                By::Unsaid
            }
        }
    }

    fn every(&mut self, window: Option<Duration>) -> Duration {
        let short_form = self.written.written.script.is_none();
        let every = match self.positive("every", self.written.written.every) {
            Some(every) => every,
            None if short_form => window.unwrap_or(EVERY_DEFAULT),
            None => EVERY_DEFAULT,
        };
        if every < EVERY_MIN {
            let key = if self.written.written.every.is_some() { "every" } else { "window" };
            let message = format!("{} between two ticks is too short", units::format_duration(every));
            self.error(key, message, "give `every` at least 250ms");
        }
        every
    }

    fn positive(&mut self, key: &str, duration: Option<Duration>) -> Option<Duration> {
        let longest = Duration::from_secs(366 * 86_400);
        match duration {
            Some(duration) if duration.is_zero() || duration > longest => {
                self.error(
                    key,
                    format!("`{key}` must be longer than 0 and at most a year"),
                    "like `15s`, `5m`, `7d`",
                );
                None
            }
            duration => duration,
        }
    }

    fn condition(&mut self, has_window: bool) -> Option<Condition> {
        match self.written.written.script.clone() {
            Some(script) => self.script(&script),
            None => self.threshold(has_window),
        }
    }

    fn threshold(&mut self, has_window: bool) -> Option<Condition> {
        let written = &self.written.written;
        let limit = match (&written.limit, &written.below) {
            (Some(_), None) => self.limit("limit").map(|limit| (limit, Worse::Higher)),
            (None, Some(_)) => self.limit("below").map(|limit| (limit, Worse::Lower)),
            (Some(_), Some(_)) => {
                self.error(
                    "below",
                    "a rule has either `limit` or `below`",
                    "write two rules, one for each side",
                );
                None
            }
            (None, None) => {
                let hint = "add `limit: …` (fires at or over it), `below: …` (fires under it), or a `script`";
                self.missing("limit", hint);
                None
            }
        };
        if written.params.is_some() {
            self.error("params", "`params` belong to a `script`, and the rule has none", "remove them");
        }
        if !has_window && written.window.is_none() {
            self.missing("window", "add `window: …`, how far back the aggregation reads");
        }
        if written.agg.is_none() {
            self.missing("agg", "add `agg: …`: `mean`, `max`, `count`, `p95`, …");
        }
        let value = self.value();
        let level = self.level();
        let otherwise = written.r#else;
        let (limit, worse) = limit?;
        Some(Condition::Threshold { value: value?, limit, worse, level, otherwise })
    }

    fn script(&mut self, name: &str) -> Option<Condition> {
        let written = &self.written.written;
        for (key, present) in [
            ("limit", written.limit.is_some()),
            ("below", written.below.is_some()),
            ("level", written.level.is_some()),
            ("else", written.r#else.is_some()),
        ] {
            if present {
                self.error(
                    key,
                    format!("with a `script`, `{key}` is for the script to say"),
                    "pass it in `params`",
                );
            }
        }
        let params = self.params();
        let value = self.value();
        let Some(script) = self.library.rule(name) else {
            let names: Vec<&str> = self.library.rule_names().collect();
            let hint = suggest(name, "scripts below `scripts/rules`", names.iter().copied());
            self.error("script", format!("there is no rule script `{name}`"), hint);
            return None;
        };
        let crc32 = self.library.crc32(&format!("rules/{name}")).unwrap_or_default();
        Some(Condition::Script { script, name: name.to_owned(), crc32, params, value })
    }

    fn value(&mut self) -> Option<Value> {
        let agg = self.written.written.agg.clone()?;
        let across = match self.written.written.across.as_deref().map(str::parse::<Across>) {
            None => Across::default_for(&agg),
            Some(Ok(across)) => Some(across),
            Some(Err(error)) => {
                self.error("across", error.to_string(), "leave it out for the usual one");
                None
            }
        };
        let Some(reducer) = self.library.aggregation(&agg) else {
            let names: Vec<&str> = self.library.aggregation_names().collect();
            let hint = suggest(&agg, "aggregations", names.iter().copied());
            self.error("agg", format!("there is no aggregation `{agg}`"), hint);
            return None;
        };
        Some(Value { agg, reducer, across })
    }

    fn level(&mut self) -> Level {
        match self.written.written.level.as_deref().map(str::parse::<Level>) {
            None => Level::Crit,
            Some(Ok(level)) => level,
            Some(Err(error)) => {
                self.error("level", error.to_string(), "leave it out for `crit`");
                Level::Crit
            }
        }
    }

    fn limit(&mut self, key: &str) -> Option<f64> {
        let text = self.written.text(&[Step::Key(key)]).unwrap_or_default().to_owned();
        match read_limit(&text) {
            Ok(limit) => Some(limit),
            Err(hint) => {
                self.error(key, format!("`{key}` must be a number, a duration or a size"), hint);
                None
            }
        }
    }

    fn params(&mut self) -> BTreeMap<String, ParamValue> {
        let params = self.written.written.params.iter().flatten();
        params.map(|(name, value)| (name.clone(), param(value))).collect()
    }

    fn message(&mut self, by: &By) -> Option<Template> {
        let text = self.written.written.message.clone()?;
        let written = &self.written.written;
        let known = |name: &Name| match (name, by) {
            (Name::Label(label), By::Labels(labels)) if !labels.contains(label) => {
                Err(format!("its instances have the labels of `by`: add `{label}` there"))
            }
            (Name::Label(_), By::Unsaid) => Err("without `by` its instances have no labels".to_owned()),
            (Name::Param(param), _) if !written.params.iter().flatten().any(|(name, _)| name == param) => {
                Err(format!("add `{param}` to `params`"))
            }
            (Name::Limit, _) if written.limit.is_none() && written.below.is_none() => {
                Err("it has neither `limit` nor `below`; a script's own limits are in `params`".to_owned())
            }
            _ => Ok(()),
        };
        Template::parse(&text, known).map_err(|error| self.template_error(&text, &error)).ok()
    }

    /// Points into the text itself where it is written on one line, as it is read.
    fn template_error(&mut self, text: &str, error: &TemplateError) {
        let mut diagnostic = self.written.error(&[Step::Key("message")], error.message.clone());
        let at = diagnostic
            .source_line
            .as_deref()
            .and_then(|line| line.find(text).map(|at| line[..at].chars().count()));
        if let Some(start) = at {
            let offset = start + error.offset;
            diagnostic.column = u32::try_from(offset + 1).unwrap_or(u32::MAX);
            let body: String = text.chars().skip(error.offset).collect();
            diagnostic.length = body.find('}').map_or(2, |end| body[..=end].chars().count() as u32);
        }
        self.found.push(diagnostic.hint(error.hint.clone()));
    }

    fn missing(&mut self, key: &str, hint: &str) {
        let error = self.written.error(&[], format!("the rule has no `{key}`"));
        self.found.push(error.hint(hint));
    }

    fn error(&mut self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(self.written.error(&[Step::Key(key)], message).hint(hint));
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

/// A number; a duration, in seconds; a size, in bytes.
fn read_limit(text: &str) -> Result<f64, String> {
    if let Ok(number) = text.parse::<f64>() {
        return match number.is_finite() {
            true => Ok(number),
            false => Err("it must be finite".to_owned()),
        };
    }
    if text.ends_with('B') {
        let size = text.parse::<bytesize::ByteSize>();
        return size.map(|size| size.as_u64() as f64).map_err(|_| "a size is like `10GiB`".to_owned());
    }
    if text.ends_with('%') {
        return Err(format!("write the number alone: `{}`", text.trim_end_matches('%').trim()));
    }
    // To humantime a capital M is a month; who writes a limit more likely means millions.
    if text.ends_with('M') {
        return Err("write `5000000`, `5MB`, or `5m` for minutes".to_owned());
    }
    units::parse_duration(text)
        .map(|duration| duration.as_secs_f64())
        .map_err(|_| "like `90`, `26h` (in seconds) or `10GiB` (in bytes)".to_owned())
}

fn param(value: &Yaml) -> ParamValue {
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
