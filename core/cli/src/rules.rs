//! `sereno rules`: what the rules of a server do, reading them again, and checking files without a server.

pub(crate) mod check;
mod diff;
mod eval;
mod explain;
mod functions;
mod history;
mod list;
mod pause;
mod reload;
mod replay;
mod schema;
mod show;
mod sources;
pub(crate) mod test;
mod words;

use std::io::Write;

use sereno_client::{ClientError, messages};
use sereno_rules::report;
use sereno_runtime::diagnostic::{Diagnostic, Severity};

use crate::args::Globals;
use crate::console::{Color, Console, printable};
use crate::{Context, Exit, Failure, Stop};

pub(crate) use check::CheckArgs;
pub(crate) use list::span;
pub(crate) use reload::Args as ReloadArgs;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The rules of the server, and how they are
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// A rule as the server understands it, defaults included, and how it fares
    Show(show::Args),
    /// Why an instance of a rule is as it is, from the samples to the event
    Explain(explain::Args),
    /// What a rule would have told over stored history, and how that differs from what it told
    Replay(replay::Args),
    /// Check rule files and scripts as the server would, without a server
    Check(CheckArgs),
    /// Run the tests beside rule files, in virtual time, without a server
    Test(test::Args),
    /// What rules give at one tick, without any effect
    Eval(eval::Args),
    /// What a folder would mean for the server: what would open, close and keep; or how two generations differ
    #[command(visible_alias = "plan")]
    Diff(diff::Args),
    /// The generations of the rules that the server has run
    History(history::Args),
    /// Make a stored generation active; the files stay as they are, and are not read until they change
    Rollback(reload::RollbackArgs),
    /// Let rules rest: they are not evaluated, and their state stands
    Pause(pause::PauseArgs),
    /// End the rest of rules
    Resume(pause::ResumeArgs),
    /// Let the server read its rules and scripts again, and wait until it has
    Reload(ReloadArgs),
    /// What scripts may call
    Functions(functions::Args),
    /// Print the JSON Schema of rule files or test files, for editors
    Schema(schema::Args),
}

impl Command {
    /// Whether anything is to be asked of a server. A check asks only the one that is named.
    pub(crate) fn needs_server(&self, globals: &Globals) -> bool {
        match self {
            Self::Check(_) => globals.names_server(),
            Self::Test(_) | Self::Functions(_) | Self::Schema(_) => false,
            _ => true,
        }
    }
}

/// What needs no server.
pub(crate) fn run_offline(command: &Command, console: &mut Console) -> Result<(), Stop> {
    match command {
        Command::Check(args) => check::run(args, console),
        Command::Test(args) => test::run(args, console),
        Command::Functions(args) => functions::run(args, console),
        Command::Schema(args) => schema::run(args, console),
        _ => Ok(()),
    }
}

/// What needs a server.
pub(crate) async fn run(command: &Command, context: &mut Context<'_>) -> Result<(), Stop> {
    match command {
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Replay(args) => replay::run(args, context).await,
        Command::Eval(args) => eval::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::History(args) => history::run(args, context).await,
        Command::Rollback(args) => reload::rollback(args, context).await,
        Command::Pause(args) => pause::pause(args, context).await,
        Command::Resume(args) => pause::resume(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Reload(args) => reload(args, context).await,
        Command::Check(args) => check::run_with_server(args, context).await,
        Command::Test(_) | Command::Functions(_) | Command::Schema(_) => {
            run_offline(command, context.console)
        }
    }
}

pub(crate) async fn reload(args: &ReloadArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    reload::run(args, context).await
}

pub(crate) fn print(diagnostic: &Diagnostic, console: &mut Console) -> std::io::Result<()> {
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

/// The answer about files that were sent. Mistakes in them are told as a check tells them.
fn about_files(answer: Result<Vec<u8>, ClientError>, console: &mut Console) -> Result<Vec<u8>, Stop> {
    let error = match answer {
        Ok(json) => return Ok(json),
        Err(error) => error,
    };
    let diagnostics = error.server().map(|error| error.diagnostics.as_slice()).unwrap_or_default();
    if diagnostics.iter().all(|diagnostic| diagnostic.path.is_empty()) {
        return Err(error.into());
    }
    diagnostics.iter().try_for_each(|diagnostic| print(&found(diagnostic), console))?;
    let found = findings(diagnostics).unwrap_or_else(|| "mistakes".into());
    Err(Failure::new(Exit::Negative, format!("the files have {found}"))
        .hint("`sereno rules check` finds them without a server")
        .into())
}

/// A finding out of a report.
fn print_finding(finding: &report::Finding, console: &mut Console) -> std::io::Result<()> {
    print(&Diagnostic::from(finding), console)
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
