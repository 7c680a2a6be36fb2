//! Which rules are due together: the rules of a generation in batches, made once for the generation.
//!
//! A batch is what a worker takes at a time: rules of the same `every` and `settle`, none of which waits for another one
//! in it. Rules that need no script, whose time is bounded by what they read, come first and many at a time; others only
//! a few, so that one of them that takes long keeps little waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::generation::Generation;
use crate::order::stages;
use crate::rule::{How, Rule};
use crate::slot::Slot;

const NATIVE_MAX: usize = 128;
const SCRIPTED_MAX: usize = 16;

/// The rules of a generation, as they are due.
#[derive(Debug)]
pub(crate) struct Calendar {
    pub generation: Arc<Generation>,
    pub groups: Vec<Group>,
    pub batches: Vec<Arc<Batch>>,
    /// The slots of the rules that others ask about.
    pub parents: BTreeMap<Arc<str>, Arc<Slot>>,
}

/// Rules that have all their ticks together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub every: Duration,
    pub settle: Duration,
    /// The numbers of its batches, in the order in which they are given out.
    pub batches: Vec<usize>,
    /// How many rules there are in them.
    pub rules: usize,
}

/// Rules that a worker takes at a time.
#[derive(Debug)]
pub(crate) struct Batch {
    pub number: usize,
    pub entries: Vec<Entry>,
    /// The batches that must be done before, where they are due at the same tick.
    pub after: Vec<usize>,
    /// The batches that wait for this one.
    pub before: Vec<usize>,
}

/// A rule in a batch.
#[derive(Debug)]
pub(crate) struct Entry {
    pub slot: Arc<Slot>,
    pub rule: Arc<Rule>,
    /// Whether others ask about it.
    pub is_parent: bool,
}

/// What batches are made by: rules that differ in it are never in the same one. In the order in which batches are given
/// out.
type Kind = (Duration, Duration, usize, bool);

impl Calendar {
    /// The calendar of a generation's rules, each with its slot.
    pub fn new(generation: Arc<Generation>, slots: &BTreeMap<Arc<str>, Arc<Slot>>) -> Self {
        let stages = stages(&generation.rules);
        let named: BTreeSet<&Arc<str>> = generation.rules.values().flat_map(|rule| &rule.after).collect();
        let mut kinds: BTreeMap<Kind, Vec<Entry>> = BTreeMap::new();
        for (id, rule) in &generation.rules {
            let Some(slot) = slots.get(id) else { continue };
            let stage = stages.get(id).copied().unwrap_or_default();
            let entry = Entry { slot: slot.clone(), rule: rule.clone(), is_parent: named.contains(id) };
            kinds.entry((rule.every, rule.settle, stage, !is_native(rule))).or_default().push(entry);
        }
        let (mut batches, mut groups) = (Vec::new(), Vec::<Group>::new());
        for ((every, settle, _, scripted), entries) in kinds {
            if groups.last().is_none_or(|group| (group.every, group.settle) != (every, settle)) {
                groups.push(Group { every, settle, batches: Vec::new(), rules: 0 });
            }
            let Some(group) = groups.last_mut() else { continue };
            group.rules += entries.len();
            for entries in pieces(entries, if scripted { SCRIPTED_MAX } else { NATIVE_MAX }) {
                group.batches.push(batches.len());
                let number = batches.len();
                batches.push(Batch { number, entries, after: Vec::new(), before: Vec::new() });
            }
        }
        join(&mut batches);
        let parents = named.into_iter().filter_map(|id| Some((id.clone(), slots.get(id)?.clone())));
        let parents = parents.collect();
        let batches = batches.into_iter().map(Arc::new).collect();
        Self { generation, groups, batches, parents }
    }
}

/// Whether its evaluation costs what it reads and nothing else.
fn is_native(rule: &Rule) -> bool {
    let is_native = |how: &How| match how {
        How::Reducer(reducer) => reducer.native().is_some(),
        How::Age => true,
    };
    rule.script().is_none()
        && rule.inputs.iter().filter_map(|input| input.value.as_ref()).all(|value| is_native(&value.how))
}

fn pieces(entries: Vec<Entry>, max: usize) -> Vec<Vec<Entry>> {
    let mut pieces = Vec::new();
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        pieces.push(entries.by_ref().take(max).collect());
    }
    pieces
}

/// Finds out which batches wait for which.
fn join(batches: &mut [Batch]) {
    let mut homes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for batch in batches.iter() {
        homes.extend(batch.entries.iter().map(|entry| (entry.rule.id.clone(), batch.number)));
    }
    let mut pairs = BTreeSet::new();
    for batch in batches.iter() {
        let named = batch.entries.iter().flat_map(|entry| &entry.rule.after);
        let first = named.filter_map(|id| homes.get(id).copied()).filter(|home| *home != batch.number);
        pairs.extend(first.map(|first| (first, batch.number)));
    }
    for (first, then) in pairs {
        batches[first].before.push(then);
        batches[then].after.push(first);
    }
}
