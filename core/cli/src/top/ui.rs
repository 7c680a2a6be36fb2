//! What keys do.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::board::Board;

/// The panels that scroll, in the order in which tab goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Alerts,
    Busiest,
    Rules,
    Queues,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Alerts, Self::Busiest, Self::Rules, Self::Queues];

    /// How many rows it has.
    pub(super) fn rows(self, board: &Board) -> usize {
        let Some(answers) = &board.answers else { return 0 };
        match self {
            Self::Alerts => answers.alerts.len(),
            Self::Busiest => answers.busiest.len(),
            Self::Rules => answers.rules.len(),
            Self::Queues => answers.queues.len(),
        }
    }
}

const PAGE: usize = 10;

/// What the user has chosen to see.
#[derive(Debug, Default)]
pub(super) struct Ui {
    /// An index of [`Panel::ALL`].
    focus: usize,
    /// The first row of each.
    offsets: [usize; Panel::ALL.len()],
    pub(super) help: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Quit,
}

impl Ui {
    pub(super) fn focus(&self) -> Panel {
        Panel::ALL[self.focus]
    }

    /// The first row that is shown of a panel.
    pub(super) fn offset(&self, panel: Panel) -> usize {
        self.offsets[panel as usize]
    }

    pub(super) fn take(&mut self, input: &Event, board: &Board) -> Step {
        match input {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key, board),
            _ => Step::Stay,
        }
    }

    fn key(&mut self, key: KeyEvent, board: &Board) -> Step {
        let panels = Panel::ALL.len();
        let last = self.focus().rows(board).saturating_sub(1);
        let offset = &mut self.offsets[self.focus];
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Step::Quit,
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => return Step::Quit,
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Tab | KeyCode::Right => self.focus = (self.focus + 1) % panels,
            KeyCode::BackTab | KeyCode::Left => self.focus = (self.focus + panels - 1) % panels,
            KeyCode::Up => *offset = offset.saturating_sub(1),
            KeyCode::Down => *offset = (*offset + 1).min(last),
            KeyCode::PageUp => *offset = offset.saturating_sub(PAGE),
            KeyCode::PageDown => *offset = (*offset + PAGE).min(last),
            KeyCode::Home => *offset = 0,
            KeyCode::End => *offset = last,
            _ => {}
        }
        Step::Stay
    }
}

#[cfg(test)]
mod tests {
    use sereno_client::messages::{Busy, Info};

    use super::*;
    use crate::top::board::Answers;

    #[test]
    fn keys_move_and_end() {
        let mut board = Board::new("SERVER");
        board.take(Answers::new(Info::default(), vec![Busy::default(); 15], Vec::new(), Vec::new()));
        let mut ui = Ui::default();
        let mut press = |code| {
            let step = ui.take(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), &board);
            (step, ui.focus(), ui.offset(ui.focus()), ui.help)
        };
        let stay = |panel, offset| (Step::Stay, panel, offset, false);
        assert_eq!(press(KeyCode::Down), stay(Panel::Alerts, 0), "there is nothing to scroll");
        assert_eq!(press(KeyCode::Tab), stay(Panel::Busiest, 0));
        assert_eq!(press(KeyCode::Down), stay(Panel::Busiest, 1));
        assert_eq!(press(KeyCode::PageDown), stay(Panel::Busiest, 11));
        assert_eq!(press(KeyCode::PageDown), stay(Panel::Busiest, 14));
        assert_eq!(press(KeyCode::Up), stay(Panel::Busiest, 13));
        assert_eq!(press(KeyCode::Home), stay(Panel::Busiest, 0));
        assert_eq!(press(KeyCode::End), stay(Panel::Busiest, 14));
        assert_eq!(press(KeyCode::BackTab), stay(Panel::Alerts, 0));
        assert_eq!(press(KeyCode::Left), stay(Panel::Queues, 0));
        assert_eq!(press(KeyCode::Right), stay(Panel::Alerts, 0));
        assert_eq!(press(KeyCode::Char('?')), (Step::Stay, Panel::Alerts, 0, true));
        assert_eq!(press(KeyCode::Esc), stay(Panel::Alerts, 0));
        assert_eq!(press(KeyCode::Char('x')), stay(Panel::Alerts, 0));
        for quit in [KeyCode::Esc, KeyCode::Char('q')] {
            assert_eq!(press(quit).0, Step::Quit);
        }
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(ui.take(&interrupt, &board), Step::Quit);
        let plain = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE));
        assert_eq!(
            (ui.take(&plain, &board), ui.take(&Event::Resize(1, 1), &board)),
            (Step::Stay, Step::Stay)
        );
    }
}
