//! The dictionary of one connection: what its references stand for.
//!
//! A definition that is refused is kept with the reason, which then goes for every sample that names it; one that is
//! refused for a limit is tried again with the next batch. Every entry keeps its key, since the store gives up the ids of
//! series that were quiet for long.

use std::collections::HashMap;

use sereno_model::SeriesKey;
use sereno_protocol::v2::messages::Reason;
use sereno_protocol::v2::write::Definition;
use sereno_storage::{CreateError, SeriesId, Store};

use super::budget::Charge;

/// Bytes of an entry beside those of its key.
const ENTRY_BYTES: u64 = (size_of::<Slot>() + size_of::<Option<SeriesKey>>()) as u64;
/// Bytes that a key costs beside its text.
const KEY_BYTES: u64 = 32;

/// Bytes that a refusal costs beside its message.
const REFUSED_BYTES: u64 = 128;
/// The longest message that is kept.
const MESSAGE_BYTES_MAX: usize = 300;

/// What a reference stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot {
    /// Nothing.
    #[default]
    Undefined,
    /// This series.
    Series(SeriesId),
    /// A series that is refused; [`Dictionary::refusal`] tells why.
    Refused,
}

/// Why a definition is refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub reason: Reason,
    /// Whether it may be accepted later.
    pub retry: bool,
    pub message: String,
    /// Counts batches: one try in each is enough.
    tried: u64,
}

/// No memory for more entries. Some definitions are lost, and whoever names them cannot know: the session has to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// References and their series.
pub(super) struct Dictionary {
    store: Store,
    slots: Vec<Slot>,
    /// Of the same length; `None` for what has no key, or an impossible one.
    keys: Vec<Option<SeriesKey>>,
    refused: HashMap<u32, Refused>,
    batch: u64,
    /// How often a reference was given another meaning.
    changes: u64,
    charge: Charge,
}

impl Dictionary {
    pub(super) fn new(store: Store, charge: Charge) -> Self {
        Self {
            store,
            slots: Vec::new(),
            keys: Vec::new(),
            refused: HashMap::new(),
            batch: 0,
            changes: 0,
            charge,
        }
    }

    /// Takes in the definitions of a batch. What is defined anew goes for this batch already.
    pub(super) fn define(&mut self, definitions: &[Definition<'_>]) -> Result<(), Full> {
        self.batch += 1;
        definitions.iter().try_for_each(|definition| self.define_one(definition))
    }

    /// How often a reference was given another meaning: while it stays the same, so do they.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What the references stand for, by reference.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Looks at a refused reference again: its series, if it is accepted by now, or why it is not.
    pub(super) fn retry(&mut self, reference: u32) -> Result<SeriesId, &Refused> {
        let index = reference as usize;
        let due =
            self.refused.get(&reference).is_some_and(|refused| refused.retry && refused.tried < self.batch);
        if due && let Some(key) = self.keys[index].clone() {
            self.resolve(reference, &key);
        }
        match self.slots[index] {
            Slot::Series(series) => Ok(series),
            _ => Err(self.refused.entry(reference).or_insert_with(unknown)),
        }
    }

    /// The series of a reference whose id the store has given up.
    pub(super) fn renew(&mut self, reference: u32) -> Result<SeriesId, Refused> {
        let index = reference as usize;
        if let Some(key) = self.keys[index].clone() {
            self.resolve(reference, &key);
        }
        match self.slots[index] {
            Slot::Series(series) => Ok(series),
            _ => Err(self.refused.entry(reference).or_insert_with(unknown).clone()),
        }
    }

    fn define_one(&mut self, definition: &Definition<'_>) -> Result<(), Full> {
        let Definition { reference, name, labels } = definition;
        let index = *reference as usize;
        self.make_room(index)?;
        match SeriesKey::new(name, labels.iter().copied()) {
            Ok(key) => {
                if !self.charge.try_grow(key.canonical().len() as u64 + KEY_BYTES) {
                    return Err(Full);
                }
                self.forget(*reference);
                self.resolve(*reference, &key);
                self.keys[index] = Some(key);
            }
            Err(error) => {
                self.forget(*reference);
                self.refuse(*reference, Reason::InvalidSeries, error.to_string());
            }
        }
        // Reasons are kept whether there is room or not.
        if self.charge.is_over() { Err(Full) } else { Ok(()) }
    }

    /// Grows by doubling, at first for a few.
    fn make_room(&mut self, index: usize) -> Result<(), Full> {
        if index < self.slots.len() {
            return Ok(());
        }
        let len = (index + 1).next_power_of_two().max(16);
        if !self.charge.try_grow((len - self.slots.len()) as u64 * ENTRY_BYTES) {
            return Err(Full);
        }
        self.slots.reserve_exact(len - self.slots.len());
        self.slots.resize(len, Slot::Undefined);
        self.keys.reserve_exact(len - self.keys.len());
        self.keys.resize(len, None);
        Ok(())
    }

    fn forget(&mut self, reference: u32) {
        let index = reference as usize;
        self.slots[index] = Slot::Undefined;
        self.accept(reference);
        if let Some(key) = self.keys[index].take() {
            self.changes += 1;
            self.charge.shrink(key.canonical().len() as u64 + KEY_BYTES);
        }
    }

    fn resolve(&mut self, reference: u32, key: &SeriesKey) {
        match self.store.series(key) {
            Ok(series) => {
                self.accept(reference);
                self.slots[reference as usize] = Slot::Series(series);
            }
            Err(error) => self.refuse(reference, reason(&error), error.to_string()),
        }
    }

    fn refuse(&mut self, reference: u32, reason: Reason, mut message: String) {
        if message.len() > MESSAGE_BYTES_MAX {
            let mut ends = (0..=MESSAGE_BYTES_MAX).rev();
            message.truncate(ends.find(|end| message.is_char_boundary(*end)).unwrap_or(0));
        }
        self.accept(reference);
        self.charge.grow(message.len() as u64 + REFUSED_BYTES);
        let retry = reason == Reason::SeriesLimit;
        self.slots[reference as usize] = Slot::Refused;
        self.refused.insert(reference, Refused { reason, retry, message, tried: self.batch });
    }

    /// Forgets why it was refused.
    fn accept(&mut self, reference: u32) {
        if let Some(refused) = self.refused.remove(&reference) {
            self.charge.shrink(refused.message.len() as u64 + REFUSED_BYTES);
        }
    }
}

fn reason(error: &CreateError) -> Reason {
    match error {
        CreateError::TooMany { .. } | CreateError::TooFast { .. } => Reason::SeriesLimit,
        _ => Reason::InvalidSeries,
    }
}

/// For an entry that was refused without a reason, which does not happen.
fn unknown() -> Refused {
    Refused { reason: Reason::Unspecified, retry: true, message: String::new(), tried: 0 }
}
