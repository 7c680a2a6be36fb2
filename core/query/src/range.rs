//! Range queries: windows side by side over a period, for groups of series.
//!
//! Reduction has its two stages: over time within each series, window by window, then across the series of a group, in
//! order of their keys. The same snapshot gives the same bits, for any number of threads: threads take series, and what
//! they find is joined in order.
//!
//! A reducer that summaries answer never builds a window: one pass over rows and samples gives all windows of a series
//! ([`series`]). Everything else decodes each series once and looks at slices of it.

mod grid;
mod in_order;
mod series;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_storage::{Series, Snapshot};

use self::grid::Grid;
use self::in_order::in_order;
use self::series::{Answers, Plan};
use crate::across::{Across, Cell, Joined};
use crate::budget::{Budget, QueryError};
use crate::native::Native;
use crate::reduce::{Reduced, Reducer};
use crate::tally::{Cost, Tally};
use crate::track::Track;
use crate::window::Window;

/// How many series a thread takes at once.
const SERIES_AT_ONCE: usize = 4;
/// How many windows of a pool a thread takes at once.
const WINDOWS_AT_ONCE: usize = 8;
/// Fewer series than this are not worth a thread.
const SERIES_PER_THREAD_MIN: usize = 16;

/// What is asked.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    /// Of which series.
    pub selector: Selector,
    /// The period. Windows are cut at its bounds: nothing outside is looked at, but for the sample before it that a
    /// counter starts from. One without a start, [`Timestamp::MIN`], begins with the first window that has a sample.
    pub range: TimeRange,
    /// How long a window is; at least 1 ns.
    pub window: Duration,
    /// From the start of a window to that of the next, at least 1 ns: shorter than a window, they overlap; longer, there
    /// are gaps.
    pub step: Duration,
    /// Where the windows lie.
    pub alignment: Alignment,
    /// Which series are one group.
    pub by: Grouping,
    /// How the series of a group are joined. May be left open where every group has one series.
    pub across: Option<Across>,
    /// The aggregation over time.
    pub reducer: Arc<dyn Reducer>,
}

/// Where windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// They start at multiples of the step since the epoch; the first is the last that starts at or before the period.
    Epoch,
    /// The first starts at the first sample in the period, of whichever series.
    FirstSample,
    /// The first starts where the period does.
    Start,
}

/// Which series are one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// All of them.
    All,
    /// Each for itself.
    Series,
    /// Those with the same values of these labels; a label that is missing has the value "".
    Labels(Vec<String>),
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAnswer {
    /// In order of their identities.
    pub groups: Vec<Group>,
    /// How many series matched.
    pub series: usize,
    /// What was read.
    pub cost: Cost,
}

/// One group and its answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which it is.
    pub identity: Identity,
    /// The starts of the windows with their answers, in order of time. A series without samples in a window takes no part
    /// there, and windows without an answer are left out.
    pub points: Vec<(Timestamp, Reduced)>,
}

/// What tells one group from the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// There is but one group.
    All,
    /// The values of the labels that were named, in their order.
    Labels(Vec<String>),
    /// The series.
    Series(SeriesKey),
}

/// Executes a range query, on the caller's thread and as many more as the budget has.
///
/// # Errors
/// [`QueryError`]: the query makes no sense or breaks its budget, the reducer fails, the store cannot be read.
pub fn range_query(
    snapshot: &Snapshot,
    query: &RangeQuery,
    budget: &Budget,
) -> Result<RangeAnswer, QueryError> {
    let range =
        TimeRange::new(query.range.start, query.range.end.min(snapshot.time() + Duration::from_nanos(1)));
    let series = snapshot.select(&query.selector, range)?;
    budget.check_series(series.len())?;
    let tally = budget.tally();
    let groups = groups(&series, &query.by);
    let largest = groups.values().map(Vec::len).max().unwrap_or(0);
    if query.across.is_none() && largest > 1 {
        return Err(QueryError::AcrossMissing { series: largest });
    }
    let run = match Grid::new(query, range, &series, &tally) {
        Some(grid) => Run { query, grid: grid?, budget, tally: &tally, points: AtomicU64::new(0) },
        None => {
            tally.check()?;
            return Ok(RangeAnswer { groups: Vec::new(), series: series.len(), cost: tally.cost() });
        }
    };
    let points = run.grid.count();
    if points > budget.points_max.min(u32::MAX as usize) as u64 {
        return Err(QueryError::TooManyPoints { points, limit: budget.points_max });
    }
    let answered = match run.stages(largest) {
        Some(stages) => run.each(&series, &groups, stages),
        None => run.pools(&series, &groups),
    };
    tally.check()?;
    let points = answered?;
    let groups = groups.into_keys().zip(points).map(|(identity, points)| Group { identity, points });
    Ok(RangeAnswer { groups: groups.collect(), series: series.len(), cost: tally.cost() })
}

