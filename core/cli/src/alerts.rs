//! `sereno alerts`: what fires now.

mod forget;
mod nagios;

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use sereno_client::messages::{Alert, ListAlerts, Matcher};
use sereno_model::{Level, SeriesKey, Timestamp};

use crate::console::{Color, Console, printable};
use crate::monitor::matcher;
use crate::output::csv::LabelColumns;
use crate::output::json::{Labels, Number, Time, line};
use crate::output::number::{self, Unit};
use crate::output::table::Grid;
use crate::output::time::{self, Precision};
use crate::output::yaml;
use crate::output::{List, SCHEMA_VERSION};
use crate::{Context, Exit, Failure, Stop, parse, watch};

const EXAMPLES: &str = "\
A plain line is level, rule, instance, since, value and message, with tabs between.

With `--nagios`, one line says how it is, and the exit code is that of a monitoring plugin: 0
nothing fires, 1 something does, 2 something critical does, 3 nobody knows. What is muted does
not count.

Examples:
  sereno alerts                          all that fire
  sereno alerts --all -l env=prod        those that are pending too, of one environment
  sereno alerts --level crit --fail      exit code 1 if anything is critical
  sereno alerts --rule 'disk_*' -o json
  sereno alerts --watch
  sereno alerts forget 'host_silent{host=\"a\"}'";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only of this level and above: `info`, `warn`, `crit`
    #[arg(long, value_parser = str::parse::<Level>)]
    level: Option<Level>,
    /// Only of this rule, `disk_full` or `disk_*`; may be repeated
    #[arg(long = "rule", value_name = "GLOB")]
    rules: Vec<String>,
    /// Only of instances with this label: `env=prod`, `env=!prod`, `host=~web.*`, `host=!~web.*`; may be
    /// repeated
    #[arg(short = 'l', long = "where", visible_alias = "labels", value_name = "LABEL=VALUE", value_parser = matcher)]
    matchers: Vec<Matcher>,
    /// Those that fire, recovering ones among them; the default
    #[arg(long, conflicts_with_all = ["pending", "all"])]
    active: bool,
    /// Those that do not fire yet
    #[arg(long, conflicts_with = "all")]
    pending: bool,
    /// Both
    #[arg(long)]
    all: bool,
    /// Exit with 1 if there is any
    #[arg(long)]
    fail: bool,
    /// Say it as a monitoring plugin does
    #[arg(long, conflicts_with_all = ["fail", "output", "pending", "all", "watch"])]
    nagios: bool,
    /// Ask again and again, every 2s or as said; Ctrl-C ends
    #[arg(short, long, value_name = "TIME", value_parser = parse::span, num_args = 0..=1,
          default_missing_value = "2s")]
    watch: Option<Duration>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    output: Option<List>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// End alerts of what is gone for good: they are told `closed`, and known no more
    Forget(forget::Args),
}

impl Args {
    fn request(&self) -> ListAlerts {
        let states: &[&str] = match () {
            () if self.all => &["pending", "firing", "recovering"],
            () if self.pending => &["pending"],
            () => &["firing", "recovering"],
        };
        ListAlerts {
            rules: self.rules.clone(),
            level: self.level.map(|level| level.as_str().to_owned()).unwrap_or_default(),
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            matchers: self.matchers.clone(),
        }
    }
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    match (&args.command, args.watch) {
        (Some(Command::Forget(args)), _) => forget::run(args, context).await,
        (None, _) if args.nagios => nagios::run(args.request(), context).await,
        (None, None) => once(args, context).await,
        (None, Some(every)) => watch::again(every, context, async |context| once(args, context).await).await,
    }
}

async fn once(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let alerts = context.client().await?.alerts(args.request()).await?.alerts;
    let now = context.clock.now();
    let console = &mut *context.console;
    print(&alerts, now, List::or_default(args.output, console), console)?;
    if alerts.is_empty() {
        console.say(match () {
            () if args.all => "nothing fires or is pending",
            () if args.pending => "nothing is pending",
            () => "nothing fires",
        });
    }
    match alerts.len() {
        count if args.fail && count > 0 => {
            let what = if args.all || args.pending { alerts_are(count) } else { fires(count) };
            Err(Failure::new(Exit::Negative, what).into())
        }
        _ => Ok(()),
    }
}

