//! The forms of an answer. Version 1 sends no times, so rows are numbered, from 1.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::plot;
use crate::args::Query;
use crate::console::Console;

/// Numbered rows, and a plot for the eyes when there are any.
pub(super) fn table(args: &Query, values: &[f32], console: &mut Console) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY.with_rounded_corners());
    table.set_header([row_name(args), value_name(args)]);
    table.add_rows(values.iter().enumerate().map(|(i, value)| [(i + 1).to_string(), value.to_string()]));
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    writeln!(console.out, "{table}")?;
    match console.out_is_tty {
        true => console.out.write_all(plot::plot(values, console.width).as_bytes()),
        false => Ok(()),
    }
}

/// One value per line.
pub(super) fn plain(values: &[f32], out: &mut dyn Write) -> io::Result<()> {
    values.iter().try_for_each(|value| writeln!(out, "{value}"))
}

/// A header and numbered rows.
pub(super) fn csv(args: &Query, values: &[f32], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{},{}", row_name(args), value_name(args))?;
    values.iter().enumerate().try_for_each(|(i, value)| writeln!(out, "{},{value}", i + 1))
}

/// One object with all values. NaN and the infinities, which JSON does not have, are null.
pub(super) fn json(args: &Query, values: &[f32], out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        metric: &'a str,
        aggregation: Option<&'a str>,
        window_seconds: f64,
        values: &'a [f32],
    }
    let (raw, window_seconds) = (is_raw(args), args.window_secs);
    let aggregation = (!raw).then_some(args.aggregation.as_str());
    serde_json::to_writer(&mut *out, &Answer { metric: &args.metric, aggregation, window_seconds, values })?;
    out.write_all(b"\n")
}

/// A window of 0 asks for the values themselves.
fn is_raw(args: &Query) -> bool {
    args.window_secs == 0.0
}

fn row_name(args: &Query) -> &str {
    if is_raw(args) { "sample" } else { "window" }
}

fn value_name(args: &Query) -> &str {
    if is_raw(args) { "value" } else { &args.aggregation }
}
