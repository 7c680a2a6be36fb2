//! Parts of batches on their way through a writer.

use std::sync::Arc;

use crate::batch::{Ack, Numbered, Refusal, Row, Ticket};
use crate::numbered::Spans;

/// The rows of a batch that belong to one writer.
#[derive(Debug)]
pub(crate) struct Part {
    pub rows: Vec<Row>,
    /// Which rows of the batch they are.
    pub indices: Indices,
    pub ack: Ack,
    pub ticket: Arc<Ticket>,
    /// The number of the batch, if it has one.
    pub numbered: Option<Arc<Numbered>>,
}

#[derive(Debug)]
pub(crate) enum Indices {
    /// Consecutive ones, from this.
    From(u32),
    List(Vec<u32>),
}

impl Indices {
    fn get(&self, position: usize) -> u32 {
        match self {
            Self::From(first) => first + position as u32,
            Self::List(list) => list[position],
        }
    }
}

impl Part {
    /// Whether it may have been here before.
    pub(super) fn is_resent(&self) -> bool {
        self.numbered.as_ref().is_some_and(|numbered| numbered.resent)
    }

    /// Which samples of the client's batch its rows are.
    pub(super) fn spans(&self, numbered: &Numbered, generation: u32) -> Spans {
        match (&self.indices, &numbered.places, self.rows.len() as u32) {
            (_, _, 0) => Spans::default(),
            (Indices::From(first), None, count) => Spans::run(*first, count, generation),
            _ => {
                let mut spans = Spans::default();
                let places = (0..self.rows.len()).map(|position| numbered.place(self.indices.get(position)));
                places.for_each(|place| spans.push(place, generation));
                spans
            }
        }
    }
}

/// A part that nobody has answered yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub part: Part,
    pub refused: Vec<(u32, Refusal)>,
    /// How many rows were stored by an earlier sending.
    pub repeated: u32,
    /// Of a part that was sent before: how many samples each queue of the writer had room for. What is stored already
    /// takes none of it.
    pub room: Vec<u32>,
}

/// What becomes of a row that is not to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Refused(Refusal),
    /// It is stored already.
    Repeated,
}

impl Waiting {
    pub(super) fn new(part: Part) -> Self {
        Self { part, refused: Vec::new(), repeated: 0, room: Vec::new() }
    }

    /// Answers; what is left of the rows is stored, or nothing is known about it.
    pub(super) fn complete(self, unknown: bool) {
        self.part.ticket.complete_part(self.refused, self.repeated, unknown);
    }

    /// Refuses all rows that are left, and answers.
    pub(super) fn refuse_all(mut self, why: Refusal) {
        self.refuse_rows(|_| Some(why));
        self.complete(false);
    }

    /// Refuses the rows for which there is a reason, which is asked once for each in order; the rest stays.
    pub(super) fn refuse_rows(&mut self, mut reason: impl FnMut(&Row) -> Option<Refusal>) {
        self.sift(|_, row| reason(row).map(Fate::Refused));
    }

    /// Takes out the rows that have another fate than to be stored. It is asked once for each in order, by the index in
    /// the batch and the row.
    pub(super) fn sift(&mut self, mut fate: impl FnMut(u32, &Row) -> Option<Fate>) {
        let indices = &self.part.indices;
        let fates = self.part.rows.iter().enumerate();
        let fates: Vec<(usize, Fate)> =
            fates.filter_map(|(position, row)| Some((position, fate(indices.get(position), row)?))).collect();
        if fates.is_empty() {
            return;
        }
        let mut next = fates.iter().peekable();
        let mut kept = Vec::with_capacity(self.part.rows.len() - fates.len());
        let mut position = 0;
        self.part.rows.retain(|_| {
            let index = indices.get(position);
            let fate = next.next_if(|(taken, _)| *taken == position);
            position += 1;
            match fate {
                Some((_, Fate::Refused(why))) => self.refused.push((index, *why)),
                Some((_, Fate::Repeated)) => self.repeated += 1,
                None => kept.push(index),
            }
            fate.is_none()
        });
        self.part.indices = Indices::List(kept);
    }
}
