//! `sereno rules eval`: what rules give at one tick, without any effect.

use std::io::{self, Write};
use std::path::PathBuf;

use sereno_client::messages::EvaluateRules;
use sereno_rules::report::{Evaluated, EvaluatedRule, Finding, InstanceLook};

use super::words::{self, at, labels, number, span, truth};
use super::{about_files, counted, print_finding, sources};
use crate::console::{Console, printable};
use crate::output::Report;
use crate::output::table::Grid;
use crate::parse::{self, When};
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
A file is evaluated with the scripts of the server, or with those of `--scripts`. Nothing is
told, and no state is kept or looked at: `would be` says what the conditions give at this tick
alone.

Examples:
  sereno rules eval cpu_high
  sereno rules eval 'disk_*' --at -1h
  sereno rules eval -f new.yaml
  sereno rules eval -f new.yaml cpu_high -o json | jq '.rules[].instances[].levels'";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which rules, `disk_full` or `disk_*`; with `--file`, all of it if there is none
    #[arg(value_name = "ID", required_unless_present = "file")]
    rules: Vec<String>,
    /// A rule file, or a folder of them, instead of the rules of the server
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folders of scripts to be used instead of those of the server
    #[arg(long, value_name = "PATH", requires = "file")]
    scripts: Vec<PathBuf>,
    /// The tick: RFC 3339, Unix seconds, `now`, or `-1h`
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    at: Option<When>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let now = context.clock.now();
    // A file may also be named where a rule is.
    let (named, rules): (Vec<&String>, Vec<&String>) =
        args.rules.iter().partition(|word| args.file.is_none() && sources::is_file(word));
    let mut files = Vec::new();
    for path in args.file.iter().cloned().chain(named.into_iter().map(PathBuf::from)) {
        files.extend(sources::read(&path, &[])?);
    }
    files.extend(sources::scripts(&args.scripts)?);
    let request = EvaluateRules {
        rules: rules.into_iter().cloned().collect(),
        files,
        at: args.at.map(|at| at.resolve(now).nanos()),
    };
    let answer = context.patient_client().await?.evaluate_rules(request).await;
    let json = about_files(answer, context.console)?;
    let evaluated: Evaluated = words::read(&json)?;
    args.output.print(&evaluated, context.console, tell)?;
    verdict(&evaluated)
}

fn verdict(evaluated: &Evaluated) -> Result<(), Stop> {
    let failed = evaluated.rules.iter().filter(|rule| !rule.errors.is_empty()).count();
    if evaluated.findings.iter().any(Finding::is_error) {
        return Err(Failure::new(Exit::Negative, "the files have mistakes")
            .hint("`sereno rules check` finds them without a server")
            .into());
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(Exit::Negative, format!("{} failed", counted(failed, "rule"))).into()),
    }
}

fn tell(evaluated: &Evaluated, console: &mut Console) -> io::Result<()> {
    evaluated.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
    for (index, rule) in evaluated.rules.iter().enumerate() {
        if index > 0 {
            writeln!(console.out)?;
        }
        tell_rule(rule, evaluated, console)?;
    }
    Ok(())
}

