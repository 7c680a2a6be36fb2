//! Opening what a process left behind: the manifest and its segments at once, the log in the background, while new
//! writes are taken.
//!
//! What is read back goes to a generation of its own. Its commit positions are lower than any of this process, so an old
//! write never wins over a new one, whichever is applied first. Files are applied in the order of their ids, their queues
//! divided among threads; the next file is read and checked meanwhile. When the generation holds as much as a flush is
//! due for, it is flushed, so reading back never needs more memory than running does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sereno_model::{SeriesKey, Timestamp};
use sereno_runtime::Disk;
use tracing::{error, info, warn};

use crate::blobs::Blobs;
use crate::head::{Entry, Generation, HeadWriter};
use crate::maintain::{Frozen, Maintenance};
use crate::manifest::{Found, Manifest};
use crate::segment::{self, Segment};
use crate::shared::{Shared, Version};
use crate::store::{ORDER_BITS, OpenError};
use crate::wal::frame::{self, FileIdentity, Kind};
use crate::wal::replay::{Loaded, Opened};
use crate::writer::Rotated;

/// How many threads apply a file.
const PARTS: u32 = 2;
/// Ordinals beyond it are not believed.
const ORDINAL_MAX: usize = 1 << 26;
/// How long to wait after a file that cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// WAL files read.
    pub files: u64,
    /// Samples read from them; those that are in segments already are not counted.
    pub samples: u64,
    /// Bytes of torn tails that were cut off: writes that had not been made durable when power was lost, or were under
    /// way when the process died.
    pub torn_bytes: u64,
    /// Damaged places between intact ones.
    pub damaged_regions: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Samples that could not be read because the definition of their series was damaged.
    pub undefined_samples: u64,
    /// Files that do not verify at all, moved aside.
    pub quarantined: Vec<PathBuf>,
    /// Segments that the manifest names and that are not there.
    pub missing_segments: u64,
    /// Whether the manifest did not verify, and was made anew from what the segments tell.
    pub manifest_rebuilt: bool,
    /// How long it took until everything could be read.
    pub duration: Duration,
}

impl Recovery {
    /// Whether anything was damaged; a torn tail is not damage.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged_regions > 0
            || self.undefined_samples > 0
            || !self.quarantined.is_empty()
            || self.missing_segments > 0
            || self.manifest_rebuilt
    }
}

/// The end of the reading back, for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    recovery: Mutex<Option<Recovery>>,
    done: Condvar,
}

