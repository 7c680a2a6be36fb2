//! A few rules that live: instances step through the state machine over random data, and what the engine would have
//! written down is written down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sereno_model::{Confirmations, Level, Marks, Notification, Outgoing, Timestamp};
use sereno_runtime::sim_disk::Rng;
use sereno_runtime::{Disk, ManualClock, Metrics, SimDisk};

use super::super::keeper::{Commit, Keeper, Settings};
use super::super::record::{
    ChangedRule, GenerationRecord, Missed, Pause, Record, SavedInstance, SavedMemory, SavedOwn, SavedRule,
    TickRecord,
};
use crate::rule::Labels;
use crate::state::{Absence, After, Event, Flap, Levels, Look, Policy, Seen, Then, Worse};

pub(super) const EVERY: Duration = Duration::from_secs(10);

pub(super) fn directory() -> PathBuf {
    PathBuf::from("/data/rules")
}

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn policy() -> Policy {
    Policy {
        every: EVERY,
        hold: [None, Some(Duration::from_secs(20)), Some(Duration::ZERO)],
        recover_for: Duration::from_secs(20),
        reminder: Duration::from_secs(60),
        worse: Worse::Higher,
        flap: Flap { window: Duration::from_secs(300), max: 2 },
        absence: Absence {
            after: After::Intervals(3.0),
            then: Then::Keep,
            close_after: Some(Duration::from_secs(60)),
        },
    }
}

/// The states as they are, by rule; what a start has to find.
pub(super) type Truth = BTreeMap<Arc<str>, SavedRule>;

/// Everything that lives.
#[derive(Clone)]
pub(super) struct World {
    rng: Rng,
    now: i64,
    pub truth: Truth,
    /// The last look at each instance: data comes in runs.
    looks: BTreeMap<(Arc<str>, Arc<Labels>), (Seen, u64)>,
    generation: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), now: 1_000, truth: Truth::new(), looks: BTreeMap::new(), generation: 1 }
    }

    /// Goes on after a crash, with what was found.
    pub fn resume(&mut self, truth: Truth) {
        self.truth = truth;
    }

    /// The next thing that happens.
    pub fn step(&mut self, number: &mut dyn FnMut(&Arc<str>) -> u32) -> Record {
        match self.rng.below(40) {
            0 => self.change_generation(number),
            1 => self.pause(number),
            2 => Record::Missed(Missed {
                rules: vec![number(&"r1".into())],
                first: at(self.now),
                last: at(self.now + 10),
                reason: "too late".into(),
            }),
            _ => self.tick(number),
        }
    }

    fn pause(&mut self, number: &mut dyn FnMut(&Arc<str>) -> u32) -> Record {
        let rule: Arc<str> = "r2".into();
        let pause = self.rng.chance(1, 2).then(|| Pause { until: at(self.now + 100), why: "deploy".into() });
        self.truth.entry(rule.clone()).or_default().pause.clone_from(&pause);
        Record::Paused { number: number(&rule), pause }
    }

    fn change_generation(&mut self, number: &mut dyn FnMut(&Arc<str>) -> u32) -> Record {
        self.generation += 1;
        let (from, to, dropped): (Arc<str>, Arc<str>, Arc<str>) = ("r0".into(), "r9".into(), "r1".into());
        if let Some(state) = self.truth.remove(&from) {
            self.truth.insert(to.clone(), state);
        }
        self.truth.remove(&dropped);
        self.looks.clear();
        Record::Generation(GenerationRecord {
            number: self.generation,
            at: at(self.now),
            why: "files changed".into(),
            moved: vec![(number(&from), number(&to))],
            dropped: vec![number(&dropped)],
            notifications: vec![notification(&dropped, &Labels::new(), self.now, "closed", 1)],
        })
    }

    fn tick(&mut self, number: &mut dyn FnMut(&Arc<str>) -> u32) -> Record {
        self.now += if self.rng.chance(1, 20) { 70 } else { 10 };
        let mut record = TickRecord {
            tick: at(self.now),
            every: EVERY,
            generation: self.generation,
            ..TickRecord::default()
        };
        for index in 0..3 {
            let id: Arc<str> = format!("r{index}").into();
            let number = number(&id);
            record.evaluated.push(number);
            let (changed, notifications) = self.evaluate(&id, number);
            record.changed.extend(changed);
            record.notifications.extend(notifications);
        }
        Record::Tick(record)
    }

    fn evaluate(&mut self, id: &Arc<str>, number: u32) -> (Option<ChangedRule>, Vec<Notification>) {
        let tick = at(self.now);
        let mut rule = self.truth.remove(id).unwrap_or_default();
        let mut changed = ChangedRule { number, ..ChangedRule::default() };
        let mut told = Vec::new();
        rule.last = Some(tick);
        rule.own.failing_ticks = 0;
        if self.rng.chance(1, 10) {
            rule.own = SavedOwn { failing_ticks: self.rng.below(5) as u32, memory: self.memory() };
            changed.own = Some(rule.own.clone());
        }
        for host in ["a", "b"] {
            let labels: Arc<Labels> = Arc::new(vec![("host".into(), host.into())]);
            if self.rng.chance(1, 60) && rule.instances.remove(&labels).is_some() {
                changed.instances.push((labels, None));
                continue;
            }
            let before = rule.instances.get(&labels).cloned();
            let mut instance = before.clone().unwrap_or_default();
            let mut events = Vec::new();
            let look = self.look(id, &labels);
            instance.state.step(&look, tick, &policy(), &mut events);
            instance.seen = Some(look.seen);
            if look.newest.is_some() {
                instance.seen_at = Some(tick);
            }
            if self.rng.chance(1, 15) {
                instance.memory = self.memory();
            }
            let unchanged = before.as_ref().is_some_and(|before| {
                instance.state.only_went_on(&before.state, EVERY)
                    && (instance.seen, &instance.memory) == (before.seen, &before.memory)
            });
            told.extend(events.iter().map(|event| told_of(id, &labels, self.now, event)));
            if !unchanged {
                changed.instances.push((labels.clone(), Some(instance.clone())));
            }
            rule.instances.insert(labels, instance);
        }
        self.truth.insert(id.clone(), rule);
        (Some(changed).filter(|changed| changed.own.is_some() || !changed.instances.is_empty()), told)
    }

    fn memory(&mut self) -> SavedMemory {
        SavedMemory { bytes: vec![1, self.rng.below(3) as u8], crc32: 7, version: 1 }
    }

    fn look(&mut self, rule: &Arc<str>, labels: &Arc<Labels>) -> Look {
        let key = (rule.clone(), labels.clone());
        let (seen, left) = match self.looks.get(&key) {
            Some((seen, left)) if *left > 0 => (*seen, left - 1),
            _ => {
                let warn = Levels::only(Level::Warn);
                let both = warn.or(Levels::only(Level::Crit));
                let judged = |when: Levels| Seen::Judged { when, clear: when.complement() };
                let all = [
                    judged(Levels::NONE),
                    judged(warn),
                    judged(both),
                    Seen::Absent,
                    Seen::Held,
                    Seen::Failed,
                ];
                (all[self.rng.below(6) as usize], self.rng.below(9))
            }
        };
        self.looks.insert(key, (seen, left));
        let newest = (!matches!(seen, Seen::Absent | Seen::Failed)).then(|| at(self.now - 2));
        Look { seen, value: None, newest }
    }
}

