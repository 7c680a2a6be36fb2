//! From what is written to what can run: every check that can be made before the rule is needed is made here, and
//! every finding says where it stands and what to do.
//!
//! Not here: what concerns several rules (`link`), how keys are read (`file`), how expressions are (`expression`).

mod absence;
mod inputs;
mod levels;
mod link;
mod lints;
mod others;
mod values;
mod variants;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::wrong;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sereno_runtime::diagnostic::{Diagnostic, suggest};
use sereno_runtime::units;
use sereno_runtime::yaml::Step;
use sereno_script::{Entry, Library, ParamValue};

use crate::expression::{Expression, ExpressionError, InMessage, Scope, V};
use crate::file::{Located, OnErrorWritten, keys};
use crate::rule::{By, Decision, Input, OnError, Rule, ScriptUse};
use crate::template::{Filled, Template};

pub(crate) use link::{Known, link};

/// The shortest time between two ticks.
const EVERY_MIN: Duration = Duration::from_millis(250);
/// The time between two ticks of a rule that does not say; the short form ticks once per window.
const EVERY_DEFAULT: Duration = Duration::from_secs(15);
/// How far back is read where a script does not need to say.
const WINDOW_DEFAULT: Duration = Duration::from_secs(60);
const SETTLE_MAX: Duration = Duration::from_secs(3_600);
const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);
const MAX_INSTANCES: usize = 1_000;
const MAX_INSTANCES_MAX: usize = 1_000_000;
const ID_BYTES_MAX: usize = 100;

/// What rules are compiled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub library: &'a Library,
    /// How long samples are kept, where that is known.
    pub retention: Option<Duration>,
}

/// Checks a rule. The findings of a good one are warnings.
pub(crate) fn compile(written: &Located, around: Around<'_>, found: &mut Vec<Diagnostic>) -> Option<Rule> {
    let mut compiler = Compiler { written, around, found: Vec::new() };
    let rule = compiler.rule();
    let good = !compiler.found.iter().any(Diagnostic::is_error);
    if rule.is_none() && good {
        // Nobody may lose a rule without a word.
        compiler.error(
            &[],
            "the rule cannot be used",
            "please report this, with the rule: it is a mistake of ours",
        );
    }
    if let Some(rule) = rule.as_ref().filter(|_| good) {
        compiler.lint(rule);
    }
    found.append(&mut compiler.found);
    rule.filter(|_| good)
}

/// What kind of rule it is: what decides, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Conditions of levels, in the short form or the long one.
    Conditions,
    /// Nothing: its value is written as a series.
    Record,
    /// Whether samples come.
    Heartbeat,
    /// `fn check(s)`.
    Check,
    /// `fn decide(ctx)`.
    Decide,
    /// A script that is not there; what it would need is not known.
    Lost,
}

impl Kind {
    fn is_script(self) -> bool {
        matches!(self, Self::Check | Self::Decide | Self::Lost)
    }
}

struct Compiler<'a> {
    written: &'a Located,
    around: Around<'a>,
    found: Vec<Diagnostic>,
}

