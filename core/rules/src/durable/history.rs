//! What was written, to look things up in: for explain and replay. It reads the logs, also the one that is being
//! written, and knows nothing that they do not say.
//!
//! Cost: linear in the logs that may have something of the time asked for.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sereno_model::{Notification, Timestamp};
use sereno_runtime::Disk;
use sereno_storage::Late;

use super::convert::take;
use super::frame::{Loaded, Opened, Role};
use super::record::{Record, TickRecord};
use super::recover::logs;
use super::save::take_evidence;
use super::wire;
use crate::evaluate::Evidence;
use crate::rule::Labels;

/// What was written. Clones share what is known of the files.
#[derive(Clone, Debug)]
pub(crate) struct History {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// The times that the ticks of a log have, for those that grow no more.
    spans: Arc<Mutex<BTreeMap<u64, Span>>>,
}

/// From the first to the last tick.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

impl Span {
    const NONE: Self = Self { first: Timestamp::MAX, last: Timestamp::MIN };

    fn add(&mut self, first: Timestamp, last: Timestamp) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What was told of an instance, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transition {
    pub notification: Notification,
    /// As far as it was written down; its `events` are not.
    pub evidence: Option<Evidence>,
}

/// Ticks of a rule, one after the other, with which the same happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub first: Timestamp,
    /// The last one, itself included.
    pub last: Timestamp,
    pub every: Duration,
    /// Why they were not evaluated; `None` if they were.
    pub missed: Option<String>,
}

/// When another generation took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    pub generation: u64,
    pub at: Timestamp,
    pub why: String,
}