fn told_of(rule: &str, labels: &Labels, now: i64, event: &Event) -> Notification {
    Notification {
        fired_at: event.fired_at,
        ..notification(rule, labels, now, event.kind.as_str(), event.number)
    }
}

pub(super) fn notification(rule: &str, labels: &Labels, now: i64, kind: &str, number: u32) -> Notification {
    Notification {
        event_id: format!("{rule}/{labels:?}/{now}/{kind}/{number}"),
        kind: kind.parse().unwrap(),
        rule: rule.to_owned(),
        instance: labels.clone(),
        level: Level::Crit,
        previous: None,
        value: Some(1.5),
        extreme: None,
        peak: Some((2.5, at(now))),
        samples: None,
        tick: at(now),
        fired_at: at(now),
        episode: 1,
        message: "m".into(),
        reason: None,
        labels: Vec::new(),
        runbook: None,
        suppressed_by: None,
        marks: Marks::default(),
        generation: 1,
    }
}

/// What a run has shown to the outside.
#[derive(Default)]
pub(super) struct Shown {
    /// For each record, after how many calls to the disk it was said to be durable.
    pub durable_after: Vec<u64>,
    /// What was sent, with the calls before it.
    pub sent: Vec<(u64, String)>,
}

/// A keeper on a disk, and what the world was like after each record.
pub(super) struct Run {
    pub disk: SimDisk,
    pub clock: Arc<ManualClock>,
    pub keeper: Keeper,
    pub world: World,
    /// The truths: before the first record, and after each.
    pub truths: Vec<Truth>,
    /// The notifications of each record.
    pub told: Vec<Vec<String>>,
    pub shown: Arc<Mutex<Shown>>,
}

/// Small files, so that there are snapshots and rotations.
pub(super) fn settings(snapshot_bytes: u64) -> Settings {
    Settings { snapshot_bytes, ..Settings::in_directory(directory()) }
}

