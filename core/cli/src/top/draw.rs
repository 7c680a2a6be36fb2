//! One frame: a function of what is known and what was chosen, for an area of any size.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{bar, border};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table};
use sereno_client::messages::{Alert, Busy, RuleStatus};

use super::board::{Answers, Board, Queue};
use super::report::{lasted, message, per_second};
use super::ui::{Panel, Ui};
use crate::console::printable;
use crate::output::text;
use crate::{info, rules};

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) color: bool,
    pub(super) utf8: bool,
}

const ASCII_BORDER: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const ASCII_BARS: bar::Set<'_> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "#",
    five_eighths: "=",
    half: "=",
    three_eighths: "-",
    one_quarter: "-",
    one_eighth: "_",
    empty: " ",
};

const HELP: [&str; 9] = [
    "tab, right         next panel",
    "shift-tab, left    previous panel",
    "up, down           scroll",
    "page up, page down scroll by ten",
    "home, end          first, last",
    "?                  this help",
    "q, esc, ctrl-c     end",
    "",
    "busiest metrics: over the last minute",
];

impl Look {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// What must not be overlooked stands out without colours too.
    fn alarm(self, color: Color) -> Style {
        self.fg(color).add_modifier(Modifier::BOLD)
    }

    fn level(self, level: &str) -> Style {
        match level {
            "info" => self.fg(Color::Blue),
            "warn" => self.fg(Color::Yellow),
            _ => self.alarm(Color::Red),
        }
    }

    fn health(self, health: &str) -> Style {
        match health {
            "ok" => self.fg(Color::Green),
            "error" | "stale" => self.alarm(Color::Red),
            _ => Style::new(),
        }
    }

    fn block<'a>(self, title: String, is_focused: bool) -> Block<'a> {
        let style = if is_focused { self.alarm(Color::Cyan) } else { self.fg(Color::DarkGray) };
        let set = if self.utf8 { border::ROUNDED } else { ASCII_BORDER };
        let title = Span::styled(format!(" {title} "), if is_focused { style } else { Style::new() });
        Block::bordered().border_set(set).border_style(style).title(title)
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, ui: &Ui, look: Look) {
    let area = frame.area();
    let ingest_rows = match area.height {
        ..12 => 0,
        12..20 => 3,
        20..35 => 5,
        _ => 8,
    };
    let rows = [2, ingest_rows].map(Constraint::Length);
    let [header_area, ingest_area, body, footer_area] =
        Layout::vertical([rows[0], rows[1], Constraint::Min(0), Constraint::Length(1)]).areas(area);
    match &board.answers {
        Some(answers) => {
            frame.render_widget(header(board, answers, look), header_area);
            ingest(frame, board, look, ingest_area);
            panels(frame, board, answers, ui, look, body);
        }
        None => frame.render_widget(Paragraph::new(format!("asking {}", board.address)), header_area),
    }
    frame.render_widget(footer(board, look), footer_area);
    if ui.help {
        help(frame, look, area);
    }
}

fn header<'a>(board: &'a Board, answers: &'a Answers, look: Look) -> Paragraph<'a> {
    let info = &answers.info;
    let mut first = vec![
        Span::styled(printable(&info.server), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(" at {}, up {}", board.address, info::up(info))),
    ];
    if board.trouble.is_some() {
        first.push(Span::styled("  LOST, this is how it was", look.alarm(Color::Red)));
    } else if info.recovering {
        first.push(Span::styled("  RECOVERING, it reads its log back", look.alarm(Color::Yellow)));
    }
    let second = format!(
        "series {}  connections {}  rules {} (generation {})  alerts {}",
        info.series, info.connections, info.rules, info.generation, info.alerts
    );
    Paragraph::new(vec![Line::from(first), Line::from(second)])
}

fn ingest(frame: &mut Frame<'_>, board: &Board, look: Look, area: Rect) {
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), per_second);
    let peak = board.rates.iter().copied().reduce(f64::max);
    let now = board.answers.as_ref().and_then(|answers| answers.rate);
    let block = look.block(format!("ingest {} samples/s, peak {}", rate(now), rate(peak)), false);
    // The newest is at the right edge.
    let width = usize::from(block.inner(area).width);
    let shown = board.rates.len().min(width);
    let bars = board.rates.iter().skip(board.rates.len() - shown).map(|rate| *rate as u64);
    let bars: Vec<u64> = std::iter::repeat_n(0, width - shown).chain(bars).collect();
    let set = if look.utf8 { bar::NINE_LEVELS } else { ASCII_BARS };
    frame.render_widget(
        Sparkline::default().data(bars).bar_set(set).style(look.fg(Color::Cyan)).block(block),
        area,
    );
}

