//! A disk whose syncs of the log can be held up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use sereno_runtime::{Disk, DiskFile, RealDisk};

#[derive(Clone, Debug, Default)]
pub(crate) struct HeldDisk(Arc<Hold>);

#[derive(Debug, Default)]
struct Hold {
    held: Mutex<bool>,
    changed: Condvar,
}

impl HeldDisk {
    /// Syncs of the log wait from now on.
    pub(crate) fn hold(&self) {
        *self.0.held.lock().expect("no panic") = true;
    }

    pub(crate) fn release(&self) {
        *self.0.held.lock().expect("no panic") = false;
        self.0.changed.notify_all();
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        match path.extension() {
            Some(extension) if extension == "wal" => Arc::new(HeldFile { file, hold: self.0.clone() }),
            _ => file,
        }
    }
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    hold: Arc<Hold>,
}

impl DiskFile for HeldFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let held = self.hold.held.lock().expect("no panic");
        drop(self.hold.changed.wait_while(held, |held| *held).expect("no panic"));
        self.file.sync()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.reserve(bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl Disk for HeldDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, RealDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, RealDisk.open(path)?))
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

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
}
