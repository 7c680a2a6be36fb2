//! Which instances other rules mute at a tick.

use std::collections::HashSet;
use std::sync::Arc;

use crate::instance::{Muting, Standing};
use crate::rule::{Labels, Rule, Suppression};

/// The states of other rules, decided at ticks that are not later than this one.
pub(crate) trait Parents {
    /// The instances of a rule that are pending, fire or recover; nothing is known of rules that are named in nobody's
    /// `after`.
    fn standing(&self, rule: &str) -> Option<Arc<[Standing]>>;
}

/// What mutes a rule's instances at one tick.
#[derive(Debug, Default)]
pub(super) struct Mutes(Vec<Mute>);

#[derive(Debug)]
struct Mute {
    by: Arc<str>,
    on: Vec<String>,
    /// The values of these labels that are muted.
    values: HashSet<Vec<String>>,
}

impl Mutes {
    /// Asks the parents.
    pub fn of(rule: &Rule, parents: &dyn Parents) -> Self {
        let mute = |suppression: &Suppression| {
            let standing = parents.standing(&suppression.rule)?;
            let mutes = |standing: &&Standing| suppression.from_pending || standing.level.is_some();
            let values: HashSet<Vec<String>> = standing
                .iter()
                .filter(mutes)
                .map(|standing| {
                    let owned = |label: &String| value(&standing.labels, label).to_owned();
                    suppression.on.iter().map(owned).collect()
                })
                .collect();
            let mute = Mute { by: suppression.rule.clone(), on: suppression.on.clone(), values };
            (!mute.values.is_empty()).then_some(mute)
        };
        Self(rule.suppressed_by.iter().filter_map(mute).collect())
    }

    /// The first rule that mutes an instance.
    fn by(&self, labels: &Labels) -> Option<&Arc<str>> {
        let mutes = |mute: &&Mute| {
            let values: Vec<String> = mute.on.iter().map(|label| value(labels, label).to_owned()).collect();
            mute.values.contains(&values)
        };
        self.0.iter().find(mutes).map(|mute| &mute.by)
    }

    /// Brings an instance up to date. Gives whether it has just ceased to be muted.
    pub fn apply(&self, labels: &Labels, muting: &mut Muting) -> bool {
        if self.0.is_empty() && muting.by.is_none() {
            return false;
        }
        match (self.by(labels), muting.by.is_some()) {
            (Some(by), _) => {
                *muting = Muting { by: Some(by.clone()), is_over: false };
                false
            }
            (None, true) if !muting.is_over => {
                muting.is_over = true;
                false
            }
            (None, was_muted) => {
                *muting = Muting::default();
                was_muted
            }
        }
    }
}

fn value<'a>(labels: &'a Labels, label: &str) -> &'a str {
    labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value)
}
