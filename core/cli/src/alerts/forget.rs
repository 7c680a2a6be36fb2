//! `sereno alerts forget`: alerts of hosts and jobs that are gone for good come to an end.

use std::io::Write;

use sereno_client::messages::Alert;

use super::name;
use crate::console::printable;
use crate::query::selector;
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
An instance that reports again is known again.

Examples:
  sereno alerts forget 'host_silent{host=\"a\"}'
  sereno alerts forget 'host_silent{env=\"staging\"}'
  sereno alerts -o name --rule host_silent | xargs -d '\\n' -n 1 sereno alerts forget";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The rule and labels of its instances: `host_silent{host="a"}`, or `host_silent` for all
    #[arg(value_name = "ALERT", value_parser = selector)]
    selector: String,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let forgotten = context.client().await?.forget_alerts(args.selector.clone()).await?.alerts;
    let told = |alert: &Alert| format!("{}\t{}", printable(&name(alert)), printable(&alert.state));
    forgotten.iter().try_for_each(|alert| writeln!(context.console.out, "{}", told(alert)))?;
    if forgotten.is_empty() {
        let message = format!("no instance matches `{}`", printable(&args.selector));
        return Err(Failure::new(Exit::Negative, message)
            .hint("`sereno alerts --all -o name` lists those that fire or are pending")
            .into());
    }
    Ok(())
}
