//! `sereno rules diff`: what the files of a folder would mean for the running server, and how two generations differ.

use std::io::{self, Write};
use std::path::PathBuf;

use sereno_client::messages::PlanRules;
use sereno_rules::report::{Difference, Finding, Plan, PlannedInstance, PlannedRule, RuleChange};
use sereno_runtime::{Disk as _, RealDisk};

use super::words::{self, at, instance, number};
use super::{counted, print_finding, sources};
use crate::console::{Color, Console, printable};
use crate::output::Report;
use crate::{Context, Exit, Failure, Stop};

const EXAMPLES: &str = "\
The rules of DIR are those of DIR/config/rules, DIR/rules or DIR itself, its scripts those of
DIR/scripts; where there are none, those of the server stand. Nothing is changed.

As `diff` does it, the exit code is 0 if nothing would change or differs, 1 if something does,
and more if that cannot be told.

Examples:
  sereno rules diff .                    what the rules here would open, close and keep
  sereno rules diff /srv/new --server prod.example:5678
  sereno rules diff 11 12                two generations, see `sereno rules history`
  sereno rules diff 11                   one, and the active one";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A folder or file of rules, or the number of a generation
    #[arg(value_name = "DIR|GENERATION", required_unless_present = "directory")]
    what: Option<String>,
    /// Another generation; the active one if it is not given
    #[arg(value_name = "GENERATION")]
    other: Option<u64>,
    /// The same as DIR
    #[arg(short, long, value_name = "DIR", conflicts_with = "what")]
    directory: Option<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

/// What `diff` says: that something is different is 1, and everything that went wrong is more.
pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let different = match compare(args, context).await {
        Err(Stop::Failed(failure)) if failure.exit == Exit::Negative => {
            context.console.say(&failure);
            return Err(Stop::Ended(Exit::Usage));
        }
        other => other?,
    };
    if different { Err(Stop::Ended(Exit::Negative)) } else { Ok(()) }
}

async fn compare(args: &Args, context: &mut Context<'_>) -> Result<bool, Stop> {
    let number = args.what.as_deref().and_then(|what| what.parse::<u64>().ok());
    if let Some(a) = number {
        let json = context.client().await?.diff_generations(a, args.other.unwrap_or(0)).await?;
        let difference: Difference = words::read(&json)?;
        args.output.print(&difference, context.console, tell_difference)?;
        return Ok(!difference.rules.is_empty() || !difference.files.is_empty());
    }
    if args.other.is_some() {
        return Err(Failure::new(Exit::Usage, "a folder is compared with what is active")
            .hint("two generations are compared by their numbers: `sereno rules diff 11 12`")
            .into());
    }
    let folder = args.directory.clone().or(args.what.as_ref().map(PathBuf::from)).unwrap_or_default();
    let places = ["config/rules", "rules"].map(|place| folder.join(place));
    let rules = places.into_iter().find(|place| RealDisk.list(place).is_ok()).unwrap_or(folder.clone());
    let scripts = Some(folder.join("scripts")).filter(|place| RealDisk.list(place).is_ok());
    let mut files = sources::read(&rules, &[])?;
    files.extend(sources::scripts(scripts.as_slice())?);
    let json = context.patient_client().await?.plan_rules(PlanRules { files }).await?;
    let plan: Plan = words::read(&json)?;
    args.output.print(&plan, context.console, tell_plan)?;
    if plan.findings.iter().any(Finding::is_error) {
        return Err(Failure::new(Exit::Negative, "the files have mistakes")
            .hint("`sereno rules check` finds them without a server")
            .into());
    }
    Ok(!plan.is_nothing())
}

