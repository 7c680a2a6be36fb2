//! Checks every byte of a store that no process has open, changes nothing, and tells what is damaged and what can still
//! be read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_runtime::Disk;

use crate::blobs::{self, Blob, BlobWriter, Blobs};
use crate::manifest::{Found, Manifest};
use crate::segment::{self, Block, Damage, Segment, SeriesData};
use crate::store::OpenError;
use crate::summary::Summary;
use crate::superblock::Superblock;
use crate::wal::frame::{FileIdentity, Kind};
use crate::wal::replay::{Loaded, Opened};

/// What a file of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `manifest/*.manifest`
    Manifest,
    /// `segments/*.seg`
    Segment,
    /// `wal/*.wal`
    Wal,
    /// `quarantine/*`: moved aside by an earlier start.
    Quarantined,
    /// Nothing that belongs to a store.
    Stray,
}

impl FileKind {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Segment => "segment",
            Self::Wal => "wal",
            Self::Quarantined => "quarantined",
            Self::Stray => "stray",
        }
    }
}

/// What was found in one file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Samples that can be read.
    pub samples: u64,
    /// Samples that are lost with what is damaged, as far as the file tells; a log tells of none.
    pub lost_samples: u64,
    /// What is wrong, in order of the places.
    pub damage: Vec<String>,
    /// What is worth knowing, and no damage.
    pub notes: Vec<String>,
}

impl FileReport {
    fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }
}

/// What was found in a store.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All its files.
    pub files: Vec<FileReport>,
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.files.iter().any(FileReport::is_damaged)
    }

    /// Samples that can be read; those in the log and in segments too count twice.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.files.iter().map(|file| file.samples).sum()
    }

    /// Samples that are lost.
    #[must_use]
    pub fn lost_samples(&self) -> u64 {
        self.files.iter().map(|file| file.lost_samples).sum()
    }
}

impl fmt::Display for Report {
    /// One line per file that has something to tell, and a total.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let place = format!("{} {}", file.kind.as_str(), file.path.display());
            for damage in &file.damage {
                writeln!(f, "damaged: {place}: {damage}")?;
            }
            if let (true, FileKind::Wal) = (file.is_damaged(), file.kind) {
                let samples = file.samples;
                writeln!(
                    f,
                    "         {samples} samples of it can be read; those in the damaged bytes cannot"
                )?;
            } else if file.is_damaged() && file.kind == FileKind::Segment {
                writeln!(
                    f,
                    "         {} samples of it can be read, {} cannot",
                    file.samples, file.lost_samples
                )?;
            }
            for note in &file.notes {
                writeln!(f, "note:    {place}: {note}")?;
            }
        }
        let damaged = || self.files.iter().filter(|file| file.is_damaged());
        let of_log = match damaged().any(|file| file.kind == FileKind::Wal) {
            true => ", and those in the damaged bytes of the log",
            false => "",
        };
        write!(
            f,
            "{} files, {} samples can be read, {} files are damaged, {} samples are lost{of_log}",
            self.files.len(),
            self.samples(),
            damaged().count(),
            self.lost_samples()
        )
    }
}

/// Reads everything in a store's directory. Linear in its bytes; decodes every block, and holds its rows against it.
///
/// # Errors
/// [`OpenError`] if the directory holds no store, its identity is damaged, it cannot be read at all, or a process has
/// it open.
pub fn verify(directory: &Path, disk: &Arc<dyn Disk>) -> Result<Report, OpenError> {
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { what, path, source }
    };
    let superblock = Superblock::read(&**disk, directory)?;
    let _lock = disk.lock(directory).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { directory: directory.to_owned() },
        _ => OpenError::Io { what: "lock", path: directory.to_owned(), source },
    })?;
    let mut report = Report::default();
    let manifests = ReadOnly { disk: disk.clone(), directory: directory.join("manifest") };
    let named = verify_manifest(&manifests, &superblock, &mut report);
    let segments: Arc<dyn Blobs> =
        Arc::new(ReadOnly { disk: disk.clone(), directory: directory.join("segments") });
    let mut block = Block::default();
    for name in segments.list().map_err(io("list", &directory.join("segments")))? {
        let file = match segment::id_of(&name) {
            Some(id) => verify_segment(&segments, &superblock, id, named.as_deref(), &mut block),
            None => stray(segments.locate(&name)),
        };
        report.files.push(file);
    }
    if let Some(named) = &named {
        report.files.extend(missing(&*segments, named));
    }
    let wal = directory.join("wal");
    for path in disk.list(&wal).map_err(io("list", &wal))? {
        report.files.push(verify_wal(&**disk, path, &superblock));
    }
    for path in disk.list(&directory.join("quarantine")).unwrap_or_default() {
        let note = "an earlier start moved it aside because it does not verify".to_owned();
        report.files.push(FileReport { notes: vec![note], ..empty(path, FileKind::Quarantined) });
    }
    Ok(report)
}

fn empty(path: PathBuf, kind: FileKind) -> FileReport {
    FileReport { path, kind, samples: 0, lost_samples: 0, damage: Vec::new(), notes: Vec::new() }
}

fn stray(path: PathBuf) -> FileReport {
    let is_unsealed = path.extension().is_some_and(|end| end == blobs::UNSEALED);
    let note =
        if is_unsealed { "was never finished; the next start removes it" } else { "not a file of a store" };
    FileReport { notes: vec![note.to_owned()], ..empty(path, FileKind::Stray) }
}

