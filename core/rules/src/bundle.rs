//! The generations that have been active, on disk: what a start with broken files falls back on, and what
//! `history`, `diff` and `rollback` look at.
//!
//! Each is one file, `generations/<number>.jsonl`: a line that tells of it, then a line for each rule file and script,
//! as they were. What the files do not say because something in them was broken, older versions do: lines with
//! `before`, the number of a generation, say how its files differed from these. Loaded in the order of their
//! numbers, each over the one before, they give the very generation that was active.
//!
//! Invariants:
//! * a file is there as a whole or not at all; its first line has the crc32 of the rest;
//! * a number is used once: also the number of a file that cannot be read any more is taken;
//! * the same content is not stored again: a generation is stored when it becomes active, and at no other time;
//! * the newest [`KEPT`] are there; older ones are removed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sereno_runtime::Disk;
use sereno_runtime::disk::replace;

use crate::files::{Content, Files, Script};
use crate::generation::{Generation, Host, load_as};
use crate::report::GenerationInfo;

/// How many generations are kept.
pub(crate) const KEPT: usize = 20;
const EXTENSION: &str = "jsonl";
/// Counts up when older servers could not read the files.
const FORMAT: u32 = 1;

/// The folder of stored generations.
#[derive(Clone, Debug)]
pub(crate) struct Bundles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// A stored generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bundle {
    pub info: GenerationInfo,
    /// The ids of the rules that ran.
    pub ids: BTreeSet<Arc<str>>,
    /// While it is pinned: the crc32 of the files that it runs in spite of.
    pub refused_crc32: Option<u32>,
    pub files: Files,
    pub bases: BTreeMap<u64, Files>,
}

/// Why a stored generation cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is none of that number.
    #[error("generation {number} is not stored")]
    Missing {
        /// Which.
        number: u64,
    },
    /// Its file cannot be read.
    #[error("failed to read generation {number} from `{}`", path.display())]
    Read {
        /// Which.
        number: u64,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file is damaged, or from a later version.
    #[error("generation {number} in `{}` is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        number: u64,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    info: GenerationInfo,
    rules: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_crc32: Option<u32>,
    /// The older versions that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bases: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unreadable: BTreeMap<String, String>,
    /// Of all that follows the line.
    crc32: u32,
}

/// Another line: a rule file or, with a `place`, a script. One with neither text nor mistake was not there.
#[derive(Default, Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// A name that is not UTF-8 is stored as it is shown.
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mistake: Option<String>,
}

impl Bundles {
    /// Opens the folder below `directory`, and removes what a crash has left half written.
    pub fn open(disk: &Arc<dyn Disk>, directory: &Path) -> io::Result<Self> {
        let folder = directory.join("generations");
        disk.create_dir_all(&folder)?;
        for path in disk.list(&folder)? {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                disk.remove(&path)?;
            }
        }
        // Both names must survive too: a folder that a loss of power takes along has kept nothing.
        disk.sync_dir(directory)?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_dir(parent)?;
        }
        Ok(Self { disk: disk.clone(), folder })
    }

    /// The numbers that are taken, the oldest first.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let number = |path: &PathBuf| {
            let named = path.extension().is_some_and(|extension| extension == EXTENSION);
            path.file_stem().filter(|_| named)?.to_str()?.parse::<u64>().ok()
        };
        let mut numbers: Vec<u64> = self.disk.list(&self.folder)?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// One of them.
    pub fn read(&self, number: u64) -> Result<Bundle, BundleError> {
        let path = self.path(number);
        let bytes = self.disk.read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BundleError::Missing { number },
            _ => BundleError::Read { number, path: path.clone(), source },
        })?;
        decode(&bytes).map_err(|why| BundleError::Damaged { number, path, why })
    }

    /// Stores a generation, and removes those that are too old.
    pub fn store(&self, bundle: &Bundle) -> io::Result<()> {
        replace(&*self.disk, &self.path(bundle.info.number), &encode(bundle)?)?;
        let numbers = self.numbers()?;
        for number in numbers.iter().rev().skip(KEPT) {
            self.disk.remove(&self.path(*number))?;
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.{EXTENSION}"))
    }
}

impl Bundle {
    /// What is to be stored of a generation. `refused` are the files that it runs in spite of, if it does.
    pub fn of(generation: &Generation, info: GenerationInfo, refused: Option<&Files>) -> Self {
        let bases = generation.bases.iter().map(|(number, files)| (*number, (**files).clone()));
        Self {
            info,
            ids: generation.rules.keys().cloned().collect(),
            refused_crc32: refused.map(Files::crc32),
            files: (*generation.files).clone(),
            bases: bases.collect(),
        }
    }

