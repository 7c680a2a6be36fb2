//! The names of a tree: those that reads see, those that are durable, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Rng;

/// A file or a directory, whatever it is called.
pub(super) type NodeId = u64;

/// The directory `/`; relative paths start there too.
pub(super) const ROOT: NodeId = 0;

/// A name in a directory.
pub(super) type Place = (NodeId, OsString);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: NodeId,
    pub(super) is_directory: bool,
}

type Entries = BTreeMap<Place, Entry>;

/// A change of names. Each happens as a whole or not at all, like a transaction of a file system's journal.
#[derive(Clone, Debug)]
pub(super) enum Rename {
    Link { to: Place, entry: Entry },
    Move { from: Place, to: Place, entry: Entry },
    Unlink { from: Place, entry: Entry },
}

impl Rename {
    fn places(&self) -> impl Iterator<Item = &Place> {
        let (first, second) = match self {
            Self::Link { to, .. } => (to, None),
            Self::Move { from, to, .. } => (to, Some(from)),
            Self::Unlink { from, .. } => (from, None),
        };
        std::iter::once(first).chain(second)
    }

    fn entry(&self) -> Entry {
        let (Self::Link { entry, .. } | Self::Move { entry, .. } | Self::Unlink { entry, .. }) = self;
        *entry
    }

    /// Applies to `entries`, in which earlier changes may be missing: a name is taken away only from its own file.
    fn apply(&self, entries: &mut Entries) {
        let mut take = |from: &Place, entry: &Entry| {
            if entries.get(from) == Some(entry) {
                entries.remove(from);
            }
        };
        match self {
            Self::Unlink { from, entry } => take(from, entry),
            Self::Move { from, entry, .. } => take(from, entry),
            Self::Link { .. } => {}
        }
        if let Self::Link { to, entry } | Self::Move { to, entry, .. } = self {
            entries.insert(to.clone(), *entry);
        }
    }

    /// Whether the order of the two matters.
    fn meets(&self, other: &Self) -> bool {
        self.entry().id == other.entry().id
            || self.places().any(|place| other.places().any(|it| it == place) || place.0 == other.entry().id)
            || other.places().any(|place| place.0 == self.entry().id)
    }
}

/// What a loss of power does to names that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All changes are undone.
    Gone,
    /// All changes are there.
    Kept,
    /// Some of them, in order or not.
    Any,
}

/// All names of a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: Arc<Entries>,
    durable: Arc<Entries>,
    /// What happened since `durable`, in order, and whether it is durable all the same.
    pending: Arc<Vec<(Rename, bool)>>,
}

