//! The file that is being written: appended to, synced, and given up after the first failure.
//!
//! Room is kept ahead of what is written, so that a disk that fills up refuses samples before it refuses alerts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_runtime::{Disk, DiskFile};

use super::frame::{Frames, HEADER_BYTES, Identity, Role, TooLarge};
use super::wire;

/// How much room is kept ahead.
const AHEAD_BYTES: u64 = 1 << 20;

/// The log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    pub number: u64,
    identity: Identity,
    file: Arc<dyn DiskFile>,
    /// Everything before this is durable.
    size: u64,
    reserved: u64,
    /// Whether this file explains the number of a rule.
    named: Vec<bool>,
    frames: Frames,
}

/// The name of a log.
pub(super) fn log_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("state-{number:010}.log"))
}

/// The name of the snapshot of everything before a log.
pub(super) fn snapshot_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("snapshot-{number:010}"))
}

/// The number in the name of a file, if it is one of ours.
pub(super) fn number_of(path: &Path, role: Role) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = match role {
        Role::Log => name.strip_prefix("state-")?.strip_suffix(".log")?,
        Role::Snapshot => name.strip_prefix("snapshot-")?,
    };
    let is_plain = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
}

impl Log {
    /// Begins a log, durably.
    pub fn create(disk: &dyn Disk, directory: &Path, number: u64, now: Timestamp) -> io::Result<Self> {
        let identity = Identity::new(Role::Log, number, now);
        let file = disk.create(&log_path(directory, number))?;
        file.append(identity.header())?;
        file.sync()?;
        disk.sync_dir(directory)?;
        let size = HEADER_BYTES as u64;
        let mut log =
            Self { number, identity, file, size, reserved: 0, named: Vec::new(), frames: Frames::default() };
        log.reserve(0);
        Ok(log)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file still has to explain the number of a rule; it is taken to do so from here on.
    pub fn has_to_name(&mut self, number: u32) -> bool {
        let index = number as usize;
        if self.named.len() <= index {
            self.named.resize(index + 1, false);
        }
        !std::mem::replace(&mut self.named[index], true)
    }

    /// Begins a group of records: what came before it is durable.
    pub fn begin(&mut self) {
        self.frames.clear();
        self.frames.sync_mark(&self.identity, self.size, self.size);
    }

    /// Adds a record to the group.
    pub fn add(&mut self, frame: &wire::Frame) -> Result<(), TooLarge> {
        self.frames.record(&self.identity, self.size, frame)
    }

    /// Writes the group and makes it durable. After an error this log must not be used any more.
    pub fn write(&mut self) -> io::Result<()> {
        let bytes = self.frames.as_bytes();
        let added = bytes.len() as u64;
        self.file.append(bytes)?;
        self.file.sync()?;
        self.size += added;
        self.reserve(AHEAD_BYTES / 2);
        Ok(())
    }

    /// Sets room aside when there is less than `least` of it. Where there is none, the next append will tell.
    fn reserve(&mut self, least: u64) {
        if self.size + least < self.reserved {
            return;
        }
        if self.file.reserve(self.size + AHEAD_BYTES).is_ok() {
            self.reserved = self.size + AHEAD_BYTES;
        }
    }

    /// Gives back the room that was not used. What cannot be given back is found again by the file system.
    pub fn end(self) {
        let _kept = self.file.truncate(self.size);
    }
}
