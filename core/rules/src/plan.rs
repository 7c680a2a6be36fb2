//! What other files would mean for the rules that run: they are compiled as a reload would do it, compared with what is
//! active, and what would be different is evaluated once over what the store has now, with the states that it would
//! take over. Nothing of it has an effect.
//!
//! Not here: how a plan is told (`report`), where the states come from (`rules`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_storage::Snapshot;

use crate::carry::{Fate, carry, fates, heirs};
use crate::changes::Changes;
use crate::config::Reload as Config;
use crate::evaluate::{Detail, Outcome, Parents, Tick};
use crate::files::{Files, Script};
use crate::generation::{Generation, Host, load_as};
use crate::guard::Guard;
use crate::instance::{InstanceState, RuleState, Standing};
use crate::order::in_order;
use crate::reload::refuses;
use crate::report::{
    Finding, LabelMap, Number, Plan, PlannedInstance, PlannedRule, SCHEMA_VERSION, Time, label_map,
};
use crate::rule::{EditClass, Labels, Rule};

/// A rule file or a script, as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// For messages and, for a script, its place below the folder of scripts, like `rules/odd.rhai`.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// Whether it is a script.
    pub is_script: bool,
}

/// What a plan is made from.
pub(crate) struct Planner<'a> {
    pub host: &'a Host,
    pub config: &'a Config,
    pub active: &'a Generation,
    /// Copies of the states of all rules.
    pub states: BTreeMap<Arc<str>, RuleState>,
    pub snapshot: &'a Snapshot,
    /// When the files are evaluated, as if it were a tick.
    pub now: Timestamp,
    /// Asked between rules: whether anybody still waits.
    pub go_on: &'a dyn Fn() -> bool,
}

type States = BTreeMap<Arc<str>, RuleState>;

impl Planner<'_> {
    /// What the files would mean. Scripts among them take the place of all that there are; without any, those stay.
    /// `None` if it was cancelled.
    pub fn plan(self, files: Vec<PlannedFile>) -> Option<Plan> {
        let (files, names) = Names::give(files, &self.active.files);
        let vanished = files.vanished_since(&self.active.files);
        let number = self.active.number + 1;
        let next = load_as(number, Arc::new(files), self.host, Some(self.active));
        let changes = Changes::between(self.active, &next);
        let before = copies(&self.states);
        let mut after = carry(copies(&self.states), self.active, &next, self.now).states;
        let outcomes = self.evaluate(&next, &changes, &mut after)?;
        let comparison = Comparison {
            fates: fates(self.active, &next),
            olds: heirs(self.active, &next).into_iter().map(|(old, new)| (new, old)).collect(),
            changes: &changes,
            active: self.active,
            next: &next,
            before,
            after,
            outcomes,
            names: &names,
        };
        let rules: Vec<PlannedRule> = changes.ids().iter().map(|id| comparison.rule(id)).collect();
        let unchanged = next.rules.keys().filter(|id| !changes.ids().contains(*id)).count();
        let mut guard = Guard::new(self.config.removal);
        let monotonic = self.host.clock.monotonic();
        guard.notice(&vanished, monotonic);
        let fires = |id: &str| self.states.get(id).is_some_and(|state| state.firing() > 0);
        let refusal = refuses(&guard, self.config, self.active, &next, &fires, monotonic);
        Some(Plan {
            schema_version: SCHEMA_VERSION,
            generation: self.active.number,
            tick: Time(self.now),
            findings: next.diagnostics.iter().map(|found| names.finding(Finding::from(found))).collect(),
            rules,
            unchanged: unchanged as u64,
            refusal: refusal.map(|refusal| refusal.why().to_owned()),
        })
    }

    /// Evaluates what decides in another way than before.
    fn evaluate(
        &self,
        next: &Generation,
        changes: &Changes,
        states: &mut States,
    ) -> Option<BTreeMap<Arc<str>, Outcome>> {
        let decides_anew = |rule: &&Arc<Rule>| {
            let is_new = changes.added.binary_search(&rule.id).is_ok();
            let class = changes.classes.get(&rule.id);
            rule.is_on() && (is_new || class.is_some_and(|class| *class >= EditClass::Logic))
        };
        let snapshot = self.snapshot.at(self.now);
        let rules = in_order(&next.rules);
        let mut outcomes = BTreeMap::new();
        for rule in rules.iter().filter(decides_anew) {
            if !(self.go_on)() {
                return None;
            }
            let mut state = states.remove(&rule.id).unwrap_or_default();
            let tick = Tick {
                host: self.host,
                snapshot: &snapshot,
                tick: self.now,
                generation: next.number,
                parents: &StandingOf(states),
                detail: Detail::None,
            };
            outcomes.insert(rule.id.clone(), tick.evaluate(rule, &mut state));
            states.insert(rule.id.clone(), state);
        }
        Some(outcomes)
    }
}

fn copies(states: &States) -> States {
    states.iter().map(|(id, state)| (id.clone(), state.trial_copy())).collect()
}

struct StandingOf<'a>(&'a States);

impl Parents for StandingOf<'_> {
    fn standing(&self, rule: &str) -> Option<Arc<[Standing]>> {
        self.0.get(rule).map(RuleState::standing)
    }
}

/// Everything that tells what becomes of a rule.
struct Comparison<'a> {
    fates: BTreeMap<Arc<str>, Fate>,
    /// What rules were called before, by what they would be.
    olds: BTreeMap<Arc<str>, Arc<str>>,
    changes: &'a Changes,
    active: &'a Generation,
    next: &'a Generation,
    before: States,
    after: States,
    outcomes: BTreeMap<Arc<str>, Outcome>,
    names: &'a Names,
}

