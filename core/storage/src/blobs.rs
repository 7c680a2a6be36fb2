//! Where sealed files live: immutable, written once under a name that must be free, read by position.
//!
//! The seam to an object store: creation under a name that exists fails, which is also the fence between two owners of
//! one store; nothing is ever changed in place, and readers need no more than positioned reads. Here: a folder.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sereno_runtime::{Disk, DiskFile};

/// Sealed files by name.
pub(crate) trait Blobs: Send + Sync + fmt::Debug {
    /// Begins a blob; it exists for readers, and survives the loss of power, once it is sealed.
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter>>;
    /// Opens a sealed blob. It stays readable after its removal, for as long as it is held.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Blob>>;
    /// All names, in order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Removes a blob.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Moves a blob that does not verify out of the way, and gives where it is now. Nothing is ever deleted for damage.
    fn set_aside(&self, name: &str) -> io::Result<PathBuf>;
    /// Makes durable the names that an earlier process gave: it may have been killed just before.
    fn sync_names(&self) -> io::Result<()>;
    /// For messages: where a blob is.
    fn locate(&self, name: &str) -> PathBuf;
}

/// A blob on its way. Dropped without [`BlobWriter::seal`], it leaves nothing.
pub(crate) trait BlobWriter: Send {
    /// Adds bytes at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and name durable. Until then no blob has the name, whatever a crash leaves.
    fn seal(self: Box<Self>) -> Result<(), SealError>;
}

/// A blob was not sealed.
#[derive(Debug)]
pub(crate) struct SealError {
    pub source: io::Error,
    /// Whether the next start may find it all the same, whole: neither finishing nor removing it could be confirmed.
    pub may_exist: bool,
}

impl From<SealError> for io::Error {
    fn from(error: SealError) -> Self {
        error.source
    }
}

impl From<io::Error> for SealError {
    /// Before the name is given.
    fn from(source: io::Error) -> Self {
        Self { source, may_exist: false }
    }
}

/// A sealed blob.
pub(crate) trait Blob: Send + Sync + fmt::Debug {
    /// The bytes at `offset`; an error if there are fewer.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The size in bytes.
    fn size(&self) -> u64;
}

/// How the name of a file ends that is not sealed yet.
pub(crate) const UNSEALED: &str = "tmp";

/// A folder of the disk.
#[derive(Debug)]
pub(crate) struct LocalBlobs {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

impl LocalBlobs {
    pub(crate) fn open(disk: Arc<dyn Disk>, directory: PathBuf) -> io::Result<Self> {
        disk.create_dir_all(&directory)?;
        for path in
            disk.list(&directory)?.iter().filter(|path| path.extension().is_some_and(|end| end == UNSEALED))
        {
            if let Err(error) = disk.remove(path) {
                tracing::debug!(path = %path.display(), %error, "An unfinished file stays until the next start.");
            }
        }
        Ok(Self { disk, directory })
    }
}

impl Blobs for LocalBlobs {
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter>> {
        let path = self.directory.join(name);
        match self.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        }
        let unsealed = path.with_extension(UNSEALED);
        let file = match self.disk.create(&unsealed) {
            // Left by an attempt before, which could not remove it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&unsealed)?;
                self.disk.create(&unsealed)?
            }
            created => created?,
        };
        Ok(Box::new(LocalWriter { disk: self.disk.clone(), path, unsealed, file, is_sealed: false }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Blob>> {
        let file = self.disk.open(&self.directory.join(name))?;
        let size = file.size()?;
        Ok(Arc::new(LocalBlob { file, size }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = self.disk.list(&self.directory)?.into_iter();
        Ok(entries.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.directory.join(name))
    }

    fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let quarantine = self.directory.with_file_name("quarantine");
        let target = quarantine.join(name);
        self.disk.rename(&self.directory.join(name), &target)?;
        self.disk.sync_dir(&quarantine)?;
        Ok(target)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.directory)
    }

    fn locate(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

struct LocalWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Its name until it is sealed: what a loss of power leaves of a file that was not synced is not to be taken for a
    /// blob that rotted.
    unsealed: PathBuf,
    file: Arc<dyn DiskFile>,
    is_sealed: bool,
}

impl LocalWriter {
    fn give_name(&self) -> io::Result<()> {
        self.disk.rename(&self.unsealed, &self.path)?;
        self.sync_directory()
    }

    fn take_name(&self) -> io::Result<()> {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync_directory(),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_dir(self.path.parent().unwrap_or(&self.path))
    }
}

impl BlobWriter for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn seal(mut self: Box<Self>) -> Result<(), SealError> {
        self.file.sync()?;
        if let Err(source) = self.give_name() {
            // A call that failed may have had its effect.
            return Err(SealError { source, may_exist: self.take_name().is_err() });
        }
        self.is_sealed = true;
        Ok(())
    }
}

impl Drop for LocalWriter {
    /// What was not sealed is of no use, and on a full disk its room is needed.
    fn drop(&mut self) {
        if self.is_sealed {
            return;
        }
        match self.disk.remove(&self.unsealed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(path = %self.path.display(), %error, "An unfinished file stays until the next start.");
            }
            _ => {}
        }
    }
}

#[derive(Debug)]
struct LocalBlob {
    file: Arc<dyn DiskFile>,
    size: u64,
}

impl Blob for LocalBlob {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        // A length from a damaged file must not decide how much is allocated.
        if offset.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
