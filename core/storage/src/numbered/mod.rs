//! What is remembered of numbered batches, so that sending one again stores nothing twice.
//!
//! * [`spans`]: which samples of a batch;
//! * [`memory`]: of which batches of which clients, within bounds, and how that is written down.
//!
//! Not here: the frames that bring it back after a start (`wal`), and who looks it up when (`writer`).

pub(crate) mod memory;
pub(crate) mod spans;

use hashbrown::HashMap;

use crate::batch::BatchId;

pub(crate) use memory::{Known, Memory};
pub(crate) use spans::Spans;

/// The numbered batches of one commit, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    list: Vec<(BatchId, Spans)>,
    /// Where in the list.
    places: HashMap<BatchId, usize>,
}

impl Tags {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
    }

    pub(crate) fn as_slice(&self) -> &[(BatchId, Spans)] {
        &self.list
    }

    /// The samples of a batch that this commit holds.
    pub(crate) fn of(&self, id: BatchId) -> Option<&Spans> {
        self.places.get(&id).map(|place| &self.list[*place].1)
    }

    pub(crate) fn add(&mut self, id: BatchId, spans: Spans) {
        if spans.is_empty() {
            return;
        }
        let place = *self.places.entry(id).or_insert(self.list.len());
        match self.list.get_mut(place) {
            Some((_, known)) => known.merge(&spans),
            None => self.list.push((id, spans)),
        }
    }
}
