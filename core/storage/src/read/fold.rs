//! From samples and rows in order of time to the summaries of windows.

use crate::codec::rows::Row;
use crate::segment::Times;
use crate::summary::{HOUR_NANOS, MINUTE_NANOS, Summary, Windows, larger, smaller};

/// Which parts of a summary are wanted: the less, the faster. Count, first and last are always there; the other parts
/// of a summary hold nothing of use unless they are wanted, which does not keep summaries of one kind from being appended
/// to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Count, first and last.
    Count,
    /// And the sum.
    Sum,
    /// And min and max, without the sum.
    Extremes,
    /// Everything but what concerns counters.
    Values,
    /// Everything.
    All,
}

/// What is accumulated over a run of time. Each level of the fold begins with [`Accumulator::EMPTY`]; the smaller the
/// accumulator, the faster, since whole days are folded minute by minute.
pub(crate) trait Accumulator: Copy {
    const EMPTY: Self;

    fn count(&self) -> u64;

    /// Adds the next samples of the same minute, at least one.
    fn push(&mut self, values: &[f64]);

    /// Adds what follows in time.
    fn append(&mut self, later: &Self);

    fn of_row(row: &Row) -> Self;

    fn summary(&self) -> Summary;
}

/// For [`Want::Count`] and [`Want::Sum`].
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    count: u64,
    sum: f64,
    first: f64,
    last: f64,
}

impl Accumulator for Sums {
    const EMPTY: Self = Self { count: 0, sum: 0.0, first: f64::NAN, last: f64::NAN };

    fn count(&self) -> u64 {
        self.count
    }

    fn push(&mut self, values: &[f64]) {
        if self.count == 0 {
            self.first = values[0];
        }
        self.count += values.len() as u64;
        self.last = values[values.len() - 1];
        self.sum = values.iter().fold(self.sum, |sum, value| sum + value);
    }

    fn append(&mut self, later: &Self) {
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            self.first = later.first;
        }
        self.count += later.count;
        self.sum += later.sum;
        self.last = later.last;
    }

    fn of_row(row: &Row) -> Self {
        Self { count: row.count.into(), sum: row.sum, first: row.first, last: row.last }
    }

    fn summary(&self) -> Summary {
        Summary { count: self.count, sum: self.sum, first: self.first, last: self.last, ..Summary::EMPTY }
    }
}

/// For [`Want::Extremes`] and [`Want::Values`].
#[derive(Clone, Copy)]
pub(crate) struct Values {
    sums: Sums,
    min: f64,
    max: f64,
}

impl Values {
    /// Widens the range by that of numbers which follow.
    fn widen(&mut self, min: f64, max: f64) {
        if self.min.is_nan() {
            (self.min, self.max) = (min, max);
        } else if !min.is_nan() {
            (self.min, self.max) = (smaller(self.min, min), larger(self.max, max));
        }
    }
}

impl Accumulator for Values {
    const EMPTY: Self = Self { sums: Sums::EMPTY, min: f64::NAN, max: f64::NAN };

    fn count(&self) -> u64 {
        self.sums.count
    }

    fn push(&mut self, values: &[f64]) {
        self.sums.push(values);
        values.iter().for_each(|value| self.widen(*value, *value));
    }

    fn append(&mut self, later: &Self) {
        self.sums.append(&later.sums);
        self.widen(later.min, later.max);
    }

    fn of_row(row: &Row) -> Self {
        Self { sums: Sums::of_row(row), min: row.min, max: row.max }
    }

    fn summary(&self) -> Summary {
        // Some number first and last, so that summaries can be appended to each other.
        let (first_number, last_number) = (self.min, self.max);
        Summary { min: self.min, max: self.max, first_number, last_number, ..self.sums.summary() }
    }
}

/// For [`Want::All`].
impl Accumulator for Summary {
    const EMPTY: Self = Self::EMPTY;

    fn count(&self) -> u64 {
        self.count
    }

    fn push(&mut self, values: &[f64]) {
        values.iter().for_each(|value| self.push(*value));
    }

