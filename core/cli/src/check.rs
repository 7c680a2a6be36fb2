//! `sereno check`: everything in a folder that a server would read, in one go: the configuration, rules, scripts, and the
//! tests beside them.

use std::io::Write;
use std::path::{Path, PathBuf};

use sereno_rules::CheckReport;
use sereno_rules::report::TestReport;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::{Disk as _, RealDisk};

use crate::args::Globals;
use crate::console::Console;
use crate::output::SCHEMA_VERSION;
use crate::output::json::line;
use crate::output::junit;
use crate::rules::check::{self, Form};
use crate::rules::{self, CheckArgs, test};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
The configuration is DIR/config/server.yaml or DIR/server.yaml, or DIR itself if that is a
file; it says where rules and scripts are. Without one, rules are in DIR/config/rules,
DIR/rules or DIR, and scripts in DIR/scripts. `--server` and `--strict` are those of `sereno
rules check`. Tests beside the rules and scripts are run, see `sereno rules test`; in JSON,
`check` has what is found and `tests` how they went.

Examples:
  sereno check
  sereno check /etc/sereno --strict
  sereno check rules config/rules/host.yaml     the same as `sereno rules check config/rules/host.yaml`";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder, or a configuration [default: .]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The same as DIR
    #[arg(short, long, value_name = "DIR", conflicts_with = "folder")]
    directory: Option<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// The form of the findings
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    output: Form,
}

/// `sereno test rules`, for fingers that are used to it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Test {
    /// The same as `sereno rules test`
    Rules(test::Args),
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The same as `sereno rules check`
    Rules(CheckArgs),
}

impl Args {
    pub(crate) const fn needs_server(&self, globals: &Globals) -> bool {
        globals.names_server()
    }

    fn folder(&self) -> &Path {
        let folder = self.folder.as_deref().or(self.directory.as_deref());
        folder.unwrap_or(Path::new("."))
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<(), Stop> {
    match &args.command {
        Some(Command::Rules(args)) => check::run(args, console),
        None => {
            let what = what(args, console)?;
            let report = check::found(&what)?;
            conclude(&what, &report, console)
        }
    }
}

pub(crate) async fn run_with_server(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    match &args.command {
        Some(Command::Rules(args)) => check::run_with_server(args, context).await,
        None => {
            let what = what(args, context.console)?;
            let report = check::found_with_server(&what, context).await?;
            conclude(&what, &report, context.console)
        }
    }
}

/// Runs the tests as well, and tells of everything at once.
fn conclude(what: &CheckArgs, report: &CheckReport, console: &mut Console) -> Result<(), Stop> {
    let paths = what.paths.iter().chain(&what.scripts).cloned().collect();
    let output = test::Form::Plain;
    let args = test::Args {
        paths,
        scripts: what.scripts.clone(),
        only: None,
        verbose: false,
        coverage: false,
        output,
    };
    let tests = Some(test::tested(&args)).filter(|tests| !tests.files.is_empty());
    match what.output {
        Form::Plain => {
            check::print_report(report, what.strict, Form::Plain, console)?;
            tests.iter().try_for_each(|tests| test::plain(tests, &args, console))?;
        }
        Form::Json => {
            let all = All {
                schema_version: SCHEMA_VERSION,
                check: check::Found::of(report),
                tests: tests.as_ref(),
            };
            line(&mut console.out, &all)?;
        }
        Form::Junit => {
            let tested = tests.iter().flat_map(test::suites);
            let suites: Vec<_> = std::iter::once(check::suite(report, what.strict)).chain(tested).collect();
            junit::write(&mut console.out, "check", &suites)?;
        }
    }
    let checked = check::verdict(report, what.strict);
    let tested = tests.as_ref().map_or(Ok(()), |tests| test::verdict(tests, false));
    match (checked, tested) {
        (Err(check), Err(tests)) => {
            console.say(&check);
            Err(tests.into())
        }
        (checked, tested) => {
            checked.and(tested)?;
            if what.output == Form::Plain {
                check::good(report, console)?;
            }
            Ok(())
        }
    }
}

#[derive(serde::Serialize)]
struct All<'a> {
    schema_version: u32,
    check: check::Found,
    tests: Option<&'a TestReport>,
}

/// Checks the configuration, which says what else is to be checked.
fn what(args: &Args, console: &mut Console) -> Result<CheckArgs, Stop> {
    let folder = args.folder();
    let with = |paths, scripts| CheckArgs { paths, scripts, strict: args.strict, output: args.output };
    let Some(configuration) = configuration(folder) else {
        let places = ["config/rules", "rules"].map(|place| folder.join(place));
        let rules = places.into_iter().find(|place| RealDisk.list(place).is_ok());
        let scripts = Some(folder.join("scripts")).filter(|place| RealDisk.list(place).is_ok());
        return Ok(with(vec![rules.unwrap_or_else(|| folder.to_owned())], scripts.into_iter().collect()));
    };
    match sereno_server::load(&RealDisk, &configuration, &sereno_server::builtin_plugins()) {
        Ok(loaded) => {
            if args.output == Form::Plain {
                writeln!(console.out, "{}: good", configuration.display())?;
            }
            Ok(with(loaded.config.rules.paths, loaded.config.rules.scripts))
        }
        Err(found) => Err(refused(&configuration, &found, args, console)?.into()),
    }
}

fn configuration(folder: &Path) -> Option<PathBuf> {
    let places = [folder.join("config/server.yaml"), folder.join("server.yaml"), folder.to_owned()];
    places.into_iter().find(|place| RealDisk.read(place).is_ok())
}

/// A configuration with mistakes does not say for sure where the rules are.
fn refused(path: &Path, found: &[Diagnostic], args: &Args, console: &mut Console) -> Result<Failure, Stop> {
    let report = CheckReport::of(found.to_vec());
    match args.output {
        Form::Plain => found.iter().try_for_each(|diagnostic| rules::print(diagnostic, console))?,
        _ => check::print_report(&report, args.strict, args.output, console)?,
    }
    Ok(Failure::new(Exit::Negative, format!("`{}` is no configuration", path.display()))
        .hint("a server does not start with it; rules and scripts were not looked at"))
}
