//! What becomes of the states of rules when one generation takes the place of another: a pure function of both.
//!
//! ```text
//!  the rule in the new generation        its state
//!  says the same, other words, logic     goes on: instances, clocks, memory
//!  has it as `renamed_from`              goes on under the new id
//!  has other `by` or metrics             is closed, and begins anew
//!  is turned off, or gone                is closed
//! ```
//!
//! Invariants:
//! * nothing that fires ends without a `closed` event and its reason; nothing is resolved;
//! * a state goes to one rule at most, and a rule takes one at most;
//! * what nobody has edited is not touched: the same content gives no event.
//!
//! Not here: memory of another `state_version`, which the next evaluation migrates (`evaluate`).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::{Notification, Timestamp};

use crate::class::edit_class;
use crate::evaluate::closed;
use crate::generation::Generation;
use crate::instance::RuleState;
use crate::rule::{EditClass, Mode, Rule};

pub(crate) const REMOVED: &str = "the rule was removed";
const TURNED_OFF: &str = "the rule was turned off";
const OTHER_IDENTITY: &str = "its `metric` or `by` has changed";

/// What becomes of the state of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on; the edit was of this class, which is not [`EditClass::Identity`].
    Stays(EditClass),
    /// It goes on under this id.
    Moves(Arc<str>),
    /// Its instances are closed, for this reason.
    Ends(&'static str),
}

/// What came of carrying states over.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The states that go on, by the ids of the new generation. A rule without one begins anew.
    pub states: BTreeMap<Arc<str>, RuleState>,
    /// What is closed, in order of rules and instances.
    pub notifications: Vec<Notification>,
}

/// Carries the states of `from` over to `to`. States of rules that `from` does not have are dropped.
pub(crate) fn carry(
    mut states: BTreeMap<Arc<str>, RuleState>,
    from: &Generation,
    to: &Generation,
    now: Timestamp,
) -> Carried {
    let mut carried = Carried::default();
    for (id, fate) in fates(from, to) {
        let Some(mut state) = states.remove(&id) else { continue };
        let heir = match fate {
            Fate::Stays(_) => id,
            Fate::Moves(heir) => heir,
            Fate::Ends(reason) => {
                carried.notifications.extend(close(&from.rules[&id], state, reason, now, to.number));
                continue;
            }
        };
        carried.notifications.extend(close_turned_off(&to.rules[&heir], &mut state, now, to.number));
        carried.states.insert(heir, state);
    }
    carried
}

/// What becomes of the state of each rule of `from` that is evaluated, by its id.
pub(crate) fn fates(from: &Generation, to: &Generation) -> BTreeMap<Arc<str>, Fate> {
    let heirs = heirs(from, to);
    let fate = |(id, old): (&Arc<str>, &Arc<Rule>)| {
        let fate = match (heirs.get(id), to.rules.get(id)) {
            (Some(heir), _) => Fate::Moves(heir.clone()),
            (None, None) => Fate::Ends(REMOVED),
            (None, Some(new)) if !new.is_on() => Fate::Ends(TURNED_OFF),
            (None, Some(new)) => match edit_class(new, old) {
                EditClass::Identity => Fate::Ends(OTHER_IDENTITY),
                class => Fate::Stays(class),
            },
        };
        (id.clone(), fate)
    };
    from.rules.iter().filter(|(_, rule)| rule.is_on()).map(fate).collect()
}

/// The rules that take over the state of another one, by the id of that one.
///
/// A rename counts in the change that brings it: a `renamed_from` that stands there from before says nothing any more.
/// Whole chains and swaps move at once. A rule that keeps its id and its identity keeps its state, whoever else claims it.
pub(crate) fn heirs(from: &Generation, to: &Generation) -> BTreeMap<Arc<str>, Arc<str>> {
    let is_news =
        |new: &Rule| from.rules.get(&new.id).is_none_or(|before| before.renamed_from != new.renamed_from);
    let fits = |new: &Rule, old: &str| {
        from.rules.get(old).is_some_and(|old| old.is_on() && new.is_on() && new.same_identity(old))
    };
    let mut heirs: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    for new in to.rules.values() {
        let Some(old) = new.renamed_from.as_ref().filter(|old| **old != new.id) else { continue };
        if is_news(new) && fits(new, old) {
            // Of two that claim the same state, the first in order gets it.
            heirs.entry(old.clone()).or_insert_with(|| new.id.clone());
        }
    }
    let keeps_its_own = |id: &Arc<str>| to.rules.get(id).is_some_and(|rule| fits(rule, id));
    loop {
        let receivers: Vec<&Arc<str>> = heirs.values().collect();
        let conflict = heirs.iter().find(|(old, new)| {
            let old_is_free = receivers.contains(old) || !keeps_its_own(old);
            let new_is_free = heirs.contains_key(*new) || !keeps_its_own(new);
            !(old_is_free && new_is_free)
        });
        let Some((old, _)) = conflict else { return heirs };
        let old = old.clone();
        heirs.remove(&old);
    }
}

/// Ends the instances of a rule for a reason that is no recovery. `generation` is the one that ends them.
pub(crate) fn close(
    rule: &Rule,
    state: RuleState,
    reason: &str,
    now: Timestamp,
    generation: u64,
) -> Vec<Notification> {
    let mut told = Vec::new();
    for (labels, mut instance) in state.instances {
        told.extend(closed(rule, &labels, &mut instance, now, reason, generation));
    }
    told
}

/// Ends the instances that an override of the rule turns off.
pub(crate) fn close_turned_off(
    rule: &Rule,
    state: &mut RuleState,
    now: Timestamp,
    generation: u64,
) -> Vec<Notification> {
    if rule.variants.iter().all(|variant| variant.mode != Mode::Off) {
        return Vec::new();
    }
    let mut told = Vec::new();
    state.instances.retain(|labels, instance| {
        let is_off = rule.variants[rule.variant_of(labels)].mode == Mode::Off;
        if is_off {
            told.extend(closed(rule, labels, instance, now, TURNED_OFF, generation));
        }
        !is_off
    });
    told
}
