//! Counters of series that come and go, by metric name: whoever remembers a selection looks there whether it still holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sereno_model::NamePattern;

/// Rises after series of certain names came or went.
pub(crate) type Changes = Arc<AtomicU64>;

/// The counters. Names that nobody watches have none of their own.
#[derive(Debug, Default)]
pub(super) struct Births {
    all: Changes,
    names: RwLock<HashMap<Arc<str>, Changes>>,
}

/// So many names are watched before those are looked for that nobody watches any more.
const NAMES_MIN: usize = 1_024;

impl Births {
    /// The counter that rises when the series of a selection may change. Whoever looks at it and then selects has
    /// everything that was counted.
    pub(super) fn watch(&self, pattern: &NamePattern) -> Changes {
        let NamePattern::Exact(name) = pattern else { return self.all.clone() };
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(changes) = names.get(name) {
            return changes.clone();
        }
        if names.len() >= NAMES_MIN && names.len() == names.capacity() {
            names.retain(|_, changes| Arc::strong_count(changes) > 1);
        }
        let changes = Changes::default();
        names.insert(name.clone(), changes.clone());
        changes
    }

    /// A series came or went, and everybody can see it.
    pub(super) fn count(&self, name: &str) {
        self.all.fetch_add(1, Ordering::Release);
        // Whoever begins to watch after this look selects after it too.
        if let Some(changes) = self.names.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            changes.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_counted_for_itself_and_a_pattern_counts_all() {
        let births = Births::default();
        let watch = |text: &str| births.watch(&NamePattern::parse(text));
        let (cpu, disk, any) = (watch("cpu"), watch("disk"), watch("c*"));
        births.count("cpu");
        births.count("cpu");
        births.count("net");
        let counts = [&cpu, &disk, &any, &watch("cpu")].map(|changes| changes.load(Ordering::Relaxed));
        assert_eq!(counts, [2, 0, 3, 2]);
    }

    #[test]
    fn names_that_nobody_watches_are_forgotten() {
        let births = Births::default();
        let kept = births.watch(&NamePattern::parse("kept"));
        for n in 0..20_000 {
            births.watch(&NamePattern::parse(&format!("m{n}")));
        }
        let watched = births.names.read().unwrap().len();
        assert!(watched < 4 * NAMES_MIN, "{watched}");
        births.count("kept");
        assert_eq!(kept.load(Ordering::Relaxed), 1);
    }
}
