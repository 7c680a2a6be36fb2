//! Notifications on their way out: numbered, so that whoever gets them can say how far it is.
//!
//! Numbers rise from 1 over the life of a storage directory, restarts included, and are never given twice. 0 stands for
//! a notification that nobody keeps: nothing has to be said about it.

use std::collections::{HashSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::notification::{EventKind, Notification};

/// A notification on its way to the log file, the monitors and the sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Its number.
    pub number: u64,
    /// What is told.
    pub notification: Arc<Notification>,
    /// Who has not got it yet.
    pub lacking: Lacking,
}

/// Who has not got a notification yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Nobody has: it is new.
    All,
    /// It was on its way when the server ended, and these did not confirm it.
    Only {
        /// Whether the log file, and with it the monitors, may lack it.
        log: bool,
        /// The names of the sinks.
        sinks: Vec<Arc<str>>,
    },
}

impl Lacking {
    /// Whether the log file, and with it the monitors, may lack it.
    #[must_use]
    pub fn log(&self) -> bool {
        match self {
            Self::All => true,
            Self::Only { log, .. } => *log,
        }
    }

    /// Whether a sink lacks it.
    #[must_use]
    pub fn sink(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only { sinks, .. } => sinks.iter().any(|sink| **sink == *name),
        }
    }
}

impl Deref for Outgoing {
    type Target = Notification;

    fn deref(&self) -> &Notification {
        &self.notification
    }
}

impl From<Notification> for Outgoing {
    /// One that nobody keeps.
    fn from(notification: Notification) -> Self {
        Self { number: 0, notification: Arc::new(notification), lacking: Lacking::All }
    }
}

/// How far the log file and each sink are: where they say so, and where it is read. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Confirmations(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    log: AtomicU64,
    sinks: Vec<(Arc<str>, AtomicU64)>,
}

/// The name under which the log file confirms; no sink has it.
pub const LOG: &str = "";

impl Confirmations {
    /// For the log file and these sinks.
    pub fn new(sinks: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let sinks = sinks.into_iter().map(|sink| (sink.into(), AtomicU64::new(0))).collect();
        Self(Arc::new(Marks { log: AtomicU64::new(0), sinks }))
    }

    /// All notifications up to this number are done with: delivered, rejected for good, or not for this one. `name`
    /// is a sink's, or [`LOG`]; others are ignored. Never goes back.
    pub fn confirm(&self, name: &str, up_to: u64) {
        let mark = match name {
            LOG => Some(&self.0.log),
            name => self.0.sinks.iter().find(|(sink, _)| **sink == *name).map(|(_, mark)| mark),
        };
        if let Some(mark) = mark {
            mark.fetch_max(up_to, Ordering::AcqRel);
        }
    }

    /// How far each is, the log file first.
    pub fn read(&self) -> impl Iterator<Item = (Arc<str>, u64)> + '_ {
        let log = (Arc::from(LOG), self.0.log.load(Ordering::Acquire));
        let sinks = self.0.sinks.iter();
        std::iter::once(log).chain(sinks.map(|(name, mark)| (name.clone(), mark.load(Ordering::Acquire))))
    }
}

/// Makes room among notifications that wait, oldest first: reminders go first, then events of an instance that has
/// newer ones, until there are no more than `len_max`. The newest event of an instance always stays, so more may be
/// left. Gives how many went. Cost: linear.
pub fn compact(waiting: &mut VecDeque<Outgoing>, len_max: usize) -> usize {
    let before = waiting.len();
    let mut excess = before.saturating_sub(len_max);
    let mut stays = newest_of_each(waiting);
    for reminders_only in [true, false] {
        for (outgoing, stays) in waiting.iter().zip(&mut stays) {
            let is_spare =
                *stays == Stays::IfThereIsRoom && (!reminders_only || outgoing.kind == EventKind::Reminder);
            if excess > 0 && is_spare {
                excess -= 1;
                *stays = Stays::No;
            }
        }
    }
    let mut stays = stays.into_iter();
    waiting.retain(|_| stays.next() != Some(Stays::No));
    before - waiting.len()
}

/// Whether one of those that wait goes on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// It is the newest of its instance.
    Yes,
    IfThereIsRoom,
    No,
}

