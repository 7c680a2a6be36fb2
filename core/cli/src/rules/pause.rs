//! `sereno rules pause` and `resume`: rules are not evaluated for a while, and their state stands.

use std::io::{self, Write};
use std::time::Duration;

use sereno_client::messages::{PauseRule, Rules};

use crate::console::{Console, printable};
use crate::output::time::Precision;
use crate::parse::{self, When};
use crate::{Context, Stop};

const EXAMPLES: &str = "\
What fires stays as it is, and nothing is told of it; ticks meanwhile count as not observed.
A pause survives a restart of the server.

Examples:
  sereno rules pause disk_full --for 8h -c 'new disks'
  sereno rules pause 'batch_*' --until 2026-11-24T06:00:00Z
  sereno rules resume disk_full";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PauseArgs {
    /// Which rules: `disk_full`, `disk_*`
    #[arg(value_name = "ID")]
    rule: String,
    /// For how long
    #[arg(long = "for", value_name = "TIME", value_parser = parse::span, required_unless_present = "until")]
    span: Option<Duration>,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true, conflicts_with = "span")]
    until: Option<When>,
    /// Why, for others
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
    /// Who says so [default: USER of the environment]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ResumeArgs {
    /// Which rules: `disk_full`, `disk_*`
    #[arg(value_name = "ID")]
    rule: String,
}

pub(super) async fn pause(args: &PauseArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    let now = context.clock.now();
    let until =
        args.until.map(|until| until.resolve(now)).or(args.span.map(|span| now + span)).unwrap_or(now);
    let who = args.who.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    let request =
        PauseRule { rule: args.rule.clone(), until: until.nanos(), comment: args.comment.clone(), who };
    let rules = context.client().await?.pause_rule(request).await?;
    Ok(tell(&rules, context.console)?)
}

pub(super) async fn resume(args: &ResumeArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    let rules = context.client().await?.resume_rule(args.rule.clone()).await?;
    Ok(tell(&rules, context.console)?)
}

fn tell(rules: &Rules, console: &mut Console) -> io::Result<()> {
    for rule in &rules.rules {
        let id = printable(&rule.id);
        match &rule.pause {
            Some(pause) => {
                let until = Precision::Seconds.format(pause.until);
                writeln!(console.out, "{id}: paused until {until}{}", super::list::why(pause))?;
            }
            None => writeln!(console.out, "{id}: {}", printable(&rule.health))?,
        }
    }
    Ok(())
}
