//! The young part of the label index: series in the order of their creation, until a merge settles them.
//!
//! Only ever added to. So a reader that remembers how many series there were sees that state for ever, though it holds
//! the lock only for moments: what came later has higher numbers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::{DefaultHashBuilder, HashTable};
use sereno_model::SeriesKey;

use super::SeriesId;
use crate::labels::{Docs, Terms};

/// Series in order of creation, with an index of their labels.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    docs: Vec<(SeriesKey, SeriesId)>,
    labels: Vec<Label>,
    by_name: HashMap<Arc<str>, u32>,
    values: Vec<Value>,
    /// Indices of `values` by label and text.
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Label {
    name: Arc<str>,
    values: Vec<u32>,
    /// Values that the older parts of the index did not know.
    new_values: usize,
}

#[derive(Debug)]
struct Value {
    label: u32,
    text: Arc<str>,
    postings: Postings,
}

/// Most values are on few series; those need no allocation.
#[derive(Debug)]
enum Postings {
    Few { count: u8, docs: [u32; FEW] },
    Many(Vec<u32>),
}

const FEW: usize = 4;

impl Postings {
    fn push(&mut self, doc: u32) {
        match self {
            Self::Many(docs) => docs.push(doc),
            Self::Few { count, docs } => match docs.get_mut(usize::from(*count)) {
                Some(place) => {
                    *place = doc;
                    *count += 1;
                }
                None => *self = Self::Many(docs.iter().copied().chain([doc]).collect()),
            },
        }
    }

    fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few { count, docs } => &docs[..usize::from(*count)],
            Self::Many(docs) => docs,
        }
    }
}

impl Fresh {
    pub(super) fn len(&self) -> u32 {
        self.docs.len() as u32
    }

    /// Adds a series. `known` tells whether the older parts of the index have a value of a label.
    pub(super) fn push(&mut self, key: &SeriesKey, id: SeriesId, known: impl Fn(&str, &str) -> bool) {
        let doc = self.len();
        for (label, text) in std::iter::once(("", key.name())).chain(key.labels()) {
            let hash = self.hasher.hash_one((label, text));
            match self.value(hash, label, text) {
                Some(value) => self.values[value as usize].postings.push(doc),
                None => self.add_value(hash, label, text, doc, &known),
            }
        }
        self.docs.push((key.clone(), id));
    }

    fn add_value(&mut self, hash: u64, name: &str, text: &str, doc: u32, known: impl Fn(&str, &str) -> bool) {
        let label = self.by_name.get(name).copied().unwrap_or_else(|| self.add_label(name));
        let value = self.values.len() as u32;
        let entry = &mut self.labels[label as usize];
        entry.values.push(value);
        entry.new_values += usize::from(!known(name, text));
        let mut postings = Postings::Few { count: 0, docs: [0; FEW] };
        postings.push(doc);
        self.values.push(Value { label, text: text.into(), postings });
        let (values, labels, hasher) = (&self.values, &self.labels, &self.hasher);
        self.by_text.insert_unique(hash, value, |value| {
            let value = &values[*value as usize];
            hasher.hash_one((&*labels[value.label as usize].name, &*value.text))
        });
    }

    fn add_label(&mut self, name: &str) -> u32 {
        let (label, name) = (self.labels.len() as u32, Arc::<str>::from(name));
        self.by_name.insert(name.clone(), label);
        self.labels.push(Label { name, values: Vec::new(), new_values: 0 });
        label
    }

    fn value(&self, hash: u64, label: &str, text: &str) -> Option<u32> {
        let same = |value: &u32| {
            let value = &self.values[*value as usize];
            *value.text == *text && *self.labels[value.label as usize].name == *label
        };
        self.by_text.find(hash, same).copied()
    }

    fn label(&self, name: &str) -> Option<&Label> {
        self.labels.get(*self.by_name.get(name)? as usize)
    }

    pub(super) fn knows(&self, label: &str, text: &str) -> bool {
        self.value(self.hasher.hash_one((label, text)), label, text).is_some()
    }

    /// How many values of a label the older parts of the index do not know.
    pub(super) fn new_value_count(&self, label: &str) -> usize {
        self.label(label).map_or(0, |label| label.new_values)
    }

