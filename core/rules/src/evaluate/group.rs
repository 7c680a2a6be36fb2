//! Which series belong to which instance: looked up anew only when a series came or went.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::{SeriesKey, TimeRange, Timestamp};
use sereno_query::{QueryError, Tally, prefetch};
use sereno_storage::{ReadError, Selection, Series, Snapshot};

use super::read::Account;
use crate::rule::{By, Input, Labels, Rule};

/// What a rule's evaluations remember for their own sake. Losing it costs time and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// The rule that it is of: where it lies, and what it says. An edited rule is another one.
    of: Option<(usize, u32)>,
    /// One for each input.
    selections: Vec<Selection>,
    grouping: Grouping,
    pub(super) account: Account,
}

/// The instances that the series make, in order of their labels.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    pub groups: Vec<Group>,
    /// How many series each input has matched.
    pub matched: Vec<usize>,
    /// Whether the groups are other ones than at the last tick.
    pub changed: bool,
    /// Whether a group is no instance yet, because its first sample lies after the last tick.
    pub waits: bool,
}

/// What there is of one instance.
#[derive(Debug)]
pub(super) struct Group {
    pub labels: Arc<Labels>,
    /// Whether every input that needs series has one: only then it makes an instance that was not known before.
    pub joined: bool,
    /// For each input, which of its series are meant.
    pub members: Vec<Members>,
    /// The series that its value is written to, and which rule it was made for.
    pub recorded: Option<SeriesKey>,
}

/// Some of the series of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// Neighbours, which is the usual case: from, and how many.
    Run(usize, usize),
    /// Any others, by their numbers.
    Spread(Vec<usize>),
}

/// The instances that the series make, with the series themselves.
pub(super) struct Found<'a> {
    pub grouping: &'a mut Grouping,
    /// The series of each input, in order of their keys.
    pub series: Vec<&'a [Series]>,
    pub account: &'a mut Account,
}

impl Cache {
    /// Finds the series of a rule at a tick, and their groups.
    pub(super) fn find<'a>(
        &'a mut self,
        rule: &Rule,
        snapshot: &Snapshot,
        tick: Timestamp,
    ) -> Result<Found<'a>, ReadError> {
        let mut changed = self.adopt(rule);
        // Until all inputs have been looked up, it cannot be told from the last tick's groups what has changed.
        let of = self.of.take();
        let Self { of: known, selections, grouping, account } = self;
        let mut series = Vec::with_capacity(selections.len());
        for (input, selection) in rule.inputs.iter().zip(selections) {
            let (found, other) = selection.series(snapshot, range(input, tick))?;
            changed |= other;
            series.push(found);
        }
        *known = of;
        grouping.changed = changed;
        if changed {
            grouping.matched = series.iter().map(|series| series.len()).collect();
            grouping.groups = groups(rule, &series);
        }
        Ok(Found { grouping, series, account })
    }

    /// Reads what the rule needs of `range` into memory, for whoever evaluates it at many ticks of one snapshot.
    pub fn prefetch(
        &mut self,
        rule: &Rule,
        snapshot: &Snapshot,
        range: TimeRange,
        tally: &Tally,
    ) -> Result<(), QueryError> {
        self.adopt(rule);
        for (input, selection) in rule.inputs.iter().zip(&mut self.selections) {
            let reach = TimeRange::new(range.start - input.offset - input.window, range.end - input.offset);
            prefetch(selection, snapshot, reach, tally)?;
        }
        Ok(())
    }

    /// Makes it the cache of `rule`. Gives whether it was one of another.
    fn adopt(&mut self, rule: &Rule) -> bool {
        let of = Some((std::ptr::from_ref(rule).addr(), rule.text_crc32));
        if self.of == of {
            return false;
        }
        let selections = rule.inputs.iter().map(|input| Selection::new(input.selector.clone())).collect();
        let account = std::mem::take(&mut self.account);
        *self = Self { of, selections, grouping: Grouping::default(), account };
        true
    }

    /// Lets go of the snapshot.
    pub(super) fn release(&mut self) {
        self.selections.iter_mut().for_each(Selection::release);
    }
}

/// What an input reads at a tick.
pub(super) fn range(input: &Input, tick: Timestamp) -> TimeRange {
    TimeRange::before(tick - input.offset, input.window)
}

fn groups(rule: &Rule, series: &[&[Series]]) -> Vec<Group> {
    let inputs = rule.inputs.len();
    let mut found: BTreeMap<Labels, Vec<Vec<usize>>> = BTreeMap::new();
    for (input, series) in series.iter().enumerate() {
        for (number, series) in series.iter().enumerate() {
            let members =
                found.entry(rule.instance_of(series.key())).or_insert_with(|| vec![Vec::new(); inputs]);
            members[input].push(number);
        }
    }
    for labels in always(rule) {
        found.entry(labels).or_insert_with(|| vec![Vec::new(); inputs]);
    }
    // Without an input that needs series, any of them makes an instance.
    let needed: Vec<bool> = rule.inputs.iter().map(|input| input.otherwise.is_none()).collect();
    let any = !needed.contains(&true);
    let group = |(labels, members): (Labels, Vec<Vec<usize>>)| {
        let joined = any || needed.iter().zip(&members).all(|(needed, series)| !needed || !series.is_empty());
        let members = members.into_iter().map(Members::of).collect();
        Group { joined, labels: Arc::new(labels), members, recorded: None }
    };
    let mut groups: Vec<Group> = found.into_iter().map(group).collect();
    for group in groups.iter_mut().filter(|group| rule.expect.instances.contains(&group.labels)) {
        group.joined = true;
    }
    groups
}

/// The instances that there are whatever the series: those that are expected, and the one of all where missing data has
/// a value.
pub(super) fn always(rule: &Rule) -> Vec<Labels> {
    let mut labels = rule.expect.instances.clone();
    if is_one_of_all(rule)
        && !rule.inputs.is_empty()
        && rule.inputs.iter().all(|input| input.otherwise.is_some())
    {
        labels.push(Labels::new());
    }
    labels
}

/// Whether the rule has one instance, of all its series.
pub(super) fn is_one_of_all(rule: &Rule) -> bool {
    match &rule.by {
        By::Unsaid => true,
        By::Labels(labels) => labels.is_empty(),
        By::Series => false,
    }
}

impl Members {
    fn of(numbers: Vec<usize>) -> Self {
        let Some(first) = numbers.first().copied() else { return Self::Run(0, 0) };
        match numbers.iter().enumerate().all(|(index, number)| *number == first + index) {
            true => Self::Run(first, numbers.len()),
            false => Self::Spread(numbers),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Run(_, count) => *count,
            Self::Spread(numbers) => numbers.len(),
        }
    }

    /// Copies of the series.
    pub fn collect(&self, all: &[Series]) -> Vec<Series> {
        let mut room = Vec::new();
        match self {
            Self::Run(..) => self.gather(all, &mut room).to_vec(),
            Self::Spread(numbers) => numbers.iter().filter_map(|number| all.get(*number).cloned()).collect(),
        }
    }

    /// The series, side by side; `room` is for those that are not.
    pub fn gather<'a>(&self, all: &'a [Series], room: &'a mut Vec<Series>) -> &'a [Series] {
        match self {
            Self::Run(from, count) => all.get(*from..from + count).unwrap_or_default(),
            Self::Spread(numbers) => {
                room.clear();
                room.extend(numbers.iter().filter_map(|number| all.get(*number).cloned()));
                room
            }
        }
    }
}
