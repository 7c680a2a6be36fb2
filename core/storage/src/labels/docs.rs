//! Sets of document numbers and what is done with them: a range where documents lie side by side, a list where they
//! are few, bits where they are many. The three meet without being turned into one another first.

use std::borrow::Cow;
use std::ops::Range;

/// A set of documents. Lists rise strictly; bits may end early, what is missing is unset.
#[derive(Clone, Debug)]
pub(crate) enum Docs<'a> {
    Range(Range<u32>),
    List(Cow<'a, [u32]>),
    Bits(Cow<'a, [u64]>),
}

/// Where bits take no more room than a list of `u32`: one document in this many.
pub(crate) const BITS_FROM: u64 = 32;

/// Words that hold a bit for each of `len` documents.
pub(crate) fn words(len: u32) -> usize {
    len.div_ceil(64) as usize
}

impl<'a> Docs<'a> {
    pub(crate) fn empty() -> Self {
        Self::Range(0..0)
    }

    pub(crate) fn list(docs: &'a [u32]) -> Self {
        Self::List(Cow::Borrowed(docs))
    }

    /// The union of sets that hold `total` documents together, out of `len`.
    pub(crate) fn union<E>(
        len: u32,
        total: u64,
        sets: impl Iterator<Item = Result<Docs<'a>, E>>,
    ) -> Result<Self, E> {
        if total * BITS_FROM < u64::from(len) {
            let mut list = Vec::with_capacity(total as usize);
            for set in sets {
                set?.push_to(&mut list);
            }
            list.sort_unstable();
            list.dedup();
            return Ok(Self::List(list.into()));
        }
        let mut bits = vec![0; words(len)];
        for set in sets {
            set?.set_in(&mut bits);
        }
        Ok(Self::Bits(bits.into()))
    }

    /// What is in both.
    pub(crate) fn intersect(self, other: Docs<'a>) -> Self {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => {
                let (start, end) = (a.start.max(b.start), a.end.min(b.end));
                Self::Range(start..end.max(start))
            }
            (Self::List(list), Self::Range(range)) | (Self::Range(range), Self::List(list)) => {
                Self::List(within(list, &range))
            }
            (Self::Bits(bits), Self::Range(range)) | (Self::Range(range), Self::Bits(bits)) => {
                let mut bits = bits.into_owned();
                clear_range(&mut bits, 0..range.start);
                clear_range(&mut bits, range.end..u32::MAX);
                Self::Bits(bits.into())
            }
            (Self::List(a), Self::List(b)) => {
                let (few, many) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
                let mut rest = &many[..];
                Self::List(few.iter().copied().filter(|doc| gallop(&mut rest, *doc)).collect())
            }
            (Self::List(list), Self::Bits(bits)) | (Self::Bits(bits), Self::List(list)) => {
                Self::List(filter(&list, |doc| has(&bits, doc)).into())
            }
            (Self::Bits(a), Self::Bits(b)) => {
                Self::Bits(a.iter().zip(b.iter()).map(|(a, b)| a & b).collect())
            }
        }
    }

    /// What is in `self` and not in `other`.
    pub(crate) fn subtract(self, other: Docs<'a>) -> Self {
        match (self, other) {
            (kept, Self::Range(range)) if range.is_empty() => kept,
            (kept, Self::List(list)) if list.is_empty() => kept,
            (Self::List(list), Self::Range(range)) => {
                Self::List(filter(&list, |doc| !range.contains(&doc)).into())
            }
            (Self::List(list), Self::Bits(bits)) => Self::List(filter(&list, |doc| !has(&bits, doc)).into()),
            (Self::List(list), Self::List(other)) => {
                let mut rest = &other[..];
                Self::List(list.iter().copied().filter(|doc| !gallop(&mut rest, *doc)).collect())
            }
            (kept, other) => {
                let mut bits = match kept {
                    Self::Bits(bits) => bits.into_owned(),
                    kept => {
                        let mut bits = vec![0; words(kept.end())];
                        kept.set_in(&mut bits);
                        bits
                    }
                };
                other.clear_in(&mut bits);
                Self::Bits(bits.into())
            }
        }
    }

    /// One more than the last document.
    fn end(&self) -> u32 {
        match self {
            Self::Range(range) => range.end,
            Self::List(list) => list.last().map_or(0, |last| last + 1),
            Self::Bits(bits) => u32::try_from(bits.len() * 64).unwrap_or(u32::MAX),
        }
    }

    /// How many there are. Linear in the words of bits.
    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Range(range) => range.end.saturating_sub(range.start),
            Self::List(list) => list.len() as u32,
            Self::Bits(bits) => bits.iter().map(|word| word.count_ones()).sum(),
        }
    }

    /// Calls `each` with every document, rising.
    pub(crate) fn for_each(&self, mut each: impl FnMut(u32)) {
        match self {
            Self::Range(range) => range.clone().for_each(each),
            Self::List(list) => list.iter().copied().for_each(each),
            Self::Bits(bits) => {
                for (index, word) in bits.iter().enumerate() {
                    let mut word = *word;
                    while word != 0 {
                        each(index as u32 * 64 + word.trailing_zeros());
                        word &= word - 1;
                    }
                }
            }
        }
    }

    fn push_to(&self, list: &mut Vec<u32>) {
        match self {
            Self::List(docs) => list.extend_from_slice(docs),
            _ => self.for_each(|doc| list.push(doc)),
        }
    }

    /// As a list.
    pub(crate) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::List(list) => list.into_owned(),
            _ => {
                let mut list = Vec::with_capacity(self.count() as usize);
                self.push_to(&mut list);
                list
            }
        }
    }

    fn set_in(&self, bits: &mut [u64]) {
        match self {
            Self::Bits(other) => bits.iter_mut().zip(other.iter()).for_each(|(word, other)| *word |= other),
            Self::Range(range) => each_word(bits.len(), range, |index, mask| bits[index] |= mask),
            Self::List(list) => {
                for doc in list.iter() {
                    if let Some(word) = bits.get_mut((doc / 64) as usize) {
                        *word |= 1 << (doc % 64);
                    }
                }
            }
        }
    }

    fn clear_in(&self, bits: &mut [u64]) {
        match self {
            Self::Bits(other) => bits.iter_mut().zip(other.iter()).for_each(|(word, other)| *word &= !other),
            Self::Range(range) => clear_range(bits, range.clone()),
            Self::List(list) => {
                for doc in list.iter() {
                    if let Some(word) = bits.get_mut((doc / 64) as usize) {
                        *word &= !(1 << (doc % 64));
                    }
                }
            }
        }
    }
}

