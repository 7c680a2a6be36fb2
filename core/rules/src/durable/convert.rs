//! From what the engine has to what is written, and back. What is written may be damaged, or of a later version, in ways
//! that a checksum does not see: then there is no way back, and the reader counts it as damage.

use std::sync::Arc;
use std::time::Duration;

use sereno_model::{Level, Marks, Notification, SeriesKey, Timestamp};
use sereno_storage::{Late, LateWhat};

use super::record::{
    ChangedRule, GenerationRecord, Missed, Pause, Record, SavedInstance, SavedMemory, SavedOwn, TickRecord,
};
use super::wire;
use crate::rule::Labels;
use crate::state::{Data, Episode, Levels, Phase, Saw, Seen, State};

/// No rule has a higher number: one that has is damage.
const NUMBER_MAX: u32 = 1 << 20;

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn level_number(level: Option<Level>) -> u32 {
    match level {
        None => 0,
        Some(Level::Info) => 1,
        Some(Level::Warn) => 2,
        Some(Level::Crit) => 3,
    }
}

fn level(number: u32) -> Option<Level> {
    [Level::Info, Level::Warn, Level::Crit].into_iter().find(|level| level_number(Some(*level)) == number)
}

pub(super) fn levels(bits: u32) -> Levels {
    Levels::from_bits(u8::try_from(bits & 0b111).unwrap_or(0))
}

/// Labels, names and texts.
pub(super) fn put_labels(labels: &Labels) -> Vec<wire::Label> {
    let label = |(name, value): &(String, String)| wire::Label { name: name.clone(), value: value.clone() };
    labels.iter().map(label).collect()
}

/// Back from [`put_labels`].
pub(super) fn take_labels(labels: Vec<wire::Label>) -> Labels {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

/// Rising numbers as pairs: how many are left out, how many follow each other.
fn put_runs(numbers: &[u32]) -> Vec<u32> {
    let mut sorted = numbers.to_vec();
    if !sorted.is_sorted() {
        sorted.sort_unstable();
    }
    let mut runs: Vec<u32> = Vec::new();
    let mut next = 0_u32;
    for number in sorted {
        match number.checked_sub(next) {
            Some(0) if !runs.is_empty() => *runs.last_mut().unwrap_or(&mut 0) += 1,
            Some(left_out) => runs.extend([left_out, 1]),
            // The same again.
            None => continue,
        }
        next = number.saturating_add(1);
    }
    runs
}

fn take_runs(runs: &[u32]) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut next = 0_u32;
    for pair in runs.chunks(2) {
        let [left_out, count] = *pair else { return None };
        let start = next.checked_add(left_out)?;
        next = start.checked_add(count).filter(|next| *next <= NUMBER_MAX)?;
        numbers.extend(start..next);
    }
    Some(numbers)
}

/// What goes into a frame. `first_number` is the number of the first notification in it.
pub(super) fn put(record: &Record, first_number: u64) -> wire::Frame {
    let body = match record {
        Record::Named { number, rule } => {
            wire::Body::Named(wire::Named { number: *number, rule: rule.to_string() })
        }
        Record::Tick(tick) => wire::Body::Tick(put_tick(tick, first_number)),
        Record::Missed(missed) => wire::Body::Missed(wire::Missed {
            rules: put_runs(&missed.rules),
            first: missed.first.nanos(),
            last: missed.last.nanos(),
            reason: missed.reason.clone(),
        }),
        Record::Late(late) => {
            wire::Body::Late(wire::LateSamples { late: late.iter().map(put_late).collect() })
        }
        Record::Generation(generation) => wire::Body::Generation(wire::Generation {
            number: generation.number,
            at: generation.at.nanos(),
            why: generation.why.clone(),
            moved: generation.moved.iter().flat_map(|(from, to)| [*from, *to]).collect(),
            dropped: generation.dropped.clone(),
            first_number,
            notifications: generation.notifications.iter().map(put_notification).collect(),
        }),
        Record::Delivered { to, up_to } => wire::Body::Delivered(put_delivered(to, *up_to)),
        Record::Paused { number, pause } => wire::Body::Paused(put_pause(*number, pause.as_ref())),
    };
    wire::Frame { body: Some(body) }
}

