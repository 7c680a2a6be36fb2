//! `sereno rules check`: what a server would say about rule files and scripts, without a server.

use std::io::Write;
use std::path::PathBuf;

use sereno_rules::CheckReport;
use sereno_runtime::threads;

use super::{counted, print};
use crate::console::Console;
use crate::{Exit, Failure, Stop};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Check {
    /// Check rule files and scripts as the server would, without a server
    Rules(CheckArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct CheckArgs {
    /// Rule files, or folders of them
    #[arg(default_value = "config/rules")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folders of scripts
    #[arg(long, value_name = "PATH", default_value = "scripts")]
    pub(crate) scripts: Vec<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs, console: &mut Console) -> Result<(), Stop> {
    let report = on_a_script_stack(args)?;
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
fn on_a_script_stack(args: &CheckArgs) -> Result<CheckReport, Failure> {
    let (paths, scripts) = (args.paths.clone(), args.scripts.clone());
    let check = move || sereno_rules::check(&paths, &scripts);
    let thread = threads::spawn("check", threads::SCRIPT_STACK_BYTES, check)
        .map_err(|error| Failure::of(Exit::Negative, &error).hint("the system is out of threads"))?;
    thread.join().map_err(|_| {
        Failure::new(Exit::Negative, "the check itself broke")
            .hint("this is a bug of Sereno: please report it, with the message above")
    })
}

fn is_are(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}
