//! A test file, read and checked: everything that can be said about a test without running it is said here, at its
//! place. A mistake in one test does not hide its neighbours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_yaml::Value;
use sereno_model::{EventKind, Level, SeriesKey, Timestamp};
use sereno_runtime::diagnostic::{Diagnostic, suggest};
use sereno_runtime::units;
use sereno_runtime::yaml::{Options, Step as Key, Tree};
use sereno_script::ParamValue;

use super::inline::inline_rules;
use super::notation::{self, At, SAMPLES_MAX};
use super::pattern::{Pattern, Wording};
use super::written;
use crate::report::Time;

/// The start of a test that does not say: a moment on the grid of every rule.
pub(crate) const START: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);
/// The interval of a series that does not say.
const EVERY: Duration = Duration::from_secs(10);
/// The longest that a test may last.
const LENGTH_MAX: Duration = Duration::from_secs(400 * 86_400);

/// What one test file says.
#[derive(Debug)]
pub(crate) struct TestFile {
    pub tests: Vec<Entry<RuleTest>>,
    pub aggregations: Vec<Entry<AggregationTest>>,
    /// What is wrong, sorted by place.
    pub found: Vec<Diagnostic>,
}

/// A test, if it can be run.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub name: String,
    pub line: u32,
    pub test: Option<T>,
}

/// A test of rules over time.
#[derive(Debug)]
pub(crate) struct RuleTest {
    pub rules: Source,
    pub scripts: Option<PathBuf>,
    pub start: Timestamp,
    pub series: Vec<(SeriesKey, Vec<At>)>,
    /// How long the series last.
    pub length: Duration,
    /// In the order of their times.
    pub steps: Vec<Step>,
    pub expect: Option<Vec<Pattern>>,
    pub never: Vec<Pattern>,
    pub sinks: BTreeMap<String, Vec<Pattern>>,
    pub health: BTreeMap<String, String>,
    pub inexact: Option<bool>,
    pub until: Option<Duration>,
}

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files.
    Files(Vec<PathBuf>),
    /// A text with `rules:` at its top, of which the lines are those of the test file.
    Inline(String),
}

/// Something that is done at a moment, before the tick of that moment.
#[derive(Debug)]
pub(crate) struct Step {
    pub at: Duration,
    pub action: Action,
}

/// What is done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Other rules take over.
    Reload(Source),
    /// The server is down for so long.
    Restart(Duration),
    /// A sink takes nothing for so long.
    SinkDown(String, Duration),
    /// Samples of the past arrive.
    Late(Vec<(SeriesKey, Vec<At>)>),
}

/// A test of an aggregation.
#[derive(Debug)]
pub(crate) struct AggregationTest {
    pub aggregation: String,
    pub params: BTreeMap<String, ParamValue>,
    pub window: Duration,
    pub samples: Vec<At>,
    pub scripts: Option<PathBuf>,
    pub expect: Expected,
}

/// What an aggregation is expected to give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Nothing.
    None,
    /// A number.
    Number(f64),
    /// Several, of which only these are looked at.
    Map(BTreeMap<String, f64>),
}

/// Reads a test file.
pub(crate) fn parse(path: &Path, text: &str) -> TestFile {
    let options = Options { environment: None, foreign_keys: written::FOREIGN_KEYS };
    let tree = match Tree::parse(path, text, options) {
        Ok(tree) => tree,
        Err(found) => return TestFile::broken(found),
    };
    let top = match tree.read::<written::Top>(&[]) {
        _ if tree.value(&[]).is_none_or(Value::is_null) => written::Top::default(),
        Ok(top) => top,
        Err(error) => return TestFile::broken(vec![error]),
    };
    let mut found = Vec::new();
    let count = |list: &Option<Vec<Value>>| list.as_ref().map_or(0, Vec::len);
    let mut reader = Reader { tree: &tree, text, found: &mut found };
    let tests = (0..count(&top.tests)).map(|index| reader.entry("tests", index, Reader::test)).collect();
    let aggregations = (0..count(&top.aggregations))
        .map(|index| reader.entry("aggregations", index, Reader::aggregation))
        .collect();
    if count(&top.tests) + count(&top.aggregations) == 0 {
        let warning = Diagnostic::warning(path, "the file has no tests");
        found.push(warning.hint("write `tests:` or `aggregations:`"));
    }
    found.sort_by_key(|found| (found.line, found.column));
    TestFile { tests, aggregations, found }
}

