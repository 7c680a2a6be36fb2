//! A replay on a terminal: how values went and when it fired, the episodes, the totals, and the difference.

use std::io::{self, Write};

use sereno_rules::report::{
    Bucket, Comparison, Episode, InstancePlot, Plot as Drawn, ReplayReport, Time, Totals,
};

use crate::console::{Color, Console, printable};
use crate::output::number::Unit;
use crate::output::table::Grid;
use crate::plot::{Band, Line, Plot, Style, draw};
use crate::rules::counted;
use crate::rules::words::{at, instance, labels, number, span, time};

/// How many episodes are listed, and of each side of a comparison.
const EPISODES_MAX: usize = 20;
const DIFFERENT_MAX: usize = 5;
/// How many points a limit is drawn with.
const POINTS_MAX: u64 = 1_000;
const PLOT_ROWS: std::ops::RangeInclusive<usize> = 10..=24;

pub(super) fn tell(report: &ReplayReport, console: &mut Console) -> io::Result<()> {
    let plot = plot(&report.plot, report, console);
    plot.iter().try_for_each(|line| writeln!(console.out, "{line}"))?;
    episodes(&report.episodes, console)?;
    head(report, console)?;
    totals(&report.totals, console)?;
    notes(report, console)?;
    match &report.against {
        Some(against) => compare(against, &report.totals, console),
        None => Ok(()),
    }
}

fn plot(drawn: &Drawn, report: &ReplayReport, console: &Console) -> Vec<String> {
    let name = |instance: &InstancePlot| match labels(&instance.instance).as_str() {
        "" => instance.rule.clone(),
        labels => labels.to_owned(),
    };
    let worst = |bucket: &Bucket| {
        let worst = if drawn.below { bucket.min } else { bucket.max };
        (bucket.at.0.nanos(), worst.0)
    };
    let mut lines: Vec<Line> = drawn
        .instances
        .iter()
        .map(|instance| Line { name: name(instance), points: instance.buckets.iter().map(worst).collect() })
        .collect();
    let spans = |instance: &InstancePlot| {
        instance.firing.iter().map(|span| (span.from.0.nanos(), span.to.0.nanos())).collect()
    };
    let bands =
        drawn.instances.iter().enumerate().map(|(owner, instance)| Band { owner, spans: spans(instance) });
    let bands: Vec<Band> = bands.filter(|band| !band.spans.is_empty()).collect();
    let period = (report.start.0.nanos(), report.end.0.nanos());
    let step = u64::try_from(drawn.step.0.as_nanos()).unwrap_or(u64::MAX);
    if let Some(limit) = drawn.limit.filter(|_| !lines.is_empty()) {
        let name = format!("limit {}", number(Some(limit)));
        // As close to each other as values are: what is farther apart is not joined.
        let apart = step.max(period.1.abs_diff(period.0) / POINTS_MAX).max(1);
        let times = (period.0..=period.1).step_by(usize::try_from(apart).unwrap_or(usize::MAX));
        lines.push(Line { name, points: times.map(|time| (time, limit.0)).collect() });
    }
    let marked = !console.utf8 || (!console.color && lines.len() > 1);
    let rows = console.height / 2 + bands.len();
    draw(&Plot {
        lines: &lines,
        bands: &bands,
        period: Some(period),
        gap: Some(step.saturating_mul(3) / 2),
        unit: Unit::Plain,
        style: if marked { Style::Ascii } else { Style::Braille },
        color: console.color,
        size: (console.width, rows.clamp(*PLOT_ROWS.start(), *PLOT_ROWS.end())),
    })
}

fn episodes(episodes: &[Episode], console: &mut Console) -> io::Result<()> {
    if episodes.is_empty() {
        return Ok(());
    }
    let header = ["instance", "level", "ended", "fired at", "for", "pending", "peak", "events"];
    let mut grid = Grid::new(console, header, 3);
    let many = episodes.iter().any(|episode| episode.rule != episodes[0].rule);
    for episode in episodes.iter().take(EPISODES_MAX) {
        let name = match many || episode.instance.is_empty() {
            true => instance(&episode.rule, &episode.instance),
            false => labels(&episode.instance),
        };
        let ended = episode.ended_by.clone().unwrap_or_else(|| "not yet".into());
        let nanos = |time: Time| time.0.nanos();
        let lasted = |from: i64, to: i64| Unit::Seconds.short(to.saturating_sub(from).max(0) as f64 / 1e9);
        let fired = nanos(episode.fired_at);
        grid.row([
            name,
            episode.level.clone(),
            ended,
            at(episode.fired_at),
            episode.ended_at.map_or_else(String::new, |ended| lasted(fired, nanos(ended))),
            episode.pending_from.map_or_else(String::new, |from| lasted(nanos(from), fired)),
            number(episode.peak),
            episode.events.to_string(),
        ]);
    }
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))?;
    match episodes.len().saturating_sub(EPISODES_MAX) {
        0 => Ok(()),
        more => writeln!(console.out, "and {more} more; `-o csv` has all of them"),
    }
}

