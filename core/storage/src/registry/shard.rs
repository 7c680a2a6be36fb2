//! The series of one queue: from a key to its ordinal and back.
//!
//! An open table that holds the keys themselves: what a look-up waits for is memory, twice, for the slot and for the
//! text; with keys beside the table, as a map of ordinals needs them, it would be four times.

use sereno_model::SeriesKey;

/// Keys by hash, slots by ordinal.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// A key stands at its home, or behind it with no empty slot in between; the last slot is followed by the first.
    slots: Vec<Slot>,
    used: usize,
    /// The slot of each ordinal; [`RETIRED`] when it has none any more.
    slot_of: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    key: Option<SeriesKey>,
    /// Kept, so that a growing table reads no text.
    hash: u32,
    ordinal: u32,
}

const RETIRED: u32 = u32::MAX;
const SLOTS_MIN: usize = 16;

impl Shard {
    /// How many ordinals were ever given.
    pub(super) fn ordinals(&self) -> usize {
        self.slot_of.len()
    }

    /// The ordinal of a key.
    pub(super) fn find(&self, hash: u32, key: &SeriesKey) -> Option<u32> {
        let mut at = home(hash, self.slots.len());
        loop {
            let slot = self.slots.get(at)?;
            let other = slot.key.as_ref()?;
            if slot.hash == hash && other == key {
                return Some(slot.ordinal);
            }
            at = self.next(at);
        }
    }

    /// The key of an ordinal, unless it is retired.
    pub(super) fn key(&self, ordinal: u32) -> Option<&SeriesKey> {
        self.slots.get(*self.slot_of.get(ordinal as usize)? as usize)?.key.as_ref()
    }

    /// Gives a key that is not there the next ordinal.
    pub(super) fn insert(&mut self, hash: u32, key: SeriesKey) {
        // Six of seven slots: more make look-ups long, fewer cost memory.
        if (self.used + 1) * 7 > self.slots.len() * 6 {
            self.resize((self.slots.len() * 3 / 2).max(SLOTS_MIN));
        }
        let ordinal = self.slot_of.len() as u32;
        self.slot_of.push(RETIRED);
        self.place(Slot { key: Some(key), hash, ordinal });
        self.used += 1;
    }

    /// Takes a key away for good.
    pub(super) fn retire(&mut self, ordinal: u32) -> Option<SeriesKey> {
        let place = self.slot_of.get_mut(ordinal as usize)?;
        let mut hole = std::mem::replace(place, RETIRED) as usize;
        let key = self.slots.get_mut(hole)?.key.take()?;
        self.used -= 1;
        // Whatever was pushed past the hole moves back into it, so that no look-up stops short.
        let mut at = self.next(hole);
        while self.slots[at].key.is_some() {
            let home = home(self.slots[at].hash, self.slots.len());
            if self.distance(home, hole) < self.distance(home, at) {
                self.slots.swap(hole, at);
                self.slot_of[self.slots[hole].ordinal as usize] = hole as u32;
                hole = at;
            }
            at = self.next(at);
        }
        if self.slots.len() > SLOTS_MIN && self.used * 4 < self.slots.len() {
            self.resize((self.used * 3 / 2).max(SLOTS_MIN));
        }
        Some(key)
    }

    fn place(&mut self, slot: Slot) {
        let mut at = home(slot.hash, self.slots.len());
        while self.slots[at].key.is_some() {
            at = self.next(at);
        }
        self.slot_of[slot.ordinal as usize] = at as u32;
        self.slots[at] = slot;
    }

    fn resize(&mut self, slots: usize) {
        let mut old = Vec::new();
        old.resize_with(slots, Slot::default);
        std::mem::swap(&mut self.slots, &mut old);
        old.into_iter().filter(|slot| slot.key.is_some()).for_each(|slot| self.place(slot));
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// How far behind slot `from` slot `to` is.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

/// Spreads the hashes evenly over any number of slots.
fn home(hash: u32, slots: usize) -> usize {
    ((u64::from(hash) * slots as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A map from keys to ordinals, with hashes that meet and wrap around.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0_u32..60, any::<bool>()), 0..400)) {
            let hash = |i: u32| match i % 3 {
                0 => u32::MAX - i % 4,
                _ => i.wrapping_mul(0x9E37_79B9),
            };
            let key = |i: u32| SeriesKey::from_name(&format!("m{i}")).unwrap();
            let (mut shard, mut model, mut given) = (Shard::default(), HashMap::new(), 0);
            for (i, add) in steps {
                match (add, model.get(&i).copied()) {
                    (true, None) => {
                        shard.insert(hash(i), key(i));
                        model.insert(i, given);
                        given += 1;
                    }
                    (false, Some(ordinal)) => {
                        prop_assert_eq!(shard.retire(ordinal), Some(key(i)));
                        prop_assert_eq!(shard.retire(ordinal), None);
                        model.remove(&i);
                    }
                    _ => {}
                }
                prop_assert_eq!(shard.find(hash(i), &key(i)), model.get(&i).copied());
            }
            for i in 0..60 {
                prop_assert_eq!(shard.find(hash(i), &key(i)), model.get(&i).copied());
            }
            for (i, ordinal) in model {
                prop_assert_eq!(shard.key(ordinal), Some(&key(i)));
            }
            prop_assert_eq!(shard.ordinals(), given as usize);
            prop_assert_eq!(shard.key(given), None);
        }
    }
}
