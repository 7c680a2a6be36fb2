//! A file system of its own, small enough to fill.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; gone when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one of so many MiB over an empty folder.
    ///
    /// # Errors
    /// Why not: it takes the superuser, and a system that lets it.
    pub fn new(folder: PathBuf, mebibytes: u32) -> Result<Self, String> {
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let size = format!("size={mebibytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "sereno-test"]).arg(&folder).output();
        let mounted = mounted.map_err(|error| error.to_string())?;
        match mounted.status.success() {
            true => Ok(Self(folder)),
            false => Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes to a file until there is room for `spare` bytes only; gives whether it wrote anything.
    ///
    /// # Panics
    /// Something else fails.
    pub fn fill(&self, ballast: &str, spare: u64) -> bool {
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(self.0.join(ballast)).expect("a file");
        let before = file.metadata().expect("a file").len();
        // The room that is spared is taken first, and given back.
        let reserve = self.0.join("reserve");
        if spare > 0 {
            let mut reserve = File::create(&reserve).expect("a file");
            write_some(&mut reserve, spare);
        }
        write_some(&mut file, u64::MAX);
        if spare > 0 {
            fs::remove_file(&reserve).expect("a file");
        }
        file.metadata().expect("a file").len() > before
    }

    /// Makes room again.
    ///
    /// # Panics
    /// There is no such file.
    pub fn remove(&self, ballast: &str) {
        fs::remove_file(self.0.join(ballast)).expect("the ballast");
    }
}

/// Writes so much, or what there is room for.
fn write_some(file: &mut File, mut bytes: u64) {
    let chunk = [b'x'; 64 << 10];
    let mut size = chunk.len();
    while bytes > 0 {
        size = size.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        match file.write(&chunk[..size]) {
            Ok(count) => bytes -= count as u64,
            // To the last page.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && size > 4_096 => size /= 2,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return,
            Err(error) => panic!("the ballast: {error}"),
        }
    }
}

impl Drop for Mount {
    #[expect(clippy::print_stderr, reason = "a test that cleans up has nobody else to tell")]
    fn drop(&mut self) {
        // Whoever still has a file open keeps it alive; the name is free at once.
        if let Err(error) = Command::new("umount").arg("--lazy").arg(&self.0).status() {
            eprintln!("`{}` stays mounted: {error}", self.0.display());
        }
    }
}
