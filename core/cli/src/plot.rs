//! Plots of several series for a terminal: from points and a size to lines of text.
//!
//! Invariants:
//! * a pure function: the same points give the same lines;
//! * no line is wider, and there are not more of them, than was allowed, whatever the points are: NaN, infinities,
//!   one point, all the same, times at the ends of the range.
//!
//! Not here: which series are worth showing, and how large the terminal is.

mod axis;
mod canvas;

use crate::console::printable;
use crate::output::number::Unit;
use crate::output::text;

use axis::Scale;
use canvas::{Canvas, MARKS};

/// What dots are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// 2 x 4 dots in a character
    Braille,
    /// 2 x 2 quarters of a character, for fonts without braille
    Blocks,
    /// Characters of ASCII, another for each series
    Ascii,
}

impl Style {
    /// Dots of a character, across and down.
    fn dots(self) -> (usize, usize) {
        match self {
            Self::Braille => (2, 4),
            Self::Blocks => (2, 2),
            Self::Ascii => (1, 1),
        }
    }

    fn frame(self) -> Frame {
        match self {
            Self::Ascii => Frame { side: '|', mark: '+', corner: '+', bottom: '-', below: '+', cut: '~' },
            _ => Frame { side: '│', mark: '┤', corner: '└', bottom: '─', below: '┬', cut: '…' },
        }
    }
}

struct Frame {
    side: char,
    mark: char,
    corner: char,
    bottom: char,
    below: char,
    /// Stands for what was cut off a name.
    cut: char,
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Nanoseconds since the epoch, rising; a value that is not finite is a gap.
    pub(crate) points: Vec<(i64, f64)>,
}

/// Stretches of time, drawn in a row of their own below the plot.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    /// Which of the lines it belongs to, for its colour.
    pub(crate) owner: usize,
    /// Nanoseconds since the epoch, from and to.
    pub(crate) spans: Vec<(i64, i64)>,
}

/// What is drawn, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plot<'a> {
    pub(crate) lines: &'a [Line],
    /// Below the times; left out where rows are few.
    pub(crate) bands: &'a [Band],
    /// The times at the left and right edges; `None`: those of the points.
    pub(crate) period: Option<(i64, i64)>,
    /// Points farther apart than this, in nanoseconds, are not joined.
    pub(crate) gap: Option<u64>,
    pub(crate) unit: Unit,
    pub(crate) style: Style,
    pub(crate) color: bool,
    /// Columns and rows there are, the legend's included.
    pub(crate) size: (usize, usize),
}

/// Codes of the terminal's own colours, so that they suit its background.
const COLORS: [u8; 6] = [36, 33, 35, 32, 34, 31];
/// The smallest drawing area for which a scale and a legend are given room.
const COLUMNS_MIN: usize = 8;
const ROWS_MIN: usize = 3;
/// Columns of a time below the plot, and a blank.
const TIME_WIDTH: usize = 10;

