//! The command line client `sereno`: what its arguments mean, and how answers look.
//!
//! Invariants:
//! * data goes to stdout, everything else to stderr, so that output can be piped whatever happens;
//! * the exit code alone tells a script how it went, see [`Exit`];
//! * a reader of stdout that leaves, as `head` does, is no error.
//!
//! Not here: what is said to the server (`sereno-client`), what makes a rule file valid (`sereno-rules`).

mod args;
mod connect;
mod console;
mod failure;
mod monitor;
mod parse;
mod query;
mod ramp;
mod rules;
mod send;
mod storage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use sereno_runtime::{Clock, SystemClock};

pub use console::Console;
pub use failure::{Exit, Failure, Stop};

use args::{Check, Cli, Command, Rules, Server};

/// The executable: the process's arguments, streams and clock.
#[must_use]
pub fn main() -> ExitCode {
    let exit = run(std::env::args_os(), Console::of_process(), &SystemClock::new());
    ExitCode::from(exit as u8)
}

/// Runs one command line, the executable's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, mut console: Console, clock: &dyn Clock) -> Exit {
    let command = Cli::command().term_width(console.width.min(100));
    let parsed = command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => {
            let mut context = Context { console: &mut console, clock, server: &cli.server };
            execute(&cli.command, &mut context)
        }
        Err(error) => return explain(&error, &mut console),
    };
    let result = result.and_then(|()| Ok(console.out.flush()?));
    match result {
        Ok(()) | Err(Stop::ReaderLeft) => Exit::Ok,
        Err(Stop::Failed(failure)) => {
            // What came before the failure belongs before it. If it cannot be written, the failure still counts.
            drop(console.out.flush());
            console.say(&failure);
            failure.exit
        }
    }
}

/// What every command works with.
struct Context<'a> {
    console: &'a mut Console,
    clock: &'a dyn Clock,
    server: &'a Server,
}

fn execute(command: &Command, context: &mut Context<'_>) -> Result<(), Stop> {
    match command {
        Command::Send(args) => block_on(send::run(args, context)),
        Command::Ramp(args) => block_on(ramp::run(args, context)),
        Command::Query(args) => block_on(query::run(args, context)),
        Command::Monitor(args) => block_on(monitor::run(args, context)),
        Command::Storage(args) => block_on(storage::run(args, context)),
        Command::Rules(Rules::Check(args)) | Command::Check(Check::Rules(args)) => {
            rules::check(args, context)
        }
        Command::Completions { shell } => {
            // To memory first: the generator panics when it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sereno", &mut script);
            Ok(context.console.out.write_all(&script)?)
        }
    }
}

/// One thread is enough for one connection, and answers soonest.
fn block_on<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed =
        |error: io::Error| Failure::of(Exit::Negative, &error).hint("the system is out of resources");
    runtime.map_err(failed)?.block_on(work)
}

/// Help and version go to stdout, usage errors to stderr.
fn explain(error: &clap::Error, console: &mut Console) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        drop(write!(console.err, "{text}"));
        return Exit::Usage;
    }
    drop(write!(console.out, "{text}").and_then(|()| console.out.flush()));
    Exit::Ok
}
