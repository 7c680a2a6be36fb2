//! A disk in memory that loses power, fails, fills up and rots when a test says so.
//!
//! It knows of every byte and every name whether it is durable, so that it can tell what each of these leaves:
//!
//! * **kill -9** ([`SimDisk::kill`]): everything that was written, as the kernel still has it;
//! * **loss of power** ([`SimDisk::crash`]): what was synced, and of the rest what [`Loss`] says: nothing, everything,
//!   or any of the states that a file system may leave behind, drawn from a seed: torn writes, holes, tails of
//!   zeros, names without content, content without names. The disk itself stays as it was, so that one state can
//!   crash in many ways;
//! * **a failed call** ([`SimDisk::fail`], [`SimDisk::crash_after`], [`SimDisk::set_capacity`]);
//! * **damage** ([`SimDisk::flip`], [`SimDisk::cut`], [`SimDisk::write_file`]).
//!
//! Every point of a run can crash, in one of two ways: run again with `crash_after(0)`, `crash_after(1)`, … or run
//! once with [`SimDisk::record`] and crash each [`Moment`] of the history.
//!
//! What it takes for granted, as ext4 and XFS give it: a sector of 512 bytes is written as a whole; a rename is
//! one transaction, so the target is the old file or the new one, and the file never goes lost between two
//! directories; space that was cut off reads as zeros when it is used again. What it does *not* take for granted:
//! that a sync of a file makes its name durable, that names reach the disk in order, or that a second sync
//! makes up for one that failed.
//!
//! Invariant: nothing depends on time, threads or the operating system's randomness; the same calls and seeds give the
//! same bytes. Not here: delays, links, permissions, renaming directories.

mod faults;
mod file;
mod names;
mod pages;
mod rng;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use faults::{Call, EINTR, EIO, ENOSPC, Fault, Part, Stopped};
pub use rng::Rng;

use crate::{Disk, DiskFile};
use names::NodeId;
use state::State;

/// What a loss of power takes of the things that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them: content, sizes and names.
    Unsynced,
    /// None of them. What a failed sync gave up is gone all the same.
    Nothing,
    /// All content; the names are there.
    Content,
    /// All content but the sizes: zeros stand where the bytes should. The names are there.
    Zeroed,
    /// All names; the content is there, for the files that have a durable name.
    Names,
    /// Whatever the seed says, for each file and name.
    Random,
}

impl Loss {
    /// Every kind. All but the last leave one state each, whatever the seed.
    pub const ALL: [Self; 6] =
        [Self::Unsynced, Self::Nothing, Self::Content, Self::Zeroed, Self::Names, Self::Random];
}

/// A tree of files in memory. A clone is another handle to the same tree; a copy is [`SimDisk::fork`].
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// A state of the disk in a recorded run.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The changing calls before it, as counted by [`SimDisk::calls`].
    pub calls: u64,
    /// The call that came next.
    pub next: Call,
    /// What that call was about.
    pub path: PathBuf,
    /// The disk just before that call.
    pub disk: SimDisk,
}