impl<'a> Compiler<'a> {
    /// Goes on after a mistake, to find the others too.
    fn rule(&mut self) -> Option<Rule> {
        let written = &self.written.written;
        let id = self.id("id", written.id.as_deref());
        let kind = self.kind();
        let decision = self.decision();
        self.refuse_keys(kind);
        let by = self.by();
        let inputs = self.inputs(kind, &by);
        let every = self.every(kind);
        let params = Arc::new(self.params());
        let mut scope = scope(&by, inputs.as_deref().unwrap_or_default(), &params);
        scope.v = self.v_of_inputs(&scope);
        let require = self.amount_or_condition("require", written.require.is_some(), &scope);
        let value = self.amount_or_condition("value", written.value.is_some(), &scope);
        scope.v = self.v_of_levels(&scope);
        let inputs_known = inputs.is_some();
        let variants = self.variants(kind, every, &by, &params, inputs_known.then_some(&scope));
        let has_limit = written.limit.is_some() || written.below.is_some();
        scope.message = Some(InMessage {
            has_limit,
            has_runbook: written.runbook.is_some(),
            has_script: kind.is_script(),
        });
        let message = self.message(inputs_known.then_some(&scope));
        let expect = self.expect(&by);
        let links = self.links();
        let record = self.record(inputs.as_deref().unwrap_or_default());
        let renamed_from = self.renamed_from();
        self.spans();
        let (suppressed_by, after) = others::unlinked(&links);
        let id = id?;
        Some(Rule {
            id: id.into(),
            renamed_from,
            path: self.written.path().to_owned(),
            line: self.written.line(),
            inputs: inputs?,
            decide_window: written.window.unwrap_or(WINDOW_DEFAULT),
            by,
            every,
            settle: written.settle.unwrap_or_default(),
            value,
            require,
            decision: decision?,
            variants: variants?,
            expect,
            record,
            suppressed_by,
            after,
            max_instances: written.max_instances.unwrap_or(MAX_INSTANCES),
            on_error: match written.on_error {
                Some(OnErrorWritten::Alert) => OnError::Alert,
                Some(OnErrorWritten::Hold) | None => OnError::Hold,
            },
            message,
            runbook: written.runbook.clone(),
            state_version: written.state_version.unwrap_or_default(),
            text_crc32: crc32fast::hash(format!("{written:?}").as_bytes()),
            logic_crc32: self.logic_crc32(),
            renamed_at: written
                .renamed_from
                .as_ref()
                .map(|_| Box::new(self.written.error(&[Step::Key("renamed_from")], ""))),
            links,
        })
    }

    fn id(&mut self, key: &'static str, id: Option<&str>) -> Option<String> {
        let Some(id) = id else {
            self.missing(key, "add `id: …`, the name under which its alerts are known");
            return None;
        };
        if !is_id(id) {
            let hint = "1 to 100 of the letters a-z, A-Z, digits, `_`, `.` and `-`";
            self.error(&[Step::Key(key)], format!("`{id}` cannot be an id"), hint);
            return None;
        }
        Some(id.to_owned())
    }

    fn renamed_from(&mut self) -> Option<Arc<str>> {
        let written = &self.written.written;
        let old = self.id("renamed_from", Some(written.renamed_from.as_deref()?))?;
        if written.id.as_deref() == Some(&old) {
            let hint = "name the id that the rule had before, or remove it";
            self.error(&[Step::Key("renamed_from")], "the rule has this id still", hint);
            return None;
        }
        Some(old.into())
    }

    fn kind(&mut self) -> Kind {
        let written = &self.written.written;
        if let Some(script) = &written.script {
            return match self.around.library.rule(script).map(|script| script.entry()) {
                Some(Entry::Check) => Kind::Check,
                Some(Entry::Decide) => Kind::Decide,
                None => Kind::Lost,
            };
        }
        let computes = self.written.has_own("agg") || self.written.has_own("value");
        let waits = written.absent.is_some() || written.expect.is_some();
        match written {
            _ if written.decides() => Kind::Conditions,
            _ if written.record.is_some() => Kind::Record,
            _ if waits && !computes => Kind::Heartbeat,
            _ => {
                let hint = "add `limit: …` (fires at or over it), `below: …` (under it), `when`, `levels` or a `script`; \
                            or `record: …` (writes a series), or `absent: alert` alone (a heartbeat)";
                self.missing("limit", hint);
                Kind::Conditions
            }
        }
    }

    fn decision(&mut self) -> Option<Decision> {
        let Some(name) = self.written.written.script.clone() else { return Some(Decision::Levels) };
        let library = self.around.library;
        let Some(script) = library.rule(&name) else {
            let names: Vec<&str> = library.rule_names().collect();
            let hint = suggest(&name, "scripts below `scripts/rules`", names.iter().copied());
            self.error(&[Step::Key("script")], format!("there is no rule script `{name}`"), hint);
            return None;
        };
        let crc32 = library.crc32(&format!("rules/{name}")).unwrap_or_default();
        Some(Decision::Script(ScriptUse { script, name, crc32 }))
    }