    /// Makes the generation again, under a number of its own or another one.
    pub fn load(&self, number: u64, host: &Host) -> Generation {
        let mut before: Option<Generation> = None;
        for (base, files) in &self.bases {
            before = Some(load_as(*base, Arc::new(files.clone()), host, before.as_ref()));
        }
        let mut generation = load_as(number, Arc::new(self.files.clone()), host, before.as_ref());
        // A file that is broken as a whole keeps all rules that it had in the oldest version; some of them may have been
        // taken out in between.
        generation.rules.retain(|id, _| self.ids.contains(id));
        generation.stale.retain(|id| self.ids.contains(id));
        generation.loaded_at = self.info.at.0;
        generation
    }
}

fn encode(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    let lines = lines(None, &bundle.files, None);
    let bases = bundle.bases.iter();
    let older = bases.flat_map(|(number, base)| self::lines(Some(*number), base, Some(&bundle.files)));
    for line in lines.into_iter().chain(older) {
        serde_json::to_writer(&mut rest, &line)?;
        rest.push(b'\n');
    }
    let header = Header {
        format: FORMAT,
        info: bundle.info.clone(),
        rules: bundle.ids.iter().map(ToString::to_string).collect(),
        refused_crc32: bundle.refused_crc32,
        bases: bundle.bases.keys().copied().collect(),
        missing: bundle.files.missing.iter().map(|path| shown(path)).collect(),
        unreadable: bundle.files.unreadable.iter().map(|(path, why)| (shown(path), why.clone())).collect(),
        crc32: crc32fast::hash(&rest),
    };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.append(&mut rest);
    Ok(bytes)
}

/// The lines of `files`; only those in which they differ from `newest`, if that is given.
fn lines(before: Option<u64>, files: &Files, newest: Option<&Files>) -> Vec<Line> {
    let line = |place: Option<&String>, path: &Path, content: Option<&Content>| Line {
        before,
        place: place.cloned(),
        path: shown(path),
        text: content.and_then(|content| content.as_ref().ok()).map(|text| text.to_string()),
        mistake: content.and_then(|content| content.as_ref().err()).cloned(),
    };
    let mut lines = Vec::new();
    for (path, content) in &files.rules {
        if newest.is_none_or(|newest| newest.rules.get(path) != Some(content)) {
            lines.push(line(None, path, Some(content)));
        }
    }
    for (place, script) in &files.scripts {
        if newest.is_none_or(|newest| newest.scripts.get(place) != Some(script)) {
            lines.push(line(Some(place), &script.display, Some(&script.content)));
        }
    }
    let Some(newest) = newest else { return lines };
    let later = newest.rules.keys().filter(|path| !files.rules.contains_key(*path));
    lines.extend(later.map(|path| line(None, path, None)));
    let later = newest.scripts.iter().filter(|(place, _)| !files.scripts.contains_key(*place));
    lines.extend(later.map(|(place, script)| line(Some(place), &script.display, None)));
    lines
}

fn decode(bytes: &[u8]) -> Result<Bundle, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("its first line does not end")?;
    let (first, rest) = (&bytes[..end], &bytes[end + 1..]);
    let header: Header = serde_json::from_slice(first).map_err(|error| error.to_string())?;
    if header.format != FORMAT {
        return Err(format!("it has format {}, and this version reads {FORMAT}", header.format));
    }
    if crc32fast::hash(rest) != header.crc32 {
        return Err("its checksum does not match".to_owned());
    }
    let mut bundle = Bundle {
        info: header.info,
        ids: header.rules.into_iter().map(Arc::from).collect(),
        refused_crc32: header.refused_crc32,
        files: Files {
            missing: header.missing.into_iter().map(PathBuf::from).collect(),
            unreadable: header.unreadable.into_iter().map(|(path, why)| (path.into(), why)).collect(),
            ..Files::default()
        },
        bases: BTreeMap::new(),
    };
    let mut bases: BTreeSet<u64> = header.bases.into_iter().collect();
    for line in serde_json::Deserializer::from_slice(rest).into_iter::<Line>() {
        let line = line.map_err(|error| error.to_string())?;
        let files = match line.before {
            None => &mut bundle.files,
            Some(number) => {
                bases.remove(&number);
                bundle.bases.entry(number).or_insert_with(|| bundle.files.clone())
            }
        };
        line.apply(files);
    }
    // One that differed in nothing has no line.
    bundle.bases.extend(bases.into_iter().map(|number| (number, bundle.files.clone())));
    Ok(bundle)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Line {
    fn apply(self, files: &mut Files) {
        let content = match (self.text, self.mistake) {
            (Some(text), _) => Some(Ok(Arc::from(text))),
            (None, Some(mistake)) => Some(Err(mistake)),
            (None, None) => None,
        };
        match (self.place, content) {
            (None, Some(content)) => {
                files.rules.insert(self.path.into(), content);
            }
            (None, None) => {
                files.rules.remove(Path::new(&self.path));
            }
            (Some(place), Some(content)) => {
                files.scripts.insert(place, Script { display: self.path.into(), content });
            }
            (Some(place), None) => {
                files.scripts.remove(&place);
            }
        }
    }
}
