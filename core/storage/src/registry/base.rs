//! The settled part of the label index: immutable, compact, numbered in order of the keys, so that what a selection
//! finds is in that order already. It is replaced as a whole by a merge with what came since.
//!
//! Memory: 24 bytes a series for key and id, 4 bytes a posting (a bit a series where a value is on more than one in 32),
//! 21 bytes and the text a distinct value.

use std::convert::Infallible;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use sereno_model::SeriesKey;

use super::SeriesId;
use super::fresh::Fresh;
use crate::labels::{self, BITS_FROM, Docs, Terms};

/// Series in order of their keys, with an index of their labels.
#[derive(Debug, Default)]
pub(super) struct Base {
    keys: Vec<SeriesKey>,
    ids: Vec<SeriesId>,
    /// In order of the names; the first is the metric name's, whose label name is empty.
    labels: Vec<Label>,
    /// The values of all labels in order, one after the other; value `t` ends at `text_ends[t]`.
    texts: Vec<u8>,
    text_ends: Vec<usize>,
    forms: Vec<Form>,
    /// Where the documents of value `t` are: an index of `lists` or `bits`, or the first of a range.
    places: Vec<usize>,
    counts: Vec<u32>,
    lists: Vec<u32>,
    bits: Vec<u64>,
}

#[derive(Debug)]
struct Label {
    name: Arc<str>,
    values: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Range,
    List,
    Bits,
}

impl Base {
    pub(super) fn len(&self) -> u32 {
        self.keys.len() as u32
    }

    /// How many values the series of this index have for a label.
    pub(super) fn value_count(&self, label: &str) -> usize {
        self.label(label).map_or(0, |label| label.values.len())
    }

    pub(super) fn knows(&self, label: &str, value: &str) -> bool {
        self.value(label, value).is_some()
    }

    /// Key and id of some documents, in their order.
    pub(super) fn series(&self, docs: &[u32]) -> Vec<(SeriesKey, SeriesId)> {
        let mut found = Vec::with_capacity(docs.len());
        for few in docs.chunks(TOUCHED_AHEAD) {
            touch(few.iter().map(|doc| &self.keys[*doc as usize]));
            let series = |doc: &u32| (self.keys[*doc as usize].clone(), self.ids[*doc as usize]);
            found.extend(few.iter().map(series));
        }
        found
    }

    fn label(&self, name: &str) -> Option<&Label> {
        let at = self.labels.binary_search_by(|label| (*label.name).cmp(name)).ok()?;
        self.labels.get(at)
    }

    fn value(&self, label: &str, value: &str) -> Option<usize> {
        let values = self.label(label)?.values.clone();
        let at = self.first_not_before(values.clone(), value.as_bytes());
        (at < values.end && self.text(at) == value.as_bytes()).then_some(at)
    }

    fn first_not_before(&self, values: Range<usize>, text: &[u8]) -> usize {
        let (mut low, mut high) = (values.start, values.end);
        while low < high {
            let middle = low.midpoint(high);
            if self.text(middle) < text { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn text(&self, value: usize) -> &[u8] {
        let start = value.checked_sub(1).map_or(0, |before| self.text_ends[before]);
        &self.texts[start..self.text_ends[value]]
    }

    fn docs_of(&self, value: usize) -> Docs<'_> {
        let (place, count) = (self.places[value], self.counts[value]);
        match self.forms[value] {
            Form::Range => Docs::Range(place as u32..place as u32 + count),
            Form::List => Docs::list(&self.lists[place..place + count as usize]),
            Form::Bits => Docs::Bits(self.bits[place..place + labels::words(self.len())].into()),
        }
    }
}

/// Keys lie scattered in memory, and counting a reference waits for the memory each time. Reading some of them first
/// lets the waits overlap: 10,000 cold keys are cloned in a third of the time.
const TOUCHED_AHEAD: usize = 32;

fn touch<'a>(keys: impl Iterator<Item = &'a SeriesKey>) {
    black_box(keys.fold(0_u8, |all, key| all ^ key.canonical().as_bytes().first().copied().unwrap_or(0)));
}

impl Terms for Base {
    type Error = Infallible;
    type Posting = usize;

    fn len(&self) -> u32 {
        self.len()
    }

    fn find(&self, label: &str, value: &str) -> Result<Option<usize>, Infallible> {
        Ok(self.value(label, value))
    }

    fn find_where(
        &self,
        label: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<usize>, Infallible> {
        let Some(label) = self.label(label) else { return Ok(Vec::new()) };
        let from = self.first_not_before(label.values.clone(), prefix.as_bytes());
        let begin =
            (from..label.values.end).take_while(|value| self.text(*value).starts_with(prefix.as_bytes()));
        Ok(begin.filter(|value| str::from_utf8(self.text(*value)).is_ok_and(keep)).collect())
    }

    fn count(&self, value: &usize) -> u32 {
        self.counts[*value]
    }

    fn docs<'a>(&'a self, value: &'a usize) -> Result<Docs<'a>, Infallible> {
        Ok(self.docs_of(*value))
    }

    fn keys_instead(&self, label: &str) -> u32 {
        // A key must be brought from memory and taken apart; a value lies beside the one before it.
        (self.value_count(label) / 2) as u32
    }

    fn check(&self, docs: &[u32], keep: &dyn Fn(&SeriesKey) -> bool) -> Result<Vec<u32>, Infallible> {
        Ok(docs.iter().copied().filter(|doc| keep(&self.keys[*doc as usize])).collect())
    }
}

/// Stands for a document that is gone.
const GONE: u32 = u32::MAX;

impl Base {
    /// A new base of what `base` and `fresh` hold, without the series for which `dead` holds.
    ///
    /// Cost: linear in series and postings, about 0.2 µs a series.
    pub(super) fn merge(base: &Self, fresh: &Fresh, dead: impl Fn(SeriesId) -> bool) -> Self {
        let mut merged = Self::default();
        let (old, new) = merged.merge_series(base, fresh, dead);
        let mut fresh_values = fresh.values_in_order().peekable();
        for name in label_names(base, fresh) {
            let start = merged.forms.len();
            merged.merge_values(&name, base, &old, &mut fresh_values, &new);
            let values = start..merged.forms.len();
            if !values.is_empty() {
                merged.labels.push(Label { name, values });
            }
        }
        merged.shrink();
        merged
    }