/// The series of each group, by their positions, which are in order of the keys.
fn groups(series: &[Series], by: &Grouping) -> BTreeMap<Identity, Vec<usize>> {
    let mut groups: BTreeMap<Identity, Vec<usize>> = BTreeMap::new();
    for (index, series) in series.iter().enumerate() {
        let key = series.key();
        let identity = match by {
            Grouping::All => Identity::All,
            Grouping::Series => Identity::Series(key.clone()),
            Grouping::Labels(names) => {
                let value = |name: &String| key.label(name).to_owned();
                Identity::Labels(names.iter().map(value).collect())
            }
        };
        groups.entry(identity).or_default().push(index);
    }
    groups
}

/// How series are answered one by one, and joined.
#[derive(Clone, Copy)]
struct Stages {
    plan: Plan,
    across: Across,
    /// What was joined is an increase, and a rate is wanted.
    rate: bool,
}

type Points = Vec<(Timestamp, Reduced)>;

/// A query at work.
struct Run<'a> {
    query: &'a RangeQuery,
    grid: Grid,
    budget: &'a Budget,
    tally: &'a Arc<Tally>,
    /// How many points the groups that are finished have.
    points: AtomicU64,
}

impl Run<'_> {
    /// Whether to go on.
    fn check(&self) -> Result<(), QueryError> {
        let limit = self.budget.samples_max;
        if self.points.load(Ordering::Relaxed) > limit {
            return Err(QueryError::TooManyPointsInAll { limit });
        }
        self.budget.check_time()
    }

    /// Takes note of a finished group.
    fn finished(&self, points: Points) -> Points {
        self.points.fetch_add(points.len() as u64, Ordering::Relaxed);
        points
    }

    /// `None` if a group must be seen as a whole. Pools of what summaries answer need not: counters, sums and extremes
    /// of a pool are those of its series, joined.
    fn stages(&self, largest: usize) -> Option<Stages> {
        let native = self.query.reducer.native();
        let summarized = native.filter(|native| native.want().is_some());
        let plan = |native, weighted| Plan::of(native, weighted, &self.grid);
        match (self.query.across, summarized) {
            (None | Some(Across::Pool), _) if largest <= 1 => {
                Some(Stages { plan: plan(native, false), across: Across::Pool, rate: false })
            }
            (None | Some(Across::Pool), Some(native)) => {
                let (each, across) = match native {
                    Native::First | Native::Last => return None,
                    Native::Mean => (Native::Sum, Across::Mean),
                    Native::Rate => (Native::Increase, Across::Sum),
                    Native::Min => (Native::Min, Across::Min),
                    Native::Max => (Native::Max, Across::Max),
                    other => (other, Across::Sum),
                };
                let plan = plan(Some(each), native == Native::Mean);
                Some(Stages { plan, across, rate: native == Native::Rate })
            }
            (None | Some(Across::Pool), None) => match native? {
                Native::Changes | Native::CountAbove(_) | Native::CountBelow(_) => {
                    Some(Stages { plan: plan(native, false), across: Across::Sum, rate: false })
                }
                _ => None,
            },
            (Some(across), _) => Some(Stages { plan: plan(native, false), across, rate: false }),
        }
    }

    /// Answers series by series, and joins in order.
    fn each(
        &self,
        series: &[Series],
        groups: &BTreeMap<Identity, Vec<usize>>,
        stages: Stages,
    ) -> Result<Vec<Points>, QueryError> {
        // Group by group: a group is finished before the next one needs room.
        let order: Vec<(usize, usize)> = groups
            .values()
            .enumerate()
            .flat_map(|(group, members)| members.iter().map(move |index| (group, *index)))
            .collect();
        let work = |position: usize| {
            self.check()?;
            let (_, index) = order[position];
            series::answers(&series[index], stages.plan, &self.grid, self.query, self.tally)
        };
        let mut points: Vec<Points> = vec![Points::new(); groups.len()];
        let mut open = Open::default();
        let mut position = 0;
        let merge = |answers: Answers| {
            let (group, _) = order[position];
            position += 1;
            open.add(answers, stages.across, self.grid.count() as usize);
            if order.get(position).is_none_or(|(next, _)| *next != group) {
                points[group] = self.finished(self.close(&mut open, stages));
            }
        };
        in_order(order.len(), (self.threads(order.len()), SERIES_AT_ONCE), work, merge)?;
        Ok(points)
    }

    fn close(&self, open: &mut Open, stages: Stages) -> Points {
        let grid = &self.grid;
        let mut points = Points::with_capacity(open.numbers.len());
        if !open.cells.is_empty() {
            let cells = std::mem::take(&mut open.cells).into_iter();
            points.extend(cells.map(|(index, cell)| (grid.start(index.into()), cell.finish(stages.across))));
            points.retain(|(_, reduced)| *reduced != Reduced::None);
            return points;
        }
        for (index, joined) in (0..).zip(&mut open.numbers) {
            let Some(mut number) = std::mem::take(joined).finish(stages.across) else { continue };
            if stages.rate {
                number /= grid.secs(index);
            }
            points.push((grid.start(index), Reduced::Number(number)));
        }
        points
    }

    /// Answers groups as wholes.
    fn pools(
        &self,
        series: &[Series],
        groups: &BTreeMap<Identity, Vec<usize>>,
    ) -> Result<Vec<Points>, QueryError> {
        let groups: Vec<&Vec<usize>> = groups.values().collect();
        let threads = self.threads(series.len());
        // Few groups are taken one by one, and the threads decode.
        let decoders = if groups.len() < 2 * threads { threads } else { 1 };
        let work = |position: usize| {
            self.check()?;
            let range = self.grid.range();
            let tracks =
                groups[position].iter().map(|index| Track::stored(&series[*index], range, self.tally));
            let tracks: Vec<Track> = tracks.collect();
            let decode = |index: usize| {
                tracks[index].samples();
                self.budget.check_time()
            };
            in_order(tracks.len(), (decoders, SERIES_AT_ONCE), decode, |()| ())?;
            self.pool(tracks, decoders)
        };
        let mut points = Vec::with_capacity(groups.len());
        in_order(groups.len(), (threads / decoders, 1), work, |found| points.push(self.finished(found)))?;
        Ok(points)
    }

    /// Answers one group as a whole; its samples are decoded.
    fn pool(&self, tracks: Vec<Track>, threads: usize) -> Result<Points, QueryError> {
        let grid = &self.grid;
        let mut points = Points::new();
        let q = match self.query.reducer.native() {
            Some(Native::Quantile(q)) => Some(q),
            Some(Native::Median) => Some(0.5),
            _ => None,
        };
        match q {
            // Without putting the samples in order of time: quantiles do not care, and it costs three times as much as they do.
            Some(q) => {
                let answer = |index: usize| {
                    self.budget.check_time()?;
                    Ok(series::pooled_quantile(&tracks, grid.cut(index as u64), q))
                };
                let mut starts = (0..).map(|index| grid.start(index));
                let merge = |answer: Option<f64>| {
                    let number = starts.next().zip(answer);
                    points.extend(number.map(|(start, number)| (start, Reduced::Number(number))));
                };
                in_order(grid.count() as usize, (threads, WINDOWS_AT_ONCE), answer, merge)?;
            }
            None => {
                let pool = Window::of_tracks(grid.range(), tracks, self.tally.clone());
                series::slices(&pool, grid, &*self.query.reducer, self.tally, |index, reduced| {
                    points.push((grid.start(index), reduced));
                })?;
            }
        }
        Ok(points)
    }

    fn threads(&self, series: usize) -> usize {
        self.budget.threads.min(series / SERIES_PER_THREAD_MIN).max(1)
    }
}

/// The group that is being joined, window by window.
#[derive(Default)]
struct Open {
    numbers: Vec<Joined>,
    /// Used instead once an aggregation answers with several numbers.
    cells: BTreeMap<u32, Cell>,
}

impl Open {
    fn add(&mut self, answers: Answers, across: Across, windows: usize) {
        match answers {
            Answers::Numbers(numbers) => {
                self.numbers.resize(windows, Joined::default());
                for answer in numbers {
                    if let Some(joined) = self.numbers.get_mut(answer.window as usize) {
                        joined.add(across, answer.number, answer.weight);
                    }
                }
            }
            Answers::Any(reduced) => {
                for (window, reduced) in reduced {
                    self.cells.entry(window).or_default().add(across, reduced);
                }
            }
        }
    }
}
