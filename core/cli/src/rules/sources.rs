//! Rule files and scripts of this machine, on their way to a server.

use std::path::{Path, PathBuf};

use sereno_client::messages::File;
use sereno_runtime::{Disk as _, RealDisk};

use crate::{Exit, Failure};

/// Folders nested deeper are not looked into.
const DEPTH_MAX: usize = 16;

/// Whether a word on the command line means a file and not the id of a rule.
pub(super) fn is_file(word: &str) -> bool {
    word.ends_with(".yaml") || word.ends_with(".yml") || word.contains('/')
}

/// A rule file, or all of a folder, and all scripts of these folders.
pub(super) fn read(rules: &Path, scripts: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    collect(rules, &mut |path| is_rules(path), DEPTH_MAX, &mut files)?;
    let mut files: Vec<File> = files.into_iter().map(|(path, text)| file(&path, text)).collect();
    files.extend(self::scripts(scripts)?);
    Ok(files)
}

/// All scripts of these folders.
pub(super) fn scripts(folders: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    for folder in folders {
        let mut found = Vec::new();
        collect(
            folder,
            &mut |path| path.extension().is_some_and(|end| end == "rhai"),
            DEPTH_MAX,
            &mut found,
        )?;
        let script = |(path, text): (PathBuf, String)| {
            let below = path.strip_prefix(folder).unwrap_or(&path);
            File { script: true, ..file(below, text) }
        };
        files.extend(found.into_iter().map(script));
    }
    Ok(files)
}

fn file(path: &Path, text: String) -> File {
    File { path: path.display().to_string(), text, script: false }
}

/// What a server would take for a rule file.
fn is_rules(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    is_yaml && !stem.ends_with("_test") && !stem.starts_with('.')
}

/// The texts of all files at or below a path. One that is named is read whatever it is called.
fn collect(
    path: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
    depth: usize,
    found: &mut Vec<(PathBuf, String)>,
) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(Exit::Negative, format!("failed to read `{}`", path.display()))
            .cause(why)
            .hint("name an existing file or folder")
    };
    if let Ok(entries) = RealDisk.list(path) {
        for entry in entries {
            let is_folder = RealDisk.list(&entry).is_ok();
            if (is_folder && depth > 0) || (!is_folder && wanted(&entry)) {
                collect(&entry, wanted, depth - 1, found)?;
            }
        }
        return Ok(());
    }
    let bytes = RealDisk.read(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".into()))?;
    found.push((path.to_owned(), text));
    Ok(())
}
