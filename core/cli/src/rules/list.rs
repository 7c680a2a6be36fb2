//! `sereno rules list`: the rules of the server, and how they are.

use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::{RuleStatus, Rules};

use super::{Finding, findings};
use crate::console::{Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Time, line};
use crate::output::number::Unit;
use crate::output::table::Grid;
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
Health:
  ok         evaluated as it should be
  waiting    not evaluated yet
  unmatched  no series has ever matched
  stale      its file has a mistake, and the last good version runs
  error      the last evaluation failed
  off        not evaluated

Examples:
  sereno rules list
  sereno rules ls 'disk_*' -o wide
  sereno rules ls -o json | jq -r '.rules[] | select(.health == \"error\") | .error'";

/// The form of a list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For eyes; the default on a terminal
    Table,
    /// A table with all there is to know
    Wide,
    /// One object
    Json,
    /// The columns of the table, with tabs between; the default elsewhere
    Plain,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which rules: `disk_full`, `disk_*`; all if there is none
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let rules = context.client().await?.rules(args.rules.clone()).await?;
    let console = &mut *context.console;
    let by_terminal = if console.out_is_tty { Form::Table } else { Form::Plain };
    print(&rules, args.output.unwrap_or(by_terminal), console)?;
    if rules.rules.is_empty() && args.rules.is_empty() {
        console.say("the server has no rules");
    }
    if let Some(found) = findings(&rules.diagnostics) {
        console.say(format_args!("the rule files have {found}; `sereno reload` shows where"));
    }
    if rules.rules.is_empty() && !args.rules.is_empty() {
        let wanted = args.rules.iter().map(|rule| format!("`{}`", printable(rule)));
        let message = format!("no rule matches {}", wanted.collect::<Vec<_>>().join(" or "));
        return Err(Failure::new(Exit::Negative, message)
            .hint("`sereno rules list` lists all of them")
            .into());
    }
    Ok(())
}

fn print(rules: &Rules, form: Form, console: &mut Console) -> io::Result<()> {
    match form {
        Form::Json => json(rules, &mut console.out),
        Form::Plain => rules.rules.iter().try_for_each(|rule| {
            let cells = cells(rule).map(|cell| printable(&cell).into_owned());
            writeln!(console.out, "{}", cells.join("\t"))
        }),
        Form::Table | Form::Wide if rules.rules.is_empty() => Ok(()),
        Form::Table => table(rules, 3, &HEADER, |rule| cells(rule).to_vec(), console),
        Form::Wide => {
            let (texts, numbers) = HEADER.split_at(3);
            let header = [texts, &MORE_TEXTS, numbers, &MORE_NUMBERS].concat();
            table(rules, 3 + MORE_TEXTS.len(), &header, wide_cells, console)
        }
    }
}

/// The first `texts` columns are texts.
fn table(
    rules: &Rules,
    texts: usize,
    header: &[&str],
    cells: impl Fn(&RuleStatus) -> Vec<String>,
    console: &mut Console,
) -> io::Result<()> {
    let mut grid = Grid::new(console, header, texts);
    rules.rules.iter().for_each(|rule| grid.row(cells(rule)));
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

const HEADER: [&str; 7] = ["rule", "health", "metric", "every", "instances", "firing", "last took"];

/// Between the texts and the numbers of [`HEADER`], and behind its numbers.
const MORE_TEXTS: [&str; 4] = ["aggregation", "limit", "place", "error"];
const MORE_NUMBERS: [&str; 3] = ["evaluations", "longest", "window"];

/// As in [`HEADER`].
fn cells(rule: &RuleStatus) -> [String; 7] {
    [
        rule.id.clone(),
        rule.health.clone(),
        rule.selector.clone(),
        span(rule.every),
        rule.instances.to_string(),
        rule.firing.to_string(),
        if rule.evaluations > 0 { span(rule.last_duration) } else { String::new() },
    ]
}

fn wide_cells(rule: &RuleStatus) -> Vec<String> {
    let cells = cells(rule);
    let (texts, numbers) = cells.split_at(3);
    let more_texts = [&rule.aggregation, &rule.limit, &rule.place, &rule.error].map(Clone::clone);
    let more_numbers = [rule.evaluations.to_string(), span(rule.longest_duration), span(rule.window)];
    [texts, &more_texts, numbers, &more_numbers].concat()
}

/// A time in nanoseconds; 0 is none.
pub(crate) fn span(nanos: u64) -> String {
    if nanos == 0 { String::new() } else { Unit::Seconds.short(nanos as f64 / 1e9) }
}

fn json(rules: &Rules, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct All<'a> {
        schema_version: u32,
        generation: u64,
        rules: Vec<Line<'a>>,
        diagnostics: Vec<Finding<'a>>,
    }
    let all = All {
        schema_version: SCHEMA_VERSION,
        generation: rules.generation,
        rules: rules.rules.iter().map(Line::of).collect(),
        diagnostics: Finding::all(&rules.diagnostics),
    };
    line(out, &all)
}

