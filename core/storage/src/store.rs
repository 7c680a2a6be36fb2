//! The store as its users see it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_runtime::{Clock, Counter, Disk, Gauge, Metrics, threads};
use tracing::warn;

use crate::batch::{Ack, Append, Numbered, Refusal, Row, Ticket};
use crate::blobs::{Blobs, LocalBlobs};
use crate::config::Config;
use crate::head::Generation;
use crate::late::Late;
use crate::maintain::{MaintainError, Maintenance, TrustedClock};
use crate::recover::{self, Outcome, Recovery, Replay, Stop};
use crate::registry::{Cardinality, CreateError, Registry, SeriesId};
use crate::shared::{Shared, Version, WriteLimits};
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::superblock::Superblock;
use crate::wal::frame::FileIdentity;
use crate::wal::stream::{Inventory, WalContext};
use crate::writer::{Indices, PART_ROWS_MAX, Part, Writer};

/// The store. Clones share it; [`Store::close`] ends it for all of them.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    writers: Vec<Arc<Writer>>,
    maintenance: Arc<Maintenance>,
    ack: Ack,
    recovery: Arc<Outcome>,
    stop_replay: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    series_gauge: Gauge,
    refused_series: Counter,
    told_of_refusal: Mutex<Option<Duration>>,
    _lock: Box<dyn Send + Sync>,
}

/// How far the wall clock may step back without two samples getting the same time.
pub(crate) const CLOCK_STEP_MAX: Duration = Duration::from_secs(3_600);

/// How often refused series are told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// The bits of a commit position that count within one process; the others number the processes.
pub(crate) const ORDER_BITS: u32 = 40;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A call failed.
    #[error("failed to {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the store in `{directory}` is open in another process; stop that one, or choose another `storage.directory`"
    )]
    Locked {
        /// The store.
        directory: PathBuf,
    },
    /// The file that identifies the store is missing or damaged.
    #[error(
        "`{path}` is missing, damaged, or of a later version, but the folder holds a store; restore this file from a copy"
    )]
    Superblock {
        /// The file.
        path: PathBuf,
    },
    /// A setting is out of its range.
    #[error("`storage.{key}` is {value}, but must be {range}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        range: &'static str,
    },
    /// The system refuses a thread.
    #[error("failed to start a thread of the store")]
    Thread(#[source] io::Error),
}

