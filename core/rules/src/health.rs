//! How a rule fares over several ticks, and what that leads to: errors that last are told, budgets that break lead to
//! quarantine, longer each time.
//!
//! Pure: it takes in what came of a tick and says what has changed.

use std::time::Duration;

use crate::evaluate::{FAILING_TICKS, Outcome};

/// After so many broken budgets in a row a rule is quarantined.
const BREAKS_MAX: u32 = 10;
/// How long it is at first, and at most; it doubles from one to the other.
const QUARANTINE_MIN: Duration = Duration::from_secs(60);
const QUARANTINE_MAX: Duration = Duration::from_secs(15 * 60);
/// At how many ticks in a row a rule has to match nothing until that is told.
const UNMATCHED_TICKS: u32 = 10;

/// Something about a rule that people should know, beside its alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    /// The clock was set back.
    Clock,
    /// Its evaluation fails again and again.
    Error,
    /// It has no room for new instances.
    Limited,
    /// It is evaluated only now and then, because it breaks its budget again and again.
    Quarantined,
    /// It broke its budget, and waits in a lane of its own.
    Slow,
    /// It has never matched a series.
    Unmatched,
}

impl What {
    /// Everything.
    pub const ALL: [Self; 6] =
        [Self::Clock, Self::Error, Self::Limited, Self::Quarantined, Self::Slow, Self::Unmatched];

    /// The name in the label `what`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Error => "error",
            Self::Limited => "limited",
            Self::Quarantined => "quarantined",
            Self::Slow => "slow",
            Self::Unmatched => "unmatched",
        }
    }
}

/// How a rule has fared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    /// How many evaluations in a row have broken the budget.
    breaks: u32,
    /// How long the last quarantine was.
    quarantine: Option<Duration>,
    /// For each input, at how many ticks it has been looked for in vain; `None` once it has been found.
    unmatched: Vec<Option<u32>>,
    /// What holds, and has been told.
    holds: Vec<What>,
}

/// What has changed with a tick.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changed {
    /// What has begun or, if `false`, ended, with words for it.
    pub told: Vec<(What, bool, String)>,
    /// How long the rule is not to be evaluated from now on.
    pub quarantine: Option<Duration>,
}

impl Condition {
    /// Goes on with what was told before a restart.
    pub fn with_told(holds: Vec<What>) -> Self {
        Self { holds, ..Self::default() }
    }

    /// Takes in what came of a tick.
    pub fn note(&mut self, outcome: &Outcome, failing_ticks: u32) -> Changed {
        let mut changed = Changed::default();
        self.note_breaks(outcome.broke_budget, &mut changed);
        self.note_matches(&outcome.matched);
        let first = outcome.errors.first().map_or("", |error| error.text.as_str());
        let failing = failing_ticks >= FAILING_TICKS;
        self.tell(What::Error, failing, &mut changed, || first_line(first));
        let refused = outcome.refused;
        self.tell(What::Limited, refused > 0, &mut changed, || {
            format!("{refused} new instances are refused: it has as many as `max_instances` says")
        });
        let unmatched = self.unmatched.iter().flatten().any(|ticks| *ticks >= UNMATCHED_TICKS);
        self.tell(What::Unmatched, unmatched, &mut changed, || "no series matches what it reads".to_owned());
        changed
    }

    fn note_breaks(&mut self, broke: bool, changed: &mut Changed) {
        self.breaks = if broke { self.breaks.saturating_add(1) } else { 0 };
        if !broke {
            self.quarantine = None;
        } else if self.breaks >= BREAKS_MAX {
            let next = self.quarantine.map_or(QUARANTINE_MIN, |last| (last * 2).min(QUARANTINE_MAX));
            self.quarantine = Some(next);
            changed.quarantine = Some(next);
        }
        let quarantined = self.quarantine.is_some();
        self.tell(What::Slow, broke && !quarantined, changed, || {
            "it broke its budget, and waits behind the others until it does not".to_owned()
        });
        self.tell(What::Quarantined, quarantined, changed, || {
            "it breaks its budget again and again, and is tried only now and then".to_owned()
        });
    }

