//! Why an instance does not fire, or why it does, in a sentence.

use std::time::Duration;

use sereno_runtime::units::format_duration;

use crate::report::{InstanceLook, LevelLook, Number, Seconds, StateLook};
use crate::template::number_text;

/// A sentence without a full stop.
pub(super) fn why(look: &InstanceLook) -> String {
    let because = because(look);
    let muted = look.suppressed.as_ref().map(|by| format!("; `{}` mutes it, so sinks are not told", by.by));
    format!("{because}{}", muted.unwrap_or_default())
}

fn because(look: &InstanceLook) -> String {
    let Some(after) = &look.after else { return "nothing is known of its state".to_owned() };
    if look.mode == "off" {
        return "an override turns it off".to_owned();
    }
    match after.state.as_str() {
        "firing" => firing(look, after),
        "pending" => format!(
            "it does not fire yet: {} has held for {} of {}",
            holding(look),
            seconds(after.clocks.pending_seconds),
            seconds(after.clocks.for_seconds)
        ),
        "recovering" => format!(
            "it still fires: everything has been clear for {} of {}",
            seconds(after.clocks.clear_seconds),
            seconds(after.clocks.recover_for_seconds)
        ),
        _ => format!("it does not fire: {}", inactive(look, after)),
    }
}

fn firing(look: &InstanceLook, after: &StateLook) -> String {
    let since = after.fired_at.map(|at| format!(" since {at}")).unwrap_or_default();
    let level = after.level.as_deref().unwrap_or_default();
    let fires = format!("it fires at {level}{since}");
    match look.seen.as_str() {
        "judged" if look.levels.iter().any(|level| level.holds == Some(true)) => {
            format!("{fires}: {} holds{}", holding(look), value(look))
        }
        "judged" if look.verdict.is_some() => {
            format!("{fires}: the script says {}", look.verdict.clone().unwrap_or_default())
        }
        "judged" => format!("{fires}, and what clears it does not hold yet{}", value(look)),
        "failed" => format!("{fires}, and stays so because its evaluation fails: {}", error(look)),
        "held" => format!("{fires}, and stays so because {}", held(look)),
        _ if after.absence.absent => format!("{fires}: {}", quiet(after)),
        _ => format!("{fires}, and stays so because there is no data at this tick"),
    }
}

fn inactive(look: &InstanceLook, after: &StateLook) -> String {
    match look.seen.as_str() {
        "failed" => format!("its evaluation fails: {}", error(look)),
        "held" => held(look),
        "absent" if look.inputs.iter().all(|input| input.matched == 0) && !look.inputs.is_empty() => {
            "no series of it is there any more".to_owned()
        }
        "absent" => format!(
            "there is no data; {}, and after {} that means `{}`",
            quiet(after),
            seconds(Some(after.absence.patience_seconds)),
            after.absence.then
        ),
        "beat" => format!("samples come; {}", quiet(after)),
        _ => match (&look.verdict, look.levels.as_slice()) {
            (Some(verdict), _) => format!("the script says {verdict}"),
            (None, []) => "the rule compares nothing".to_owned(),
            (None, levels) => format!("{} not hold{}", all_of(levels), value(look)),
        },
    }
}

fn held(look: &InstanceLook) -> String {
    match (&look.require, look.require_holds, &look.verdict) {
        (Some(require), Some(false), _) => format!("`require: {require}` does not hold"),
        (Some(require), None, _) => format!("something is missing in `require: {require}`"),
        (_, _, Some(verdict)) => format!("the script says {verdict}"),
        _ => "something is missing that its conditions need".to_owned(),
    }
}

/// The condition that holds, of the highest level.
fn holding(look: &InstanceLook) -> String {
    let level = look.levels.iter().rev().find(|level| level.holds == Some(true));
    match (level.and_then(|level| level.when.as_ref()), &look.verdict) {
        (Some(when), _) => format!("`{when}`"),
        (None, Some(verdict)) => format!("the script's {verdict}"),
        (None, None) => "the condition".to_owned(),
    }
}

/// `` `v >= 80` does`` or `` neither `v >= 80` nor `v >= 95` does``.
fn all_of(levels: &[LevelLook]) -> String {
    let texts: Vec<String> =
        levels.iter().filter_map(|level| level.when.as_ref()).map(|when| format!("`{when}`")).collect();
    match texts.as_slice() {
        [] => "the condition does".to_owned(),
        [one] => format!("{one} does"),
        [all @ .., last] => format!("{} and {last} do", all.join(", ")),
    }
}

fn value(look: &InstanceLook) -> String {
    look.value.map(|Number(value)| format!("; the value is {}", number_text(value))).unwrap_or_default()
}

fn quiet(after: &StateLook) -> String {
    match after.absence.newest {
        Some(newest) => {
            let quiet = seconds(Some(after.absence.quiet_seconds));
            format!("the newest sample is of {newest}, {quiet} ago by what was observed")
        }
        None => "no sample has been seen".to_owned(),
    }
}

fn error(look: &InstanceLook) -> String {
    let text = look.error.as_deref().unwrap_or("nobody knows why");
    text.lines().next().unwrap_or(text).to_owned()
}

fn seconds(seconds: Option<Seconds>) -> String {
    let Seconds(duration) = seconds.unwrap_or_default();
    // Nanoseconds are of no interest here.
    format_duration(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}
