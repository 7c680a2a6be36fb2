//! A disk that can be told to fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sereno_runtime::{Disk, DiskFile, RealDisk};

/// The real disk, with switches.
#[derive(Clone, Debug, Default)]
pub struct FailingDisk {
    switches: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    full: AtomicBool,
    truncate_fails: AtomicBool,
    sync_fails: AtomicBool,
}

impl FailingDisk {
    /// From now on a write stops half way, for want of space.
    pub fn fill(&self, full: bool) {
        self.switches.full.store(full, Ordering::SeqCst);
    }

    /// From now on nothing can be cut off.
    pub fn refuse_truncate(&self) {
        self.switches.truncate_fails.store(true, Ordering::SeqCst);
    }

    /// From now on syncs fail, or work again.
    pub fn fail_sync(&self, fails: bool) {
        self.switches.sync_fails.store(fails, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FailingFile(Arc<dyn DiskFile>, Arc<Switches>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FailingFile(RealDisk.create(path)?, self.switches.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FailingFile(RealDisk.open(path)?, self.switches.clone())))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for FailingFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if self.1.full.load(Ordering::SeqCst) {
            self.0.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        if self.1.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.0.sync()
    }
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        if self.1.truncate_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.0.truncate(bytes)
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}