fn head(report: &ReplayReport, console: &mut Console) -> io::Result<()> {
    let rules = report.rules.iter().map(|rule| printable(rule)).collect::<Vec<_>>().join(", ");
    let generation = match report.generation {
        0 => "from a file".to_owned(),
        number => format!("generation {number}"),
    };
    let (start, end) = (at(report.start), at(report.end));
    writeln!(console.out, "{rules}, {generation}, [{start}, {end})")?;
    let missing =
        [(report.missed_ticks, "missed"), (report.unobserved_ticks, "unobserved"), (report.errors, "failed")];
    let missing: String = missing
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    let warm = report.warm_up_from.map_or_else(String::new, |from| format!(", warmed up from {}", at(from)));
    let ticks = counted(usize::try_from(report.ticks).unwrap_or(usize::MAX), "tick");
    let instances = counted(usize::try_from(report.instances).unwrap_or(usize::MAX), "instance");
    writeln!(console.out, "{ticks}{missing}, {instances}, in {}{warm}", span(report.seconds))?;
    report.first_errors.iter().try_for_each(|error| writeln!(console.out, "  error: {}", printable(error)))
}

fn totals(totals: &Totals, console: &mut Console) -> io::Result<()> {
    let count = |name: &str| totals.get(name).unwrap_or(0.0) as usize;
    let levels = ["crit", "warn", "info"].map(|level| (count(level), level));
    let levels: Vec<String> = levels
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, level)| format!("{count} {level}"))
        .collect();
    let levels = if levels.is_empty() { String::new() } else { format!(" ({})", levels.join(", ")) };
    let kinds = [
        ("fires", "firing"),
        ("resolves", "resolved"),
        ("closes", "closed"),
        ("escalations", "escalated"),
        ("deescalations", "deescalated"),
        ("stales", "stale"),
    ];
    let kinds = kinds.iter().map(|(name, kind)| (count(name), kind)).filter(|(count, _)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
    let episodes = counted(count("episodes"), "episode");
    let kinds = if kinds.is_empty() { "no event".to_owned() } else { kinds.join(", ") };
    writeln!(console.out, "{episodes}{levels}; {kinds}")?;
    if totals.episodes == 0 {
        return Ok(());
    }
    let (firing, longest) = (span(totals.firing_seconds), span(totals.longest_seconds));
    let (flaps, pending) = (counted(count("flaps"), "flap"), span(totals.median_pending_seconds));
    let open = if totals.open > 0 { format!(", {} open", totals.open) } else { String::new() };
    writeln!(
        console.out,
        "{flaps}{open}; fired {firing} in all, {longest} at the longest, after {pending} (median)"
    )
}

fn notes(report: &ReplayReport, console: &mut Console) -> io::Result<()> {
    for note in &report.notes {
        let when = note.at.map_or_else(String::new, |time| format!("{}: ", at(time)));
        writeln!(console.out, "note: {}", printable(&format!("{when}{}", note.text)))?;
    }
    let Some(inexact) = &report.inexact else { return Ok(()) };
    let mut reasons = inexact.reasons.clone();
    if inexact.late > 0 {
        let late = counted(usize::try_from(inexact.late).unwrap_or(usize::MAX), "late sample");
        reasons.insert(0, format!("{late}, {} to {}", time(inexact.first), time(inexact.last)));
    }
    let text = format!("inexact: {}", printable(&reasons.join("; ")));
    writeln!(console.out, "{}", if console.color { Color::Yellow.paint(&text) } else { text })
}

/// `+3 fires, -41 fires, median 70 s earlier`.
fn compare(against: &Comparison, here: &Totals, console: &mut Console) -> io::Result<()> {
    let with = match against.with.as_str() {
        "recorded" => "what the live rule told",
        "replay" => "a replay of the live rule",
        other => other,
    };
    let fires = |count: usize| counted(count, "fire");
    let lead = against.median_lead_seconds.map_or_else(String::new, |lead| match lead.0 {
        0.0 => ", at the same time (median)".into(),
        secs if secs > 0.0 => format!(", median {} earlier", Unit::Seconds.short(secs)),
        secs => format!(", median {} later", Unit::Seconds.short(-secs)),
    });
    let (more, fewer) = (fires(against.only_here.len()), fires(against.only_there.len()));
    let text = match against.identical {
        true => "the same events".to_owned(),
        false => format!("+{more}, -{fewer}, {} in both{lead}", against.both),
    };
    writeln!(console.out, "against {}: {text}", printable(with))?;
    if !against.identical {
        let flaps = here.flaps as i64 - against.totals.flaps as i64;
        let firing = here.firing_seconds.0.as_secs_f64() - against.totals.firing_seconds.0.as_secs_f64();
        let sign = if firing < 0.0 { "-" } else { "+" };
        let firing = Unit::Seconds.short(firing.abs());
        writeln!(console.out, "  flaps {flaps:+}, time in firing {sign}{firing}")?;
    }
    for (mark, paint, episodes) in
        [('+', Color::Green, &against.only_here), ('-', Color::Red, &against.only_there)]
    {
        for episode in episodes.iter().take(DIFFERENT_MAX) {
            let name = instance(&episode.rule, &episode.instance);
            let ended =
                episode.ended_at.map_or_else(|| "not ended".to_owned(), |ended| format!("to {}", at(ended)));
            let text = format!("  {mark} {} {name} {}, {ended}", episode.level, at(episode.fired_at));
            writeln!(console.out, "{}", if console.color { paint.paint(&text) } else { text })?;
        }
        let more = episodes.len().saturating_sub(DIFFERENT_MAX);
        if more > 0 {
            writeln!(console.out, "  {mark} and {more} more")?;
        }
    }
    match &against.first_difference {
        Some(first) if !against.identical => writeln!(console.out, "  first: {}", printable(first)),
        _ => Ok(()),
    }
}
