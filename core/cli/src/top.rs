//! `sereno top`: a server at a glance, on a screen that is renewed every second; elsewhere one report.
//!
//! Invariants:
//! * what is drawn is a function of the [`Board`] and the [`Ui`] alone, for a terminal of any size;
//! * the terminal is given back as it was, however this ends: see [`Screen`];
//! * a server that goes away is told and asked again; what it said last stays on the screen.

mod board;
mod draw;
mod report;
mod screen;
mod ui;

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use sereno_client::{Client, ClientError, Options};
use tokio::time::MissedTickBehavior;

use crate::{Context, Stop, parse};
use board::{Answers, Board};
use draw::Look;
use screen::{Screen, Signals};
use ui::{Step, Ui};

const KEYS: &str = "\
Keys:
  tab, shift-tab, left, right  the next or previous panel
  up, down, page up, page down, home, end  scroll in it
  ?  help
  q, esc, ctrl-c  end

Examples:
  sereno top
  sereno top --once
  sereno top -o json | jq .samples_per_second";

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Tables
    Plain,
    /// One object
    Json,
}

#[derive(clap::Args, Debug)]
#[command(after_help = KEYS)]
pub(crate) struct Args {
    /// From one look at the server to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::span)]
    every: Duration,
    /// Print one report and end, as without a terminal; it takes two looks to tell a rate
    #[arg(long)]
    once: bool,
    /// The form of the report; implies `--once`
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

pub(crate) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let client = context.client().await?;
    match args.once || args.output.is_some() || !context.console.out_is_tty {
        true => once(args, &client, context).await,
        false => live(args, client, context).await,
    }
}

async fn once(args: &Args, client: &Client, context: &mut Context<'_>) -> Result<(), Stop> {
    let mut board = Board::new(&context.server.address);
    board.take(board::ask(client).await?);
    tokio::time::sleep(args.every).await;
    let answers = board.take(board::ask(client).await?);
    report::print(answers, args.output.unwrap_or(Form::Plain), context.console)?;
    Ok(())
}

async fn live(args: &Args, client: Client, context: &mut Context<'_>) -> Result<(), Stop> {
    let (mut board, mut ui) = (Board::new(&context.server.address), Ui::default());
    let look = Look { color: context.console.color, utf8: context.console.utf8 };
    let options = context.options();
    let mut signals = Signals::new()?;
    let mut screen = Screen::open()?;
    let mut ticks = tokio::time::interval(args.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut client, mut asking) = (Some(client), None);
    loop {
        screen.draw(|frame| draw::draw(frame, &board, &ui, look))?;
        tokio::select! {
            input = screen.input() => match input.map(|input| ui.take(&input, &board)) {
                None | Some(Step::Quit) => return Ok(()),
                Some(Step::Stay) => {}
            },
            () = signals.next() => return Ok(()),
            (connected, answers) = answered(&mut asking) => {
                (client, asking) = (connected, None);
                match answers {
                    Ok(answers) => _ = board.take(answers),
                    Err(error) => board.lose(&error),
                }
            }
            _ = ticks.tick(), if asking.is_none() => {
                asking = Some(Box::pin(ask(options.clone(), client.take())));
            }
        }
    }
}

/// Questions under way. They give back the connection, if it is still good.
type Asking = Pin<Box<dyn Future<Output = (Option<Client>, Result<Answers, ClientError>)>>>;

async fn ask(options: Options, client: Option<Client>) -> (Option<Client>, Result<Answers, ClientError>) {
    let client = match client {
        Some(client) => Ok(client),
        None => Client::connect(&options).await,
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return (None, Err(error)),
    };
    let answers = board::ask(&client).await;
    let is_good = !answers.as_ref().is_err_and(ClientError::is_lost);
    (is_good.then_some(client), answers)
}

/// The answers, when there are questions. Cancel safe.
async fn answered(asking: &mut Option<Asking>) -> (Option<Client>, Result<Answers, ClientError>) {
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}
