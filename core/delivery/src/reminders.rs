//! Which reminders sinks are told: rarely one of an alert that they know, and at once one of an alert that they do not
//! know as it stands, because something muted it before.

use std::collections::HashMap;
use std::time::Duration;

use sereno_model::{EventKind, Notification, Timestamp};

/// What sinks have been told of the alerts that fire.
#[derive(Debug, Default)]
pub(crate) struct Reminders {
    /// The tick of the last word, by rule and instance; none for an alert that they do not know as it stands.
    last_word: HashMap<(String, Labels), Option<Timestamp>>,
}

type Labels = Vec<(String, String)>;

impl Reminders {
    /// Whether sinks are told. `every` is how often they are reminded at most.
    pub fn pass(&mut self, told: &Notification, every: Duration) -> bool {
        let instance = (told.rule.clone(), told.instance.clone());
        let passes =
            told.is_for_sinks() && (told.kind != EventKind::Reminder || self.is_due(&instance, told, every));
        if matches!(told.kind, EventKind::Resolved | EventKind::Closed) {
            self.last_word.remove(&instance);
        } else if passes {
            self.last_word.insert(instance, Some(told.tick));
        } else if told.kind != EventKind::Reminder {
            self.last_word.insert(instance, None);
        }
        passes
    }

    fn is_due(&self, instance: &(String, Labels), told: &Notification, every: Duration) -> bool {
        match self.last_word.get(instance) {
            Some(Some(last)) => told.tick.since(*last) >= every,
            Some(None) | None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind::{Escalated, Firing, Reminder, Resolved};
    use sereno_plugin::testkit;

    /// Which of a story's events sinks are told; each is a minute after the one before, the flag says that it is muted.
    fn told(story: &[(EventKind, bool)]) -> Vec<usize> {
        let mut reminders = Reminders::default();
        let mut passed = Vec::new();
        for (minute, (kind, is_muted)) in story.iter().enumerate() {
            let notification = Notification {
                kind: *kind,
                tick: Timestamp::from_millis(60_000 * minute as i64),
                suppressed_by: is_muted.then(|| "parent".to_owned()),
                ..testkit::notification()
            };
            if reminders.pass(&notification, Duration::from_secs(180)) {
                passed.push(minute);
            }
        }
        passed
    }

    #[test]
    fn reminders_are_rare() {
        let story =
            [(Firing, false), (Reminder, false), (Reminder, false), (Reminder, false), (Reminder, false)];
        assert_eq!(told(&story), [0, 3]);
        let story =
            [(Firing, false), (Reminder, false), (Escalated, false), (Reminder, false), (Resolved, false)];
        assert_eq!(told(&story), [0, 2, 4]);
    }

    #[test]
    fn what_was_muted_is_told_by_the_next_reminder() {
        assert_eq!(told(&[(Firing, true), (Reminder, true), (Reminder, false), (Reminder, false)]), [2]);
        assert_eq!(told(&[(Firing, false), (Escalated, true), (Reminder, false), (Reminder, false)]), [0, 2]);
        assert_eq!(told(&[(Reminder, false), (Reminder, false)]), [0], "of an alert that nobody remembers");
    }
}
