//! `sereno rules explain`: why an instance is as it is, told from the samples to the event, on one screen.

mod story;

use clap::ArgAction;
use sereno_client::messages::ExplainRule;
use sereno_rules::report::Explanation;

use super::words;
use crate::console::printable;
use crate::output::Report;
use crate::parse::{self, When};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
Without `--tick` it is the last one; with it, the evidence that was kept of that tick, if
anything happened at it. `--rerun` evaluates again over what is stored now. Without
`--instance` it is the instance that is worst.

Examples:
  sereno rules explain cpu_high
  sereno rules explain cpu_high -l host=a
  sereno rules explain cpu_high -l host=a --tick 2026-11-23T08:00:00Z
  sereno rules explain cpu_high --tick -2h --rerun
  sereno rules explain cpu_high -o json | jq .instance.levels";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The rule
    #[arg(value_name = "ID")]
    rule: String,
    /// A label of the instance; may be repeated. Labels that are not named are open
    #[arg(short = 'l', long = "instance", visible_alias = "labels", value_name = "NAME=VALUE",
          value_delimiter = ',', action = ArgAction::Append, value_parser = parse::label)]
    instance: Vec<(String, String)>,
    /// The tick: RFC 3339, Unix seconds, or `-1h`; the last one at or before it
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    tick: Option<When>,
    /// Evaluate again over what is stored now
    #[arg(long)]
    rerun: bool,
    /// The form of the story
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let now = context.clock.now();
    let request = ExplainRule {
        rule: args.rule.clone(),
        instance: args.instance.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        tick: args.tick.map(|tick| tick.resolve(now).nanos()),
        rerun: args.rerun,
    };
    let json = context.patient_client().await?.explain_rule(request).await?;
    let explanation: Explanation = words::read(&json)?;
    if !explanation.known.is_empty() {
        return Err(unknown(args, &explanation).into());
    }
    Ok(args.output.print(&explanation, context.console, story::tell)?)
}

/// There is no such instance; says which there are.
fn unknown(args: &Args, explanation: &Explanation) -> Failure {
    const NAMED_MAX: usize = 10;
    let wanted: Vec<_> = args.instance.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let message =
        format!("rule `{}` has no instance `{}`", printable(&args.rule), printable(&wanted.join(" ")));
    let mut failure = Failure::new(Exit::Negative, message);
    for known in explanation.known.iter().take(NAMED_MAX) {
        failure = failure.cause(format!("it has {}", words::instance(&args.rule, known)));
    }
    let more = explanation.known.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        failure = failure.cause(format!("and {more} more"));
    }
    failure.hint("name one with `--instance NAME=VALUE`")
}
