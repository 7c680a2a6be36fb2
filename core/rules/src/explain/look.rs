//! From what an evaluation wrote down to what people are shown.

use sereno_model::{Level, TimeRange, Timestamp};
use sereno_query::{Tally, Window};
use sereno_script::{Trace, TraceValue};
use sereno_storage::{ReadError, Series, Snapshot};

use crate::evaluate::{Evidence, Measurement, Truth};
use crate::report::{
    AbsenceClock, Clocks, InputLook, InstanceLook, LevelLook, Number, Seconds, SeriesLook, StateLook,
    Suppressed, Time, TraceLook, label_map,
};
use crate::rule::{How, Input, Labels, Mode, Rule, Variant};
use crate::state::{Levels, Phase, Policy, Seen, State, Then};
use crate::template::number_text;

/// How many series of an input are told.
const SERIES_MAX: usize = 5;
/// How many samples are read to tell them.
const SAMPLES_MAX: u64 = 1_000_000;

/// One instance at one tick.
pub(crate) fn instance(rule: &Rule, evidence: &Evidence, snapshot: Option<&Snapshot>) -> InstanceLook {
    let number = rule.variant_of(&evidence.instance);
    let variant = &rule.variants[number];
    let failed = evidence.seen == Seen::Failed;
    let script = rule.script();
    let inputs = rule.inputs.iter().map(|input| {
        let measured = evidence.inputs.iter().find(|measured| measured.name == input.name);
        let look = of_input(input, evidence.tick);
        let look =
            measured.map_or_else(|| look.clone(), |measured| with_reading(look.clone(), input, measured));
        let series =
            snapshot.map(|snapshot| series_of(rule, input, &evidence.instance, evidence.tick, snapshot));
        InputLook { series: series.unwrap_or_default(), ..look }
    });
    InstanceLook {
        instance: label_map(&evidence.instance),
        tick: Time(evidence.tick),
        variant: u32::try_from(number).unwrap_or(u32::MAX),
        mode: mode_text(variant.mode).to_owned(),
        inputs: inputs.collect(),
        require: rule.require.as_ref().map(|require| require.text.clone()),
        require_holds: rule.require.as_ref().and(evidence.truth.require),
        value_text: rule.value.as_ref().map(|value| value.text.clone()),
        value: evidence.value.map(Number),
        seen: seen_text(evidence.seen).to_owned(),
        script: script.map(|script| script.name.clone()),
        verdict: script.filter(|_| !failed).map(|_| verdict_text(evidence)),
        traces: evidence.traces.iter().map(trace).collect(),
        error: evidence.why.clone().filter(|_| failed),
        levels: levels(variant, evidence.seen, evidence.truth, &evidence.after),
        before: Some(state(&evidence.before, &variant.policy)),
        after: Some(state(&evidence.after, &variant.policy)),
        suppressed: evidence.muted_by.as_ref().map(|by| suppressed(rule, by)),
        would_tell: Vec::new(),
    }
}

fn trace(trace: &Trace) -> TraceLook {
    let value = match &trace.value {
        TraceValue::Number(number) => number_text(*number),
        TraceValue::Text(text) => text.clone(),
        TraceValue::Flag(flag) => flag.to_string(),
        TraceValue::Nothing => "()".to_owned(),
    };
    TraceLook { name: trace.name.to_string(), value }
}

/// What is known of an input without looking at data.
pub(crate) fn of_input(input: &Input, tick: Timestamp) -> InputLook {
    let end = tick - input.offset;
    InputLook {
        name: input.name.to_string(),
        selector: input.selector.to_string(),
        agg: input.value.as_ref().map(|value| value.agg.clone()),
        across: input.value.as_ref().and_then(|value| value.across).map(|across| across.as_str().to_owned()),
        window_seconds: Seconds(input.window),
        offset_seconds: Seconds(input.offset),
        from: Time(end - input.window),
        to: Time(end),
        ..InputLook::default()
    }
}

fn with_reading(look: InputLook, input: &Input, measured: &Measurement) -> InputLook {
    let reading = measured.reading;
    // An age is a value though there is no sample: it is as old as can be seen.
    let is_age = matches!(input.value.as_ref().map(|value| &value.how), Some(How::Age));
    let is_else = !is_age && reading.samples == Some(0) && input.otherwise.is_some();
    InputLook {
        matched: measured.series as u64,
        value: reading.value.map(Number),
        is_else,
        samples: reading.samples,
        newest: reading.newest.map(Time),
        ..look
    }
}

/// The first series of an instance, with what they have in the window. What cannot be read is left out: the evaluation
/// has told of it.
fn series_of(
    rule: &Rule,
    input: &Input,
    instance: &Labels,
    tick: Timestamp,
    snapshot: &Snapshot,
) -> Vec<SeriesLook> {
    let end = tick - input.offset;
    let range = TimeRange::before(end, input.window);
    let found: Result<Vec<Series>, ReadError> = snapshot.at(tick).select(&input.selector, range);
    let own =
        found.unwrap_or_default().into_iter().filter(|series| rule.instance_of(series.key()) == *instance);
    let look = |series: Series| {
        let tally = Tally::new(SAMPLES_MAX, None);
        let window = Window::of(&series, range, &tally);
        SeriesLook {
            series: series.key().to_string(),
            samples: window.count() as u64,
            last: window.last().map(Number),
            last_at: window.last_time().map(Time),
        }
    };
    own.take(SERIES_MAX).map(look).collect()
}

