//! Rules that people have stopped for a while. Their ticks are not looked at, and their states stand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sereno_model::Timestamp;

/// Until when a rule is not evaluated, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// The first moment at which it is evaluated again.
    pub until: Timestamp,
    /// Why, for people.
    pub why: String,
}

/// The rules that are paused.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// How many there are: mostly none, and then nobody has to look.
    count: AtomicUsize,
    by_rule: Mutex<BTreeMap<Arc<str>, Pause>>,
}

impl Pauses {
    /// Pauses a rule, or lifts that.
    pub fn set(&self, rule: &str, pause: Option<Pause>) {
        let mut by_rule = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        match pause {
            Some(pause) => drop(by_rule.insert(rule.into(), pause)),
            None => drop(by_rule.remove(rule)),
        }
        self.count.store(by_rule.len(), Ordering::Relaxed);
    }

    /// A rule has another id now.
    pub fn rename(&self, from: &str, to: &str) {
        let mut by_rule = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = by_rule.remove(from) {
            by_rule.insert(to.into(), pause);
        }
    }

    /// Whether a rule is paused at a time.
    pub fn is_paused(&self, rule: &str, time: Timestamp) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.get(rule, time).is_some()
    }

    /// The pause of a rule that holds at a time.
    pub fn get(&self, rule: &str, time: Timestamp) -> Option<Pause> {
        let by_rule = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        by_rule.get(rule).filter(|pause| time < pause.until).cloned()
    }
}
