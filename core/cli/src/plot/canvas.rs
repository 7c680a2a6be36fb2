//! The drawing area: dots finer than characters, and which line each character's colour comes from.

use super::Style;

/// Bits of a braille character, by column and row within it.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// By the bits upper left, upper right, lower left, lower right.
const QUADRANTS: [char; 16] =
    [' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█'];
/// What draws the first line, the second …, where dots have one shape only.
pub(super) const MARKS: [char; 8] = ['*', '+', 'o', 'x', '#', '@', '%', '='];

/// Characters of `columns` × `rows`, empty at first.
pub(super) struct Canvas {
    style: Style,
    columns: usize,
    /// Per character, which of its dots are set, and by which line last.
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    pub(super) fn new(style: Style, columns: usize, rows: usize) -> Self {
        Self { style, columns, cells: vec![(0, 0); columns * rows] }
    }

    /// Sets the dots from one to the other, both included.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize), owner: usize) {
        let (dx, dy) = (to.0 as i64 - from.0 as i64, to.1 as i64 - from.1 as i64);
        let steps = dx.abs().max(dy.abs()).max(1);
        for i in 0..=steps {
            // Rounded, and between the ends, which are not negative.
            let at =
                |start: usize, by: i64| (start as i64 + (2 * by * i + steps).div_euclid(2 * steps)) as usize;
            self.dot(at(from.0, dx), at(from.1, dy), owner);
        }
    }

    fn dot(&mut self, x: usize, y: usize, owner: usize) {
        let (across, down) = self.style.dots();
        let (column, row) = (x / across, y / down);
        let bit = match self.style {
            Style::Braille => BRAILLE[x % across][y % down],
            Style::Blocks => 1 << (x % across + 2 * (y % down)),
            Style::Ascii => 1,
        };
        if column >= self.columns {
            return;
        }
        if let Some(cell) = self.cells.get_mut(row * self.columns + column) {
            *cell = (cell.0 | bit, owner);
        }
    }

    /// The characters of a row up to the last that is not blank, each with its line.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (char, Option<usize>)> {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let end = cells.iter().rposition(|cell| cell.0 != 0).map_or(0, |last| last + 1);
        cells[..end].iter().map(|(dots, owner)| match dots {
            0 => (' ', None),
            _ => (self.glyph(*dots, *owner), Some(*owner)),
        })
    }

    fn glyph(&self, dots: u8, owner: usize) -> char {
        match self.style {
            Style::Braille => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
            Style::Blocks => QUADRANTS[usize::from(dots & 0xf)],
            Style::Ascii => MARKS[owner % MARKS.len()],
        }
    }
}
