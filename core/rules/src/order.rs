//! The order of rules within a tick: who is named in `after` comes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rule::Rule;

/// For each rule, how many others must come before it in a row: 0 for those that need nobody. Rules that wait for each
/// other in a circle (which no generation has) come last, as if nobody had named them.
pub(crate) fn stages(rules: &BTreeMap<Arc<str>, Arc<Rule>>) -> BTreeMap<Arc<str>, usize> {
    let mut stages: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut left: Vec<&Arc<Rule>> = rules.values().collect();
    for stage in 0.. {
        let waits =
            |rule: &Arc<Rule>| rule.after.iter().any(|id| rules.contains_key(id) && !stages.contains_key(id));
        let (still, ready): (Vec<_>, Vec<_>) = left.into_iter().partition(|rule| waits(rule));
        let is_circle = ready.is_empty();
        let placed = if is_circle { still.clone() } else { ready };
        stages.extend(placed.into_iter().map(|rule| (rule.id.clone(), stage)));
        if is_circle || still.is_empty() {
            break;
        }
        left = still;
    }
    stages
}

/// The rules, each after those that it names in `after`, and otherwise in order of their ids.
pub(crate) fn in_order(rules: &BTreeMap<Arc<str>, Arc<Rule>>) -> Vec<Arc<Rule>> {
    let stages = stages(rules);
    let mut ordered: Vec<Arc<Rule>> = rules.values().cloned().collect();
    ordered.sort_by_key(|rule| (stages.get(&rule.id).copied(), rule.id.clone()));
    ordered
}