impl Outcome {
    pub(crate) fn wait(&self) -> Recovery {
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*recovery {
                Some(recovery) => return recovery.clone(),
                None => recovery = self.done.wait(recovery).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn set(&self, recovery: Recovery) {
        *self.recovery.lock().unwrap_or_else(PoisonError::into_inner) = Some(recovery);
        self.done.notify_all();
    }
}

/// What the manifest and the segments amount to.
pub(crate) struct Sealed {
    pub manifest: Manifest,
    pub segments: Vec<Arc<Segment>>,
}

/// Opens the manifest and the segments that it names. Files that nothing names are what a crash left, and go; files that
/// do not verify are moved aside.
pub(crate) fn open_sealed(
    segments: &Arc<dyn Blobs>,
    manifests: &dyn Blobs,
    store_id: &[u8; 16],
    queues: u32,
    recovery: &mut Recovery,
) -> Result<Sealed, OpenError> {
    let io = |what| move |source| OpenError::Io { what, path: manifests.locate(""), source };
    // What the manifest does not name is removed below, and that must not last longer than the manifest.
    manifests.sync_names().map_err(io("sync"))?;
    let found = Manifest::load(manifests, store_id).map_err(io("read the manifest in"))?;
    let names = segments.list().map_err(|source| OpenError::Io {
        what: "list",
        path: segments.locate(""),
        source,
    })?;
    let ids: Vec<u64> = names.iter().filter_map(|name| segment::id_of(name)).collect();
    let (mut manifest, named) = match found {
        Found::Intact(manifest) => {
            let named = manifest.segments.iter().map(|meta| meta.id).collect::<Vec<_>>();
            (manifest, Some(named))
        }
        Found::None => {
            // A store has a manifest before it has a segment.
            recovery.manifest_rebuilt = !ids.is_empty();
            (Manifest::default(), None)
        }
        Found::Damaged(number, before) => {
            error!(
                number,
                "The manifest does not verify; it is made anew from what the segments tell of themselves."
            );
            recovery.manifest_rebuilt = true;
            (Manifest { number, segments: Vec::new(), ..before.unwrap_or_default() }, None)
        }
    };
    let mut opened = Vec::new();
    for id in &ids {
        manifest.next_segment = manifest.next_segment.max(id + 1);
        if named.as_ref().is_some_and(|named| !named.contains(id)) {
            remove(&**segments, *id);
            continue;
        }
        match Segment::open(segments, store_id, *id) {
            Ok(segment) => opened.push(Arc::new(segment)),
            Err(damage) => {
                let kept = set_aside(&**segments, *id, &damage, recovery);
                kept.map_err(|source| OpenError::Io {
                    what: "move aside",
                    path: segments.locate(&segment::name(*id)),
                    source,
                })?;
            }
        }
    }
    let named = named.unwrap_or_default();
    for missing in named.iter().filter(|id| !ids.contains(id)) {
        error!(
            segment = segment::name(*missing),
            "A segment that the manifest names is missing; its samples are gone."
        );
        recovery.missing_segments += 1;
    }
    if recovery.manifest_rebuilt {
        let metas: Vec<_> = opened.iter().map(|segment: &Arc<Segment>| segment.meta.clone()).collect();
        // What was merged is in the merged one; the crash came before it was removed.
        opened.retain(|segment| !metas.iter().any(|other| segment.meta.is_covered_by(other)));
        let sequences = metas.iter().map(|meta| meta.sequence_last);
        manifest.sequence = sequences.max().unwrap_or(0).max(manifest.sequence);
        if manifest.trusted_time == 0 {
            // Nothing else tells what time it was; a clock that is far ahead of it is not believed at once.
            manifest.trusted_time = metas.iter().map(|meta| meta.time_max).max().unwrap_or(0);
        }
    }
    manifest.marks.resize(queues as usize, 0);
    manifest.segments = opened.iter().map(|segment| segment.meta.clone()).collect();
    opened.sort_by_key(|segment| (segment.meta.group, segment.meta.day, segment.meta.sequence_first));
    Ok(Sealed { manifest, segments: opened })
}

fn remove(segments: &dyn Blobs, id: u64) {
    let name = segment::name(id);
    match segments.remove(&name) {
        Ok(()) => info!(segment = name, "A segment that was not finished, or was merged, is removed."),
        Err(error) => warn!(segment = name, %error, "A segment of no more use could not be removed."),
    }
}

/// Moves aside a segment whose bytes do not verify. One that merely cannot be read now keeps its place.
fn set_aside(
    segments: &dyn Blobs,
    id: u64,
    damage: &segment::Damage,
    recovery: &mut Recovery,
) -> io::Result<()> {
    if let segment::Why::Io(source) = &damage.why {
        return Err(io::Error::new(source.kind(), source.to_string()));
    }
    let target = segments.set_aside(&segment::name(id))?;
    error!(error = %damage, moved_to = %target.display(), "A segment does not verify; it is moved aside.");
    recovery.quarantined.push(target);
    Ok(())
}

/// Reads the log back.
pub(crate) struct Replay {
    pub maintenance: Arc<Maintenance>,
    /// The files, the oldest first.
    pub files: Vec<(PathBuf, FileIdentity)>,
    /// Per queue, what is in segments already.
    pub marks: Vec<u64>,
    /// The file whose memory of numbered batches counts, 0 for none; `None` if nobody knows, and then all count.
    pub memory_file: Option<u64>,
    /// Whether those marks may be too low.
    pub marks_are_old: bool,
    pub outcome: Arc<Outcome>,
    pub stop: Arc<Stop>,
    pub started: Duration,
}

/// The word to give up.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; gives whether it is time to give up.
    fn wait(&self, limit: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _timed_out) = self
            .changed
            .wait_timeout_while(stopped, limit, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}

impl Replay {
    /// Reads all files; what cannot be read now is tried again until it can, or the store is closed.
    pub(crate) fn run(self, mut recovery: Recovery) {
        if self.files.is_empty() {
            return self.outcome.set(recovery);
        }
        let shared = self.maintenance.shared.clone();
        self.name_files();
        let mut target = Target::new(&shared);
        let mut order = Order::new(&self.marks, self.marks_are_old);
        self.announce(&target);
        // First of all: a flush on the way writes down what is known by then, for a crash soon after.
        self.read_memory(&shared);
        let mut next = self.load(0);
        for index in 0..self.files.len() {
            let loaded = match next.take() {
                Some(Opened::Loaded(mut loaded)) => {
                    order.check(&mut loaded, &self.files[index].0);
                    Opened::Loaded(loaded)
                }
                Some(opened) => {
                    order.is_broken |= matches!(opened, Opened::Damaged);
                    opened
                }
                None => return self.give_up(recovery),
            };
            std::thread::scope(|scope| {
                let following =
                    scope.spawn(|| (index + 1 < self.files.len()).then(|| self.load(index + 1)).flatten());
                if let Opened::Loaded(loaded) = &loaded {
                    target.apply(loaded, &self.marks, &shared, &mut recovery);
                    self.remember(loaded, &shared);
                }
                next = following.join().unwrap_or_default();
            });
            let (path, identity) = &self.files[index];
            match &loaded {
                Opened::Loaded(loaded) => {
                    recovery.files += 1;
                    recovery.torn_bytes += loaded.torn_bytes();
                    recovery.damaged_regions += loaded.damage.len() as u64;
                    recovery.damaged_bytes += loaded.damaged_bytes();
                    self.maintenance.wal.inventory.set(identity.file_id, loaded.len());
                    if let Err(error) = loaded.close(&*self.maintenance.wal.disk, path) {
                        warn!(path = %path.display(), %error, "A WAL file that was read could not be closed.");
                        self.maintenance.wal.inventory.doubt(identity.file_id);
                    }
                    target.files.push(identity.file_id);
                }
                Opened::Unbegun(bytes) => self.remove_unbegun(path, *bytes, &mut recovery),
                Opened::Damaged => self.quarantine(path, &mut recovery),
            }
            if target.generation.bytes() * 2 >= self.maintenance.settings.head_bytes_max {
                target = self.hand_over(target);
                self.announce(&target);
            }
        }
        let newest = target.newest;
        self.finish(target, newest, recovery);
    }

    /// Takes in what the last flush wrote down of numbered batches. It is read once more in its turn, which changes nothing.
    fn read_memory(&self, shared: &Shared) {
        let is_it = |(_, identity): &(PathBuf, FileIdentity)| Some(identity.file_id) == self.memory_file;
        let index = self.files.iter().position(is_it);
        if let Some(Opened::Loaded(loaded)) = index.and_then(|index| self.load(index)) {
            for (_, payload) in loaded.frames().filter(|(kind, _)| *kind == Kind::Memory) {
                shared.memory().read_back(payload);
            }
        }
    }

    /// Takes in what a file tells of numbered batches. That some are in segments already does not matter here.
    fn remember(&self, loaded: &Loaded, shared: &Shared) {
        let counts = self.memory_file.is_none_or(|file| file == loaded.identity.file_id);
        for (kind, payload) in loaded.frames() {
            match kind {
                // Frame by frame: whoever commits meanwhile wants it too.
                Kind::Commit => {
                    let mut tags = loaded.tags(payload).peekable();
                    let memory = tags.peek().is_some().then(|| shared.memory());
                    let Some(mut memory) = memory else { continue };
                    tags.for_each(|(id, spans)| memory.restore(id, &spans));
                }
                Kind::Memory if counts => shared.memory().read_back(payload),
                Kind::Memory | Kind::Definitions | Kind::SyncMark => {}
            }
        }
    }

    /// Makes the names of the files durable: a process that was killed may have got no further than their content.
    fn name_files(&self) {
        let wal = &self.maintenance.wal;
        if let Err(error) = wal.disk.sync_dir(&wal.directory) {
            warn!(directory = %wal.directory.display(), %error, "The names of the WAL files could not be made durable.");
        }
    }

    /// Puts the generation before the one that is being filled.
    fn announce(&self, target: &Target) {
        self.maintenance.shared.version.rcu(|version| {
            let mut generations = version.generations.clone();
            generations.insert(generations.len().saturating_sub(1), target.generation.clone());
            Version { edition: version.edition, segments: version.segments.clone(), generations }
        });
    }

    /// Has what was read so far moved to segments; gives the place for what follows.
    fn hand_over(&self, target: Target) -> Target {
        let fresh = Target { newest: target.newest, ..Target::new(&self.maintenance.shared) };
        self.maintenance.adopt(target.into_frozen());
        if let Err(error) = self.maintenance.flush_adopted() {
            warn!(%error, "What was read back stays in memory for now.");
        }
        fresh
    }

    fn finish(self, target: Target, newest: i64, mut recovery: Recovery) {
        let shared = &self.maintenance.shared;
        // Times far ahead of the clock are some client's, and must not drag ours along.
        if newest <= (shared.clock.now() + crate::store::CLOCK_STEP_MAX).nanos() {
            shared.newest_stamp.fetch_max(newest, Ordering::AcqRel);
        }
        self.maintenance.adopt(target.into_frozen());
        shared.recovering.store(false, Ordering::Release);
        recovery.duration = shared.clock.monotonic().saturating_sub(self.started);
        info!(
            files = recovery.files, samples = recovery.samples, torn_bytes = recovery.torn_bytes,
            took = ?recovery.duration, "The log is read back; everything can be read."
        );
        self.outcome.set(recovery);
    }

    fn give_up(self, recovery: Recovery) {
        self.outcome.set(recovery);
    }

    /// Reads a file; `None` when told to stop.
    fn load(&self, index: usize) -> Option<Opened> {
        let (path, identity) = self.files.get(index)?;
        loop {
            if self.stop.is_stopped() {
                return None;
            }
            match Loaded::read(&*self.maintenance.wal.disk, path, identity.clone()) {
                Ok(loaded) => return Some(loaded),
                Err(error) => {
                    error!(
                        path = %path.display(), %error,
                        "A WAL file cannot be read; queries wait until it can. Mend the disk, or move the file away and restart."
                    );
                    if self.stop.wait(RETRY) {
                        return None;
                    }
                }
            }
        }
    }

    fn remove_unbegun(&self, path: &Path, bytes: u64, recovery: &mut Recovery) {
        recovery.torn_bytes += bytes;
        match self.maintenance.wal.disk.remove(path) {
            Ok(()) => {
                warn!(path = %path.display(), bytes, "A WAL file that was just being begun is removed.")
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "A WAL file that was just being begun cannot be removed.")
            }
        }
    }

    fn quarantine(&self, path: &Path, recovery: &mut Recovery) {
        match set_wal_aside(&*self.maintenance.wal.disk, path) {
            Ok(target) => {
                error!(path = %path.display(), moved_to = %target.display(), "The header of a WAL file does not verify; it is moved aside.");
                recovery.quarantined.push(target);
            }
            Err(error) => {
                error!(path = %path.display(), %error, "The header of a WAL file does not verify, and it cannot be moved aside.");
                recovery.quarantined.push(path.to_owned());
            }
        }
    }
}

fn set_wal_aside(disk: &dyn Disk, path: &Path) -> io::Result<PathBuf> {
    let directory = path.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("quarantine");
    let target: PathBuf = directory.join(path.file_name().unwrap_or_default());
    disk.rename(path, &target)?;
    disk.sync_dir(&directory)?;
    Ok(target)
}

/// What is known of the order of commits while the log is read back.
///
/// A writer's file may reach the disk before the end of the one that it wrote before, and then a loss of power leaves
/// later commits without earlier ones. They are found by the positions that are missing, and cut like a torn tail: what
/// was not synced is lost as a tail, never as a hole. What was synced is kept, whatever is missing before it, for then
/// it is missing by damage; and after damage nothing is concluded from what is missing.
struct Order<'a> {
    marks: &'a [u64],
    /// By queue, the last commit position.
    last: Vec<u64>,
    /// Streams that ended: their process and their writer.
    ended: Vec<(u64, u32)>,
    is_broken: bool,
}

