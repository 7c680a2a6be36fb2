//! The files that one writer appends to, one after the other.
//!
//! Invariants:
//! * a frame never spans two files;
//! * what a failed write left behind is cut off, or the file is given up: nothing is ever appended behind it;
//! * after a failed sync a file is not appended to, and is not synced again.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sereno_model::Timestamp;
use sereno_runtime::{Disk, DiskFile};
use tracing::{error, warn};

use super::frame::{FILE_HEADER_BYTES, FileIdentity, FrameBuffer, Kind};

/// What all streams of a store share.
#[derive(Debug)]
pub(crate) struct WalContext {
    pub disk: Arc<dyn Disk>,
    pub directory: PathBuf,
    pub store_id: [u8; 16],
    pub queues: u32,
    pub file_bytes_max: u64,
    pub next_file_id: AtomicU64,
}

/// The stream of one writer.
#[derive(Debug)]
pub(crate) struct Stream {
    context: Arc<WalContext>,
    current: Option<WalFile>,
    /// Files that are full or given up, and not yet known to be durable.
    retired: Vec<WalFile>,
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
    /// Whether the name in the directory is known to be durable.
    named: bool,
    /// Whether a failed write left bytes at the end that could not be cut off.
    torn: bool,
}

impl Stream {
    pub(crate) fn new(context: Arc<WalContext>) -> Self {
        Self { context, current: None, retired: Vec::new() }
    }

    /// The file that the next `bytes` go to, created if there is none or the present one is full; and its end.
    pub(crate) fn room_for(&mut self, bytes: usize, now: Timestamp) -> io::Result<(&FileIdentity, u64)> {
        let full = |file: &WalFile| {
            file.bytes > FILE_HEADER_BYTES as u64 && file.bytes + bytes as u64 > self.context.file_bytes_max
        };
        if self.current.as_ref().is_some_and(full) {
            self.retire();
        }
        let file = match self.current.take() {
            Some(file) => file,
            None => WalFile::create(&self.context, now)?,
        };
        let file = self.current.insert(file);
        Ok((&file.identity, file.bytes))
    }

    /// Writes frames, made for the place that [`Stream::room_for`] gave, with one call. When it returns they survive
    /// the death of the process.
    pub(crate) fn append(&mut self, frames: &FrameBuffer) -> io::Result<()> {
        let Some(file) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        let Err(failure) = file.file.append(frames.as_bytes()) else {
            file.bytes += frames.as_bytes().len() as u64;
            file.commit_end = file.bytes;
            return Ok(());
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
    fn create(context: &WalContext, now: Timestamp) -> io::Result<Self> {
        let file_id = context.next_file_id.fetch_add(1, Ordering::Relaxed);
        let identity = FileIdentity::new(context.store_id, file_id, context.queues);
        let path = super::file_path(&context.directory, file_id);
        let file = context.disk.create(&path)?;
        if let Err(error) = file.append(&identity.header(now)) {
            // Nothing refers to it yet. If it stays, the next start quarantines it.
            if let Err(error) = context.disk.remove(&path) {
                warn!(path = %path.display(), %error, "An empty WAL file could not be removed.");
            }
            return Err(error);
        }
        let bytes = FILE_HEADER_BYTES as u64;
        Ok(Self { identity, file, bytes, commit_end: bytes, durable: 0, named: false, torn: false })
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
        self.sync(context)?;
        if self.torn {
            return Ok(());
        }
        self.mark()?;
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
    pub failures: u64,
}

impl SyncWork {
    pub(crate) fn run(self, context: &WalContext) -> SyncOutcome {
        let mut outcome = SyncOutcome::default();
        for mut file in self.retired {
            let closed = file.close(context);
            outcome.count_failure(&file, closed);
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
    fn count_failure(&mut self, file: &WalFile, outcome: io::Result<()>) -> bool {
        let Err(error) = &outcome else { return false };
        self.failures += 1;
        error!(
            file = format_args!("{:016x}.wal", file.identity.file_id), %error,
            "Sync failed: what was written since the last one may not survive a loss of power. Check the disk."
        );
        true
    }
}
