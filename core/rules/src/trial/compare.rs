//! Expectations and events, side by side: which belong together, what is missing, what nobody expected.
//!
//! The order counts, but for events of one tick: those of different rules and instances have no order that a person
//! would know.

use std::time::Duration;

use sereno_model::Notification;

use super::pattern::{Pattern, event_text};
use crate::report::{Row, RowKind, Seconds};

/// How many steps an alignment may take; what is longer is compared place by place.
const CELLS_MAX: usize = 4_000_000;

/// An event, and when it was told, from the start of the test.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub at: Duration,
    pub event: &'a Notification,
}

/// Expectations beside events.
pub(crate) fn compare(expected: &[Pattern], told: &[Told<'_>]) -> Vec<Row> {
    let told = in_expected_order(expected, told);
    let pairs = match expected.len().saturating_mul(told.len()) > CELLS_MAX {
        true => place_by_place(expected.len(), told.len()),
        false => align(expected, &told),
    };
    pairs.into_iter().map(|(left, right)| row(left.map(|i| &expected[i]), right.map(|i| &told[i]))).collect()
}

/// Whether all is as expected.
pub(crate) fn is_good(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.kind == RowKind::Matched)
}

/// The rows that are not as expected, with a few around each.
pub(crate) fn excerpt(rows: &[Row], around: usize) -> Vec<Row> {
    let is_near = |index: usize| {
        let (from, to) = (index.saturating_sub(around), (index + around + 1).min(rows.len()));
        rows[from..to].iter().any(|row| row.kind != RowKind::Matched)
    };
    rows.iter().enumerate().filter(|(index, _)| is_near(*index)).map(|(_, row)| row.clone()).collect()
}

/// The events with those of one tick in the order in which they are expected.
fn in_expected_order<'a>(expected: &[Pattern], told: &[Told<'a>]) -> Vec<Told<'a>> {
    let mut taken = vec![false; expected.len()];
    let mut place = |told: &Told<'_>| {
        let free = expected.iter().enumerate().filter(|(index, _)| !taken[*index]);
        let found = free.map(|(index, pattern)| (index, pattern.matches(told.event, told.at)));
        let found = found.filter(|(_, matches)| *matches).map(|(index, _)| index).next();
        if let Some(index) = found {
            taken[index] = true;
        }
        found.unwrap_or(usize::MAX)
    };
    let mut placed: Vec<(usize, Told<'a>)> = told.iter().map(|told| (place(told), told.clone())).collect();
    // Stable: what is not expected keeps its place behind the others of its tick.
    placed.sort_by_key(|(place, told)| (told.at, *place));
    placed.into_iter().map(|(_, told)| told).collect()
}

type Pair = (Option<usize>, Option<usize>);

/// The cheapest way to make the one of the other. What agrees costs nothing, what resembles less than a missing and an
/// unexpected one, everything else is one or the other.
fn align(expected: &[Pattern], told: &[Told<'_>]) -> Vec<Pair> {
    const ALONE: u32 = 10;
    const RESEMBLES: u32 = 15;
    let (rows, columns) = (expected.len(), told.len());
    let pair_cost = |row: usize, column: usize| {
        let told = &told[column];
        match expected[row].differences(told.event, told.at).len() {
            0 => Some(0),
            differences => {
                expected[row].resembles(told.event).then_some(RESEMBLES + differences.min(4) as u32)
            }
        }
    };
    let width = columns + 1;
    let mut costs = vec![0_u32; (rows + 1) * width];
    for row in (0..=rows).rev() {
        for column in (0..=columns).rev() {
            let cost = |row: usize, column: usize| costs[row * width + column];
            let missing = (row < rows).then(|| cost(row + 1, column) + ALONE);
            let unexpected = (column < columns).then(|| cost(row, column + 1) + ALONE);
            let both = (row < rows && column < columns)
                .then(|| pair_cost(row, column).map(|pair| cost(row + 1, column + 1) + pair))
                .flatten();
            let least = [missing, unexpected, both].into_iter().flatten().min();
            costs[row * width + column] = least.unwrap_or(0);
        }
    }
    let cost = |row: usize, column: usize| costs[row * width + column];
    let (mut row, mut column) = (0, 0);
    let mut pairs = Vec::new();
    while row < rows || column < columns {
        let here = cost(row, column);
        let both = row < rows
            && column < columns
            && pair_cost(row, column).is_some_and(|pair| here == cost(row + 1, column + 1) + pair);
        if both {
            pairs.push((Some(row), Some(column)));
            (row, column) = (row + 1, column + 1);
        } else if row < rows && here == cost(row + 1, column) + ALONE {
            pairs.push((Some(row), None));
            row += 1;
        } else {
            pairs.push((None, Some(column)));
            column += 1;
        }
    }
    pairs
}

fn place_by_place(expected: usize, told: usize) -> Vec<Pair> {
    let there = |index: usize, count: usize| (index < count).then_some(index);
    (0..expected.max(told)).map(|index| (there(index, expected), there(index, told))).collect()
}

fn row(expected: Option<&Pattern>, told: Option<&Told<'_>>) -> Row {
    let differs = match (expected, told) {
        (Some(expected), Some(told)) => expected.differences(told.event, told.at),
        _ => Vec::new(),
    };
    let kind = match (expected, told) {
        (Some(_), Some(_)) if differs.is_empty() => RowKind::Matched,
        (Some(_), Some(_)) => RowKind::Differs,
        (_, None) => RowKind::Missing,
        (None, Some(_)) => RowKind::Unexpected,
    };
    let begins = |pattern: &Pattern| pattern.at.map(|(from, _)| from);
    Row {
        kind,
        at: Seconds(told.map(|told| told.at).or_else(|| expected.and_then(begins)).unwrap_or_default()),
        expected: expected.map(Pattern::timed_text),
        line: expected.map_or(0, |pattern| pattern.line),
        got: told.map(|told| event_text(told.event)),
        differs,
    }
}