fn alerts_are(count: usize) -> String {
    if count == 1 { "there is 1 alert".into() } else { format!("there are {count} alerts") }
}

/// `1 alert fires`, `3 alerts fire`.
pub(crate) fn fires(count: usize) -> String {
    if count == 1 { "1 alert fires".into() } else { format!("{count} alerts fire") }
}

/// An alert in pieces, as JSON has it.
#[derive(Serialize)]
pub(crate) struct Fields<'a> {
    rule: &'a str,
    #[serde(serialize_with = "labels")]
    instance: Vec<(String, String)>,
    level: &'a str,
    state: &'a str,
    since: Time,
    value: Option<Number>,
    message: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

/// What many alerts do not have; it is left out then.
#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "is_nothing")]
    previous: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    episode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Time>,
    #[serde(serialize_with = "labels", skip_serializing_if = "Vec::is_empty")]
    labels: Vec<(String, String)>,
    #[serde(skip_serializing_if = "is_nothing")]
    runbook: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    suppressed_by: &'a str,
    #[serde(skip_serializing_if = "is_nothing")]
    stale: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    flapping: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    shadow: bool,
}

fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> More<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self {
            previous: &alert.previous,
            episode: alert.episode,
            peak: alert.peak.map(Number),
            peak_at: alert.peak_at.map(Time),
            due: alert.due.map(Time),
            labels: pairs(&alert.labels),
            runbook: &alert.runbook,
            suppressed_by: &alert.suppressed_by,
            stale: alert.stale,
            flapping: alert.flapping,
            shadow: alert.shadow,
        }
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn of(alert: &'a Alert) -> Self {
        Self {
            rule: &alert.rule,
            instance: pairs(&alert.instance),
            level: &alert.level,
            state: &alert.state,
            since: Time(alert.since),
            value: alert.value.map(Number),
            message: &alert.message,
            more: More::of(alert),
        }
    }
}

/// What is to be known beside level and message: `muted by rack_down, stale`.
fn notes(alert: &Alert, now: Timestamp) -> String {
    let muted = format!("muted by {}", alert.suppressed_by);
    let due = alert.due.map(|due| {
        let left = lasted(now.nanos(), Timestamp::from_nanos(due));
        if alert.state == "recovering" { format!("resolved in {left}") } else { format!("fires in {left}") }
    });
    let notes = [
        (alert.stale, "no data"),
        (alert.flapping, "flapping"),
        (alert.shadow, "shadow"),
        (!alert.suppressed_by.is_empty(), muted.as_str()),
        (due.is_some(), due.as_deref().unwrap_or_default()),
    ];
    let said: Vec<&str> = notes.into_iter().filter(|(is, _)| *is).map(|(_, note)| note).collect();
    said.join(", ")
}

/// Rule and instance, as `sereno alerts forget` takes them: `cpu_high{host="a"}`.
pub(crate) fn name(alert: &Alert) -> String {
    SeriesKey::new(&alert.rule, pairs(&alert.instance))
        .map_or_else(|_| alert.rule.clone(), |key| key.to_string())
}

/// For serde.
pub(crate) fn labels<S: serde::Serializer>(
    labels: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Labels(labels).serialize(serializer)
}

/// Labels from the list of names and values that the wire has.
pub(crate) fn pairs(texts: &[String]) -> Vec<(String, String)> {
    let pairs = texts.chunks_exact(2);
    pairs.filter_map(|pair| pair.first().cloned().zip(pair.get(1).cloned())).collect()
}

/// Labels as they stand in a table: `env="prod" host="a"`.
pub(crate) fn labels_text(labels: &[(String, String)]) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
}

