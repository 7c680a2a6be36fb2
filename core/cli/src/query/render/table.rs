//! Answers for eyes: a plot where there is something to see, and a table. A long answer is summed up, a line per series.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use sereno_runtime::units;

use super::View;
use crate::console::Console;
use crate::output::Form;
use crate::output::number::Unit;
use crate::output::table::{self, Grid};
use crate::output::time::Precision;
use crate::plot::{self, Line, Plot, Style};
use crate::query::args::Args;
use crate::query::shown::{Shown, common_name, titles};

/// The most times of a table that nobody asked for by name.
const TIMES_MAX: usize = 12;
/// The most series of a summary, and of a plot.
const SERIES_MAX: usize = 20;
/// The most series that have a column each.
const COLUMNS_MAX: usize = 8;
/// Rows of a plot.
const PLOT_ROWS: std::ops::RangeInclusive<usize> = 8..=24;
/// Samples this many times farther apart than most are not joined in a plot.
const GAP: u64 = 10;

/// A plot and a table.
pub(in crate::query) fn table(view: &View<'_>, args: &Args, console: &mut Console) -> io::Result<()> {
    let plotted = !args.no_graph && (args.graph || console.out_is_tty);
    let plot = if plotted { plot(view, args, console) } else { Vec::new() };
    let rows = rows(&view.shown);
    // Without a plot, a summary would hide what was asked for.
    let all = rows.len() <= TIMES_MAX || args.output == Some(Form::Table) || !plotted;
    let table = if all { all_values(view, &rows, console) } else { summary(view, console) };
    for line in plot.iter().chain(&table) {
        writeln!(console.out, "{line}")?;
    }
    let hidden = view.shown.len().saturating_sub(SERIES_MAX);
    if !all && hidden > 0 {
        console.say(format_args!("and {hidden} more series; `-o table` shows every value of each"));
    }
    Ok(())
}

/// Per time, which series has which value.
type Rows = BTreeMap<i64, Vec<(usize, f64)>>;

fn rows(shown: &[Shown]) -> Rows {
    let mut rows = Rows::new();
    for (index, one) in shown.iter().enumerate() {
        one.points.iter().for_each(|(time, value)| rows.entry(*time).or_default().push((index, *value)));
    }
    rows
}

/// A column per series if there are few and they fit, else a row per value.
fn all_values(view: &View<'_>, rows: &Rows, console: &Console) -> Vec<String> {
    let precision = precision(rows.keys().copied());
    let shown = &view.shown;
    let (head, unit) =
        (time_head("time", view.plan.offset), |index: usize| view.plan.unit(&shown[index].name));
    if shown.len() <= COLUMNS_MAX {
        let titles = match shown.as_slice() {
            [Shown { column: None, .. }] => vec![view.plan.value_name().to_owned()],
            _ => titles(shown),
        };
        let mut grid = Grid::new(console, std::iter::once(head.clone()).chain(titles), 1);
        for (time, values) in rows {
            let cell = |index| {
                let value = values.iter().find(|(of, _)| *of == index);
                value.map_or_else(String::new, |(_, value)| unit(index).short(*value))
            };
            grid.row(std::iter::once(precision.format(*time)).chain((0..shown.len()).map(cell)));
        }
        let lines = grid.lines();
        // Two columns cannot be fewer.
        if table::width(&lines) <= console.width || shown.len() == 1 {
            return lines;
        }
    }
    let mut grid = Grid::new(console, ["series", &head, view.plan.value_name()], 2);
    for (index, (one, title)) in shown.iter().zip(titles(shown)).enumerate() {
        for (time, value) in &one.points {
            grid.row([title.as_str(), &precision.format(*time), &unit(index).short(*value)]);
        }
    }
    grid.lines()
}

/// Milliseconds at most, unless they do not tell neighbours apart.
fn precision(times: impl Iterator<Item = i64> + Clone) -> Precision {
    let alike = |(before, time): (i64, i64)| before.div_euclid(1_000_000) == time.div_euclid(1_000_000);
    match times.clone().zip(times.clone().skip(1)).any(alike) {
        true => Precision::Nanos,
        false => times.map(Precision::of).max().unwrap_or_default().min(Precision::Millis),
    }
}

/// A row per series.
fn summary(view: &View<'_>, console: &Console) -> Vec<String> {
    let shown = &view.shown[..view.shown.len().min(SERIES_MAX)];
    let lasts = shown.iter().filter_map(|one| one.points.last());
    let precision =
        lasts.map(|(time, _)| Precision::of(*time)).max().unwrap_or_default().min(Precision::Millis);
    let points = if view.plan.aggregation.is_some() { "windows" } else { "samples" };
    let header = ["series", "last", &time_head("at", view.plan.offset), "min", "max", points];
    let mut grid = Grid::new(console, header, 1);
    for (one, title) in shown.iter().zip(titles(shown)) {
        let unit = view.plan.unit(&one.name);
        let values = || one.points.iter().map(|(_, value)| *value);
        // A NaN is neither the least nor the greatest, unless there is nothing else.
        let (least, greatest) = (values().fold(f64::NAN, f64::min), values().fold(f64::NAN, f64::max));
        let last = one.points.last();
        grid.row([
            title,
            last.map_or_else(String::new, |(_, value)| unit.short(*value)),
            last.map_or_else(String::new, |(time, _)| precision.format(*time)),
            unit.short(least),
            unit.short(greatest),
            one.points.len().to_string(),
        ]);
    }
    grid.lines()
}

/// The head of a column of times, which says how far they are shifted.
fn time_head(name: &str, offset: Duration) -> String {
    match offset.is_zero() {
        true => name.to_owned(),
        false => format!("{name} +{}", units::format_duration(offset)),
    }
}

fn plot(view: &View<'_>, args: &Args, console: &Console) -> Vec<String> {
    let shown = &view.shown[..view.shown.len().min(SERIES_MAX)];
    if shown.iter().all(|one| one.points.len() < 2) {
        return Vec::new();
    }
    let names = match shown {
        [one] => vec![one.title()],
        _ => titles(shown),
    };
    let line = |(one, name): (&Shown, String)| Line { name, points: one.points.clone() };
    let lines: Vec<Line> = shown.iter().zip(names).map(line).collect();
    let plan = view.plan;
    let name = common_name(shown);
    // Series without colours are told apart by their marks.
    let marked = !console.utf8 || (!console.color && lines.len() > 1);
    plot::draw(&Plot {
        lines: &lines,
        bands: &[],
        period: plan.start.map(|start| (start.nanos(), plan.end.nanos())),
        gap: gap(view),
        unit: if name.is_empty() { plan.unit("") } else { Unit::of(&name, plan.value_name()) },
        style: args.plot.unwrap_or(if marked { Style::Ascii } else { Style::Braille }),
        color: console.color,
        size: (console.width, (console.height / 2).clamp(*PLOT_ROWS.start(), *PLOT_ROWS.end())),
    })
}

/// What is not joined: windows between which one is missing; samples far apart.
fn gap(view: &View<'_>) -> Option<u64> {
    if view.plan.aggregation.is_some() {
        let step = view.plan.step;
        return u64::try_from((step + step / 2).as_nanos()).ok();
    }
    let pairs = view.shown.iter().flat_map(|one| one.points.windows(2));
    let mut distances: Vec<u64> = pairs.map(|pair| pair[1].0.abs_diff(pair[0].0)).collect();
    if distances.is_empty() {
        return None;
    }
    let middle = distances.len() / 2;
    let (_, median, _) = distances.select_nth_unstable(middle);
    median.checked_mul(GAP)
}