impl Names {
    /// Finds the directory of a path and the name in it. `None`: the path is the root.
    pub(super) fn place(&self, path: &Path) -> io::Result<Option<Place>> {
        let mut place: Option<Place> = None;
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
            };
            let directory = match &place {
                None => ROOT,
                Some(place) => self.directory_at(place)?,
            };
            place = Some((directory, name.to_owned()));
        }
        Ok(place)
    }

    fn directory_at(&self, place: &Place) -> io::Result<NodeId> {
        match self.get(place) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(entry) if entry.is_directory => Ok(entry.id),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The directory at a path.
    pub(super) fn directory(&self, path: &Path) -> io::Result<NodeId> {
        self.place(path)?.map_or(Ok(ROOT), |place| self.directory_at(&place))
    }

    /// The place and the file at a path.
    pub(super) fn file(&self, path: &Path) -> io::Result<(Place, Entry)> {
        let place = self.place(path)?.ok_or(io::ErrorKind::IsADirectory)?;
        match self.get(&place) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(entry) if entry.is_directory => Err(io::ErrorKind::IsADirectory.into()),
            Some(entry) => Ok((place, entry)),
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Entry> {
        self.now.get(place).copied()
    }

    /// The names in a directory, in order.
    pub(super) fn list(&self, directory: NodeId) -> impl Iterator<Item = (&OsStr, Entry)> {
        let from = (directory, OsString::new());
        let names = self.now.range(from..).take_while(move |((at, _), _)| *at == directory);
        names.map(|((_, name), entry)| (name.as_os_str(), *entry))
    }

    /// Every file that has a name, with its path.
    pub(super) fn files(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut directories = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, directory)) = directories.pop() {
            for (name, entry) in self.list(directory) {
                match entry.is_directory {
                    true => directories.push((path.join(name), entry.id)),
                    false => found.push((path.join(name), entry.id)),
                }
            }
        }
        found
    }

    /// Whether a file has a name now.
    pub(super) fn has(&self, id: NodeId) -> bool {
        self.now.values().any(|entry| entry.id == id)
    }

    /// The files that have a name, or may have one after a loss of power.
    pub(super) fn reachable(&self) -> BTreeSet<NodeId> {
        let pending = self.pending.iter().map(|(change, _)| change.entry().id);
        self.now.values().chain(self.durable.values()).map(|entry| entry.id).chain(pending).collect()
    }

    pub(super) fn change(&mut self, change: Rename) {
        change.apply(Arc::make_mut(&mut self.now));
        Arc::make_mut(&mut self.pending).push((change, false));
    }

    /// Makes the changes that touch a directory durable. A move between two is one transaction, so that syncing
    /// either makes both ends durable.
    pub(super) fn sync(&mut self, directory: NodeId) {
        let pending = Arc::make_mut(&mut self.pending);
        for (change, durable) in pending.iter_mut() {
            *durable |= change.places().any(|place| place.0 == directory);
        }
        // What is durable leaves the list, unless something before it that may yet be lost has to do with it.
        let mut waiting: Vec<(Rename, bool)> = Vec::new();
        for (change, durable) in pending.drain(..) {
            if durable && !waiting.iter().any(|(earlier, _)| earlier.meets(&change)) {
                change.apply(Arc::make_mut(&mut self.durable));
            } else {
                waiting.push((change, durable));
            }
        }
        *pending = waiting;
    }

    /// The names that are there after a loss of power, all durable.
    pub(super) fn after_power_loss(&self, fate: Fate, rng: &mut Rng) -> Self {
        let all = self.pending.len();
        // A journal loses the end of the story; the rest of the time each change has its own luck.
        let (in_order, odds) = (rng.chance(1, 3), rng.below(5));
        let end = rng.below(all as u64 + 1) as usize;
        let mut entries = (*self.durable).clone();
        for (index, (change, durable)) in self.pending.iter().enumerate() {
            let kept = match fate {
                Fate::Gone => false,
                Fate::Kept => true,
                Fate::Any if in_order => index < end,
                Fate::Any => rng.chance(odds, 4),
            };
            // A file is never moved to where nobody finds it: then it stays where it was.
            let lost_on_arrival = matches!(change, Rename::Move { to, .. } if !is_reachable(&entries, to.0));
            if (kept || *durable) && !lost_on_arrival {
                change.apply(&mut entries);
            }
        }
        Self::durable(entries)
    }

    fn durable(mut entries: Entries) -> Self {
        // Whatever is in a directory that is gone is gone with it.
        loop {
            let directories: BTreeSet<NodeId> = entries
                .values()
                .filter(|entry| entry.is_directory)
                .map(|entry| entry.id)
                .chain([ROOT])
                .collect();
            let before = entries.len();
            entries.retain(|place, _| directories.contains(&place.0));
            if entries.len() == before {
                break;
            }
        }
        let entries = Arc::new(entries);
        Self { now: entries.clone(), durable: entries, pending: Arc::default() }
    }
}

fn is_reachable(entries: &Entries, directory: NodeId) -> bool {
    let mut directory = directory;
    while directory != ROOT {
        let Some(((parent, _), _)) = entries.iter().find(|(_, entry)| entry.id == directory) else {
            return false;
        };
        directory = *parent;
    }
    true
}
