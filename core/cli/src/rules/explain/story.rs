//! The story of an explanation, top down: what was read, the value, the levels, the state, what muted it, what was told.

use std::io::{self, Write};

use sereno_rules::report::{
    Event, Explanation, InputLook, InstanceLook, LevelLook, Recent, Seconds, StateLook,
};

use crate::alerts::color;
use crate::console::{Color, Console, printable};
use crate::rules::words::{at, clock, instance, number, span, spark, time, truth};

/// How many series of an input are named, and how many events of the past.
const SERIES_MAX: usize = 3;
const HISTORY_MAX: usize = 5;
/// Before what a line tells, there is what it is about, in so many columns.
const MARGIN: usize = 9;

pub(super) fn tell(explanation: &Explanation, console: &mut Console) -> io::Result<()> {
    let look = &explanation.instance;
    let mut story = Story { console };
    story.head(explanation)?;
    for (index, input) in look.inputs.iter().enumerate() {
        story.input(if index == 0 { "reads" } else { "" }, input)?;
    }
    story.value(look)?;
    for (index, level) in look.levels.iter().enumerate() {
        story.line(if index == 0 { "levels" } else { "" }, &level_text(level))?;
    }
    story.state(look)?;
    story.told(explanation)?;
    story.recent(&explanation.recent)?;
    story.history(&explanation.history)?;
    if !explanation.why.is_empty() {
        story.line("why", &explanation.why)?;
    }
    Ok(())
}

struct Story<'a> {
    console: &'a mut Console,
}

impl Story<'_> {
    /// What is told may be anybody's words.
    fn line(&mut self, about: &str, text: &str) -> io::Result<()> {
        let about = format!("{about:<MARGIN$}");
        let about = if self.console.color { Color::Grey.paint(&about) } else { about };
        writeln!(self.console.out, "{}", format!("{about}{}", printable(text)).trim_end())
    }

    fn head(&mut self, explanation: &Explanation) -> io::Result<()> {
        let Explanation { rule, path, line, health, generation, source, instance: look, .. } = explanation;
        let mode = if look.mode.is_empty() || look.mode == "live" { "" } else { &format!(", {}", look.mode) };
        let variant = match look.variant {
            0 => String::new(),
            number => format!(", override {number}"),
        };
        let name = instance(rule, &look.instance);
        let place = format!("{path}:{line}, generation {generation}, {health}{mode}{variant}");
        writeln!(self.console.out, "{name}  {}", printable(&place))?;
        let source = match source.as_str() {
            "recorded" => "as it was recorded",
            "live" => "as it is now",
            "rerun" => "evaluated again over what is stored now",
            other => other,
        };
        self.line("tick", &format!("{}, {source}", at(look.tick)))?;
        match &explanation.inexact {
            Some(why) => self.line("inexact", &format!("this need not be what was seen then: {why}")),
            None => Ok(()),
        }
    }

    fn input(&mut self, about: &str, input: &InputLook) -> io::Result<()> {
        let agg = input.agg.as_deref().unwrap_or("samples of");
        let across = input.across.as_ref().map_or(String::new(), |across| format!(" across {across}"));
        let offset = match input.offset_seconds.0.is_zero() {
            true => String::new(),
            false => format!(" offset {}", span(input.offset_seconds)),
        };
        let window = format!("{}{offset}", span(input.window_seconds));
        let (from, to) = (clock(input.from), clock(input.to));
        let what =
            format!("{} = {agg}({}){across} over {window}, [{from}, {to})", input.name, input.selector);
        self.line(about, &what)?;
        let found = match (input.samples, input.newest) {
            _ if input.matched == 0 => ", no series matches".to_owned(),
            (Some(samples), Some(newest)) => {
                format!(" from {} series, {samples} samples, the newest at {}", input.matched, at(newest))
            }
            (Some(samples), None) => format!(" from {} series, {samples} samples", input.matched),
            (None, _) => format!(" from {} series", input.matched),
        };
        let value = match input.is_else {
            true => format!("{} by `else`", number(input.value)),
            false => number(input.value),
        };
        self.line("", &format!("  {value}{found}"))?;
        for series in input.series.iter().take(SERIES_MAX).filter(|_| input.matched > 1) {
            let last = number(series.last);
            self.line("", &format!("    {}  {} samples, last {last}", series.series, series.samples))?;
        }
        let more = (input.matched as usize).saturating_sub(SERIES_MAX.min(input.series.len()));
        if input.matched > 1 && !input.series.is_empty() && more > 0 {
            self.line("", &format!("    and {more} more"))?;
        }
        Ok(())
    }

    fn value(&mut self, look: &InstanceLook) -> io::Result<()> {
        if let Some(require) = &look.require {
            self.line("require", &format!("{require}  {}", truth(look.require_holds)))?;
        }
        if let Some(text) = &look.value_text {
            self.line("value", &format!("{text} = {}", number(look.value)))?;
        }
        if let Some(script) = &look.script {
            let verdict = look.verdict.as_deref().unwrap_or("no verdict");
            self.line("script", &format!("{script} says {verdict}"))?;
        }
        for (index, trace) in look.traces.iter().enumerate() {
            let about = if index == 0 { "traces" } else { "" };
            self.line(about, &format!("{} = {}", trace.name, trace.value))?;
        }
        if let Some(error) = &look.error {
            self.line("error", error)?;
        }
        match look.seen.as_str() {
            "" | "judged" => Ok(()),
            "absent" => self.line("seen", "absent: there is no data"),
            "held" => self.line("seen", "held: no verdict at this tick, and the state stands"),
            "failed" => self.line("seen", "failed: the state stands"),
            other => self.line("seen", other),
        }
    }

    fn state(&mut self, look: &InstanceLook) -> io::Result<()> {
        let Some(after) = &look.after else { return self.line("state", "not known") };
        let (before, after_text) = (look.before.as_ref().map(state_text), state_text(after));
        let changed = before.as_ref().is_some_and(|before| *before != after_text);
        match before.filter(|_| changed) {
            Some(before) => self.line("state", &format!("{before} -> {after_text}"))?,
            None => self.line("state", &after_text)?,
        }
        for text in clocks(after) {
            self.line("", &text)?;
        }
        if let Some(muted) = &look.suppressed {
            let on = match muted.on.is_empty() {
                true => String::new(),
                false => format!(", which agrees in {}", muted.on.join(", ")),
            };
            self.line("muted", &format!("by {}{on}: sinks are not told", muted.by))?;
        }
        Ok(())
    }

    fn told(&mut self, explanation: &Explanation) -> io::Result<()> {
        let to = match explanation.told.is_empty() {
            true => String::new(),
            false => format!("  ({})", explanation.told.join(", ")),
        };
        for event in &explanation.events {
            self.line("told", &format!("{}{to}", event_text(event)))?;
        }
        for event in &explanation.instance.would_tell {
            self.line("would", &format!("tell {}", event_text(event)))?;
        }
        Ok(())
    }

    fn recent(&mut self, recent: &[Recent]) -> io::Result<()> {
        let (Some(first), Some(last)) = (recent.first(), recent.last()) else { return Ok(()) };
        let columns = self.console.width.saturating_sub(MARGIN + 2);
        let values: Vec<_> = recent.iter().map(|tick| tick.value.map(|value| value.0)).collect();
        let bars = spark(&values, columns, self.console.utf8);
        let levels: String = recent[recent.len().saturating_sub(columns)..].iter().map(mark).collect();
        self.line("recent", &bars)?;
        if levels.chars().any(|c| c != ' ') {
            self.line("", &levels)?;
        }
        let text = format!("{} ticks, {} to {}", recent.len(), clock(first.tick), clock(last.tick));
        self.line("", &format!("{text}; i w c: the level that held, ? absent, = held, ! failed"))
    }

    fn history(&mut self, history: &[Event]) -> io::Result<()> {
        for (index, event) in history.iter().rev().take(HISTORY_MAX).enumerate() {
            let text = format!("{} {}", at(event.tick), event_text(event));
            let about = format!("{:<MARGIN$}", if index == 0 { "before" } else { "" });
            let (about, text) = match self.console.color {
                true => (Color::Grey.paint(&about), color(&event.level).paint(&printable(&text))),
                false => (about, printable(&text).into_owned()),
            };
            writeln!(self.console.out, "{about}{text}")?;
        }
        Ok(())
    }
}

