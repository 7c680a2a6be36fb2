//! The whole disk behind its lock, and what each call does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::faults::{Call, Failure, Faults};
use super::file::{self, SimContent};
use super::names::{self, Entry, Names, NodeId, Place, Rename};
use super::pages::Pages;
use super::{Loss, Rng};

/// What an unlimited disk says is free, less what is in use: a number that callers can add to.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// A tree of files, the process that has them open, and what waits to go wrong.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) names: Names,
    /// Every file that has a name, is open, or may have a name again after a loss of power.
    contents: BTreeMap<NodeId, Arc<SimContent>>,
    last_id: NodeId,
    pub(super) capacity: Option<u64>,
    pub(super) calls: u64,
    pub(super) faults: Faults,
    pub(super) locks: BTreeSet<NodeId>,
    /// How many handles each file has.
    open: BTreeMap<NodeId, usize>,
    /// The states before each call, if they are kept.
    pub(super) history: Option<Vec<(Call, PathBuf, State)>>,
}

impl State {
    /// The tree without the process.
    pub(super) fn fork(&self) -> Self {
        Self {
            names: self.names.clone(),
            contents: self.contents.clone(),
            last_id: self.last_id,
            capacity: self.capacity,
            calls: self.calls,
            ..Self::default()
        }
    }

    /// Counts a call, keeps the moment if asked to, and says how the call fails if it does.
    pub(super) fn enter(&mut self, call: Call, path: &Path) -> Option<Failure> {
        let failure = self.faults.meet(call, path, self.calls);
        if call.is_change() && !self.faults.is_stopped() {
            if self.history.is_some() {
                let now = self.fork();
                self.history.get_or_insert_default().push((call, path.to_owned(), now));
            }
            self.calls += 1;
        }
        failure
    }

    pub(super) fn after_power_loss(&self, seed: u64, loss: Loss) -> Self {
        let (names, content) = match loss {
            Loss::Unsynced => (names::Fate::Gone, file::Fate::Gone),
            Loss::Nothing => (names::Fate::Kept, file::Fate::Kept),
            Loss::Content => (names::Fate::Kept, file::Fate::Gone),
            Loss::Zeroed => (names::Fate::Kept, file::Fate::Zeroed),
            Loss::Names => (names::Fate::Gone, file::Fate::Kept),
            Loss::Random => (names::Fate::Any, file::Fate::Any),
        };
        let names = self.names.after_power_loss(names, &mut Rng::new(seed));
        let named = names.reachable();
        let survivors = self.contents.iter().filter(|(id, _)| named.contains(id));
        let contents = survivors
            .map(|(id, before)| {
                // Each file has its own luck, whatever befalls the others.
                let mut rng = Rng::new(Rng::new(seed ^ (id << 32)).next());
                (*id, Arc::new(before.after_power_loss(content, &mut rng)))
            })
            .collect();
        Self { names, contents, last_id: self.last_id, capacity: self.capacity, ..Self::default() }
    }

    /// The content of a file that has a name or is open.
    pub(super) fn content(&self, id: NodeId) -> &SimContent {
        static EMPTY: std::sync::LazyLock<SimContent> = std::sync::LazyLock::new(SimContent::default);
        self.contents.get(&id).map_or(&EMPTY, |content| content)
    }

    pub(super) fn set_content(&mut self, id: NodeId, content: SimContent) {
        self.contents.insert(id, Arc::new(content));
    }

    pub(super) fn change(&mut self, id: NodeId, change: impl FnOnce(&mut SimContent)) {
        change(Arc::make_mut(self.contents.entry(id).or_default()));
    }

    fn new_id(&mut self) -> NodeId {
        self.last_id += 1;
        self.last_id
    }

