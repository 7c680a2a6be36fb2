//! `sereno labels` and `sereno names`: which labels there are, which values they have, and which metrics.

use std::io;

use serde::Serialize;
use sereno_client::messages::{Code, LabelCount, ListLabels};
use sereno_model::Timestamp;

use crate::console::{Console, printable};
use crate::output::json::line;
use crate::output::table::Grid;
use crate::output::{Form, SCHEMA_VERSION};
use crate::query::missing::{self, NAME};
use crate::query::period::Period;
use crate::query::selector;
use crate::{Context, Exit, Failure, Stop, series};

const EXAMPLES: &str = "\
Examples:
  sereno labels                              the labels, and how many series and values each has
  sereno labels host                         the values of `host`
  sereno labels host --selector 'cpu.*'      those of the series that match";

const NAMES_EXAMPLES: &str = "\
Examples:
  sereno names                     all metrics, and how many series each has
  sereno names 'cpu.*' --last 1h   those that match, with samples in the last hour";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label whose values are wanted; `__name__` holds the metric's name
    label: Option<String>,
    /// Only of these series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*`
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    selector: Option<String>,
    #[command(flatten)]
    how: How,
}

/// `sereno names`.
#[derive(clap::Args, Debug)]
#[command(after_help = NAMES_EXAMPLES)]
pub(crate) struct Names {
    /// Only of these series: `cpu.*`, `*{host="a"}`
    #[arg(value_parser = selector)]
    selector: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How much of what there is, and in which form. Of `sereno series` too.
#[derive(clap::Args, Debug)]
pub(crate) struct How {
    /// List no more than this many; as many as the server gives if it is not given
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub(crate) limit: u64,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    pub(crate) output: Option<Form>,
    #[command(flatten)]
    pub(crate) period: Period,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    list(args.label.as_deref(), args.selector.as_deref(), &args.how, context).await
}

pub(crate) async fn names(args: &Names, context: &mut Context<'_>) -> Result<(), Stop> {
    list(Some(NAME), args.selector.as_deref(), &args.how, context).await
}

async fn list(
    label: Option<&str>,
    selector: Option<&str>,
    how: &How,
    context: &mut Context<'_>,
) -> Result<(), Stop> {
    let (start, end) = how.period.resolve(context.clock.now())?;
    let request = ListLabels {
        selector: selector.unwrap_or_default().to_owned(),
        start: start.map(Timestamp::nanos),
        end: end.map(Timestamp::nanos),
        limit: how.limit,
        label: label.unwrap_or_default().to_owned(),
    };
    let client = context.client().await?;
    let address = &context.server.address;
    let (found, total) = match (client.labels(request).await, label) {
        // The server, too, may know what was meant; if not, this says what to do.
        (Err(error), Some(label)) if error.code() == Some(Code::NotFound) && error.hint().is_none() => {
            return Err(no_label(address, label, selector).into());
        }
        (answer, _) => answer?,
    };
    if found.is_empty() {
        return Err(match (label, selector) {
            _ if how.period.is_limited() => series::none(address, true).into(),
            (None | Some(NAME), Some(selector)) => {
                missing::explain(&client, address, selector, 0).await?.into()
            }
            (Some(label), _) if label != NAME => no_label(address, label, selector).into(),
            _ => series::none(address, false).into(),
        });
    }
    let listed = found.len() as u64;
    print(label, &found, total, Form::or_default(how.output, context.console), context.console)?;
    if total > listed {
        let what = if label.is_some() { "values" } else { "labels" };
        context
            .console
            .say(format_args!("these are {listed} of {total} {what}; `--limit` lists more of them"));
    }
    Ok(())
}

fn no_label(address: &str, label: &str, selector: Option<&str>) -> Failure {
    let label = printable(label);
    let what = selector.map_or_else(
        || format!("`{address}` has no series with the label `{label}`"),
        |selector| format!("no series of `{}` has the label `{label}`", printable(selector)),
    );
    Failure::new(Exit::Negative, what).hint("`sereno labels` lists what there is")
}

/// `label`: whose values these are; `None` for the names of labels.
fn print(
    label: Option<&str>,
    found: &[LabelCount],
    total: u64,
    form: Form,
    console: &mut Console,
) -> io::Result<()> {
    let title = match label {
        None => "label",
        Some(NAME) => "metric",
        Some(label) => label,
    };
    // Only labels have values.
    let counts = |found: &LabelCount| {
        std::iter::once(found.series.to_string()).chain(label.is_none().then(|| found.values.to_string()))
    };
    let header = [title, "series"].into_iter().chain(label.is_none().then_some("values"));
    match form {
        Form::Plain => found.iter().try_for_each(|one| {
            let counts: String = counts(one).map(|count| format!("\t{count}")).collect();
            writeln!(console.out, "{}{counts}", printable(&one.text))
        }),
        Form::Table => {
            let mut grid = Grid::new(console, header, 1);
            found.iter().for_each(|one| grid.row(std::iter::once(one.text.clone()).chain(counts(one))));
            grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
        }
        Form::Csv => {
            let mut csv = ::csv::Writer::from_writer(&mut console.out);
            csv.write_record(header)?;
            for one in found {
                csv.write_record(std::iter::once(printable(&one.text).into_owned()).chain(counts(one)))?;
            }
            csv.flush()
        }
        Form::Json => {
            let found = found.iter().map(|one| Found::of(one, label.is_none())).collect();
            line(&mut console.out, &All { schema_version: SCHEMA_VERSION, label, total, found })
        }
        Form::Ndjson => {
            found.iter().try_for_each(|one| line(&mut console.out, &Found::of(one, label.is_none())))
        }
    }
}

#[derive(Serialize)]
struct All<'a> {
    schema_version: u32,
    /// Whose values these are; null for the names of labels.
    label: Option<&'a str>,
    total: u64,
    found: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    text: &'a str,
    series: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<u64>,
}

