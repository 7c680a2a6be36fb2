//! `sereno query`: one question, and its answer in the form that suits whoever reads it.

mod plot;
mod render;

use sereno_client::v1::{self, QueryPartialResponse, Status};
use sereno_model::Timestamp;

use crate::args::{Output, Query};
use crate::{Context, Exit, Failure, Stop};

pub(crate) async fn run(args: &Query, context: &mut Context<'_>) -> Result<(), Stop> {
    let (start, end) = period(args, context.clock.now())?;
    let query = v1::Query::new(&args.metric, &args.aggregation, args.window_secs)
        .map_err(|error| Failure::of(Exit::Usage, &error))?
        .between(start, end);
    let (address, timeouts) = (&context.server.address, context.timeouts());
    let responses = context.patiently(async || sereno_client::query(address, &query, timeouts).await).await?;
    let values = values(args, address, &responses)?;
    let by_terminal = if context.console.out_is_tty { Output::Table } else { Output::Plain };
    match args.output.unwrap_or(by_terminal) {
        Output::Table => render::table(args, &values, context.console)?,
        Output::Json => render::json(args, &values, &mut context.console.out)?,
        Output::Csv => render::csv(args, &values, &mut context.console.out)?,
        Output::Plain => render::plain(&values, &mut context.console.out)?,
    }
    Ok(())
}

type Period = (Option<Timestamp>, Option<Timestamp>);

fn period(args: &Query, now: Timestamp) -> Result<Period, Failure> {
    let start = args.start.map(|start| start.resolve(now)).or(args.last.map(|last| now - last));
    let end = args.end.map(|end| end.resolve(now));
    match (start, end) {
        (Some(start), Some(end)) if end < start => {
            Err(Failure::new(Exit::Usage, "the period ends before it starts")
                .hint("swap `--start` and `--end`"))
        }
        period => Ok(period),
    }
}

/// The values of an answer that has nothing but values. A window that failed makes the answer a failure: a shorter
/// answer would look like a whole one.
fn values(args: &Query, address: &str, responses: &[QueryPartialResponse]) -> Result<Vec<f32>, Failure> {
    match responses.iter().find(|response| response.status != Status::Ok) {
        None => Ok(responses.iter().map(|response| response.value).collect()),
        Some(response) => Err(failure(args, address, response.status)),
    }
}

fn failure(args: &Query, address: &str, status: Status) -> Failure {
    let metric = &args.metric;
    match status {
        Status::DoesNotExist => Failure::new(Exit::Negative, format!("`{address}` has no metric `{metric}`"))
            .hint(format!("check its spelling, or send it first: `sereno send {metric} 1`")),
        Status::Empty => Failure::new(Exit::Negative, format!("`{metric}` has no sample in the period"))
            .hint("widen `--start` and `--end`, or `--last`"),
        Status::BadFormat => Failure::new(
            Exit::Refused,
            format!("`{address}` cannot answer `{} {metric}`: {status}", args.aggregation),
        )
        .hint("is the aggregation spelt right? Besides mean, min, max and count the server has those in its scripts"),
        Status::ServerUnavailable => Failure::new(Exit::Refused, format!("`{address}` refused the query: {status}"))
            .hint("the server is too busy now; try again in a moment"),
        status => Failure::new(Exit::Refused, format!("`{address}` failed at the query: {status}"))
            .hint(format!("the server's log tells why; does the script of `{}` work?", args.aggregation)),
    }
}
