//! Reading WAL files back: what verifies is kept, damage is reported, a torn tail is cut.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sereno_model::SeriesKey;
use sereno_runtime::Disk;
use tracing::{error, warn};

use super::frame::{self, FILE_HEADER_BYTES, FileIdentity, FrameBuffer, Kind};
use crate::head::Entry;
use crate::registry::SeriesId;
use crate::store::{Recovery, Shared};

/// Reads one file into the heads of its queues, cuts its torn tail and closes it.
///
/// # Errors
/// The file could not be read or repaired; what was read of it stands in the heads.
pub(crate) fn replay_file(
    disk: &dyn Disk,
    path: &Path,
    identity: &FileIdentity,
    shared: &Shared,
    recovery: &mut Recovery,
) -> io::Result<()> {
    let bytes = disk.read(path)?;
    if !identity.owns(&bytes) {
        return quarantine(disk, path, recovery);
    }
    let reading = Reading::of(identity, &bytes);
    for gap in &reading.damage {
        error!(path = %path.display(), from = gap.start, to = gap.end, "Damage in the WAL: these bytes are skipped.");
        recovery.damaged_bytes += (gap.end - gap.start) as u64;
        recovery.damaged_regions += 1;
    }
    if reading.end < bytes.len() {
        let cut = (bytes.len() - reading.end) as u64;
        warn!(path = %path.display(), at = reading.end, bytes = cut, "Torn tail of the WAL cut off.");
        recovery.torn_bytes += cut;
    }
    apply(identity, &bytes[..reading.end], shared, recovery);
    recovery.files += 1;
    if reading.closed && reading.end == bytes.len() {
        return Ok(());
    }
    close(disk, path, identity, reading.end as u64)
}

/// What a file's frames and gaps amount to.
struct Reading {
    /// Where the part that counts ends.
    end: usize,
    /// Gaps before it.
    damage: Vec<Range<usize>>,
    /// Whether the file ends with a mark over everything before it.
    closed: bool,
}

impl Reading {
    fn of(identity: &FileIdentity, bytes: &[u8]) -> Self {
        let durable = frames(identity, bytes).filter_map(|piece| match piece {
            Piece::Frame { kind: Kind::SyncMark, payload, .. } => frame::durable_bytes(payload),
            _ => None,
        });
        let durable = durable.max().unwrap_or(0);
        let mut reading = Self { end: FILE_HEADER_BYTES, damage: Vec::new(), closed: false };
        for piece in frames(identity, bytes) {
            match piece {
                Piece::Gap(gap) if gap.start as u64 >= durable => break,
                Piece::Gap(gap) => reading.damage.push(gap),
                Piece::Frame { offset, end, kind, payload } => {
                    reading.end = end;
                    let covered = frame::durable_bytes(payload).filter(|_| kind == Kind::SyncMark);
                    reading.closed = covered.is_some_and(|covered| covered >= offset as u64);
                }
            }
        }
        // Damage at the very end has no frame behind it, and still is damage, not something to cut.
        if let Some(last) = reading.damage.last().filter(|gap| gap.start >= reading.end) {
            reading.end = last.end;
        }
        reading
    }
}

/// What stands at some place of a file.
enum Piece<'a> {
    Frame { offset: usize, end: usize, kind: Kind, payload: &'a [u8] },
    Gap(Range<usize>),
}

/// The frames of a file and the gaps between them.
fn frames<'a>(identity: &'a FileIdentity, bytes: &'a [u8]) -> impl Iterator<Item = Piece<'a>> {
    let mut offset = FILE_HEADER_BYTES;
    std::iter::from_fn(move || {
        let start = offset;
        if start >= bytes.len() {
            return None;
        }
        if let Some((kind, payload)) = identity.frame_at(bytes, start) {
            offset = start + frame::FRAME_HEADER_BYTES + payload.len();
            return Some(Piece::Frame { offset: start, end: offset, kind, payload });
        }
        let next = (start + 1..bytes.len()).find(|place| identity.frame_at(bytes, *place).is_some());
        offset = next.unwrap_or(bytes.len());
        Some(Piece::Gap(start..offset))
    })
}

fn apply(identity: &FileIdentity, bytes: &[u8], shared: &Shared, recovery: &mut Recovery) {
    let mut series: HashMap<(u32, u32), SeriesId> = HashMap::new();
    for piece in frames(identity, bytes) {
        let Piece::Frame { kind, payload, .. } = piece else { continue };
        match kind {
            Kind::Definitions => {
                for (queue, ordinal, key) in frame::definitions(payload) {
                    // The checksum held, so only a key that our own limits have since excluded is refused here.
                    if let Ok(key) = SeriesKey::from_canonical(key) {
                        series.insert((queue, ordinal), shared.registry.restore(&key));
                    }
                }
            }
            Kind::Commit => frame::runs(payload).for_each(|run| apply_run(run, &series, shared, recovery)),
            Kind::SyncMark => {}
        }
    }
}

fn apply_run(
    run: frame::Run<'_>,
    series: &HashMap<(u32, u32), SeriesId>,
    shared: &Shared,
    recovery: &mut Recovery,
) {
    for (ordinal, time, value) in run.samples() {
        match series.get(&(run.queue, ordinal)) {
            Some(id) => {
                shared.restore(*id, Entry { time, value, order: run.order });
                recovery.samples += 1;
            }
            // Its definition lay in a damaged part.
            None => recovery.undefined_samples += 1,
        }
    }
}

/// Cuts the file at `end`, makes it durable, and says so in it.
fn close(disk: &dyn Disk, path: &Path, identity: &FileIdentity, end: u64) -> io::Result<()> {
    let file = disk.open(path)?;
    file.truncate(end)?;
    file.sync()?;
    let mut mark = FrameBuffer::default();
    mark.frame(identity, end, Kind::SyncMark, |payload| payload.extend_from_slice(&end.to_le_bytes()));
    file.append(mark.as_bytes())?;
    file.sync()
}

fn quarantine(disk: &dyn Disk, path: &Path, recovery: &mut Recovery) -> io::Result<()> {
    let directory = path.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("quarantine");
    let target: PathBuf = directory.join(path.file_name().unwrap_or_default());
    disk.create_dir_all(&directory)?;
    disk.rename(path, &target)?;
    disk.sync_dir(&directory)?;
    error!(path = %path.display(), moved_to = %target.display(), "The header of a WAL file does not verify; it is moved aside.");
    recovery.quarantined.push(target);
    Ok(())
}
