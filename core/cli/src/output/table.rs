//! Tables in the one style they all have.

use comfy_table::{CellAlignment, Table, presets};

use super::text;
use crate::console::{Console, printable};

/// The first column is not made narrower than this.
const FIRST_COLUMN_MIN: usize = 12;

/// A table with a header. Texts may be anybody's: what steers a terminal is escaped. On a terminal that is too narrow the
/// texts of the first column are cut.
pub(crate) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// How many columns are texts; those behind are numbers, aligned to the right.
    texts: usize,
    utf8: bool,
    width_max: Option<usize>,
}

impl Grid {
    /// An empty table; the first `texts` columns are aligned to the left.
    pub(crate) fn new<S: AsRef<str>>(
        console: &Console,
        header: impl IntoIterator<Item = S>,
        texts: usize,
    ) -> Self {
        let width_max = console.out_is_tty.then_some(console.width);
        Self { header: cells(header), rows: Vec::new(), texts, utf8: console.utf8, width_max }
    }

    pub(crate) fn row<S: AsRef<str>>(&mut self, row: impl IntoIterator<Item = S>) {
        self.rows.push(cells(row));
    }

    /// The table's lines, without the blanks at their ends.
    pub(crate) fn lines(mut self) -> Vec<String> {
        let lines = self.drawn();
        let excess = width(&lines).saturating_sub(self.width_max.unwrap_or(usize::MAX));
        if excess == 0 {
            return lines;
        }
        let mark = if self.utf8 { '…' } else { '~' };
        let first = self.rows.iter().filter_map(|row| row.first());
        let widest = first.map(|cell| text::width(cell)).max().unwrap_or(0);
        let fits = widest.saturating_sub(excess).max(FIRST_COLUMN_MIN);
        for cell in self.rows.iter_mut().filter_map(|row| row.first_mut()) {
            *cell = text::fit(cell, fits, mark).into_owned();
        }
        self.drawn()
    }

    fn drawn(&self) -> Vec<String> {
        let mut table = Table::new();
        match self.utf8 {
            true => table.load_style(presets::UTF8_BORDERS_ONLY.with_rounded_corners()),
            false => table.load_style(presets::ASCII_BORDERS_ONLY_CONDENSED),
        };
        table.set_header(&self.header);
        table.add_rows(&self.rows);
        let right = CellAlignment::Right;
        table.column_iter_mut().skip(self.texts).for_each(|column| column.set_cell_alignment(right));
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

fn cells<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(|text| printable(text.as_ref()).into_owned()).collect()
}

/// The width of the widest line.
pub(crate) fn width(lines: &[String]) -> usize {
    lines.iter().map(|line| text::width(line)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::console;

    #[test]
    fn a_narrow_terminal_cuts_names_and_a_pipe_does_not() {
        let told = |console: Console| {
            let mut grid = Grid::new(&console, ["series", "last"], 1);
            grid.row([r#"http.requests{route="/a/long/one"}"#, "17"]);
            grid.row(["foo", "4"]);
            grid.lines().join("\n")
        };
        insta::assert_snapshot!(told(Console { out_is_tty: true, ..console(40) }), @r#"
        ╭──────────────────────────────────────╮
        │ series                          last │
        ╞══════════════════════════════════════╡
        │ http.requests{route="/a/long…     17 │
        │ foo                                4 │
        ╰──────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Console { out_is_tty: true, utf8: false, ..console(20) }), @"
        +---------------------+
        | series         last |
        +=====================+
        | http.reques~     17 |
        | foo               4 |
        +---------------------+
        ");
        insta::assert_snapshot!(told(console(20)), @r#"
        ╭───────────────────────────────────────────╮
        │ series                               last │
        ╞═══════════════════════════════════════════╡
        │ http.requests{route="/a/long/one"}     17 │
        │ foo                                     4 │
        ╰───────────────────────────────────────────╯
        "#);
    }
}
