//! What `sereno monitor` takes.

use std::num::NonZeroU64;

use sereno_client::messages::{self, Matcher, MatcherKind};
use sereno_model::{EventKind, LabelMatcher, Level, Position, Timestamp};

use crate::parse::{self, When};

const EXAMPLES: &str = "\
Kinds: firing, escalated, deescalated, reminder, resolved, closed, stale, flapping.

A line is the time, level, kind and message. In JSON, a line without a `kind` is an alert that
fired already when the monitor began, or a gap. Every event has its position; `--since` with the
last one goes on after it.

Examples:
  sereno monitor --level warn --where env=prod
  sereno monitor --rule 'disk_*' --kind firing,resolved
  sereno monitor --since -1h --count 10
  sereno monitor -o json | jq -r 'select(.kind == \"firing\") | .message'";

/// The form of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Stream {
    /// A line: time, level, kind and message
    Plain,
    /// An object per line
    #[value(alias = "ndjson")]
    Json,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only of this level and above: `info`, `warn`, `crit`
    #[arg(long, value_parser = str::parse::<Level>)]
    level: Option<Level>,
    /// Only of this rule, `disk_full` or `disk_*`; may be repeated
    #[arg(long = "rule", value_name = "GLOB")]
    rules: Vec<String>,
    /// Only of instances with this label: `env=prod`, `env=!prod`, `host=~web.*`, `host=!~web.*`; may be
    /// repeated
    #[arg(short = 'l', long = "where", visible_alias = "labels", value_name = "LABEL=VALUE", value_parser = matcher)]
    matchers: Vec<Matcher>,
    /// Only of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<EventKind>,
    /// Also of rules that only run along; a rule that is named by its id is heard anyhow
    #[arg(long)]
    shadow: bool,
    /// Begin with what happened since then: `-1h`, a time, or a position; without the alerts that fire
    #[arg(long, value_name = "WHEN", value_parser = since, allow_hyphen_values = true)]
    since: Option<Since>,
    /// Do not begin with the alerts that fire
    #[arg(long)]
    no_snapshot: bool,
    /// End after so many notifications; alerts that fired before do not count
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub(super) count: Option<u64>,
    /// The form of a notification
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    pub(super) output: Stream,
}

impl Args {
    pub(super) fn request(&self, now: Timestamp) -> messages::Monitor {
        let (since, since_time) = match self.since {
            None => (None, None),
            Some(Since::Position(Position { epoch, sequence })) => {
                (Some(messages::Position { epoch, sequence }), None)
            }
            Some(Since::Time(when)) => (None, Some(when.resolve(now).nanos())),
        };
        // An alert that fires is what a `firing` told of.
        let firing = self.kinds.is_empty() || self.kinds.contains(&EventKind::Firing);
        messages::Monitor {
            since,
            since_time,
            snapshot: !self.no_snapshot && self.since.is_none() && firing,
            heartbeat_ms: 0,
            level: self.level.map(|level| level.as_str().to_owned()).unwrap_or_default(),
            rules: self.rules.clone(),
            matchers: self.matchers.clone(),
            kinds: self.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            shadow: self.shadow,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Since {
    Position(Position),
    Time(When),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(position) = text.parse() {
        return Ok(Since::Position(position));
    }
    let mistake = "it is a time like `2026-11-23T08:00:00Z`, a time ago like `-1h`, or a position like `1767225600000-42`";
    parse::when(text).map(Since::Time).map_err(|_| mistake.into())
}

fn kind(text: &str) -> Result<EventKind, String> {
    text.parse().map_err(|_| {
        "kinds are firing, escalated, deescalated, reminder, resolved, closed, stale and flapping".into()
    })
}

fn count(text: &str) -> Result<u64, String> {
    text.parse::<NonZeroU64>().map(NonZeroU64::get).map_err(|_| "it is a whole number, 1 or more".into())
}

/// `label=value`, where the value is written as in rule files.
pub(crate) fn matcher(text: &str) -> Result<Matcher, String> {
    let (label, wanted) =
        text.split_once('=').ok_or("it is a label and a value, like `env=prod` or `host=~web.*`")?;
    LabelMatcher::parse(wanted).map_err(|error| format!("{error}: {}", error.source))?;
    let prefixes = [
        ("!~", MatcherKind::NotRegex),
        ("~", MatcherKind::Regex),
        ("!", MatcherKind::NotEqual),
        ("", MatcherKind::Unspecified),
    ];
    let read = prefixes.into_iter().find_map(|(prefix, kind)| Some((wanted.strip_prefix(prefix)?, kind)));
    let (value, kind) = read.unwrap_or((wanted, MatcherKind::Unspecified));
    Ok(Matcher { label: label.to_owned(), kind: kind.into(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn request(args: &str) -> Result<messages::Monitor, String> {
        let command = Args::augment_args(clap::Command::new("monitor"));
        let words = ["monitor"].into_iter().chain(args.split(' ').filter(|word| !word.is_empty()));
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let args = Args::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        Ok(args.request(Timestamp::from_millis(1_500_000_000_000)))
    }

    #[test]
    fn filters_are_what_the_server_is_asked() {
        let asked = request(
            "--level warning --rule a --rule b* --kind firing,resolved --where env=prod --where host=!~web.*",
        );
        let asked = asked.expect("it is good");
        assert_eq!(
            (asked.level.as_str(), asked.rules, asked.snapshot),
            ("warn", vec!["a".into(), "b*".into()], true)
        );
        assert_eq!(asked.kinds, ["firing", "resolved"]);
        let matchers: Vec<_> =
            asked.matchers.iter().map(|matcher| (&*matcher.label, matcher.kind(), &*matcher.value)).collect();
        let wanted = [("env", MatcherKind::Unspecified, "prod"), ("host", MatcherKind::NotRegex, "web.*")];
        assert_eq!(matchers, wanted);
        let kind = |text: &str| matcher(text).map(|matcher| (matcher.kind(), matcher.value));
        assert_eq!(kind("a=!x"), Ok((MatcherKind::NotEqual, "x".into())));
        assert_eq!(kind("a=~x=y"), Ok((MatcherKind::Regex, "x=y".into())));
        assert_eq!(kind("a="), Ok((MatcherKind::Unspecified, String::new())));
        assert!(kind("a").is_err() && kind("a=~(").is_err());
    }

    #[test]
    fn a_snapshot_comes_unless_history_or_other_kinds_are_wanted() {
        let snapshot = |args: &str| request(args).expect("it is good").snapshot;
        assert!(snapshot("") && snapshot("--kind firing"));
        assert!(!snapshot("--no-snapshot") && !snapshot("--since -1h") && !snapshot("--kind resolved"));
    }

    #[test]
    fn a_monitor_begins_at_a_time_or_a_position() {
        let since =
            |text: &str| request(&format!("--since {text}")).map(|asked| (asked.since, asked.since_time));
        assert_eq!(since("-1h"), Ok((None, Some(1_499_996_400_000_000_000))));
        assert_eq!(since("2017-07-14T02:40:00Z"), Ok((None, Some(1_500_000_000_000_000_000))));
        let position = messages::Position { epoch: 1_767_225_600_000, sequence: 42 };
        assert_eq!(since("1767225600000-42"), Ok((Some(position), None)));
        for wrong in
            ["--since yesterday", "--kind fires", "--count 0", "--level loud", "--where env", "--where a=~("]
        {
            assert!(request(wrong).is_err(), "{wrong}");
        }
    }
}
