//! One file: what reads see, what is durable, and what lies between; and what a loss of power leaves of it.

use std::ops::Range;
use std::sync::Arc;

use super::Rng;
use super::pages::{PAGE_BYTES, Pages};

/// A change of the content that no sync has made durable.
#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Arc<[u8]>, lost: bool },
    Resize { from: u64, to: u64 },
}

impl Change {
    /// Applies to `pages`; what is lost leaves zeros.
    fn apply(&self, pages: &mut Pages) {
        match self {
            Self::Write { at, bytes, lost: false } => pages.write(*at, bytes),
            Self::Write { at, bytes, lost: true } => pages.write(*at, &vec![0; bytes.len()]),
            Self::Resize { to, .. } => pages.resize(*to),
        }
    }

    /// The bytes that may differ afterwards.
    fn range(&self) -> Range<u64> {
        match self {
            Self::Write { at, bytes, .. } => *at..at + bytes.len() as u64,
            Self::Resize { from, to } => *from.min(to)..*from.max(to),
        }
    }

    /// The size of the file afterwards.
    fn size(&self) -> u64 {
        match self {
            Self::Write { .. } => self.range().end,
            Self::Resize { to, .. } => *to,
        }
    }
}

/// What a loss of power does to content that is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All of it is gone.
    Gone,
    /// All of it is there.
    Kept,
    /// The sizes are there, the bytes are zeros.
    Zeroed,
    /// Any of that, torn, with holes.
    Any,
}

/// A file without its names.
#[derive(Clone, Debug, Default)]
pub(super) struct SimContent {
    now: Pages,
    durable: Pages,
    /// What happened since `durable`, in order.
    pending: Vec<Change>,
    /// Whether something was lost at a failed sync, so that `now` is not what a sync makes durable.
    diverged: bool,
    /// The size up to which room is set aside.
    reserved: u64,
    reserved_durable: u64,
}

impl SimContent {
    /// Content that is durable as it stands.
    pub(super) fn durable(content: Pages) -> Self {
        Self { now: content.clone(), durable: content, ..Self::default() }
    }

    pub(super) fn now(&self) -> &Pages {
        &self.now
    }

    /// Bytes that it takes of the disk.
    pub(super) fn allotted(&self) -> u64 {
        self.now.size().max(self.reserved)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let at = self.now.size();
        self.now.write(at, bytes);
        if !bytes.is_empty() {
            self.pending.push(Change::Write { at, bytes: bytes.into(), lost: false });
        }
    }

    pub(super) fn resize(&mut self, to: u64) {
        let from = self.now.size();
        self.now.resize(to);
        self.reserved = self.reserved.min(to);
        if from != to {
            self.pending.push(Change::Resize { from, to });
        }
    }

    pub(super) fn reserve(&mut self, bytes: u64) {
        self.reserved = self.reserved.max(bytes);
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.to_be_durable();
        self.pending.clear();
        self.reserved_durable = self.reserved;
    }

    /// The kernel gives up the pages that it could not write and takes them for clean: readers still see them, and
    /// no later sync writes them.
    pub(super) fn fail_sync(&mut self) {
        for change in &mut self.pending {
            if let Change::Write { lost, .. } = change {
                *lost = true;
                self.diverged = true;
            }
        }
    }

    fn to_be_durable(&self) -> Pages {
        if !self.diverged {
            return self.now.clone();
        }
        let mut pages = self.durable.clone();
        for change in &self.pending {
            change.apply(&mut pages);
        }
        pages
    }

    /// What is there after a loss of power.
    pub(super) fn after_power_loss(&self, fate: Fate, rng: &mut Rng) -> Self {
        let reserved = match fate {
            Fate::Gone => self.reserved_durable,
            Fate::Any if rng.chance(1, 2) => self.reserved_durable,
            _ => self.reserved,
        };
        let all = self.pending.len();
        let content = match fate {
            _ if all == 0 => self.durable.clone(),
            Fate::Gone => self.durable.clone(),
            Fate::Kept => self.to_be_durable(),
            Fate::Zeroed => self.image(all, 512, |_, _| 0),
            Fate::Any => self.any_image(rng),
        };
        Self { reserved, reserved_durable: reserved, ..Self::durable(content) }
    }

