//! The command line client `sereno`: what its arguments mean, and how answers look.
//!
//! Invariants:
//! * data goes to stdout, everything else to stderr, so that output can be piped whatever happens;
//! * the exit code alone tells a script how it went, see [`Exit`];
//! * a reader of stdout that leaves, as `head` does, is no error.
//!
//! Not here: what is said to the server (`sereno-client`), what makes a rule file valid (`sereno-rules`).

mod alerts;
mod args;
mod blocks;
mod check;
mod connect;
mod console;
mod context;
mod failure;
mod info;
mod labels;
mod lines;
mod man;
mod monitor;
mod output;
mod parse;
mod plot;
mod query;
mod ramp;
mod rules;
mod send;
mod series;
mod storage;
mod top;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use sereno_runtime::{Clock, SystemClock};

pub use console::Console;
pub use failure::{Exit, Failure, Stop};

use args::{Cli, Command, Server};

/// The executable: the process's arguments, streams and clock.
#[must_use]
pub fn main() -> ExitCode {
    let exit = run(std::env::args_os(), Console::of_process(), &SystemClock::new());
    ExitCode::from(exit as u8)
}

/// Looks a variable of the environment up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Runs one command line, the executable's name first, in the process's environment.
pub fn run(args: impl IntoIterator<Item = OsString>, console: Console, clock: &dyn Clock) -> Exit {
    run_in(args, console, clock, &|name| std::env::var(name).ok())
}

/// Runs one command line, the executable's name first.
pub fn run_in(
    args: impl IntoIterator<Item = OsString>,
    mut console: Console,
    clock: &dyn Clock,
    environment: Environment<'_>,
) -> Exit {
    let command = Cli::command().term_width(console.width.min(100));
    let parsed = command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => execute(&cli, &mut console, clock, environment),
        Err(error) => return explain(&error, &mut console),
    };
    let result = result.and_then(|()| Ok(console.out.flush()?));
    match result {
        Ok(()) | Err(Stop::ReaderLeft) => Exit::Ok,
        Err(Stop::Ended(exit)) => {
            // Whoever reads the exit code learns the same from it.
            drop(console.out.flush());
            exit
        }
        Err(Stop::Failed(failure)) => {
            // What came before the failure belongs before it. If it cannot be written, the failure still counts.
            drop(console.out.flush());
            console.say(&failure);
            failure.exit
        }
    }
}

/// What every command that talks to a server works with.
struct Context<'a> {
    console: &'a mut Console,
    clock: &'a dyn Clock,
    server: &'a Server,
}

/// First the commands that need no server, and then no address either.
fn execute(
    cli: &Cli,
    console: &mut Console,
    clock: &dyn Clock,
    environment: Environment<'_>,
) -> Result<(), Stop> {
    match &cli.command {
        Command::Rules(command) if !command.needs_server(&cli.globals) => {
            return rules::run_offline(command, console);
        }
        Command::Test(check::Test::Rules(args)) => return rules::test::run(args, console),
        Command::Check(args) if !args.needs_server(&cli.globals) => return check::run(args, console),
        Command::Context(args) => return context::run(args, &cli.globals, console, environment),
        Command::Completions { shell } => return man::completions(*shell, console),
        Command::Man(args) => return man::run(args, console),
        _ => {}
    }
    let server = context::resolve(&cli.globals, console, environment)?;
    ask(&cli.command, &mut Context { console, clock, server: &server })
}

fn ask(command: &Command, context: &mut Context<'_>) -> Result<(), Stop> {
    match command {
        Command::Send(args) => block_on(send::run(args, context)),
        Command::Ramp(args) => block_on(ramp::run(args, context)),
        Command::Query(args) => block_on(query::run(args, context)),
        Command::Series(args) => block_on(series::run(args, context)),
        Command::Labels(args) => block_on(labels::run(args, context)),
        Command::Names(args) => block_on(labels::names(args, context)),
        Command::Monitor(args) => block_on(monitor::run(args, context)),
        Command::Top(args) => block_on(top::run(args, context)),
        Command::Alerts(args) => block_on(alerts::run(args, context)),
        Command::Rules(command) => block_on(rules::run(command, context)),
        Command::Reload(args) => block_on(rules::reload(args, context)),
        Command::Info(args) => block_on(info::run(args, context)),
        Command::Storage(args) => block_on(storage::run(args, context)),
        Command::Check(args) => block_on(check::run_with_server(args, context)),
        Command::Test(_) | Command::Context(_) | Command::Completions { .. } | Command::Man(_) => Ok(()),
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
