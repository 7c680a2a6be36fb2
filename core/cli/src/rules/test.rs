//! `sereno rules test`: the tests beside the rules, run in virtual time; what failed, and what they did not reach.

use std::io::{self, Write};
use std::path::PathBuf;

use sereno_rules::report::{
    Coverage, Failure as Failed, Row, RowKind, TestFile, TestKind, TestOutcome, TestReport, TestResult,
};

use sereno_rules::trial::Options;

use super::words::span;
use super::{counted, print_finding};
use crate::console::{Color, Console, printable};
use crate::output::json::line;
use crate::output::junit::{self, Case, Suite};
use crate::{Exit, Failure, Stop};

const EXAMPLES: &str = "\
A test file is called `NAME_test.yaml` and stands beside the rules; `sereno rules schema
tests` prints its form. The exit code is 1 if a test fails.

Examples:
  sereno rules test
  sereno rules test config/rules/host_test.yaml --verbose
  sereno rules test --only recovers --coverage
  sereno rules test -o junit > tests.xml";

/// The form of a report of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// What failed, and a line
    #[default]
    Plain,
    /// One object
    Json,
    /// XML for build servers: a suite for each file, a case for each test
    Junit,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Test files, or folders of them
    #[arg(default_value = "config/rules")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folders of scripts, and of tests of aggregations; without it, the nearest `scripts` above each test file
    #[arg(long, value_name = "PATH")]
    pub(crate) scripts: Vec<PathBuf>,
    /// Only tests with this text in their names
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Tell of every test, with all that happened in it
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Tell of every rule, level and script that no test reaches
    #[arg(long)]
    pub(crate) coverage: bool,
    /// The form of the report
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    pub(crate) output: Form,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<(), Stop> {
    tell(&tested(args), args, console)
}

/// Runs the tests, on threads of their own.
pub(crate) fn tested(args: &Args) -> TestReport {
    let scripts = Some(args.scripts.clone()).filter(|scripts| !scripts.is_empty());
    let options = Options { scripts, filter: args.only.clone(), ..Options::default() };
    sereno_rules::trial::run(&args.paths, &options)
}

pub(crate) fn tell(report: &TestReport, args: &Args, console: &mut Console) -> Result<(), Stop> {
    match args.output {
        Form::Plain => plain(report, args, console)?,
        Form::Json => line(&mut console.out, report)?,
        Form::Junit => junit::write(&mut console.out, "rules test", &suites(report))?,
    }
    Ok(verdict(report, args.verbose)?)
}

/// Whether all is well.
pub(crate) fn verdict(report: &TestReport, verbose: bool) -> Result<(), Failure> {
    if report.is_good() {
        return Ok(());
    }
    let (_, failed, broken) = report.totals();
    let message = match (failed, broken) {
        (0, 0) => "the tests cannot be read".to_owned(),
        (failed, 0) => format!("{} failed", counted(failed, "test")),
        (0, broken) => format!("{} could not be run", counted(broken, "test")),
        (failed, broken) => format!("{} failed, and {broken} could not be run", counted(failed, "test")),
    };
    let failure = Failure::new(Exit::Negative, message);
    if failed + broken == 0 {
        return Err(failure.hint("`sereno rules schema tests` prints the form of test files"));
    }
    Err(match verbose {
        true => failure,
        false => failure.hint("`sereno rules test --verbose` shows all that happened in a test"),
    })
}

pub(crate) fn plain(report: &TestReport, args: &Args, console: &mut Console) -> io::Result<()> {
    report.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
    for file in &report.files {
        file.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
        file.tests.iter().try_for_each(|test| tell_test(file, test, args.verbose, console))?;
    }
    let (passed, failed, broken) = report.totals();
    coverage(&report.coverage, args.coverage || args.verbose, console)?;
    let broken = if broken > 0 { format!(", {broken} broken") } else { String::new() };
    let (files, took) = (counted(report.files.len(), "file"), span(report.seconds));
    writeln!(console.out, "{passed} passed, {failed} failed{broken} in {files}, {took}")
}

fn tell_test(file: &TestFile, test: &TestResult, verbose: bool, console: &mut Console) -> io::Result<()> {
    let (word, paint) = match test.outcome {
        TestOutcome::Passed if !verbose => return Ok(()),
        TestOutcome::Passed => ("pass", Color::Green),
        TestOutcome::Failed => ("FAIL", Color::Red),
        TestOutcome::Broken => ("BROKEN", Color::Red),
    };
    let word = if console.color { paint.paint(word) } else { word.to_owned() };
    let kind = if test.kind == TestKind::Aggregation { "aggregation " } else { "" };
    let (place, name) = (format!("{}:{}", file.path, test.line), printable(&test.name));
    writeln!(console.out, "{word} {} {kind}{name}", printable(&place))?;
    test.failures.iter().try_for_each(|failure| tell_failure(failure, console))?;
    test.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
    test.errors.iter().try_for_each(|error| writeln!(console.out, "  error: {}", printable(error)))?;
    if verbose && test.failures.iter().all(|failure| failure.rows.is_empty()) {
        tell_rows(&test.timeline, console)?;
    }
    if verbose && test.timeline.is_empty() {
        for event in &test.events {
            let text = format!(
                "  {} {} {}  {}",
                super::words::at(event.tick),
                event.kind,
                event.level,
                event.message
            );
            writeln!(console.out, "{}", printable(&text))?;
        }
    }
    if test.outcome != TestOutcome::Passed { writeln!(console.out) } else { Ok(()) }
}

fn tell_failure(failure: &Failed, console: &mut Console) -> io::Result<()> {
    writeln!(console.out, "  {}", printable(&failure.text))?;
    tell_rows(&failure.rows, console)
}

/// Expectations and events, as a diff has them: `-` did not happen, `+` was not expected, `~` is otherwise than expected.
fn tell_rows(rows: &[Row], console: &mut Console) -> io::Result<()> {
    for row in rows {
        for (mark, text) in row_lines(row) {
            let paint = match mark {
                '-' => Some(Color::Red),
                '+' => Some(Color::Green),
                '~' => Some(Color::Yellow),
                _ => None,
            };
            let text = format!("  {mark} {}", printable(&text));
            match paint.filter(|_| console.color) {
                Some(paint) => writeln!(console.out, "{}", paint.paint(&text))?,
                None => writeln!(console.out, "{text}")?,
            }
        }
    }
    Ok(())
}

fn row_lines(row: &Row) -> Vec<(char, String)> {
    let expected = || {
        let text = row.expected.clone().unwrap_or_default();
        if row.line > 0 { format!("{text}    (line {})", row.line) } else { text }
    };
    let got = || row.got.clone().unwrap_or_default();
    match row.kind {
        RowKind::Matched => vec![(' ', got())],
        RowKind::Missing => vec![('-', expected())],
        RowKind::Unexpected => vec![('+', got())],
        RowKind::Differs => {
            let both = [('-', expected()), ('+', got())].into_iter();
            both.chain(row.differs.iter().map(|what| ('~', format!("  {what}")))).collect()
        }
    }
}

/// What the tests reach, and what they do not: some of it, or all.
fn coverage(coverage: &Coverage, all: bool, console: &mut Console) -> io::Result<()> {
    const NAMED_MAX: usize = 5;
    let ((tested, rules), (fired, levels)) = (coverage.tested(), coverage.levels());
    if rules + coverage.scripts.len() == 0 {
        return Ok(());
    }
    let missing = unreached(coverage);
    let called = coverage.scripts.iter().filter(|script| script.called).count();
    let scripts = match coverage.scripts.len() {
        0 => String::new(),
        scripts => format!(", {called} of {}", counted(scripts, "script")),
    };
    let (rules, levels) = (counted(rules, "rule"), counted(levels, "level"));
    writeln!(console.out, "the tests reach {tested} of {rules}, {fired} of {levels}{scripts}")?;
    let named = if all { missing.len() } else { missing.len().min(NAMED_MAX) };
    missing[..named].iter().try_for_each(|what| writeln!(console.out, "  not {}", printable(what)))?;
    match missing.len() - named {
        0 => Ok(()),
        more => writeln!(console.out, "  and {more} more; `--coverage` names them"),
    }
}

fn unreached(coverage: &Coverage) -> Vec<String> {
    let mut missing = Vec::new();
    for rule in &coverage.rules {
        let place = format!("{}:{}", rule.path, rule.line);
        if rule.tests == 0 {
            missing.push(format!("{} at all ({place})", rule.rule));
            continue;
        }
        for level in rule.levels.iter().filter(|level| !level.fired) {
            let variant = match level.variant {
                0 => String::new(),
                number => format!(" of override {number}"),
            };
            missing.push(format!("{} {}{variant} ({place})", rule.rule, level.level));
        }
    }
    let scripts = coverage.scripts.iter().filter(|script| !script.called);
    missing.extend(scripts.map(|script| script.script.clone()));
    missing
}

pub(crate) fn suites(report: &TestReport) -> Vec<Suite> {
    let beside = report.findings.iter().filter(|finding| finding.is_error());
    let errors: Vec<_> = beside.map(|finding| (finding.message.clone(), finding.to_string())).collect();
    let beside = (!errors.is_empty()).then(|| {
        let case = Case { name: "the tests are found".into(), errors, ..Case::default() };
        Suite { name: "rules test".into(), cases: vec![case] }
    });
    beside.into_iter().chain(report.files.iter().map(suite)).collect()
}

fn suite(file: &TestFile) -> Suite {
    let errors = file.findings.iter().filter(|finding| finding.is_error());
    let errors: Vec<_> = errors.map(|finding| (finding.message.clone(), finding.to_string())).collect();
    let broken = (!errors.is_empty()).then(|| Case {
        name: "the file is read".into(),
        file: file.path.clone(),
        errors,
        ..Case::default()
    });
    let case = |test: &TestResult| {
        let told: Vec<_> =
            test.failures.iter().map(|failure| (failure.text.clone(), story(failure))).collect();
        let inside = test.findings.iter().map(|finding| (finding.message.clone(), finding.to_string()));
        let errors = inside.chain(test.errors.iter().map(|error| (error.clone(), error.clone())));
        let is = |outcome| test.outcome == outcome;
        let (failures, broken) = if is(TestOutcome::Broken) { (vec![], told) } else { (told, vec![]) };
        Case {
            name: test.name.clone(),
            file: file.path.clone(),
            line: test.line,
            took: test.seconds.0,
            failures,
            errors: if is(TestOutcome::Passed) { vec![] } else { broken.into_iter().chain(errors).collect() },
        }
    };
    Suite { name: file.path.clone(), cases: broken.into_iter().chain(file.tests.iter().map(case)).collect() }
}

fn story(failure: &Failed) -> String {
    let rows = failure.rows.iter().flat_map(row_lines).map(|(mark, text)| format!("\n{mark} {text}"));
    rows.fold(failure.text.clone(), |story, row| story + row.as_str())
}

#[cfg(test)]
mod tests;
