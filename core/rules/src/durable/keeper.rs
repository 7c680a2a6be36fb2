//! The one who writes: owns the files and the mirror, and does one thing at a time. The thread around it is `journal`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sereno_model::{Confirmations, Outgoing};
use sereno_runtime::disk::replace;
use sereno_runtime::{Clock, Counter, Disk, Gauge, Metrics};
use tracing::{error, info, warn};

use super::convert::{nanos, put};
use super::frame::{Frames, Identity, Role};
use super::log::{Log, log_path, number_of, snapshot_path};
use super::mirror::Mirror;
use super::record::{Record, SavedRule};
use super::recover::{self, Found};
use super::wire;

/// How long after a failure the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where and how much is kept.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The directory of the files.
    pub directory: PathBuf,
    /// How long logs are kept that no start needs.
    pub history: Duration,
    /// How large they may be together.
    pub history_bytes: u64,
    /// A snapshot is due when the log has so many bytes,
    pub snapshot_bytes: u64,
    /// or when it has a sixteenth of that, and is as old as this.
    pub snapshot_after: Duration,
}

impl Settings {
    /// The usual ones: 30 days, 1 GiB; a snapshot after 16 MiB or 5 minutes.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            history: Duration::from_secs(30 * 24 * 3_600),
            history_bytes: 1 << 30,
            snapshot_bytes: 16 << 20,
            snapshot_after: Duration::from_secs(300),
        }
    }
}

/// What is to be done once a record is durable, or has turned out not to become so, and before its notifications are
/// sent, which are shown to it.
pub(crate) type Then = Box<dyn FnOnce(&[Outgoing]) + Send>;

/// A record on its way.
pub(crate) struct Commit {
    pub record: Record,
    pub then: Option<Then>,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit").field("record", &self.record).finish_non_exhaustive()
    }
}

/// The numbers that stand for rules. Given once, and kept as long as the server runs.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_rule: BTreeMap<Arc<str>, u32>,
    rules: BTreeMap<u32, Arc<str>>,
}

impl Numbers {
    pub fn number(&mut self, rule: &Arc<str>) -> u32 {
        if let Some(number) = self.by_rule.get(rule) {
            return *number;
        }
        let number = self.rules.keys().next_back().map_or(0, |last| last + 1);
        self.insert(number, rule.clone());
        number
    }

    pub fn insert(&mut self, number: u32, rule: Arc<str>) {
        self.by_rule.insert(rule.clone(), number);
        self.rules.insert(number, rule);
    }
}

/// The one who writes.
pub(super) struct Keeper {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    pub mirror: Mirror,
    /// The log that is written; none after a failure, until a snapshot has been written.
    log: Option<Log>,
    next_file: u64,
    /// When the newest snapshot was written, or should have been.
    snapshot_at: Duration,
    /// The bytes of the logs that a start would read, but for the one that is written.
    older_bytes: u64,
    retry_at: Duration,
    confirmations: Confirmations,
    /// Whether the files know which sinks there are: one of which they knew nothing would count as new.
    knows_sinks: bool,
    pub numbers: Arc<Mutex<Numbers>>,
    counts: Counts,
}

struct Counts {
    groups: Counter,
    records: Counter,
    bytes: Counter,
    failures: Counter,
    undurable: Counter,
    snapshots: Counter,
    unconfirmed: Gauge,
}

impl Counts {
    fn new(metrics: &Metrics) -> Self {
        Self {
            groups: metrics.counter("rules_journal_syncs_total", &[]),
            records: metrics.counter("rules_journal_records_total", &[]),
            bytes: metrics.counter("rules_journal_bytes_total", &[]),
            failures: metrics.counter("rules_journal_failures_total", &[]),
            undurable: metrics.counter("rules_journal_undurable_total", &[]),
            snapshots: metrics.counter("rules_journal_snapshots_total", &[]),
            unconfirmed: metrics.gauge("rules_journal_unconfirmed", &[]),
        }
    }
}

