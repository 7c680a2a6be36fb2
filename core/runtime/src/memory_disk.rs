//! A disk that is nothing but memory: for a store that lives as long as its process, as those of rule tests do.
//!
//! What it holds is gone with the last handle, so there is nothing to sync and no room to set aside. It has no limit of
//! its own. Not here: what a crash leaves, and failures; those are `SimDisk`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// A tree of files in memory; a clone is another handle to the same tree. There is a directory `/`, and relative paths
/// start there too. Renames files, not directories.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    tree: Arc<Mutex<Tree>>,
}

/// What is told to be free: a number that callers can add to.
const FREE_BYTES: u64 = 1 << 40;

#[derive(Debug, Default)]
struct Tree {
    /// By path, which begins below `/`. The root has no entry.
    entries: BTreeMap<PathBuf, Entry>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory,
    File(Arc<MemoryFile>),
}

/// A file, whatever becomes of its name.
#[derive(Debug, Default)]
struct MemoryFile {
    bytes: Mutex<Vec<u8>>,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path below `/`, the same for every way to write it.
fn normal(path: &Path) -> PathBuf {
    let ordinary = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(ordinary).collect()
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Tree {
    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        match self.entries.get(path) {
            Some(Entry::File(file)) => Ok(file.clone()),
            Some(Entry::Directory) => Err(ErrorKind::IsADirectory.into()),
            None if is_root(path) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn directory(&self, path: &Path) -> io::Result<()> {
        match self.entries.get(path) {
            Some(Entry::Directory) => Ok(()),
            Some(Entry::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None if is_root(path) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Whether there is a place for a name.
    fn parent(&self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Err(ErrorKind::AlreadyExists.into()), |parent| self.directory(parent))
    }

    fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        let missing = path.ancestors().take_while(|path| !is_root(path));
        let missing: Vec<&Path> =
            missing.take_while(|path| !matches!(self.entries.get(*path), Some(Entry::Directory))).collect();
        if missing.iter().any(|path| self.entries.contains_key(*path)) {
            return Err(ErrorKind::NotADirectory.into());
        }
        self.entries.extend(missing.into_iter().map(|path| (path.to_owned(), Entry::Directory)));
        Ok(())
    }

    fn children(&self, path: &Path) -> Vec<PathBuf> {
        // Paths are ordered part by part, so what lies below one follows it.
        let below = self.entries.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded));
        let below = below.map(|(child, _)| child).take_while(|child| child.starts_with(path));
        below.filter(|child| child.parent() == Some(path)).cloned().collect()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let (path, mut tree) = (normal(path), self.tree());
        tree.parent(&path)?;
        if tree.entries.contains_key(&path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        tree.entries.insert(path, Entry::File(file.clone()));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.tree().file(&normal(path))?)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.tree().file(&normal(path))?;
        let bytes = file.bytes().clone();
        Ok(bytes)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.tree().create_directories(&normal(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let (directory, tree) = (normal(path), self.tree());
        tree.directory(&directory)?;
        // As the caller writes it.
        let children = tree.children(&directory).into_iter();
        Ok(children.filter_map(|child| Some(path.join(child.file_name()?))).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to, mut tree) = (normal(from), normal(to), self.tree());
        let file = tree.file(&from)?;
        tree.parent(&to)?;
        if matches!(tree.entries.get(&to), Some(Entry::Directory)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        tree.entries.remove(&from);
        tree.entries.insert(to, Entry::File(file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (path, mut tree) = (normal(path), self.tree());
        tree.file(&path)?;
        tree.entries.remove(&path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.tree().directory(&normal(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let (path, tree) = (normal(path), self.tree());
        tree.directory(&path).or_else(|_| tree.file(&path).map(drop))?;
        Ok(FREE_BYTES)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let (path, mut tree) = (normal(path), self.tree());
        tree.directory(&path)?;
        if !tree.locked.insert(path.clone()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        drop(tree);
        Ok(Box::new(Lock { disk: self.clone(), path }))
    }
}

/// A lock that is held.
struct Lock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.tree().locked.remove(&self.path);
    }
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.bytes().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let (len, mut content) = (usize::try_from(bytes).map_err(too_large)?, self.bytes());
        let more = len.saturating_sub(content.len());
        content.try_reserve(more).map_err(too_large)?;
        content.resize(len, 0);
        Ok(())
    }

    fn reserve(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.bytes();
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| content.get(start..start.checked_add(buffer.len())?));
        let found = found.ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }
}

fn too_large<E>(_: E) -> io::Error {
    ErrorKind::FileTooLarge.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    /// What calls on a tree came to, with the kinds of their errors.
    fn story(disk: &dyn Disk, root: &Path) -> Vec<String> {
        let at = |name: &str| root.join(name);
        let mut told = Vec::new();
        let mut tell = |what: &str, outcome: io::Result<String>| {
            told.push(format!("{what}: {:?}", outcome.map_err(|error| error.kind())));
        };
        let names = |found: Vec<PathBuf>| {
            let names = found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        let done = |()| String::new();
        tell("list nothing", disk.list(&at("a")).map(names));
        tell("create without a directory", disk.create(&at("a/f")).map(|_| String::new()));
        tell("directories", disk.create_dir_all(&at("a/b")).map(done));
        tell("again", disk.create_dir_all(&at("a/b/")).map(done));
        let file = disk.create(&at("a/f")).unwrap();
        tell("create twice", disk.create(&at("a/f")).map(|_| String::new()));
        tell("a directory in a file", disk.create_dir_all(&at("a/f/c")).map(done));
        tell("a file in a file", disk.create(&at("a/f/g")).map(|_| String::new()));
        tell("append", file.append(b"hello").map(done));
        tell("reserve", file.reserve(1 << 16).map(done));
        tell("size", file.size().map(|size| size.to_string()));
        let mut buffer = [0; 3];
        tell("read at", file.read_exact_at(&mut buffer, 2).map(done));
        tell("bytes", Ok(format!("{buffer:?}")));
        tell("read past the end", file.read_exact_at(&mut buffer, 3).map(done));
        tell("cut", file.truncate(2).map(done));
        tell("grow", file.truncate(4).map(done));
        tell("read", disk.read(&at("a/./f")).map(|bytes| format!("{bytes:?}")));
        tell("list", disk.list(&at("a")).map(names));
        let other = disk.create(&at("a/g")).unwrap();
        tell("append to the other", other.append(b"other").map(done));
        tell("rename over", disk.rename(&at("a/g"), &at("a/f")).map(done));
        tell("read it", disk.read(&at("a/f")).map(|bytes| format!("{bytes:?}")));
        tell("the replaced one", file.size().map(|size| size.to_string()));
        tell("rename nothing", disk.rename(&at("a/g"), &at("a/h")).map(done));
        tell("rename to nowhere", disk.rename(&at("a/f"), &at("z/f")).map(done));
        tell("rename over a directory", disk.rename(&at("a/f"), &at("a/b")).map(done));
        let opened = disk.open(&at("a/f")).unwrap();
        tell("append more", opened.append(b"!").and_then(|()| opened.sync()).map(done));
        tell("remove", disk.remove(&at("a/f")).map(done));
        tell("remove twice", disk.remove(&at("a/f")).map(done));
        tell("the removed one", opened.size().map(|size| size.to_string()));
        tell("open nothing", disk.open(&at("a/f")).map(|_| String::new()));
        tell("read nothing", disk.read(&at("a/f")).map(|_| String::new()));
        tell("sync", disk.sync_dir(&at("a")).map(done));
        tell("sync nothing", disk.sync_dir(&at("z")).map(done));
        tell("free", disk.free_bytes(&at("a")).map(|free| (free > 1 << 20).to_string()));
        tell("free of nothing", disk.free_bytes(&at("z")).map(|free| free.to_string()));
        let lock = disk.lock(&at("a")).unwrap();
        tell("lock twice", disk.lock(&at("a")).map(|_| String::new()));
        tell("lock another", disk.lock(&at("a/b")).map(|_| String::new()));
        drop(lock);
        tell("lock again", disk.lock(&at("a")).map(|_| String::new()));
        told
    }

    #[test]
    fn it_answers_as_a_real_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (memory, root) = (MemoryDisk::new(), Path::new("/some/where"));
        memory.create_dir_all(root).unwrap();
        assert_eq!(story(&memory, root), story(&RealDisk, directory.path()));
        assert_eq!(story(&MemoryDisk::new(), Path::new("")), story(&memory, Path::new("/")));
    }

    #[test]
    fn handles_share_the_tree_and_neighbours_with_like_names_are_apart() {
        let disk = MemoryDisk::new();
        for path in ["a/x", "a-b/y", "a/c/z", "ab"] {
            disk.create_dir_all(Path::new(path)).unwrap();
        }
        let list = |path: &str| disk.clone().list(Path::new(path)).unwrap();
        assert_eq!(list("/a"), [Path::new("/a/c"), Path::new("/a/x")]);
        assert_eq!(list("/"), ["/a", "/a-b", "/ab"].map(Path::new));
    }
}
