//! What missing data means, and which instances must report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_yaml::Value as Yaml;
use sereno_model::Level;
use sereno_runtime::diagnostic::suggest;
use sereno_runtime::units::parse_duration;
use sereno_runtime::yaml::Step;

use super::{Compiler, Kind, SPAN_MAX};
use crate::file::{AbsentWritten, ExpectWritten, ThenWritten};
use crate::rule::{By, Expect, Labels};
use crate::state::{Absence, After, Then};

const AFTER_DEFAULT: After = After::Intervals(3.0);
const CLOSE_AFTER_DEFAULT: Duration = Duration::from_secs(15 * 60);
const INTERVALS_MAX: f64 = 10_000.0;
/// How many instances may be listed, and how many may be asked for.
const EXPECTED_MAX: usize = 10_000;

impl Compiler<'_> {
    pub(super) fn absence(&mut self, kind: Kind) -> Absence {
        let path = [Step::Key("absent")];
        let written = match &self.written.written.absent {
            None => AbsentWritten::default(),
            Some(Yaml::Mapping(_)) => self.read(&path).unwrap_or_default(),
            Some(short) => match self.written.text(&path) {
                Some("keep") => AbsentWritten { then: Some(ThenWritten::Keep), ..AbsentWritten::default() },
                Some("resolve") => {
                    AbsentWritten { then: Some(ThenWritten::Resolve), ..AbsentWritten::default() }
                }
                Some("alert") => AbsentWritten { then: Some(ThenWritten::Alert), ..AbsentWritten::default() },
                _ => AbsentWritten { after: Some(short.clone()), ..AbsentWritten::default() },
            },
        };
        let long = matches!(self.written.written.absent, Some(Yaml::Mapping(_)));
        let after_path = if long { [path[0], Step::Key("after")].to_vec() } else { path.to_vec() };
        let after = match &written.after {
            Some(_) => self.after(&after_path, long),
            None => AFTER_DEFAULT,
        };
        let then = self.then(&written, kind);
        let close_after = match &written.close_after {
            Some(_) if then != Then::Keep => {
                let message = "only an alert that is kept is closed, and this one is not";
                let error = self.written.key_error(&[path[0], Step::Key("close_after")], message);
                self.found.push(error.hint("remove `close_after`, or say `then: keep`"));
                None
            }
            Some(_) => self.close_after(),
            None => Some(CLOSE_AFTER_DEFAULT),
        };
        Absence { after, then, close_after }
    }

    /// `3x`, or a duration.
    fn after(&mut self, path: &[Step<'_>], long: bool) -> After {
        let text = self.written.text(path).unwrap_or_default().to_owned();
        let intervals = text.strip_suffix('x').and_then(|count| count.trim().parse::<f64>().ok());
        let hint = match long {
            true => "like `after: 3x` (three times the interval of the samples) or `after: 2m`",
            false => {
                "write `keep`, `resolve` or `alert`; or when, like `3x` or `2m`; or both: `{ after: 3x, then: alert }`"
            }
        };
        match (intervals, parse_duration(&text)) {
            (Some(count), _) if (1.0..=INTERVALS_MAX).contains(&count) => After::Intervals(count),
            (None, Ok(time)) if !time.is_zero() && time <= SPAN_MAX => After::Time(time),
            _ => {
                let what = if long { "`after`" } else { "`absent`" };
                self.error(path, format!("{what} cannot be `{text}`"), hint);
                AFTER_DEFAULT
            }
        }
    }

    fn then(&mut self, written: &AbsentWritten, kind: Kind) -> Then {
        let path = [Step::Key("absent"), Step::Key("level")];
        let level = match written.level.as_deref().map(str::parse::<Level>) {
            None => None,
            Some(Ok(level)) => Some(level),
            Some(Err(error)) => {
                self.error(&path, error.to_string(), "leave it out for the usual one");
                None
            }
        };
        // What somebody expects, or what only waits, is wrong when it does not come.
        let usual = match (kind, &self.written.written.expect, level) {
            (Kind::Heartbeat, ..) | (_, Some(_), _) | (.., Some(_)) => ThenWritten::Alert,
            _ => ThenWritten::Keep,
        };
        let usual_level = if kind == Kind::Heartbeat { Level::Crit } else { Level::Warn };
        match written.then.unwrap_or(usual) {
            ThenWritten::Alert => Then::Alert(level.unwrap_or(usual_level)),
            other => {
                if level.is_some() {
                    let error = self.written.key_error(&path, "nothing fires here, so there is no `level`");
                    self.found.push(error.hint("remove `level`, or say `then: alert`"));
                }
                match other {
                    ThenWritten::Resolve => Then::Resolve,
                    _ => Then::Keep,
                }
            }
        }
    }

    fn close_after(&mut self) -> Option<Duration> {
        let path = [Step::Key("absent"), Step::Key("close_after")];
        let text = self.written.text(&path).unwrap_or_default().to_owned();
        match (text.as_str(), parse_duration(&text)) {
            ("never", _) => None,
            (_, Ok(time)) if time <= SPAN_MAX => Some(time),
            _ => {
                let message = format!("`close_after` cannot be `{text}`");
                self.error(&path, message, "like `close_after: 15m`, or `never`");
                None
            }
        }
    }

    pub(super) fn expect(&mut self, by: &By) -> Expect {
        let path = [Step::Key("expect")];
        let (items, min, path) = match &self.written.written.expect {
            None => return Expect::default(),
            Some(Yaml::Sequence(items)) => (items.clone(), 0, path.to_vec()),
            Some(Yaml::Mapping(_)) => match self.read::<ExpectWritten>(&path) {
                Some(long) => {
                    let path = [path[0], Step::Key("instances")].to_vec();
                    (long.instances.unwrap_or_default(), long.min.unwrap_or_default(), path)
                }
                None => return Expect::default(),
            },
            Some(_) => {
                let hint = "like `expect: [ { host: a }, { host: b } ]`, or `expect: { min: 3 }`";
                self.error(&path, "`expect` must be a list of label sets, or a number of instances", hint);
                return Expect::default();
            }
        };
        if items.is_empty() && min == 0 || items.len().max(min) > EXPECTED_MAX {
            let message = format!("`expect` asks for 1 to {EXPECTED_MAX} instances");
            let hint = "like `expect: [ { host: a } ]`, or `expect: { min: 3 }`";
            self.error(&[Step::Key("expect")], message, hint);
        }
        let mut instances = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = [&path[..], &[Step::Index(index)]].concat();
            instances.extend(self.expected(item, &path, by));
        }
        instances.sort();
        instances.dedup();
        Expect { instances, min }
    }

    /// The labels of one instance: those of `by`, all of them.
    fn expected(&mut self, item: &Yaml, path: &[Step<'_>], by: &By) -> Option<Labels> {
        let Yaml::Mapping(item) = item else {
            self.error(path, "an expected instance must be a set of labels", "like `{ host: a }`");
            return None;
        };
        let mut labels = BTreeMap::new();
        for (label, value) in item {
            let label = label.as_str().unwrap_or_default();
            let path = [path, &[Step::Key(label)]].concat();
            let Some(value) = self.text_of(value, &path) else {
                self.error(&path, format!("`{label}` must be text"), "like `{ host: a }`");
                return None;
            };
            labels.insert(label.to_owned(), value);
        }
        let known: &[String] = match by {
            By::Labels(labels) => labels,
            By::Unsaid => &[],
            By::Series => return Some(labels.into_iter().collect()),
        };
        if let Some(other) = labels.keys().find(|label| !known.contains(label)) {
            let hint = match known {
                [] => format!("add `{other}` to `by`"),
                _ => suggest(other, "instances have the labels of `by`", known.iter().map(String::as_str)),
            };
            let message = format!("instances of the rule have no label `{other}`");
            let error = self.written.key_error(&[path, &[Step::Key(other)]].concat(), message);
            self.found.push(error.hint(hint));
            return None;
        }
        if let Some(label) = known.iter().find(|label| !labels.contains_key(*label)) {
            let hint = "an instance has all labels of `by`; one that is missing has the value \"\"";
            self.error(path, format!("the label `{label}` is not given"), hint);
            return None;
        }
        Some(labels.into_iter().collect())
    }
}
