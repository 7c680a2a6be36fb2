//! What is known of the live rules over the time of a replay, and what follows for it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Notification, Selector, TimeRange, Timestamp};
use sereno_query::Native;
use sereno_storage::{Late, LateWhat};

use crate::durable::{History, Stretch};
use crate::report::{Event, Inexact, LabelMap, Note, Time};
use crate::rule::{Decision, How, Input, Rule, Value};

/// How far before a replay it is looked whether a rule was there already.
const LOOK_BACK: Duration = Duration::from_secs(86_400);

/// What is known of the live rules over the time of a replay.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// From when on what is kept is complete; `None` if nothing was recorded at all, as for a file that no server runs.
    pub since: Option<Timestamp>,
    /// By rule, ticks that were not evaluated, in order, without overlaps.
    pub gaps: BTreeMap<Arc<str>, Vec<Gap>>,
    /// Samples that came, or were replaced, after ticks had looked at their time.
    pub late: Vec<Late>,
    /// Which generation ran from when on, in order.
    pub generations: Vec<(Timestamp, u64)>,
    /// When the rule itself was another one than it is now: until then.
    pub changed: Vec<Timestamp>,
    /// What was told, in order of (tick, rule, instance).
    pub events: Vec<Event>,
    /// The numbers that episodes had, by instance and the tick that began them.
    pub episodes: BTreeMap<(String, LabelMap), BTreeMap<Timestamp, u64>>,
}

/// Ticks that were not evaluated: none from the one moment to the other, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Recorded {
    /// Reads what the history knows of these rules over a time.
    ///
    /// # Errors
    /// The logs cannot be read.
    pub fn read(history: &History, rules: &[Arc<Rule>], range: TimeRange) -> io::Result<Self> {
        let mut recorded = Self { since: history.begins()?, ..Self::default() };
        let last = range.end - Duration::from_nanos(1);
        let (mut back, mut is_script) = (Duration::ZERO, false);
        for rule in rules {
            back = back.max(reach(rule));
            is_script |= rule.script().is_some();
            let stretches = history.ticks(&rule.id, range.start - LOOK_BACK, last)?;
            recorded.gaps.insert(rule.id.clone(), gaps(&stretches, range));
            let transitions = history.transitions(&rule.id, None, range.start, last)?;
            recorded
                .events
                .extend(transitions.iter().map(|transition| Event::from(&transition.notification)));
        }
        // What a script asks for by itself may lie anywhere before.
        let first = if is_script { Timestamp::MIN } else { range.start - back };
        recorded.late = history.late(first, last)?;
        recorded.generations =
            history.generations()?.into_iter().map(|takeover| (takeover.at, takeover.generation)).collect();
        recorded.events.sort_by(|a, b| (a.tick, &a.rule, &a.instance).cmp(&(b.tick, &b.rule, &b.instance)));
        for event in &recorded.events {
            let numbers = recorded.episodes.entry((event.rule.clone(), event.instance.clone())).or_default();
            numbers.insert(event.fired_at.0, event.episode);
        }
        Ok(recorded)
    }

    /// Whether a tick of a rule was not evaluated.
    pub fn is_gap(&self, rule: &str, tick: Timestamp) -> bool {
        let Some(gaps) = self.gaps.get(rule) else { return false };
        let index = gaps.partition_point(|gap| gap.to < tick);
        gaps.get(index).is_some_and(|gap| gap.from <= tick)
    }

    /// Which generation decided an event, where that is known: the event itself tells, or else the time.
    pub fn generation_of(&self, told: &Notification) -> Option<u64> {
        let at_tick = self.events.partition_point(|event| event.tick.0 < told.tick);
        let recorded = self.events[at_tick..].iter().take_while(|event| event.tick.0 == told.tick);
        let same =
            recorded.filter(|event| event.event_id == told.event_id).map(|event| event.generation).next();
        let index = self.generations.partition_point(|(from, _)| *from <= told.tick);
        same.or_else(|| index.checked_sub(1).map(|index| self.generations[index].1))
    }

    /// The number that the episode of a notification had live. A replay begins to count at its start, so numbers go on
    /// from the first episode that both know.
    pub fn episode_number(&self, told: &Notification) -> u64 {
        if self.episodes.is_empty() {
            return told.episode;
        }
        let key = (told.rule.clone(), crate::report::label_map(&told.instance));
        let number = self.episodes.get(&key).and_then(|known| known.get(&told.fired_at));
        number.copied().unwrap_or(told.episode)
    }

    /// Whether, and why, a replay of these rules over `range` need not give what was recorded.
    pub fn inexact(&self, rules: &[Arc<Rule>], range: TimeRange) -> Option<Inexact> {
        let mut inexact = Inexact::default();
        for late in self.late.iter().filter(|late| rules.iter().any(|rule| concerns(late, rule, range))) {
            inexact.late += late.count;
            inexact.first = Some(Time(late.first)).into_iter().chain(inexact.first).min();
            inexact.last = Some(Time(late.last)).max(inexact.last);
        }
        if let Some(since) = self.since.filter(|since| *since > range.start) {
            inexact.reasons.push(format!("what came late is only known from {} on", Time(since)));
        }
        (inexact.late > 0 || !inexact.reasons.is_empty()).then_some(inexact)
    }

    /// What else is to be known.
    pub fn notes(&self, rules: &[Arc<Rule>], range: TimeRange) -> Vec<Note> {
        let changed = self.changed.iter().filter(|at| range.contains(**at)).map(|at| Note {
            at: Some(Time(*at)),
            text: "the rule changed; before that, too, it is replayed with today's logic".to_owned(),
        });
        let reads_itself = rules.iter().filter(|rule| rule.record.is_some()).map(|rule| Note {
            at: None,
            text: format!("`{}` records a series; a replay writes nothing", rule.id),
        });
        changed.chain(reads_itself).collect()
    }
}

