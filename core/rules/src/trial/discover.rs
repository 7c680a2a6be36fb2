//! Which files are tests, and which rules lie beside them.

use std::path::{Path, PathBuf};

use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::{Disk, RealDisk};

/// How deep folders may be nested; bounds loops of symbolic links.
const DEPTH_MAX: usize = 16;

/// What there is to run.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Test files, in order.
    pub tests: Vec<PathBuf>,
    /// Rule files of the folders, in order.
    pub rules: Vec<PathBuf>,
    /// Paths that do not exist, folders without tests.
    pub findings: Vec<Diagnostic>,
}

/// Looks for test files: every path that is a file, and `*_test.yaml` below every one that is a folder.
pub(super) fn discover(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        found.look(path, 0);
    }
    found.tests.sort();
    found.tests.dedup();
    found.rules.sort();
    found.rules.dedup();
    if found.tests.is_empty() && found.findings.is_empty() {
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        let warning = Diagnostic::warning(first, "there are no tests");
        found
            .findings
            .push(warning.hint("tests are in files `*_test.yaml`, beside the rules that they are about"));
    }
    found
}

impl Found {
    fn look(&mut self, path: &Path, depth: usize) {
        let entries = match RealDisk.list(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return self.file(path, depth),
            Err(error) => {
                // What lies deeper may have gone since it was listed.
                if depth == 0 {
                    self.findings.push(Diagnostic::error(path, format!("cannot be read: {error}")));
                }
                return;
            }
        };
        let hidden = |path: &Path| {
            path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'))
        };
        if depth < DEPTH_MAX {
            for entry in entries.iter().filter(|entry| !hidden(entry)) {
                self.look(entry, depth + 1);
            }
        }
    }

    fn file(&mut self, path: &Path, depth: usize) {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_yaml = matches!(extension, Some("yaml" | "yml"));
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match (depth, stem.ends_with("_test")) {
            // Whoever names a file wants it, whatever its name; whoever names rules, their tests.
            (0, is_test) => match path.with_file_name(format!("{stem}_test.yaml")) {
                tests if !is_test && tests.is_file() => {
                    self.tests.push(tests);
                    self.rules.push(path.to_owned());
                }
                _ => self.tests.push(path.to_owned()),
            },
            (_, true) if is_yaml => self.tests.push(path.to_owned()),
            (_, false) if is_yaml => self.rules.push(path.to_owned()),
            _ => {}
        }
    }
}