impl Store {
    /// Opens the store of a directory, creating it if there is none. Writes are taken at once; the log is read back in
    /// the background ([`Store::wait_recovered`]), and until then snapshots answer
    /// [`ReadError::Recovering`](crate::ReadError::Recovering).
    ///
    /// # Errors
    /// [`OpenError`]. Damage is no error: it is in the [`Recovery`], and in the logs.
    pub fn open(
        config: &Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let started = clock.monotonic();
        let directory = &config.directory;
        let wal = directory.join("wal");
        for folder in [directory.clone(), wal.clone(), directory.join("quarantine")] {
            disk.create_dir_all(&folder).map_err(io_error("create", &folder))?;
        }
        let lock = disk.lock(directory).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { directory: directory.clone() },
            _ => io_error("lock", directory)(error),
        })?;
        let superblock = Superblock::open_or_create(&*disk, directory, config.queues, clock.now())?;
        let (queues, groups, store_id) = (superblock.queues, superblock.groups, superblock.store_id);
        if queues != config.queues {
            warn!(
                recorded = queues,
                configured = config.queues,
                "The number of queues was fixed when the store was created; the configured one is ignored."
            );
        }
        let segments = blobs(&disk, directory.join("segments"))?;
        let manifests = blobs(&disk, directory.join("manifest"))?;
        make_named(&*disk, directory)?;
        let mut recovery = Recovery::default();
        let sealed = recover::open_sealed(&segments, &*manifests, &store_id, queues, &mut recovery)?;
        let mut manifest = sealed.manifest;
        let files = wal_files(&*disk, &wal, &superblock)?;
        let last_file = last_wal_file(&*disk, &wal, &files).max(manifest.next_wal_file.saturating_sub(1));
        let last_mark = manifest.marks.iter().map(|mark| mark >> ORDER_BITS).max().unwrap_or(0);
        let process = last_file.max(last_mark) + 1;
        let boot_stamp = recover::boot_stamp(&*disk, &files, &sealed.segments, clock.now());
        let version =
            Version { edition: 0, segments: sealed.segments, generations: vec![Generation::new(queues)] };
        let limits = WriteLimits {
            head_bytes_max: config.head_bytes_max,
            wal_bytes_max: config.wal_bytes_max,
            future_max: config.future_max,
        };
        let registry = Registry::new(queues, config.limits(), clock.clone());
        let shared = Arc::new(Shared::new(
            registry,
            clock.clone(),
            version,
            (queues, groups),
            limits,
            boot_stamp,
            process << ORDER_BITS,
        ));
        shared.recovering.store(!files.is_empty(), Ordering::Release);
        let context = Arc::new(WalContext {
            disk,
            directory: wal,
            store_id,
            queues,
            file_bytes_max: config.wal_file_bytes,
            reserve_bytes: config.wal_reserve_bytes,
            next_file_id: AtomicU64::new(process),
            inventory: Inventory::new(process),
        });
        if manifest.number == 0 && !recovery.manifest_rebuilt {
            // So that a folder of segments without a manifest is known to have lost it.
            manifest.number = 1;
            manifest.trusted_time = clock.now().nanos();
            let stored = manifest.store(&*manifests, &store_id).map_err(io::Error::from);
            stored.map_err(io_error("create a manifest in", directory))?;
        }
        let trusted = TrustedClock::new(Some(manifest.trusted_time).filter(|time| *time != 0), &*clock);
        let count = config.writers.min(queues);
        let generation = shared.version.load().generations[0].clone();
        let writer = |index| {
            let depth = config.queue_samples_max;
            Arc::new(Writer::new(index, count, depth, shared.clone(), context.clone(), &generation, metrics))
        };
        let writers: Vec<_> = (0..count).map(writer).collect();
        let marks = manifest.marks.clone();
        let memory_file = (!recovery.manifest_rebuilt).then_some(manifest.memory_file);
        let maintenance = Arc::new(Maintenance::new(
            shared.clone(),
            writers.clone(),
            context,
            (segments, manifests),
            config.into(),
            manifest,
            trusted,
            metrics,
        ));
        maintenance.begin();
        let outcome = Arc::new(Outcome::default());
        let stop = Arc::new(Stop::default());
        let replay = Replay {
            maintenance: maintenance.clone(),
            files,
            marks,
            memory_file,
            marks_are_old: recovery.manifest_rebuilt,
            outcome: outcome.clone(),
            stop: stop.clone(),
            started,
        };
        let store = Self(Arc::new(Inner {
            shared,
            writers,
            maintenance,
            ack: config.ack,
            recovery: outcome,
            stop_replay: stop,
            threads: Mutex::default(),
            series_gauge: metrics.gauge("storage_series", &[]),
            refused_series: metrics.counter("series_refused_total", &[]),
            told_of_refusal: Mutex::default(),
            _lock: lock,
        }));
        store.start(config.sync_interval, replay, recovery)?;
        Ok(store)
    }

    fn start(&self, sync_interval: Duration, replay: Replay, recovery: Recovery) -> Result<(), OpenError> {
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = threads::spawn(name, threads::STACK_BYTES, body).map_err(OpenError::Thread)?;
            self.0.threads().push(thread);
            Ok(())
        };
        for (index, writer) in self.0.writers.iter().enumerate() {
            let writer = writer.clone();
            spawn(&format!("writer-{index}"), Box::new(move || writer.run(sync_interval)))?;
        }
        let maintenance = self.0.maintenance.clone();
        spawn("maintenance", Box::new(move || maintenance.run()))?;
        if replay.files.is_empty() {
            replay.run(recovery);
            return Ok(());
        }
        spawn("replay", Box::new(move || replay.run(recovery)))
    }

    /// Waits until the log is read back, or the store is closed, and tells what was found.
    #[must_use]
    pub fn wait_recovered(&self) -> Recovery {
        self.0.recovery.wait()
    }

    /// The id of a series, which is created if it is new. Ids hold while the series is live; a row whose id was given up
    /// is refused as [`Refusal::Retired`](crate::Refusal::Retired).
    ///
    /// # Errors
    /// [`CreateError`] if the series is new and a limit stands against it.
    pub fn series(&self, key: &SeriesKey) -> Result<SeriesId, CreateError> {
        let created = self.0.shared.registry.resolve(key);
        self.0.series_gauge.set(self.0.shared.registry.count().into());
        created.inspect_err(|error| self.tell_of_refusal(error))
    }

    /// Counts a refused series; tells of it at most once a minute, for they come by the thousand, and then says where
    /// they come from.
    fn tell_of_refusal(&self, error: &CreateError) {
        self.0.refused_series.inc();
        let now = self.0.shared.clock.monotonic();
        let mut told = self.0.told_of_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| now.saturating_sub(told) < TELL_INTERVAL) {
            return;
        }
        *told = Some(now);
        drop(told);
        let top = self.cardinality(3);
        let metrics = top.names_created.iter().map(|name| format!("{} ({} new)", name.name, name.created));
        let labels = top.labels.iter().map(|label| format!("{} ({} values)", label.name, label.values));
        warn!(
            %error, refused = self.0.refused_series.get(),
            metrics = metrics.collect::<Vec<_>>().join(", "), labels = labels.collect::<Vec<_>>().join(", "),
            "New series are refused, known ones go on. These metrics brought the most, these labels have the most values."
        );
    }

    /// Hands samples to their queues, with the acknowledgement of `storage.ack`. The call may act as a writer for a
    /// moment, and then costs a write(2) to the log; it never waits for a sync, and never for another thread that
    /// writes.
    pub fn append(&self, rows: Vec<Row>) -> Append {
        self.append_with(rows, self.0.ack)
    }

    /// The same with an acknowledgement of the caller's choice.
    pub fn append_with(&self, rows: Vec<Row>, ack: Ack) -> Append {
        self.hand_out(rows, ack, None)
    }

    /// The same for a batch whose client sends it again if it does not learn the outcome: what was stored once is not
    /// stored again, and counts as stored. See [`Numbered`] for how long that holds.
    pub fn append_numbered(&self, rows: Vec<Row>, ack: Ack, numbered: Numbered) -> Append {
        if numbered.resent && self.0.shared.recovering.load(Ordering::Acquire) {
            return Append::refused(rows.len(), Refusal::Recovering, &self.0.shared.refusals);
        }
        self.hand_out(rows, ack, Some(Arc::new(numbered)))
    }

    fn hand_out(&self, rows: Vec<Row>, ack: Ack, numbered: Option<Arc<Numbered>>) -> Append {
        let parts = self.split(rows);
        let ticket = Ticket::new(parts.len() as u32, &self.0.shared.refusals);
        for (writer, rows, indices) in parts {
            let (ticket, numbered) = (ticket.clone(), numbered.clone());
            self.0.writers[writer].submit(Part { rows, indices, ack, ticket, numbered });
        }
        self.0.maintenance.nudge();
        Append(ticket)
    }

    /// How full the log, the head and the queues of the writers are, whichever is fullest. From 1 on log and head refuse
    /// everything until a flush is done; queues count twice, since some fill before others. Whoever can have senders wait
    /// should do so well before. Costs a few loads.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        let crowding = self.0.writers.iter().map(|writer| 2.0 * writer.crowding());
        crowding.fold(self.0.maintenance.fullness(), f64::max)
    }

    /// How long samples are kept; `None` for ever.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        self.0.maintenance.retention()
    }

    fn split(&self, rows: Vec<Row>) -> Vec<(usize, Vec<Row>, Indices)> {
        let writers = self.0.writers.len();
        let writer_of = |row: &Row| row.series.queue as usize % writers;
        let first = rows.first().map_or(0, writer_of);
        if writers == 1 || rows.iter().all(|row| writer_of(row) == first) {
            if (1..=PART_ROWS_MAX).contains(&rows.len()) {
                return vec![(first, rows, Indices::From(0))];
            }
            let chunks = (0..).step_by(PART_ROWS_MAX).zip(rows.chunks(PART_ROWS_MAX));
            return chunks.map(|(start, chunk)| (first, chunk.to_vec(), Indices::From(start))).collect();
        }
        let mut parts: Vec<(usize, Vec<Row>, Vec<u32>)> = Vec::new();
        let mut open: Vec<Option<usize>> = vec![None; writers];
        for (index, row) in rows.into_iter().enumerate() {
            let writer = writer_of(&row);
            let part = match open[writer] {
                Some(part) if parts[part].1.len() < PART_ROWS_MAX => part,
                _ => {
                    parts.push((writer, Vec::new(), Vec::new()));
                    parts.len() - 1
                }
            };
            open[writer] = Some(part);
            parts[part].1.push(row);
            parts[part].2.push(index as u32);
        }
        parts.into_iter().map(|(writer, rows, list)| (writer, rows, Indices::List(list))).collect()
    }

    /// A view of everything committed before now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.0.shared)
    }

    /// From now on a sample before `tick` counts as late when it is committed, and [`Store::take_late`] tells of it. To
    /// be called just before the snapshot of a tick is taken: then every sample of its windows is in the snapshot or late,
    /// and few are both. An earlier tick than before changes nothing. While this is never called, nothing is late.
    pub fn settle(&self, tick: Timestamp) {
        self.0.shared.lateness.settle(tick);
    }

    /// What came late since the last call, in order of what it is of. A sample that replaces one of its time counts, even
    /// by an equal value; what is sent again in a [numbered](Store::append_numbered) batch and not stored again does not.
    /// Beyond 10,000 entries series are told as their metrics, and metrics as everything: never too little. What the end
    /// of the process takes is not told.
    #[must_use]
    pub fn take_late(&self) -> Vec<Late> {
        self.0.shared.lateness.take()
    }

    /// Since when the store has refused samples for reasons of its own (its disk, its memory, its queues) and stored none;
    /// `None` while it takes them. Nothing that is missing since then tells anything about its sender.
    #[must_use]
    pub fn refusing_since(&self) -> Option<Timestamp> {
        self.0.shared.refusals.since()
    }

    /// How many batches, or parts of them, had samples that were refused for reasons of the store's own, or were not made
    /// durable as was asked, since it was opened. Equal at two moments: nothing was refused between them.
    #[must_use]
    pub fn refused_batches(&self) -> u64 {
        self.0.shared.refusals.batches()
    }

    /// What the store holds, and what it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared, &self.0.maintenance)
    }

    /// The `k` metric names and labels that bring the most series. Linear in names and labels, not in series.
    #[must_use]
    pub fn cardinality(&self, k: usize) -> Cardinality {
        self.0.shared.registry.cardinality(k)
    }

    /// Moves everything that is committed to segments, now rather than when it is due. Waits until the log is read back:
    /// what is in it comes before what is committed now.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing is lost, and it will be tried again.
    pub fn flush(&self) -> Result<(), MaintainError> {
        let _recovery = self.wait_recovered();
        self.0.maintenance.flush()
    }

    /// Merges the segments of every day that has several, now rather than when they are due. Waits until the log is read
    /// back, as [`Store::flush`] does.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing is lost, and it will be tried again.
    pub fn compact(&self) -> Result<(), MaintainError> {
        let _recovery = self.wait_recovered();
        self.0.maintenance.compact_all()
    }

    /// Deletes what `storage.retention` and `storage.retention_bytes` say, now rather than within a second.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing is lost, and it will be tried again.
    pub fn expire(&self) -> Result<(), MaintainError> {
        self.0.maintenance.expire_now()
    }

    /// Commits what waits, refuses what comes later, and makes everything durable. Snapshots stay readable.
    pub fn close(&self) {
        for writer in &self.0.writers {
            writer.close();
        }
        self.0.end();
    }
}

