//! A set of places in a batch: mostly one run of them, many where a batch went to several writers or was refused in part.
//!
//! Invariant: spans rise and do not overlap. Each knows the generation of the head that its samples went to, for only
//! what is in segments may outlive the log (see [`Memory::settle`](super::Memory::settle)); 0 stands for that, or for what
//! an earlier process logged.

use crate::bytes::{Reader, put_varint};

/// Places `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: u32,
    pub last: u32,
    pub generation: u32,
}

impl Span {
    /// Whether `next`, which lies behind, continues it.
    fn joins(self, next: Self) -> bool {
        self.generation == next.generation && self.last.checked_add(1) == Some(next.first)
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spans {
    /// Nearly always, and then nothing is allocated.
    One(Span),
    Many(Vec<Span>),
}

impl Default for Spans {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Spans {
    /// The places from `first` on, `count` of them, at least one.
    pub(crate) fn run(first: u32, count: u32, generation: u32) -> Self {
        Self::One(Span { first, last: first.saturating_add(count.saturating_sub(1)), generation })
    }

    pub(crate) fn as_slice(&self) -> &[Span] {
        match self {
            Self::One(span) => std::slice::from_ref(span),
            Self::Many(spans) => spans,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn contains(&self, place: u32) -> bool {
        let spans = self.as_slice();
        let next = spans.partition_point(|span| span.last < place);
        spans.get(next).is_some_and(|span| span.first <= place)
    }

    /// Whether any place is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let others = other.as_slice();
        self.as_slice().iter().any(|span| {
            let next = others.partition_point(|other| other.last < span.first);
            others.get(next).is_some_and(|other| other.first <= span.last)
        })
    }

    /// Adds a place; cheap if it lies behind all others.
    pub(crate) fn push(&mut self, place: u32, generation: u32) {
        self.add(Span { first: place, last: place, generation });
    }

    /// Adds what `other` has more. Linear in both, and constant if `other` lies behind.
    pub(crate) fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (self.as_slice(), other.as_slice());
        let (Some(end), Some(next)) = (mine.last(), theirs.first()) else {
            if mine.is_empty() {
                self.clone_from(other);
            }
            return;
        };
        if end.last < next.first {
            theirs.iter().for_each(|span| self.add(*span));
            return;
        }
        let mut all = mine.to_vec();
        theirs.iter().for_each(|span| subtract(*span, mine, &mut all));
        // Stable: it finds the two rising runs, and merges them.
        all.sort_by_key(|span| span.first);
        *self = all.into_iter().collect();
    }

    /// Calls the spans of this generation and of earlier ones those of an earlier process.
    pub(crate) fn settle(&mut self, generation: u32) {
        match self {
            Self::One(span) if span.generation <= generation => span.generation = 0,
            Self::Many(spans) if spans.iter().any(|span| (1..=generation).contains(&span.generation)) => {
                let settled = |span: &Span| match span.generation <= generation {
                    true => Span { generation: 0, ..*span },
                    false => *span,
                };
                *self = spans.iter().map(settled).collect();
            }
            _ => {}
        }
    }

    /// Writes the spans of generation 0: `count`, then for each what lies between it and the one before, and its places
    /// but one.
    pub(crate) fn put_settled(&self, out: &mut Vec<u8>) {
        self.put(out, |span| span.generation == 0);
    }

    /// Writes all spans, whatever their generation.
    pub(crate) fn put_all(&self, out: &mut Vec<u8>) {
        self.put(out, |_| true);
    }

    fn put(&self, out: &mut Vec<u8>, which: impl Fn(&Span) -> bool) {
        let chosen = || self.as_slice().iter().filter(|span| which(span));
        put_varint(out, chosen().count() as u64);
        let mut end = 0;
        for span in chosen() {
            put_varint(out, u64::from(span.first) - end);
            put_varint(out, u64::from(span.last - span.first));
            end = u64::from(span.last) + 1;
        }
    }

    /// Reads spans back, as those of generation 0.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        // Each takes two bytes at least.
        let count = reader.length(reader.0.len() / 2)?;
        let mut spans = Self::default();
        let mut end = 0_u64;
        for _ in 0..count {
            let first = end.checked_add(reader.varint()?)?;
            let last = first.checked_add(reader.varint()?)?;
            end = last.checked_add(1)?;
            spans.add(Span {
                first: u32::try_from(first).ok()?,
                last: u32::try_from(last).ok()?,
                generation: 0,
            });
        }
        Some(spans)
    }

    /// Adds a span; cheap if it lies behind all others.
    fn add(&mut self, span: Span) {
        match self {
            Self::One(end) if end.joins(span) => end.last = span.last,
            Self::One(end) if end.last < span.first => *self = Self::Many(vec![*end, span]),
            Self::Many(spans) if spans.is_empty() => *self = Self::One(span),
            Self::Many(spans) if spans.last().is_some_and(|end| end.last < span.first) => {
                match spans.last_mut().filter(|end| end.joins(span)) {
                    Some(end) => end.last = span.last,
                    None => spans.push(span),
                }
            }
            _ => self.merge(&Self::One(span)),
        }
    }
}

impl FromIterator<Span> for Spans {
    /// Of spans that rise and do not overlap.
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut all = Self::default();
        spans.into_iter().for_each(|span| all.add(span));
        all
    }
}

/// Pushes the parts of a span that no span of `taken` covers.
fn subtract(span: Span, taken: &[Span], out: &mut Vec<Span>) {
    let mut rest = Some(span);
    let first = taken.partition_point(|other| other.last < span.first);
    for other in taken[first..].iter().take_while(|other| other.first <= span.last) {
        let Some(left) = rest else { return };
        if left.first < other.first {
            out.push(Span { last: other.first - 1, ..left });
        }
        let next = other.last.checked_add(1).filter(|next| *next <= left.last);
        rest = next.map(|first| Span { first, ..left });
    }
    out.extend(rest);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn places(spans: &Spans) -> Vec<u32> {
        spans.as_slice().iter().flat_map(|span| span.first..=span.last).collect()
    }

    fn is_well_formed(spans: &Spans) -> bool {
        let spans = spans.as_slice();
        spans.iter().all(|span| span.first <= span.last)
            && spans.windows(2).all(|pair| pair[0].last < pair[1].first && !pair[0].joins(pair[1]))
    }

    fn of(places: &[u32], generation: u32) -> Spans {
        let mut spans = Spans::default();
        places.iter().for_each(|place| spans.push(*place, generation));
        spans
    }

    proptest! {
        #[test]
        fn spans_are_a_set(
            steps in proptest::collection::vec((proptest::collection::vec(0_u32..60, 0..20), 0_u32..3), 1..6),
            settled in 0_u32..3,
        ) {
            let (mut spans, mut model) = (Spans::default(), BTreeSet::new());
            for (places, generation) in &steps {
                prop_assert_eq!(spans.meets(&of(places, 0)), places.iter().any(|place| model.contains(place)));
                spans.merge(&of(places, *generation));
                model.extend(places.iter().copied());
                prop_assert!(is_well_formed(&spans), "{spans:?}");
            }
            prop_assert_eq!(places(&spans), model.iter().copied().collect::<Vec<_>>());
            for place in 0..61 {
                prop_assert_eq!(spans.contains(place), model.contains(&place));
            }
            let mut bytes = Vec::new();
            spans.put_all(&mut bytes);
            let mut reader = Reader(&bytes);
            let read = Spans::take(&mut reader).unwrap();
            prop_assert_eq!((places(&read), reader.0.len()), (places(&spans), 0));
            let kept: Vec<u32> = spans.as_slice().iter().filter(|span| span.generation <= settled)
                .flat_map(|span| span.first..=span.last).collect();
            spans.settle(settled);
            prop_assert!(is_well_formed(&spans), "{spans:?}");
            let mut bytes = Vec::new();
            spans.put_settled(&mut bytes);
            prop_assert_eq!(places(&Spans::take(&mut Reader(&bytes)).unwrap()), kept);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(spans) = Spans::take(&mut Reader(&bytes)) {
                prop_assert!(is_well_formed(&spans));
            }
        }
    }

    #[test]
    fn the_last_place_is_one_too() {
        let mut spans = of(&[u32::MAX], 0);
        spans.merge(&Spans::run(u32::MAX - 3, 4, 1));
        assert_eq!((spans.contains(u32::MAX), spans.contains(u32::MAX - 3)), (true, true));
        let mut bytes = Vec::new();
        spans.put_all(&mut bytes);
        assert_eq!(places(&Spans::take(&mut Reader(&bytes)).unwrap()).len(), 4);
    }
}
