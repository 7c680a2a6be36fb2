//! The store as its users see it, and what its writers and readers share.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_runtime::{Clock, Disk, Gauge, Metrics, threads};
use tracing::warn;

use crate::batch::{Append, Row, Ticket};
use crate::config::Config;
use crate::head::{Entry, Head};
use crate::registry::{CreateError, Registry, SeriesId};
use crate::snapshot::Snapshot;
use crate::superblock::Superblock;
use crate::wal::frame::FileIdentity;
use crate::wal::replay;
use crate::wal::stream::WalContext;
use crate::writer::{Indices, PART_ROWS_MAX, Part, Writer};

/// The store. Clones share it; [`Store::close`] ends it for all of them.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    writers: Vec<Arc<Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: Box<dyn Send + Sync>,
}

/// How far the wall clock may step back without two samples getting the same time.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(3_600);

/// What writers and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub registry: Registry,
    pub clock: Arc<dyn Clock>,
    heads: Vec<RwLock<Head>>,
    /// The last commit position of each queue that readers may see.
    committed: Vec<AtomicU64>,
    /// The newest time that a writer gave to a sample.
    newest_stamp: AtomicI64,
    samples: AtomicU64,
    samples_max: u64,
    series_gauge: Gauge,
}

impl Shared {
    pub(crate) fn head(&self, queue: u32) -> RwLockReadGuard<'_, Head> {
        self.heads[queue as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn committed(&self, queue: u32) -> u64 {
        self.committed[queue as usize].load(Ordering::Acquire)
    }

    pub(crate) fn head_is_full(&self) -> bool {
        self.samples.load(Ordering::Relaxed) >= self.samples_max
    }

    /// Makes committed rows of one queue visible.
    pub(crate) fn publish(&self, queue: u32, order: u64, rows: &[Row]) {
        let mut newest = i64::MIN;
        {
            let mut head = self.heads[queue as usize].write().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                newest = newest.max(row.time);
                head.push(row.series, Entry { time: row.time, value: row.value, order });
            }
        }
        self.samples.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.newest_stamp.fetch_max(newest, Ordering::AcqRel);
        self.committed[queue as usize].store(order, Ordering::Release);
    }

    /// Whether a stored time can be one that a writer gave, before a restart or before the clock stepped back. Times far
    /// ahead of the clock are some client's, and must not drag ours along.
    pub(crate) fn may_be_own_stamp(&self, time: i64) -> bool {
        time <= (self.clock.now() + CLOCK_STEP_MAX).nanos()
    }

    /// Puts back a sample that the log holds.
    pub(crate) fn restore(&self, id: SeriesId, entry: Entry) {
        self.heads[id.queue as usize].write().unwrap_or_else(PoisonError::into_inner).push(id, entry);
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.committed[id.queue as usize].fetch_max(entry.order, Ordering::AcqRel);
        if self.may_be_own_stamp(entry.time) {
            self.newest_stamp.fetch_max(entry.time, Ordering::AcqRel);
        }
    }
}

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// WAL files read.
    pub files: u64,
    /// Samples read.
    pub samples: u64,
    /// Bytes of torn tails that were cut off: writes that had not been made durable when power was lost, or were under
    /// way when the process died.
    pub torn_bytes: u64,
    /// Damaged places between intact ones.
    pub damaged_regions: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Samples that could not be read because the definition of their series was damaged.
    pub undefined_samples: u64,
    /// Files moved aside because their header does not verify.
    pub quarantined: Vec<PathBuf>,
    /// How long it took.
    pub duration: Duration,
}

impl Recovery {
    /// Whether anything was damaged; a torn tail is not damage.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged_regions > 0 || self.undefined_samples > 0 || !self.quarantined.is_empty()
    }
}

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
    #[error("failed to start a writer thread")]
    Thread(#[source] io::Error),
}

