//! After a restart: what the log of states does not keep, because it can be read again.

use sereno_model::Timestamp;

use super::group::{Cache, Found};
use super::{Outcome, Pass, Tick};
use crate::instance::RuleState;
use crate::rule::Rule;

impl Tick<'_> {
    /// Brings the clocks of absence up to date, by reading the windows of this tick once more: it has to be the last one
    /// that the rule was evaluated at, and the rule as it was. Changes nothing else, and is done once, after a restart.
    pub fn recall(&self, rule: &Rule, state: &mut RuleState) {
        if state.last != Some(self.tick) || self.snapshot.recovering() {
            return;
        }
        let mut cache = Cache::default();
        let mut outcome = Outcome::default();
        if let Ok(found) = cache.find(rule, self.snapshot, self.tick) {
            found.account.open(self.host);
            Pass::new(self, rule, found, &mut outcome).recall(state);
        }
        // It is not kept: the next tick is to find its series as new ones, or those that came since the restart would
        // never become instances.
        state.cache = Cache::default();
    }
}

impl Pass<'_, '_> {
    fn recall(&mut self, state: &mut RuleState) {
        let mut next = 0;
        for (labels, instance) in &mut state.instances {
            let group = self.group_of(labels, &mut next);
            // Instances that no series make are seen whenever they are looked at.
            let newest = match self.rule.is_decided_as_a_whole() || self.is_special(labels) {
                true => Some(self.tick.tick),
                false => self.newest(group),
            };
            instance.state.recall(newest);
        }
    }

    /// The time of the newest sample in the windows of an instance.
    fn newest(&mut self, group: Option<usize>) -> Option<Timestamp> {
        let tick = self.tick.tick;
        let Found { grouping, series, account } = &mut self.found;
        let members = group.map(|group| &grouping.groups[group].members)?;
        let mut room = Vec::new();
        let inputs = self.rule.inputs.iter().enumerate();
        inputs
            .filter_map(|(number, input)| {
                let all = series.get(number).copied().unwrap_or_default();
                let series = members[number].gather(all, &mut room);
                account.presence(series, input, tick).ok()?.newest
            })
            .max()
    }
}