impl<'a> Order<'a> {
    fn new(marks: &'a [u64], is_broken: bool) -> Self {
        Self { marks, last: marks.to_vec(), ended: Vec::new(), is_broken }
    }

    /// Cuts a file where it does not go on from those before it.
    fn check(&mut self, loaded: &mut Loaded, path: &Path) {
        if !loaded.counts_from_process() {
            return;
        }
        self.is_broken |= !loaded.damage.is_empty();
        let mut cut = None;
        for (place, is_durable, payload) in loaded.commits() {
            for run in loaded.runs(payload) {
                let Some(last) = self.last.get_mut(run.queue as usize) else { continue };
                let stream = (run.order >> ORDER_BITS, loaded.writer());
                // The first position of a process is 1.
                let next = (*last + 1).max((stream.0 << ORDER_BITS) + 1);
                let is_missing = run.order > next || self.ended.contains(&stream);
                if is_missing && !is_durable && !self.is_broken && run.order > self.marks[run.queue as usize]
                {
                    self.ended.push(stream);
                    cut = Some(place);
                    break;
                }
                *last = run.order.max(*last);
            }
            if cut.is_some() {
                break;
            }
        }
        if let Some(place) = cut {
            loaded.cut(place);
            warn!(
                path = %path.display(), at = place, bytes = loaded.torn_bytes(),
                "Commits of the WAL without those before them, which had not reached the disk; cut off."
            );
        }
    }
}

