//! The files that one writer appends to, one after the other.
//!
//! A file is given room ahead of its end, so that a full disk is found before a frame is half written, and appending
//! does not allocate. `storage.wal_reserve_bytes` bounds that room; a small store stays small.
//!
//! Invariants:
//! * a frame never spans two files;
//! * what a failed write left behind is cut off, or the file is given up: nothing is ever appended behind it;
//! * after a failed sync a file is not appended to, and is not synced again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sereno_model::Timestamp;
use sereno_runtime::{Disk, DiskFile};
use tracing::{error, warn};

use super::frame::{FILE_HEADER_BYTES, FileIdentity, FrameBuffer, Kind};

/// The least room that is set aside at a time.
const RESERVE_BYTES_MIN: u64 = 256 << 10;

/// What all streams of a store share.
#[derive(Debug)]
pub(crate) struct WalContext {
    pub disk: Arc<dyn Disk>,
    pub directory: PathBuf,
    pub store_id: [u8; 16],
    pub queues: u32,
    pub file_bytes_max: u64,
    /// How far ahead of its end a file is given room.
    pub reserve_bytes: u64,
    pub next_file_id: AtomicU64,
    pub inventory: Inventory,
}

/// The files of the log that are there, with their sizes.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    files: Mutex<BTreeMap<u64, u64>>,
    total: AtomicU64,
    /// Those that a failed sync left in doubt: what is in them may not be durable before it is in segments.
    doubtful: Mutex<BTreeSet<u64>>,
    /// Of these, the bytes that an earlier process wrote.
    found: AtomicU64,
    /// The first file of this process; earlier ones have lower ids.
    first_own: u64,
}

impl Inventory {
    /// Of a process whose files have ids from `first_own` on.
    pub(crate) fn new(first_own: u64) -> Self {
        Self { first_own, ..Self::default() }
    }