/// Checks the manifest that counts; gives the segments that it names.
fn verify_manifest(
    manifests: &ReadOnly,
    superblock: &Superblock,
    report: &mut Report,
) -> Option<Vec<segment::Meta>> {
    let mut file = empty(manifests.directory.clone(), FileKind::Manifest);
    let named = match Manifest::load(manifests, &superblock.store_id) {
        Ok(Found::Intact(manifest)) => Some(manifest.segments),
        Ok(Found::None) => {
            file.notes.push("there is none: the next start makes it from what the segments tell".to_owned());
            None
        }
        Ok(Found::Damaged(number, _)) => {
            let text = format!(
                "number {number:016x} does not verify; the next start makes it anew from the segments"
            );
            file.damage.push(text);
            None
        }
        Err(error) => {
            file.damage.push(format!("it cannot be read: {error}"));
            None
        }
    };
    report.files.push(file);
    named
}

fn missing<'a>(segments: &'a dyn Blobs, named: &'a [segment::Meta]) -> impl Iterator<Item = FileReport> + 'a {
    let present = segments.list().unwrap_or_default();
    named.iter().filter(move |meta| !present.contains(&meta.name())).map(|meta| FileReport {
        lost_samples: meta.samples,
        damage: vec!["the manifest names it, and it is not there".to_owned()],
        ..empty(segments.locate(&meta.name()), FileKind::Segment)
    })
}

fn verify_segment(
    segments: &Arc<dyn Blobs>,
    superblock: &Superblock,
    id: u64,
    named: Option<&[segment::Meta]>,
    block: &mut Block,
) -> FileReport {
    let mut file = empty(segments.locate(&segment::name(id)), FileKind::Segment);
    let known = named.and_then(|named| named.iter().find(|meta| meta.id == id));
    if named.is_some() && known.is_none() {
        file.notes.push("no manifest names it; the next start removes it".to_owned());
    }
    let segment = match Segment::open(segments, &superblock.store_id, id) {
        Ok(segment) => Arc::new(segment),
        Err(damage) => {
            file.damage.push(brief(&damage));
            file.lost_samples = known.map_or(0, |meta| meta.samples);
            return file;
        }
    };
    if let Err(damage) = segment.verify_index() {
        file.damage.push(brief(&damage));
    }
    let mut first = 0;
    // A damaged part of the index takes its series with it; they are counted by what the footer says.
    while let Ok(series) = segment.series_from(first, 1) {
        let Some((key, data)) = series.into_iter().next() else { break };
        verify_series(&key.to_string(), &data, block, &mut file);
        first += 1;
    }
    file.lost_samples = segment.meta.samples.saturating_sub(file.samples);
    file
}

fn verify_series(key: &str, data: &SeriesData, block: &mut Block, file: &mut FileReport) {
    let head = match data.head() {
        Ok(head) => head,
        Err(damage) => return file.damage.push(format!("{key}: {}", brief(&damage))),
    };
    if let Err(damage) = data.minutes() {
        file.damage.push(format!("{key}: {}", brief(&damage)));
    }
    let mut whole = true;
    let mut sums = Summary::EMPTY;
    for at in &head.blocks {
        match data.decode(at, None, block) {
            Ok(()) => {
                file.samples += at.samples as u64;
                block.values.iter().for_each(|value| sums.push(*value));
            }
            Err(damage) => {
                whole = false;
                file.damage.push(format!("{key}: {}", brief(&damage)));
            }
        }
    }
    // The order of a plain fold is not that of the rows, so only what has no order is compared.
    let rows: u64 = head.hours.iter().map(|row| u64::from(row.count)).sum();
    let extremes = head.hours.iter().all(|row| sums.min <= row.min && row.max <= sums.max);
    if whole && (rows > sums.count || (!extremes && sums.count == rows)) {
        file.damage.push(format!("{key}: the rows do not tell what the samples do"));
    }
}

fn verify_wal(disk: &dyn Disk, path: PathBuf, superblock: &Superblock) -> FileReport {
    let Some(file_id) = crate::wal::file_id(&path) else { return stray(path) };
    let mut file = empty(path, FileKind::Wal);
    let identity = FileIdentity::new(superblock.store_id, file_id, superblock.queues);
    let loaded = match Loaded::read(disk, &file.path, identity) {
        Ok(Opened::Loaded(loaded)) => loaded,
        Ok(Opened::Unbegun(bytes)) => {
            file.notes.push(format!("{bytes} bytes that were never begun; the next start removes the file"));
            return file;
        }
        Ok(Opened::Damaged) => {
            file.damage.push("the header does not verify; the next start moves the file aside".to_owned());
            return file;
        }
        Err(error) => {
            file.damage.push(format!("it cannot be read: {error}"));
            return file;
        }
    };
    for gap in &loaded.damage {
        file.damage.push(format!("bytes {} to {} do not verify", gap.start, gap.end));
    }
    if loaded.torn_bytes() > 0 {
        let (bytes, at) = (loaded.torn_bytes(), loaded.len());
        file.notes.push(format!("a torn tail of {bytes} bytes at byte {at}; the next start cuts it off"));
    }
    let commits = loaded.frames().filter(|(kind, _)| *kind == Kind::Commit);
    file.samples = commits.flat_map(|(_, payload)| loaded.runs(payload)).map(|run| run.len() as u64).sum();
    file
}

/// The damage without the path, which the report has already.
fn brief(damage: &Damage) -> String {
    format!("{} at byte {}: {}", damage.what, damage.offset, damage.why)
}

/// A folder that nothing is written to.
#[derive(Debug)]
struct ReadOnly {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Blob for Bytes {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = start.checked_add(length).and_then(|end| self.0.get(start..end));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Blobs for ReadOnly {
    fn create(&self, _name: &str) -> io::Result<Box<dyn BlobWriter>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Blob>> {
        Ok(Arc::new(Bytes(self.disk.read(&self.directory.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match self.disk.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries?,
        };
        Ok(entries.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_aside(&self, _name: &str) -> io::Result<PathBuf> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn locate(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
