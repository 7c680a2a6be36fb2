//! The board without a screen: tables, or one object.

use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::{Busy, RuleStatus};
use sereno_model::Timestamp;

use super::Form;
use super::board::{Answers, Queue};
use crate::alerts::{self, Fields};
use crate::console::{Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::{Number, Time, line};
use crate::output::table::Grid;
use crate::{info, rules};

/// Rows of a table.
const ROWS: usize = 10;

pub(super) fn print(answers: &Answers, form: Form, console: &mut Console) -> io::Result<()> {
    match form {
        Form::Plain => plain(answers, console),
        Form::Json => json(answers, &mut console.out),
    }
}

fn plain(answers: &Answers, console: &mut Console) -> io::Result<()> {
    let info = &answers.info;
    let state = if info.recovering { ", reading its log back" } else { "" };
    writeln!(console.out, "{}, up {}{state}", printable(&info.server), info::up(info))?;
    let rate = answers.rate.map_or_else(|| "unknown".to_owned(), per_second);
    let (series, connections, rules) = (info.series, info.connections, info.rules);
    writeln!(
        console.out,
        "series {series}, connections {connections}, rules {rules}, alerts {}, samples/s {rate}",
        answers.alerts.len()
    )?;
    let mut tables = Vec::new();
    let mut grid = Grid::new(console, ["alert", "rule", "level", "for"], 3);
    for alert in answers.alerts.iter().take(ROWS) {
        grid.row([message(alert), &alert.rule, &alert.level, &lasted(alert.since, answers)]);
    }
    tables.push((grid, answers.alerts.len()));
    let mut grid = Grid::new(console, ["busiest metrics", "samples/s", "series"], 1);
    for busy in answers.busiest.iter().take(ROWS) {
        grid.row([busy.name.clone(), per_second(busy.samples_per_second), busy.series.to_string()]);
    }
    tables.push((grid, answers.busiest.len()));
    let mut grid = Grid::new(console, ["slowest rules", "health", "last took", "longest", "firing"], 2);
    for rule in answers.rules.iter().take(ROWS) {
        let [took, longest] = [rule.last_duration, rule.longest_duration].map(rules::span);
        grid.row([rule.id.clone(), rule.health.clone(), took, longest, rule.firing.to_string()]);
    }
    tables.push((grid, answers.rules.len()));
    let mut grid = Grid::new(console, ["queues", "waiting", "room for", "refused"], 1);
    for queue in &answers.queues {
        let numbers = [queue.depth, queue.capacity, queue.refused].map(|number| number.to_string());
        grid.row(std::iter::once(queue.name.clone()).chain(numbers));
    }
    tables.push((grid, answers.queues.len()));
    let tables = tables.into_iter().filter(|(_, rows)| *rows > 0);
    tables.flat_map(|(grid, _)| grid.lines()).try_for_each(|line| writeln!(console.out, "{line}"))
}

/// What an alert says; its rule, if it says nothing.
pub(super) fn message(alert: &sereno_client::messages::Alert) -> &str {
    if alert.message.is_empty() { &alert.rule } else { &alert.message }
}

/// By the server's clock.
pub(super) fn lasted(since: i64, answers: &Answers) -> String {
    alerts::lasted(since, Timestamp::from_nanos(answers.info.time))
}

/// With one digit behind the point where there are few.
pub(super) fn per_second(rate: f64) -> String {
    if rate.abs() < 9.95 && rate.fract() != 0.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn json(answers: &Answers, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct All<'a> {
        schema_version: u32,
        server: &'a str,
        time: Time,
        started: Time,
        recovering: bool,
        series: u64,
        connections: u64,
        generation: u64,
        samples_per_second: Option<Number>,
        alerts: Vec<Fields<'a>>,
        busiest: Vec<BusyLine<'a>>,
        rules: Vec<RuleLine<'a>>,
        queues: Vec<QueueLine<'a>>,
    }
    let info = &answers.info;
    let all = All {
        schema_version: SCHEMA_VERSION,
        server: &info.server,
        time: Time(info.time),
        started: Time(info.started),
        recovering: info.recovering,
        series: info.series,
        connections: info.connections,
        generation: info.generation,
        samples_per_second: answers.rate.map(Number),
        alerts: answers.alerts.iter().map(Fields::of).collect(),
        busiest: answers.busiest.iter().map(BusyLine::of).collect(),
        rules: answers.rules.iter().map(RuleLine::of).collect(),
        queues: answers.queues.iter().map(QueueLine::of).collect(),
    };
    line(out, &all)
}

#[derive(Serialize)]
struct BusyLine<'a> {
    name: &'a str,
    samples_per_second: Number,
    series: u64,
}

