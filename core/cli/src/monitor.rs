//! `sereno monitor`: notifications as they come.

use std::io::Write;

use serde::Serialize;
use sereno_client::Notice;

use crate::args::{Monitor, Stream};
use crate::console::{Color, Console, printable};
use crate::{Context, Stop, parse};

pub(crate) async fn run(args: &Monitor, context: &mut Context<'_>) -> Result<(), Stop> {
    let (address, timeouts) = (&context.server.address, context.timeouts());
    let connect = async || sereno_client::Monitor::connect(address, timeouts).await;
    let mut monitor = context.patiently(connect).await?;
    let console = &mut *context.console;
    if console.err_is_tty {
        console.say(format_args!("watching `{address}`, Ctrl-C ends"));
    }
    while let Some(notice) = monitor.next().await? {
        match args.output {
            Stream::Plain => print(&notice, console)?,
            Stream::Json => print_json(&notice, console)?,
        }
        // A notification is worth its own write: whoever reads the pipe waits for it.
        console.out.flush()?;
    }
    console.say(format_args!("`{address}` is shutting down"));
    Ok(())
}

fn print(notice: &Notice, console: &mut Console) -> Result<(), Stop> {
    let (time, message) = (parse::format_time(notice.time), printable(&notice.message));
    match console.color {
        true => {
            writeln!(console.out, "{} {}", Color::Grey.paint(&time), color(&notice.message).paint(&message))?
        }
        false => writeln!(console.out, "{time} {message}")?,
    }
    Ok(())
}

fn print_json(notice: &Notice, console: &mut Console) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        message: &'a str,
    }
    let line = Line { time: parse::format_time(notice.time), message: &notice.message };
    serde_json::to_writer(&mut console.out, &line).map_err(std::io::Error::from)?;
    Ok(console.out.write_all(b"\n")?)
}

/// Version 1 carries no kind, so it is taken from the message: `kind: …` where the rule has words of its own, else
/// `rule: kind, …`. What names no kind fires.
fn color(message: &str) -> Color {
    let mut words = message.splitn(3, ": ").take(2).filter_map(|part| part.split(',').next());
    let kind = words.find_map(|word| match word {
        "resolved" => Some(Color::Green),
        "closed" => Some(Color::Grey),
        "still" => Some(Color::Yellow),
        _ => None,
    });
    kind.unwrap_or(Color::Red)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_in_the_message() {
        assert_eq!(color("foo_high: mean(foo) over 15s is 12 (>= 10), highest 14"), Color::Red);
        assert_eq!(color("foo_high: resolved, mean(foo) over 15s is 3"), Color::Green);
        assert_eq!(color("foo_high: closed, the rule was removed"), Color::Grey);
        assert_eq!(color("resolved: the disk has room"), Color::Green);
        assert_eq!(color("still: the disk is full"), Color::Yellow);
        assert_eq!(color("the disk is full"), Color::Red);
    }
}
