//! The removal guard: rules do not go because files went. Somebody may have mounted the wrong folder, or half of it.
//!
//! Invariant: what is taken out of a file that is still there goes without a question; only files that are gone or empty
//! are asked about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sereno_runtime::units::format_duration;

use crate::carry::heirs;
use crate::config::Removal;
use crate::generation::Generation;
use crate::rule::Rule;

/// The share of the rules, in percent, that may vanish without anybody's word.
const REMOVED_PERCENT_MAX: usize = 30;

/// Knows which files are gone, and for how long.
#[derive(Debug)]
pub(crate) struct Guard {
    removal: Removal,
    /// By the monotonic clock.
    gone_since: BTreeMap<PathBuf, Duration>,
}

impl Guard {
    pub fn new(removal: Removal) -> Self {
        Self { removal, gone_since: BTreeMap::new() }
    }

    /// Takes in which files are gone now; those that are back are forgotten.
    pub fn notice(&mut self, vanished: &[PathBuf], now: Duration) {
        let since = |path: &PathBuf| (path.clone(), self.gone_since.get(path).copied().unwrap_or(now));
        self.gone_since = vanished.iter().map(since).collect();
    }

    /// How long until it lets go of what is gone by itself; `None` if nothing is gone, or it never does.
    pub fn lets_go_in(&self, now: Duration) -> Option<Duration> {
        let Removal::After(patience) = self.removal else { return None };
        let last = self.gone_since.values().max()?;
        Some((*last + patience).saturating_sub(now))
    }

    /// Why the rules that would go with what is gone may not go, if so. `firing` tells whether a rule fires.
    pub fn refusal(
        &self,
        active: &Generation,
        next: &Generation,
        firing: &dyn Fn(&str) -> bool,
        now: Duration,
    ) -> Option<String> {
        let left = self.lets_go_in(now);
        if self.removal == Removal::Allow || left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        let heirs = heirs(active, next);
        let goes = |rule: &&Arc<Rule>| !next.rules.contains_key(&rule.id) && !heirs.contains_key(&rule.id);
        let gone = active.rules.values().filter(goes).filter(|rule| self.gone_since.contains_key(&rule.path));
        let removed: Vec<_> = gone.map(|rule| rule.id.clone()).collect();
        let what = match removed.iter().find(|id| firing(id)) {
            Some(id) => format!("rule `{id}` fires"),
            None if removed.len() * 100 > active.rules.len() * REMOVED_PERCENT_MAX => {
                format!("{} of {} rules would go", removed.len(), active.rules.len())
            }
            None => return None,
        };
        let left = left.map_or_else(String::new, |left| {
            let seconds = Duration::from_secs(left.as_secs_f64().ceil() as u64);
            format!("; they go by themselves in {}", format_duration(seconds))
        });
        Some(format!("{} vanished, and {what}{left}", self.names()))
    }

    /// The first few of what is gone.
    fn names(&self) -> String {
        const NAMED_MAX: usize = 3;
        let mut names: Vec<String> =
            self.gone_since.keys().take(NAMED_MAX).map(|path| format!("`{}`", path.display())).collect();
        let more = self.gone_since.len().saturating_sub(NAMED_MAX);
        names.extend((more > 0).then(|| format!("{more} more files")));
        names.join(", ")
    }
}