    /// One of the images that are possible, the usual suspects more often than others.
    fn any_image(&self, rng: &mut Rng) -> Pages {
        let all = self.pending.len();
        let unit = if rng.chance(1, 2) { 512 } else { PAGE_BYTES };
        let kept = if rng.chance(1, 2) { all } else { rng.below(all as u64 + 1) as usize };
        let changed = self.changed();
        let anywhere = changed.start + rng.below(changed.end - changed.start);
        match rng.below(6) {
            0 => self.durable.clone(),
            1 => self.image(kept, unit, |_, _| kept),
            2 => self.torn(kept, unit, rng),
            // One unit is missing, others behind it are there.
            3 => self.image(kept, unit, |place, _| if place.contains(&anywhere) { 0 } else { kept }),
            // The size was written, the bytes from some place on were not.
            4 => self.image(kept, unit, |place, _| if place.end > anywhere { 0 } else { kept }),
            _ => {
                let density = 1 + rng.below(7);
                self.image(kept, unit, |_, newest| match rng.chance(density, 8) {
                    true => newest,
                    false => rng.below(newest as u64 + 1) as usize,
                })
            }
        }
    }

    /// The first `kept` changes, the last of them up to the end of some unit.
    fn torn(&self, kept: usize, unit: u64, rng: &mut Rng) -> Pages {
        let mut pages = self.image(kept, unit, |_, _| kept);
        if let Some(Change::Write { at, bytes, .. }) = kept.checked_sub(1).map(|last| &self.pending[last]) {
            let place = at + rng.below(bytes.len() as u64);
            pages.resize((place / unit * unit).max(*at));
        }
        pages
    }

    /// The range of bytes that pending changes touch.
    fn changed(&self) -> Range<u64> {
        let ranges = self.pending.iter().map(Change::range);
        ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default()
    }

    /// What is on the disk when the size is that after the first `kept` changes, and each unit of bytes is in that
    /// version which `choose` takes of its place and its newest: 0 is the durable one, `n` the one after change `n`.
    fn image(&self, kept: usize, unit: u64, mut choose: impl FnMut(Range<u64>, usize) -> usize) -> Pages {
        let changed = self.changed();
        let units = changed.start / unit..changed.end.div_ceil(unit);
        let place = |number: u64| number * unit..(number + 1) * unit;
        let versions: Vec<usize> =
            units.clone().map(|number| choose(place(number), self.newest(kept, &place(number)))).collect();
        let (mut then, mut image) = (self.durable.clone(), self.durable.clone());
        for (index, change) in self.pending.iter().enumerate() {
            change.apply(&mut then);
            // What a cut took away never comes back: space that is used again reads as zeros until it is written.
            if index < kept {
                image.resize(image.size().min(change.size()));
            }
            let touched = change.range();
            for number in touched.start / unit..touched.end.div_ceil(unit) {
                if versions[(number - units.start) as usize] > index {
                    image.write(place(number).start, &then.padded(place(number)));
                }
            }
        }
        image.resize(kept.checked_sub(1).map_or(self.durable.size(), |last| self.pending[last].size()));
        image
    }

    /// The newest version that can show at `place`. Of changes that are not kept that is only what follows a cut
    /// inside the same page: the page was written, the new size was not.
    fn newest(&self, kept: usize, place: &Range<u64>) -> usize {
        let shows = self.pending[kept..].iter().any(|change| match change {
            Change::Resize { from, to } => {
                to < from && place.end > *to && place.start < to.next_multiple_of(PAGE_BYTES)
            }
            Change::Write { .. } => false,
        });
        if shows { self.pending.len() } else { kept }
    }
}
