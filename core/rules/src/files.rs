//! The files that a generation is made of: found and read, not yet understood. Content is all that counts; names of
//! events, times of modification and inode numbers are not looked at, for editors, containers and network file
//! systems disagree about them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_runtime::Disk;

/// How deep folders may be nested; bounds loops of symbolic links.
const DEPTH_MAX: usize = 16;

/// A file's text, or why it cannot be read.
pub(crate) type Content = Result<Arc<str>, String>;

/// The folders (or single files) that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roots {
    pub rules: Vec<PathBuf>,
    pub scripts: Vec<PathBuf>,
}

/// One script: where it is, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub display: PathBuf,
    pub content: Content,
}

/// Everything that was found. Equal values mean that nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Rule files by their paths.
    pub rules: BTreeMap<PathBuf, Content>,
    /// Scripts by their places in the tree, with `/`. A later root overlays an earlier one.
    pub scripts: BTreeMap<String, Script>,
    /// Roots that do not exist.
    pub missing: Vec<PathBuf>,
    /// Folders that cannot be read, and why.
    pub unreadable: BTreeMap<PathBuf, String>,
}

impl Files {
    /// Reads all files below the roots, through symbolic links. Hidden names (`.x`, `..data`) are left out, and so are
    /// tests of rules (`*_test.yaml`).
    pub fn read(disk: &dyn Disk, roots: &Roots) -> Self {
        Self::read_but(disk, roots, &BTreeMap::new())
    }

    /// Looks again: what is the same as in `settled` is not read another time, all else is.
    pub fn read_again(&self, disk: &dyn Disk, roots: &Roots, settled: &Self) -> Self {
        let rules = self.rules.iter().filter(|(path, content)| settled.rules.get(*path) == Some(content));
        let scripts =
            self.scripts.iter().filter(|(place, script)| settled.scripts.get(*place) == Some(script));
        let scripts = scripts.map(|(_, script)| (script.display.as_path(), &script.content));
        let known = rules.map(|(path, content)| (path.as_path(), content)).chain(scripts).collect();
        Self::read_but(disk, roots, &known)
    }

    /// The same, with the texts of `other` where they are the same: a thousand files are not kept twice for one that was
    /// edited, and are compared by a look.
    pub fn sharing(mut self, other: &Self) -> Self {
        for (path, content) in &mut self.rules {
            if let Some(same) = other.rules.get(path).filter(|same| *same == content) {
                content.clone_from(same);
            }
        }
        for (place, script) in &mut self.scripts {
            if let Some(same) = other.scripts.get(place).filter(|same| *same == script) {
                script.clone_from(same);
            }
        }
        self
    }