    /// Keys that have no meaning for this kind of rule; what the defaults of the file give it is ignored.
    fn refuse_keys(&mut self, kind: Kind) {
        const OF_STATES: [&str; 5] = ["clear", "for", "recover_for", "level", "overrides"];
        let (keys, why, hint): (&[&str], &str, &str) = match kind {
            Kind::Conditions if self.written.written.levels.is_some() => {
                (&["level", "clear"], "beside `levels`", "each level says it for itself")
            }
            Kind::Conditions | Kind::Lost => (&[], "", ""),
            Kind::Record => (&OF_STATES, "in a rule that only records", "remove it, or add a `limit`"),
            Kind::Heartbeat => (
                &[
                    "inputs",
                    "across",
                    "window",
                    "offset",
                    "else",
                    "keep",
                    "require",
                    "clear",
                    "for",
                    "level",
                    "overrides",
                ],
                "in a heartbeat, which only waits for samples",
                "remove it, or add `agg` and `limit`; when samples count as missing is said by `absent: { after: … }`",
            ),
            Kind::Check => {
                (&["limit", "below", "when", "clear", "level"], "beside a `script`", "pass it in `params`")
            }
            Kind::Decide => (
                &[
                    "limit", "below", "when", "clear", "level", "metric", "where", "inputs", "agg", "across",
                    "lookback", "offset", "else", "keep", "require", "value",
                ],
                "beside a script with `decide`",
                "the script reads what it needs with `ctx.query`, and limits come in `params`",
            ),
        };
        for key in keys.iter().filter(|key| self.written.has_own(key)) {
            let error = self.written.key_error(&[Step::Key(key)], format!("`{key}` has no meaning {why}"));
            self.found.push(error.hint(hint));
        }
        if kind == Kind::Record {
            for key in ["absent", "expect"].into_iter().filter(|key| self.written.has_own(key)) {
                let message = format!("`{key}` has no meaning in a rule that only records");
                let error = self.written.key_error(&[Step::Key(key)], message);
                self.found.push(error.hint("write a heartbeat: a rule of `metric`, `by` and `absent`"));
            }
        }
        if !kind.is_script() && self.written.has_own("state_version") {
            let message = "`state_version` has no meaning without a `script`";
            let error = self.written.key_error(&[Step::Key("state_version")], message);
            self.found.push(error.hint("it counts the shapes of a script's memory; remove it"));
        }
    }

    fn every(&mut self, kind: Kind) -> Duration {
        let written = &self.written.written;
        let ages = written.agg.as_ref().and_then(|agg| agg.as_str()) == Some("age");
        let short = (written.limit.is_some() || written.below.is_some()) && written.inputs.is_none();
        let short = short && kind == Kind::Conditions && !ages;
        let every = match written.every {
            Some(every) => every,
            None if short => written.window.unwrap_or(EVERY_DEFAULT),
            None => EVERY_DEFAULT,
        };
        if every < EVERY_MIN || every > SPAN_MAX {
            let key = if written.every.is_some() { "every" } else { "window" };
            // A window of zero is told by itself.
            if !(key == "window" && every.is_zero()) {
                let side = if every < EVERY_MIN { "short" } else { "long" };
                let message = format!("{} between two ticks is too {side}", units::format_duration(every));
                self.error(&[Step::Key(key)], message, "give `every` at least 250ms, and at most a year");
            }
        }
        every.max(EVERY_MIN)
    }

    /// Spans that need no other key to be understood.
    fn spans(&mut self) {
        let written = &self.written.written;
        if written.reminder.is_some_and(|reminder| !reminder.is_zero() && reminder < EVERY_MIN) {
            let hint = "give at least 250ms, or 0 for never";
            self.error(&[Step::Key("reminder")], "`reminder` is too short", hint);
        }
        if written.settle.is_some_and(|settle| settle > SETTLE_MAX) {
            let hint = "it is how long after a tick its samples may still come; give at most 1h";
            self.error(&[Step::Key("settle")], "`settle` is too long", hint);
        }
        if written.max_instances.is_some_and(|max| !(1..=MAX_INSTANCES_MAX).contains(&max)) {
            let message = format!("`max_instances` must be between 1 and {MAX_INSTANCES_MAX}");
            self.error(&[Step::Key("max_instances")], message, "leave it out for 1000");
        }
        if written.runbook.as_ref().is_some_and(|runbook| runbook.trim().is_empty()) {
            self.error(&[Step::Key("runbook")], "`runbook` is empty", "give an address, or remove it");
        }
    }

