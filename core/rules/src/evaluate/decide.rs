//! Rules whose script decides for all instances at once: `fn decide(ctx)`.
//!
//! What it emits is seen, what is known and not emitted is absent. If it fails, nothing can be said of any instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_script::{Trace, Verdict};

use super::InstanceError;
use super::instances::{Looked, Pass};
use super::read::Failure;
use super::script;
use crate::instance::RuleState;
use crate::rule::{Labels, Mode};
use crate::state::Seen;

impl Pass<'_, '_> {
    /// Asks the script once, and steps every instance that it names or that is known.
    pub(super) fn decide(&mut self, state: &mut RuleState) {
        let Some(used) = self.rule.script() else { return };
        let tick = self.tick;
        let whole = script::ask_whole(self.rule, state, tick.tick, tick.snapshot, tick.parents);
        match script::decide(self.rule, used, &whole, &mut state.memory, self.found.account) {
            Ok((answer, memory_changed)) => {
                self.outcome.memory_changed = memory_changed;
                self.take(state, answer.given.emitted, &answer.traces);
            }
            Err(failure) => self.fail_all(state, failure),
        }
    }

    fn take(&mut self, state: &mut RuleState, emitted: Vec<(Labels, Verdict)>, traces: &[Trace]) {
        let mut said: BTreeMap<Arc<Labels>, Verdict> =
            emitted.into_iter().map(|(labels, verdict)| (Arc::new(labels), verdict)).collect();
        self.admit_emitted(state, &said);
        for (labels, instance) in &mut state.instances {
            if self.is_special(labels) {
                continue;
            }
            let (seen, value, why) = match said.remove(labels) {
                Some(verdict) => script::meaning(verdict),
                None => (Seen::Absent, None, None),
            };
            let variant = &self.rule.variants[self.rule.variant_of(labels)];
            if variant.mode == Mode::Off {
                self.turn_off(labels, instance);
                continue;
            }
            // To be named is to be seen now: that is what absence counts from.
            let is_here = matches!(seen, Seen::Judged { .. } | Seen::Held);
            let newest = is_here.then_some(self.tick.tick);
            let traces = traces.to_vec();
            let looked = Looked { seen, value, newest, why, is_here, traces, ..Looked::default() };
            self.step(labels, variant, instance, looked, None);
        }
    }

    /// Takes up the instances that the script names for the first time, as long as there may be more.
    fn admit_emitted(&mut self, state: &mut RuleState, said: &BTreeMap<Arc<Labels>, Verdict>) {
        let RuleState { instances, refused, .. } = state;
        let is_new = |labels: &&Arc<Labels>| !instances.contains_key(*labels);
        let new: Vec<Arc<Labels>> = said.keys().filter(is_new).cloned().collect();
        let room = self.rule.max_instances.saturating_sub(instances.len());
        if new.len() > room {
            self.make_room(instances, new.len() - room, |labels| said.contains_key(labels));
        }
        let room = self.rule.max_instances.saturating_sub(instances.len());
        *refused = new.len().saturating_sub(room);
        for labels in new.into_iter().take(room) {
            instances.insert(labels, self.fresh());
        }
    }

    fn fail_all(&mut self, state: &mut RuleState, failure: Failure) {
        self.outcome.broke_budget |= failure.broke_budget;
        let text = format!("{}: {}", self.rule.id, failure.text);
        let broke_budget = failure.broke_budget;
        self.outcome.errors.push(InstanceError { labels: None, text, broke_budget });
        for (labels, instance) in &mut state.instances {
            if self.is_special(labels) {
                continue;
            }
            let variant = &self.rule.variants[self.rule.variant_of(labels)];
            let looked = Looked { why: Some(failure.text.clone()), ..Looked::default() };
            self.step(labels, variant, instance, looked, None);
        }
    }
}
