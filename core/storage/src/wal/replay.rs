//! Reading WAL files back: what verifies is kept, damage is reported, a torn tail is cut.

use std::io;
use std::ops::Range;
use std::path::Path;

use sereno_runtime::Disk;
use tracing::{error, warn};

use crate::batch::BatchId;
use crate::numbered::Spans;

use super::frame::{self, FILE_HEADER_BYTES, FileIdentity, FrameBuffer, Kind};

/// How much of the end of a file is searched for its last commit: mostly it is small, it is rarely above 1 MiB, and then
/// the whole file is read.
const TAIL_BYTES: [u64; 3] = [64 << 10, 2 << 20, u64::MAX];

/// A file that was read and checked.
pub(crate) struct Loaded {
    pub identity: FileIdentity,
    version: u32,
    bytes: Vec<u8>,
    frames: Vec<(Kind, Range<usize>)>,
    /// Where the part that counts ends.
    end: usize,
    /// The part that was known to be durable when it was written.
    durable: u64,
    /// Gaps before it.
    pub damage: Vec<Range<usize>>,
    /// Whether the file ends with a mark over everything before it.
    closed: bool,
}

/// What a file turns out to be.
pub(crate) enum Opened {
    Loaded(Loaded),
    /// So many bytes, and its header was never made durable: the process died, or power was lost, as it was begun.
    Unbegun(u64),
    /// Its header does not verify.
    Damaged,
}

impl Loaded {
    /// Reads a file.
    pub(crate) fn read(disk: &dyn Disk, path: &Path, identity: FileIdentity) -> io::Result<Opened> {
        let bytes = disk.read(path)?;
        let Some(version) = identity.version_of(&bytes) else {
            let header = bytes.get(..FILE_HEADER_BYTES);
            let unbegun = header.is_none_or(|header| header.iter().all(|byte| *byte == 0));
            return Ok(if unbegun { Opened::Unbegun(bytes.len() as u64) } else { Opened::Damaged });
        };
        let loaded = Self::parse(identity, version, bytes);
        for gap in &loaded.damage {
            error!(path = %path.display(), from = gap.start, to = gap.end, "Damage in the WAL: these bytes are skipped.");
        }
        if loaded.torn_bytes() > 0 {
            warn!(path = %path.display(), at = loaded.end, bytes = loaded.torn_bytes(), "Torn tail of the WAL cut off.");
        }
        Ok(Opened::Loaded(loaded))
    }

    fn parse(identity: FileIdentity, version: u32, bytes: Vec<u8>) -> Self {
        let pieces: Vec<Piece> = pieces(&identity, &bytes).collect();
        let durable = pieces.iter().filter_map(|piece| match piece {
            Piece::Frame { kind: Kind::SyncMark, payload } => frame::durable_bytes(&bytes[payload.clone()]),
            _ => None,
        });
        let durable = durable.max().unwrap_or(0);
        let mut frames = Vec::with_capacity(pieces.len());
        let (mut end, mut damage, mut closed) = (FILE_HEADER_BYTES, Vec::new(), false);
        for piece in pieces {
            match piece {
                Piece::Gap(gap) if gap.start as u64 >= durable => break,
                Piece::Gap(gap) => damage.push(gap),
                Piece::Frame { kind, payload } => {
                    let offset = payload.start - frame::FRAME_HEADER_BYTES;
                    end = payload.end;
                    let covered =
                        frame::durable_bytes(&bytes[payload.clone()]).filter(|_| kind == Kind::SyncMark);
                    closed = covered.is_some_and(|covered| covered >= offset as u64);
                    frames.push((kind, payload));
                }
            }
        }
        // Damage at the very end has no frame behind it, and still is damage, not something to cut.
        if let Some(last) = damage.last().filter(|gap| gap.start >= end) {
            end = last.end;
        }
        Self { identity, version, bytes, frames, end, durable, damage, closed }
    }

    /// The writer whose stream the file belongs to.
    pub(crate) fn writer(&self) -> u32 {
        FileIdentity::writer_of(&self.bytes)
    }

    /// Whether its commit positions begin anew, and consecutive, with every process.
    pub(crate) fn counts_from_process(&self) -> bool {
        self.version >= 2
    }

