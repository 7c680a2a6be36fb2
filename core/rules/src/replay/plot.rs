//! What was compared, over time, in as many buckets as a terminal has columns.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{TimeRange, Timestamp};

use crate::generation::Generation;
use crate::instance::RuleState;
use crate::report::{
    Bucket, Episode, InstancePlot, LabelMap, Number, Plot, ReplayReport, Seconds, Span, Time, label_map,
};
use crate::rule::Labels;
use crate::state::Worse;

/// How many buckets there are at most.
const BUCKETS: u32 = 240;
/// How many instances are followed, so that those that turn out to be noisy can be drawn.
const FOLLOWED_MAX: usize = 1_000;
/// How many are drawn.
const DRAWN_MAX: usize = 8;

/// Takes down values as time passes.
#[derive(Debug)]
pub(super) struct Canvas {
    range: TimeRange,
    step: Duration,
    /// In order of (rule, instance); looked through in the order in which instances come.
    tracks: Vec<Track>,
    /// Where the next instance is expected.
    cursor: usize,
}

#[derive(Debug)]
struct Track {
    rule: Arc<str>,
    labels: Arc<Labels>,
    buckets: Vec<Bucket>,
}

impl Canvas {
    pub fn new(range: TimeRange) -> Self {
        let length = range.end.since(range.start);
        let step = (length / BUCKETS).max(Duration::from_secs(1));
        // Whole seconds read better.
        let step = Duration::from_secs(step.as_secs() + u64::from(step.subsec_nanos() > 0));
        Self { range, step, tracks: Vec::new(), cursor: 0 }
    }

    /// Takes down what the instances of a rule saw at a tick.
    pub fn paint(&mut self, rule: &Arc<str>, state: &RuleState, tick: Timestamp, only: &Labels) {
        let number = tick.since(self.range.start).as_nanos() / self.step.as_nanos().max(1);
        let begins = self.range.start + self.step * u32::try_from(number).unwrap_or(u32::MAX);
        for (labels, instance) in &state.instances {
            if !only.iter().all(|label| labels.contains(label)) {
                continue;
            }
            let Some(brief) = instance.recent.iter().next_back().filter(|brief| brief.tick == tick) else {
                continue;
            };
            let Some(value) = brief.value else { continue };
            if let Some(track) = self.track(rule, labels) {
                paint(&mut track.buckets, begins, value);
            }
        }
    }

    fn track(&mut self, rule: &Arc<str>, labels: &Arc<Labels>) -> Option<&mut Track> {
        let is_it = |track: &Track| track.rule == *rule && track.labels == *labels;
        // Mostly the one after the last: instances come in the same order at every tick.
        let next = if self.cursor < self.tracks.len() { self.cursor } else { 0 };
        let index = match self.tracks.get(next).is_some_and(is_it) {
            true => next,
            false => {
                let found =
                    self.tracks.binary_search_by(|track| (&track.rule, &track.labels).cmp(&(rule, labels)));
                match found {
                    Ok(index) => index,
                    Err(_) if self.tracks.len() >= FOLLOWED_MAX => return None,
                    Err(index) => {
                        let track = Track { rule: rule.clone(), labels: labels.clone(), buckets: Vec::new() };
                        self.tracks.insert(index, track);
                        index
                    }
                }
            }
        };
        self.cursor = index + 1;
        self.tracks.get_mut(index)
    }

    /// The plot, the noisiest instances first.
    pub fn finish(self, report: &ReplayReport, generation: &Generation) -> Plot {
        let rank = |track: &Track| {
            let labels = label_map(&track.labels);
            let noisy = report.noisiest.iter();
            let place = noisy.clone().position(|noisy| noisy.rule == *track.rule && noisy.instance == labels);
            place.unwrap_or(usize::MAX)
        };
        let mut tracks = self.tracks;
        tracks.sort_by_cached_key(rank);
        tracks.truncate(DRAWN_MAX);
        let rule = report.rules.first().and_then(|id| generation.rules.get(id.as_str()));
        let limit = rule.and_then(|rule| rule.variants[0].limit);
        let instances = tracks.into_iter().map(|track| {
            let instance = label_map(&track.labels);
            let firing = spans(&report.episodes, &track.rule, &instance, self.range);
            InstancePlot { rule: track.rule.to_string(), instance, buckets: track.buckets, firing }
        });
        Plot {
            step: Seconds(self.step),
            limit: limit.map(|limit| Number(limit.number)),
            below: limit.is_some_and(|limit| limit.worse == Worse::Lower),
            instances: instances.collect(),
        }
    }
}

fn paint(buckets: &mut Vec<Bucket>, begins: Timestamp, value: f64) {
    match buckets.last_mut().filter(|bucket| bucket.at == Time(begins)) {
        Some(bucket) => {
            bucket.min = Number(bucket.min.0.min(value));
            bucket.max = Number(bucket.max.0.max(value));
            bucket.last = Number(value);
        }
        None => {
            let value = Number(value);
            buckets.push(Bucket { at: Time(begins), min: value, max: value, last: value });
        }
    }
}

/// When an instance fired, as far as the range reaches.
fn spans(episodes: &[Episode], rule: &str, instance: &LabelMap, range: TimeRange) -> Vec<Span> {
    let own = episodes.iter().filter(|episode| episode.rule == rule && episode.instance == *instance);
    own.map(|episode| Span {
        level: episode.level.clone(),
        from: episode.fired_at.max(Time(range.start)),
        to: episode.ended_at.unwrap_or(Time(range.end)),
    })
    .collect()
}