impl Store {
    /// Opens the store of a directory, creating it if there is none, and reads its log back.
    ///
    /// # Errors
    /// [`OpenError`]. Damage in the log is no error: it is in the [`Recovery`], and in the logs.
    pub fn open(
        config: &Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<(Self, Recovery), OpenError> {
        config.check()?;
        let started = clock.monotonic();
        let wal = config.directory.join("wal");
        disk.create_dir_all(&wal).map_err(io_error("create", &wal))?;
        let lock = disk.lock(&config.directory).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { directory: config.directory.clone() },
            _ => io_error("lock", &config.directory)(error),
        })?;
        let superblock = Superblock::open_or_create(&*disk, &config.directory, config.queues, clock.now())?;
        let queues = superblock.queues;
        if queues != config.queues {
            warn!(
                recorded = queues,
                configured = config.queues,
                "The number of queues was fixed when the store was created; the configured one is ignored."
            );
        }
        let shared = Arc::new(Shared {
            registry: Registry::new(queues, config.series_max),
            clock: clock.clone(),
            heads: (0..queues).map(|_| RwLock::default()).collect(),
            committed: (0..queues).map(|_| AtomicU64::new(0)).collect(),
            newest_stamp: AtomicI64::new(i64::MIN),
            samples: AtomicU64::new(0),
            samples_max: config.head_bytes_max / size_of::<Entry>() as u64,
            series_gauge: metrics.gauge("storage_series", &[]),
        });
        let mut recovery = Recovery::default();
        let last_file_id = replay_all(&*disk, &wal, &superblock, &shared, &mut recovery)?;
        recovery.duration = clock.monotonic().saturating_sub(started);
        let context = Arc::new(WalContext {
            disk,
            directory: wal,
            store_id: superblock.store_id,
            queues,
            file_bytes_max: config.wal_file_bytes,
            next_file_id: AtomicU64::new(last_file_id + 1),
        });
        let store = Self::start(config, shared, &context, lock, metrics)?;
        Ok((store, recovery))
    }

    fn start(
        config: &Config,
        shared: Arc<Shared>,
        context: &Arc<WalContext>,
        lock: Box<dyn Send + Sync>,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let count = config.writers.min(context.queues);
        let writer = |index| {
            let depth = config.queue_samples_max;
            Arc::new(Writer::new(index, count, depth, shared.clone(), context.clone(), metrics))
        };
        let writers: Vec<_> = (0..count).map(writer).collect();
        let inner = Inner { shared, writers, threads: Mutex::default(), _lock: lock };
        shared_gauge(&inner.shared);
        let store = Self(Arc::new(inner));
        for (index, writer) in store.0.writers.iter().enumerate() {
            let (writer, interval) = (writer.clone(), config.sync_interval);
            let body = move || writer.run(interval);
            let thread = threads::spawn(&format!("writer-{index}"), threads::STACK_BYTES, body);
            store.0.threads().push(thread.map_err(OpenError::Thread)?);
        }
        Ok(store)
    }

    /// The id of a series, which is created if it is new. Ids hold for the life of the process; keep them.
    ///
    /// # Errors
    /// [`CreateError`] if the series is new and there may be no more.
    pub fn series(&self, key: &SeriesKey) -> Result<SeriesId, CreateError> {
        let id = self.0.shared.registry.resolve(key)?;
        shared_gauge(&self.0.shared);
        Ok(id)
    }

    /// Hands samples to their queues. The call may act as a writer for a moment, and then costs a write(2) to the log;
    /// it never waits for a sync, and never for another thread that writes.
    pub fn append(&self, rows: Vec<Row>) -> Append {
        let parts = self.split(rows);
        let ticket = Ticket::new(parts.len() as u32);
        for (writer, rows, indices) in parts {
            self.0.writers[writer].submit(Part { rows, indices, ticket: ticket.clone() });
        }
        Append(ticket)
    }

    fn split(&self, rows: Vec<Row>) -> Vec<(usize, Vec<Row>, Indices)> {
        let writers = self.0.writers.len();
        let writer_of = |row: &Row| row.series.queue as usize % writers;
        let first = rows.first().map_or(0, writer_of);
        if rows.len() <= PART_ROWS_MAX && (writers == 1 || rows.iter().all(|row| writer_of(row) == first)) {
            return if rows.is_empty() { Vec::new() } else { vec![(first, rows, Indices::From(0))] };
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
        let shared = &self.0.shared;
        // The cut first: a stamp is published before the commit position that shows it, so the time covers the cut.
        let cut = (0..shared.committed.len())
            .map(|queue| shared.committed[queue].load(Ordering::Acquire))
            .collect();
        let newest_stamp = Timestamp::from_nanos(shared.newest_stamp.load(Ordering::Acquire));
        Snapshot::new(shared.clone(), shared.clock.now().max(newest_stamp), cut)
    }

    /// Commits what waits, refuses what comes later, and makes everything durable. Snapshots stay readable.
    pub fn close(&self) {
        for writer in &self.0.writers {
            writer.close();
        }
        self.0.join();
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

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            if thread.join().is_err() {
                warn!("A writer thread ended with a panic.");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for writer in &self.writers {
            writer.stop();
        }
        self.join();
    }
}

impl Config {
    fn check(&self) -> Result<(), OpenError> {
        let error = |key, value, range| Err(OpenError::Config { key, value, range });
        match self {
            Self { queues: 0 | 4097.., .. } => error("queues", self.queues.into(), "1 to 4096"),
            Self { writers: 0, .. } => error("writers", 0, "at least 1"),
            Self { queue_samples_max: 0, .. } => error("queue_samples_max", 0, "at least 1"),
            Self { wal_file_bytes: ..1_048_576, .. } => {
                error("wal_file_bytes", self.wal_file_bytes, "at least 1 MiB")
            }
            _ => Ok(()),
        }
    }
}

fn shared_gauge(shared: &Shared) {
    shared.series_gauge.set(shared.registry.count().into());
}

/// Reads all files of the log, oldest first; gives the highest id seen.
fn replay_all(
    disk: &dyn Disk,
    wal: &std::path::Path,
    superblock: &Superblock,
    shared: &Shared,
    recovery: &mut Recovery,
) -> Result<u64, OpenError> {
    let paths = disk.list(wal).map_err(io_error("list", wal))?;
    let mut last = 0;
    for path in paths {
        let Some(file_id) = crate::wal::file_id(&path) else {
            warn!(path = %path.display(), "Not a WAL file; it is left alone.");
            continue;
        };
        last = last.max(file_id);
        let identity = FileIdentity::new(superblock.store_id, file_id, superblock.queues);
        replay::replay_file(disk, &path, &identity, shared, recovery).map_err(io_error("read", &path))?;
    }
    // A file in quarantine keeps its id: a new one of that name would be taken for it.
    let quarantine = wal.with_file_name("quarantine");
    let kept = disk.list(&quarantine).unwrap_or_default();
    Ok(kept.iter().filter_map(|path| crate::wal::file_id(path)).fold(last, u64::max))
}

fn io_error<'a>(what: &'static str, path: &'a std::path::Path) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}
