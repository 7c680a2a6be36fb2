//! What tests have reached: which rules, levels and overrides have fired, which scripts were called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sereno_model::Notification;

use super::run::Played;
use crate::generation::Generation;
use crate::report::{Coverage, LevelCoverage, RuleCoverage, ScriptCoverage};
use crate::rule::{Mode, Rule, Variant};
use crate::state::{Levels, Then};

/// The level of a rule of which only its script knows the levels.
const ANY: &str = "any";

/// What tests have reached. Those of several threads are put together.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// By file and id: the rules of a test itself are no one else's.
    rules: BTreeMap<(PathBuf, String), RuleCoverage>,
    /// By file: the place below the scripts folder, and whether it was called.
    scripts: BTreeMap<PathBuf, ScriptCoverage>,
}

impl Reached {
    /// Knows of rules and scripts, tested or not. Those that stand in `test` itself are left out.
    pub fn know(&mut self, generation: &Generation, test: Option<&Path>) {
        for rule in generation.rules.values().filter(|rule| Some(rule.path.as_path()) != test) {
            self.rule(rule);
        }
        for (place, script) in &generation.files.scripts {
            if place.starts_with("rules/") || place.starts_with("aggregations/") {
                self.script(&script.display, place);
            }
        }
    }

    /// Takes in what a test has done.
    pub fn note(&mut self, played: &Played, test: &Path) {
        for generation in &played.generations {
            self.know(generation, Some(test));
        }
        let mut counted = BTreeSet::new();
        for generation in &played.generations {
            for rule in generation.rules.values().filter(|rule| played.evaluated.contains(&*rule.id)) {
                self.call_scripts(rule, generation);
                if rule.path == test {
                    continue;
                }
                let entry = self.rule(rule);
                entry.tests += u64::from(counted.insert((rule.path.clone(), rule.id.clone())));
                for told in played.told.iter().filter(|told| told.generation == generation.number) {
                    fired(entry, rule, told);
                }
            }
        }
    }

    /// Takes in that scripts were called.
    pub fn call(&mut self, called: &BTreeSet<(PathBuf, String)>) {
        for (path, place) in called {
            self.script(path, place).called = true;
        }
    }

    /// Puts both together.
    pub fn merge(&mut self, other: Self) {
        for (key, rule) in other.rules {
            match self.rules.get_mut(&key) {
                Some(known) => join(known, &rule),
                None => drop(self.rules.insert(key, rule)),
            }
        }
        for (path, script) in other.scripts {
            self.script(&path, &script.script).called |= script.called;
        }
    }

    pub fn report(self) -> Coverage {
        let mut rules: Vec<RuleCoverage> = self.rules.into_values().collect();
        rules.sort_by(|a, b| (&a.rule, &a.path).cmp(&(&b.rule, &b.path)));
        let mut scripts: Vec<ScriptCoverage> = self.scripts.into_values().collect();
        scripts.sort_by(|a, b| a.script.cmp(&b.script));
        Coverage { rules, scripts }
    }

    fn rule(&mut self, rule: &Rule) -> &mut RuleCoverage {
        let key = (rule.path.clone(), rule.id.to_string());
        self.rules.entry(key).or_insert_with(|| RuleCoverage {
            rule: rule.id.to_string(),
            path: rule.path.display().to_string(),
            line: rule.line,
            levels: levels(rule),
            ..RuleCoverage::default()
        })
    }

    fn script(&mut self, path: &Path, place: &str) -> &mut ScriptCoverage {
        let new = || ScriptCoverage { script: place.to_owned(), called: false };
        self.scripts.entry(path.to_owned()).or_insert_with(new)
    }

    fn call_scripts(&mut self, rule: &Rule, generation: &Generation) {
        let script = rule.script().map(|script| format!("rules/{}", script.name));
        let values = rule.inputs.iter().filter_map(|input| input.value.as_ref());
        let name = |agg: &str| agg.split('.').next().unwrap_or(agg).to_owned();
        let aggregations = values.map(|value| format!("aggregations/{}.rhai", name(&value.agg)));
        for place in script.into_iter().chain(aggregations) {
            if let Some(script) = generation.files.scripts.get(&place) {
                self.script(&script.display, &place).called = true;
            }
        }
    }
}

/// The levels that a test can make fire.
fn levels(rule: &Rule) -> Vec<LevelCoverage> {
    let all = rule.variants.iter().enumerate().filter(|(_, variant)| variant.mode != Mode::Off);
    let levels = all.flat_map(|(index, variant)| {
        levels_of(rule, variant).into_iter().map(move |level| (index, level)).collect::<Vec<_>>()
    });
    let entry =
        |(index, level): (usize, String)| LevelCoverage { level, variant: index as u32, fired: false };
    levels.map(entry).collect()
}

fn levels_of(rule: &Rule, variant: &Variant) -> Vec<String> {
    let own: Levels = variant.levels.iter().map(|level| level.level).collect();
    let of_absence = match variant.policy.absence.then {
        Then::Alert(level) => Levels::only(level),
        Then::Keep | Then::Resolve => Levels::NONE,
    };
    match (own, rule.script()) {
        // Which levels a script has only it can tell; that it fires at all is what a test can show.
        (Levels::NONE, Some(_)) => vec![ANY.to_owned()],
        (own, _) => own.or(of_absence).iter().map(|level| level.to_string()).collect(),
    }
}

fn fired(entry: &mut RuleCoverage, rule: &Rule, told: &Notification) {
    if told.rule != *rule.id {
        return;
    }
    let kind = told.kind.to_string();
    if !entry.kinds.contains(&kind) {
        entry.kinds.push(kind);
        entry.kinds.sort();
    }
    let variant = rule.variant_of(&told.instance) as u32;
    let level = told.level.to_string();
    for known in entry.levels.iter_mut().filter(|known| known.variant == variant) {
        known.fired |= known.level == ANY || known.level == level;
    }
}

fn join(known: &mut RuleCoverage, other: &RuleCoverage) {
    known.tests += other.tests;
    known.kinds.extend(other.kinds.iter().cloned());
    known.kinds.sort();
    known.kinds.dedup();
    for (level, other) in known.levels.iter_mut().zip(&other.levels) {
        level.fired |= other.fired;
    }
}
