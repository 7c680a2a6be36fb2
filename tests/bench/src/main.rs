//! Benchmarks of the whole server, on the loopback: `cargo run --release -p sereno-bench -- v1 [SECONDS]`; and of the
//! storage engine alone, in [`storage`].
//!
//! The server is a process of its own (this program, started again), so that its CPU seconds are told apart from the
//! clients'. Each figure stands beside a bare TCP ping-pong of the same sizes, measured right before in the same way:
//! machines are noisy, ratios are not. `idle` starts a server with 1,000 rules and tells what it uses.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]

mod idle;
mod load;
mod process;
mod rules;
mod rules_load;
mod servers;
mod storage;
mod v1;
mod v2;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["v1"] => v1::run(Duration::from_secs(3)),
        ["v1", seconds] => {
            seconds.parse().map_err(io::Error::other).and_then(|s| v1::run(Duration::from_secs(s)))
        }
        ["idle"] => idle::run(Duration::from_secs(30)),
        ["rules", "load"] => rules_load::run(),
        ["rules"] => rules::run("all").unwrap_or(Ok(())),
        ["rules", part] => match rules::run(part) {
            Some(outcome) => outcome,
            None => return usage(),
        },
        ["storage"] => storage::run("all").unwrap_or(Ok(())),
        ["storage", part] => match storage::run(part) {
            Some(outcome) => outcome,
            None => return usage(),
        },
        ["v2"] => v2::run("all").unwrap_or(Ok(())),
        ["v2", part] => match v2::run(part) {
            Some(outcome) => outcome,
            None => return usage(),
        },
        // The other processes, started by the above.
        ["storage-child", words @ ..] => storage::child(words),
        ["cli", words @ ..] => return cli(words),
        ["serve-bare"] => servers::bare(),
        ["serve-sereno", directory] => servers::sereno(directory.as_ref()),
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The client `sereno`, in a process of its own.
fn cli(words: &[&str]) -> ExitCode {
    let args = std::iter::once("sereno").chain(words.iter().copied()).map(Into::into);
    let exit = sereno_cli::run(args, sereno_cli::Console::of_process(), &sereno_runtime::SystemClock::new());
    ExitCode::from(exit as u8)
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: sereno-bench v1 [SECONDS] | v2 [ingest|latency|query|lines|overload|crowd|all] | idle | \
         rules [yaml|script|instances|steady|load|all] | \
         storage [sizes|append|memory|select|queries|ready|all]"
    );
    ExitCode::from(2)
}
