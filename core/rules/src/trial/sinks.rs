//! What a sink gets, and when: in order, one at a time, tried again after 1 s, 2 s, 4 s, … 5 min while it is down, as
//! delivery does it.

use std::collections::BTreeMap;
use std::time::Duration;

use sereno_model::{EventKind, Notification, Timestamp};

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
/// How long a sink is not reminded of what it has heard of.
const REMINDER: Duration = Duration::from_secs(4 * 3_600);

/// A time in which a sink takes nothing: from, until.
pub(super) type Down = (Timestamp, Timestamp);

/// A rule's id and an instance of it.
type About<'a> = (&'a str, &'a [(String, String)]);

/// What a sink gets of these notifications, which are in the order in which they were decided.
pub(super) fn deliveries<'a>(told: &'a [Notification], down: &[Down]) -> Vec<(Timestamp, &'a Notification)> {
    let mut free_at = Timestamp::MIN;
    let mut last_word: BTreeMap<About<'_>, Timestamp> = BTreeMap::new();
    let mut all = Vec::new();
    for notification in told.iter().filter(|notification| notification.is_for_sinks()) {
        let about = (notification.rule.as_str(), notification.instance.as_slice());
        let is_early = |last: &Timestamp| notification.tick.since(*last) < REMINDER;
        if notification.kind == EventKind::Reminder && last_word.get(&about).is_some_and(is_early) {
            continue;
        }
        last_word.insert(about, notification.tick);
        free_at = arrives(notification.tick.max(free_at), down);
        all.push((free_at, notification));
    }
    all
}

/// When what is tried for the first time at `at` is taken.
fn arrives(mut at: Timestamp, down: &[Down]) -> Timestamp {
    let mut pause = RETRY_FIRST;
    while down.iter().any(|(from, until)| (*from..*until).contains(&at)) {
        at = at + pause;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
    at
}