#[cfg(test)]
impl Store {
    /// A writer, for tests that act as one.
    pub(crate) fn writer(&self, index: usize) -> &Writer {
        &self.0.writers[index]
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("writers", &self.0.writers.len()).finish_non_exhaustive()
    }
}

impl Inner {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.stop_replay.stop();
        self.maintenance.stop();
        for writer in &self.writers {
            writer.stop();
        }
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            if thread.join().is_err() {
                warn!("A thread of the store ended with a panic.");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

fn blobs(disk: &Arc<dyn Disk>, directory: PathBuf) -> Result<Arc<dyn Blobs>, OpenError> {
    let opened = LocalBlobs::open(disk.clone(), directory.clone());
    Ok(Arc::new(opened.map_err(io_error("create", &directory))?))
}

/// Makes the folders of the store, and its own name, survive the loss of power.
fn make_named(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    disk.sync_dir(directory).map_err(io_error("sync", directory))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match disk.sync_dir(parent) {
        // A folder that we may not read was not made by us.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(io_error("sync", parent)(error)),
        _ => Ok(()),
    }
}

/// The files of the log, the oldest first.
fn wal_files(
    disk: &dyn Disk,
    wal: &Path,
    superblock: &Superblock,
) -> Result<Vec<(PathBuf, FileIdentity)>, OpenError> {
    let mut files = Vec::new();
    for path in disk.list(wal).map_err(io_error("list", wal))? {
        match crate::wal::file_id(&path) {
            Some(file_id) => {
                files.push((path, FileIdentity::new(superblock.store_id, file_id, superblock.queues)));
            }
            None => warn!(path = %path.display(), "Not a WAL file; it is left alone."),
        }
    }
    files.sort_by_key(|(_, identity)| identity.file_id);
    Ok(files)
}

/// The highest id of a WAL file. One in quarantine keeps its id: a new one of that name would be taken for it.
fn last_wal_file(disk: &dyn Disk, wal: &Path, files: &[(PathBuf, FileIdentity)]) -> u64 {
    let kept = disk.list(&wal.with_file_name("quarantine")).unwrap_or_default();
    let kept = kept.iter().filter_map(|path| crate::wal::file_id(path));
    files.iter().map(|(_, identity)| identity.file_id).chain(kept).max().unwrap_or(0)
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}
