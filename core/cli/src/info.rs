//! `sereno info`: how the server is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::{Figure, Info};

use crate::console::{Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Number, Time, line};
use crate::output::number::Unit;
use crate::output::table::Grid;
use crate::output::time::Precision;
use crate::storage::Form;
use crate::{Context, Stop, alerts};

const EXAMPLES: &str = "\
The server keeps its own figures as series too: `sereno query 'sereno.queue_depth*' --last 1h`.

Examples:
  sereno info
  sereno info --figures -o json | jq '.figures[\"connections_open\"]'";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// With the server's own figures
    #[arg(long)]
    figures: bool,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let info = context.client().await?.info(args.figures).await?;
    let address = context.server.address.as_str();
    match args.output {
        Form::Table => table(&info, address, context.console)?,
        Form::Json => json(&info, address, args.figures, &mut context.console.out)?,
    }
    Ok(())
}

fn table(info: &Info, address: &str, console: &mut Console) -> io::Result<()> {
    let up = up(info);
    let state =
        if info.recovering { "it reads its log back, and some queries have to wait" } else { "ready" };
    let rows = [
        ("server", format!("{} at {address}", info.server)),
        ("state", state.to_owned()),
        ("started", format!("{}, {up} ago", Precision::Seconds.format(info.started))),
        ("series", info.series.to_string()),
        ("connections", info.connections.to_string()),
        ("rules", format!("{}, generation {}", info.rules, info.generation)),
        ("alerts", format!("{} firing", info.alerts)),
        ("version 1", if info.v1 { "served" } else { "off" }.to_owned()),
    ];
    for (name, value) in rows {
        writeln!(console.out, "{name:<11}  {}", printable(&value))?;
    }
    if info.figures.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(console, ["figure", "value"], 1);
    sorted(&info.figures).into_iter().for_each(|figure| grid.row([&figure.name, &shown(figure)]));
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

/// How long the server has been running, in words.
pub(crate) fn up(info: &Info) -> String {
    alerts::lasted(info.started, sereno_model::Timestamp::from_nanos(info.time))
}

fn sorted(figures: &[Figure]) -> Vec<&Figure> {
    let mut figures: Vec<_> = figures.iter().collect();
    figures.sort_by(|a, b| a.name.cmp(&b.name));
    figures
}

/// In the unit that the name tells, without its labels.
fn shown(figure: &Figure) -> String {
    let name = figure.name.split('{').next().unwrap_or_default();
    Unit::of(name, "last").short(figure.value)
}

fn json(info: &Info, address: &str, with_figures: bool, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct All<'a> {
        schema_version: u32,
        address: &'a str,
        server: &'a str,
        time: Time,
        started: Time,
        recovering: bool,
        series: u64,
        connections: u64,
        generation: u64,
        rules: u64,
        alerts: u64,
        v1: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        figures: Option<BTreeMap<&'a str, Number>>,
    }
    let figures = info.figures.iter().map(|figure| (figure.name.as_str(), Number(figure.value)));
    let all = All {
        schema_version: SCHEMA_VERSION,
        address,
        server: &info.server,
        time: Time(info.time),
        started: Time(info.started),
        recovering: info.recovering,
        series: info.series,
        connections: info.connections,
        generation: info.generation,
        rules: info.rules,
        alerts: info.alerts,
        v1: info.v1,
        figures: with_figures.then(|| figures.collect()),
    };
    line(out, &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    fn info() -> Info {
        let figure = |name: &str, value| Figure { name: name.into(), value };
        let second = 1_500_000_000_000_000_000;
        Info {
            server: "serenod 0.1.0\x1b[2J".into(),
            time: second,
            started: second - 7_500_000_000_000,
            connections: 3,
            series: 12,
            generation: 2,
            rules: 5,
            alerts: 1,
            figures: vec![
                figure("wal_size_bytes", 1_048_576.0),
                figure(r#"queue_depth{queue="metrics"}"#, 7.0),
                figure("odd", f64::NAN),
            ],
            v1: true,
            ..Info::default()
        }
    }

    #[test]
    fn a_server_in_every_form() {
        let told = |info: &Info| written(|console| table(info, "SERVER", console), console(100));
        insta::assert_snapshot!(told(&info()), @r#"
        server       serenod 0.1.0\u{1b}[2J at SERVER
        state        ready
        started      2017-07-14T00:35:00Z, 2h5m ago
        series       12
        connections  3
        rules        5, generation 2
        alerts       1 firing
        version 1    served
        ╭──────────────────────────────────────╮
        │ figure                         value │
        ╞══════════════════════════════════════╡
        │ odd                              NaN │
        │ queue_depth{queue="metrics"}       7 │
        │ wal_size_bytes                 1 MiB │
        ╰──────────────────────────────────────╯
        "#);
        let bare = Info { recovering: true, v1: false, figures: Vec::new(), ..info() };
        insta::assert_snapshot!(told(&bare), @r"
        server       serenod 0.1.0\u{1b}[2J at SERVER
        state        it reads its log back, and some queries have to wait
        started      2017-07-14T00:35:00Z, 2h5m ago
        series       12
        connections  3
        rules        5, generation 2
        alerts       1 firing
        version 1    off
        ");
        let told =
            |figures| written(|console| json(&info(), "SERVER", figures, &mut console.out), console(100));
        insta::assert_snapshot!(told(true), @r#"{"schema_version":1,"address":"SERVER","server":"serenod 0.1.0\u001b[2J","time":"2017-07-14T02:40:00.000Z","started":"2017-07-14T00:35:00.000Z","recovering":false,"series":12,"connections":3,"generation":2,"rules":5,"alerts":1,"v1":true,"figures":{"odd":"NaN","queue_depth{queue=\"metrics\"}":7.0,"wal_size_bytes":1048576.0}}"#);
        insta::assert_snapshot!(told(false), @r#"{"schema_version":1,"address":"SERVER","server":"serenod 0.1.0\u001b[2J","time":"2017-07-14T02:40:00.000Z","started":"2017-07-14T00:35:00.000Z","recovering":false,"series":12,"connections":3,"generation":2,"rules":5,"alerts":1,"v1":true}"#);
    }
}
