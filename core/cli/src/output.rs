//! What the forms of output have in common: numbers with their units, times, tables, and texts of other people in so
//! many columns.
//!
//! Not here: where output goes (`console`), the plots (`plot`), what a command shows (the command's module).

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

use crate::console::Console;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For eyes; the default on a terminal
    Table,
    /// One object
    Json,
    /// An object per line, as it arrives
    Ndjson,
    /// A header and rows, as RFC 4180 says
    Csv,
    /// Lines with tabs between fields; the default elsewhere
    Plain,
}

impl Form {
    /// The form that was asked for, or the one that suits whoever reads.
    pub(crate) fn or_default(form: Option<Self>, console: &Console) -> Self {
        form.unwrap_or(if console.out_is_tty { Self::Table } else { Self::Plain })
    }
}

/// Counts up with every change of the JSON forms that a program could trip over.
pub(crate) const SCHEMA_VERSION: u32 = 1;

#[cfg(test)]
pub(crate) mod testing;