/// The colour of a level. One of a later version is taken for the worst.
pub(crate) fn color(level: &str) -> Color {
    match level {
        "info" => Color::Blue,
        "warn" => Color::Yellow,
        _ => Color::Red,
    }
}

/// How long something has lasted, in words.
pub(crate) fn lasted(since: i64, now: Timestamp) -> String {
    let nanos = now.nanos().saturating_sub(since).max(0);
    Unit::Seconds.short((nanos / 1_000_000_000) as f64)
}

#[derive(Serialize)]
struct All<'a> {
    schema_version: u32,
    alerts: Vec<Fields<'a>>,
}

fn print(alerts: &[Alert], now: Timestamp, form: List, console: &mut Console) -> io::Result<()> {
    let all = || All { schema_version: SCHEMA_VERSION, alerts: alerts.iter().map(Fields::of).collect() };
    match form {
        List::Plain => alerts.iter().try_for_each(|alert| {
            let (since, value) = (time::exact(alert.since), alert.value.map_or(String::new(), number::exact));
            let texts = [&alert.level, &alert.rule, &labels_text(&pairs(&alert.instance))];
            let [level, rule, instance] = texts.map(|text| printable(text));
            let message = printable(&alert.message);
            writeln!(console.out, "{level}\t{rule}\t{instance}\t{since}\t{value}\t{message}")
        }),
        List::Table => table(alerts, now, console),
        List::Json => line(&mut console.out, &all()),
        List::Yaml => yaml::document(&mut console.out, &all()),
        List::Ndjson => alerts.iter().try_for_each(|alert| line(&mut console.out, &Fields::of(alert))),
        List::Csv => csv(alerts, &mut console.out),
        List::Name => {
            alerts.iter().try_for_each(|alert| writeln!(console.out, "{}", printable(&name(alert))))
        }
    }
}

fn table(alerts: &[Alert], now: Timestamp, console: &mut Console) -> io::Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    // Most have nothing to say in these columns.
    let has_states = alerts.iter().any(|alert| alert.state != "firing");
    let has_notes = alerts.iter().any(|alert| !notes(alert, now).is_empty());
    let optional = [("state", has_states), ("notes", has_notes)];
    let optional = || optional.into_iter().filter(|(_, is)| *is).map(|(name, _)| name);
    let texts = 5 + optional().count();
    let header =
        ["message", "rule", "instance", "level"].into_iter().chain(optional()).chain(["since", "for"]);
    let mut grid = Grid::new(console, header, texts);
    for alert in alerts {
        let message = if alert.message.is_empty() { &alert.rule } else { &alert.message };
        let fixed =
            [message.clone(), alert.rule.clone(), labels_text(&pairs(&alert.instance)), alert.level.clone()];
        let more =
            optional().map(|name| if name == "state" { alert.state.clone() } else { notes(alert, now) });
        let times = [Precision::Seconds.format(alert.since), lasted(alert.since, now)];
        grid.row(fixed.into_iter().chain(more).chain(times));
    }
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

/// A row per alert, with a column per label.
fn csv(alerts: &[Alert], out: &mut dyn Write) -> io::Result<()> {
    let instances: Vec<_> = alerts.iter().map(|alert| pairs(&alert.instance)).collect();
    let labels = LabelColumns::of(instances.iter().map(Vec::as_slice));
    let mut csv = ::csv::Writer::from_writer(out);
    let fixed = ["level", "rule", "since", "value", "message"].map(str::to_owned);
    csv.write_record(fixed.into_iter().chain(labels.header()))?;
    for (alert, instance) in alerts.iter().zip(&instances) {
        let (since, value) = (time::exact(alert.since), alert.value.map_or(String::new(), number::exact));
        let fixed = [
            printable(&alert.level),
            printable(&alert.rule),
            since.into(),
            value.into(),
            printable(&alert.message),
        ];
        csv.write_record(fixed.into_iter().chain(labels.row(instance)).map(Cow::into_owned))?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests;
