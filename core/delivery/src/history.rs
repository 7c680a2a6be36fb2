//! The last notifications, in memory: one ring for all that watch, each of which is only a place in it.
//!
//! Invariants:
//! * positions and times rise from the oldest to the newest;
//! * whoever reads from a place gets every notification after it in order, each once, or a gap where some are gone;
//!   a gap is told once, and counts exactly wherever the numbers allow it;
//! * what a reader costs the writer does not depend on how many there are, nor on how slow they are.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use sereno_model::{Position, Timestamp};

use crate::sequenced::Sequenced;

/// From where somebody wants to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// What comes from now on.
    Now,
    /// What came after this position.
    Position(Position),
    /// What was handled at this time or later.
    Time(Timestamp),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The next notification.
    Event(Arc<Sequenced>),
    /// Some that are not there any more would have come here.
    Gap {
        /// How many; `None` if nobody knows, and it may even be none.
        missed: Option<u64>,
    },
    /// The server stops, and nothing more will come.
    Stopping,
}

/// The last notifications.
#[derive(Debug)]
pub(crate) struct History {
    events: VecDeque<Arc<Sequenced>>,
    /// How many have gone, which is the index of the oldest that is left.
    first: u64,
    len_max: usize,
    /// The epoch of this run of the server.
    epoch: u64,
    /// The time of the newest that has gone, as far as is known.
    gone_until: Option<Timestamp>,
    closed: bool,
}

/// A place in the history.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The index of what comes next.
    next: u64,
    /// What came last; `None` where a jump of the numbers would mean nothing, or has been told.
    last: Option<Position>,
    /// Whether an unknown number is missing here.
    lost: bool,
}

impl History {
    /// A history of at most `len_max` notifications (at least 1) in this epoch.
    pub fn new(len_max: usize, epoch: u64) -> Self {
        Self {
            events: VecDeque::new(),
            first: 0,
            len_max: len_max.max(1),
            epoch,
            gone_until: None,
            closed: false,
        }
    }

    /// Says that there were others before those that are here.
    pub fn forget_earlier(&mut self) {
        self.gone_until = Some(self.events.front().map_or(Timestamp::MAX, |oldest| oldest.at));
    }

    /// Adds the newest. Gives the one that made room for it.
    pub fn push(&mut self, event: Arc<Sequenced>) -> Option<Arc<Sequenced>> {
        let gone = if self.events.len() == self.len_max { self.events.pop_front() } else { None };
        if let Some(gone) = &gone {
            self.first += 1;
            self.gone_until = self.gone_until.max(Some(gone.at));
        }
        self.events.push_back(event);
        gone
    }

    /// Nothing more will be added.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The position of the newest; while there is none, the one before the first of this epoch.
    pub fn newest(&self) -> Position {
        let before_first = Position { epoch: self.epoch, sequence: 0 };
        self.events.back().map_or(before_first, |event| event.position)
    }

    /// Where a reader begins.
    pub fn place(&self, since: Since) -> Cursor {
        match since {
            Since::Now => {
                Cursor { next: self.index(self.events.len()), last: Some(self.newest()), lost: false }
            }
            Since::Time(time) => {
                let from = self.events.partition_point(|event| event.at < time);
                let lost = self.gone_until.is_some_and(|gone| time <= gone);
                Cursor { next: self.index(from), last: None, lost }
            }
            Since::Position(position) => self.place_after(position),
        }
    }

    fn place_after(&self, position: Position) -> Cursor {
        let key = |position: Position| (position.epoch, position.sequence);
        let after = self.events.partition_point(|event| key(event.position) <= key(position));
        let at = |index: usize| self.events.get(index).map(|event| event.position);
        let (before, next) = (after.checked_sub(1).and_then(at), at(after));
        let same_epoch = |other: Option<Position>| other.is_some_and(|other| other.epoch == position.epoch);
        // Where the next number is known, the step to it tells what is missing between.
        let is_known = before == Some(position)
            || same_epoch(next)
            || position == Position { epoch: self.epoch, sequence: 0 };
        if is_known {
            return Cursor { next: self.index(after), last: Some(position), lost: false };
        }
        // The end of an earlier run is not in the log: what follows are the later runs. A position of nobody here, or
        // one that this run has not reached, says nothing; so everything follows.
        let from = if same_epoch(before) && position.epoch != self.epoch { after } else { 0 };
        Cursor { next: self.index(from), last: None, lost: true }
    }

    /// What comes next at a place, which moves on; `None` if it has not happened yet.
    pub fn step(&self, cursor: &mut Cursor) -> Option<Step> {
        if let Some(missed) = self.gap(cursor) {
            return Some(Step::Gap { missed });
        }
        match self.at(cursor.next) {
            Some(event) => {
                cursor.next += 1;
                cursor.last = Some(event.position);
                Some(Step::Event(event.clone()))
            }
            None => self.closed.then_some(Step::Stopping),
        }
    }

    /// How many are missing at a place, if any are.
    fn gap(&self, cursor: &mut Cursor) -> Option<Option<u64>> {
        let overwritten = self.first.saturating_sub(cursor.next);
        cursor.next = cursor.next.max(self.first);
        let skipped = self.at(cursor.next).map_or(0, |event| skipped(cursor.last, event.position));
        let missed = match overwritten.max(skipped) {
            _ if std::mem::take(&mut cursor.lost) => None,
            0 => return None,
            missed => Some(missed),
        };
        cursor.last = None;
        Some(missed)
    }

    fn at(&self, index: u64) -> Option<&Arc<Sequenced>> {
        self.events.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    fn index(&self, offset: usize) -> u64 {
        self.first + offset as u64
    }
}

/// How many numbers lie between what came last and what comes next: lines that the log could not take, or that are
/// too old. Every epoch begins at 1.
fn skipped(last: Option<Position>, next: Position) -> u64 {
    let before = match last {
        Some(last) if last.epoch == next.epoch => last.sequence,
        Some(_) => 0,
        None => return 0,
    };
    next.sequence.saturating_sub(before.saturating_add(1))
}