    fn note_matches(&mut self, matched: &[usize]) {
        self.unmatched.resize(matched.len(), Some(0));
        for (ticks, series) in self.unmatched.iter_mut().zip(matched) {
            *ticks = ticks.filter(|_| *series == 0).map(|ticks| ticks.saturating_add(1));
        }
    }

    fn tell(&mut self, what: What, holds: bool, changed: &mut Changed, words: impl FnOnce() -> String) {
        let known = self.holds.iter().position(|known| *known == what);
        match (known, holds) {
            (None, true) => self.holds.push(what),
            (Some(index), false) => drop(self.holds.swap_remove(index)),
            _ => return,
        }
        changed.told.push((what, holds, if holds { words() } else { String::new() }));
    }

    /// Whether it is in quarantine, or is tried for the first time after one.
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.is_some()
    }

    /// Whether an input has matched nothing so far.
    pub fn is_unmatched(&self) -> bool {
        self.unmatched.iter().any(Option::is_some)
    }

    /// What an edited rule begins with: whatever was wrong may be mended.
    pub fn forgive(&mut self) {
        self.breaks = 0;
        self.quarantine = None;
    }

    /// The rule reads something else now.
    pub fn forget_matches(&mut self) {
        self.unmatched.clear();
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::InstanceError;

    fn tick(condition: &mut Condition, broke_budget: bool, matched: &[usize]) -> Changed {
        let outcome = Outcome { broke_budget, matched: matched.to_vec(), ..Outcome::default() };
        condition.note(&outcome, 0)
    }

    #[test]
    fn a_rule_that_breaks_its_budget_is_tried_less_and_less() {
        let mut condition = Condition::default();
        let slow = tick(&mut condition, true, &[]).told;
        assert_eq!((slow[0].0, slow[0].1), (What::Slow, true));
        for _ in 2..BREAKS_MAX {
            assert_eq!(tick(&mut condition, true, &[]), Changed::default());
        }
        let minutes = [1, 2, 4, 8, 15, 15].map(|minutes| Some(Duration::from_secs(60 * minutes)));
        for (index, length) in minutes.into_iter().enumerate() {
            let changed = tick(&mut condition, true, &[]);
            assert_eq!(changed.quarantine, length);
            let told: Vec<_> = changed.told.iter().map(|(what, holds, _)| (*what, *holds)).collect();
            let first = [(What::Slow, false), (What::Quarantined, true)];
            assert_eq!(told, if index == 0 { &first[..] } else { &[] });
        }
        let told = tick(&mut condition, false, &[]).told;
        assert_eq!(told, [(What::Quarantined, false, String::new())]);
        assert_eq!(tick(&mut condition, true, &[]).quarantine, None, "it begins from the start");
    }

    #[test]
    fn errors_are_told_when_they_last_and_inputs_that_match_nothing_once() {
        let mut condition = Condition::default();
        let error = InstanceError { labels: None, text: "r: no\nmore".into(), broke_budget: false };
        let failed = Outcome { errors: vec![error], ..Outcome::default() };
        assert_eq!(condition.note(&failed, 2), Changed::default());
        assert_eq!(condition.note(&failed, 3).told, [(What::Error, true, "r: no".into())]);
        assert_eq!(condition.note(&failed, 4), Changed::default());
        assert_eq!(condition.note(&Outcome::default(), 0).told, [(What::Error, false, String::new())]);
        for _ in 1..UNMATCHED_TICKS {
            assert_eq!(tick(&mut condition, false, &[1, 0]), Changed::default());
        }
        assert_eq!(tick(&mut condition, false, &[1, 0]).told[0].0, What::Unmatched);
        assert_eq!(tick(&mut condition, false, &[1, 1]).told, [(What::Unmatched, false, String::new())]);
        for _ in 0..=UNMATCHED_TICKS {
            assert_eq!(tick(&mut condition, false, &[0, 0]), Changed::default(), "it has matched before");
        }
    }
}