fn level_text(level: &LevelLook) -> String {
    let when = level.when.as_deref().unwrap_or("as the script says");
    let mut text = format!("{:<4} {when}  {}", level.level, truth(level.holds));
    if !level.for_seconds.0.is_zero() {
        let must = span(level.for_seconds);
        text += &match level.held_seconds {
            Some(held) => format!(", held {} of {must}", span(held)),
            None => format!(", must for {must}"),
        };
    }
    if let Some(clear) = &level.clear {
        text += &format!("; clear {clear}  {}", truth(level.is_clear));
    }
    text
}

/// `firing crit since 2026-…, episode 3, peak 99 at 08:00:10`.
fn state_text(state: &StateLook) -> String {
    let mut text = state.state.clone();
    if let Some(level) = &state.level {
        text += &format!(" {level}");
    }
    if let Some(fired_at) = state.fired_at {
        text += &format!(" since {}, episode {}", at(fired_at), state.episode);
    }
    if let Some(peak) = state.peak {
        text += &format!(", peak {} at {}", number(Some(peak)), time(state.peak_at));
    }
    text += if state.stale { ", no data" } else { "" };
    text + if state.flapping { ", flapping" } else { "" }
}

/// What it waits for.
fn clocks(state: &StateLook) -> Vec<String> {
    let clocks = &state.clocks;
    let of = |passed: Option<Seconds>, of: Option<Seconds>| {
        passed.map(|passed| format!("{} of {}", span(passed), of.map_or_else(|| "0s".to_owned(), span)))
    };
    let mut lines = Vec::new();
    lines.extend(of(clocks.pending_seconds, clocks.for_seconds).map(|text| format!("pending {text}")));
    lines.extend(of(clocks.clear_seconds, clocks.recover_for_seconds).map(|text| format!("clear {text}")));
    lines.extend(clocks.reminder_at.map(|at_time| format!("next reminder at {}", at(at_time))));
    let absence = &state.absence;
    if absence.newest.is_some() || absence.absent {
        let every =
            absence.interval_seconds.map_or(String::new(), |every| format!(", one every {}", span(every)));
        let quiet = format!("quiet {} of {}", span(absence.quiet_seconds), span(absence.patience_seconds));
        let then = if absence.absent { format!(", absent: {}", absence.then) } else { String::new() };
        lines.push(format!("data: the newest at {}{every}, {quiet}{then}", time(absence.newest)));
    }
    lines
}

fn event_text(event: &Event) -> String {
    let reason = event.reason.as_ref().map_or(String::new(), |reason| format!(", {reason}"));
    let message = if event.message.is_empty() { String::new() } else { format!(" \"{}\"", event.message) };
    format!("{} {}{reason}{message}", event.kind, event.level)
}

/// A tick in one character.
fn mark(tick: &Recent) -> char {
    match (tick.seen.as_str(), tick.level.as_deref().and_then(|level| level.chars().next())) {
        ("absent", _) => '?',
        ("held", _) => '=',
        ("failed", _) => '!',
        (_, Some(level)) => level,
        _ => ' ',
    }
}

#[cfg(test)]
mod tests;
