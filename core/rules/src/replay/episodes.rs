//! Episodes, counted: from events alone, so that recorded ones and replayed ones are counted alike.

use std::collections::BTreeMap;
use std::time::Duration;

use sereno_model::{EventKind, Level, Notification, TimeRange, Timestamp};

use crate::report::{Episode, InstanceTotals, LabelMap, Number, Seconds, Time, Totals, label_map};

/// An episode that begins sooner than this after the one before it had ended is a flap.
const FLAP: Duration = Duration::from_secs(900);
/// How many instances are told.
const NOISIEST_MAX: usize = 20;

type Key = (String, LabelMap);

/// Counts events as they come.
#[derive(Debug)]
pub(super) struct Tracker {
    range: TimeRange,
    open: BTreeMap<Key, Open>,
    /// When the last episode of an instance ended.
    ended: BTreeMap<Key, Timestamp>,
    done: Vec<Open>,
    kinds: BTreeMap<EventKindOrder, u64>,
    events: BTreeMap<Key, u64>,
    flaps: u64,
}

/// Kinds by their names, the order in which they are told.
type EventKindOrder = &'static str;

#[derive(Clone, Debug)]
struct Open {
    key: Key,
    highest: Level,
    pending_from: Option<Timestamp>,
    fired_at: Timestamp,
    ended: Option<(Timestamp, EventKind, Option<String>)>,
    peak: Option<(f64, Timestamp)>,
    events: u64,
    reminders: u64,
    message: String,
}

/// What was counted.
#[derive(Debug)]
pub(super) struct Tracked {
    pub totals: Totals,
    pub noisiest: Vec<InstanceTotals>,
    /// Those that reach into the range.
    pub episodes: Vec<Episode>,
}

impl Tracker {
    pub fn new(range: TimeRange) -> Self {
        Self {
            range,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            done: Vec::new(),
            kinds: BTreeMap::new(),
            events: BTreeMap::new(),
            flaps: 0,
        }
    }

    /// Takes in an event. `held` is how long the condition had held when it began to fire, where that is known. Events
    /// before the range begin episodes and are not counted.
    pub fn note(&mut self, told: &Notification, held: Option<Duration>) {
        let key = (told.rule.clone(), label_map(&told.instance));
        let counts = told.tick >= self.range.start;
        if counts {
            *self.kinds.entry(told.kind.as_str()).or_default() += 1;
            if told.kind != EventKind::Reminder {
                *self.events.entry(key.clone()).or_default() += 1;
            }
        }
        if told.kind == EventKind::Firing {
            let sooner = |ended: &Timestamp| told.tick.since(*ended) < FLAP;
            self.flaps += u64::from(counts && self.ended.get(&key).is_some_and(sooner));
            self.open.insert(key.clone(), Open::new(key.clone(), told, held));
        }
        // One that began before anything is known of is taken up where it is first heard of.
        let open = self.open.entry(key.clone()).or_insert_with(|| Open::new(key.clone(), told, None));
        open.note(told);
        if open.ended.is_some() {
            self.ended.insert(key.clone(), told.tick);
            self.done.extend(self.open.remove(&key));
        }
    }

    pub fn finish(self) -> Tracked {
        let mut all = self.done;
        let still_open = self.open.len() as u64;
        all.extend(self.open.into_values());
        let in_range = |open: &Open| open.ended.as_ref().is_none_or(|(ended, ..)| *ended >= self.range.start);
        all.retain(in_range);
        all.sort_by(|a, b| (a.fired_at, &a.key).cmp(&(b.fired_at, &b.key)));
        let lasted = |open: &Open| open.lasted(self.range);
        let mut levels = BTreeMap::new();
        for open in &all {
            *levels.entry(open.highest.to_string()).or_default() += 1;
        }
        let pending = all.iter().filter_map(|open| Some(open.fired_at.since(open.pending_from?)));
        let totals = Totals {
            kinds: self.kinds.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            levels,
            episodes: all.len() as u64,
            open: still_open,
            flaps: self.flaps,
            firing_seconds: Seconds(all.iter().map(lasted).sum()),
            longest_seconds: Seconds(all.iter().map(lasted).max().unwrap_or_default()),
            median_pending_seconds: Seconds(median(pending.collect())),
        };
        let noisiest = noisiest(&self.events, &all, self.range);
        Tracked { totals, noisiest, episodes: all.into_iter().map(Episode::from).collect() }
    }
}

fn noisiest(events: &BTreeMap<Key, u64>, all: &[Open], range: TimeRange) -> Vec<InstanceTotals> {
    let mut instances: BTreeMap<&Key, InstanceTotals> = BTreeMap::new();
    let blank = |key: &Key| InstanceTotals {
        rule: key.0.clone(),
        instance: key.1.clone(),
        ..InstanceTotals::default()
    };
    for (key, count) in events {
        instances.entry(key).or_insert_with(|| blank(key)).events = *count;
    }
    for open in all {
        let instance = instances.entry(&open.key).or_insert_with(|| blank(&open.key));
        instance.episodes += 1;
        instance.firing_seconds.0 += open.lasted(range);
    }
    let mut instances: Vec<InstanceTotals> = instances.into_values().collect();
    // Stable: instances as noisy as each other stay in order.
    instances.sort_by_key(|instance| std::cmp::Reverse((instance.events, instance.episodes)));
    instances.truncate(NOISIEST_MAX);
    instances
}

impl Open {
    fn new(key: Key, told: &Notification, held: Option<Duration>) -> Self {
        Self {
            key,
            highest: told.level,
            pending_from: held.map(|held| told.fired_at - held),
            fired_at: told.fired_at,
            ended: None,
            peak: None,
            events: 0,
            reminders: 0,
            message: told.message.clone(),
        }
    }

    fn note(&mut self, told: &Notification) {
        self.highest = self.highest.max(told.level);
        self.peak = told.peak.or(self.peak);
        match told.kind {
            EventKind::Reminder => self.reminders += 1,
            _ => self.events += 1,
        }
        if matches!(told.kind, EventKind::Resolved | EventKind::Closed) {
            self.ended = Some((told.tick, told.kind, told.reason.clone()));
        }
    }

    /// How long it lasted within the range.
    fn lasted(&self, range: TimeRange) -> Duration {
        let end = self.ended.as_ref().map_or(range.end, |(ended, ..)| *ended);
        end.since(self.fired_at.max(range.start))
    }
}

impl From<Open> for Episode {
    fn from(open: Open) -> Self {
        let (rule, instance) = open.key;
        let (ended_at, ended_by, reason) = match open.ended {
            Some((tick, kind, reason)) => (Some(Time(tick)), Some(kind.to_string()), reason),
            None => (None, None, None),
        };
        Self {
            rule,
            instance,
            level: open.highest.to_string(),
            pending_from: open.pending_from.map(Time),
            fired_at: Time(open.fired_at),
            ended_at,
            ended_by,
            reason,
            peak: open.peak.map(|(value, _)| Number(value)),
            peak_at: open.peak.map(|(_, tick)| Time(tick)),
            events: open.events,
            reminders: open.reminders,
            message: open.message,
        }
    }
}

/// The middle one; of two, the lower one.
pub(super) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    let middle = durations.len().saturating_sub(1) / 2;
    durations.get(middle).copied().unwrap_or_default()
}
