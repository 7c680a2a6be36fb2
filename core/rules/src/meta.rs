//! What the engine itself has to say: alerts of a built-in rule, `sereno.rules`, about other rules that fail, are
//! quarantined, or never match.
//!
//! Each is an instance `{rule="…", what="…"}` that fires while something is the case, and is told like any other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sereno_model::{Level, Timestamp};

use crate::board::{Firing, Record, firing_of};
use crate::evaluate::{Outcome, closed};
use crate::health::What;
use crate::instance::RuleState;
use crate::message::{Context, notification};
use crate::rule::{By, Decision, Expect, Labels, Mode, OnError, Rule, Variant};
use crate::state::{Absence, After, Flap, Levels, Look, Policy, Seen, Then, Worse};

/// The id of the built-in rule.
pub(crate) const ID: &str = "sereno.rules";

/// Stands for a rule where something is the case for all of them.
pub(crate) const ALL: &str = "*";

/// The built-in rule.
#[derive(Debug)]
pub(crate) struct Meta {
    rule: Rule,
    pub record: Record,
    state: Mutex<RuleState>,
}

/// What there is to keep, show and tell.
#[derive(Debug)]
pub(crate) struct Said {
    pub outcome: Outcome,
    pub firing: Vec<(Arc<Labels>, Option<Firing>)>,
}

impl Meta {
    /// Goes on with what fired before a restart.
    pub fn new(state: RuleState) -> Self {
        let record = Record::default();
        let firing = state.instances.iter().map(|(labels, instance)| (labels.clone(), firing_of(instance)));
        record.work().fire(firing.collect(), &[]);
        Self { rule: rule(), record, state: Mutex::new(state) }
    }

    /// What was said about a rule before the restart, and still stands.
    pub fn holds(&self, rule: &str) -> Vec<What> {
        let state = self.lock();
        What::ALL.into_iter().filter(|what| state.instances.contains_key(&labels(rule, *what))).collect()
    }

    /// The rules about which something was said.
    pub fn rules(&self) -> BTreeSet<String> {
        self.lock().instances.keys().filter_map(|labels| Some(labels.first()?.1.clone())).collect()
    }

    /// Something about `rule` begins or ends to hold at `tick`. `keep` is given what there is to keep, with the state as
    /// it is then.
    #[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
    pub fn note(
        &self,
        rule: &str,
        what: What,
        holds: bool,
        words: &str,
        tick: Timestamp,
        generation: u64,
        keep: impl FnOnce(&RuleState, Said),
    ) {
        let labels = labels(rule, what);
        let mut state = self.lock();
        state.last = Some(tick);
        let mut instance = state.instances.remove(&labels).unwrap_or_default();
        // Two things about it can happen at one tick.
        let after_last = instance.state.last.map(|last| last + Duration::from_nanos(1));
        let tick = after_last.map_or(tick, |after| tick.max(after));
        let level = if what == What::Unmatched { Level::Info } else { Level::Warn };
        let when = if holds { Levels::only(level) } else { Levels::NONE };
        let look = Look { seen: Seen::Judged { when, clear: when.complement() }, value: None, newest: None };
        let mut events = Vec::new();
        instance.state.step(&look, tick, &self.rule.variants[0].policy, &mut events);
        let mut outcome = Outcome::default();
        for event in &events {
            let text = match (rule, words) {
                (ALL, words) => words.to_owned(),
                (_, "") => format!("{rule}: {}", what.as_str()),
                (_, words) => format!("{rule}: {words}"),
            };
            let context = Context { script_text: Some(text), ..Context::default() };
            outcome.notifications.push(notification(&self.rule, &labels, event, tick, generation, &context));
        }
        let firing = firing_of(&instance);
        if firing.is_some() {
            outcome.changed.push(labels.clone());
            state.instances.insert(labels.clone(), instance);
        } else {
            outcome.forgotten.push(labels.clone());
        }
        keep(&state, Said { outcome, firing: vec![(labels, firing)] });
    }

    /// A rule is gone, and what was wrong with it. `keep` is as in [`Meta::note`].
    pub fn forget(&self, rule: &str, now: Timestamp, generation: u64, keep: impl FnOnce(&RuleState, Said)) {
        let mut state = self.lock();
        if !state.instances.keys().any(|labels| labels.first().is_some_and(|(_, value)| value == rule)) {
            return;
        }
        state.last = Some(now);
        let mut said = Said { outcome: Outcome::default(), firing: Vec::new() };
        for what in What::ALL {
            let labels = labels(rule, what);
            if let Some(mut instance) = state.instances.remove(&labels) {
                let reason = "the rule was removed";
                let told = closed(&self.rule, &labels, &mut instance, now, reason, generation);
                said.outcome.notifications.extend(told);
                said.outcome.forgotten.push(labels.clone());
                said.firing.push((labels, None));
            }
        }
        keep(&state, said);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RuleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels(rule: &str, what: What) -> Arc<Labels> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Arc::new(vec![pair("rule", rule), pair("what", what.as_str())])
}

/// Stands in for a rule of which nothing is known any more but its id, to tell how its alerts end.
pub(crate) fn stand_in(id: &Arc<str>) -> Rule {
    Rule { id: id.clone(), ..rule() }
}

fn rule() -> Rule {
    let policy = Policy {
        every: Duration::from_secs(1),
        hold: [Some(Duration::ZERO); 3],
        recover_for: Duration::ZERO,
        reminder: Duration::ZERO,
        worse: Worse::Higher,
        flap: Flap { window: Duration::from_secs(15 * 60), max: 6 },
        absence: Absence { after: After::Time(Duration::MAX), then: Then::Keep, close_after: None },
    };
    let variant = Variant {
        only: Vec::new(),
        levels: Vec::new(),
        policy,
        limit: None,
        params: Arc::default(),
        labels: Arc::default(),
        mode: Mode::Live,
    };
    Rule {
        id: ID.into(),
        renamed_from: None,
        path: "built in".into(),
        line: 0,
        inputs: Vec::new(),
        by: By::Labels(vec!["rule".to_owned(), "what".to_owned()]),
        every: policy.every,
        settle: Duration::ZERO,
        value: None,
        require: None,
        decision: Decision::Levels,
        variants: vec![variant],
        expect: Expect::default(),
        on_error: OnError::Hold,
        record: None,
        suppressed_by: Vec::new(),
        after: Vec::new(),
        max_instances: usize::MAX,
        message: None,
        runbook: None,
        state_version: 0,
        text_crc32: 0,
        logic_crc32: 0,
        links: Vec::new(),
        decide_window: Duration::ZERO,
        renamed_at: None,
    }
}
