//! A start: from the files to the states that were.
//!
//! Invariants:
//! * the newest snapshot that is whole counts, and the logs from its number on; a bad one is set aside, never deleted;
//! * the end of a log may be torn: it is cut off, and what is before it made durable, before anything is told;
//! * no content of the directory keeps the server from starting.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sereno_model::Timestamp;
use sereno_runtime::{Disk, DiskFile};
use tracing::{error, info, warn};

use super::convert::take;
use super::frame::{HEADER_BYTES, Loaded, Opened, Role};
use super::log::{log_path, number_of};
use super::mirror::Mirror;

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The snapshot that it began with.
    pub snapshot: Option<u64>,
    /// How many records of logs it took in.
    pub records: u64,
    /// How large those logs are.
    pub log_bytes: u64,
    /// Bytes of torn tails.
    pub torn_bytes: u64,
    /// Gaps where frames were damaged, files that are bad, and records that say nothing that is understood.
    pub damaged: u64,
    /// The number of the next log.
    pub next_file: u64,
    /// Whether everything is known to be durable.
    pub is_durable: bool,
}

/// Reads everything.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn read(disk: &dyn Disk, directory: &Path) -> io::Result<(Mirror, Found)> {
    let entries = disk.list(directory)?;
    let of = |role| -> BTreeMap<u64, PathBuf> {
        entries.iter().filter_map(|path| Some((number_of(path, role)?, path.clone()))).collect()
    };
    let (logs, snapshots) = (of(Role::Log), of(Role::Snapshot));
    let newest = logs.keys().chain(snapshots.keys()).max().copied();
    let mut found =
        Found { next_file: newest.map_or(1, |newest| newest + 1), is_durable: true, ..Found::default() };
    let mut mirror = newest_snapshot(disk, &snapshots, &mut found);
    let first = found.snapshot.unwrap_or(0);
    if found.snapshot.is_none() && logs.keys().next().is_some_and(|first| *first > 1) {
        error!(directory = %directory.display(), "No snapshot of the states of rules can be read: they begin where the logs do.");
    }
    for (number, path) in logs.range(first..) {
        take_log(disk, path, *number, &mut mirror, &mut found);
    }
    info!(?found.snapshot, found.records, found.torn_bytes, found.damaged, rules = mirror.rules.len(), "States of rules are read back.");
    Ok((mirror, found))
}

fn newest_snapshot(disk: &dyn Disk, snapshots: &BTreeMap<u64, PathBuf>, found: &mut Found) -> Mirror {
    for (number, path) in snapshots.iter().rev() {
        let bytes = match disk.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                found.damaged += 1;
                error!(path = %path.display(), %error, "A snapshot of the states of rules cannot be read; the one before it is tried.");
                continue;
            }
        };
        let whole = match Loaded::parse(Role::Snapshot, *number, bytes) {
            Opened::Loaded(loaded) if loaded.damage.is_empty() && loaded.torn_bytes() == 0 => {
                Mirror::restore(loaded.records())
            }
            _ => None,
        };
        if let Some(mirror) = whole {
            found.snapshot = Some(*number);
            return mirror;
        }
        found.damaged += 1;
        set_aside(disk, path);
    }
    Mirror::default()
}

/// Renames a bad file, so that it is found by people and by nobody else.
fn set_aside(disk: &dyn Disk, path: &Path) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    match disk.rename(path, Path::new(&aside)) {
        Ok(()) => {
            error!(path = %path.display(), "A file of the states of rules is damaged; it is kept as `.bad`.")
        }
        Err(error) => error!(path = %path.display(), %error, "A file of the states of rules is damaged."),
    }
}

fn take_log(disk: &dyn Disk, path: &Path, number: u64, mirror: &mut Mirror, found: &mut Found) {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.damaged += 1;
            error!(path = %path.display(), %error, "A log of the states of rules cannot be read.");
            return;
        }
    };
    found.log_bytes += bytes.len() as u64;
    let loaded = match Loaded::parse(Role::Log, number, bytes) {
        Opened::Loaded(loaded) => loaded,
        Opened::Unbegun => return,
        Opened::Damaged => {
            found.damaged += 1;
            set_aside(disk, path);
            return;
        }
    };
    for gap in &loaded.damage {
        found.damaged += 1;
        error!(path = %path.display(), from = gap.start, to = gap.end, "Damage in a log of the states of rules: these bytes are skipped.");
    }
    for body in loaded.records() {
        match body.and_then(take) {
            Some((record, first_number)) => {
                found.records += 1;
                mirror.apply(record, first_number);
            }
            None => {
                found.damaged += 1;
                warn!(path = %path.display(), "A record of the states of rules is not understood, and left out.");
            }
        }
    }
    let torn = loaded.torn_bytes() as u64;
    if torn > 0 {
        found.torn_bytes += torn;
        warn!(path = %path.display(), at = loaded.end, bytes = torn, "Torn tail of a log of the states of rules.");
    }
    if let Err(error) = settle(disk, path, (torn > 0).then_some(loaded.end as u64)) {
        found.is_durable = false;
        warn!(path = %path.display(), %error, "A log of the states of rules cannot be made durable; a snapshot has to do it.");
    }
}

/// Cuts off a torn tail, and makes the rest durable: the server may have died between writing and syncing.
fn settle(disk: &dyn Disk, path: &Path, cut_to: Option<u64>) -> io::Result<()> {
    let file = disk.open(path)?;
    if let Some(bytes) = cut_to {
        file.truncate(bytes)?;
    }
    file.sync()?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// When a file was begun, by its header.
pub(super) fn created(file: &dyn DiskFile) -> Option<Timestamp> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    Some(Timestamp::from_nanos(i64::from_le_bytes(*header[24..].first_chunk()?)))
}

/// The logs of a directory, the oldest first.
pub(super) fn logs(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let numbers = disk.list(directory)?;
    let mut numbers: Vec<u64> = numbers.iter().filter_map(|path| number_of(path, Role::Log)).collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| (number, log_path(directory, number))).collect())
}