fn levels(variant: &Variant, seen: Seen, truth: Truth, after: &State) -> Vec<LevelLook> {
    let judged = matches!(seen, Seen::Judged { .. });
    variant
        .levels
        .iter()
        .map(|level| {
            let holds = match (&level.when, seen) {
                // A script decides, and this only clocks it.
                (None, Seen::Judged { when, .. }) => Some(when.contains(level.level)),
                (Some(_), _) if judged || truth != Truth::default() => {
                    (!truth.unknown.contains(level.level)).then(|| truth.when.contains(level.level))
                }
                _ => None,
            };
            LevelLook {
                level: level.level.to_string(),
                when: level.when.as_ref().map(|when| when.text.clone()),
                holds,
                clear: level.clear.as_ref().map(|clear| clear.text.clone()),
                is_clear: level.clear.as_ref().filter(|_| judged).map(|_| truth.clear.contains(level.level)),
                held_seconds: after.held[level.level as usize].map(Seconds),
                for_seconds: Seconds(variant.policy.hold[level.level as usize].unwrap_or_default()),
            }
        })
        .collect()
}

/// Where an instance stands.
pub(crate) fn state(state: &State, policy: &Policy) -> StateLook {
    let level = match state.phase {
        Phase::Pending(level) => Some(level),
        _ => state.level(),
    };
    let episode = state.episode.as_ref();
    StateLook {
        state: state.name().to_owned(),
        level: level.map(|level| level.to_string()),
        fired_at: episode.map(|episode| Time(episode.fired_at)),
        episode: state.episodes,
        peak: episode.and_then(|episode| episode.peak).map(|(value, _)| Number(value)),
        peak_at: episode.and_then(|episode| episode.peak).map(|(_, tick)| Time(tick)),
        stale: episode.is_some_and(|episode| episode.stale),
        flapping: state.flapping,
        clocks: clocks(state, policy),
        absence: absence(state, policy),
    }
}

fn clocks(state: &State, policy: &Policy) -> Clocks {
    let mut clocks = Clocks::default();
    match state.phase {
        Phase::Pending(level) => {
            clocks.pending_seconds = state.held[level as usize].map(Seconds);
            clocks.for_seconds = policy.hold[level as usize].map(Seconds);
        }
        Phase::Recovering(clear) => {
            clocks.clear_seconds = Some(Seconds(clear));
            clocks.recover_for_seconds = Some(Seconds(policy.recover_for));
        }
        Phase::Inactive | Phase::Firing => {}
    }
    let reminds = !policy.reminder.is_zero() && state.phase == Phase::Firing;
    let last_word = state.episode.as_ref().filter(|_| reminds).map(|episode| episode.last_word);
    clocks.reminder_at = last_word.map(|last_word| Time(last_word + policy.reminder));
    clocks
}

fn absence(state: &State, policy: &Policy) -> AbsenceClock {
    AbsenceClock {
        newest: state.data.newest.map(Time),
        interval_seconds: state.data.interval.map(Seconds),
        quiet_seconds: Seconds(state.data.quiet),
        patience_seconds: Seconds(state.data.patience(policy)),
        absent: state.data.absent,
        then: then_text(policy.absence.then),
    }
}

fn suppressed(rule: &Rule, by: &str) -> Suppressed {
    let on = rule.suppressed_by.iter().find(|suppression| *suppression.rule == *by);
    Suppressed { by: by.to_owned(), on: on.map(|suppression| suppression.on.clone()).unwrap_or_default() }
}

/// What a script said, as it would write it.
fn verdict_text(evidence: &Evidence) -> String {
    let value = evidence.value.map(number_text);
    let with = |name: &str, parts: &[Option<String>]| {
        let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        format!("{name}({})", parts.join(", "))
    };
    let quoted = |text: &str| format!("{text:?}");
    match evidence.seen {
        Seen::Judged { when: Levels::NONE, .. } => with("ok", &[value]),
        Seen::Judged { when, .. } => {
            with("alert", &[when.highest().map(|level| quoted(level.as_str())), value])
        }
        Seen::Absent => with("absent", &[evidence.why.as_deref().map(quoted)]),
        Seen::Held => with("skip", &[evidence.why.as_deref().map(quoted)]),
        Seen::Beat | Seen::Failed => String::new(),
    }
}

/// What a tick saw, in a word.
pub(crate) const fn seen_text(seen: Seen) -> &'static str {
    match seen {
        Seen::Judged { .. } => "judged",
        Seen::Beat => "beat",
        Seen::Absent => "absent",
        Seen::Held => "held",
        Seen::Failed => "failed",
    }
}

/// The highest level whose condition a tick saw hold.
pub(crate) fn level_of(seen: Seen) -> Option<Level> {
    match seen {
        Seen::Judged { when, .. } => when.highest(),
        _ => None,
    }
}

pub(crate) const fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Shadow => "shadow",
        Mode::Off => "off",
    }
}

pub(crate) fn then_text(then: Then) -> String {
    match then {
        Then::Keep => "keep".to_owned(),
        Then::Resolve => "resolve".to_owned(),
        Then::Alert(level) => format!("alert {level}"),
    }
}
