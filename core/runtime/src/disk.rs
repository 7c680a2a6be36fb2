//! The disk as the server sees it: few calls, all of which a test can fail, tear or forget.
//!
//! Durability has two levels, and the names say which: a returned [`DiskFile::append`] survives the death of the
//! process; a returned [`DiskFile::sync`] survives the loss of power, once the directory that holds the file has been
//! synced too ([`Disk::sync_dir`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A tree of files.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Creates a file that must not exist, for appending.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file, for reading and appending.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Creates a directory and its parents; an existing one is fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, in order of their names.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames a file, replacing the target. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory survive the loss of power.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that this process may still write to the file system that holds `path`, an existing file or directory;
    /// what is set aside for the superuser is not counted.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the lock of a directory for this process, until the guard is dropped.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file. Shared between the thread that appends and the one that syncs.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Writes all bytes at the end. On an error some of them may have been written: cut them off with
    /// [`DiskFile::truncate`] or give up the file.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content survive the loss of power. After an error nothing is known about the content that was not
    /// yet durable, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `bytes`.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Sets room aside so that the file can grow to `bytes` whatever else fills the disk. Its size stays as it is, and
    /// [`DiskFile::truncate`] gives back what was not used. A file system that cannot do it is not an error: appends
    /// may then still find the disk full.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if there is no such room.
    fn reserve(&self, bytes: u64) -> io::Result<()>;
    /// Fills `buffer` from `offset`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Replaces a file as a whole: write beside it, sync, rename, sync the directory. After a crash the old content or
/// the new one is there, never a mixture.
///
/// # Errors
/// The first of the four calls that failed; the old content is then still there, or the new one already.
pub fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&beside)?;
    file.append(content)?;
    file.sync()?;
    disk.rename(&beside, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[expect(clippy::disallowed_methods, reason = "this is the seam")]
impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).append(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut entries =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let system = rustix::fs::statvfs(path)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path.join("LOCK"))?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::Error(error) => error,
            fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        Ok(Box::new(file))
    }
}

impl DiskFile for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, bytes) {
                Err(Errno::INTR) => {}
                // Not every file system can; the promise is best effort there.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                done => return Ok(done?),
            }
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn reserved_room_leaves_the_size_alone_and_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = RealDisk.create(&path).unwrap();
        file.append(b"abc").unwrap();
        file.reserve(0).unwrap();
        file.reserve(1 << 20).unwrap();
        assert_eq!(file.size().unwrap(), 3);
        assert_eq!(RealDisk.read(&path).unwrap(), b"abc");
        file.append(b"def").unwrap();
        file.truncate(6).unwrap();
        assert_eq!(RealDisk.read(&path).unwrap(), b"abcdef");
        let kept_bytes = path.metadata().unwrap().blocks() * 512;
        assert!(kept_bytes < 1 << 20, "{kept_bytes} bytes are still set aside");
        assert!(file.reserve(1 << 60).is_err(), "no disk has that room");
    }

    #[test]
    fn free_bytes_need_an_existing_path() {
        let directory = tempfile::tempdir().unwrap();
        assert!(RealDisk.free_bytes(directory.path()).unwrap() > 0);
        let missing = RealDisk.free_bytes(&directory.path().join("missing"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