/// The generation that is being filled from the log.
struct Target {
    generation: Arc<Generation>,
    parts: Vec<Part>,
    files: Vec<u64>,
    /// The newest time of all samples.
    newest: i64,
}

/// The queues with one remainder modulo [`PARTS`].
struct Part {
    number: u32,
    heads: Vec<HeadWriter>,
    /// The last commit position per queue.
    marks: Vec<u64>,
    /// Per queue of the present file, its ordinals there and ours.
    ordinals: Vec<Vec<u32>>,
    samples: u64,
    undefined_samples: u64,
    newest: i64,
}

const UNDEFINED: u32 = u32::MAX;

impl Target {
    fn new(shared: &Shared) -> Self {
        let generation = Generation::new(shared.queues);
        let part = |number| {
            let queues = || (number..shared.queues).step_by(PARTS as usize);
            Part {
                number,
                heads: queues().map(|queue| HeadWriter::new(generation.clone(), queue)).collect(),
                marks: queues().map(|_| 0).collect(),
                ordinals: queues().map(|_| Vec::new()).collect(),
                samples: 0,
                undefined_samples: 0,
                newest: i64::MIN,
            }
        };
        let parts = (0..PARTS).map(part).collect();
        Self { generation, parts, files: Vec::new(), newest: i64::MIN }
    }