impl TestFile {
    fn broken(found: Vec<Diagnostic>) -> Self {
        Self { tests: Vec::new(), aggregations: Vec::new(), found }
    }
}

/// A way through the document.
type Steps<'a> = [Key<'a>];

struct Reader<'a> {
    tree: &'a Tree,
    text: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn entry<T>(
        &mut self,
        list: &str,
        index: usize,
        read: impl Fn(&mut Self, &Steps<'_>) -> Option<T>,
    ) -> Entry<T> {
        let at = [Key::Key(list), Key::Index(index)];
        let before = self.errors();
        let test = read(self, &at);
        let name = self.tree.node(&[at[0], at[1], Key::Key("name")]).and_then(|node| node.text.clone());
        let line = self.tree.at(&at).line;
        let good = self.errors() == before;
        let name = name.unwrap_or_else(|| format!("{list} {}", index + 1));
        Entry { name, line, test: test.filter(|_| good) }
    }

    fn errors(&self) -> usize {
        self.found.iter().filter(|found| found.is_error()).count()
    }

    fn test(&mut self, at: &Steps<'_>) -> Option<RuleTest> {
        let written: written::Test = self.read(at)?;
        self.wants(at, "name", written.name.as_ref());
        let every = self.every(at, written.every);
        let (series, length) = self.series(at, written.series.as_ref(), every);
        let rules = match &written.rules {
            Some(value) => self.rules(&deeper(at, Key::Key("rules")), value),
            None => self.rules_beside(at),
        };
        let steps = self.list(at, "steps", written.steps.as_ref(), Self::step);
        let expect = written.expect.as_ref().map(|list| self.list(at, "expect", Some(list), Self::event));
        let never = self.list(at, "never", written.never.as_ref(), Self::never);
        let sinks = self.sinks(at, written.sinks.as_ref());
        let start = self.start(at, written.start.as_deref());
        self.health(at, written.health.as_ref());
        self.length(at, "until", written.until);
        let checks = [
            written.expect.is_some(),
            written.never.is_some(),
            written.sinks.is_some(),
            written.health.is_some(),
        ];
        if !checks.contains(&true) {
            let error = self.tree.error(at, "the test expects nothing");
            self.found.push(error.hint("write `expect: []` if nothing may happen"));
        }
        let mut steps = steps;
        steps.sort_by_key(|step: &Step| step.at);
        Some(RuleTest {
            rules: rules?,
            scripts: self.scripts(at, written.scripts.as_ref()),
            start,
            series,
            length,
            steps,
            expect,
            never,
            sinks,
            health: written.health.unwrap_or_default(),
            inexact: written.inexact,
            until: written.until,
        })
    }

    /// A typed part; a mistake in it is noted.
    fn read<T: DeserializeOwned>(&mut self, at: &Steps<'_>) -> Option<T> {
        self.tree.read(at).map_err(|error| self.found.push(error)).ok()
    }

    fn error(&mut self, at: &Steps<'_>, message: impl Into<String>, hint: impl Into<String>) {
        let error = self.tree.error(at, message);
        self.found.push(error.hint(hint));
    }

    fn wants<T>(&mut self, at: &Steps<'_>, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.error(at, format!("key `{key}` is missing"), format!("add `{key}: …`"));
        }
        value
    }

    fn every(&mut self, at: &Steps<'_>, every: Option<Duration>) -> Duration {
        match every {
            Some(Duration::ZERO) => {
                let at = deeper(at, Key::Key("every"));
                self.error(&at, "`every` must be longer than 0", "like `10s`");
                EVERY
            }
            every => every.unwrap_or(EVERY),
        }
    }

    fn length(&mut self, at: &Steps<'_>, key: &str, length: Option<Duration>) {
        if length.is_some_and(|length| length > LENGTH_MAX) {
            let message = format!("longer than {}", units::format_duration(LENGTH_MAX));
            self.error(
                &deeper(at, Key::Key(key)),
                message,
                "a test should be short: move its series together",
            );
        }
    }

    fn start(&mut self, at: &Steps<'_>, text: Option<&str>) -> Timestamp {
        let Some(text) = text else { return START };
        match Time::parse(text) {
            Some(time) => time.0,
            None => {
                let at = deeper(at, Key::Key("start"));
                self.error(&at, format!("`{text}` is not a time"), "like `2026-01-01T00:00:00Z`");
                START
            }
        }
    }

    fn list<T>(
        &mut self,
        at: &Steps<'_>,
        key: &str,
        list: Option<&Vec<Value>>,
        read: impl Fn(&mut Self, &Steps<'_>) -> Option<T>,
    ) -> Vec<T> {
        let count = list.map_or(0, Vec::len);
        let at = deeper(at, Key::Key(key));
        (0..count).filter_map(|index| read(self, &deeper(&at, Key::Index(index)))).collect()
    }

    /// The rules of a test that names none: those of the file that it is called after.
    fn rules_beside(&mut self, at: &Steps<'_>) -> Option<Source> {
        let path = self.tree.path();
        let stem =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.strip_suffix("_test"));
        let Some(stem) = stem else {
            let message = "the test does not say which rules it is about";
            self.error(at, message, "add `rules: FILE`, or name the test file `FILE_test.yaml`");
            return None;
        };
        Some(Source::Files(vec![path.with_file_name(format!("{stem}.yaml"))]))
    }

    /// Rules: a file, several, or rules themselves.
    fn rules(&mut self, at: &Steps<'_>, value: &Value) -> Option<Source> {
        let folder = self.tree.path().parent().unwrap_or(Path::new("")).to_owned();
        let file = |value: &Value| value.as_str().map(|name| folder.join(name));
        match value {
            Value::String(name) => Some(Source::Files(vec![folder.join(name)])),
            Value::Sequence(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
                Some(Source::Files(items.iter().filter_map(file).collect()))
            }
            Value::Sequence(items) if items.iter().all(Value::is_mapping) => {
                Some(Source::Inline(inline_rules(self.tree, self.text, at, items)))
            }
            _ => {
                self.error(
                    at,
                    "rules are a file, a list of files, or a list of rules",
                    "like `rules: cpu.yaml`",
                );
                None
            }
        }
    }

    fn scripts(&mut self, at: &Steps<'_>, value: Option<&Value>) -> Option<PathBuf> {
        let value = value?;
        match value.as_str() {
            Some(name) => Some(self.tree.path().parent().unwrap_or(Path::new("")).join(name)),
            None => {
                let at = deeper(at, Key::Key("scripts"));
                self.error(&at, "`scripts` must be a folder", "like `scripts: ../../scripts`");
                None
            }
        }
    }

    fn series(
        &mut self,
        at: &Steps<'_>,
        series: Option<&BTreeMap<String, Value>>,
        every: Duration,
    ) -> (Vec<(SeriesKey, Vec<At>)>, Duration) {
        let at = deeper(at, Key::Key("series"));
        let mut all = Vec::new();
        let mut length = Duration::ZERO;
        for (name, value) in series.into_iter().flatten() {
            let at = deeper(&at, Key::Key(name));
            let key = self.key(&at, name);
            let Some((samples, lasts)) = self.samples(&at, value, every) else { continue };
            length = length.max(lasts);
            all.extend(key.map(|key| (key, samples)));
        }
        if length > LENGTH_MAX {
            let message = format!("series last longer than {}", units::format_duration(LENGTH_MAX));
            self.error(&at, message, "a test should be short: move the samples together");
        }
        (all, length)
    }

    fn key(&mut self, at: &Steps<'_>, name: &str) -> Option<SeriesKey> {
        match name.parse::<SeriesKey>() {
            Ok(key) => Some(key),
            Err(error) => {
                let error = self.tree.key_error(at, format!("`{name}` is not a series: {error}"));
                self.found.push(error.hint("like `'cpu.load{host=\"a\"}': 97x12`"));
                None
            }
        }
    }

    /// Samples in one line, or part by part; and how long they last.
    fn samples(&mut self, at: &Steps<'_>, value: &Value, every: Duration) -> Option<(Vec<At>, Duration)> {
        match value {
            Value::Sequence(parts) => {
                let mut cursor = Duration::ZERO;
                let mut samples = Vec::new();
                for index in 0..parts.len() {
                    let at = deeper(at, Key::Index(index));
                    self.segment(&at, every, &mut cursor, &mut samples)?;
                }
                Some((samples, cursor))
            }
            _ => {
                // A single number is a sample; as it was written, `1.50` or `1e3`.
                let Some(text) = self.tree.node(at).and_then(|node| node.text.as_deref()) else {
                    self.error(at, "samples are a text or a list of parts", "like `97x12`");
                    return None;
                };
                match notation::parse(text, every) {
                    Ok(samples) => Some(samples),
                    Err(error) => {
                        let mut found = self.tree.error(at, error.message);
                        // Quotes take a column; a text over several lines keeps the column of its beginning.
                        if found.source_line.as_ref().is_some_and(|line| line.contains(text)) {
                            found.column += error.offset as u32;
                            found.length = error.length as u32;
                        }
                        self.found.push(found.hint(error.hint));
                        None
                    }
                }
            }
        }
    }

    fn segment(
        &mut self,
        at: &Steps<'_>,
        every: Duration,
        cursor: &mut Duration,
        samples: &mut Vec<At>,
    ) -> Option<()> {
        let written: written::Segment = self.read(at)?;
        let every = self.every(at, written.every.or(Some(every)));
        if let Some(start) = written.at {
            if start < *cursor {
                let hint = format!("the part before it ends at {}", units::format_duration(*cursor));
                self.error(&deeper(at, Key::Key("at")), "the part begins in the one before it", hint);
                return None;
            }
            *cursor = start;
        }
        let number = match &written.v {
            Some(value) => Some(self.number(&deeper(at, Key::Key("v")), value)?),
            None => None,
        };
        let start = *cursor;
        let lasts = match (written.r#for, written.at) {
            (Some(lasts), _) => lasts,
            // A single sample.
            (None, Some(_)) => Duration::from_nanos(1),
            (None, None) => return self.wants(at, "for", None),
        };
        *cursor = start.saturating_add(lasts);
        if written.gap == Some(true) {
            return Some(());
        }
        let count = lasts.as_nanos().div_ceil(every.as_nanos().max(1));
        if samples.len() as u128 + count > SAMPLES_MAX as u128 {
            self.error(
                at,
                format!("more than {SAMPLES_MAX} samples"),
                "give fewer, further apart: `every: 1m`",
            );
            return None;
        }
        let count = count as u32;
        let value = |index: u32| match (number, written.from, written.to) {
            (Some(number), None, None) => Some(number),
            (None, Some(from), Some(to)) if count > 1 => {
                Some(from + (to - from) * f64::from(index) / f64::from(count - 1))
            }
            (None, Some(from), Some(_)) => Some(from),
            _ => None,
        };
        for index in 0..count {
            let Some(value) = value(index) else {
                self.error(
                    at,
                    "a part has a value or a gap",
                    "write `v: 97`, `from: 10, to: 50`, or `gap: true`",
                );
                return None;
            };
            samples.push((start + every * index, value));
        }
        if written.r#for.is_none() {
            *cursor = start;
        }
        Some(())
    }

    fn number(&mut self, at: &Steps<'_>, value: &Value) -> Option<f64> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match text.trim_start_matches('+') {
                "Inf" | ".inf" => Some(f64::INFINITY),
                "-Inf" | "-.inf" => Some(f64::NEG_INFINITY),
                "NaN" | ".nan" => Some(f64::NAN),
                _ => None,
            },
            _ => None,
        };
        if number.is_none() {
            self.error(at, "this must be a number", "like `97`, `0.5`, `NaN`, `Inf`");
        }
        number
    }

    fn step(&mut self, at: &Steps<'_>) -> Option<Step> {
        let written: written::Step = self.read(at)?;
        let when = self.wants(at, "at", written.at)?;
        self.length(at, "at", written.at);
        let given = [
            written.reload.is_some(),
            written.restart.is_some(),
            written.sink_down.is_some(),
            written.late.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let hint = "one of `reload`, `restart`, `sink_down`, `late`";
            self.error(at, "a step does one thing", hint);
            return None;
        }
        let lasts = written.r#for;
        if lasts.is_some() && (written.reload.is_some() || written.late.is_some()) {
            self.error(&deeper(at, Key::Key("for")), "this step lasts no time", "remove `for`");
        }
        let action = if let Some(value) = &written.reload {
            Action::Reload(self.rules(&deeper(at, Key::Key("reload")), value)?)
        } else if let Some(sink) = written.sink_down {
            Action::SinkDown(sink, self.wants(at, "for", lasts)?)
        } else if let Some(late) = &written.late {
            Action::Late(self.late(at, late, when))
        } else {
            Action::Restart(lasts.unwrap_or_default())
        };
        Some(Step { at: when, action })
    }

    /// Samples that arrive at `now`, each with the time that it bears.
    fn late(
        &mut self,
        at: &Steps<'_>,
        late: &BTreeMap<String, Value>,
        now: Duration,
    ) -> Vec<(SeriesKey, Vec<At>)> {
        let at = deeper(at, Key::Key("late"));
        let mut all = Vec::new();
        for name in late.keys() {
            let at = deeper(&at, Key::Key(name));
            let Some(samples) = self.read::<BTreeMap<String, Value>>(&at) else { continue };
            let mut list = Vec::new();
            for (when, value) in &samples {
                let at = deeper(&at, Key::Key(when));
                let time = units::parse_duration(when).ok().filter(|time| *time < now);
                if time.is_none() {
                    let hint = "a time from the start of the test, before the step";
                    let error = self.tree.key_error(&at, format!("`{when}` is not a time of the past"));
                    self.found.push(error.hint(hint));
                }
                list.extend(time.zip(self.number(&at, value)));
            }
            list.sort_by_key(|(time, _)| *time);
            all.extend(self.key(&at, name).map(|key| (key, list)));
        }
        all
    }

    /// What may never happen: a kind, or an event.
    fn never(&mut self, at: &Steps<'_>) -> Option<Pattern> {
        match self.tree.value(at) {
            Some(Value::String(kind)) => {
                let kind = self.kind(at, kind)?;
                Some(Pattern { kind: Some(kind), line: self.tree.at(at).line, ..Pattern::default() })
            }
            _ => self.event(at),
        }
    }

    fn sinks(
        &mut self,
        at: &Steps<'_>,
        sinks: Option<&BTreeMap<String, Vec<Value>>>,
    ) -> BTreeMap<String, Vec<Pattern>> {
        let at = deeper(at, Key::Key("sinks"));
        let mut all = BTreeMap::new();
        for (name, list) in sinks.into_iter().flatten() {
            all.insert(name.clone(), self.list(&at, name, Some(list), Self::event));
        }
        all
    }

    fn health(&mut self, at: &Steps<'_>, health: Option<&BTreeMap<String, String>>) {
        for (rule, text) in health.into_iter().flatten() {
            let names = crate::status::Health::ALL.map(crate::status::Health::as_str);
            if !names.contains(&text.as_str()) {
                let at = deeper(&deeper(at, Key::Key("health")), Key::Key(rule));
                self.error(&at, format!("`{text}` is not a health"), suggest(text, "they are", names));
            }
        }
    }

    fn kind(&mut self, at: &Steps<'_>, text: &str) -> Option<EventKind> {
        let kind = text.parse::<EventKind>();
        if kind.is_err() {
            let names = EventKind::ALL.map(EventKind::as_str);
            self.error(at, format!("`{text}` is not a kind of event"), suggest(text, "kinds", names));
        }
        kind.ok()
    }

    fn level(&mut self, at: &Steps<'_>, key: &str, text: Option<&str>) -> Option<Level> {
        match text?.parse::<Level>() {
            Ok(level) => Some(level),
            Err(error) => {
                self.error(&deeper(at, Key::Key(key)), error.to_string(), "leave it out for any");
                None
            }
        }
    }

    fn wording(&mut self, at: &Steps<'_>, key: &str, text: Option<&str>) -> Option<Wording> {
        match Wording::parse(text?) {
            Ok(wording) => Some(wording),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.error(&deeper(at, Key::Key(key)), "this is no regular expression", why);
                None
            }
        }
    }

    fn event(&mut self, at: &Steps<'_>) -> Option<Pattern> {
        let written: written::Event = self.read(at)?;
        let kind = self.wants(at, "kind", written.kind)?;
        let kind = self.kind(&deeper(at, Key::Key("kind")), &kind)?;
        let value = match self.tree.value(&deeper(at, Key::Key("value"))) {
            None => None,
            Some(Value::Null) => Some(None),
            Some(value) => Some(Some(self.number(&deeper(at, Key::Key("value")), &value.clone())?)),
        };
        let text = |value: &str| (value != "none").then(|| value.to_owned());
        Some(Pattern {
            at: written.at.and_then(|_| self.range(&deeper(at, Key::Key("at")))),
            kind: Some(kind),
            level: self.level(at, "level", written.level.as_deref()),
            previous: self.level(at, "previous", written.previous.as_deref()),
            instance: written.instance.map(|labels| self.labels(at, &labels)),
            rule: written.rule,
            value,
            message: self.wording(at, "message", written.message.as_deref()),
            reason: self.wording(at, "reason", written.reason.as_deref()),
            suppressed_by: written.suppressed_by.as_deref().map(text),
            stale: written.stale,
            flapping: written.flapping,
            shadow: written.shadow,
            line: self.tree.at(at).line,
        })
    }

    /// Labels as texts, as they are written: `1.10` stays `1.10`.
    fn labels(&mut self, at: &Steps<'_>, labels: &BTreeMap<String, Value>) -> Vec<(String, String)> {
        let at = deeper(at, Key::Key("instance"));
        let mut all = Vec::new();
        for label in labels.keys() {
            let at = deeper(&at, Key::Key(label));
            match self.tree.node(&at).and_then(|node| node.text.clone()) {
                Some(text) => all.push((label.clone(), text)),
                None => self.error(&at, format!("`{label}` must be text"), "like `{ host: a }`"),
            }
        }
        all
    }

    /// `70s`, or `60s..70s`.
    fn range(&mut self, at: &Steps<'_>) -> Option<(Duration, Duration)> {
        const HINT: &str = "from the start of the test, like `70s` or `60s..70s`";
        let text = self.tree.node(at).and_then(|node| node.text.as_deref()).unwrap_or_default();
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let times = units::parse_duration(from).and_then(|from| Ok((from, units::parse_duration(to)?)));
        match times {
            Ok((from, to)) if from <= to => return Some((from, to)),
            Ok(_) => self.error(at, "the range ends before it begins", HINT),
            Err(why) => self.error(at, format!("`{text}` is not a time: {why}"), HINT),
        }
        None
    }

    fn aggregation(&mut self, at: &Steps<'_>) -> Option<AggregationTest> {
        let written: written::Aggregation = self.read(at)?;
        let name = self.wants(at, "name", written.name);
        let every = self.every(at, written.every);
        self.length(at, "window", written.window);
        let samples = match &written.samples {
            Some(value) => self.samples(&deeper(at, Key::Key("samples")), value, every),
            None => self.wants(at, "samples", None),
        };
        let params = self.params(at, written.params.as_ref());
        let expect = match &written.expect {
            Some(value) => self.expected(&deeper(at, Key::Key("expect")), value),
            None => self.wants(at, "expect", None),
        };
        let (samples, length) = samples?;
        Some(AggregationTest {
            aggregation: name?,
            params,
            window: written.window.unwrap_or_else(|| length.max(every)),
            samples,
            scripts: self.scripts(at, written.scripts.as_ref()),
            expect: expect?,
        })
    }

    fn params(
        &mut self,
        at: &Steps<'_>,
        params: Option<&BTreeMap<String, Value>>,
    ) -> BTreeMap<String, ParamValue> {
        let at = deeper(at, Key::Key("params"));
        let mut all = BTreeMap::new();
        for (name, value) in params.into_iter().flatten() {
            match param(value) {
                Some(value) => drop(all.insert(name.clone(), value)),
                None => {
                    let at = deeper(&at, Key::Key(name));
                    self.error(
                        &at,
                        format!("`{name}` cannot be a parameter"),
                        "a number, a text, or true or false",
                    );
                }
            }
        }
        all
    }

    fn expected(&mut self, at: &Steps<'_>, value: &Value) -> Option<Expected> {
        match value {
            Value::Null => Some(Expected::None),
            Value::String(text) if text == "none" => Some(Expected::None),
            Value::Mapping(_) => {
                let values: BTreeMap<String, Value> = self.read(at)?;
                let mut numbers = BTreeMap::new();
                for (name, value) in &values {
                    let number = self.number(&deeper(at, Key::Key(name)), value)?;
                    numbers.insert(name.clone(), number);
                }
                Some(Expected::Map(numbers))
            }
            value => self.number(at, value).map(Expected::Number),
        }
    }
}

fn deeper<'a>(at: &Steps<'a>, step: Key<'a>) -> Vec<Key<'a>> {
    [at, &[step]].concat()
}

/// A value that scripts can have as a parameter.
fn param(value: &Value) -> Option<ParamValue> {
    Some(match value {
        Value::Null => ParamValue::Null,
        Value::Bool(value) => ParamValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => ParamValue::Int(whole),
            None => ParamValue::Float(number.as_f64()?),
        },
        Value::String(text) => ParamValue::Text(text.clone()),
        Value::Sequence(items) => ParamValue::List(items.iter().map(param).collect::<Option<_>>()?),
        Value::Mapping(map) => {
            let entry = |(name, value): (&Value, &Value)| Some((name.as_str()?.to_owned(), param(value)?));
            ParamValue::Map(map.iter().map(entry).collect::<Option<_>>()?)
        }
        Value::Tagged(_) => return None,
    })
}
