//! `sereno monitor`: notifications as they come. Losses of the connection, gaps and what is missing are told on stderr;
//! the stream goes on where it was.

mod args;
mod print;

use std::io::Write;

use sereno_client::{Monitor, Notice};

use crate::console::{Console, printable};
use crate::{Context, Stop, alerts};
use args::Stream;
pub(crate) use args::{Args, matcher};

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let (options, request) = (context.options(), args.request(context.clock.now()));
    let connect = async || Monitor::open(&options, request.clone()).await;
    let mut monitor = context.patiently(connect).await?;
    let (address, console) = (&context.server.address, &mut *context.console);
    if console.err_is_tty {
        console.say(format_args!("watching `{address}`, Ctrl-C ends"));
    }
    let mut left = args.count;
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    while left != Some(0) {
        let notice = tokio::select! {
            _ = &mut ended => {
                farewell(&monitor, console);
                break;
            }
            notice = monitor.next() => notice?,
        };
        if matches!(notice, Notice::Event(_)) {
            left = left.map(|left| left - 1);
        }
        tell(&notice, address, args.output, console)?;
        // A notification is worth its own write: whoever reads the pipe waits for it.
        console.out.flush()?;
    }
    Ok(())
}

/// How to go on later.
fn farewell(monitor: &Monitor, console: &mut Console) {
    if let Some(position) = monitor.position().filter(|_| console.err_is_tty) {
        console.say(format_args!("`--since {}` goes on from here", print::position(&position)));
    }
}

fn tell(notice: &Notice, address: &str, form: Stream, console: &mut Console) -> std::io::Result<()> {
    match notice {
        Notice::Snapshot(snapshot) => {
            if console.err_is_tty && !snapshot.alerts.is_empty() {
                console.say(format_args!("{} already:", alerts::fires(snapshot.alerts.len())));
            }
            print::snapshot(snapshot, form, console)?;
        }
        Notice::Event(event) => print::event(event, form, console)?,
        Notice::Gap { missed } => {
            match missed {
                Some(1) => console.say("1 notification is missing here"),
                Some(missed) => console.say(format_args!("{missed} notifications are missing here")),
                None => console.say("notifications may be missing here, and nobody knows how many"),
            }
            print::gap(*missed, form, console)?;
        }
        Notice::Heartbeat(_) => {}
        Notice::Lost(error) => {
            console.say(format_args!("{}; trying again", printable(&error.to_string())));
        }
        Notice::Resumed => {
            console.say(format_args!("connected to `{address}` again; what was missed follows"))
        }
        Notice::Stopping => {
            console.say(format_args!("`{address}` is shutting down; waiting for it to come back"))
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
