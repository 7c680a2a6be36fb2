//! `sereno alerts`: what fires now.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::{Alert, ListAlerts};
use sereno_model::{Level, Timestamp};

use crate::console::{Color, Console, printable};
use crate::output::csv::LabelColumns;
use crate::output::json::{Labels, Number, Time, line};
use crate::output::number::{self, Unit};
use crate::output::table::Grid;
use crate::output::time::{self, Precision};
use crate::output::{Form, SCHEMA_VERSION};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
A plain line is level, rule, instance, since, value and message, with tabs between.

Examples:
  sereno alerts                          all that fire
  sereno alerts --level crit --fail      exit code 1 if anything is critical
  sereno alerts --rule 'disk_*' -o json";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only of this level and above: `info`, `warn`, `crit`
    #[arg(long, value_parser = str::parse::<Level>)]
    level: Option<Level>,
    /// Only of this rule, `disk_full` or `disk_*`; may be repeated
    #[arg(long = "rule", value_name = "GLOB")]
    rules: Vec<String>,
    /// Exit with 1 if any fires
    #[arg(long)]
    fail: bool,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let level = args.level.map(|level| level.as_str().to_owned()).unwrap_or_default();
    let request = ListAlerts { rules: args.rules.clone(), level };
    let alerts = context.client().await?.alerts(request).await?.alerts;
    let now = context.clock.now();
    let console = &mut *context.console;
    print(&alerts, now, Form::or_default(args.output, console), console)?;
    if alerts.is_empty() {
        console.say("nothing fires");
    }
    match alerts.len() {
        count if args.fail && count > 0 => Err(Failure::new(Exit::Negative, fires(count)).into()),
        _ => Ok(()),
    }
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
        }
    }
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

fn print(alerts: &[Alert], now: Timestamp, form: Form, console: &mut Console) -> io::Result<()> {
    match form {
        Form::Plain => alerts.iter().try_for_each(|alert| {
            let (since, value) = (time::exact(alert.since), alert.value.map_or(String::new(), number::exact));
            let texts = [&alert.level, &alert.rule, &labels_text(&pairs(&alert.instance))];
            let [level, rule, instance] = texts.map(|text| printable(text));
            let message = printable(&alert.message);
            writeln!(console.out, "{level}\t{rule}\t{instance}\t{since}\t{value}\t{message}")
        }),
        Form::Table => table(alerts, now, console),
        Form::Json => {
            #[derive(Serialize)]
            struct All<'a> {
                schema_version: u32,
                alerts: Vec<Fields<'a>>,
            }
            let alerts = alerts.iter().map(Fields::of).collect();
            line(&mut console.out, &All { schema_version: SCHEMA_VERSION, alerts })
        }
        Form::Ndjson => alerts.iter().try_for_each(|alert| line(&mut console.out, &Fields::of(alert))),
        Form::Csv => csv(alerts, &mut console.out),
    }
}

fn table(alerts: &[Alert], now: Timestamp, console: &mut Console) -> io::Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(console, ["message", "rule", "instance", "level", "since", "for"], 5);
    for alert in alerts {
        let message = if alert.message.is_empty() { &alert.rule } else { &alert.message };
        let (since, instance) =
            (Precision::Seconds.format(alert.since), labels_text(&pairs(&alert.instance)));
        let lasted = lasted(alert.since, now);
        grid.row([message.as_str(), &alert.rule, &instance, &alert.level, &since, &lasted]);
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