impl History {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self { disk, directory, spans: Arc::default() }
    }

    /// What a rule told from `first` to `last`, both included, in order; of one instance or of all.
    ///
    /// # Errors
    /// The logs cannot be read. What is damaged in them is missing.
    pub fn transitions(
        &self,
        rule: &str,
        instance: Option<&Labels>,
        first: Timestamp,
        last: Timestamp,
    ) -> io::Result<Vec<Transition>> {
        let mut transitions = Vec::new();
        let is_meant = |told: &Notification| {
            told.rule == rule
                && instance.is_none_or(|instance| *instance == told.instance)
                && (first..=last).contains(&told.tick)
        };
        self.read(first, last, |record, _| {
            let mut evidence: HashMap<Labels, wire::Evidence> = HashMap::new();
            let notifications = match record {
                Record::Tick(tick) => {
                    let of_rule = tick.evidence.into_iter().filter(|evidence| evidence.rule == rule);
                    evidence.extend(of_rule.map(|evidence| (labels(&evidence), evidence)));
                    tick.notifications
                }
                Record::Generation(generation) => generation.notifications,
                _ => return,
            };
            for notification in notifications.into_iter().filter(is_meant) {
                let evidence = evidence.get(&notification.instance).cloned().and_then(take_evidence);
                transitions.push(Transition { notification, evidence });
            }
        })?;
        Ok(transitions)
    }

    /// Which ticks of a rule from `first` to `last` were evaluated, and which were not though somebody noticed. What is
    /// in none of them, nobody noticed: the server was down.
    ///
    /// # Errors
    /// The logs cannot be read. What is damaged in them is missing.
    pub fn ticks(&self, rule: &str, first: Timestamp, last: Timestamp) -> io::Result<Vec<Stretch>> {
        let mut stretches: Vec<Stretch> = Vec::new();
        self.read(first, last, |record, numbers| {
            let is_of_rule = |number: u32| numbers.get(&number).is_some_and(|name| **name == *rule);
            let stretch = match record {
                Record::Tick(tick) if (first..=last).contains(&tick.tick) && took_part(&tick, is_of_rule) => {
                    Stretch { first: tick.tick, last: tick.tick, every: tick.every, missed: None }
                }
                Record::Missed(missed)
                    if missed.rules.iter().any(|number| is_of_rule(*number))
                        && Span { first, last }.meets(Span { first: missed.first, last: missed.last }) =>
                {
                    Stretch {
                        first: missed.first,
                        last: missed.last,
                        every: Duration::ZERO,
                        missed: Some(missed.reason),
                    }
                }
                _ => return,
            };
            match stretches.last_mut() {
                Some(before) if before.is_followed_by(&stretch) => before.last = stretch.last,
                _ => stretches.push(stretch),
            }
        })?;
        Ok(stretches)
    }

    /// What came late with a time from `first` to `last`.
    ///
    /// # Errors
    /// The logs cannot be read. What is damaged in them is missing.
    pub fn late(&self, first: Timestamp, last: Timestamp) -> io::Result<Vec<Late>> {
        let mut all = Vec::new();
        self.read(first, last, |record, _| {
            if let Record::Late(late) = record {
                all.extend(late.into_iter().filter(|late| late.first <= last && first <= late.last));
            }
        })?;
        Ok(all)
    }

    /// When generations took over, in order.
    ///
    /// # Errors
    /// The logs cannot be read. What is damaged in them is missing.
    pub fn generations(&self) -> io::Result<Vec<Takeover>> {
        let mut all = Vec::new();
        self.read(Timestamp::MIN, Timestamp::MAX, |record, _| {
            if let Record::Generation(generation) = record {
                all.push(Takeover { generation: generation.number, at: generation.at, why: generation.why });
            }
        })?;
        Ok(all)
    }

    /// The first tick that is known of; before it, nothing is.
    ///
    /// # Errors
    /// The logs cannot be read.
    pub fn begins(&self) -> io::Result<Option<Timestamp>> {
        let mut begins = None;
        self.read(Timestamp::MIN, Timestamp::MAX, |record, _| {
            if let Record::Tick(tick) = record {
                begins = Some(begins.map_or(tick.tick, |begins: Timestamp| begins.min(tick.tick)));
            }
        })?;
        Ok(begins)
    }

    /// Shows every record of the logs that may have something of a time, with the rules that its numbers stand for.
    fn read(
        &self,
        first: Timestamp,
        last: Timestamp,
        mut each: impl FnMut(Record, &BTreeMap<u32, Arc<str>>),
    ) -> io::Result<()> {
        let logs = logs(&*self.disk, &self.directory)?;
        let newest = logs.last().map(|(number, _)| *number);
        for (number, path) in logs {
            let known = self.spans().get(&number).copied();
            if known.is_some_and(|span| !span.meets(Span { first, last })) {
                continue;
            }
            let span = self.read_log(number, &path, &mut each)?;
            if Some(number) != newest {
                self.spans().insert(number, span);
            }
        }
        Ok(())
    }

    fn read_log(
        &self,
        number: u64,
        path: &Path,
        each: &mut impl FnMut(Record, &BTreeMap<u32, Arc<str>>),
    ) -> io::Result<Span> {
        let bytes = match self.disk.read(path) {
            Ok(bytes) => bytes,
            // It was too old, and has just been removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Span::NONE),
            Err(error) => return Err(error),
        };
        let Opened::Loaded(loaded) = Loaded::parse(Role::Log, number, bytes) else { return Ok(Span::NONE) };
        let mut span = Span::NONE;
        let mut numbers = BTreeMap::new();
        for (record, _) in loaded.records().flatten().filter_map(take) {
            match &record {
                Record::Named { number, rule } => {
                    numbers.insert(*number, rule.clone());
                }
                Record::Tick(tick) => span.add(tick.tick, tick.tick),
                Record::Missed(missed) => span.add(missed.first, missed.last),
                Record::Late(late) => late.iter().for_each(|late| span.add(late.first, late.last)),
                Record::Generation(generation) => span.add(generation.at, generation.at),
                Record::Delivered { .. } | Record::Paused { .. } => {}
            }
            each(record, &numbers);
        }
        Ok(span)
    }

    fn spans(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stretch {
    fn is_followed_by(&self, next: &Self) -> bool {
        self.missed.is_none()
            && next.missed.is_none()
            && self.every == next.every
            && self.last + self.every == next.first
    }
}

fn took_part(tick: &TickRecord, is_of_rule: impl Fn(u32) -> bool) -> bool {
    let changed = tick.changed.iter().map(|rule| rule.number);
    tick.evaluated.iter().copied().chain(changed).any(is_of_rule)
}

fn labels(evidence: &wire::Evidence) -> Labels {
    evidence.instance.iter().map(|label| (label.name.clone(), label.value.clone())).collect()
}
