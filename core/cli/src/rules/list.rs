//! `sereno rules list`: the rules of the server, and how they are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use sereno_client::messages::{Missed, Pause, RuleStatus, Rules};

use super::{Finding, findings};
use crate::console::{Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Time, line};
use crate::output::number::Unit;
use crate::output::table::Grid;
use crate::output::time::Precision;
use crate::output::yaml;
use crate::{Context, Exit, Failure, Stop, parse, watch};

const EXAMPLES: &str = "\
Health:
  ok           evaluated as it should be
  waiting      not evaluated yet
  unmatched    no series has ever matched
  stale        its file has a mistake, and the last good version runs
  error        the last evaluation failed
  limited      it has as many instances as it may, and refuses new ones
  quarantined  it broke its budget again and again, and is tried at ever longer intervals
  paused       it rests, see `sereno rules pause`
  off          not evaluated

Examples:
  sereno rules list
  sereno rules ls 'disk_*' -o wide
  sereno rules ls -o name | xargs -n 1 sereno rules explain
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
    /// The same, as YAML
    Yaml,
    /// The ids
    Name,
    /// The columns of the table, with tabs between; the default elsewhere
    Plain,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which rules: `disk_full`, `disk_*`; all if there is none
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
    /// Ask again and again, every 2s or as said; Ctrl-C ends
    #[arg(short, long, value_name = "TIME", value_parser = parse::span, num_args = 0..=1,
          default_missing_value = "2s")]
    watch: Option<Duration>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    match args.watch {
        None => once(args, context).await,
        Some(every) => watch::again(every, context, async |context| once(args, context).await).await,
    }
}

async fn once(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let rules = context.client().await?.rules(args.rules.clone()).await?;
    let console = &mut *context.console;
    let by_terminal = if console.out_is_tty { Form::Table } else { Form::Plain };
    print(&rules, args.output.unwrap_or(by_terminal), console)?;
    if rules.rules.is_empty() && args.rules.is_empty() {
        console.say("the server has no rules");
    }
    if rules.pinned > 0 {
        console.say(format_args!(
            "pinned to generation {} until the files change or are reloaded",
            rules.pinned
        ));
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
        Form::Json => line(&mut console.out, &All::of(rules)),
        Form::Yaml => yaml::document(&mut console.out, &All::of(rules)),
        Form::Name => {
            rules.rules.iter().try_for_each(|rule| writeln!(console.out, "{}", printable(&rule.id)))
        }
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
const MORE_TEXTS: [&str; 5] = ["aggregation", "limit", "place", "error", "note"];
const MORE_NUMBERS: [&str; 9] = [
    "matched",
    "pending",
    "missed",
    "evaluations",
    "longest",
    "window",
    "samples",
    "operations",
    "next tick",
];

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
    let more_texts =
        [&rule.aggregation, &rule.limit, &rule.place, &rule.error, &note(rule)].map(Clone::clone);
    let missed: u64 = rule.missed.iter().map(|missed| missed.ticks).sum();
    let more_numbers = [
        rule.matched.to_string(),
        rule.pending.to_string(),
        missed.to_string(),
        rule.evaluations.to_string(),
        span(rule.longest_duration),
        span(rule.window),
        rule.samples.to_string(),
        rule.operations.to_string(),
        rule.next_tick.map_or_else(String::new, |tick| Precision::Seconds.format(tick)),
    ];
    [texts, &more_texts, numbers, &more_numbers].concat()
}

/// What else is to be known: `shadow, paused until … (new disks, ana), missed 3 behind`.
fn note(rule: &RuleStatus) -> String {
    let mode = Some(rule.mode.clone()).filter(|mode| mode == "shadow");
    let paused = rule
        .pause
        .as_ref()
        .map(|pause| format!("paused until {}{}", Precision::Seconds.format(pause.until), why(pause)));
    let missed = |missed: &Missed| format!("missed {} {}", missed.ticks, missed.reason);
    mode.into_iter().chain(paused).chain(rule.missed.iter().map(missed)).collect::<Vec<_>>().join(", ")
}

/// ` (new disks, ana)`.
pub(super) fn why(pause: &Pause) -> String {
    let said: Vec<_> = [&pause.comment, &pause.who].into_iter().filter(|text| !text.is_empty()).collect();
    let said: Vec<_> = said.into_iter().map(|text| printable(text)).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

/// A time in nanoseconds; 0 is none.
pub(crate) fn span(nanos: u64) -> String {
    if nanos == 0 { String::new() } else { Unit::Seconds.short(nanos as f64 / 1e9) }
}

#[derive(Serialize)]
struct All<'a> {
    schema_version: u32,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<u64>,
    rules: Vec<Line<'a>>,
    diagnostics: Vec<Finding<'a>>,
}

impl<'a> All<'a> {
    fn of(rules: &'a Rules) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            generation: rules.generation,
            pinned: Some(rules.pinned).filter(|number| *number > 0),
            rules: rules.rules.iter().map(Line::of).collect(),
            diagnostics: Finding::all(&rules.diagnostics),
        }
    }
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
    matched: u64,
    pending: u64,
    samples: u64,
    operations: u64,
    missed: BTreeMap<&'a str, u64>,
    next_tick: Option<Time>,
    mode: &'a str,
    paused: Option<Paused<'a>>,
}

