//! `sereno query`: one question, and its answer in the form that suits whoever reads it.
//!
//! Invariants:
//! * which values are asked for does not depend on who reads them, only their form does;
//! * an answer that breaks off is a failure, never a shorter answer;
//! * no value at all is the exit code 1, and what to do next.

mod args;
pub(crate) mod missing;
pub(crate) mod period;
mod plan;
mod render;
mod shown;
mod watch;

use sereno_client::messages::{QueryHead, QueryPart};
use sereno_client::{Answer, Client, Group};

use crate::output::{Form, time};
use crate::{Context, Exit, Failure, Stop};

pub(crate) use args::{Args, selector};
use plan::Plan;
use render::View;
use shown::Shown;

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    if let Some(every) = args.watch {
        return watch::run(args, every, context).await;
    }
    let plan = Plan::of(args, context.clock.now())?;
    let client = context.client().await?;
    once(&client, args, &plan, context).await
}

/// Asks once, and shows the answer.
async fn once(client: &Client, args: &Args, plan: &Plan, context: &mut Context<'_>) -> Result<(), Stop> {
    // Who wants a plot wants what is for eyes.
    let form = args.output.or(args.graph.then_some(Form::Table));
    let form = Form::or_default(form, context.console);
    if form == Form::Ndjson {
        return stream(client, plan, context).await;
    }
    let answer = client.query(plan.query.clone()).await?;
    let view = view(plan, answer);
    tell_inexact(view.exact, view.as_of, context);
    if view.shown.is_empty() {
        return Err(nothing(client, plan, view.series, context).await?);
    }
    match form {
        Form::Table => render::table(&view, args, context.console)?,
        Form::Json => render::json(&view, &mut context.console.out)?,
        Form::Csv => render::csv(&view, &mut context.console.out)?,
        Form::Plain | Form::Ndjson => render::plain(&view, &mut context.console.out)?,
    }
    Ok(())
}

fn view(plan: &Plan, answer: Answer) -> View<'_> {
    let groups = answer.groups.into_iter();
    let shown = groups.flat_map(|group| Shown::of(group, |time| plan.shown(time)));
    View {
        plan,
        as_of: answer.as_of.nanos(),
        exact: answer.exact,
        series: answer.series,
        across: answer.across,
        shown: shown.filter(|one| !one.points.is_empty()).collect(),
    }
}

/// Prints an answer while it arrives, so that it may have any length.
async fn stream(client: &Client, plan: &Plan, context: &mut Context<'_>) -> Result<(), Stop> {
    let mut parts = client.query_parts(plan.query.clone()).await?;
    let (mut matched, mut points) = (0, 0);
    let mut groups = Pieces::default();
    while let Some(part) = parts.next().await {
        let QueryPart { head, chunks, .. } = part?;
        if let Some(QueryHead { as_of, exact, series, .. }) = head {
            tell_inexact(exact, as_of, context);
            matched = series;
        }
        for chunk in chunks {
            let number = chunk.group;
            let misfit =
                |error| Failure::of(Exit::Unreachable, &error).hint("the server's log may tell more");
            let piece = groups.complete(number, Group::try_from(chunk).map_err(misfit)?);
            for shown in Shown::of(piece, |time| plan.shown(time)) {
                points += shown.points.len();
                render::ndjson(&shown, &mut context.console.out)?;
            }
        }
    }
    match points {
        0 => Err(nothing(client, plan, matched, context).await?),
        _ => Ok(()),
    }
}

/// Knows what the pieces of a group belong to: only the first says it.
#[derive(Default)]
struct Pieces {
    number: Option<u32>,
    name: String,
    labels: Vec<(String, String)>,
}

impl Pieces {
    fn complete(&mut self, number: u32, piece: Group) -> Group {
        if self.number == Some(number) {
            return Group { name: self.name.clone(), labels: self.labels.clone(), ..piece };
        }
        *self = Self { number: Some(number), name: piece.name.clone(), labels: piece.labels.clone() };
        piece
    }
}

fn tell_inexact(exact: bool, as_of: i64, context: &mut Context<'_>) {
    if !exact {
        let as_of = time::exact(as_of);
        context.console.say(format_args!(
            "note: the store as it was at {as_of} is gone; this is what it has now up to then, late samples included"
        ));
    }
}

async fn nothing(client: &Client, plan: &Plan, matched: u64, context: &Context<'_>) -> Result<Stop, Stop> {
    let address = &context.server.address;
    Ok(missing::explain(client, address, &plan.query.selector, matched).await?.into())
}
