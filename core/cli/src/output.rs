//! What the forms of output have in common: numbers with their units, times, tables, and texts of other people in so
//! many columns.
//!
//! Not here: where output goes (`console`), the plots (`plot`), what a command shows (the command's module).

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod number;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod yaml;

use std::io;

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

/// The form of a list of things that have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum List {
    /// For eyes; the default on a terminal
    Table,
    /// One object
    Json,
    /// The same, as YAML
    Yaml,
    /// An object per line
    Ndjson,
    /// A header and rows, as RFC 4180 says
    Csv,
    /// The name of each, as other commands take it
    Name,
    /// Lines with tabs between fields; the default elsewhere
    Plain,
}

impl List {
    /// The form that was asked for, or the one that suits whoever reads.
    pub(crate) fn or_default(form: Option<Self>, console: &Console) -> Self {
        form.unwrap_or(if console.out_is_tty { Self::Table } else { Self::Plain })
    }
}

/// The form of a report: an answer that is one thing, and no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Report {
    /// For eyes
    #[default]
    #[value(alias = "plain")]
    Table,
    /// One object
    Json,
    /// The same, as YAML
    Yaml,
}

impl Report {
    /// Prints a report that brings the `schema_version` of its form.
    pub(crate) fn print<T: serde::Serialize>(
        self,
        report: &T,
        console: &mut Console,
        table: impl FnOnce(&T, &mut Console) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Table => table(report, console),
            Self::Json => json::line(&mut console.out, report),
            Self::Yaml => yaml::document(&mut console.out, report),
        }
    }
}

/// Counts up with every change of the JSON forms that a program could trip over.
pub(crate) const SCHEMA_VERSION: u32 = 1;

#[cfg(test)]
pub(crate) mod testing;