fn has(bits: &[u64], doc: u32) -> bool {
    bits.get((doc / 64) as usize).is_some_and(|word| word >> (doc % 64) & 1 == 1)
}

/// Without a branch on what `keep` says: in a set of documents it is as good as random.
fn filter(list: &[u32], keep: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut kept = vec![0; list.len()];
    let mut count = 0;
    for doc in list {
        kept[count] = *doc;
        count += usize::from(keep(*doc));
    }
    kept.truncate(count);
    kept
}

fn within<'a>(list: Cow<'a, [u32]>, range: &Range<u32>) -> Cow<'a, [u32]> {
    let bounds = |list: &[u32]| {
        let start = list.partition_point(|doc| *doc < range.start);
        start..start.max(list.partition_point(|doc| *doc < range.end))
    };
    match list {
        Cow::Borrowed(list) => Cow::Borrowed(&list[bounds(list)]),
        Cow::Owned(list) => Cow::Owned(list[bounds(&list)].to_vec()),
    }
}

fn clear_range(bits: &mut [u64], range: Range<u32>) {
    each_word(bits.len(), &range, |index, mask| bits[index] &= !mask);
}

/// The words that `range` touches, and which of their bits.
fn each_word(words: usize, range: &Range<u32>, mut each: impl FnMut(usize, u64)) {
    let (start, end) = (range.start as usize, (range.end as usize).min(words * 64));
    if start >= end {
        return;
    }
    let (first, last) = (start / 64, (end - 1) / 64);
    for index in first..=last {
        let low = if index == first { u64::MAX << (start % 64) } else { u64::MAX };
        let high = if index == last { u64::MAX >> (63 - (end - 1) % 64) } else { u64::MAX };
        each(index, low & high);
    }
}

/// Moves `rest` to the first document that is not before `doc`, in steps that double; whether it is `doc`.
fn gallop(rest: &mut &[u32], doc: u32) -> bool {
    let mut step = 1;
    while step < rest.len() && rest[step] < doc {
        step *= 2;
    }
    let (from, to) = (step / 2, (step + 1).min(rest.len()));
    let skipped = from + rest[from..to].partition_point(|other| *other < doc);
    *rest = &rest[skipped..];
    rest.first() == Some(&doc)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = Docs<'static>> {
        prop_oneof![
            (0_u32..300, 0_u32..300).prop_map(|(start, count)| Docs::Range(start..start + count)),
            prop::collection::btree_set(0_u32..600, 0..80)
                .prop_map(|set| Docs::List(set.into_iter().collect())),
            prop::collection::vec(any::<u64>(), 0..10).prop_map(|bits| Docs::Bits(bits.into())),
        ]
    }

    fn plain(docs: &Docs<'_>) -> BTreeSet<u32> {
        let list = docs.clone().into_vec();
        assert!(list.is_sorted_by(|a, b| a < b));
        assert_eq!(list.len(), docs.count() as usize);
        list.into_iter().collect()
    }

    proptest! {
        /// Whatever the forms, the answer is that of plain sets.
        #[test]
        fn forms_meet_like_plain_sets(a in set(), b in set(), c in set()) {
            let (x, y, z) = (plain(&a), plain(&b), plain(&c));
            prop_assert_eq!(plain(&a.clone().intersect(b.clone())), &x & &y);
            prop_assert_eq!(plain(&a.clone().subtract(b.clone())), &x - &y);
            prop_assert_eq!(plain(&a.clone().subtract(b.clone()).intersect(c.clone())), &(&x - &y) & &z);
            for total in [1, 640] {
                let sets = [a.clone(), b.clone(), c.clone()].map(Ok::<_, ()>);
                let union = Docs::union(640, total, sets.into_iter()).unwrap();
                prop_assert_eq!(plain(&union), &(&x | &y) | &z);
            }
        }
    }
}
