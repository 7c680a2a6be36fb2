//! `--watch`: the same question again and again. On a terminal each answer takes the place of the one before; elsewhere
//! it follows it.

use std::io::Write;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::{Context, Exit, Failure, Stop};

/// To the upper left corner, and everything from there on away.
pub(crate) const CLEAR: &str = "\x1b[H\x1b[J";

/// Asks until Ctrl-C, which is no failure. That there is nothing yet, or that the server is away for a while, is told and
/// ends nothing; what will not get better by waiting does.
pub(crate) async fn again(
    every: Duration,
    context: &mut Context<'_>,
    mut ask: impl AsyncFnMut(&mut Context<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            _ = ticks.tick() => {}
        }
        if context.console.out_is_tty {
            context.console.out.write_all(CLEAR.as_bytes())?;
        }
        let answered = tokio::select! {
            _ = &mut ended => return Ok(()),
            answered = ask(context) => answered,
        };
        match answered {
            Err(Stop::Failed(failure)) if worth_waiting(&failure) => {
                context.console.out.flush()?;
                context.console.say(&failure);
            }
            other => other?,
        }
        context.console.out.flush()?;
    }
}

/// Whether it may be otherwise in a moment.
pub(crate) fn worth_waiting(failure: &Failure) -> bool {
    failure.passes || matches!(failure.exit, Exit::Negative | Exit::Unreachable | Exit::Timeout)
}
