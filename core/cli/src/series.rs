//! `sereno series`: which series there are.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use sereno_client::messages::ListSeries;
use sereno_model::{SeriesKey, Timestamp};

use crate::console::{Console, printable};
use crate::labels::How;
use crate::output::csv::LabelColumns;
use crate::output::json::{Labels, line};
use crate::output::table::Grid;
use crate::output::{Form, SCHEMA_VERSION};
use crate::query::{missing, selector};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
Examples:
  sereno series                          all there are
  sereno series 'cpu.*{env=\"prod\"}'      those that match
  sereno series cpu.load --last 1h       those with samples in the last hour";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*`; all if it is not given
    #[arg(value_parser = selector)]
    selector: Option<String>,
    #[command(flatten)]
    how: How,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let (start, end) = args.how.period.resolve(context.clock.now())?;
    let request = ListSeries {
        selector: args.selector.clone().unwrap_or_default(),
        start: start.map(Timestamp::nanos),
        end: end.map(Timestamp::nanos),
        limit: args.how.limit,
    };
    let client = context.client().await?;
    let (series, total) = client.series(request).await?;
    if series.is_empty() {
        return Err(match &args.selector {
            Some(selector) if !args.how.period.is_limited() => {
                missing::explain(&client, &context.server.address, selector, 0).await?.into()
            }
            _ => none(&context.server.address, args.how.period.is_limited()).into(),
        });
    }
    let listed = series.len() as u64;
    print(&series, total, Form::or_default(args.how.output, context.console), context.console)?;
    if total > listed {
        let told = format!(
            "these are {listed} of {total} series; a narrower selector, or `--limit`, tells of others"
        );
        context.console.say(told);
    }
    Ok(())
}

/// The failure when there is no series at all.
pub(crate) fn none(address: &str, limited: bool) -> Failure {
    match limited {
        true => Failure::new(Exit::Negative, format!("`{address}` has no such series in the period"))
            .hint("widen `--start` and `--end`, or `--last`"),
        false => Failure::new(Exit::Negative, format!("`{address}` has no series yet"))
            .hint("send something: `sereno send NAME VALUE`"),
    }
}

fn print(series: &[String], total: u64, form: Form, console: &mut Console) -> io::Result<()> {
    match form {
        Form::Plain => series.iter().try_for_each(|text| writeln!(console.out, "{}", printable(text))),
        Form::Table => {
            let mut grid = Grid::new(console, ["metric", "labels"], 2);
            series
                .iter()
                .map(|text| Series::of(text))
                .for_each(|one| grid.row([one.metric(), &one.labels_text()]));
            grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
        }
        Form::Json => {
            #[derive(Serialize)]
            struct All<'a> {
                schema_version: u32,
                total: u64,
                series: Vec<Series<'a>>,
            }
            let series = series.iter().map(|text| Series::of(text)).collect();
            line(&mut console.out, &All { schema_version: SCHEMA_VERSION, total, series })
        }
        Form::Ndjson => series.iter().try_for_each(|text| line(&mut console.out, &Series::of(text))),
        Form::Csv => csv(series, &mut console.out),
    }
}

/// A series in text form and in pieces.
#[derive(Serialize)]
struct Series<'a> {
    series: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(serialize_with = "labels")]
    labels: Vec<(String, String)>,
}

impl<'a> Series<'a> {
    /// What is no text form is shown as it came.
    fn of(series: &'a str) -> Self {
        let Ok(key) = series.parse::<SeriesKey>() else {
            return Self { series, name: None, labels: Vec::new() };
        };
        let labels = key.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { series, name: Some(key.name().to_owned()), labels }
    }

    fn metric(&self) -> &str {
        self.name.as_deref().unwrap_or(self.series)
    }

    fn labels_text(&self) -> String {
        self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
    }
}

fn labels<S: serde::Serializer>(labels: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    Labels(labels).serialize(serializer)
}

/// A row per series: its name, and a column per label.
fn csv(series: &[String], out: &mut dyn io::Write) -> io::Result<()> {
    let series: Vec<Series<'_>> = series.iter().map(|text| Series::of(text)).collect();
    let labels = LabelColumns::of(series.iter().map(|one| one.labels.as_slice()));
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(std::iter::once("name".to_owned()).chain(labels.header()))?;
    for one in &series {
        let name = printable(one.metric());
        csv.write_record(std::iter::once(name).chain(labels.row(&one.labels)).map(Cow::into_owned))?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn series_come_in_every_form() {
        let series = [r#"cpu.load{env="prod",host="a"}"#, r#"{"odd{name",host="b"}"#, "foo", "not\ta{series"]
            .map(str::to_owned);
        let told = |form| written(|console| print(&series, 70, form, console), console(100));
        insta::assert_snapshot!(told(Form::Plain), @r#"
        cpu.load{env="prod",host="a"}
        {"odd{name",host="b"}
        foo
        not\ta{series
        "#);
        insta::assert_snapshot!(told(Form::Table), @r#"
        ╭─────────────────────────────────────╮
        │ metric          labels              │
        ╞═════════════════════════════════════╡
        │ cpu.load        env="prod" host="a" │
        │ odd{name        host="b"            │
        │ foo                                 │
        │ not\ta{series                       │
        ╰─────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Form::Json), @r#"{"schema_version":1,"total":70,"series":[{"series":"cpu.load{env=\"prod\",host=\"a\"}","name":"cpu.load","labels":{"env":"prod","host":"a"}},{"series":"{\"odd{name\",host=\"b\"}","name":"odd{name","labels":{"host":"b"}},{"series":"foo","name":"foo","labels":{}},{"series":"not\ta{series","labels":{}}]}"#);
        insta::assert_snapshot!(told(Form::Ndjson), @r#"
        {"series":"cpu.load{env=\"prod\",host=\"a\"}","name":"cpu.load","labels":{"env":"prod","host":"a"}}
        {"series":"{\"odd{name\",host=\"b\"}","name":"odd{name","labels":{"host":"b"}}
        {"series":"foo","name":"foo","labels":{}}
        {"series":"not\ta{series","labels":{}}
        "#);
        insta::assert_snapshot!(told(Form::Csv), @r"
        name,env,host
        cpu.load,prod,a
        odd{name,,b
        foo,,
        not\ta{series,,
        ");
    }
}
