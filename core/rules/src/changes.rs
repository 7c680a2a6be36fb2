//! What a change of the files means for the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::Level;
use sereno_query::Across;
use sereno_script::ParamValue;

use crate::generation::Generation;
use crate::rule::{Condition, Rule};
use crate::state::Worse;

/// The ids of the rules that a change of the files concerns, each list in order. A rule that only moved within the
/// files is in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rules that there were not before.
    pub added: Vec<Arc<str>>,
    /// Rules that there are not any more.
    pub removed: Vec<Arc<str>>,
    /// Rules that say something else, or whose scripts do.
    pub changed: Vec<Arc<str>>,
}

impl Changes {
    pub(crate) fn between(before: &Generation, after: &Generation) -> Self {
        let mut changes = Self::default();
        for (id, rule) in &after.rules {
            match before.rules.get(id) {
                None => changes.added.push(id.clone()),
                Some(old) if !is_same(old, rule) || !is_same_aggregation(rule, before, after) => {
                    changes.changed.push(id.clone());
                }
                Some(_) => {}
            }
        }
        let gone = before.rules.keys().filter(|id| !after.rules.contains_key(*id));
        changes.removed.extend(gone.cloned());
        changes
    }
}

fn is_same(a: &Rule, b: &Rule) -> bool {
    a.by == b.by
        && a.window == b.window
        && a.every == b.every
        && a.message == b.message
        && a.reminder == b.reminder
        && a.live == b.live
        && value(a) == value(b)
        && limit(a) == limit(b)
        && script(a) == script(b)
        && a.reads_the_same(b)
}

fn value(rule: &Rule) -> Option<(&str, Option<Across>)> {
    rule.value().map(|value| (value.agg.as_str(), value.across))
}

fn limit(rule: &Rule) -> Option<(f64, Worse, Level, Option<f64>)> {
    match rule.condition {
        Condition::Threshold { limit, worse, level, otherwise, .. } => Some((limit, worse, level, otherwise)),
        Condition::Script { .. } => None,
    }
}

fn script(rule: &Rule) -> Option<(&str, u32, &BTreeMap<String, ParamValue>)> {
    match &rule.condition {
        Condition::Threshold { .. } => None,
        Condition::Script { name, crc32, params, .. } => Some((name, *crc32, params)),
    }
}

fn is_same_aggregation(rule: &Rule, before: &Generation, after: &Generation) -> bool {
    rule.value().is_none_or(|value| {
        let place = format!("aggregations/{}.rhai", value.agg);
        before.library.crc32(&place) == after.library.crc32(&place)
    })
}