    /// Applies a file.
    fn apply(&mut self, loaded: &Loaded, marks: &[u64], shared: &Shared, recovery: &mut Recovery) {
        self.generation.begin(shared.clock.monotonic().as_nanos() as i64);
        std::thread::scope(|scope| {
            let mut parts = self.parts.iter_mut();
            let first = parts.next();
            for part in parts {
                scope.spawn(|| part.apply(loaded, marks, shared));
            }
            if let Some(part) = first {
                part.apply(loaded, marks, shared);
            }
        });
        for part in &mut self.parts {
            recovery.samples += std::mem::take(&mut part.samples);
            recovery.undefined_samples += std::mem::take(&mut part.undefined_samples);
            self.newest = self.newest.max(part.newest);
        }
    }

    fn into_frozen(self) -> Frozen {
        let marks = self.parts.iter().flat_map(|part| {
            (0..).zip(&part.marks).map(|(index, mark)| (part.number + index * PARTS, *mark))
        });
        let rotated = Rotated { marks: marks.collect(), files: self.files, generation: 0 };
        Frozen { generation: self.generation, rotated }
    }
}

impl Part {
    fn apply(&mut self, loaded: &Loaded, marks: &[u64], shared: &Shared) {
        self.ordinals.iter_mut().for_each(Vec::clear);
        for (kind, payload) in loaded.frames() {
            match kind {
                Kind::Definitions => {
                    for (queue, ordinal, key) in frame::definitions(payload) {
                        self.define(queue, ordinal, key, shared);
                    }
                }
                Kind::Commit => {
                    for run in loaded.runs(payload) {
                        let known = marks.get(run.queue as usize).copied().unwrap_or(u64::MAX);
                        if self.owns(run.queue) && run.order > known {
                            self.apply_run(run, shared);
                        }
                    }
                }
                Kind::SyncMark | Kind::Memory => {}
            }
        }
    }