/// Back from [`put`], with the number of the first notification. `None` for a part of a snapshot, and for what cannot
/// be understood.
pub(super) fn take(body: wire::Body) -> Option<(Record, u64)> {
    let record = match body {
        wire::Body::Named(named) if named.number <= NUMBER_MAX => {
            Record::Named { number: named.number, rule: named.rule.into() }
        }
        wire::Body::Tick(tick) => {
            let first = tick.first_number;
            return Some((Record::Tick(take_tick(tick)?), first));
        }
        wire::Body::Missed(missed) => Record::Missed(Missed {
            rules: take_runs(&missed.rules)?,
            first: time(missed.first),
            last: time(missed.last),
            reason: missed.reason,
        }),
        wire::Body::Late(late) => Record::Late(late.late.into_iter().map(take_late).collect::<Option<_>>()?),
        wire::Body::Generation(generation) => {
            let notifications = generation.notifications.into_iter().map(take_notification);
            let record = GenerationRecord {
                number: generation.number,
                at: time(generation.at),
                why: generation.why,
                moved: generation.moved.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
                dropped: generation.dropped,
                notifications: notifications.collect::<Option<_>>()?,
            };
            return Some((Record::Generation(record), generation.first_number));
        }
        wire::Body::Delivered(delivered) => {
            Record::Delivered { to: delivered.to.into(), up_to: delivered.up_to }
        }
        wire::Body::Paused(paused) => Record::Paused { number: paused.number, pause: take_pause(paused) },
        wire::Body::Named(_) | wire::Body::Rule(_) | wire::Body::Outbox(_) | wire::Body::End(_) => {
            return None;
        }
    };
    Some((record, 0))
}

pub(super) fn put_delivered(to: &str, up_to: u64) -> wire::Delivered {
    wire::Delivered { to: to.to_owned(), up_to }
}

pub(super) fn put_pause(number: u32, pause: Option<&Pause>) -> wire::Paused {
    wire::Paused {
        number,
        until: pause.map(|pause| pause.until.nanos()),
        why: pause.map(|pause| pause.why.clone()).unwrap_or_default(),
    }
}

pub(super) fn take_pause(paused: wire::Paused) -> Option<Pause> {
    paused.until.map(|until| Pause { until: time(until), why: paused.why })
}

fn put_tick(tick: &TickRecord, first_number: u64) -> wire::Tick {
    wire::Tick {
        tick: tick.tick.nanos(),
        every: nanos(tick.every),
        settle: nanos(tick.settle),
        generation: tick.generation,
        cut: tick.cut.clone(),
        evaluated: put_runs(&tick.evaluated),
        changed: tick.changed.iter().map(put_changed).collect(),
        first_number: if tick.notifications.is_empty() { 0 } else { first_number },
        notifications: tick.notifications.iter().map(put_notification).collect(),
        evidence: tick.evidence.clone(),
    }
}

fn take_tick(tick: wire::Tick) -> Option<TickRecord> {
    Some(TickRecord {
        tick: time(tick.tick),
        every: Duration::from_nanos(tick.every),
        settle: Duration::from_nanos(tick.settle),
        generation: tick.generation,
        cut: tick.cut,
        evaluated: take_runs(&tick.evaluated)?,
        changed: tick.changed.into_iter().map(take_changed).collect::<Option<_>>()?,
        notifications: tick.notifications.into_iter().map(take_notification).collect::<Option<_>>()?,
        evidence: tick.evidence,
    })
}

fn put_changed(rule: &ChangedRule) -> wire::Changed {
    let instances = rule.instances.iter();
    wire::Changed {
        number: rule.number,
        own: rule.own.as_ref().map(put_own),
        instances: instances.map(|(labels, instance)| put_instance(labels, instance.as_ref())).collect(),
    }
}

pub(super) fn take_changed(rule: wire::Changed) -> Option<ChangedRule> {
    Some(ChangedRule {
        number: Some(rule.number).filter(|number| *number <= NUMBER_MAX)?,
        own: rule.own.map(take_own),
        instances: rule.instances.into_iter().map(take_instance).collect::<Option<_>>()?,
    })
}

pub(super) fn put_own(own: &SavedOwn) -> wire::Own {
    wire::Own { memory: put_memory(&own.memory), failing_ticks: own.failing_ticks }
}

fn take_own(own: wire::Own) -> SavedOwn {
    SavedOwn { memory: take_memory(own.memory), failing_ticks: own.failing_ticks }
}

fn put_memory(memory: &SavedMemory) -> Option<wire::Memory> {
    let SavedMemory { bytes, crc32, version } = memory;
    (*memory != SavedMemory::default()).then(|| wire::Memory {
        bytes: bytes.clone(),
        crc32: *crc32,
        version: *version,
    })
}

