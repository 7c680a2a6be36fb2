//! The rule's own variant, and those of its `overrides`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::LabelMatcher;
use sereno_runtime::diagnostic::suggest;
use sereno_runtime::yaml::Step;
use sereno_script::ParamValue;

use super::levels::{Asked, Levelled};
use super::values::param;
use super::{Compiler, Kind};
use crate::expression::Scope;
use crate::file::{ModeWritten, OverrideWritten};
use crate::rule::{By, Mode, Variant};
use crate::state::{Absence, Flap, Policy};

const REMINDER_DEFAULT: Duration = Duration::from_secs(60);
const FLAP: Flap = Flap { window: Duration::from_secs(15 * 60), max: 6 };

/// What all variants of a rule have in common.
struct Common<'s> {
    kind: Kind,
    every: Duration,
    absence: Absence,
    scope: Option<&'s Scope>,
}

impl<'a> Compiler<'a> {
    pub(super) fn variants(
        &mut self,
        kind: Kind,
        every: Duration,
        by: &By,
        params: &Arc<BTreeMap<String, ParamValue>>,
        scope: Option<&Scope>,
    ) -> Option<Vec<Variant>> {
        let written = &self.written.written;
        let absence = self.absence(kind);
        let common = Common { kind, every, absence, scope };
        let labels = Arc::new(self.labels(written.labels.as_ref(), &[], by));
        let asked = self.asked()?;
        let levelled = self.levelled(&asked, kind, scope)?;
        let own = Variant {
            only: Vec::new(),
            params: params.clone(),
            labels,
            mode: mode(written.mode),
            ..self.variant(&asked, levelled, &common)
        };
        let mut variants = vec![own];
        for index in 0..written.overrides.as_ref().map_or(0, Vec::len) {
            variants.extend(self.over(&variants[0], &asked, index, by, &common));
        }
        Some(variants)
    }

    fn variant(&self, asked: &Asked<'_>, levelled: Levelled, common: &Common<'_>) -> Variant {
        let policy = Policy {
            every: common.every,
            hold: levelled.hold,
            recover_for: asked.recover_for.as_ref().map_or(Duration::ZERO, |spot| spot.value),
            reminder: self.written.written.reminder.unwrap_or(REMINDER_DEFAULT),
            worse: levelled.worse,
            flap: FLAP,
            absence: common.absence,
        };
        Variant {
            only: Vec::new(),
            levels: levelled.levels,
            policy,
            limit: levelled.limit,
            params: Arc::default(),
            labels: Arc::default(),
            mode: Mode::Live,
        }
    }

    fn over(
        &mut self,
        own: &Variant,
        asked: &Asked<'a>,
        index: usize,
        by: &By,
        common: &Common<'_>,
    ) -> Option<Variant> {
        let prefix = [Step::Key("overrides"), Step::Index(index)];
        let over: OverrideWritten = self.read(&prefix)?;
        let only = self.only(&over, &prefix, by);
        let params = self.overridden_params(&own.params, &over, &prefix, common.kind);
        let labels = match &over.labels {
            None => own.labels.clone(),
            Some(over) => {
                let mut all: BTreeMap<String, String> = own.labels.iter().cloned().collect();
                all.extend(self.labels(Some(over), &prefix, by));
                Arc::new(all.into_iter().collect())
            }
        };
        let asked = self.overridden(asked, &over, &prefix)?;
        let levelled = self.levelled(&asked, common.kind, common.scope)?;
        Some(Variant {
            only: only?,
            params: params?,
            labels,
            mode: over.mode.map_or(own.mode, |over| mode(Some(over))),
            ..self.variant(&asked, levelled, common)
        })
    }

    fn only(
        &mut self,
        over: &OverrideWritten,
        prefix: &[Step<'_>],
        by: &By,
    ) -> Option<Vec<(String, LabelMatcher)>> {
        let mut only = Vec::new();
        if over.r#where.as_ref().is_none_or(BTreeMap::is_empty) {
            let hint = "like `{ where: { service: batch }, limit: 0.2 }`";
            self.error(prefix, "the override has no `where`", hint);
            return None;
        }
        for (label, value) in over.r#where.iter().flatten() {
            let path = [prefix, &[Step::Key("where"), Step::Key(label)]].concat();
            let known: &[String] = match by {
                By::Labels(labels) => labels,
                By::Unsaid => &[],
                By::Series => std::slice::from_ref(label),
            };
            if !known.contains(label) {
                let hint = match known {
                    [] => format!("add `{label}` to `by`: an override is for some instances of the rule"),
                    _ => {
                        suggest(label, "instances have the labels of `by`", known.iter().map(String::as_str))
                    }
                };
                let message = format!("instances of the rule have no label `{label}`");
                self.found.push(self.written.key_error(&path, message).hint(hint));
                return None;
            }
            only.extend(
                self.matchers(label, value, &path).into_iter().map(|matcher| (label.clone(), matcher)),
            );
        }
        Some(only)
    }

    fn overridden_params(
        &mut self,
        own: &Arc<BTreeMap<String, ParamValue>>,
        over: &OverrideWritten,
        prefix: &[Step<'_>],
        kind: Kind,
    ) -> Option<Arc<BTreeMap<String, ParamValue>>> {
        let Some(over) = &over.params else { return Some(own.clone()) };
        let path = [prefix, &[Step::Key("params")]].concat();
        if kind == Kind::Decide {
            let message = "a script with `decide` runs once for all instances, so they share its `params`";
            self.error(&path, message, "let it tell the instances apart by their labels");
            return None;
        }
        let before = self.found.len();
        let mut params = (**own).clone();
        for (name, value) in over {
            let path = [&path[..], &[Step::Key(name)]].concat();
            let value = param(value);
            match own.get(name) {
                None => {
                    let known = own.keys().map(String::as_str);
                    let hint = match own.is_empty() {
                        true => format!("give the rule `params: {{ {name}: … }}`"),
                        false => suggest(name, "the rule has", known),
                    };
                    let message = format!("the rule has no parameter `{name}` to override");
                    self.found.push(self.written.key_error(&path, message).hint(hint));
                }
                Some(own) if type_of(own) != type_of(&value) => {
                    let message =
                        format!("`{name}` is {} in the rule, and {} here", type_of(own), type_of(&value));
                    self.error(&path, message, "give both the same type");
                }
                Some(_) => {
                    params.insert(name.clone(), value);
                }
            }
        }
        (self.found.len() == before).then(|| Arc::new(params))
    }
}

fn mode(written: Option<ModeWritten>) -> Mode {
    match written {
        Some(ModeWritten::Off) => Mode::Off,
        Some(ModeWritten::Shadow) => Mode::Shadow,
        Some(ModeWritten::Live) | None => Mode::Live,
    }
}

const fn type_of(param: &ParamValue) -> &'static str {
    match param {
        ParamValue::Null => "nothing",
        ParamValue::Bool(_) => "a truth value",
        ParamValue::Int(_) | ParamValue::Float(_) => "a number",
        ParamValue::Text(_) => "a text",
        ParamValue::List(_) => "a list",
        ParamValue::Map(_) => "a map",
    }
}