#[derive(Serialize)]
struct Paused<'a> {
    until: Time,
    comment: &'a str,
    who: &'a str,
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
            matched: rule.matched,
            pending: rule.pending,
            samples: rule.samples,
            operations: rule.operations,
            missed: rule.missed.iter().map(|missed| (missed.reason.as_str(), missed.ticks)).collect(),
            next_tick: rule.next_tick.map(Time),
            mode: &rule.mode,
            paused: rule.pause.as_ref().map(|pause| Paused {
                until: Time(pause.until),
                comment: &pause.comment,
                who: &pause.who,
            }),
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
            matched: 14,
            pending: 1,
            missed: vec![Missed { reason: "behind".into(), ticks: 3 }],
            next_tick: Some(1_500_000_010_000_000_000),
            pause: Some(Pause {
                until: 1_500_003_600_000_000_000,
                comment: "new disks".into(),
                who: "ana".into(),
            }),
            operations: 1_000,
            samples: 600,
            mode: "shadow".into(),
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
        Rules { rules: vec![good, new], generation: 3, diagnostics: vec![diagnostic], ..Rules::default() }
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
        ╭───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        │ rule            health   metric              aggregation   limit     place                      error            note                                                                          every   instances   firing   last took   matched   pending   missed   evaluations   longest   window   samples   operations              next tick │
        ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        │ cpu_high        ok       cpu.*{env="prod"}   p95           v >= 80   config/rules/host.yaml:3                    shadow, paused until 2017-07-14T03:40:00Z (new disks, ana), missed 3 behind     10s          12        2      1.25ms        14         1        3           100       5ms       1m       600         1000   2017-07-14T02:40:10Z │
        │ evil\u{1b}[2J   error                                                                           no such\nthing                                                                                   15s           0        0                     0         0        0             0                            0            0                        │
        ╰───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Form::Json), @r#"{"schema_version":1,"generation":3,"rules":[{"id":"cpu_high","place":"config/rules/host.yaml:3","selector":"cpu.*{env=\"prod\"}","aggregation":"p95","limit":"v >= 80","window":60.0,"every":10.0,"health":"ok","error":null,"instances":12,"firing":2,"evaluations":100,"last_tick":"2017-07-14T02:40:00.000Z","last_duration":0.00125,"longest_duration":0.005,"matched":14,"pending":1,"samples":600,"operations":1000,"missed":{"behind":3},"next_tick":"2017-07-14T02:40:10.000Z","mode":"shadow","paused":{"until":"2017-07-14T03:40:00.000Z","comment":"new disks","who":"ana"}},{"id":"evil\u001b[2J","place":"","selector":"","aggregation":"","limit":"","window":0.0,"every":15.0,"health":"error","error":"no such\nthing","instances":0,"firing":0,"evaluations":0,"last_tick":null,"last_duration":0.0,"longest_duration":0.0,"matched":0,"pending":0,"samples":0,"operations":0,"missed":{},"next_tick":null,"mode":"","paused":null}],"diagnostics":[{"severity":"error","message":"","path":"a.yaml","line":0,"column":0,"excerpt":"","hint":""}]}"#);
        let none = written(|console| print(&Rules::default(), Form::Table, console), console(100));
        assert_eq!(none, "");
    }
}