fn take_memory(memory: Option<wire::Memory>) -> SavedMemory {
    memory.map_or_else(SavedMemory::default, |memory| SavedMemory {
        bytes: memory.bytes,
        crc32: memory.crc32,
        version: memory.version,
    })
}

pub(super) fn put_instance(labels: &Labels, instance: Option<&SavedInstance>) -> wire::Instance {
    let labels = put_labels(labels);
    let Some(instance) = instance else {
        return wire::Instance { labels, is_forgotten: true, ..wire::Instance::default() };
    };
    wire::Instance {
        labels,
        is_forgotten: false,
        state: Some(put_state(&instance.state)),
        value: instance.value,
        memory: put_memory(&instance.memory),
        seen: instance.seen.map(put_seen),
        seen_at: instance.seen_at.map(Timestamp::nanos),
        unwatched: nanos(instance.unwatched),
        muted_by: instance.muted_by.as_deref().map(str::to_owned),
        mute_is_over: instance.mute_is_over,
        told: instance.told,
    }
}

fn take_instance(instance: wire::Instance) -> Option<(Arc<Labels>, Option<SavedInstance>)> {
    let labels = Arc::new(take_labels(instance.labels));
    if instance.is_forgotten {
        return Some((labels, None));
    }
    let seen = match instance.seen {
        Some(seen) => Some(take_seen(seen)?),
        None => None,
    };
    let saved = SavedInstance {
        state: take_state(instance.state?)?,
        value: instance.value,
        memory: take_memory(instance.memory),
        seen,
        seen_at: instance.seen_at.map(time),
        unwatched: Duration::from_nanos(instance.unwatched),
        muted_by: instance.muted_by.map(Into::into),
        mute_is_over: instance.mute_is_over,
        told: instance.told,
    };
    Some((labels, Some(saved)))
}

pub(super) fn put_seen(seen: Seen) -> wire::Seen {
    let of = |what| wire::Seen { what, when: 0, clear: 0 };
    match seen {
        Seen::Judged { when, clear } => {
            wire::Seen { what: 1, when: when.bits().into(), clear: clear.bits().into() }
        }
        Seen::Beat => of(2),
        Seen::Absent => of(3),
        Seen::Held => of(4),
        Seen::Failed => of(5),
    }
}

pub(super) fn take_seen(seen: wire::Seen) -> Option<Seen> {
    match seen.what {
        1 => Some(Seen::Judged { when: levels(seen.when), clear: levels(seen.clear) }),
        2 => Some(Seen::Beat),
        3 => Some(Seen::Absent),
        4 => Some(Seen::Held),
        5 => Some(Seen::Failed),
        _ => None,
    }
}

pub(super) fn put_state(state: &State) -> wire::State {
    let (phase, pending, clear_for) = match state.phase {
        Phase::Inactive => (0, None, Duration::ZERO),
        Phase::Pending(level) => (1, Some(level), Duration::ZERO),
        Phase::Firing => (2, None, Duration::ZERO),
        Phase::Recovering(clear_for) => (3, None, clear_for),
    };
    let [held_info, held_warn, held_crit] = state.held.map(|held| held.map(nanos));
    wire::State {
        phase,
        pending: level_number(pending),
        clear_for: nanos(clear_for),
        held_info,
        held_warn,
        held_crit,
        episode: state.episode.as_ref().map(put_episode),
        episodes: state.episodes,
        last: state.last.map(Timestamp::nanos),
        saw: match state.saw {
            Saw::Nothing => 0,
            Saw::Data => 1,
            Saw::Verdict => 2,
        },
        newest: state.data.newest.map(Timestamp::nanos),
        interval: state.data.interval.map(nanos),
        read: state.data.read,
        watched_since: state.data.watched_since.map(Timestamp::nanos),
        quiet: nanos(state.data.quiet),
        absent: state.data.absent,
        begins: state.begins.iter().map(|begin| begin.nanos()).collect(),
        flapping: state.flapping,
    }
}

pub(super) fn take_state(state: wire::State) -> Option<State> {
    let phase = match state.phase {
        0 => Phase::Inactive,
        1 => Phase::Pending(level(state.pending)?),
        2 => Phase::Firing,
        3 => Phase::Recovering(Duration::from_nanos(state.clear_for)),
        _ => return None,
    };
    let episode = match state.episode {
        Some(episode) => Some(take_episode(&episode)?),
        None => None,
    };
    // A state that contradicts itself would fire for ever.
    if episode.is_some() != matches!(phase, Phase::Firing | Phase::Recovering(_)) {
        return None;
    }
    let held = [state.held_info, state.held_warn, state.held_crit];
    Some(State {
        phase,
        held: held.map(|held| held.map(Duration::from_nanos)),
        episode,
        episodes: state.episodes,
        last: state.last.map(time),
        saw: match state.saw {
            0 => Saw::Nothing,
            1 => Saw::Data,
            2 => Saw::Verdict,
            _ => return None,
        },
        data: Data {
            newest: state.newest.map(time),
            interval: state.interval.map(Duration::from_nanos),
            read: state.read,
            watched_since: state.watched_since.map(time),
            quiet: Duration::from_nanos(state.quiet),
            absent: state.absent,
        },
        begins: state.begins.into_iter().map(time).collect(),
        flapping: state.flapping,
    })
}

