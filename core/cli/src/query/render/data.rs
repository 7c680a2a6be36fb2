//! Answers for programs. All digits are there, and what is printed can be sent again: `sereno send` reads the CSV and the
//! JSON lines of series.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::View;
use crate::console::printable;
use crate::output::csv::LabelColumns;
use crate::output::json::{Labels, Number, Time, line};
use crate::output::{SCHEMA_VERSION, number, time};
use crate::query::shown::Shown;

/// One value per line; where there are several series, in fields behind the series and the time, with tabs between. Of
/// several values, each is named in a field of its own.
pub(in crate::query) fn plain(view: &View<'_>, out: &mut dyn Write) -> io::Result<()> {
    if let [Shown { column: None, points, .. }] = view.shown.as_slice() {
        return points.iter().try_for_each(|(_, value)| writeln!(out, "{}", number::exact(*value)));
    }
    for shown in &view.shown {
        let key = shown.key();
        let key = printable(&key);
        let column =
            shown.column.as_ref().map(|column| format!("{}\t", printable(column))).unwrap_or_default();
        for (at, value) in &shown.points {
            writeln!(out, "{key}\t{}\t{column}{}", time::exact(*at), number::exact(*value))?;
        }
    }
    Ok(())
}

/// A header and a row per value: the metric's name, where there is one, the labels, the time and the value.
pub(in crate::query) fn csv(view: &View<'_>, out: &mut dyn Write) -> io::Result<()> {
    let shown = &view.shown;
    let labels = LabelColumns::of(shown.iter().map(|one| one.labels.as_slice()));
    let named = shown.iter().any(|one| !one.name.is_empty()).then_some("name");
    let several = shown.iter().any(|one| one.column.is_some()).then_some("column");
    let before = named.into_iter().map(str::to_owned).chain(labels.header());
    let behind = several.into_iter().chain(["time", "value"]).map(str::to_owned);
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(before.chain(behind))?;
    for one in shown {
        let name = named.map(|_| printable(&one.name));
        let column = several.map(|_| printable(one.column.as_deref().unwrap_or_default()));
        let texts: Vec<Cow<'_, str>> =
            name.into_iter().chain(labels.row(&one.labels)).chain(column).collect();
        for (at, value) in &one.points {
            let numbers = [time::exact(*at), number::exact(*value)];
            csv.write_record(texts.iter().map(AsRef::as_ref).chain(numbers.iter().map(String::as_str)))?;
        }
    }
    csv.flush()
}

/// One object with all there is to know.
pub(in crate::query) fn json(view: &View<'_>, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema_version: u32,
        selector: &'a str,
        aggregation: Option<&'a str>,
        window_seconds: f64,
        step_seconds: f64,
        offset_seconds: f64,
        across: Option<&'a str>,
        as_of: Time,
        exact: bool,
        matched_series: u64,
        series: Vec<Series<'a>>,
    }
    #[derive(Serialize)]
    struct Series<'a> {
        series: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        name: &'a str,
        labels: Labels<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<&'a str>,
        points: Vec<Point>,
    }
    #[derive(Serialize)]
    struct Point {
        time: Time,
        value: Number,
    }
    fn point((at, value): &(i64, f64)) -> Point {
        Point { time: Time(*at), value: Number(*value) }
    }
    fn series_of(one: &Shown) -> Series<'_> {
        Series {
            series: one.key(),
            name: &one.name,
            labels: Labels(&one.labels),
            column: one.column.as_deref(),
            points: one.points.iter().map(point).collect(),
        }
    }
    let plan = view.plan;
    let answer = Answer {
        schema_version: SCHEMA_VERSION,
        selector: &plan.query.selector,
        aggregation: plan.aggregation.as_deref(),
        window_seconds: plan.window.as_secs_f64(),
        step_seconds: plan.step.as_secs_f64(),
        offset_seconds: plan.offset.as_secs_f64(),
        across: Some(view.across.as_str()).filter(|across| !across.is_empty()),
        as_of: Time(view.as_of),
        exact: view.exact,
        matched_series: view.series,
        series: view.shown.iter().map(series_of).collect(),
    };
    line(out, &answer)
}

/// An object per value.
pub(in crate::query) fn ndjson(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Value<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        name: &'a str,
        labels: Labels<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<&'a str>,
        time: Time,
        value: Number,
    }
    let Shown { name, labels, column, points } = shown;
    points.iter().try_for_each(|(at, value)| {
        let (labels, column) = (Labels(labels), column.as_deref());
        line(out, &Value { name, labels, column, time: Time(*at), value: Number(*value) })
    })
}