    fn link(&mut self, to: Place, is_directory: bool) -> NodeId {
        let entry = Entry { id: self.new_id(), is_directory };
        self.names.change(Rename::Link { to, entry });
        entry.id
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<NodeId> {
        let place = self.names.place(path)?.ok_or(io::ErrorKind::AlreadyExists)?;
        if self.names.get(&place).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.link(place, false);
        self.set_content(id, SimContent::default());
        Ok(id)
    }

    pub(super) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        let mut from_the_root: Vec<&Path> = path.ancestors().collect();
        from_the_root.reverse();
        for ancestor in from_the_root {
            let Some(place) = self.names.place(ancestor)? else { continue };
            match self.names.get(&place) {
                Some(entry) if entry.is_directory => {}
                Some(_) if ancestor == path => return Err(io::ErrorKind::AlreadyExists.into()),
                Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    self.link(place, true);
                }
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, entry) = self.names.file(from)?;
        let to = self.names.place(to)?.ok_or(io::ErrorKind::IsADirectory)?;
        match self.names.get(&to) {
            Some(target) if target.is_directory => Err(io::ErrorKind::IsADirectory.into()),
            Some(target) if target == entry => Ok(()),
            _ => {
                self.names.change(Rename::Move { from, to, entry });
                Ok(())
            }
        }
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (from, entry) = self.names.file(path)?;
        self.names.change(Rename::Unlink { from, entry });
        Ok(())
    }

    pub(super) fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        let directory = self.names.directory(path)?;
        self.names.sync(directory);
        self.collect();
        Ok(())
    }

    pub(super) fn take_lock(&mut self, path: &Path) -> io::Result<NodeId> {
        let path = path.join("LOCK");
        let id = match self.names.file(&path) {
            Ok((_, entry)) => entry.id,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(&path)?,
            Err(error) => return Err(error),
        };
        match self.locks.insert(id) {
            true => Ok(id),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Puts a durable file there.
    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        self.create_directories(parent)?;
        let id = match self.names.file(path) {
            Ok((_, entry)) => entry.id,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path)?,
            Err(error) => return Err(error),
        };
        let mut content = Pages::default();
        content.write(0, bytes);
        self.set_content(id, SimContent::durable(content));
        for directory in parent.ancestors() {
            self.sync_directory(directory)?;
        }
        Ok(())
    }

    /// Writes what fits.
    pub(super) fn append(&mut self, id: NodeId, bytes: &[u8]) -> io::Result<()> {
        let before = self.content(id);
        let fits = (self.room(before) - before.now().size()).min(bytes.len() as u64) as usize;
        self.change(id, |content| content.append(&bytes[..fits]));
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(no_space()),
        }
    }

    pub(super) fn reserve(&mut self, id: NodeId, bytes: u64) -> io::Result<()> {
        if bytes > self.room(self.content(id)) {
            return Err(no_space());
        }
        self.change(id, |content| content.reserve(bytes));
        Ok(())
    }

    /// The size to which a file can grow.
    fn room(&self, content: &SimContent) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX };
        content.allotted().saturating_add(capacity.saturating_sub(self.used()))
    }

    pub(super) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if let Some(place) = self.names.place(path)?
            && self.names.get(&place).is_none()
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.capacity.unwrap_or(UNLIMITED_BYTES).saturating_sub(self.used()))
    }

    pub(super) fn used(&self) -> u64 {
        let in_use =
            self.contents.iter().filter(|(id, _)| self.open.contains_key(id) || self.names.has(**id));
        in_use.fold(0, |sum, (_, content)| sum.saturating_add(content.allotted()))
    }

    pub(super) fn hold(&mut self, id: NodeId) {
        *self.open.entry(id).or_default() += 1;
    }

    pub(super) fn release(&mut self, id: NodeId) {
        let handles = self.open.get(&id).copied().unwrap_or_default();
        if handles > 1 {
            self.open.insert(id, handles - 1);
            return;
        }
        self.open.remove(&id);
        if !self.names.has(id) {
            self.collect();
        }
    }

    /// Forgets the files that nobody can see again.
    fn collect(&mut self) {
        let reachable = self.names.reachable();
        self.contents.retain(|id, _| reachable.contains(id) || self.open.contains_key(id));
    }
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(super::ENOSPC)
}
