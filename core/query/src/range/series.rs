//! All windows of one series.
//!
//! | plan | when | cost |
//! |---|---|---|
//! | `Fold` | the step is a multiple of the window | one fold of the store |
//! | `Panes` | windows and steps of whole minutes or hours | one fold into minutes or hours, joined for each window |
//! | `Slices` | the rest | the samples are decoded once, each window looks at its own |
//!
//! All give the same bits. A sum may be put together from sums of whole minutes within an hour, and from sums of whole
//! hours, since that is the order of every sum; from nothing else.

use std::sync::Arc;

use sereno_model::TimeRange;
use sereno_storage::{HOUR_NANOS, MINUTE_NANOS, Series, Summary, Windows};

use super::RangeQuery;
use super::grid::Grid;
use crate::budget::QueryError;
use crate::fold;
use crate::native::Native;
use crate::reduce::{Reduced, Reducer};
use crate::tally::Tally;
use crate::track::{Track, positions};
use crate::window::Window;

const MINUTE: u64 = MINUTE_NANOS.cast_unsigned();
const HOUR: u64 = HOUR_NANOS.cast_unsigned();

/// How the windows of a series are answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    way: Way,
    /// Instead of the reducer of the query.
    native: Option<Native>,
    /// Whether an answer weighs as much as the window has samples, or 1.
    weighted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Each window of one fold, or each so-manieth.
    Fold {
        every: u64,
    },
    /// Windows put together from panes of a minute or an hour.
    Panes {
        pane: u64,
    },
    Slices,
}

impl Plan {
    /// The cheapest way to have `native`, or without it the reducer of the query.
    pub fn of(native: Option<Native>, weighted: bool, grid: &Grid) -> Self {
        let summarized = native.is_some_and(|native| native.want().is_some());
        let fits = |pane: &u64| {
            let on_grid = grid.origin().nanos().rem_euclid(pane.cast_signed()) == 0;
            on_grid && grid.step.is_multiple_of(*pane) && grid.window.is_multiple_of(*pane)
        };
        let way = match [HOUR, MINUTE].into_iter().find(fits) {
            _ if !summarized => Way::Slices,
            _ if grid.step.is_multiple_of(grid.window) => Way::Fold { every: grid.step / grid.window },
            Some(pane) => Way::Panes { pane },
            None => Way::Slices,
        };
        Self { way, native, weighted }
    }

    fn answer(
        &self,
        native: Native,
        grid: &Grid,
        index: u64,
        found: &Summary,
        before: Option<f64>,
    ) -> Option<Answer> {
        let secs = if native == Native::Rate { grid.secs(index) } else { 0.0 };
        let number = native.of_summary(found, before.filter(|value| !value.is_nan()), secs)?;
        let weight = if self.weighted { found.count } else { 1 };
        Some(Answer { window: index as u32, weight, number })
    }
}

/// The answer of a series for one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub window: u32,
    pub weight: u64,
    pub number: f64,
}

/// The answers of a series, in order of time.
pub(super) enum Answers {
    Numbers(Vec<Answer>),
    Any(Vec<(u32, Reduced)>),
}

/// Answers all windows of a series. What cannot be read is left out; the tally knows.
///
/// # Errors
/// The reducer fails.
pub(super) fn answers(
    series: &Series,
    plan: Plan,
    grid: &Grid,
    query: &RangeQuery,
    tally: &Arc<Tally>,
) -> Result<Answers, QueryError> {
    match (plan.way, plan.native) {
        (Way::Fold { every }, Some(native)) => {
            Ok(Answers::Numbers(folded(series, plan, native, every, grid, tally)))
        }
        (Way::Panes { pane }, Some(native)) => {
            Ok(Answers::Numbers(from_panes(series, plan, native, pane, grid, tally)))
        }
        (_, Some(native)) => {
            let mut found = Vec::new();
            for_each_slice(&Window::of(series, grid.range(), tally), grid, tally, |index, window| {
                let weight = if plan.weighted { window.count() as u64 } else { 1 };
                let answer = |number| Answer { window: index as u32, weight, number };
                found.extend(native.answer(window).map(answer));
                Ok(())
            })?;
            Ok(Answers::Numbers(found))
        }
        (_, None) => {
            let mut found = Vec::new();
            let window = Window::of(series, grid.range(), tally);
            slices(&window, grid, &*query.reducer, tally, |index, reduced| {
                found.push((index as u32, reduced))
            })?;
            Ok(Answers::Any(found))
        }
    }
}

fn folded(
    series: &Series,
    plan: Plan,
    native: Native,
    every: u64,
    grid: &Grid,
    tally: &Arc<Tally>,
) -> Vec<Answer> {
    let Some(want) = native.want() else { return Vec::new() };
    let mut before = value_before(series, native, grid, tally);
    let windows = Windows::anchored(grid.range(), grid.window, grid.origin());
    let mut answers = Vec::with_capacity(grid.count() as usize);
    tally.read(|reads| {
        series.fold(windows, want, reads, |index, summary| {
            if every == 1 || index.is_multiple_of(every) {
                answers.extend(plan.answer(native, grid, index / every, summary, before));
            }
            before = Some(summary.last);
        })
    });
    answers
}