    /// Takes over keys and ids; gives the new number of each document of `base` and of `fresh`.
    fn merge_series(
        &mut self,
        base: &Self,
        fresh: &Fresh,
        dead: impl Fn(SeriesId) -> bool,
    ) -> (Vec<u32>, Vec<u32>) {
        let (mut old, mut new) = (Vec::with_capacity(base.keys.len()), vec![GONE; fresh.len() as usize]);
        let total = base.keys.len() + new.len();
        self.keys.reserve_exact(total);
        self.ids.reserve_exact(total);
        let mut push = |key: &SeriesKey, id: SeriesId| {
            if dead(id) {
                return GONE;
            }
            self.keys.push(key.clone());
            self.ids.push(id);
            self.keys.len() as u32 - 1
        };
        let mut before = 0;
        for doc in fresh.docs_in_order() {
            let (key, id) = fresh.series(doc);
            let until = before + base.position_after(before, key);
            copy_range(base, before..until, &mut old, &mut push);
            before = until;
            new[doc as usize] = push(key, id);
        }
        copy_range(base, before..base.keys.len(), &mut old, &mut push);
        (old, new)
    }

    /// How many documents from `start` on come before `key`; found in steps that double.
    fn position_after(&self, start: usize, key: &SeriesKey) -> usize {
        let rest = &self.keys[start..];
        let mut step = 1;
        while step < rest.len() && rest[step] < *key {
            step *= 2;
        }
        let (from, to) = (step / 2, (step + 1).min(rest.len()));
        from + rest[from..to].partition_point(|other| other < key)
    }

    fn merge_values<'a>(
        &mut self,
        name: &Arc<str>,
        base: &Self,
        old: &[u32],
        fresh: &mut std::iter::Peekable<impl Iterator<Item = (&'a str, &'a str, &'a [u32])>>,
        new: &[u32],
    ) {
        let mut docs = Vec::new();
        let mut settled = base.label(name).map_or(0..0, |label| label.values.clone()).peekable();
        loop {
            let next_fresh = fresh.peek().filter(|(label, ..)| *label == &**name).copied();
            let next_settled = settled.peek().copied();
            let order = match (next_settled, next_fresh) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(value), Some((_, text, _))) => base.text(value).cmp(text.as_bytes()),
            };
            let mut text: &[u8] = b"";
            docs.clear();
            if let Some(value) = next_settled.filter(|_| order.is_le()) {
                settled.next();
                text = base.text(value);
                base.docs_of(value).for_each(|doc| docs.push(old[doc as usize]));
            }
            if let Some((_, value, postings)) = next_fresh.filter(|_| order.is_ge()) {
                fresh.next();
                text = value.as_bytes();
                docs.extend(postings.iter().map(|doc| new[*doc as usize]));
                docs.sort_unstable();
            }
            docs.retain(|doc| *doc != GONE);
            self.push_value(text, &docs);
        }
    }

    fn push_value(&mut self, text: &[u8], docs: &[u32]) {
        let (Some(first), Some(last)) = (docs.first(), docs.last()) else { return };
        let count = docs.len() as u32;
        let (form, place) = if last - first == count - 1 {
            (Form::Range, *first as usize)
        } else if u64::from(count) * BITS_FROM > u64::from(self.len()) {
            let place = self.bits.len();
            self.bits.resize(place + labels::words(self.len()), 0);
            docs.iter().for_each(|doc| self.bits[place + (doc / 64) as usize] |= 1 << (doc % 64));
            (Form::Bits, place)
        } else {
            self.lists.extend_from_slice(docs);
            (Form::List, self.lists.len() - docs.len())
        };
        self.texts.extend_from_slice(text);
        self.text_ends.push(self.texts.len());
        self.forms.push(form);
        self.places.push(place);
        self.counts.push(count);
    }

    fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.text_ends.shrink_to_fit();
        self.forms.shrink_to_fit();
        self.places.shrink_to_fit();
        self.counts.shrink_to_fit();
        self.lists.shrink_to_fit();
        self.bits.shrink_to_fit();
    }
}

fn copy_range(
    base: &Base,
    range: Range<usize>,
    old: &mut Vec<u32>,
    push: &mut impl FnMut(&SeriesKey, SeriesId) -> u32,
) {
    let (keys, ids) = (&base.keys[range.clone()], &base.ids[range]);
    for (keys, ids) in keys.chunks(TOUCHED_AHEAD).zip(ids.chunks(TOUCHED_AHEAD)) {
        touch(keys.iter());
        old.extend(keys.iter().zip(ids).map(|(key, id)| push(key, *id)));
    }
}

/// The names of all labels of both, in order.
fn label_names(base: &Base, fresh: &Fresh) -> Vec<Arc<str>> {
    let mut names: Vec<_> =
        base.labels.iter().map(|label| label.name.clone()).chain(fresh.label_names()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