impl Keeper {
    /// Finds what there is, and begins a new log. `confirmations` names the sinks.
    ///
    /// # Errors
    /// The directory cannot be made or read. Damage in it is no error, nor is a full disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        confirmations: Confirmations,
        metrics: &Metrics,
    ) -> io::Result<(Self, Found)> {
        disk.create_dir_all(&settings.directory)?;
        // What is in a directory is as durable as its own name.
        disk.sync_dir(settings.directory.parent().unwrap_or(Path::new(".")))?;
        let (mut mirror, found) = recover::read(&*disk, &settings.directory)?;
        let sinks: Vec<Arc<str>> = confirmations.read().skip(1).map(|(name, _)| name).collect();
        mirror.outbox.set_sinks(&sinks);
        let mut numbers = Numbers::default();
        for (number, rule) in &mirror.names {
            numbers.insert(*number, rule.clone());
        }
        let now = clock.monotonic();
        let mut keeper = Self {
            disk,
            clock,
            settings,
            mirror,
            log: None,
            next_file: found.next_file,
            snapshot_at: now,
            older_bytes: found.log_bytes,
            retry_at: now,
            confirmations,
            knows_sinks: false,
            numbers: Arc::new(Mutex::new(numbers)),
            counts: Counts::new(metrics),
        };
        // What was only read, and never confirmed durable, must be so before it is told. Where that fails, a snapshot
        // has to make it so.
        if !found.is_durable {
            keeper.begin_anew();
            return Ok((keeper, found));
        }
        keeper.begin_log();
        if found.records > 0 {
            keeper.snapshot();
        }
        Ok((keeper, found))
    }

    /// Writes a group of records, makes it durable, and then does for each what was to be done, and sends what goes out,
    /// in order.
    pub fn write(&mut self, group: Vec<Commit>, send: &mut dyn FnMut(Outgoing)) {
        if self.log.is_none() && self.clock.monotonic() >= self.retry_at {
            self.begin_anew();
        }
        let confirmed = self.confirmed();
        if group.is_empty() && confirmed.is_empty() {
            return;
        }
        let is_durable = self.append(&group, &confirmed);
        self.knows_sinks |= is_durable;
        for record in confirmed {
            self.mirror.apply(record, 0);
        }
        self.mirror.outbox.tidy();
        for Commit { record, then } in group {
            let outgoing = self.take_in(record, is_durable);
            if let Some(then) = then {
                then(&outgoing);
            }
            outgoing.into_iter().for_each(&mut *send);
        }
        let unconfirmed = self.mirror.outbox.waiting().count();
        self.counts.unconfirmed.set(i64::try_from(unconfirmed).unwrap_or(i64::MAX));
        if self.snapshot_is_due() {
            self.rotate();
        }
    }

    /// Writes down who has come how far, and gives back the room that was kept ahead.
    pub fn end(mut self) {
        self.write(Vec::new(), &mut |_| {});
        if let Some(log) = self.log {
            log.end();
        }
    }

    /// The rules that have a state, by their names.
    pub fn rules(&self) -> BTreeMap<Arc<str>, SavedRule> {
        let named =
            |(number, rule): (&u32, &SavedRule)| Some((self.mirror.names.get(number)?.clone(), rule.clone()));
        self.mirror.rules.iter().filter_map(named).collect()
    }

    /// Who confirms, the log file first.
    #[cfg(test)]
    pub fn confirmations(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.confirmations.read().map(|(name, _)| name)
    }

    /// The size of the log that is written.
    #[cfg(test)]
    pub fn log_size(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::size)
    }

    /// Whether everything that was written is durable.
    #[cfg(test)]
    pub fn is_sound(&self) -> bool {
        self.log.is_some()
    }

    fn take_in(&mut self, mut record: Record, is_durable: bool) -> Vec<Outgoing> {
        if !is_durable {
            let notifications = match &mut record {
                Record::Tick(tick) => &mut tick.notifications,
                Record::Generation(generation) => &mut generation.notifications,
                _ => &mut Vec::new(),
            };
            notifications.iter_mut().for_each(|notification| notification.marks.undurable = true);
            self.counts.undurable.add(notifications.len() as u64);
            self.name_rules_of(&record);
        }
        let first_number = self.mirror.outbox.next_number();
        self.mirror.apply(record, first_number)
    }

    /// What the log could not be told, the next snapshot will have to.
    fn name_rules_of(&mut self, record: &Record) {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        for number in record.rules() {
            if let Some(rule) = numbers.rules.get(&number) {
                self.mirror.names.insert(number, rule.clone());
            }
        }
    }

    /// Who has come further since it was last written down.
    fn confirmed(&self) -> Vec<Record> {
        let known: BTreeMap<&str, u64> = self.mirror.outbox.done().collect();
        // Nobody can have confirmed what has not been told.
        let told = self.mirror.outbox.next_number() - 1;
        self.confirmations
            .read()
            .map(|(to, up_to)| (to, up_to.min(told)))
            .filter_map(|(to, up_to)| {
                let known = *known.get(&*to)?;
                let is_news = known < up_to || !self.knows_sinks;
                is_news.then(|| Record::Delivered { to, up_to: up_to.max(known) })
            })
            .collect()
    }

    fn append(&mut self, group: &[Commit], confirmed: &[Record]) -> bool {
        let Some(log) = &mut self.log else { return false };
        log.begin();
        let size_before = log.size();
        let mut next_number = self.mirror.outbox.next_number();
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        // Who there is comes first: were the log cut behind the records, a sink that it does not know would count as new.
        let records = confirmed.iter().chain(group.iter().map(|commit| &commit.record));
        let written = records
            .clone()
            .try_for_each(|record| {
                let first_number = next_number;
                next_number += record.notifications().len() as u64;
                add(log, &numbers, &mut self.mirror, record, first_number)
            })
            .and_then(|()| log.write());
        drop(numbers);
        match written {
            Ok(()) => {
                self.counts.groups.inc();
                self.counts.bytes.add(log.size() - size_before);
                self.counts.records.add(records.count() as u64);
                true
            }
            Err(error) => {
                self.fail("written", &error);
                false
            }
        }
    }

    /// Gives up the log. What it may have taken of the last group is not relied upon.
    fn fail(&mut self, what: &str, error: &io::Error) {
        self.counts.failures.inc();
        self.retry_at = self.clock.monotonic() + RETRY_AFTER;
        let directory = self.settings.directory.display();
        if let Some(log) = self.log.take() {
            self.older_bytes += log.size();
            log.end();
            error!(%directory, %error, "The states of rules cannot be {what}: events go out all the same, marked `undurable`.");
        }
    }

    /// After a failure: a new log, behind a snapshot of everything.
    fn begin_anew(&mut self) {
        self.begin_log();
        if self.log.is_some() && !self.snapshot() {
            // Records in it would stand behind a hole.
            if let Some(log) = self.log.take() {
                let number = log.number;
                log.end();
                self.remove_log(number);
            }
        }
        match &self.log {
            Some(log) => {
                info!(log = log.number, "The states of rules are written again; nothing is missing in them.");
            }
            None => self.retry_at = self.clock.monotonic() + RETRY_AFTER,
        }
    }

    fn begin_log(&mut self) {
        let number = self.next_file;
        self.next_file += 1;
        match Log::create(&*self.disk, &self.settings.directory, number, self.clock.now()) {
            Ok(log) => self.log = Some(log),
            Err(error) => {
                warn!(log = number, %error, "A log of the states of rules cannot be begun.");
                self.retry_at = self.clock.monotonic() + RETRY_AFTER;
                self.remove_log(number);
            }
        }
    }

    /// Removes a log that nothing was written to. What cannot be removed is an empty file, which a start reads over.
    fn remove_log(&self, number: u64) {
        let _left = self.disk.remove(&log_path(&self.settings.directory, number));
    }

    fn snapshot_is_due(&self) -> bool {
        let Some(log) = &self.log else { return false };
        if self.clock.monotonic() < self.retry_at {
            return false;
        }
        let bytes = self.older_bytes + log.size();
        let age = self.clock.monotonic().saturating_sub(self.snapshot_at);
        let is_old = age >= self.settings.snapshot_after && bytes >= self.settings.snapshot_bytes / 16;
        is_old || bytes >= self.settings.snapshot_bytes
    }

    /// Another log, and a snapshot of all before it. When the snapshot fails, the logs are enough.
    fn rotate(&mut self) {
        let Some(before) = self.log.take() else { return };
        self.begin_log();
        if self.log.is_none() {
            // The old one is as good as ever.
            self.log = Some(before);
            self.snapshot_at = self.clock.monotonic();
            return;
        }
        self.older_bytes += before.size();
        before.end();
        self.snapshot();
    }

    /// Writes the snapshot of everything before the log that is written.
    fn snapshot(&mut self) -> bool {
        self.snapshot_at = self.clock.monotonic();
        let Some(number) = self.log.as_ref().map(|log| log.number) else { return false };
        match self.write_snapshot(number) {
            Ok(()) => {
                self.counts.snapshots.inc();
                self.knows_sinks = true;
                self.older_bytes = 0;
                self.remove_old(number);
                true
            }
            Err(error) => {
                // Not at every group: the logs would not become shorter by it.
                self.older_bytes = 0;
                warn!(%error, "A snapshot of the states of rules cannot be written; a start takes longer meanwhile.");
                false
            }
        }
    }

    fn write_snapshot(&self, number: u64) -> io::Result<()> {
        let identity = Identity::new(Role::Snapshot, number, self.clock.now());
        let mut bytes = identity.header().to_vec();
        let mut frames = Frames::default();
        for frame in self.mirror.frames() {
            frames.clear();
            frames
                .record(&identity, bytes.len() as u64, &frame)
                .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            bytes.extend_from_slice(frames.as_bytes());
        }
        replace(&*self.disk, &snapshot_path(&self.settings.directory, number), &bytes)
    }

    /// Removes snapshots but for the newest two, and logs that no start needs and that are too old or too many.
    fn remove_old(&self, newest: u64) {
        if let Err(error) = self.try_remove_old(newest) {
            warn!(%error, "Old states of rules cannot be removed.");
        }
    }

    fn try_remove_old(&self, newest: u64) -> io::Result<()> {
        let entries = self.disk.list(&self.settings.directory)?;
        let of = |role| {
            let numbered = entries.iter().filter_map(move |path| Some((number_of(path, role)?, path)));
            numbered.collect::<BTreeMap<_, _>>()
        };
        let snapshots = of(Role::Snapshot);
        let kept: Vec<u64> = snapshots.keys().rev().take(2).copied().collect();
        for (number, path) in &snapshots {
            if !kept.contains(number) {
                self.disk.remove(path)?;
            }
        }
        let needed = kept.last().copied().unwrap_or(newest);
        let logs = of(Role::Log);
        let horizon = self.clock.now().nanos().saturating_sub_unsigned(nanos(self.settings.history));
        let mut bytes = 0_u64;
        let mut ends = self.clock.now();
        for (number, path) in logs.iter().rev() {
            let file = self.disk.open(path)?;
            bytes = bytes.saturating_add(file.size()?);
            let is_over = ends.nanos() < horizon || bytes > self.settings.history_bytes;
            if *number < needed && is_over {
                self.disk.remove(path)?;
                continue;
            }
            // It ends where the next one begins.
            ends = recover::created(&*file).unwrap_or(ends);
        }
        self.disk.sync_dir(&self.settings.directory)
    }
}

/// Adds a record to the group, behind the names that its file has to explain first.
fn add(
    log: &mut Log,
    numbers: &Numbers,
    mirror: &mut Mirror,
    record: &Record,
    first_number: u64,
) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    for number in record.rules() {
        if log.has_to_name(number)
            && let Some(rule) = numbers.rules.get(&number)
        {
            mirror.names.insert(number, rule.clone());
            log.add(&put(&Record::Named { number, rule: rule.clone() }, 0)).map_err(too_large)?;
        }
    }
    let mut frame = put(record, first_number);
    if log.add(&frame).is_ok() {
        return Ok(());
    }
    // What happened matters more than why.
    if let Some(wire::Body::Tick(tick)) = &mut frame.body {
        tick.evidence.clear();
    }
    log.add(&frame).map_err(too_large)
}