impl Comparison<'_> {
    fn rule(&self, id: &Arc<str>) -> PlannedRule {
        let old = self.olds.get(id).unwrap_or(id);
        let place = self.next.rules.get(id).or_else(|| self.active.rules.get(id));
        let outcome = self.outcomes.get(id);
        let mut planned = PlannedRule {
            rule: id.to_string(),
            class: self.class(id).to_owned(),
            renamed_from: self.olds.get(id).map(ToString::to_string),
            path: place.map(|rule| self.names.shown(&rule.path)).unwrap_or_default(),
            line: place.map_or(0, |rule| rule.line),
            errors: outcome
                .map(|outcome| outcome.errors.iter().map(|error| error.text.clone()).collect())
                .unwrap_or_default(),
            unobserved: outcome.is_some_and(|outcome| outcome.unobserved),
            ..PlannedRule::default()
        };
        let (before, after) = (self.before.get(old), self.after.get(id));
        let ends = match self.fates.get(old) {
            Some(Fate::Ends(reason)) => Some(*reason),
            _ => None,
        };
        if let Some(reason) = ends {
            // What there is ends, and what there would be has nothing to do with it.
            self.compare(before, None, Some(reason), &mut planned);
            self.compare(None, after, None, &mut planned);
        } else {
            self.compare(before, after, None, &mut planned);
        }
        planned
    }

    fn class(&self, id: &Arc<str>) -> &'static str {
        let is_in = |ids: &[Arc<str>]| ids.binary_search(id).is_ok();
        match self.changes.classes.get(id) {
            _ if is_in(&self.changes.added) => "added",
            _ if is_in(&self.changes.removed) => "removed",
            _ if self.olds.contains_key(id) => "renamed",
            Some(class) => class.as_str(),
            None => EditClass::Same.as_str(),
        }
    }

    fn compare(
        &self,
        before: Option<&RuleState>,
        after: Option<&RuleState>,
        reason: Option<&str>,
        planned: &mut PlannedRule,
    ) {
        let instances = |state: Option<&RuleState>| -> BTreeMap<Arc<Labels>, InstanceState> {
            state.map(|state| state.instances.clone()).unwrap_or_default()
        };
        let (before, after) = (instances(before), instances(after));
        let all: BTreeSet<&Arc<Labels>> = before.keys().chain(after.keys()).collect();
        for labels in all {
            let (old, new) = (before.get(labels), after.get(labels));
            let is_active = |one: Option<&InstanceState>| one.is_some_and(|one| !one.state.is_inactive());
            let level = |one: Option<&InstanceState>| one.and_then(|one| one.state.level());
            let list = match (is_active(old), is_active(new)) {
                (true, false) => &mut planned.closes,
                (false, true) => &mut planned.opens,
                (true, true) if level(old).is_none() && level(new).is_some() => &mut planned.opens,
                (true, true) if level(old) != level(new) => &mut planned.changes,
                _ => {
                    planned.keeps += u64::from(new.is_some());
                    continue;
                }
            };
            list.push(instance(label_map(labels), old, new, reason));
        }
    }
}

fn instance(
    labels: LabelMap,
    old: Option<&InstanceState>,
    new: Option<&InstanceState>,
    reason: Option<&str>,
) -> PlannedInstance {
    let state = |one: Option<&InstanceState>| one.map_or("inactive", |one| one.state.name()).to_owned();
    let level = |one: Option<&InstanceState>| Some(one?.state.level()?.as_str().to_owned());
    PlannedInstance {
        instance: labels,
        state: state(old),
        becomes: state(new),
        level: level(old),
        becomes_level: level(new),
        value: new.and_then(|one| one.value).map(Number),
        reason: reason.map(str::to_owned),
    }
}

/// How the files are called by whoever asks, by what they are called here: a file that has the name of an active one is
/// taken for that, wherever the folder lies, so that what is broken in it is kept as a reload would do it.
#[derive(Debug, Default)]
struct Names(BTreeMap<PathBuf, PathBuf>);

impl Names {
    fn give(files: Vec<PlannedFile>, active: &Files) -> (Files, Self) {
        let mut names = Self::default();
        let mut given = Files::default();
        let (scripts, rules): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.is_script);
        let paths: Vec<PathBuf> = rules.iter().map(|file| file.path.clone()).collect();
        for PlannedFile { path, text, .. } in rules {
            let is_like = |other: &&PathBuf| other.file_name() == path.file_name();
            let alike = |paths: &mut dyn Iterator<Item = PathBuf>| {
                paths.filter(|other| is_like(&other)).take(2).collect::<Vec<_>>()
            };
            let (here, there) = (alike(&mut active.rules.keys().cloned()), alike(&mut paths.iter().cloned()));
            let name = match (here.as_slice(), there.len()) {
                _ if active.rules.contains_key(&path) => path.clone(),
                ([one], 1) => one.clone(),
                _ => path.clone(),
            };
            names.0.insert(name.clone(), path);
            given.rules.insert(name, Ok(text.into()));
        }
        if scripts.is_empty() {
            given.scripts.clone_from(&active.scripts);
        }
        for PlannedFile { path, text, .. } in scripts {
            let place = path.to_string_lossy().into_owned();
            let display =
                active.scripts.get(&place).map_or_else(|| path.clone(), |script| script.display.clone());
            names.0.insert(display.clone(), path);
            given.scripts.insert(place, Script { display, content: Ok(text.into()) });
        }
        (given, names)
    }

    fn shown(&self, path: &PathBuf) -> String {
        self.0.get(path).unwrap_or(path).display().to_string()
    }

    fn finding(&self, finding: Finding) -> Finding {
        let path = self.shown(&PathBuf::from(&finding.path));
        Finding { path, ..finding }
    }
}