    fn append(&mut self, later: &Self) {
        self.append(later);
    }

    /// A row has finite values only.
    fn of_row(row: &Row) -> Self {
        Self {
            count: row.count.into(),
            sum: row.sum,
            min: row.min,
            max: row.max,
            first: row.first,
            last: row.last,
            first_number: row.first,
            last_number: row.last,
            falls: row.falls.into(),
            dropped: row.dropped,
        }
    }

    fn summary(&self) -> Summary {
        *self
    }
}

/// The summary of samples in time order, as one window.
pub(super) fn summarize(want: Want, samples: impl Iterator<Item = (i64, f64)>) -> Summary {
    match want {
        Want::Count | Want::Sum => fold_one::<Sums>(samples).summary(),
        Want::Extremes | Want::Values => fold_one::<Values>(samples).summary(),
        Want::All => fold_one::<Summary>(samples),
    }
}

/// What [`Folder`] does, for one window and samples one by one.
fn fold_one<A: Accumulator>(samples: impl Iterator<Item = (i64, f64)>) -> A {
    let (mut window, mut hour, mut minute) = (A::EMPTY, A::EMPTY, A::EMPTY);
    let (mut minute_end, mut hour_end) = (i64::MIN, i64::MIN);
    for (time, value) in samples {
        if time >= minute_end {
            hour.append(&minute);
            minute = A::EMPTY;
            minute_end = end_of(time, MINUTE_NANOS);
            if time >= hour_end {
                window.append(&hour);
                hour = A::EMPTY;
                hour_end = end_of(time, HOUR_NANOS);
            }
        }
        minute.push(&[value]);
    }
    hour.append(&minute);
    window.append(&hour);
    window
}

/// Of samples in time order, the summary of each window that has some, with its number.
pub(super) fn summarize_each(
    want: Want,
    windows: Windows,
    times: &[i64],
    values: &[f64],
    emit: impl FnMut(u64, &Summary),
) {
    match want {
        Want::Count | Want::Sum => fold_each(Folder::<Sums, _>::new(windows, emit), times, values),
        Want::Extremes | Want::Values => fold_each(Folder::<Values, _>::new(windows, emit), times, values),
        Want::All => fold_each(Folder::<Summary, _>::new(windows, emit), times, values),
    }
}

fn fold_each<A: Accumulator, E: FnMut(u64, &Summary)>(
    mut folder: Folder<A, E>,
    times: &[i64],
    values: &[f64],
) {
    folder.samples(Times::Each(times), 0, values);
    folder.finish();
}

/// Folds samples into minutes, minutes into hours, hours into windows; emits each window that has samples.
pub(crate) struct Folder<A, E> {
    windows: Windows,
    minute: A,
    hour: A,
    window: A,
    minute_end: i64,
    hour_end: i64,
    window_end: i64,
    index: u64,
    emit: E,
}

impl<A: Accumulator, E: FnMut(u64, &Summary)> Folder<A, E> {
    pub(crate) fn new(windows: Windows, emit: E) -> Self {
        Self {
            windows,
            minute: A::EMPTY,
            hour: A::EMPTY,
            window: A::EMPTY,
            minute_end: i64::MIN,
            hour_end: i64::MIN,
            window_end: i64::MIN,
            index: 0,
            emit,
        }
    }

    /// Where the window that holds `time` ends.
    pub(crate) fn window_end_at(&self, time: i64) -> i64 {
        self.windows.at(time).1
    }

    /// The next samples, all within the range of the windows.
    pub(crate) fn samples(&mut self, times: Times<'_>, from: usize, values: &[f64]) {
        let (mut next, mut usual) = (0, 1);
        while next < values.len() {
            let time = times.get(from + next);
            self.advance(time);
            let whole = self.whole_minutes(times, time, &values[next..]);
            if whole > 0 {
                next += whole;
                continue;
            }
            let bound = self.minute_end.min(self.window_end);
            let end = next + run_len(times, from + next, time, bound, values.len() - next, usual);
            usual = end - next;
            self.minute.push(&values[next..end]);
            next = end;
        }
    }

