//! `sereno rules history`, and `rollback`: the generations of the rules that a server has run.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sereno_rules::report::{GenerationInfo, RuleChange};

use super::words::{self, at, span};
use crate::console::Console;
use crate::output::Report;
use crate::output::table::Grid;
use crate::{Context, Stop};

const EXAMPLES: &str = "\
Examples:
  sereno rules history
  sereno rules diff 11 12
  sereno rules rollback 11";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Generations {
    schema_version: u32,
    generations: Vec<GenerationInfo>,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let json = context.client().await?.generations().await?;
    let generations: Generations = words::read(&json)?;
    Ok(args.output.print(&generations, context.console, tell)?)
}

fn tell(generations: &Generations, console: &mut Console) -> io::Result<()> {
    let header = ["what changed", "trigger", "outcome", "note", "generation", "at", "rules", "files", "took"];
    let mut grid = Grid::new(console, header, 4);
    for generation in &generations.generations {
        let who = generation.who.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
        grid.row([
            changes(&generation.changes),
            format!("{}{who}", generation.trigger),
            generation.outcome.clone(),
            note(generation),
            generation.number.to_string(),
            at(generation.at),
            generation.rules.to_string(),
            generation.files.to_string(),
            span(generation.seconds),
        ]);
    }
    grid.lines().into_iter().try_for_each(|line| writeln!(console.out, "{line}"))
}

fn note(generation: &GenerationInfo) -> String {
    let pinned = generation.pinned_to.map(|number| format!("pinned to {number}"));
    let active = generation.active.then(|| "active".to_owned());
    active.into_iter().chain(pinned).collect::<Vec<_>>().join(", ")
}

/// `cpu_high logic`, or how many of which class.
fn changes(changes: &[RuleChange]) -> String {
    const NAMED_MAX: usize = 2;
    if changes.len() <= NAMED_MAX {
        let texts = changes.iter().map(|change| format!("{} {}", change.rule, change.class));
        return texts.collect::<Vec<_>>().join(", ");
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    changes.iter().for_each(|change| *counts.entry(&change.class).or_default() += 1);
    counts.iter().map(|(class, count)| format!("{count} {class}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sereno_rules::report::{Seconds, Time};

    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn generations_are_a_table() {
        let change = |rule: &str, class: &str| RuleChange {
            rule: rule.into(),
            class: class.into(),
            ..RuleChange::default()
        };
        let generation = |number, trigger: &str, changes| GenerationInfo {
            number,
            at: Time(sereno_model::Timestamp::from_millis(1_500_000_000_000)),
            trigger: trigger.into(),
            outcome: "applied".into(),
            rules: 40,
            files: 3,
            seconds: Seconds(Duration::from_millis(12)),
            changes,
            ..GenerationInfo::default()
        };
        let pinned = GenerationInfo {
            active: true,
            pinned_to: Some(11),
            who: Some("ana".into()),
            ..generation(13, "rollback", vec![change("a", "logic"), change("b\x1b", "text")])
        };
        let many = (0..5).map(|index| change("x", if index < 2 { "added" } else { "text" })).collect();
        let generations = Generations {
            schema_version: 1,
            generations: vec![pinned, generation(12, "files", many), generation(1, "start", vec![])],
        };
        insta::assert_snapshot!(written(|console| tell(&generations, console), console(100)), @r"
        ╭─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        │ what changed            trigger           outcome   note                   generation                     at   rules   files   took │
        ╞═════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        │ a logic, b\u{1b} text   rollback by ana   applied   active, pinned to 11           13   2017-07-14T02:40:00Z      40       3   12ms │
        │ 2 added, 3 text         files             applied                                  12   2017-07-14T02:40:00Z      40       3   12ms │
        │                         start             applied                                   1   2017-07-14T02:40:00Z      40       3   12ms │
        ╰─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        ");
    }
}