impl SimDisk {
    /// An empty disk of unlimited size. There is a directory `/`, and relative paths start there too.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the tree, durable and not, that goes its own way. It takes along the count of calls and the capacity,
    /// but no open files, locks, faults or history. Cheap: bytes are shared until one of the two writes.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::of(self.state().fork())
    }

    /// The tree after `kill -9` and before the next start: everything written is there, what was not durable still
    /// is not, no lock is held. The old handle keeps its own tree, so that threads that still run change nothing here.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut state = self.state().fork();
        state.calls = 0;
        Self::of(state)
    }

    /// The tree after a loss of power: all that is there is durable, no lock is held, no fault is left and the count
    /// of calls starts again. The old handle keeps its own tree, stopped or not, and can crash again.
    #[must_use]
    pub fn crash(&self, seed: u64, loss: Loss) -> Self {
        Self::of(self.state().after_power_loss(seed, loss))
    }

    /// Lets `calls` more changing calls pass; at the next one the machine stops. That call and all later ones, of
    /// any kind, fail with [`Stopped`] and change nothing.
    pub fn crash_after(&self, calls: u64) {
        self.crash_within(calls, Part::None);
    }

    /// [`SimDisk::crash_after`], but a part of the call at which the machine stops takes effect.
    pub fn crash_within(&self, calls: u64, part: Part) {
        let mut state = self.state();
        let at = state.calls + calls;
        state.faults.stop_at(at, part);
    }

    /// Whether the machine has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().faults.is_stopped()
    }

    /// How many calls came that change something, whether they worked or not.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// From now on keeps the state before every changing call. Costs what the calls write, not the size of the tree.
    pub fn record(&self) {
        self.state().history = Some(Vec::new());
    }

    /// The moments since [`SimDisk::record`]. What a caller was promised when [`SimDisk::calls`] gave `n` must hold
    /// after a crash of every moment whose `calls` are at least `n`. The state after the last call is the disk itself.
    #[must_use]
    pub fn history(&self) -> Vec<Moment> {
        let state = self.state();
        let moments = state.history.iter().flatten();
        moments.map(|(call, path, then)| moment(*call, path, then)).collect()
    }

    /// Adds a fault; several can wait at a time.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Takes all faults away. A machine that stopped stays stopped.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Limits the sum of the sizes and of the room set aside; `None` lifts the limit. May be below what is in use.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes in use, with the room set aside and with removed files that are still open.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// Every file with its content, as reads see it.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let files = state.names.files().into_iter();
        files.map(|(path, id)| (path, state.content(id).now().to_vec())).collect()
    }

    /// Puts a file there, with its directories, durable at once. Replaces the content of one that exists. Whatever
    /// else was about to be durable in these directories is then durable too.
    ///
    /// # Panics
    /// If the path is a directory, or leads through a file.
    #[track_caller]
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = path.as_ref();
        let written = self.state().put(path, bytes);
        written.unwrap_or_else(|error| panic!("failed to write `{}`: {error}", path.display()));
    }

    /// Inverts the bits of `mask` in the byte at `offset`. The file is then durable as it stands.
    ///
    /// # Panics
    /// If there is no such byte.
    #[track_caller]
    pub fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) {
        self.damage(path.as_ref(), |pages| {
            let mut byte = [0];
            assert!(pages.read(offset, &mut byte), "the file ends before byte {offset}");
            pages.write(offset, &[byte[0] ^ mask]);
        });
    }

    /// Cuts a file to `bytes`, or grows it with zeros. The file is then durable as it stands.
    ///
    /// # Panics
    /// If there is no such file.
    #[track_caller]
    pub fn cut(&self, path: impl AsRef<Path>, bytes: u64) {
        self.damage(path.as_ref(), |pages| pages.resize(bytes));
    }

    #[track_caller]
    fn damage(&self, path: &Path, change: impl FnOnce(&mut pages::Pages)) {
        let mut state = self.state();
        let (_, entry) = match state.names.file(path) {
            Ok(found) => found,
            Err(error) => panic!("failed to damage `{}`: {error}", path.display()),
        };
        let mut content = state.content(entry.id).now().clone();
        change(&mut content);
        state.set_content(entry.id, file::SimContent::durable(content));
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A test that panics while it holds the lock has failed anyway; the others may go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that takes effect as a whole or not at all.
    fn call<T>(
        &self,
        call: Call,
        path: &Path,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        match state.enter(call, path) {
            None => work(&mut state),
            Some(failure) => {
                if failure.part == Part::All {
                    work(&mut state).ok();
                }
                Err(failure.error)
            }
        }
    }

    /// A call that gives an open file.
    fn open_with(
        &self,
        call: Call,
        path: &Path,
        work: impl FnOnce(&mut State) -> io::Result<NodeId>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        // Not through `call`, which would drop the handle of a call that fails although it took effect, and a handle
        // that is dropped takes the lock.
        let mut state = self.state();
        if let Some(failure) = state.enter(call, path) {
            if failure.part == Part::All {
                work(&mut state).ok();
            }
            return Err(failure.error);
        }
        let id = work(&mut state)?;
        state.hold(id);
        Ok(Arc::new(SimFile { disk: self.clone(), id, path: path.to_owned() }))
    }
}

fn moment(next: Call, path: &Path, then: &State) -> Moment {
    Moment { calls: then.calls, next, path: path.to_owned(), disk: SimDisk::of(then.fork()) }
}

/// The files and their sizes.
impl std::fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        let files = state.names.files().into_iter();
        let sizes = files.map(|(path, id)| (path, state.content(id).now().size()));
        formatter.debug_map().entries(sizes).finish()
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(Call::Create, path, |state| state.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(Call::Open, path, |state| Ok(state.names.file(path)?.1.id))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call(Call::Read, path, |state| {
            let (_, entry) = state.names.file(path)?;
            Ok(state.content(entry.id).now().to_vec())
        })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateDir, path, |state| state.create_directories(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.call(Call::List, path, |state| {
            let directory = state.names.directory(path)?;
            Ok(state.names.list(directory).map(|(name, _)| path.join(name)).collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, from, |state| state.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, path, |state| state.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Call::SyncDir, path, |state| state.sync_directory(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.call(Call::FreeBytes, path, |state| state.free_bytes(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let id = self.call(Call::Lock, path, |state| state.take_lock(path))?;
        Ok(Box::new(SimLock { disk: self.clone(), id }))
    }
}

/// A lock that is held; the next process does not know of it, as its tree is another one.
struct SimLock {
    disk: SimDisk,
    id: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.id);
    }
}

/// An open file, whatever happens to its name.
struct SimFile {
    disk: SimDisk,
    id: NodeId,
    /// Its name when it was opened.
    path: PathBuf,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("SimFile").field(&self.path).finish()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().release(self.id);
    }
}

impl DiskFile for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.enter(Call::Append, &self.path) {
            None => state.append(self.id, bytes),
            Some(failure) => {
                state.append(self.id, failure.part.of(bytes)).ok();
                Err(failure.error)
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.enter(Call::Sync, &self.path) {
            None => {
                state.change(self.id, file::SimContent::sync);
                Ok(())
            }
            Some(failure) => {
                match failure.part {
                    Part::All => state.change(self.id, file::SimContent::sync),
                    _ if failure.is_stop => {}
                    _ => state.change(self.id, file::SimContent::fail_sync),
                }
                Err(failure.error)
            }
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Call::Truncate, &self.path, |state| {
            state.change(self.id, |content| content.resize(bytes));
            Ok(())
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Call::Reserve, &self.path, |state| state.reserve(self.id, bytes))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.call(Call::Read, &self.path, |state| {
            match state.content(self.id).now().read(offset, buffer) {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.call(Call::Size, &self.path, |state| Ok(state.content(self.id).now().size()))
    }
}