/// All four, or the one in focus where there is no room for four.
fn panels(frame: &mut Frame<'_>, board: &Board, answers: &Answers, ui: &Ui, look: Look, area: Rect) {
    let mut panel = |panel, area| {
        let is_focused = panel == ui.focus();
        let block = look.block(format!("{} {}", title(panel), panel.rows(board)), is_focused);
        let offset = ui.offset(panel).min(panel.rows(board).saturating_sub(1));
        let table = table(panel, answers, offset, block.inner(area).width, look);
        frame.render_widget(table.block(block), area);
    };
    if area.width < 70 || area.height < 10 {
        return panel(ui.focus(), area);
    }
    let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
    let rows: [Rect; 2] = Layout::vertical(halves).areas(area);
    let areas = rows.into_iter().flat_map(|row| Layout::horizontal(halves).areas::<2>(row));
    Panel::ALL.into_iter().zip(areas).for_each(|(which, area)| panel(which, area));
}

const fn title(panel: Panel) -> &'static str {
    match panel {
        Panel::Alerts => "alerts",
        Panel::Busiest => "busiest metrics",
        Panel::Rules => "slowest rules",
        Panel::Queues => "queues",
    }
}

/// In so many columns of the terminal.
fn table<'a>(panel: Panel, answers: &'a Answers, offset: usize, columns: u16, look: Look) -> Table<'a> {
    let widths = widths(panel);
    // Between two columns there is a blank.
    let first = usize::from(columns.saturating_sub(widths.iter().sum::<u16>() + 2));
    let name = |name: &'a str| Cell::from(fit(printable(name), first, look));
    let (header, rows): (_, Vec<Row<'a>>) = match panel {
        Panel::Alerts => {
            let row = |alert| alert_row(alert, name(message(alert)), answers, look);
            (["alert", "level", "for"], answers.alerts.iter().skip(offset).map(row).collect())
        }
        Panel::Busiest => {
            let row = |busy: &'a Busy| {
                Row::new([
                    name(&busy.name),
                    right(per_second(busy.samples_per_second)),
                    right(busy.series.to_string()),
                ])
            };
            (["metric", "samples/s", "series"], answers.busiest.iter().skip(offset).map(row).collect())
        }
        Panel::Rules => {
            let row = |rule: &'a RuleStatus| {
                let health = cell(&rule.health).style(look.health(&rule.health));
                Row::new([name(&rule.id), health, right(rules::span(rule.last_duration))])
            };
            (["rule", "health", "took"], answers.rules.iter().skip(offset).map(row).collect())
        }
        Panel::Queues => {
            let row = |queue: &'a Queue| {
                // Half full is on its way to refuse.
                let is_filling = queue.depth * 2.0 >= queue.capacity && queue.depth > 0.0;
                let style = if is_filling { look.alarm(Color::Yellow) } else { Style::new() };
                let depth = right(format!("{:.0}", queue.depth)).style(style);
                Row::new([name(&queue.name), depth, right(format!("{:.0}", queue.capacity))])
            };
            (["queue", "waiting", "room for"], answers.queues.iter().skip(offset).map(row).collect())
        }
    };
    let [first, second, third] = header;
    // The headers stand as what is below them.
    let second =
        if matches!(panel, Panel::Busiest | Panel::Queues) { right(second) } else { Cell::from(second) };
    let header =
        Row::new([Cell::from(first), second, right(third)]).style(Style::new().add_modifier(Modifier::DIM));
    let [second, third] = widths.map(Constraint::Length);
    Table::new(rows, [Constraint::Fill(1), second, third]).header(header)
}

fn alert_row<'a>(alert: &'a Alert, name: Cell<'a>, answers: &Answers, look: Look) -> Row<'a> {
    let level = cell(&alert.level).style(look.level(&alert.level));
    Row::new([name, level, right(lasted(alert.since, answers))])
}

/// Of the second and the third column; the first has the rest.
const fn widths(panel: Panel) -> [u16; 2] {
    match panel {
        Panel::Alerts => [5, 7],
        Panel::Busiest => [10, 8],
        Panel::Rules => [9, 9],
        Panel::Queues => [8, 8],
    }
}

/// What does not fit is cut, and seen to be cut.
fn fit(name: Cow<'_, str>, columns: usize, look: Look) -> Cow<'_, str> {
    let mark = if look.utf8 { '…' } else { '~' };
    match text::fit(&name, columns, mark) {
        Cow::Borrowed(_) => name,
        Cow::Owned(cut) => Cow::Owned(cut),
    }
}

fn cell(text: &str) -> Cell<'_> {
    Cell::from(printable(text))
}

fn right<'a>(text: impl Into<String>) -> Cell<'a> {
    Cell::from(Line::from(text.into()).right_aligned())
}

fn footer(board: &Board, look: Look) -> Paragraph<'_> {
    match &board.trouble {
        Some(trouble) => Paragraph::new(format!("{trouble}; trying again")).style(look.alarm(Color::Red)),
        None => Paragraph::new("q end  tab panel  up/down scroll  ? help")
            .style(Style::new().add_modifier(Modifier::DIM)),
    }
}

/// In the middle, as far as there is room.
fn help(frame: &mut Frame<'_>, look: Look, area: Rect) {
    let (width, height) = (area.width.min(46), area.height.min(HELP.len() as u16 + 2));
    let middle =
        Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    frame.render_widget(Clear, middle);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(look.block("keys".to_owned(), true)), middle);
}

#[cfg(test)]
mod tests;