impl<'a> BusyLine<'a> {
    fn of(busy: &'a Busy) -> Self {
        Self { name: &busy.name, samples_per_second: Number(busy.samples_per_second), series: busy.series }
    }
}

/// Spans of time are in seconds.
#[derive(Serialize)]
struct RuleLine<'a> {
    id: &'a str,
    health: &'a str,
    firing: u64,
    last_duration: f64,
    longest_duration: f64,
}

impl<'a> RuleLine<'a> {
    fn of(rule: &'a RuleStatus) -> Self {
        let [last_duration, longest_duration] =
            [rule.last_duration, rule.longest_duration].map(|nanos| nanos as f64 / 1e9);
        Self { id: &rule.id, health: &rule.health, firing: rule.firing, last_duration, longest_duration }
    }
}

#[derive(Serialize)]
struct QueueLine<'a> {
    name: &'a str,
    depth: Number,
    capacity: Number,
    refused: Number,
}

impl<'a> QueueLine<'a> {
    fn of(queue: &'a Queue) -> Self {
        let [depth, capacity, refused] = [queue.depth, queue.capacity, queue.refused].map(Number);
        Self { name: &queue.name, depth, capacity, refused }
    }
}

#[cfg(test)]
mod tests {
    use sereno_client::messages::{Alert, Figure, Info};

    use super::*;
    use crate::output::testing::{console, written};

    fn answers() -> Answers {
        let figure = |name: &str, value| Figure { name: name.into(), value };
        let second = 1_500_000_000_000_000_000;
        let info = Info {
            server: "serenod 0.1.0".into(),
            time: second,
            started: second - 60_000_000_000,
            series: 12,
            connections: 3,
            rules: 1,
            figures: vec![
                figure(r#"queue_depth{queue="queries"}"#, 2.0),
                figure(r#"queue_capacity{queue="queries"}"#, 256.0),
            ],
            ..Info::default()
        };
        let busy = Busy { name: "cpu.load\x1b".into(), samples_per_second: 0.25, series: 8 };
        let alert = Alert {
            rule: "cpu_high".into(),
            level: "crit".into(),
            since: second - 5_000_000_000,
            ..Alert::default()
        };
        let rule = RuleStatus {
            id: "cpu_high".into(),
            health: "ok".into(),
            last_duration: 1_250_000,
            longest_duration: 2_000_000,
            firing: 1,
            ..RuleStatus::default()
        };
        Answers { rate: Some(1_234.5), ..Answers::new(info, vec![busy], vec![alert], vec![rule]) }
    }

    #[test]
    fn a_report_in_every_form() {
        let told = |answers: &Answers, form| written(|console| print(answers, form, console), console(100));
        insta::assert_snapshot!(told(&answers(), Form::Plain), @r"
        serenod 0.1.0, up 1m
        series 12, connections 3, rules 1, alerts 1, samples/s 1234
        ╭───────────────────────────────────╮
        │ alert      rule       level   for │
        ╞═══════════════════════════════════╡
        │ cpu_high   cpu_high   crit     5s │
        ╰───────────────────────────────────╯
        ╭──────────────────────────────────────╮
        │ busiest metrics   samples/s   series │
        ╞══════════════════════════════════════╡
        │ cpu.load\u{1b}          0.2        8 │
        ╰──────────────────────────────────────╯
        ╭───────────────────────────────────────────────────────╮
        │ slowest rules   health   last took   longest   firing │
        ╞═══════════════════════════════════════════════════════╡
        │ cpu_high        ok          1.25ms       2ms        1 │
        ╰───────────────────────────────────────────────────────╯
        ╭────────────────────────────────────────╮
        │ queues    waiting   room for   refused │
        ╞════════════════════════════════════════╡
        │ queries         2        256         0 │
        ╰────────────────────────────────────────╯
        ");
        insta::assert_snapshot!(told(&answers(), Form::Json), @r#"{"schema_version":1,"server":"serenod 0.1.0","time":"2017-07-14T02:40:00.000Z","started":"2017-07-14T02:39:00.000Z","recovering":false,"series":12,"connections":3,"generation":0,"samples_per_second":1234.5,"alerts":[{"rule":"cpu_high","instance":{},"level":"crit","state":"","since":"2017-07-14T02:39:55.000Z","value":null,"message":""}],"busiest":[{"name":"cpu.load\u001b","samples_per_second":0.25,"series":8}],"rules":[{"id":"cpu_high","health":"ok","firing":1,"last_duration":0.00125,"longest_duration":0.002}],"queues":[{"name":"queries","depth":2.0,"capacity":256.0,"refused":0.0}]}"#);
        let new = Answers { rate: None, ..Answers::default() };
        insta::assert_snapshot!(told(&new, Form::Plain), @"
        , up 0s
        series 0, connections 0, rules 0, alerts 0, samples/s unknown
        ");
    }
}
