//! Warnings about good rules that most likely do not mean what they say.

use std::time::Duration;

use crate::template::duration_text;
use serde_yaml::Value as Yaml;
use sereno_runtime::yaml::Step;

use super::Compiler;
use crate::expression::{Comparison, Expression, Name};
use crate::rule::{How, Input, Rule, Variant};

impl Compiler<'_> {
    pub(super) fn lint(&mut self, rule: &Rule) {
        self.short_clocks(rule);
        for input in &rule.inputs {
            self.unseen_samples(rule, input);
            self.beyond_retention(input);
        }
        for variant in &rule.variants {
            self.one_sided(rule, variant);
        }
        if rule.script().is_none() {
            self.unused(rule);
        }
    }

    /// `for` and `recover_for` that are over before anybody looks again.
    fn short_clocks(&mut self, rule: &Rule) {
        let written = &self.written.written;
        let mut clocks = vec![(vec![Step::Key("for")], written.r#for)];
        clocks.push((vec![Step::Key("recover_for")], written.recover_for));
        for level in written.levels.iter().flat_map(|levels| levels.keys()).filter_map(Yaml::as_str) {
            let path = vec![Step::Key("levels"), Step::Key(level), Step::Key("for")];
            let time =
                self.written.text(&path).and_then(|text| sereno_runtime::units::parse_duration(text).ok());
            clocks.push((path, time));
        }
        for (path, time) in clocks {
            let Some(time) = time.filter(|time| !time.is_zero() && *time < rule.every) else { continue };
            let message = format!(
                "{} is shorter than the time between two ticks, {}",
                duration_text(time.as_secs_f64()),
                duration_text(rule.every.as_secs_f64())
            );
            self.warn(&path, message, "it works like one tick; make it longer, or `every` shorter");
        }
    }

    fn unseen_samples(&mut self, rule: &Rule, input: &Input) {
        let reduces = input.value.as_ref().is_none_or(|value| matches!(value.how, How::Reducer(_)));
        if !reduces || rule.is_heartbeat() || input.window >= rule.every {
            return;
        }
        let path = self.place(&self.prefix(input), "window");
        let message = format!(
            "the window of {} is shorter than the time between two ticks, {}",
            duration_text(input.window.as_secs_f64()),
            duration_text(rule.every.as_secs_f64())
        );
        self.warn(
            &path,
            message,
            "samples between two windows are never seen; make the window longer, or `every` shorter",
        );
    }

    fn beyond_retention(&mut self, input: &Input) {
        let reach = input.window.saturating_add(input.offset);
        let Some(retention) = self.around.retention.filter(|retention| reach > *retention) else { return };
        let ages = matches!(&input.value, Some(value) if matches!(value.how, How::Age));
        let prefix = self.prefix(input);
        let path = match (input.offset.is_zero(), ages) {
            (false, _) => self.place(&prefix, "offset"),
            (true, true) => self.place(&prefix, "lookback"),
            (true, false) => self.place(&prefix, "window"),
        };
        let message = format!(
            "this reads back {}, and samples are kept for {}",
            duration_text(reach.as_secs_f64()),
            duration_text(retention.as_secs_f64())
        );
        self.warn(&path, message, "what is older is gone; read less far back, or keep samples longer");
    }

    /// Conditions on `v` that always hold, or never.
    fn one_sided(&mut self, rule: &Rule, variant: &Variant) {
        let key = match (&self.written.written.limit, &self.written.written.below) {
            (Some(_), _) => "limit",
            (_, Some(_)) => "below",
            _ if self.written.written.when.is_some() => "when",
            _ => "levels",
        };
        let place = match variant.only.is_empty() {
            true => vec![Step::Key(key)],
            false => vec![Step::Key("overrides")],
        };
        for level in &variant.levels {
            let Some((comparison, limit)) = level.when.as_ref().and_then(Expression::as_bound) else {
                continue;
            };
            if let Some((never, why)) = decided_beforehand(rule, comparison, limit) {
                let answer = if never { "never" } else { "always" };
                let text = level.when.as_ref().map_or("", |when| &when.text);
                self.warn(&place, format!("`{text}` {answer} holds"), why);
            }
            let clear = level.clear.as_ref().and_then(Expression::as_bound);
            if clear.is_some_and(|clear| overlap((comparison, limit), clear)) {
                let path = if key == "levels" { place.clone() } else { vec![Step::Key("clear")] };
                let message = "the condition can be clear while it holds; then it counts as holding";
                self.warn(&path, message, "leave a gap: `when: \"v >= 80\"`, `clear: \"v < 70\"`");
            }
        }
    }

    /// Inputs and parameters that nothing reads.
    fn unused(&mut self, rule: &Rule) {
        let uses = |wanted: &dyn Fn(&Name) -> bool| uses(rule, wanted);
        if rule.inputs.len() > 1 {
            for (index, input) in rule.inputs.iter().enumerate() {
                let is_it = |name: &Name| {
                    [Name::Reading(index), Name::Samples(index), Name::Newest(index), Name::Age(index)]
                        .contains(name)
                        || (index == 0 && *name == Name::Count)
                };
                if !uses(&is_it) {
                    let message = format!("nothing uses the input `{}`", input.name);
                    let hint = "name it in `value`, `require` or a condition, or remove it";
                    let path = self.prefix(input);
                    let warning = self.written.warning(&path, message);
                    self.found.push(warning.hint(hint));
                }
            }
        }
        for param in rule.variants[0].params.keys() {
            if !uses(&|name| matches!(name, Name::Param(used) if used == param)) {
                let path = [Step::Key("params"), Step::Key(param)];
                // Those of `defaults` are for whoever needs them.
                if self.written.has_own_at(&path) {
                    let message = format!("nothing uses the parameter `{param}`");
                    self.warn(
                        &path,
                        message,
                        format!("name it in an expression, `params.{param}`, or remove it"),
                    );
                }
            }
        }
    }

    fn prefix<'b>(&self, input: &'b Input) -> Vec<Step<'b>> {
        match self.written.written.inputs {
            Some(_) => vec![Step::Key("inputs"), Step::Key(&input.name)],
            None => Vec::new(),
        }
    }
}

