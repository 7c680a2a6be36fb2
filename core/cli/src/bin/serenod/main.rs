//! The server's executable: arguments, logs, signals. Everything else is in `sereno-server`.
//!
//! Exit codes: 0 stopped as asked, or the check found no error, or the store is undamaged; 1 it did not start, the check
//! found errors, the store is damaged, or it was stopped without waiting; 2 usage.

mod logs;
mod signals;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::{Disk, RealDisk, Shutdown, SystemClock, threads};
use sereno_server::{Loaded, Server, Stopped, load};
use sereno_storage::OpenError;
use tracing::{debug, warn};

use signals::{Signal, Signals};

/// Sereno, the metrics server.
///
/// Reads its configuration, serves until SIGTERM or Ctrl-C, and reads rules and scripts again on SIGHUP. A second
/// SIGTERM or Ctrl-C skips waiting.
#[derive(Debug, Parser)]
#[command(name = "serenod", version)]
struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "config/server.yaml")]
    config: PathBuf,
    /// Where the store lives, instead of `storage.directory`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen, instead of `server.listen`; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Check the configuration, the rules and the scripts, and start nothing.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every byte of a store that no server has open, and change nothing.
    ///
    /// Prints what is damaged, and how much can still be read. Exit codes: 0 nothing is damaged, 1 something is, or the
    /// store cannot be read.
    Verify {
        /// The store; by default that of the configuration, which is not read if one is named.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail("failed to start", &error),
    };
    runtime.block_on(run(args))
}

async fn run(args: Args) -> ExitCode {
    // Before anything else: a SIGHUP that comes early must not end the process.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail("failed to listen to signals", &error),
    };
    // A store is looked at wherever it lies, also where there is no configuration, or one that is broken.
    let named = match &args.command {
        Some(Command::Verify { directory }) => directory.as_ref().or(args.data_dir.as_ref()),
        None => None,
    };
    if let Some(directory) = named {
        return verify(directory);
    }
    let loaded = match load(&RealDisk, &args.config, &sereno_server::builtin_plugins()) {
        Ok(loaded) => override_by(&args, loaded),
        Err(diagnostics) => return refuse(&args.config, &diagnostics),
    };
    if let Some(Command::Verify { .. }) = args.command {
        return verify(&loaded.config.storage.directory);
    }
    if args.check {
        return check(&args.config, loaded);
    }
    if let Err(error) = logs::start(&loaded.config.log) {
        return fail("failed to set up logging", &error);
    }
    debug!(limit = sereno_runtime::open_files::raise_limit(), "Open files.");
    let server = match Server::start(loaded, Arc::new(RealDisk), Arc::new(SystemClock::new())).await {
        Ok(server) => server,
        Err(error) => return fail("failed to start", &error),
    };
    serve(server, signals).await
}

fn override_by(args: &Args, mut loaded: Loaded) -> Loaded {
    if let Some(directory) = &args.data_dir {
        loaded.config.storage.directory.clone_from(directory);
    }
    loaded.config.server.listen = args.listen.unwrap_or(loaded.config.server.listen);
    loaded
}

async fn serve(server: Server, mut signals: Signals) -> ExitCode {
    while signals.next().await == Signal::Reload {
        server.reload().await;
    }
    let skip = Shutdown::default();
    let second = async {
        while signals.next().await == Signal::Reload {
            warn!("No reload while stopping.");
        }
        skip.force();
        // The server ends by itself now.
        std::future::pending::<()>().await;
    };
    let stopped = tokio::select! {
        stopped = server.stop(skip.clone()) => stopped,
        () = second => Stopped::Cut,
    };
    match stopped {
        Stopped::Clean => ExitCode::SUCCESS,
        // Threads that are stuck must not hold the process; what was acknowledged is in the kernel already.
        Stopped::Cut => std::process::exit(1),
    }
}

fn check(path: &Path, loaded: Loaded) -> ExitCode {
    let rules = loaded.config.rules;
    let body = move || sereno_rules::check(&rules.paths, &rules.scripts);
    let checked = threads::spawn("check", threads::SCRIPT_STACK_BYTES, body);
    let report = match checked.map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => return fail("failed to check the rules", &std::io::Error::other("the check panicked")),
        Err(error) => return fail("failed to check the rules", &error),
    };
    report.diagnostics.iter().for_each(tell);
    if !report.is_good() {
        return ExitCode::FAILURE;
    }
    say(&format!("{}: ok, {} rules and {} scripts", path.display(), report.rules, report.scripts));
    ExitCode::SUCCESS
}

fn verify(directory: &Path) -> ExitCode {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let report = match sereno_storage::verify(directory, &disk) {
        Ok(report) => report,
        Err(error) => {
            let code = fail("failed to verify the store", &error);
            if matches!(&error, OpenError::Io { source, .. } if source.kind() == ErrorKind::NotFound) {
                say(&format!("  hint:  is there a store in `{}`?", directory.display()));
            }
            return code;
        }
    };
    print(&report);
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "an executable may talk to its user")]
fn print(report: &sereno_storage::Report) {
    println!("{report}");
}

fn refuse(path: &Path, diagnostics: &[Diagnostic]) -> ExitCode {
    diagnostics.iter().for_each(tell);
    say(&format!("error: `{}` is refused, nothing was started", path.display()));
    ExitCode::FAILURE
}

fn tell(diagnostic: &Diagnostic) {
    say(&diagnostic.to_string());
}

fn fail(what: &str, error: &dyn std::error::Error) -> ExitCode {
    say(&format!("error: {what}"));
    let mut cause = Some(error);
    while let Some(error) = cause {
        say(&format!("  cause: {error}"));
        cause = error.source();
    }
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "an executable may talk to its user")]
fn say(line: &str) {
    eprintln!("{line}");
}