fn tell_plan(plan: &Plan, console: &mut Console) -> io::Result<()> {
    plan.findings.iter().try_for_each(|finding| print_finding(finding, console))?;
    for rule in &plan.rules {
        change(&rule.class, &rule.rule, rule.renamed_from.as_deref(), &place(rule), console)?;
        tell_instances(rule, console)?;
    }
    let count = |of: fn(&PlannedRule) -> usize| plan.rules.iter().map(of).sum::<usize>();
    let opens = count(|rule| rule.opens.len());
    let (closes, changes) = (count(|rule| rule.closes.len()), count(|rule| rule.changes.len()));
    let changed = counted(plan.rules.len(), "rule");
    writeln!(
        console.out,
        "{changed} would be different, {} not; {opens} would open, {closes} close, {changes} change their level",
        plan.unchanged
    )?;
    writeln!(console.out, "against generation {}, evaluated at {}", plan.generation, at(plan.tick))?;
    match &plan.refusal {
        Some(why) => writeln!(console.out, "a reload would be refused: {}", printable(why)),
        None => Ok(()),
    }
}

fn place(rule: &PlannedRule) -> String {
    if rule.path.is_empty() { String::new() } else { format!("{}:{}", rule.path, rule.line) }
}

/// `~ logic   cpu_high   rules/host.yaml:3`.
fn change(
    class: &str,
    rule: &str,
    renamed_from: Option<&str>,
    place: &str,
    console: &mut Console,
) -> io::Result<()> {
    let (mark, paint) = match class {
        "added" => ('+', Color::Green),
        "removed" => ('-', Color::Red),
        _ => ('~', Color::Yellow),
    };
    let renamed = renamed_from.map_or_else(String::new, |from| format!(" (was {from})"));
    let text = printable(&format!("{mark} {class:<8} {rule}{renamed}  {place}")).trim_end().to_owned();
    writeln!(console.out, "{}", if console.color { paint.paint(&text) } else { text })
}

fn tell_instances(rule: &PlannedRule, console: &mut Console) -> io::Result<()> {
    const NAMED_MAX: usize = 10;
    let sides = [("opens", &rule.opens), ("closes", &rule.closes), ("changes", &rule.changes)];
    for (word, instances) in sides {
        for one in instances.iter().take(NAMED_MAX) {
            let name = instance(&rule.rule, &one.instance);
            let reason = one.reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
            let value =
                one.value.map_or_else(String::new, |value| format!(", value {}", number(Some(value))));
            let text = format!("    {word:<7} {name}: {}{value}{reason}", becomes(one));
            writeln!(console.out, "{}", printable(&text))?;
        }
        let more = instances.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            writeln!(console.out, "    {word:<7} and {more} more")?;
        }
    }
    if rule.keeps > 0 {
        writeln!(
            console.out,
            "    keeps   {}",
            counted(usize::try_from(rule.keeps).unwrap_or(usize::MAX), "instance")
        )?;
    }
    rule.errors.iter().try_for_each(|error| writeln!(console.out, "    error: {}", printable(error)))?;
    match rule.unobserved {
        true => writeln!(console.out, "    the store could not be looked at: nothing is said of instances"),
        false => Ok(()),
    }
}

/// `pending warn -> firing crit`.
fn becomes(one: &PlannedInstance) -> String {
    let text = |state: &str, level: &Option<String>| match level {
        Some(level) => format!("{state} {level}"),
        None => state.to_owned(),
    };
    let (before, after) = (text(&one.state, &one.level), text(&one.becomes, &one.becomes_level));
    if before.is_empty() { after } else { format!("{before} -> {after}") }
}

