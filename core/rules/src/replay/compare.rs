//! Two runs over the same time: what the one told and the other did not, and who was sooner.

use std::collections::BTreeMap;

use super::episodes::Tracker;
use super::{Request, by_instance};
use crate::report::{Comparison, Episode, Event, LabelMap, Number, ReplayReport, Time};

/// A replay beside what was recorded live.
pub(super) fn with_recorded(here: &ReplayReport, request: &Request<'_>) -> Comparison {
    let wanted = |event: &&Event| {
        let tick = event.tick.0;
        request.range.contains(tick)
            && request.rules.contains(event.rule.as_str())
            && request.instance.iter().all(|(label, value)| event.instance.get(label) == Some(value))
    };
    let events: Vec<Event> = request.recorded.events.iter().filter(wanted).cloned().collect();
    let mut tracker = Tracker::new(request.range);
    for event in &events {
        if let Some(told) = event.to_notification() {
            tracker.note(&told, None);
        }
    }
    let tracked = tracker.finish();
    let first_difference = first_difference(&here.events, &events);
    Comparison {
        with: "recorded".into(),
        identical: first_difference.is_none(),
        first_difference,
        ..of_episodes(&here.episodes, tracked.episodes, tracked.totals, here.end)
    }
}

/// A replay beside the replay of another version of the same rules.
pub(crate) fn with_replay(here: &ReplayReport, there: &ReplayReport) -> Comparison {
    let first_difference = first_difference(&here.events, &there.events);
    Comparison {
        with: "replay".into(),
        identical: first_difference.is_none(),
        first_difference,
        ..of_episodes(&here.episodes, there.episodes.clone(), there.totals.clone(), here.end)
    }
}

fn of_episodes(
    here: &[Episode],
    there: Vec<Episode>,
    totals: crate::report::Totals,
    end: Time,
) -> Comparison {
    let mut others: BTreeMap<(String, LabelMap), Vec<(Episode, bool)>> = BTreeMap::new();
    for episode in there {
        others.entry((episode.rule.clone(), episode.instance.clone())).or_default().push((episode, false));
    }
    let mut comparison = Comparison { totals, ..Comparison::default() };
    let mut leads = Vec::new();
    for episode in here {
        let key = (episode.rule.clone(), episode.instance.clone());
        let candidates = others.get_mut(&key).map(Vec::as_mut_slice).unwrap_or_default();
        let overlapping = candidates.iter_mut().filter(|(other, _)| overlap(episode, other, end));
        let mut met = false;
        for (other, taken) in overlapping {
            // The first of this run against the first of the other one; further ones of either only overlap.
            if !met && !*taken {
                leads.push(signed_seconds(episode.fired_at, other.fired_at));
            }
            (met, *taken) = (true, true);
        }
        match met {
            true => comparison.both += 1,
            false => comparison.only_here.push(episode.clone()),
        }
    }
    let alone = others.into_values().flatten().filter(|(_, taken)| !taken);
    comparison.only_there = alone.map(|(episode, _)| episode).collect();
    comparison
        .only_there
        .sort_by(|a, b| (a.fired_at, &a.rule, &a.instance).cmp(&(b.fired_at, &b.rule, &b.instance)));
    leads.sort_by(f64::total_cmp);
    comparison.median_lead_seconds = leads.get(leads.len().saturating_sub(1) / 2).copied().map(Number);
    comparison
}

fn overlap(one: &Episode, other: &Episode, end: Time) -> bool {
    let ends = |episode: &Episode| episode.ended_at.unwrap_or(end);
    one.fired_at <= ends(other) && other.fired_at <= ends(one)
}

/// How much earlier the one is.
fn signed_seconds(one: Time, other: Time) -> f64 {
    (other.0.nanos() as f64 - one.0.nanos() as f64) / 1e9
}

/// The first event, in order of time, in which two runs differ; what only the time of telling decides is not looked at.
fn first_difference(here: &[Event], there: &[Event]) -> Option<String> {
    let (left, right) = (by_instance(here), by_instance(there));
    let mut first: Option<(Time, String)> = None;
    let mut note = |at: Time, text: String| {
        if first.as_ref().is_none_or(|(known, _)| at < *known) {
            first = Some((at, text));
        }
    };
    let none = Vec::new();
    for key in left.keys().chain(right.keys()) {
        let (left, right) = (left.get(key).unwrap_or(&none), right.get(key).unwrap_or(&none));
        let pairs = left.iter().zip(right).find(|(left, right)| comparable(left) != comparable(right));
        match (pairs, left.len().cmp(&right.len())) {
            (Some((left, right)), _) => {
                note(left.tick.min(right.tick), format!("{} instead of {}", shown(left), shown(right)))
            }
            (None, std::cmp::Ordering::Greater) => {
                let event = left[right.len()];
                note(event.tick, format!("{}, which was not recorded", shown(event)));
            }
            (None, std::cmp::Ordering::Less) => {
                let event = right[left.len()];
                note(event.tick, format!("{} was recorded, and is missing here", shown(event)));
            }
            (None, std::cmp::Ordering::Equal) => {}
        }
    }
    first.map(|(_, text)| text)
}

/// An event without what says only how it was told, as bytes: NaN is NaN here.
fn comparable(event: &Event) -> String {
    shown(&Event { late: false, undurable: false, ..event.clone() })
}

fn shown(event: &Event) -> String {
    // Texts, numbers and maps of texts: there is nothing that could fail to become JSON.
    serde_json::to_string(event).unwrap_or_default()
}