    pub(super) fn series(&self, doc: u32) -> (&SeriesKey, SeriesId) {
        let (key, id) = &self.docs[doc as usize];
        (key, *id)
    }

    pub(super) fn docs_in_order(&self) -> Vec<u32> {
        let mut docs: Vec<u32> = (0..self.len()).collect();
        docs.sort_unstable_by(|a, b| self.docs[*a as usize].0.cmp(&self.docs[*b as usize].0));
        docs
    }

    pub(super) fn label_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.labels.iter().map(|label| label.name.clone())
    }

    /// Label name, value and documents, in order of the names, then of the values.
    pub(super) fn values_in_order(&self) -> impl Iterator<Item = (&str, &str, &[u32])> {
        let mut labels: Vec<&Label> = self.labels.iter().collect();
        labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        labels.into_iter().flat_map(|label| {
            let mut values: Vec<&Value> =
                label.values.iter().map(|value| &self.values[*value as usize]).collect();
            values.sort_unstable_by(|a, b| a.text.cmp(&b.text));
            values.into_iter().map(|value| (&*label.name, &*value.text, value.postings.as_slice()))
        })
    }
}

/// What a selection sees of a young part: its first `len` series.
#[derive(Debug)]
pub(super) struct FreshView {
    fresh: Arc<RwLock<Fresh>>,
    len: u32,
}

impl FreshView {
    pub(super) fn new(fresh: Arc<RwLock<Fresh>>) -> Self {
        let len = read(&fresh).len();
        Self { fresh, len }
    }

    /// Key and id of some documents, in their order.
    pub(super) fn series(&self, docs: &[u32]) -> Vec<(SeriesKey, SeriesId)> {
        let fresh = read(&self.fresh);
        docs.iter().map(|doc| fresh.docs[*doc as usize].clone()).collect()
    }
}

pub(super) fn read(fresh: &RwLock<Fresh>) -> RwLockReadGuard<'_, Fresh> {
    fresh.read().unwrap_or_else(PoisonError::into_inner)
}

impl Terms for FreshView {
    type Error = Infallible;
    /// An index of the values, and how many documents it has.
    type Posting = (u32, u32);

    fn len(&self) -> u32 {
        self.len
    }

    fn find(&self, label: &str, value: &str) -> Result<Option<(u32, u32)>, Infallible> {
        let fresh = read(&self.fresh);
        let found = fresh.value(fresh.hasher.hash_one((label, value)), label, value);
        Ok(found.map(|value| (value, fresh.values[value as usize].postings.as_slice().len() as u32)))
    }

    fn find_where(
        &self,
        label: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<(u32, u32)>, Infallible> {
        // Patterns are slow: they are tried on a copy, while series can be created.
        let copies: Vec<(Arc<str>, (u32, u32))> = {
            let fresh = read(&self.fresh);
            let values = fresh.label(label).map_or(&[][..], |label| &label.values);
            let copy = |index: &u32| {
                let value = &fresh.values[*index as usize];
                let begins = value.text.starts_with(prefix);
                begins.then(|| (value.text.clone(), (*index, value.postings.as_slice().len() as u32)))
            };
            values.iter().filter_map(copy).collect()
        };
        Ok(copies.into_iter().filter(|(text, _)| keep(text)).map(|(_, posting)| posting).collect())
    }

    fn count(&self, posting: &(u32, u32)) -> u32 {
        posting.1
    }

    fn docs<'a>(&'a self, (value, _): &'a (u32, u32)) -> Result<Docs<'a>, Infallible> {
        let fresh = read(&self.fresh);
        let docs = fresh.values[*value as usize].postings.as_slice();
        let seen = docs.partition_point(|doc| *doc < self.len);
        Ok(Docs::List(docs[..seen].to_vec().into()))
    }

    fn keys_instead(&self, label: &str) -> u32 {
        read(&self.fresh).label(label).map_or(0, |label| label.values.len() as u32) / 2
    }

    fn check(&self, docs: &[u32], keep: &dyn Fn(&SeriesKey) -> bool) -> Result<Vec<u32>, Infallible> {
        let keys = self.series(docs);
        Ok(docs.iter().zip(keys).filter(|(_, (key, _))| keep(key)).map(|(doc, _)| *doc).collect())
    }
}