    /// The commits in order, each with its place, and whether it was known to be durable when it was written.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (usize, bool, &[u8])> {
        let commits = self.frames.iter().filter(|(kind, _)| *kind == Kind::Commit);
        commits.map(|(_, payload)| {
            let place = payload.start - frame::FRAME_HEADER_BYTES;
            (place, payload.end as u64 <= self.durable, &self.bytes[payload.clone()])
        })
    }

    /// Has the part that counts end at `place`, where a frame begins.
    pub(crate) fn cut(&mut self, place: usize) {
        self.end = place;
        self.frames.retain(|(_, payload)| payload.end <= place);
        self.damage.retain(|gap| gap.end <= place);
        self.closed = false;
    }

    /// Bytes behind the part that counts.
    pub(crate) fn torn_bytes(&self) -> u64 {
        (self.bytes.len() - self.end) as u64
    }

    /// Bytes of damaged places.
    pub(crate) fn damaged_bytes(&self) -> u64 {
        self.damage.iter().map(|gap| gap.len() as u64).sum()
    }

    /// Bytes of the part that counts.
    pub(crate) fn len(&self) -> u64 {
        self.end as u64
    }

    /// The frames that count, in order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        self.frames.iter().map(|(kind, payload)| (*kind, &self.bytes[payload.clone()]))
    }

    /// The runs of a commit.
    pub(crate) fn runs<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = frame::Run<'a>> {
        frame::runs(payload, self.version)
    }

    /// The numbered batches of a commit.
    pub(crate) fn tags<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = (BatchId, Spans)> + use<'a> {
        frame::tags(payload, self.version)
    }

    /// Cuts the torn tail off, makes the file durable, and says so in it.
    pub(crate) fn close(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        if self.closed && self.torn_bytes() == 0 {
            return Ok(());
        }
        let file = disk.open(path)?;
        file.truncate(self.len())?;
        file.sync()?;
        let mut mark = FrameBuffer::default();
        let end = self.len();
        mark.frame(&self.identity, end, Kind::SyncMark, |payload| {
            payload.extend_from_slice(&end.to_le_bytes())
        });
        file.append(mark.as_bytes())?;
        file.sync()
    }
}

/// The newest time that the writer of a file had given, as its last commit tells.
pub(crate) fn last_stamp(disk: &dyn Disk, path: &Path, identity: &FileIdentity) -> io::Result<Option<i64>> {
    let file = disk.open(path)?;
    let size = file.size()?;
    let mut header = vec![0; FILE_HEADER_BYTES.min(usize::try_from(size).unwrap_or(FILE_HEADER_BYTES))];
    file.read_exact_at(&mut header, 0)?;
    let Some(version) = identity.version_of(&header) else { return Ok(None) };
    for tail in TAIL_BYTES {
        let base = size.saturating_sub(tail).max(FILE_HEADER_BYTES as u64);
        let mut bytes = vec![0; usize::try_from(size - base.min(size)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, base)?;
        let mut stamp = None;
        let mut offset = 0;
        while offset < bytes.len() {
            match identity.frame_at(&bytes, offset, base) {
                Some((kind, payload)) => {
                    if kind == Kind::Commit {
                        stamp = frame::stamp(payload, version).or(stamp);
                    }
                    offset += frame::FRAME_HEADER_BYTES + payload.len();
                }
                None => offset += 1,
            }
        }
        if stamp.is_some() || base == FILE_HEADER_BYTES as u64 {
            return Ok(stamp);
        }
    }
    Ok(None)
}

/// What stands at some place of a file.
enum Piece {
    Frame { kind: Kind, payload: Range<usize> },
    Gap(Range<usize>),
}

/// The frames of a file and the gaps between them.
fn pieces<'a>(identity: &'a FileIdentity, bytes: &'a [u8]) -> impl Iterator<Item = Piece> + 'a {
    let mut offset = FILE_HEADER_BYTES;
    std::iter::from_fn(move || {
        let start = offset;
        if start >= bytes.len() {
            return None;
        }
        if let Some((kind, payload)) = identity.frame_at(bytes, start, 0) {
            let at = start + frame::FRAME_HEADER_BYTES;
            offset = at + payload.len();
            return Some(Piece::Frame { kind, payload: at..offset });
        }
        let next = (start + 1..bytes.len()).find(|place| identity.frame_at(bytes, *place, 0).is_some());
        offset = next.unwrap_or(bytes.len());
        Some(Piece::Gap(start..offset))
    })
}