/// The value before the period, where it matters.
fn value_before(series: &Series, native: Native, grid: &Grid, tally: &Arc<Tally>) -> Option<f64> {
    let start = grid.range().start;
    native
        .looks_before()
        .then(|| tally.read(|reads| series.last_before(start, reads)).flatten())?
        .map(|s| s.value)
}

/// Summaries of minutes or hours that follow each other, and where the hours begin among them.
struct Panes {
    /// Which pane, counted from the origin of the grid.
    panes: Vec<(u64, Summary)>,
    /// Runs of panes of one hour: the position after the last one, and their summary.
    hours: Vec<(usize, Summary)>,
}

fn from_panes(
    series: &Series,
    plan: Plan,
    native: Native,
    pane: u64,
    grid: &Grid,
    tally: &Arc<Tally>,
) -> Vec<Answer> {
    let Some(want) = native.want() else { return Vec::new() };
    let first = value_before(series, native, grid, tally);
    let mut panes = Vec::new();
    let windows = Windows::anchored(grid.range(), pane, grid.origin());
    tally.read(|reads| series.fold(windows, want, reads, |index, summary| panes.push((index, *summary))));
    let panes = Panes::new(panes, pane, grid);
    let mut answers = Vec::with_capacity(grid.count() as usize);
    let (mut from, mut to, mut hour) = (0, 0, 0);
    for index in 0..grid.count() {
        let start = index * (grid.step / pane);
        let end = start + grid.window / pane;
        from += panes.panes[from..].iter().take_while(|(number, _)| *number < start).count();
        to = to.max(from);
        to += panes.panes[to..].iter().take_while(|(number, _)| *number < end).count();
        hour += panes.hours[hour..].iter().take_while(|(hour_end, _)| *hour_end <= from).count();
        if from == to {
            continue;
        }
        let before = from.checked_sub(1).map_or(first, |last| Some(panes.panes[last].1.last));
        answers.extend(plan.answer(native, grid, index, &panes.join(from, to, hour), before));
    }
    answers
}

impl Panes {
    fn new(panes: Vec<(u64, Summary)>, pane: u64, grid: &Grid) -> Self {
        let origin = i128::from(grid.origin().nanos());
        let hour_of =
            |number: u64| (origin + i128::from(number) * i128::from(pane)).div_euclid(i128::from(HOUR_NANOS));
        let mut hours: Vec<(usize, Summary)> = Vec::new();
        for run in panes.chunk_by(|(a, _), (b, _)| hour_of(*a) == hour_of(*b)) {
            let start = hours.last().map_or(0, |(end, _)| *end);
            hours.push((start + run.len(), joined(run)));
        }
        Self { panes, hours }
    }

    /// The summary of the panes at these positions, the first of which lies in this hour.
    fn join(&self, from: usize, to: usize, hour: usize) -> Summary {
        let mut window = Summary::EMPTY;
        let mut next = from;
        let mut start = hour.checked_sub(1).map_or(0, |before| self.hours[before].0);
        for (end, whole) in &self.hours[hour..] {
            if next >= to {
                break;
            }
            if next == start && *end <= to {
                window.append(whole);
            } else {
                window.append(&joined(&self.panes[next..to.min(*end)]));
            }
            (next, start) = (*end, *end);
        }
        window
    }
}

fn joined(panes: &[(u64, Summary)]) -> Summary {
    let mut hour = Summary::EMPTY;
    panes.iter().for_each(|(_, pane)| hour.append(pane));
    hour
}

/// The quantile of all samples of several series in a range.
pub(super) fn pooled_quantile(tracks: &[Track], range: TimeRange, q: f64) -> Option<f64> {
    let mut values = Vec::new();
    for track in tracks {
        let samples = track.samples();
        values.extend(samples[positions(samples, range)].iter().map(|sample| sample.value));
    }
    fold::quantile(&mut values, q)
}

/// Reduces each window of the grid that has samples; tells of those that have an answer.
///
/// # Errors
/// The reducer fails.
pub(super) fn slices(
    all: &Window,
    grid: &Grid,
    reducer: &dyn Reducer,
    tally: &Tally,
    mut found: impl FnMut(u64, Reduced),
) -> Result<(), QueryError> {
    for_each_slice(all, grid, tally, |index, window| {
        let reduced = reducer.reduce(window)?;
        if reduced != Reduced::None {
            found(index, reduced);
        }
        Ok(())
    })
}

/// Each window of the grid that has samples. Decodes once.
fn for_each_slice(
    all: &Window,
    grid: &Grid,
    tally: &Tally,
    mut each: impl FnMut(u64, &Window) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let samples = all.samples();
    let (mut from, mut to) = (0, 0);
    for index in 0..grid.count() {
        // A script may take its time in each of them.
        if tally.is_interrupted() {
            return Err(QueryError::Deadline);
        }
        let range = grid.cut(index);
        from += samples[from..].partition_point(|sample| sample.time < range.start);
        to = to.max(from);
        to += samples[to..].partition_point(|sample| sample.time < range.end);
        if from == samples.len() {
            break;
        }
        if from < to {
            each(index, &all.run(range, from..to))?;
        }
    }
    Ok(())
}
