//! The write-ahead log: one stream of files per writer. Bytes: `FORMAT.md`.
//!
//! * [`frame`]: the smallest checked unit, and what commits, definitions, sync marks and the memory look like inside;
//! * [`stream`]: appending, the next file, making durable, what happens when the disk fails;
//! * [`replay`]: reading files back after a crash.

pub(crate) mod frame;
pub(crate) mod replay;
pub(crate) mod stream;

use std::path::{Path, PathBuf};

/// The path of a WAL file.
pub(crate) fn file_path(directory: &Path, file_id: u64) -> PathBuf {
    directory.join(format!("{file_id:016x}.wal"))
}

/// The id of a WAL file, from its name.
pub(crate) fn file_id(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wal")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok())?
}