/// The lines of the plot; none if there is nothing to draw, or no room.
pub(crate) fn draw(plot: &Plot<'_>) -> Vec<String> {
    let (width, height) = plot.size;
    let Some(period) = plot.visible() else { return Vec::new() };
    if width == 0 || height == 0 {
        return Vec::new();
    }
    let mut legend = plot.legend((height / 4).min(height.saturating_sub(ROWS_MIN + 2)));
    let axis_rows = if height >= ROWS_MIN + 2 { 2 } else { 0 };
    let free = (height - legend.len() - axis_rows).saturating_sub(ROWS_MIN);
    let bands = if axis_rows > 0 { &plot.bands[..plot.bands.len().min(free)] } else { &[] };
    let rows = height - legend.len() - axis_rows - bands.len();
    let finite = plot.points(period).map(|(_, value)| value);
    let Some(scale) = Scale::of(finite, rows, plot.unit) else { return Vec::new() };

    let side = Side::new(&scale, plot.style, rows, width);
    let columns = width - side.width;
    let canvas = plot.canvas(&scale, period, (columns, rows));
    let mut lines: Vec<String> =
        (0..rows).map(|row| format!("{}{}", side.text(row), plot.paint(canvas.row(row)))).collect();
    if axis_rows > 0 {
        lines.extend(plot.times(period, &side, columns));
    }
    lines.extend(bands.iter().map(|band| plot.band(band, period, &side, columns)));
    lines.append(&mut legend);
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

impl Plot<'_> {
    /// The finite points in the period.
    fn points(&self, (start, end): (i64, i64)) -> impl Iterator<Item = (i64, f64)> {
        let all = self.lines.iter().flat_map(|line| line.points.iter().copied());
        all.filter(move |(time, value)| value.is_finite() && (start..=end).contains(time))
    }

    /// The period that is drawn; `None` if nothing is in it.
    fn visible(&self) -> Option<(i64, i64)> {
        let (first, last) = self.period.unwrap_or((i64::MIN, i64::MAX));
        let mut times = self.points((first, last)).map(|(time, _)| time);
        let one = times.next()?;
        let (start, end) = times.fold((one, one), |(start, end), time| (start.min(time), end.max(time)));
        Some(self.period.unwrap_or((start, end)))
    }

    fn canvas(&self, scale: &Scale, period: (i64, i64), (columns, rows): (usize, usize)) -> Canvas {
        let (across, down) = self.style.dots();
        let last = ((columns * across).max(1) - 1, (rows * down).max(1) - 1);
        let place = |(time, value): (i64, f64)| {
            let x = share(time, period) * last.0 as f64;
            (x.round() as usize, (scale.depth(value) * last.1 as f64).round() as usize)
        };
        let mut canvas = Canvas::new(self.style, columns, rows);
        // The first line comes last, and so on top.
        for (owner, line) in self.lines.iter().enumerate().rev() {
            let mut before: Option<(i64, f64)> = None;
            for point in line.points.iter().copied() {
                let shown = point.1.is_finite() && (period.0..=period.1).contains(&point.0);
                if shown {
                    let from = before.filter(|before| self.joined(before.0, point.0)).unwrap_or(point);
                    canvas.line(place(from), place(point), owner);
                }
                before = shown.then_some(point);
            }
        }
        canvas
    }

    fn joined(&self, from: i64, to: i64) -> bool {
        self.gap.is_none_or(|gap| to.abs_diff(from) <= gap)
    }

    /// A row of the canvas, with the fewest changes of colour.
    fn paint(&self, cells: impl Iterator<Item = (char, Option<usize>)>) -> String {
        let mut text = String::new();
        let mut painting = None;
        for (c, owner) in cells {
            let color = owner.filter(|_| self.color).map(color_of);
            if color != painting {
                text += if painting.is_some() { "\x1b[0m" } else { "" };
                text += &color.map_or_else(String::new, |code| format!("\x1b[{code}m"));
                painting = color;
            }
            text.push(c);
        }
        text + if painting.is_some() { "\x1b[0m" } else { "" }
    }

    /// The line below the plot and the times below that.
    fn times(&self, period: (i64, i64), side: &Side, columns: usize) -> [String; 2] {
        let frame = self.style.frame();
        let mut rule = vec![frame.bottom; columns];
        let mut labels = String::new();
        let origin = side.width;
        for (time, label) in axis::times(period.0, period.1, columns / TIME_WIDTH) {
            let at = (share(time, period) * columns.saturating_sub(1) as f64).round() as usize;
            let from = (origin + at).saturating_sub(label.len() / 2);
            let taken = labels.len();
            let room = from + label.len() <= origin + columns && (taken == 0 || from > taken);
            if room {
                labels += &" ".repeat(from - taken);
                labels += &label;
                rule[at.min(columns - 1)] = frame.below;
            }
        }
        [format!("{}{}", side.corner(), String::from_iter(rule)), labels]
    }

    /// Where a band's spans are. None is too short to be seen.
    fn band(&self, band: &Band, period: (i64, i64), side: &Side, columns: usize) -> String {
        let last = columns.saturating_sub(1);
        let column =
            |time: i64| (share(time.clamp(period.0, period.1), period) * last as f64).round() as usize;
        let mut cells = vec![(' ', None); columns];
        let within = |(from, to): &&(i64, i64)| *to >= period.0 && *from <= period.1;
        for (from, to) in band.spans.iter().filter(within) {
            let mark = if self.style == Style::Ascii { MARKS[band.owner % MARKS.len()] } else { '▀' };
            cells[column(*from)..=column(*to).max(column(*from)).min(last)].fill((mark, Some(band.owner)));
        }
        format!("{}{}", " ".repeat(side.width), self.paint(cells.into_iter()))
    }

    /// Which colour or mark is which series, in so many rows; what does not fit is counted.
    fn legend(&self, rows: usize) -> Vec<String> {
        let width = self.size.0;
        if width < COLUMNS_MIN {
            return Vec::new();
        }
        let mut packed: Vec<Vec<Entry>> = Vec::new();
        let mut shown = 0;
        for (owner, line) in self.lines.iter().enumerate() {
            let entry = self.entry(owner, &line.name);
            let full = packed.len() >= rows;
            match packed.last_mut() {
                Some(row) if taken(row) + entry.width <= width => row.push(entry),
                _ if full => break,
                _ => packed.push(vec![entry]),
            }
            shown += 1;
        }
        if let Some(row) = packed.last_mut().filter(|_| shown < self.lines.len()) {
            row.push(more(self.lines.len() - shown));
            while taken(row) > width && row.len() > 1 {
                row.truncate(row.len() - 2);
                shown -= 1;
                row.push(more(self.lines.len() - shown));
            }
            if taken(row) > width {
                packed.pop();
            }
        }
        packed.iter().map(|row| row.iter().map(|entry| entry.text.as_str()).collect()).collect()
    }

    fn entry(&self, owner: usize, name: &str) -> Entry {
        let name = printable(name);
        // A mark, a blank, and a blank behind.
        let name = text::fit(&name, self.size.0.saturating_sub(3), self.style.frame().cut);
        let mark = match self.style {
            Style::Ascii => MARKS[owner % MARKS.len()],
            _ => '━',
        };
        let mark = self.paint([(mark, Some(owner))].into_iter());
        Entry { width: 3 + text::width(&name), text: format!("{mark} {name} ") }
    }
}