fn uses(rule: &Rule, wanted: &dyn Fn(&Name) -> bool) -> bool {
    let levels = rule.variants.iter().flat_map(|variant| &variant.levels);
    let conditions = levels.flat_map(|level| level.when.iter().chain(&level.clear));
    conditions.chain(&rule.value).chain(&rule.require).any(|expression| expression.uses(wanted))
        || rule.message.as_ref().is_some_and(|message| message.uses(wanted))
}

/// Whether `v`, compared like this, is decided by what it is: (whether it never holds, why).
fn decided_beforehand(rule: &Rule, comparison: Comparison, limit: f64) -> Option<(bool, String)> {
    let [input] = rule.inputs.as_slice() else { return None };
    let value = input.value.as_ref().filter(|_| rule.value.is_none())?;
    let counts =
        ["count", "rate", "increase", "stddev", "changes", "resets", "age"].contains(&value.agg.as_str());
    let more = matches!(comparison, Comparison::AtLeast | Comparison::More);
    let less = matches!(comparison, Comparison::Less | Comparison::AtMost);
    if matches!(value.how, How::Age) && more && limit > seconds(input.window) {
        let lookback = duration_text(input.window.as_secs_f64());
        return Some((
            true,
            format!("`age` grows up to `lookback`, which is {lookback}; give it a longer one"),
        ));
    }
    let why = || format!("`{}` is never below 0", value.agg);
    match counts {
        true if less && (limit < 0.0 || (limit == 0.0 && comparison == Comparison::Less)) => {
            Some((true, why()))
        }
        true if more && (limit < 0.0 || (limit == 0.0 && comparison == Comparison::AtLeast)) => {
            Some((false, why()))
        }
        _ => None,
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Whether a value can hold and be clear at once.
fn overlap(when: (Comparison, f64), clear: (Comparison, f64)) -> bool {
    let is_more = |comparison| matches!(comparison, Comparison::AtLeast | Comparison::More);
    let is_less = |comparison| matches!(comparison, Comparison::Less | Comparison::AtMost);
    match (when.0, clear.0) {
        (a, b) if is_more(a) && is_less(b) => clear.1 > when.1,
        (a, b) if is_less(a) && is_more(b) => clear.1 < when.1,
        (a, b) => (is_more(a) && is_more(b)) || (is_less(a) && is_less(b)),
    }
}