pub(super) fn open(disk: &SimDisk, clock: &Arc<ManualClock>, settings: Settings) -> Keeper {
    try_open(disk, clock, settings, Confirmations::new(["sink"])).unwrap()
}

pub(super) fn try_open(
    disk: &SimDisk,
    clock: &Arc<ManualClock>,
    settings: Settings,
    confirmations: Confirmations,
) -> std::io::Result<Keeper> {
    let (disk, clock): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), clock.clone());
    Keeper::open(disk, clock, settings, confirmations, &Metrics::default()).map(|(keeper, _)| keeper)
}

impl Run {
    pub fn new(seed: u64, snapshot_bytes: u64) -> Self {
        let disk = SimDisk::new();
        disk.write_file("/data/other", b"the directory of the store is there already");
        Self::on(disk, World::new(seed), snapshot_bytes)
    }

    /// On a disk that may have something already.
    pub fn on(disk: SimDisk, mut world: World, snapshot_bytes: u64) -> Self {
        let clock = Arc::new(ManualClock::new(at(1_000)));
        let confirmations = Confirmations::new(["sink"]);
        let keeper = try_open(&disk, &clock, settings(snapshot_bytes), confirmations).unwrap();
        world.resume(found(&keeper));
        let truths = vec![world.truth.clone()];
        let (told, shown) = (Vec::new(), Arc::default());
        Self { disk, clock, keeper, world, truths, told, shown }
    }

    /// Writes a group of so many records.
    pub fn group(&mut self, len: usize) {
        let mut group = Vec::new();
        for _ in 0..len {
            let numbers = self.keeper.numbers.clone();
            let record = self.world.step(&mut |rule| numbers.lock().unwrap().number(rule));
            self.truths.push(self.world.truth.clone());
            self.told.push(record.notifications().iter().map(|told| told.event_id.clone()).collect());
            let (shown, disk) = (self.shown.clone(), self.disk.clone());
            let then = move |_: &[Outgoing]| shown.lock().unwrap().durable_after.push(disk.calls());
            group.push(Commit { record, then: Some(Box::new(then)) });
        }
        let (shown, disk) = (self.shown.clone(), self.disk.clone());
        self.keeper.write(group, &mut |outgoing| {
            shown.lock().unwrap().sent.push((disk.calls(), outgoing.event_id.clone()));
        });
    }

    /// Which of the truths a keeper has found.
    pub fn matches(&self, keeper: &Keeper) -> Option<usize> {
        let found = found(keeper);
        self.truths.iter().rposition(|truth| is_same(truth, &found))
    }
}

/// What a keeper has found, without rules of which there is nothing.
pub(super) fn found(keeper: &Keeper) -> Truth {
    keeper.rules()
}

/// Whether a start can go on from `found` as if there had been no crash: the same, once it has read the windows again.
pub(super) fn is_same(truth: &Truth, found: &Truth) -> bool {
    let mut recalled = found.clone();
    for (id, rule) in &mut recalled {
        for (labels, instance) in &mut rule.instances {
            let of = |truth: &Truth| truth.get(id)?.instances.get(labels)?.state.data.newest;
            instance.state.recall(of(truth));
        }
    }
    let something = |(_, rule): &(&Arc<str>, &SavedRule)| **rule != SavedRule::default();
    truth.iter().filter(something).eq(recalled.iter().filter(something))
}

/// The events that somebody has not confirmed.
pub(super) fn unconfirmed(keeper: &Keeper) -> Vec<String> {
    keeper.mirror.outbox.unconfirmed().iter().map(|outgoing| outgoing.event_id.clone()).collect()
}

/// Whether the log file, or any of the sinks, is known to have what nobody can have got yet.
pub(super) fn is_lost_for_somebody(keeper: &Keeper) -> bool {
    let sinks: Vec<_> = keeper.confirmations().skip(1).collect();
    let lacks = |outgoing: &sereno_model::Outgoing| {
        outgoing.lacking.log() && sinks.iter().all(|sink| outgoing.lacking.sink(sink))
    };
    !keeper.mirror.outbox.unconfirmed().iter().all(lacks)
}

/// A state, for tests that need just one.
pub(super) fn instance() -> SavedInstance {
    let mut instance = SavedInstance { value: Some(0.5), ..SavedInstance::default() };
    let look = Look {
        seen: Seen::Judged { when: Levels::only(Level::Crit), clear: Levels::NONE },
        value: Some(1.0),
        newest: Some(at(9)),
    };
    instance.state.step(&look, at(10), &policy(), &mut Vec::new());
    instance
}
