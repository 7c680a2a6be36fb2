//! `sereno query --watch`: the same question again and again. On a terminal each answer takes the place of the one
//! before; elsewhere it follows it.

use std::io::Write;
use std::time::Duration;

use sereno_client::Client;
use tokio::time::MissedTickBehavior;

use super::args::Args;
use super::{Plan, once};
use crate::watch::{CLEAR, worth_waiting};
use crate::{Context, Exit, Stop};

/// Asks until Ctrl-C, which is no failure. That there is nothing yet, or that the server is away for a while, is told and
/// ends nothing; what will not get better by waiting does.
pub(super) async fn run(args: &Args, every: Duration, context: &mut Context<'_>) -> Result<(), Stop> {
    // What makes no sense now will make none later.
    Plan::of(args, context.clock.now())?;
    let mut client = Some(context.client().await?);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            _ = ticks.tick() => {}
        }
        let answered = tokio::select! {
            _ = &mut ended => return Ok(()),
            answered = ask(args, &mut client, context) => answered,
        };
        match answered {
            Err(Stop::Failed(failure)) if worth_waiting(&failure) => {
                context.console.out.flush()?;
                context.console.say(&failure);
                // What was not answered in time may hold up what is asked next.
                if matches!(failure.exit, Exit::Unreachable | Exit::Timeout) {
                    client = None;
                }
            }
            other => other?,
        }
        context.console.out.flush()?;
    }
}

async fn ask(args: &Args, client: &mut Option<Client>, context: &mut Context<'_>) -> Result<(), Stop> {
    let connected = match client {
        Some(client) => client,
        None => client.insert(context.client().await?),
    };
    let plan = Plan::of(args, context.clock.now())?;
    if context.console.out_is_tty {
        context.console.out.write_all(CLEAR.as_bytes())?;
    }
    once(connected, args, &plan, context).await
}