/// A part of the legend.
struct Entry {
    text: String,
    /// Without the codes of colours.
    width: usize,
}

fn more(count: usize) -> Entry {
    let text = format!("and {count} more");
    Entry { width: text.len(), text }
}

fn taken(row: &[Entry]) -> usize {
    row.iter().map(|entry| entry.width).sum()
}

fn color_of(owner: usize) -> u8 {
    COLORS[owner % COLORS.len()]
}

/// How far into the period a time of it is, from 0 to 1.
fn share(time: i64, (start, end): (i64, i64)) -> f64 {
    time.abs_diff(start) as f64 / end.abs_diff(start).max(1) as f64
}

/// The vertical scale beside the plot.
struct Side {
    frame: Frame,
    /// Of the texts and the line.
    width: usize,
    /// Per row, its text.
    labels: Vec<Option<String>>,
}

impl Side {
    fn new(scale: &Scale, style: Style, rows: usize, columns: usize) -> Self {
        let mut labels = vec![None; rows];
        for (label, depth) in scale.marks() {
            let row = (depth * (rows.max(1) - 1) as f64).round() as usize;
            // Where rows are few, the first mark of a row stays.
            if let Some(free) = labels.get_mut(row).filter(|label| label.is_none()) {
                *free = Some(label);
            }
        }
        let width = 2 + labels.iter().flatten().map(|label| text::width(label)).max().unwrap_or(0);
        let width = if width + COLUMNS_MIN <= columns { width } else { 0 };
        Self { frame: style.frame(), width, labels }
    }

    fn text(&self, row: usize) -> String {
        match (self.width, &self.labels[row]) {
            (0, _) => String::new(),
            (width, Some(label)) => format!("{label:>width$} {}", self.frame.mark, width = width - 2),
            (width, None) => format!("{:>width$}", self.frame.side),
        }
    }

    fn corner(&self) -> String {
        match self.width {
            0 => String::new(),
            width => format!("{:>width$}", self.frame.corner),
        }
    }
}

#[cfg(test)]
mod tests;