/// For each, whether it is the newest event of its instance: among those that sinks are told, and among those that they
/// are not, apart, for what is not told overtakes nothing. A reminder is one only where nothing else waits for the
/// instance: it then tells that it still fires.
fn newest_of_each(waiting: &VecDeque<Outgoing>) -> Vec<Stays> {
    let mut seen = HashSet::new();
    let mut stays = vec![Stays::IfThereIsRoom; waiting.len()];
    for reminders in [false, true] {
        for (outgoing, stays) in waiting.iter().zip(&mut stays).rev() {
            let notification = &outgoing.notification;
            let is_meant = (notification.kind == EventKind::Reminder) == reminders;
            if is_meant
                && seen.insert((&notification.rule, &notification.instance, notification.is_for_sinks()))
            {
                *stays = Stays::Yes;
            }
        }
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Level, Marks};
    use crate::sample::Timestamp;

    fn outgoing(number: u64, host: &str, kind: EventKind) -> Outgoing {
        let notification = Notification {
            event_id: number.to_string(),
            kind,
            rule: "r".into(),
            instance: vec![("host".into(), host.into())],
            level: Level::Crit,
            previous: None,
            value: None,
            extreme: None,
            peak: None,
            samples: None,
            tick: Timestamp::from_nanos(0),
            fired_at: Timestamp::from_nanos(0),
            episode: 1,
            message: String::new(),
            reason: None,
            labels: Vec::new(),
            runbook: None,
            suppressed_by: None,
            marks: Marks::default(),
            generation: 1,
        };
        Outgoing { number, notification: Arc::new(notification), lacking: Lacking::All }
    }

    #[test]
    fn reminders_go_first_then_older_events_and_the_newest_never() {
        use EventKind::{Escalated, Firing, Reminder, Resolved};
        let all = [
            (1, "a", Firing),
            (2, "a", Reminder),
            (3, "b", Firing),
            (4, "a", Escalated),
            (5, "a", Reminder),
            (6, "b", Resolved),
            (7, "c", Reminder),
        ];
        let left = |len_max: usize| {
            let mut waiting: VecDeque<_> =
                all.iter().map(|(number, host, kind)| outgoing(*number, host, *kind)).collect();
            let gone = compact(&mut waiting, len_max);
            let numbers: Vec<_> = waiting.iter().map(|outgoing| outgoing.number).collect();
            assert_eq!(gone + numbers.len(), all.len());
            numbers
        };
        assert_eq!(left(9), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(left(6), [1, 3, 4, 5, 6, 7]);
        assert_eq!(left(5), [1, 3, 4, 6, 7]);
        assert_eq!(left(4), [3, 4, 6, 7]);
        assert_eq!(left(0), [4, 6, 7], "what stands is told, whatever it costs");
    }

    #[test]
    fn confirmations_never_go_back() {
        let confirmations = Confirmations::new(["a"]);
        confirmations.confirm("a", 5);
        confirmations.confirm("a", 3);
        confirmations.confirm(LOG, 7);
        confirmations.confirm("unknown", 9);
        assert_eq!(confirmations.read().collect::<Vec<_>>(), [(LOG.into(), 7), ("a".into(), 5)]);
    }

    #[test]
    fn what_has_no_number_makes_room_like_any_other() {
        let mut waiting: VecDeque<_> =
            (0..20).map(|n| outgoing(0, ["a", "b"][n % 2], EventKind::Firing)).collect();
        assert_eq!((compact(&mut waiting, 5), waiting.len()), (15, 5));
    }

    #[test]
    fn what_sinks_are_not_told_overtakes_nothing() {
        let muted = |number, host| {
            let plain = outgoing(number, host, EventKind::Reminder);
            let notification =
                Notification { suppressed_by: Some("p".into()), ..(*plain.notification).clone() };
            Outgoing { notification: Arc::new(notification), ..plain }
        };
        let mut waiting = VecDeque::from([outgoing(1, "a", EventKind::Firing), muted(2, "a"), muted(3, "a")]);
        compact(&mut waiting, 1);
        let numbers: Vec<_> = waiting.iter().map(|outgoing| outgoing.number).collect();
        assert_eq!(numbers, [1, 3], "the last word that a sink gets, and the newest of the others");
    }
}
