//! `sereno rules check`: what a server would say about rule files and scripts, without a server.

use std::io::Write;

use sereno_rules::CheckReport;
use sereno_runtime::diagnostic::{Diagnostic, Severity};
use sereno_runtime::threads;

use crate::args::Checked;
use crate::console::{Color, Console};
use crate::{Context, Exit, Failure, Stop};

pub(crate) fn check(args: &Checked, context: &mut Context<'_>) -> Result<(), Stop> {
    let report = on_a_script_stack(args)?;
    let console = &mut *context.console;
    report.diagnostics.iter().try_for_each(|diagnostic| print(diagnostic, console))?;
    let CheckReport { files, rules, scripts, .. } = report;
    let errors = report.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    if !report.is_good() {
        let message = format!("the check found {}; {} good", counted(errors, "error"), is_are(rules, "rule"));
        return Err(Failure::new(Exit::Negative, message)
            .hint("a server keeps the last good version of what is wrong, and runs the rest")
            .into());
    }
    let (rules, files, scripts) =
        (counted(rules, "rule"), counted(files, "file"), counted(scripts, "script"));
    Ok(writeln!(console.out, "{rules} in {files} and {scripts}: good")?)
}

/// The check compiles scripts, and the compiler recurses on the native stack.
fn on_a_script_stack(args: &Checked) -> Result<CheckReport, Failure> {
    let (paths, scripts) = (args.paths.clone(), args.scripts.clone());
    let check = move || sereno_rules::check(&paths, &scripts);
    let thread = threads::spawn("check", threads::SCRIPT_STACK_BYTES, check)
        .map_err(|error| Failure::of(Exit::Negative, &error).hint("the system is out of threads"))?;
    thread.join().map_err(|_| {
        Failure::new(Exit::Negative, "the check itself broke")
            .hint("this is a bug of Sereno: please report it, with the message above")
    })
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

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn is_are(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}
