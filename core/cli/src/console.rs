//! Where output goes: data to `out`, everything else to `err`. What they are decides about tables and colours.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};

/// The two streams of a command and what is known about them.
pub struct Console {
    /// Data. Buffered: whoever wants a line seen at once flushes.
    pub out: Box<dyn Write>,
    /// Messages, progress, errors.
    pub err: Box<dyn Write>,
    /// Whether a human reads `out`.
    pub out_is_tty: bool,
    /// Whether a human reads `err`.
    pub err_is_tty: bool,
    /// Whether `out` takes colours.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Rows of the terminal.
    pub height: usize,
    /// Whether the terminal shows more than ASCII.
    pub utf8: bool,
}

impl Console {
    /// The process's own streams. `NO_COLOR` and `TERM=dumb` are honoured.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let out_is_tty = io::stdout().is_terminal();
        let size = terminal_size::terminal_size();
        Self {
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            out_is_tty,
            err_is_tty: io::stderr().is_terminal(),
            color: out_is_tty && !set("NO_COLOR") && !dumb,
            width: size.map_or(80, |(width, _)| usize::from(width.0)),
            height: size.map_or(24, |(_, height)| usize::from(height.0)),
            utf8: locale_is_utf8(),
        }
    }

    /// One line to the user. When even that cannot be written, nobody is left to be told.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) {
        drop(writeln!(self.err, "{text}"));
    }
}

/// What the locale says, the strongest of its variables first.
fn locale_is_utf8() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = variables.filter_map(std::env::var_os).find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Colours of a terminal, in the order of their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Grey = 90,
}

impl Color {
    /// `text` in this colour, and back to normal.
    pub(crate) fn paint(self, text: &str) -> String {
        format!("\x1b[{}m{text}\x1b[0m", self as u8)
    }
}

/// `text` on one line and without the characters that steer a terminal: who may send a metric or write a rule need
/// not be who watches.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}