    /// Takes note of a file's size.
    pub(crate) fn set(&self, file_id: u64, bytes: u64) {
        let before = self.files().insert(file_id, bytes).unwrap_or(0);
        self.total.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        if file_id < self.first_own {
            self.found.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Forgets a file.
    pub(crate) fn forget(&self, file_id: u64) {
        let mut files = self.files();
        self.doubtful().remove(&file_id);
        let bytes = files.remove(&file_id).unwrap_or(0);
        drop(files);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        if file_id < self.first_own {
            self.found.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Takes note that a sync of a file failed, unless what was in it is in segments by now.
    pub(crate) fn doubt(&self, file_id: u64) {
        let files = self.files();
        if files.contains_key(&file_id) {
            self.doubtful().insert(file_id);
        }
    }

    /// Whether there is a file whose sync failed.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.doubtful().is_empty()
    }

    /// The bytes that this process wrote.
    pub(crate) fn written(&self) -> u64 {
        self.bytes().saturating_sub(self.found.load(Ordering::Relaxed))
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> usize {
        self.files().len()
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn doubtful(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of one writer.
#[derive(Debug)]
pub(crate) struct Stream {
    context: Arc<WalContext>,
    /// The index of the writer.
    writer: u32,
    current: Option<WalFile>,
    /// Files that are full or given up, and not yet known to be durable.
    retired: Vec<WalFile>,
    /// The files with samples of the present generation.
    generation: Vec<u64>,
}

/// A place in the log: everything before it in the file, and every file before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub file_id: u64,
    pub offset: u64,
}

/// A file that this process created.
#[derive(Clone, Debug)]
pub(crate) struct WalFile {
    pub identity: FileIdentity,
    file: Arc<dyn DiskFile>,
    /// Bytes written so far, all of them whole frames.
    bytes: u64,
    /// Bytes that end with the last commit; what follows are sync marks only.
    commit_end: u64,
    /// Bytes known to be durable.
    durable: u64,
    /// How far room has been set aside.
    reserved: u64,
    /// Whether the name in the directory is known to be durable.
    named: bool,
    /// Whether a failed write left bytes at the end that could not be cut off.
    torn: bool,
}

impl Stream {
    pub(crate) fn new(context: Arc<WalContext>, writer: u32) -> Self {
        Self { context, writer, current: None, retired: Vec::new(), generation: Vec::new() }
    }

    /// The file that the next `bytes` go to, created if there is none or the present one is full; and its end.
    pub(crate) fn room_for(&mut self, bytes: usize, now: Timestamp) -> io::Result<(&FileIdentity, u64)> {
        let full = |file: &WalFile| {
            file.bytes > FILE_HEADER_BYTES as u64 && file.bytes + bytes as u64 > self.context.file_bytes_max
        };
        if self.current.as_ref().is_some_and(full) {
            self.retire();
        }
        let mut file = match self.current.take() {
            Some(file) => file,
            None => {
                let file = WalFile::create(&self.context, self.writer, now)?;
                self.generation.push(file.identity.file_id);
                file
            }
        };
        let reserved = file.reserve(&self.context, bytes as u64);
        let file = self.current.insert(file);
        reserved?;
        Ok((&file.identity, file.bytes))
    }

    /// Writes frames, made for the place that [`Stream::room_for`] gave, with one call. When it returns they survive
    /// the death of the process; the loss of power too, once a sync has passed the position.
    pub(crate) fn append(&mut self, frames: &FrameBuffer) -> io::Result<Position> {
        let Some(file) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        let Err(failure) = file.file.append(frames.as_bytes()) else {
            file.bytes += frames.as_bytes().len() as u64;
            file.commit_end = file.bytes;
            self.context.inventory.set(file.identity.file_id, file.bytes);
            return Ok(Position { file_id: file.identity.file_id, offset: file.bytes });
        };
        if let Err(error) = file.file.truncate(file.bytes) {
            warn!(file = file.identity.file_id, %error, "A failed write could not be cut off; the WAL file is given up.");
            file.torn = true;
            self.retire();
        }
        Err(failure)
    }

    /// Ends the current file; the next append begins another.
    pub(crate) fn retire(&mut self) {
        self.retired.extend(self.current.take());
    }

    /// Ends the current file if anything is in it: the next append is the first of its file.
    pub(crate) fn begin_anew(&mut self) {
        if self.current.as_ref().is_some_and(|file| file.bytes > FILE_HEADER_BYTES as u64) {
            self.retire();
        }
    }

    /// Ends the generation: the next append begins another file. Gives the files with the samples of the ended one.
    pub(crate) fn rotate(&mut self) -> Vec<u64> {
        self.retire();
        mem::take(&mut self.generation)
    }

    /// What has to be made durable now. The work is done without holding the stream.
    pub(crate) fn begin_sync(&mut self) -> SyncWork {
        let dirty = |file: &&WalFile| file.commit_end > file.durable;
        SyncWork {
            retired: mem::take(&mut self.retired),
            current: self.current.as_ref().filter(dirty).cloned(),
        }
    }

    /// Takes note of what [`SyncWork::run`] achieved for the current file.
    pub(crate) fn end_sync(&mut self, synced: Option<(u64, u64)>, failed: Option<u64>) {
        // It was full, or its generation ended, while it was being synced.
        self.retired.retain(|file| failed != Some(file.identity.file_id));
        let Some(file) = &mut self.current else { return };
        if failed == Some(file.identity.file_id) {
            // Given up: its tail may or may not be on disk, and a second fsync would not tell.
            self.current = None;
            return;
        }
        let Some((_, durable)) = synced.filter(|(id, _)| *id == file.identity.file_id) else { return };
        file.durable = durable;
        file.named = true;
        // The mark tells damage from a torn tail. Losing it only makes the reader more cautious.
        if let Err(error) = file.mark() {
            warn!(file = file.identity.file_id, %error, "Sync mark not written.");
        }
    }
}

impl WalFile {
    fn create(context: &WalContext, writer: u32, now: Timestamp) -> io::Result<Self> {
        let file_id = context.next_file_id.fetch_add(1, Ordering::Relaxed);
        let identity = FileIdentity::new(context.store_id, file_id, context.queues);
        let path = super::file_path(&context.directory, file_id);
        let file = context.disk.create(&path)?;
        if let Err(error) = file.append(&identity.header(now, writer)) {
            // Nothing refers to it yet. If it stays, the next start quarantines it.
            if let Err(error) = context.disk.remove(&path) {
                warn!(path = %path.display(), %error, "An empty WAL file could not be removed.");
            }
            return Err(error);
        }
        let bytes = FILE_HEADER_BYTES as u64;
        context.inventory.set(file_id, bytes);
        Ok(Self {
            identity,
            file,
            bytes,
            commit_end: bytes,
            durable: 0,
            reserved: 0,
            named: false,
            torn: false,
        })
    }

    /// Sets room aside for `bytes` more, and some ahead: twice what the file has, within the limit.
    fn reserve(&mut self, context: &WalContext, bytes: u64) -> io::Result<()> {
        let needed = self.bytes + bytes;
        if context.reserve_bytes == 0 || needed <= self.reserved {
            return Ok(());
        }
        let ahead = needed.clamp(RESERVE_BYTES_MIN.min(context.reserve_bytes), context.reserve_bytes);
        // With no room ahead there may still be enough for this one.
        let target = (needed + ahead).min(context.file_bytes_max.max(needed));
        if self.file.reserve(target).is_ok() {
            self.reserved = target;
            return Ok(());
        }
        self.file.reserve(needed)
    }

    /// Appends a sync mark for the bytes that are durable.
    fn mark(&mut self) -> io::Result<()> {
        let mut buffer = FrameBuffer::default();
        let durable = self.durable.to_le_bytes();
        buffer
            .frame(&self.identity, self.bytes, Kind::SyncMark, |payload| payload.extend_from_slice(&durable));
        let written = self.file.append(buffer.as_bytes());
        match written {
            Ok(()) => self.bytes += buffer.as_bytes().len() as u64,
            Err(_) => self.file.truncate(self.bytes)?,
        }
        written
    }

    /// Makes a file durable that is not appended to any more, with a closing mark over the whole of it, so that later
    /// damage in it is never taken for a torn tail.
    fn close(&mut self, context: &WalContext) -> io::Result<()> {
        if self.torn {
            // What a failed write left may be whole, and its samples were refused.
            self.torn = self.file.truncate(self.bytes).is_err();
        } else if self.reserved > 0
            && let Err(error) = self.file.truncate(self.bytes)
        {
            warn!(file = self.identity.file_id, %error, "Room that was set aside and not used could not be given back.");
        }
        self.sync(context)?;
        if self.torn {
            return Ok(());
        }
        // Without the mark the reader is more cautious; the samples are durable already.
        if let Err(error) = self.mark() {
            warn!(file = self.identity.file_id, %error, "Sync mark not written.");
            return Ok(());
        }
        self.sync(context)
    }

    fn sync(&mut self, context: &WalContext) -> io::Result<()> {
        self.file.sync()?;
        if !self.named {
            context.disk.sync_dir(&context.directory)?;
            self.named = true;
        }
        self.durable = self.bytes;
        Ok(())
    }
}

/// Files to make durable.
#[derive(Debug)]
pub(crate) struct SyncWork {
    retired: Vec<WalFile>,
    current: Option<WalFile>,
}

/// What became of a [`SyncWork`].
#[derive(Debug, Default)]
pub(crate) struct SyncOutcome {
    /// The current file and how many of its bytes are durable now.
    pub synced: Option<(u64, u64)>,
    /// The current file, if its sync failed.
    pub failed: Option<u64>,
    /// Files that are not appended to any more, and are durable as a whole.
    pub closed: Vec<u64>,
    /// All files whose sync failed.
    pub failures: Vec<u64>,
}

impl SyncWork {
    pub(crate) fn run(self, context: &WalContext) -> SyncOutcome {
        let mut outcome = SyncOutcome::default();
        for mut file in self.retired {
            let closed = file.close(context);
            if !outcome.count_failure(&file, closed) {
                outcome.closed.push(file.identity.file_id);
            }
        }
        if let Some(mut file) = self.current {
            let synced = file.sync(context);
            match outcome.count_failure(&file, synced) {
                true => outcome.failed = Some(file.identity.file_id),
                false => outcome.synced = Some((file.identity.file_id, file.durable)),
            }
        }
        outcome
    }
}

impl SyncOutcome {
    /// Whether what stands before a position is durable now.
    pub(crate) fn covers(&self, position: Position) -> bool {
        self.closed.contains(&position.file_id)
            || self
                .synced
                .is_some_and(|(file_id, durable)| file_id == position.file_id && durable >= position.offset)
    }

    fn count_failure(&mut self, file: &WalFile, outcome: io::Result<()>) -> bool {
        let Err(error) = &outcome else { return false };
        self.failures.push(file.identity.file_id);
        error!(
            file = format_args!("{:016x}.wal", file.identity.file_id), %error,
            "Sync failed: what was written since the last one may not survive a loss of power. Check the disk."
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use sereno_runtime::sim_disk::{Call, EIO, Fault, SimDisk};

    use super::*;

    #[test]
    fn a_file_whose_sync_failed_is_not_synced_again_though_it_was_retired_meanwhile() {
        let disk = SimDisk::new();
        disk.create_dir_all(std::path::Path::new("/wal")).unwrap();
        let context = Arc::new(WalContext {
            disk: Arc::new(disk.clone()),
            directory: PathBuf::from("/wal"),
            store_id: [1; 16],
            queues: 1,
            file_bytes_max: 1 << 20,
            reserve_bytes: 0,
            next_file_id: AtomicU64::new(1),
            inventory: Inventory::default(),
        });
        let mut stream = Stream::new(context.clone(), 0);
        let (identity, offset) = stream.room_for(100, Timestamp::from_nanos(0)).unwrap();
        let mut frames = FrameBuffer::default();
        frames.frame(identity, offset, Kind::Commit, |payload| payload.extend_from_slice(&[7; 40]));
        stream.append(&frames).unwrap();
        let work = stream.begin_sync();
        stream.retire();
        disk.fail(Fault::nth(Call::Sync, 1, EIO));
        let outcome = work.run(&context);
        stream.end_sync(outcome.synced, outcome.failed);
        assert_eq!(outcome.failures, [1]);
        let again = stream.begin_sync().run(&context);
        assert_eq!(
            (again.closed, again.failures),
            (vec![], vec![]),
            "a second fsync would say that all is well"
        );
    }
}