    fn owns(&self, queue: u32) -> bool {
        queue % PARTS == self.number && ((queue / PARTS) as usize) < self.heads.len()
    }

    fn define(&mut self, queue: u32, ordinal: u32, key: &[u8], shared: &Shared) {
        if !self.owns(queue) || ordinal as usize >= ORDINAL_MAX {
            return;
        }
        // The checksum held, so only a key that our own limits have since excluded is refused here.
        let Ok(key) = SeriesKey::from_canonical(key) else { return };
        let id = shared.registry.restore(&key);
        let ordinals = &mut self.ordinals[(queue / PARTS) as usize];
        if ordinals.len() <= ordinal as usize {
            ordinals.resize(ordinal as usize + 1, UNDEFINED);
        }
        if id.queue == queue {
            ordinals[ordinal as usize] = id.ordinal;
        }
    }

    fn apply_run(&mut self, run: frame::Run<'_>, shared: &Shared) {
        let local = (run.queue / PARTS) as usize;
        self.marks[local] = self.marks[local].max(run.order);
        let (ordinals, head) = (&self.ordinals[local], &mut self.heads[local]);
        let (order, queue) = (run.order, run.queue);
        let mut undefined = 0;
        let mut newest = i64::MIN;
        for (ordinal, time, value) in run.samples() {
            match ordinals.get(ordinal as usize).copied().unwrap_or(UNDEFINED) {
                // Its definition lay in a damaged part.
                UNDEFINED => undefined += 1,
                ordinal => {
                    if !head.has_samples(ordinal) {
                        shared.mark_born(crate::registry::SeriesId { queue, ordinal }, order);
                    }
                    head.append(std::iter::once((ordinal, Entry { time, value, order })));
                    newest = newest.max(time);
                }
            }
        }
        self.samples += run.len() as u64 - undefined;
        self.undefined_samples += undefined;
        self.newest = self.newest.max(newest);
    }
}

/// The newest time that a writer before this process had given, if it is near enough to the clock to be believed.
pub(crate) fn boot_stamp(
    disk: &dyn Disk,
    files: &[(PathBuf, FileIdentity)],
    sealed: &[Arc<Segment>],
    now: Timestamp,
) -> i64 {
    let stamps = files.iter().filter_map(|(path, identity)| {
        // A file that cannot be read now is read again, and told of, in a moment.
        crate::wal::replay::last_stamp(disk, path, identity).unwrap_or_default()
    });
    let sealed = sealed.iter().map(|segment| segment.meta.time_max);
    let limit = (now + crate::store::CLOCK_STEP_MAX).nanos();
    stamps.chain(sealed).filter(|stamp| *stamp <= limit).max().unwrap_or(i64::MIN)
}
