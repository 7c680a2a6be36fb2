//! Where instances stand: those that fire, and those that are about to.
//!
//! Taken from the states themselves: of a rule that is evaluated at this moment, after that evaluation. What has been
//! decided may be seen here a moment before it is durable and told.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Level, Timestamp};

use super::Rules;
use crate::instance::InstanceState;
use crate::rule::{Labels, Mode, Rule};
use crate::state::Phase;

/// An instance that fires, recovers or is pending.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The labels that tell this instance from the rule's others.
    pub instance: Labels,
    /// The level at which it fires or is pending.
    pub level: Level,
    /// `pending`, `firing` or `recovering`.
    pub state: &'static str,
    /// Since when: it began to fire, or its condition to hold.
    pub since: Timestamp,
    /// When it fires or is resolved if nothing changes.
    pub due: Option<Timestamp>,
    /// The value that was seen last.
    pub value: Option<f64>,
    /// What was last told about it.
    pub message: Option<String>,
    /// There is no data any more.
    pub is_stale: bool,
    /// It begins to fire too often.
    pub is_flapping: bool,
    /// The rule that mutes it.
    pub muted_by: Option<Arc<str>>,
    /// Which episode it is, from 1; 0 before the first.
    pub episode: u64,
    /// The worst value of the episode, and its tick.
    pub peak: Option<(f64, Timestamp)>,
    /// Attributes that the rule gives.
    pub labels: Labels,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// The rule only runs along.
    pub is_shadow: bool,
}

impl Rules {
    /// The instances that fire, recover or are pending, in order of rules and instances. Waits for evaluations that are
    /// under way. Cost: linear in the instances.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let shared = &self.0.shared;
        let generation = self.generation();
        let mut all = Vec::new();
        for (id, slot) in shared.slots.load().iter() {
            let Some(rule) = generation.rules.get(id) else { continue };
            let mut standing: Vec<Standing> = {
                let kept = slot.kept();
                let instances = kept.state.instances.iter();
                instances.filter_map(|(labels, instance)| standing(rule, labels, instance)).collect()
            };
            let work = slot.record.work();
            for one in &mut standing {
                let told = work.firing.get(&one.instance).and_then(|firing| firing.message.as_deref());
                one.message = told.filter(|_| one.state != "pending").map(str::to_owned);
            }
            all.append(&mut standing);
        }
        all
    }
}

/// `None` for an instance that is inactive.
fn standing(rule: &Rule, labels: &Labels, instance: &InstanceState) -> Option<Standing> {
    let state = &instance.state;
    let variant = &rule.variants[rule.variant_of(labels)];
    let policy = &variant.policy;
    let last = state.last?;
    let passed = |of: Duration, must: Duration| Some(last + must.saturating_sub(of));
    let episode = state.episode.as_ref();
    let (level, since, due) = match state.phase {
        Phase::Inactive => return None,
        Phase::Pending(level) => {
            let held = state.held[level as usize].unwrap_or_default();
            let due = policy.hold[level as usize].and_then(|hold| passed(held, hold));
            (level, episode.map_or(last - held, |episode| episode.fired_at), due)
        }
        Phase::Firing => (episode?.level, episode?.fired_at, None),
        Phase::Recovering(clear) => (episode?.level, episode?.fired_at, passed(clear, policy.recover_for)),
    };
    Some(Standing {
        rule: rule.id.clone(),
        instance: labels.clone(),
        level,
        state: state.name(),
        since,
        due,
        value: instance.value,
        message: None,
        is_stale: episode.is_some_and(|episode| episode.stale),
        is_flapping: state.flapping,
        muted_by: instance.muting.by.clone(),
        episode: state.episodes,
        peak: episode.and_then(|episode| episode.peak),
        labels: variant.labels.to_vec(),
        runbook: rule.runbook.clone(),
        is_shadow: variant.mode == Mode::Shadow,
    })
}