    /// What `v` is before `value` is known.
    fn v_of_inputs(&self, scope: &Scope) -> V {
        match scope.inputs.len() {
            1 => V::Input,
            0 => V::None("a script with `decide` has no inputs"),
            _ => V::None("name an input: `v` is what `value` gives"),
        }
    }

    fn v_of_levels(&self, scope: &Scope) -> V {
        match (self.written.written.value.is_some(), scope.inputs.len()) {
            (true, _) | (false, 1) => V::Value,
            (false, 0) => V::Value,
            (false, _) => V::None("name an input, or say what is compared with `value: \"ratio(err, all)\"`"),
        }
    }

    /// `require` or `value`.
    fn amount_or_condition(
        &mut self,
        key: &'static str,
        is_written: bool,
        scope: &Scope,
    ) -> Option<Expression> {
        let path = [Step::Key(key)];
        if !is_written {
            return None;
        }
        let Some(text) = self.written.text(&path).map(str::to_owned) else {
            let hint = format!("like `{}`", keys::example(key).unwrap_or_default());
            self.error(&path, format!("`{key}` must be an expression"), hint);
            return None;
        };
        if scope.inputs.is_empty() {
            return None;
        }
        let compiled = match key {
            "value" => Expression::amount(&text, scope),
            _ => Expression::condition(&text, scope),
        };
        compiled.map_err(|error| self.point(&path, &text, &error)).ok()
    }

    fn message(&mut self, scope: Option<&Scope>) -> Option<Template> {
        let (text, scope) = (self.written.written.message.clone()?, scope?);
        let path = [Step::Key("message")];
        match Template::parse(&text, scope) {
            Ok(template) => {
                if template.render(|_| Filled::Number(1.0)).trim().is_empty() {
                    self.error(&path, "the message is empty", "remove it for the usual words");
                }
                Some(template)
            }
            Err(error) => {
                self.point(&path, &text, &error);
                None
            }
        }
    }

    fn logic_crc32(&self) -> u32 {
        let written = &self.written.written;
        let library = self.around.library;
        let script = written.script.as_ref().and_then(|name| library.crc32(&format!("rules/{name}")));
        let aggregations: Vec<Option<u32>> = self
            .aggregation_names()
            .map(|name| library.crc32(&format!("aggregations/{name}.rhai")))
            .collect();
        crc32fast::hash(format!("{:?} {script:?} {aggregations:?}", written.logic()).as_bytes())
    }

    /// Points into the text itself where it is written on one line, as it is read.
    fn point(&mut self, path: &[Step<'_>], text: &str, error: &ExpressionError) {
        let mut diagnostic = self.written.error(path, error.message.clone());
        let from = diagnostic.column.saturating_sub(1) as usize;
        let line = diagnostic.source_line.as_deref().unwrap_or_default();
        let start: usize = line.chars().take(from).map(char::len_utf8).sum();
        if let Some(at) = line[start..].find(text).filter(|_| !text.is_empty()) {
            let offset = line[..start + at].chars().count() + error.offset;
            diagnostic.column = u32::try_from(offset + 1).unwrap_or(u32::MAX);
            diagnostic.length = u32::try_from(error.length).unwrap_or(u32::MAX);
        }
        self.found.push(diagnostic.hint(error.hint.clone()));
    }

    fn missing(&mut self, key: &str, hint: &str) {
        self.error(&[], format!("the rule has no `{key}`"), hint);
    }

    fn error(&mut self, path: &[Step<'_>], message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(self.written.error(path, message).hint(hint));
    }

    fn warn(&mut self, path: &[Step<'_>], message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(self.written.warning(path, message).hint(hint));
    }

    /// A part that has several forms, in one of them.
    fn read<T: serde::de::DeserializeOwned>(&mut self, path: &[Step<'_>]) -> Option<T> {
        self.written.read(path).map_err(|error| self.found.push(error)).ok()
    }
}

fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.chars().all(plain)
}

/// The names that expressions of a rule may use.
fn scope(by: &By, inputs: &[Input], params: &BTreeMap<String, ParamValue>) -> Scope {
    Scope {
        v: V::Value,
        inputs: inputs.iter().map(|input| input.name.clone()).collect(),
        labels: match by {
            By::Labels(labels) => Some(labels.clone()),
            By::Unsaid => Some(Vec::new()),
            By::Series => None,
        },
        params: params.clone(),
        message: None,
    }
}
