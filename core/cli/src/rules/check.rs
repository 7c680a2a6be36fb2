//! `sereno rules check`: what a server would say about rule files and scripts, without a server; and what it would not
//! say, because it is no mistake: that no test names a rule, and that a server has nothing for a rule to read.

mod untested;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sereno_client::Client;
use sereno_client::messages::ListSeries;
use sereno_rules::{CheckReport, CheckedRule, report};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::threads;

use super::{counted, print};
use crate::console::Console;
use crate::output::SCHEMA_VERSION;
use crate::output::json::line;
use crate::output::junit::{self, Case, Suite};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
With `--server` or `--context`, a rule is also held against what that server stores: one whose
series it does not have is warned of.

The exit code is 1 if there are errors; with `--strict`, if there are warnings.

Examples:
  sereno rules check
  sereno rules check config/rules/host.yaml --strict
  sereno rules check --server prod.example:5678
  sereno rules check -o junit > check.xml";

/// The form of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// The findings, with their places, and a line
    #[default]
    Plain,
    /// One object
    Json,
    /// XML for build servers: a suite of all files, a case for each
    Junit,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Rule files, or folders of them
    #[arg(default_value = "config/rules")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folders of scripts
    #[arg(long, value_name = "PATH", default_value = "scripts")]
    pub(crate) scripts: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// The form of the findings
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    pub(crate) output: Form,
}

/// The check without a server.
pub(crate) fn run(args: &CheckArgs, console: &mut Console) -> Result<(), Stop> {
    tell(&found(args)?, args, console)
}

/// The check, and a look at what a server has.
pub(crate) async fn run_with_server(args: &CheckArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    tell(&found_with_server(args, context).await?, args, context.console)
}

/// The same, and what the server says.
pub(crate) async fn found_with_server(
    args: &CheckArgs,
    context: &mut Context<'_>,
) -> Result<CheckReport, Stop> {
    let mut report = found(args)?;
    let client = context.client().await?;
    let address = context.server.address.clone();
    let unmatched = unmatched(&client, &report.checked, &address).await?;
    report.diagnostics.extend(unmatched);
    sort(&mut report);
    Ok(report)
}

/// All that is found without a server.
pub(crate) fn found(args: &CheckArgs) -> Result<CheckReport, Failure> {
    let (paths, scripts) = (args.paths.clone(), args.scripts.clone());
    let mut report = on_a_script_stack(move || sereno_rules::check(&paths, &scripts))?;
    report.diagnostics.extend(untested::rules(&args.paths, &report.checked));
    sort(&mut report);
    Ok(report)
}

fn sort(report: &mut CheckReport) {
    report.diagnostics.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
}

/// Rules whose series the server does not have.
async fn unmatched(client: &Client, rules: &[CheckedRule], address: &str) -> Result<Vec<Diagnostic>, Stop> {
    let mut found = Vec::new();
    for rule in rules {
        for selector in &rule.selectors {
            let asked = ListSeries { selector: selector.clone(), limit: 1, ..ListSeries::default() };
            let (_, total) = client.series(asked).await?;
            if total == 0 {
                let message = format!("rule `{}`: `{selector}` matches no series on `{address}`", rule.id);
                let warning = Diagnostic { line: rule.line, ..Diagnostic::warning(&rule.path, message) };
                found.push(warning.hint("`sereno names` lists the metrics that there are"));
            }
        }
    }
    Ok(found)
}

pub(crate) fn tell(report: &CheckReport, args: &CheckArgs, console: &mut Console) -> Result<(), Stop> {
    print_report(report, args.strict, args.output, console)?;
    verdict(report, args.strict)?;
    if args.output == Form::Plain { Ok(good(report, console)?) } else { Ok(()) }
}

pub(crate) fn good(report: &CheckReport, console: &mut Console) -> io::Result<()> {
    let CheckReport { files, rules, scripts, .. } = *report;
    let (rules, files, scripts) =
        (counted(rules, "rule"), counted(files, "file"), counted(scripts, "script"));
    writeln!(console.out, "{rules} in {files} and {scripts}: good")
}

pub(crate) fn print_report(
    report: &CheckReport,
    strict: bool,
    form: Form,
    console: &mut Console,
) -> io::Result<()> {
    match form {
        Form::Plain => report.diagnostics.iter().try_for_each(|diagnostic| print(diagnostic, console)),
        Form::Json => line(&mut console.out, &Found::of(report)),
        Form::Junit => junit::write(&mut console.out, "rules check", &[suite(report, strict)]),
    }
}

/// Whether all is well.
pub(crate) fn verdict(report: &CheckReport, strict: bool) -> Result<(), Failure> {
    let errors = report.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = report.diagnostics.len() - errors;
    let good = is_are(report.rules, "rule");
    if errors > 0 {
        let message = format!("the check found {}; {good} good", counted(errors, "error"));
        return Err(Failure::new(Exit::Negative, message)
            .hint("a server keeps the last good version of what is wrong, and runs the rest"));
    }
    if strict && warnings > 0 {
        let message = format!("the check found {}; {good} good", counted(warnings, "warning"));
        return Err(Failure::new(Exit::Negative, message)
            .hint("a server takes them; without `--strict`, so does this check"));
    }
    Ok(())
}

/// What was found, in JSON.
#[derive(serde::Serialize)]
pub(crate) struct Found {
    schema_version: u32,
    rules: usize,
    files: usize,
    scripts: usize,
    findings: Vec<report::Finding>,
}

impl Found {
    pub(crate) fn of(report: &CheckReport) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            rules: report.rules,
            files: report.files,
            scripts: report.scripts,
            findings: report.diagnostics.iter().map(report::Finding::from).collect(),
        }
    }
}

/// A case for each file with rules or findings.
pub(crate) fn suite(report: &CheckReport, strict: bool) -> Suite {
    let mut paths: Vec<&Path> = report.checked.iter().map(|rule| rule.path.as_path()).collect();
    paths.extend(report.diagnostics.iter().map(|diagnostic| diagnostic.path.as_path()));
    paths.sort_unstable();
    paths.dedup();
    let case = |path: &Path| {
        let of = |diagnostic: &&Diagnostic| diagnostic.path == path && (diagnostic.is_error() || strict);
        let found: Vec<&Diagnostic> = report.diagnostics.iter().filter(of).collect();
        Case {
            name: path.display().to_string(),
            file: path.display().to_string(),
            line: found.first().map_or(0, |first| first.line),
            failures: found.iter().map(|found| (found.message.clone(), found.to_string())).collect(),
            ..Case::default()
        }
    };
    Suite { name: "rules check".into(), cases: paths.into_iter().map(case).collect() }
}

/// Does what compiles scripts: the compiler recurses on the native stack.
pub(crate) fn on_a_script_stack<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let thread = threads::spawn("check", threads::SCRIPT_STACK_BYTES, work)
        .map_err(|error| Failure::of(Exit::Negative, &error).hint("the system is out of threads"))?;
    thread.join().map_err(|_| {
        Failure::new(Exit::Negative, "the check itself broke")
            .hint("this is a bug of Sereno: please report it, with the message above")
    })
}

fn is_are(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}