/// Spans of time are in seconds.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    place: &'a str,
    selector: &'a str,
    aggregation: &'a str,
    limit: &'a str,
    window: f64,
    every: f64,
    health: &'a str,
    error: Option<&'a str>,
    instances: u64,
    firing: u64,
    evaluations: u64,
    last_tick: Option<Time>,
    last_duration: f64,
    longest_duration: f64,
}

impl<'a> Line<'a> {
    fn of(rule: &'a RuleStatus) -> Self {
        let secs = |nanos: u64| nanos as f64 / 1e9;
        Self {
            id: &rule.id,
            place: &rule.place,
            selector: &rule.selector,
            aggregation: &rule.aggregation,
            limit: &rule.limit,
            window: secs(rule.window),
            every: secs(rule.every),
            health: &rule.health,
            error: Some(rule.error.as_str()).filter(|error| !error.is_empty()),
            instances: rule.instances,
            firing: rule.firing,
            evaluations: rule.evaluations,
            last_tick: rule.last_tick.map(Time),
            last_duration: secs(rule.last_duration),
            longest_duration: secs(rule.longest_duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use sereno_client::messages::Diagnostic;

    use super::*;
    use crate::output::testing::{console, written};

    fn rules() -> Rules {
        let good = RuleStatus {
            id: "cpu_high".into(),
            place: "config/rules/host.yaml:3".into(),
            selector: r#"cpu.*{env="prod"}"#.into(),
            aggregation: "p95".into(),
            window: 60_000_000_000,
            every: 10_000_000_000,
            health: "ok".into(),
            instances: 12,
            firing: 2,
            evaluations: 100,
            last_tick: Some(1_500_000_000_000_000_000),
            last_duration: 1_250_000,
            longest_duration: 5_000_000,
            limit: "v >= 80".into(),
            ..RuleStatus::default()
        };
        let new = RuleStatus {
            id: "evil\x1b[2J".into(),
            health: "error".into(),
            error: "no such\nthing".into(),
            every: 15_000_000_000,
            ..RuleStatus::default()
        };
        let diagnostic =
            Diagnostic { severity: "error".into(), path: "a.yaml".into(), ..Diagnostic::default() };
        Rules { rules: vec![good, new], generation: 3, diagnostics: vec![diagnostic] }
    }

    fn told(form: Form) -> String {
        written(|console| print(&rules(), form, console), console(100))
    }

    #[test]
    fn rules_come_in_every_form() {
        insta::assert_snapshot!(told(Form::Plain), @r#"
        cpu_high	ok	cpu.*{env="prod"}	10s	12	2	1.25ms
        evil\u{1b}[2J	error		15s	0	0
        "#);
        insta::assert_snapshot!(told(Form::Table), @r#"
        ╭─────────────────────────────────────────────────────────────────────────────────────╮
        │ rule            health   metric              every   instances   firing   last took │
        ╞═════════════════════════════════════════════════════════════════════════════════════╡
        │ cpu_high        ok       cpu.*{env="prod"}     10s          12        2      1.25ms │
        │ evil\u{1b}[2J   error                          15s           0        0             │
        ╰─────────────────────────────────────────────────────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Form::Wide), @r#"
        ╭──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        │ rule            health   metric              aggregation   limit     place                      error            every   instances   firing   last took   evaluations   longest   window │
        ╞══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        │ cpu_high        ok       cpu.*{env="prod"}   p95           v >= 80   config/rules/host.yaml:3                      10s          12        2      1.25ms           100       5ms       1m │
        │ evil\u{1b}[2J   error                                                                           no such\nthing     15s           0        0                         0                    │
        ╰──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Form::Json), @r#"{"schema_version":1,"generation":3,"rules":[{"id":"cpu_high","place":"config/rules/host.yaml:3","selector":"cpu.*{env=\"prod\"}","aggregation":"p95","limit":"v >= 80","window":60.0,"every":10.0,"health":"ok","error":null,"instances":12,"firing":2,"evaluations":100,"last_tick":"2017-07-14T02:40:00.000Z","last_duration":0.00125,"longest_duration":0.005},{"id":"evil\u001b[2J","place":"","selector":"","aggregation":"","limit":"","window":0.0,"every":15.0,"health":"error","error":"no such\nthing","instances":0,"firing":0,"evaluations":0,"last_tick":null,"last_duration":0.0,"longest_duration":0.0}],"diagnostics":[{"severity":"error","message":"","path":"a.yaml","line":0,"column":0,"excerpt":"","hint":""}]}"#);
        let none = written(|console| print(&Rules::default(), Form::Table, console), console(100));
        assert_eq!(none, "");
    }
}
