//! Append-only arrays that readers may look into while they grow.
//!
//! Buckets double in size and never move, so an index stays valid for ever and no reader waits for the writer or makes
//! it wait. Memory comes zeroed from the system and is not touched before it is used, so the half-empty last bucket
//! costs address space rather than memory.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// Log2 of the words in the first bucket.
const FIRST_BITS: u32 = 8;
const FIRST: usize = 1 << FIRST_BITS;
const BUCKETS: usize = 32 - FIRST_BITS as usize + 1;

/// A growing array of words. One writer makes room ([`Words::reach`]); any thread reads and writes words that exist.
#[derive(Debug)]
pub(crate) struct Words {
    buckets: [OnceLock<Box<[AtomicU64]>>; BUCKETS],
}

impl Default for Words {
    fn default() -> Self {
        Self { buckets: [const { OnceLock::new() }; BUCKETS] }
    }
}

/// The bucket of an index and the place in it: bucket b holds the indices from `FIRST * (2^b - 1)`.
fn place(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let bucket = shifted.ilog2() - FIRST_BITS;
    (bucket as usize, shifted - (FIRST << bucket))
}

impl Words {
    /// Makes sure that the words before `len` exist.
    pub(crate) fn reach(&self, len: usize) {
        let Some(last) = len.checked_sub(1) else { return };
        let (bucket, _) = place(last);
        for bucket in (0..=bucket).rev() {
            if self.buckets[bucket].get().is_some() {
                return;
            }
            self.buckets[bucket].get_or_init(|| bytemuck::zeroed_slice_box(FIRST << bucket));
        }
    }

    /// A word, if there is one at the index.
    pub(crate) fn get(&self, index: usize) -> Option<&AtomicU64> {
        let (bucket, at) = place(index);
        self.buckets.get(bucket)?.get()?.get(at)
    }

    /// `len` words from `index` on, if they lie in one bucket; [`fit`] finds such a place.
    pub(crate) fn run(&self, index: usize, len: usize) -> Option<&[AtomicU64]> {
        let (bucket, at) = place(index);
        self.buckets.get(bucket)?.get()?.get(at..at + len)
    }
}

/// The first place at or after `index` where `len` words lie in one bucket.
pub(crate) fn fit(index: usize, len: usize) -> usize {
    let (bucket, at) = place(index);
    let size = FIRST << bucket;
    if at + len <= size { index } else { index + (size - at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_keep_their_places() {
        let words = Words::default();
        assert!(words.get(0).is_none());
        words.reach(10_000);
        for index in 0..10_000 {
            words.get(index).unwrap().store(index as u64, Ordering::Relaxed);
        }
        assert!((0..10_000).all(|index| words.get(index).unwrap().load(Ordering::Relaxed) == index as u64));
        assert_eq!((fit(FIRST - 3, 3), fit(FIRST - 3, 4)), (FIRST - 3, FIRST));
        assert_eq!(words.run(FIRST - 3, 3).map(<[_]>::len), Some(3));
        assert!(words.run(FIRST - 3, 4).is_none());
    }
}
