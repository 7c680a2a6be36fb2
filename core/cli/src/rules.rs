//! `sereno rules`: what the rules of a server do, reading them again, and checking files without a server.

pub(crate) mod check;
mod list;
mod reload;

use std::io::Write;

use sereno_client::messages;
use sereno_runtime::diagnostic::{Diagnostic, Severity};

use crate::console::{Color, Console, printable};
use crate::{Context, Stop};

pub(crate) use check::{Check, CheckArgs};
pub(crate) use list::span;
pub(crate) use reload::Args as ReloadArgs;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The rules of the server, and how they are
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Check rule files and scripts as the server would, without a server
    Check(CheckArgs),
    /// Let the server read its rules and scripts again, and wait until it has
    Reload(ReloadArgs),
}

/// What needs a server; `check` does not, and was done before.
pub(crate) async fn run(command: &Command, context: &mut Context<'_>) -> Result<(), Stop> {
    match command {
        Command::List(args) => list::run(args, context).await,
        Command::Reload(args) => reload(args, context).await,
        Command::Check(_) => Ok(()),
    }
}

pub(crate) async fn reload(args: &ReloadArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    reload::run(args, context).await
}

fn print(diagnostic: &Diagnostic, console: &mut Console) -> std::io::Result<()> {
    let text = diagnostic.to_string();
    let color = match diagnostic.severity {
        Severity::Error => Color::Red,
        Severity::Warning => Color::Yellow,
    };
    match text.split_once(':').filter(|_| console.color) {
        Some((severity, rest)) => writeln!(console.out, "{}:{rest}\n", color.paint(severity)),
        None => writeln!(console.out, "{text}\n"),
    }
}

/// What the server found, in the same words as what a check finds.
fn found(diagnostic: &messages::Diagnostic) -> Diagnostic {
    let text = |text: &str| printable(text).into_owned();
    let optional = |of: &str| Some(text(of)).filter(|text| !text.is_empty());
    Diagnostic {
        severity: if diagnostic.severity == "warning" { Severity::Warning } else { Severity::Error },
        path: text(&diagnostic.path).into(),
        line: diagnostic.line,
        column: diagnostic.column,
        length: 1,
        message: text(&diagnostic.message),
        hint: optional(&diagnostic.hint),
        // Its blanks place the caret, and `Display` takes the control characters out.
        source_line: Some(diagnostic.excerpt.clone()).filter(|line| !line.is_empty()),
    }
}

/// A finding in JSON.
#[derive(serde::Serialize)]
struct Finding<'a> {
    severity: &'a str,
    message: &'a str,
    path: &'a str,
    line: u32,
    column: u32,
    excerpt: &'a str,
    hint: &'a str,
}

impl<'a> Finding<'a> {
    fn all(diagnostics: &'a [messages::Diagnostic]) -> Vec<Self> {
        let finding = |diagnostic: &'a messages::Diagnostic| Self {
            severity: &diagnostic.severity,
            message: &diagnostic.message,
            path: &diagnostic.path,
            line: diagnostic.line,
            column: diagnostic.column,
            excerpt: &diagnostic.excerpt,
            hint: &diagnostic.hint,
        };
        diagnostics.iter().map(finding).collect()
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `2 errors and 1 warning`; `None` if there is nothing.
fn findings(diagnostics: &[messages::Diagnostic]) -> Option<String> {
    let warnings = diagnostics.iter().filter(|diagnostic| diagnostic.severity == "warning").count();
    match (diagnostics.len() - warnings, warnings) {
        (0, 0) => None,
        (0, warnings) => Some(counted(warnings, "warning")),
        (errors, 0) => Some(counted(errors, "error")),
        (errors, warnings) => {
            Some(format!("{} and {}", counted(errors, "error"), counted(warnings, "warning")))
        }
    }
}