fn put_episode(episode: &Episode) -> wire::Episode {
    wire::Episode {
        level: level_number(Some(episode.level)),
        fired_at: episode.fired_at.nanos(),
        last_word: episode.last_word.nanos(),
        extreme: episode.extreme,
        peak: episode.peak.map(|(value, _)| value),
        peak_at: episode.peak.map_or(0, |(_, tick)| tick.nanos()),
        events: episode.events,
        of_absence: episode.of_absence,
        stale: episode.stale,
    }
}

fn take_episode(episode: &wire::Episode) -> Option<Episode> {
    Some(Episode {
        level: level(episode.level)?,
        fired_at: time(episode.fired_at),
        last_word: time(episode.last_word),
        extreme: episode.extreme,
        peak: episode.peak.map(|value| (value, time(episode.peak_at))),
        events: episode.events,
        of_absence: episode.of_absence,
        stale: episode.stale,
    })
}

pub(super) fn put_notification(told: &Notification) -> wire::Notification {
    wire::Notification {
        event_id: told.event_id.clone(),
        kind: told.kind.as_str().to_owned(),
        rule: told.rule.clone(),
        instance: put_labels(&told.instance),
        level: level_number(Some(told.level)),
        previous: level_number(told.previous),
        value: told.value,
        extreme: told.extreme,
        peak: told.peak.map(|(value, _)| value),
        peak_at: told.peak.map_or(0, |(_, tick)| tick.nanos()),
        samples: told.samples,
        tick: told.tick.nanos(),
        fired_at: told.fired_at.nanos(),
        episode: told.episode,
        message: told.message.clone(),
        reason: told.reason.clone(),
        labels: put_labels(&told.labels),
        runbook: told.runbook.clone(),
        suppressed_by: told.suppressed_by.clone(),
        generation: told.generation,
        stale: told.marks.stale,
        flapping: told.marks.flapping,
        shadow: told.marks.shadow,
        late: told.marks.late,
        undurable: told.marks.undurable,
    }
}

pub(super) fn take_notification(told: wire::Notification) -> Option<Notification> {
    Some(Notification {
        event_id: told.event_id,
        kind: told.kind.parse().ok()?,
        rule: told.rule,
        instance: take_labels(told.instance),
        level: level(told.level)?,
        previous: level(told.previous),
        value: told.value,
        extreme: told.extreme,
        peak: told.peak.map(|value| (value, time(told.peak_at))),
        samples: told.samples,
        tick: time(told.tick),
        fired_at: time(told.fired_at),
        episode: told.episode,
        message: told.message,
        reason: told.reason,
        labels: take_labels(told.labels),
        runbook: told.runbook,
        suppressed_by: told.suppressed_by,
        marks: Marks {
            stale: told.stale,
            flapping: told.flapping,
            shadow: told.shadow,
            late: told.late,
            undurable: told.undurable,
        },
        generation: told.generation,
    })
}

fn put_late(late: &Late) -> wire::Late {
    let (series, metric) = match &late.what {
        LateWhat::Series(key) => (Some(key.canonical().as_bytes().to_vec()), None),
        LateWhat::Metric(metric) => (None, Some(metric.to_string())),
        LateWhat::Everything => (None, None),
    };
    wire::Late {
        series,
        metric,
        first: late.first.nanos(),
        last: late.last.nanos(),
        count: late.count,
        settled: late.settled.nanos(),
    }
}

fn take_late(late: wire::Late) -> Option<Late> {
    let what = match (late.series, late.metric) {
        (Some(series), _) => LateWhat::Series(SeriesKey::from_canonical(&series).ok()?),
        (None, Some(metric)) => LateWhat::Metric(metric.into()),
        (None, None) => LateWhat::Everything,
    };
    Some(Late {
        what,
        first: time(late.first),
        last: time(late.last),
        count: late.count,
        settled: time(late.settled),
    })
}
