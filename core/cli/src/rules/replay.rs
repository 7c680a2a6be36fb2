//! `sereno rules replay`: what a rule would have told over stored history, and how that differs from what it did tell.

mod condition;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use sereno_client::messages::ReplayRule;
use sereno_model::Timestamp;
use sereno_rules::report::ReplayReport;

use self::condition::Condition;
use super::words::{self, labels};
use super::{about_files, print_finding, sources};
use crate::console::Console;
use crate::output::json::line;
use crate::output::yaml;
use crate::parse;
use crate::query::period::Period;
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
A file is replayed with the scripts of the server, or with those of `--scripts`; nothing of it
stays there. Without a period it is the last 24 hours.

What `--fail-if` counts: events, fires, resolves, closes, escalations, deescalations,
reminders, stales, flappings; episodes, open, flaps, and info, warn and crit by the highest
level of an episode; firing_seconds, longest_seconds, median_pending_seconds. With `--against
live` also only_here, only_there, both and lead_seconds.

Examples:
  sereno rules replay cpu_high --last 7d
  sereno rules replay config/rules/host.yaml --id cpu_high --last 7d --against live
  sereno rules replay new.yaml --last 30d --fail-if 'fires > 5' --fail-if 'longest_seconds > 1h'
  sereno rules replay cpu_high --last 1d -o ndjson | jq -r 'select(.kind == \"firing\") | .message'";

/// The form of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For eyes: a plot, episodes, totals
    #[default]
    Table,
    /// One object
    Json,
    /// The same, as YAML
    Yaml,
    /// An object per event, as in the log of notifications
    Ndjson,
    /// A row per episode, as RFC 4180 says
    Csv,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// The rule of the same id that the server runs
    Live,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A rule of the server, or a rule file
    #[arg(value_name = "ID|FILE")]
    what: String,
    /// Which rule of the file, if it has several
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Folders of scripts to be used instead of those of the server
    #[arg(long, value_name = "PATH")]
    scripts: Vec<PathBuf>,
    /// Only the instance with this label; may be repeated
    #[arg(short = 'l', long = "instance", visible_alias = "labels", value_name = "NAME=VALUE",
          value_delimiter = ',', value_parser = parse::label)]
    instance: Vec<(String, String)>,
    #[command(flatten)]
    period: Period,
    /// Tell the difference
    #[arg(long, value_name = "WHAT")]
    against: Option<Against>,
    /// Exit with 1 if this is so: `fires > 5`, `longest_seconds >= 2h`; may be repeated
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    fail_if: Vec<Condition>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

impl Args {
    fn request(&self, now: Timestamp) -> Result<ReplayRule, Failure> {
        let (start, end) = self.period.resolve(now)?;
        let end = end.unwrap_or(now);
        let start = start.unwrap_or(end - Duration::from_secs(86_400));
        let is_file = sources::is_file(&self.what);
        let files = match is_file {
            true => sources::read(self.what.as_ref(), &self.scripts)?,
            false => Vec::new(),
        };
        let rule = if is_file { self.id.clone().unwrap_or_default() } else { self.what.clone() };
        Ok(ReplayRule {
            rule,
            files,
            start: start.nanos(),
            end: end.nanos(),
            against_live: self.against.is_some(),
            instance: self.instance.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        })
    }
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let request = args.request(context.clock.now())?;
    if args.fail_if.iter().any(Condition::compares) && !request.against_live {
        return Err(Failure::new(Exit::Usage, "`--fail-if` names a difference, and there is none")
            .hint("add `--against live`")
            .into());
    }
    let answer = context.patient_client().await?.replay_rule(request).await;
    let json = about_files(answer, context.console)?;
    let report: ReplayReport = words::read(&json)?;
    tell(&report, args.output, context.console)?;
    verdict(&report, &args.fail_if)
}

fn tell(report: &ReplayReport, form: Form, console: &mut Console) -> Result<(), Stop> {
    match form {
        Form::Table => {
            report.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
            story::tell(report, console)?;
        }
        Form::Json => line(&mut console.out, report)?,
        Form::Yaml => yaml::document(&mut console.out, report)?,
        Form::Ndjson => report.events.iter().try_for_each(|event| line(&mut console.out, event))?,
        Form::Csv => csv(report, console)?,
    }
    Ok(())
}

fn verdict(report: &ReplayReport, conditions: &[Condition]) -> Result<(), Stop> {
    if report.cancelled {
        return Err(Failure::new(Exit::Timeout, "the replay was ended before its end")
            .hint("replay a shorter period")
            .into());
    }
    if report.findings.iter().any(sereno_rules::report::Finding::is_error) {
        return Err(Failure::new(Exit::Negative, "the file has mistakes")
            .hint("`sereno rules check` finds them without a server")
            .into());
    }
    let met: Vec<String> = conditions.iter().filter_map(|condition| condition.met(report)).collect();
    if met.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Negative, format!("`--fail-if`: {}", met.join("; ")));
    Err(failure.into())
}

fn csv(report: &ReplayReport, console: &mut Console) -> std::io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(&mut console.out);
    let header =
        ["rule", "instance", "level", "pending_from", "fired_at", "ended_at", "ended_by", "peak", "events"];
    csv.write_record(header)?;
    let time =
        |time: Option<sereno_rules::report::Time>| time.map_or_else(String::new, |time| time.to_string());
    for episode in &report.episodes {
        let peak = episode.peak.map_or_else(String::new, |peak| crate::output::number::exact(peak.0));
        csv.write_record([
            crate::console::printable(&episode.rule).into_owned(),
            crate::console::printable(&labels(&episode.instance)).into_owned(),
            episode.level.clone(),
            time(episode.pending_from),
            time(Some(episode.fired_at)),
            time(episode.ended_at),
            episode.ended_by.clone().unwrap_or_default(),
            peak,
            episode.events.to_string(),
        ])?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests;