/// Where nothing was evaluated between two ticks that were, and after the last one. Before the first one the rule may not
/// have been there: nothing is left out.
fn gaps(stretches: &[Stretch], range: TimeRange) -> Vec<Gap> {
    let nano = Duration::from_nanos(1);
    let mut evaluated: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.missed.is_none()).collect();
    evaluated.sort_by_key(|stretch| stretch.first);
    let mut gaps = Vec::new();
    let mut last: Option<Timestamp> = None;
    for stretch in evaluated {
        if let Some(last) = last.filter(|last| *last < stretch.first) {
            gaps.push(Gap { from: last + nano, to: stretch.first - nano });
        }
        last = last.max(Some(stretch.last));
    }
    gaps.extend(last.map(|last| Gap { from: last + nano, to: range.end }));
    gaps.retain(|gap| gap.from <= gap.to && gap.to >= range.start);
    gaps
}

/// How far back from a tick a rule reads.
fn reach(rule: &Rule) -> Duration {
    rule.inputs.iter().map(|input| input.window + input.offset).max().unwrap_or_default()
}

/// Whether samples that came late may have changed what a rule said in a time. Too often rather than too seldom.
fn concerns(late: &Late, rule: &Rule, range: TimeRange) -> bool {
    // What came before any of the ticks looked is in all of their windows.
    if late.settled < range.start {
        return false;
    }
    let is_in_a_window = |input: &Input| {
        let begins = range.start - input.offset - input.window;
        late.first < range.end - input.offset && (late.last >= begins || looks_before_its_window(input))
    };
    let read = rule.inputs.iter().any(|input| is_read(&late.what, &input.selector) && is_in_a_window(input));
    // What a script asks for by itself nobody else knows.
    let asked = matches!(rule.decision, Decision::Script(_)) && late.first < range.end;
    read || asked
}

/// Whether the last sample before the window counts too.
fn looks_before_its_window(input: &Input) -> bool {
    let Some(Value { how: How::Reducer(reducer), .. }) = &input.value else { return false };
    !matches!(
        reducer.native(),
        Some(
            Native::Count
                | Native::Sum
                | Native::Mean
                | Native::Min
                | Native::Max
                | Native::First
                | Native::Last
                | Native::Stddev
                | Native::Median
                | Native::Slope
                | Native::Quantile(_)
                | Native::CountAbove(_)
                | Native::CountBelow(_)
        )
    )
}

fn is_read(what: &LateWhat, selector: &Selector) -> bool {
    match what {
        LateWhat::Series(key) => selector.matches(key),
        LateWhat::Metric(name) => selector.name.matches(name),
        LateWhat::Everything => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(1_000 * second)
    }

    #[test]
    fn what_nobody_evaluated_between_two_ticks_is_a_gap() {
        let every = Duration::from_secs(10);
        let ran = |first, last| Stretch { first: at(first), last: at(last), every, missed: None };
        let missed = Stretch { missed: Some("late".into()), ..ran(60, 60) };
        let recorded = Recorded {
            gaps: [("a".into(), gaps(&[ran(20, 50), missed, ran(70, 80)], TimeRange::new(at(0), at(100))))]
                .into(),
            ..Recorded::default()
        };
        let shown: Vec<i64> =
            (0..=100).step_by(10).filter(|second| recorded.is_gap("a", at(*second))).collect();
        assert_eq!(shown, [60, 90, 100], "before the first one the rule may not have been there");
        assert!(!recorded.is_gap("b", at(60)));
    }
}