fn tell_difference(difference: &Difference, console: &mut Console) -> io::Result<()> {
    let Difference { from, to, rules, files, .. } = difference;
    for RuleChange { rule, class, renamed_from } in rules {
        change(class, rule, renamed_from.as_deref(), "", console)?;
    }
    for file in files {
        writeln!(console.out)?;
        for line in file.diff.lines() {
            let paint = match line.as_bytes() {
                [b'+', ..] => Some(Color::Green),
                [b'-', ..] => Some(Color::Red),
                [b'@', ..] => Some(Color::Blue),
                _ => None,
            };
            let line = printable(line);
            match paint.filter(|_| console.color) {
                Some(paint) => writeln!(console.out, "{}", paint.paint(&line))?,
                None => writeln!(console.out, "{line}")?,
            }
        }
    }
    match rules.is_empty() && files.is_empty() {
        true => writeln!(console.out, "generations {from} and {to} are alike"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sereno_rules::report::{FileChange, LabelMap, Number, Time};

    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn a_plan_tells_what_would_open_close_and_keep() {
        let one =
            |host: &str, state: &str, level: Option<&str>, becomes: &str, to: Option<&str>| PlannedInstance {
                instance: LabelMap::from([("host".into(), host.into())]),
                state: state.into(),
                becomes: becomes.into(),
                level: level.map(str::to_owned),
                becomes_level: to.map(str::to_owned),
                value: Some(Number(97.5)),
                ..PlannedInstance::default()
            };
        let logic = PlannedRule {
            rule: "cpu_high".into(),
            class: "logic".into(),
            path: "rules/host.yaml".into(),
            line: 3,
            opens: (0..12)
                .map(|host| one(&host.to_string(), "inactive", None, "firing", Some("crit")))
                .collect(),
            changes: vec![one("x", "firing", Some("warn"), "firing", Some("crit"))],
            keeps: 7,
            errors: vec!["one failed".into()],
            ..PlannedRule::default()
        };
        let gone = PlannedInstance {
            value: None,
            reason: Some("the rule was removed".into()),
            ..one("a", "firing", Some("crit"), "closed", None)
        };
        let removed = PlannedRule {
            rule: "old".into(),
            class: "removed".into(),
            closes: vec![gone],
            ..PlannedRule::default()
        };
        let renamed = PlannedRule {
            rule: "new\x1b".into(),
            class: "renamed".into(),
            renamed_from: Some("older".into()),
            unobserved: true,
            ..PlannedRule::default()
        };
        let plan = Plan {
            generation: 12,
            tick: Time(sereno_model::Timestamp::from_millis(1_500_000_000_000)),
            rules: vec![logic, renamed, removed],
            unchanged: 40,
            refusal: Some("rule `old` fires".into()),
            ..Plan::default()
        };
        insta::assert_snapshot!(written(|console| tell_plan(&plan, console), console(100)), @r#"
        ~ logic    cpu_high  rules/host.yaml:3
            opens   cpu_high{host="0"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="1"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="2"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="3"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="4"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="5"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="6"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="7"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="8"}: inactive -> firing crit, value 97.5
            opens   cpu_high{host="9"}: inactive -> firing crit, value 97.5
            opens   and 2 more
            changes cpu_high{host="x"}: firing warn -> firing crit, value 97.5
            keeps   7 instances
            error: one failed
        ~ renamed  new\u{1b} (was older)
            the store could not be looked at: nothing is said of instances
        - removed  old
            closes  old{host="a"}: firing crit -> closed, the rule was removed
        3 rules would be different, 40 not; 12 would open, 1 close, 1 change their level
        against generation 12, evaluated at 2017-07-14T02:40:00Z
        a reload would be refused: rule `old` fires
        "#);
    }

    #[test]
    fn a_difference_is_rules_and_lines() {
        let change = |rule: &str, class: &str| RuleChange {
            rule: rule.into(),
            class: class.into(),
            ..RuleChange::default()
        };
        let file = FileChange {
            path: "rules/a.yaml".into(),
            change: "changed".into(),
            diff: "--- rules/a.yaml\n+++ rules/a.yaml\n@@ -1,2 +1,2 @@\n rules:\n-  - { id: a }\n+  - { id: b }\x1b\n".into(),
        };
        let difference = Difference {
            from: 11,
            to: 12,
            rules: vec![change("a", "removed"), change("b", "added"), change("c", "text")],
            files: vec![file],
            ..Difference::default()
        };
        insta::assert_snapshot!(written(|console| tell_difference(&difference, console), console(100)), @r"
        - removed  a
        + added    b
        ~ text     c

        --- rules/a.yaml
        +++ rules/a.yaml
        @@ -1,2 +1,2 @@
         rules:
        -  - { id: a }
        +  - { id: b }\u{1b}
        ");
        let alike = Difference { from: 1, to: 2, ..Difference::default() };
        assert_eq!(
            written(|console| tell_difference(&alike, console), console(100)),
            "generations 1 and 2 are alike\n"
        );
    }
}