    /// Whether the same files say the same; what could not be read is left out of account.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.rules == other.rules && self.scripts == other.scripts
    }

    /// The crc32 of everything that was found.
    pub fn crc32(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let mut take = |name: &[u8], content: &Content| {
            let (kind, text) = match content {
                Ok(text) => (b"+", text.as_bytes()),
                Err(why) => (b"-", why.as_bytes()),
            };
            for part in [kind, name, text] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        for (path, content) in &self.rules {
            take(path.as_os_str().as_encoded_bytes(), content);
        }
        for (place, script) in &self.scripts {
            take(place.as_bytes(), &script.content);
        }
        hasher.finalize()
    }

    fn read_but(disk: &dyn Disk, roots: &Roots, known: &BTreeMap<&Path, &Content>) -> Self {
        let mut files = Self::default();
        let read = |path: &Path| match known.get(path) {
            Some(content) => Some((*content).clone()),
            None => read(disk, path),
        };
        for root in &roots.rules {
            let is_rule_file = |path: &Path| has_extension(path, &["yaml", "yml"]) && !is_test(path);
            for path in files.find(disk, root, &is_rule_file) {
                if let Some(content) = read(&path) {
                    files.rules.insert(path, content);
                }
            }
        }
        for root in &roots.scripts {
            for display in files.find(disk, root, &|path| has_extension(path, &["rhai"])) {
                let place = display.strip_prefix(root).ok().and_then(slashed);
                if let (Some(place), Some(content)) = (place, read(&display)) {
                    files.scripts.insert(place, Script { display, content });
                }
            }
        }
        files
    }

    /// What `previous` had in folders that cannot be read now counts as files that cannot be read: nobody has removed them.
    #[must_use]
    pub fn beside(mut self, previous: &Self) -> Self {
        let why = |path: &Path, unreadable: &BTreeMap<PathBuf, String>| {
            let (folder, why) = unreadable.iter().find(|(folder, _)| path.starts_with(folder))?;
            Some(format!("its folder `{}` cannot be read: {why}", folder.display()))
        };
        for path in
            previous.rules.keys().filter(|path| !self.rules.contains_key(*path)).cloned().collect::<Vec<_>>()
        {
            if let Some(why) = why(&path, &self.unreadable) {
                self.rules.insert(path, Err(why));
            }
        }
        for (place, script) in &previous.scripts {
            if !self.scripts.contains_key(place)
                && let Some(why) = why(&script.display, &self.unreadable)
            {
                let display = script.display.clone();
                self.scripts.insert(place.clone(), Script { display, content: Err(why) });
            }
        }
        self
    }

    /// Files of `previous` that are gone or empty now, though they held something.
    pub fn vanished_since(&self, previous: &Self) -> Vec<PathBuf> {
        let has_text = |content: &Content| content.as_ref().is_ok_and(|text| !text.trim().is_empty());
        let rules = previous.rules.iter().filter(|(path, content)| {
            has_text(content) && !self.rules.get(*path).is_some_and(|now| now.is_err() || has_text(now))
        });
        let scripts = previous.scripts.iter().filter(|(place, script)| {
            let now = self.scripts.get(*place).map(|script| &script.content);
            has_text(&script.content) && !now.is_some_and(|now| now.is_err() || has_text(now))
        });
        rules.map(|(path, _)| path.clone()).chain(scripts.map(|(_, script)| script.display.clone())).collect()
    }

    fn find(&mut self, disk: &dyn Disk, root: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![(root.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let entries = match disk.list(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    // A root may be a single file; whoever names it wants it, whatever its name.
                    let named = depth == 0;
                    found.extend((named || wanted(&folder)).then_some(folder));
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.missing.extend((depth == 0).then_some(folder));
                    continue;
                }
                Err(error) => {
                    self.unreadable.insert(folder, error.to_string());
                    continue;
                }
            };
            let shown = entries.into_iter().filter(|path| !is_hidden(path));
            let (files, others): (Vec<_>, Vec<_>) = shown.partition(|path| wanted(path));
            found.extend(files);
            if depth < DEPTH_MAX {
                folders.extend(others.into_iter().map(|path| (path, depth + 1)));
            }
        }
        found
    }
}

/// What the files `.ready` in the roots of rules say. Where there is one, files are only taken over by themselves when
/// it says something else: whoever writes many files writes it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers(BTreeMap<PathBuf, Content>);

impl Markers {
    /// Reads them.
    pub fn read(disk: &dyn Disk, roots: &Roots) -> Self {
        let marker = |root: &PathBuf| {
            let path = root.join(".ready");
            match disk.read(&path) {
                Ok(bytes) => Some((path, Ok(String::from_utf8_lossy(&bytes).into()))),
                // A root may be missing, or a single file, beside which a marker would mean nothing.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    None
                }
                Err(error) => Some((path, Err(error.to_string()))),
            }
        };
        Self(roots.rules.iter().filter_map(marker).collect())
    }

    /// Whether there is any.
    pub fn are_there(&self) -> bool {
        !self.0.is_empty()
    }
}

/// `None` if the file has gone since it was listed.
fn read(disk: &dyn Disk, path: &Path) -> Option<Content> {
    match disk.read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Some(Ok(text.into())),
            Err(_) => Some(Err("the file is not UTF-8".into())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("the file cannot be read: {error}"))),
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|found| extensions.contains(&found))
}

fn is_test(path: &Path) -> bool {
    path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("_test"))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'))
}

fn slashed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}
