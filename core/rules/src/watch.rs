//! Hints that files may have changed. Folders are watched, not files, for most editors replace a file when they save
//! it. A hint is no more than a reason to look: events differ between editors, file systems and containers, and some
//! never come, which is why `reload` also looks every few seconds.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::{info, warn};

use crate::files::Roots;
use crate::mailbox::Mailbox;
use crate::reload::Triggers;

/// Watches the folders of rules and scripts.
pub(crate) struct Watcher {
    /// `None` where the system grants no watcher; looking every few seconds remains.
    watcher: Option<RecommendedWatcher>,
    /// The folders under watch, with the inode that is watched: a folder that was replaced needs a new watch.
    watched: BTreeMap<PathBuf, u64>,
}

impl Watcher {
    /// A watcher that rings `triggers`; it watches nothing before [`Watcher::refresh`].
    pub fn new(triggers: &Arc<Mailbox<Triggers>>) -> Self {
        let triggers = triggers.clone();
        let hint = move |event: notify::Result<notify::Event>| {
            // Our own reads raise access events; whatever else it is, errors and lost events too, is worth a look.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                triggers.update(|triggers| triggers.hints += 1);
            }
        };
        let watcher = notify::recommended_watcher(hint);
        if let Err(error) = &watcher {
            warn!(%error, "Folders of rules cannot be watched; changes are found by looking every few seconds.");
        }
        Self { watcher: watcher.ok(), watched: BTreeMap::new() }
    }

    /// Watches the folders that have appeared or were replaced since the last time.
    pub fn refresh(&mut self, roots: &Roots) {
        let Some(watcher) = &mut self.watcher else { return };
        for root in roots.rules.iter().chain(&roots.scripts) {
            let Some((folder, inode)) = folder_of(root) else {
                self.watched.remove(root);
                continue;
            };
            if self.watched.get(root) == Some(&inode) {
                continue;
            }
            // A watch on a folder that is gone has ended by itself; to end it again is no error worth telling.
            let _ended = watcher.unwatch(&folder);
            match watcher.watch(&folder, RecursiveMode::Recursive) {
                Ok(()) => {
                    info!(folder = %folder.display(), "Watching for changes.");
                    self.watched.insert(root.clone(), inode);
                }
                Err(error) => {
                    // Remembered all the same: to try again every few seconds would only repeat the warning.
                    self.watched.insert(root.clone(), inode);
                    warn!(folder = %folder.display(), %error, "A folder cannot be watched; its changes are found by looking every few seconds.");
                }
            }
        }
    }
}

/// The folder to watch for a root, which may be a single file.
fn folder_of(root: &Path) -> Option<(PathBuf, u64)> {
    let metadata = root.metadata().ok()?;
    if metadata.is_dir() {
        return Some((root.to_owned(), metadata.ino()));
    }
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((parent.to_owned(), parent.metadata().ok()?.ino()))
}