impl<'a> Found<'a> {
    fn of(found: &'a LabelCount, with_values: bool) -> Self {
        Self { text: &found.text, series: found.series, values: with_values.then_some(found.values) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    fn told(label: Option<&str>, form: Form) -> String {
        let count = |text: &str, series, values| LabelCount { text: text.into(), series, values };
        let found = [count("host", 12, 3), count("evil\x1b[2J, \"quoted\"", 1, 1)];
        written(|console| print(label, &found, 2, form, console), console(100))
    }

    #[test]
    fn labels_come_in_every_form() {
        insta::assert_snapshot!(told(None, Form::Plain), @r#"
        host	12	3
        evil\u{1b}[2J, "quoted"	1	1
        "#);
        insta::assert_snapshot!(told(None, Form::Table), @r#"
        ╭───────────────────────────────────────────╮
        │ label                     series   values │
        ╞═══════════════════════════════════════════╡
        │ host                          12        3 │
        │ evil\u{1b}[2J, "quoted"        1        1 │
        ╰───────────────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(None, Form::Json), @r#"{"schema_version":1,"label":null,"total":2,"found":[{"text":"host","series":12,"values":3},{"text":"evil\u001b[2J, \"quoted\"","series":1,"values":1}]}"#);
        insta::assert_snapshot!(told(None, Form::Ndjson), @r#"
        {"text":"host","series":12,"values":3}
        {"text":"evil\u001b[2J, \"quoted\"","series":1,"values":1}
        "#);
        insta::assert_snapshot!(told(None, Form::Csv), @r#"
        label,series,values
        host,12,3
        "evil\u{1b}[2J, ""quoted""",1,1
        "#);
    }

    #[test]
    fn values_and_names_have_series_alone() {
        insta::assert_snapshot!(told(Some("env"), Form::Plain), @r#"
        host	12
        evil\u{1b}[2J, "quoted"	1
        "#);
        insta::assert_snapshot!(told(Some(NAME), Form::Table), @r#"
        ╭──────────────────────────────────╮
        │ metric                    series │
        ╞══════════════════════════════════╡
        │ host                          12 │
        │ evil\u{1b}[2J, "quoted"        1 │
        ╰──────────────────────────────────╯
        "#);
        insta::assert_snapshot!(told(Some(NAME), Form::Json), @r#"{"schema_version":1,"label":"__name__","total":2,"found":[{"text":"host","series":12},{"text":"evil\u001b[2J, \"quoted\"","series":1}]}"#);
    }

    #[test]
    fn a_label_that_nobody_has_is_told() {
        insta::assert_snapshot!(no_label("SERVER", "hots", None), @"
        error: `SERVER` has no series with the label `hots`
          hint:  `sereno labels` lists what there is
        ");
        insta::assert_snapshot!(no_label("SERVER", "hots", Some("cpu.*")), @"
        error: no series of `cpu.*` has the label `hots`
          hint:  `sereno labels` lists what there is
        ");
    }
}