    /// Of regular times, as many to the minute in every minute: folds the minutes up to the end of the hour or window in one
    /// go, and gives how many samples that were. Half of the time of a whole day is saved so.
    fn whole_minutes(&mut self, times: Times<'_>, time: i64, values: &[f64]) -> usize {
        let Times::Grid(grid) = times else { return 0 };
        if grid.step <= 0 || MINUTE_NANOS % grid.step != 0 || self.minute.count() > 0 {
            return 0;
        }
        let start = self.minute_end.saturating_sub(MINUTE_NANOS);
        let each = (MINUTE_NANOS / grid.step) as usize;
        let minutes = (self.hour_end.min(self.window_end).saturating_sub(start) / MINUTE_NANOS) as usize;
        let minutes = minutes.min(values.len() / each);
        if time.saturating_sub(start) >= grid.step || minutes < 2 {
            return 0;
        }
        let mut hour = self.hour;
        for values in values[..minutes * each].chunks_exact(each) {
            let mut minute = A::EMPTY;
            minute.push(values);
            hour.append(&minute);
        }
        self.hour = hour;
        self.minute_end = start.saturating_add(minutes as i64 * MINUTE_NANOS);
        minutes * each
    }

    /// The next hour as a whole; it must lie in one window.
    pub(crate) fn hour(&mut self, start: i64, row: &Row) {
        self.advance(start);
        self.window.append(&A::of_row(row));
    }

    /// The next minute as a whole; it must lie in one window.
    pub(crate) fn minute(&mut self, start: i64, row: &Row) {
        self.advance(start);
        self.hour.append(&A::of_row(row));
    }

    /// Emits the last window.
    pub(crate) fn finish(mut self) {
        self.close_window();
    }

    /// Closes what ends before `time`.
    fn advance(&mut self, time: i64) {
        if time < self.minute_end && time < self.window_end {
            return;
        }
        self.hour.append(&self.minute);
        self.minute = A::EMPTY;
        if time >= self.hour_end || time >= self.window_end {
            self.window.append(&self.hour);
            self.hour = A::EMPTY;
            self.hour_end = end_of(time, HOUR_NANOS);
        }
        if time >= self.window_end {
            self.close_window();
            (self.index, self.window_end) = self.windows.at(time);
        }
        self.minute_end = end_of(time, MINUTE_NANOS);
    }

    fn close_window(&mut self) {
        self.hour.append(&self.minute);
        self.window.append(&self.hour);
        (self.minute, self.hour) = (A::EMPTY, A::EMPTY);
        if self.window.count() > 0 {
            (self.emit)(self.index, &self.window.summary());
            self.window = A::EMPTY;
        }
    }
}

/// How many of the samples from `at` on, the first of which is at `time`, come before `bound`; at least that one.
fn run_len(times: Times<'_>, at: usize, time: i64, bound: i64, len: usize, usual: usize) -> usize {
    match times {
        // Most minutes hold as many samples as the one before, and a division costs more than their sum.
        Times::Grid(grid) if usual <= len && is_run(grid.step, time, bound, usual) => usual,
        Times::Grid(grid) if grid.step > 0 => {
            let fit = (bound.saturating_sub(time) - 1) / grid.step + 1;
            len.min(usize::try_from(fit).unwrap_or(usize::MAX))
        }
        Times::Grid(_) => 1,
        Times::Each(times) => {
            let times = &times[at..at + len];
            times.iter().position(|time| *time >= bound).unwrap_or(len).max(1)
        }
    }
}

/// Whether `len` samples from `time` on, `step` apart, are those before `bound`.
fn is_run(step: i64, time: i64, bound: i64, len: usize) -> bool {
    let last = i64::try_from(len - 1).ok().and_then(|steps| step.checked_mul(steps)?.checked_add(time));
    last.is_some_and(|last| last < bound && last.checked_add(step).is_some_and(|next| next >= bound))
}

/// Where the minute or hour that holds `time` ends.
fn end_of(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_add(1).saturating_mul(length)
}