fn tell_rule(rule: &EvaluatedRule, evaluated: &Evaluated, console: &mut Console) -> io::Result<()> {
    let instances = counted(rule.instances.len(), "instance");
    let (samples, took) = (rule.samples, span(rule.seconds));
    let operations = match rule.operations {
        0 => String::new(),
        operations => format!(", {operations} operations"),
    };
    let id = printable(&rule.rule);
    writeln!(
        console.out,
        "{id} at {}: {instances}, {samples} samples{operations}, {took}",
        at(evaluated.tick)
    )?;
    for input in &rule.inputs {
        let text = format!("  {} reads {}: {} series", input.name, input.selector, input.matched);
        writeln!(console.out, "{}", printable(&text))?;
    }
    rule.errors.iter().try_for_each(|error| writeln!(console.out, "  error: {}", printable(error)))?;
    if rule.unobserved {
        writeln!(console.out, "  the store could not be looked at: the server reads its log back")?;
    }
    if rule.instances.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(console, ["instance", "would be", "because", "value", "samples"], 3);
    for look in &rule.instances {
        let samples = look.inputs.first().and_then(|input| input.samples);
        grid.row([
            match look.instance.is_empty() {
                true => rule.rule.clone(),
                false => labels(&look.instance),
            },
            would_be(look),
            because(look),
            number(look.value),
            samples.map_or_else(String::new, |samples| samples.to_string()),
        ]);
    }
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

/// The highest level that holds.
fn would_be(look: &InstanceLook) -> String {
    match look.seen.as_str() {
        "" | "judged" => {
            let level = look.levels.iter().rev().find(|level| level.holds == Some(true));
            level.map_or_else(|| "ok".to_owned(), |level| level.level.clone())
        }
        other => other.to_owned(),
    }
}

fn because(look: &InstanceLook) -> String {
    if let Some(error) = &look.error {
        return error.clone();
    }
    if let (Some(require), Some(false) | None) = (&look.require, look.require_holds) {
        return format!("{require} {}", truth(look.require_holds));
    }
    if let Some(verdict) = &look.verdict {
        return verdict.clone();
    }
    let holds = look.levels.iter().rev().find(|level| level.holds == Some(true));
    let level = holds.or(look.levels.first());
    let when = level.and_then(|level| Some((level.when.as_ref()?, level.holds)));
    when.map_or_else(String::new, |(when, holds)| format!("{when} {}", truth(holds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sereno_rules::report::{InputLook, LabelMap, LevelLook, Number, Seconds, Time};

    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn rules_are_told_instance_by_instance() {
        let level = |level: &str, holds| LevelLook {
            level: level.into(),
            when: Some(format!("v >= {level}")),
            holds,
            ..LevelLook::default()
        };
        let look = |host: &str, seen: &str, levels| InstanceLook {
            instance: LabelMap::from([("host".into(), host.into())]),
            seen: seen.into(),
            value: Some(Number(97.5)),
            levels,
            inputs: vec![InputLook { samples: Some(6), ..InputLook::default() }],
            ..InstanceLook::default()
        };
        let firing = look("a", "judged", vec![level("warn", Some(true)), level("crit", Some(false))]);
        let quiet = look("b", "judged", vec![level("warn", Some(false))]);
        let held = InstanceLook {
            require: Some("n >= 5".into()),
            require_holds: Some(false),
            ..look("c", "held", vec![])
        };
        let failed = InstanceLook { error: Some("no such\nthing".into()), ..look("d", "failed", vec![]) };
        let script = InstanceLook { verdict: Some("ok(1)".into()), ..look("e", "judged", vec![]) };
        let input =
            InputLook { name: "v".into(), selector: "cpu.load".into(), matched: 5, ..InputLook::default() };
        let rule = EvaluatedRule {
            rule: "cpu_high".into(),
            inputs: vec![input],
            instances: vec![firing, quiet, held, failed, script],
            errors: vec!["d: no such thing".into()],
            operations: 120,
            samples: 30,
            seconds: Seconds(Duration::from_micros(250)),
            ..EvaluatedRule::default()
        };
        let none = EvaluatedRule { rule: "none".into(), unobserved: true, ..EvaluatedRule::default() };
        let tick = Time(sereno_model::Timestamp::from_millis(1_500_000_000_000));
        let evaluated = Evaluated { tick, rules: vec![rule, none], ..Evaluated::default() };
        insta::assert_snapshot!(written(|console| tell(&evaluated, console), console(100)), @r#"
        cpu_high at 2017-07-14T02:40:00Z: 5 instances, 30 samples, 120 operations, 250µs
          v reads cpu.load: 5 series
          error: d: no such thing
        ╭─────────────────────────────────────────────────────────────────╮
        │ instance   would be   because                   value   samples │
        ╞═════════════════════════════════════════════════════════════════╡
        │ host="a"   warn       v >= warn holds            97.5         6 │
        │ host="b"   ok         v >= warn does not hold    97.5         6 │
        │ host="c"   held       n >= 5 does not hold       97.5         6 │
        │ host="d"   failed     no such\nthing             97.5         6 │
        │ host="e"   ok         ok(1)                      97.5         6 │
        ╰─────────────────────────────────────────────────────────────────╯

        none at 2017-07-14T02:40:00Z: 0 instances, 0 samples, 0s
          the store could not be looked at: the server reads its log back
        "#);
    }
}
