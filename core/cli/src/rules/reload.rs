//! `sereno rules reload`: the server reads its files again, and says what it found.

use std::io::{self, Write};

use serde::Serialize;
use sereno_client::messages::Reloaded;

use super::{Finding, counted, findings, found, print};
use crate::console::{Console, printable};
use crate::output::SCHEMA_VERSION;
use crate::output::json::line;
use crate::{Context, Exit, Failure, Stop};

const EXIT_CODES: &str = "\
The exit code is 1 if rules were refused, or if some keep their last good version.";

/// The form of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The findings, with their places, and a line
    Plain,
    /// One object
    Json,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Let rules go that have vanished from the files, even many at once, or such that fire
    #[arg(long)]
    allow_removal: bool,
    /// The form of the outcome
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    output: Form,
}

#[derive(clap::Args, Debug)]
pub(crate) struct RollbackArgs {
    /// The generation, see `sereno rules history`
    #[arg(value_name = "GENERATION")]
    generation: u64,
    /// The form of the outcome
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    output: Form,
}

pub(super) async fn rollback(args: &RollbackArgs, context: &mut Context<'_>) -> Result<(), Stop> {
    let reloaded = context.client().await?.rollback(args.generation).await?;
    tell(&reloaded, args.output, context.console)
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let reloaded = context.client().await?.reload(args.allow_removal).await?;
    tell(&reloaded, args.output, context.console)
}

fn tell(reloaded: &Reloaded, form: Form, console: &mut Console) -> Result<(), Stop> {
    match form {
        Form::Plain => plain(reloaded, console)?,
        Form::Json => json(reloaded, &mut console.out)?,
    }
    Ok(verdict(reloaded)?)
}

/// Whether all is well. An outcome of a later version is for the server to be judged by the errors it found.
fn verdict(reloaded: &Reloaded) -> Result<(), Failure> {
    let has_errors = || reloaded.diagnostics.iter().any(|diagnostic| diagnostic.severity != "warning");
    match reloaded.outcome.as_str() {
        "refused" => {
            let rules = reloaded.rules;
            let message =
                format!("the reload was refused; the previous {} stay", counted(rules as usize, "rule"));
            let failure = Failure::new(Exit::Negative, message);
            Err(match reloaded.refusal.is_empty() {
                true => failure.hint("mend what is wrong, and reload again"),
                false => failure
                    .cause(printable(&reloaded.refusal))
                    .hint("if that is what you want: `sereno reload --allow-removal`"),
            })
        }
        "partial" => Err(partial(reloaded)),
        // Nothing changed, and what was wrong still is.
        _ if has_errors() => Err(partial(reloaded)),
        _ => Ok(()),
    }
}

fn partial(reloaded: &Reloaded) -> Failure {
    let found = findings(&reloaded.diagnostics).unwrap_or_else(|| "mistakes".into());
    Failure::new(Exit::Negative, format!("the rule files have {found}"))
        .hint("the last good version of what is wrong stays, and all else is in effect")
}

fn plain(reloaded: &Reloaded, console: &mut Console) -> io::Result<()> {
    reloaded.diagnostics.iter().try_for_each(|diagnostic| print(&found(diagnostic), console))?;
    let Reloaded { outcome, generation, rules, duration, pinned, .. } = reloaded;
    let changes =
        [("added", &reloaded.added), ("removed", &reloaded.removed), ("changed", &reloaded.changed)];
    for (word, ids) in changes {
        let would = if outcome == "refused" { "would be " } else { "" };
        tell_ids(&format!("{would}{word}"), ids, console)?;
    }
    for file in reloaded.files.iter().filter(|file| file.status != "applied") {
        writeln!(console.out, "{}: {}", printable(&file.path), printable(&file.status))?;
    }
    let rules = counted(usize::try_from(*rules).unwrap_or(usize::MAX), "rule");
    let took = if *duration > 0 { format!(", in {}", super::span(*duration)) } else { String::new() };
    let pinned = match pinned {
        0 => String::new(),
        number => format!(", pinned to generation {number} until the files change"),
    };
    writeln!(console.out, "{}: {rules}, generation {generation}{took}{pinned}", printable(outcome))
}

/// `added: a, b and 3 more`.
fn tell_ids(word: &str, ids: &[String], console: &mut Console) -> io::Result<()> {
    const NAMED_MAX: usize = 10;
    if ids.is_empty() {
        return Ok(());
    }
    let more = ids.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let ids: Vec<_> = ids.iter().take(NAMED_MAX).map(|id| printable(id)).collect();
    writeln!(console.out, "{word}: {}{more}", ids.join(", "))
}

fn json(reloaded: &Reloaded, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct All<'a> {
        schema_version: u32,
        outcome: &'a str,
        generation: u64,
        rules: u64,
        refusal: Option<&'a str>,
        trigger: &'a str,
        duration: f64,
        added: &'a [String],
        removed: &'a [String],
        changed: &'a [String],
        pinned: Option<u64>,
        files: Vec<File<'a>>,
        diagnostics: Vec<Finding<'a>>,
    }
    #[derive(Serialize)]
    struct File<'a> {
        path: &'a str,
        status: &'a str,
    }
    let all = All {
        schema_version: SCHEMA_VERSION,
        trigger: &reloaded.trigger,
        duration: reloaded.duration as f64 / 1e9,
        added: &reloaded.added,
        removed: &reloaded.removed,
        changed: &reloaded.changed,
        pinned: Some(reloaded.pinned).filter(|number| *number > 0),
        files: reloaded.files.iter().map(|file| File { path: &file.path, status: &file.status }).collect(),
        outcome: &reloaded.outcome,
        generation: reloaded.generation,
        rules: reloaded.rules,
        refusal: Some(reloaded.refusal.as_str()).filter(|refusal| !refusal.is_empty()),
        diagnostics: Finding::all(&reloaded.diagnostics),
    };
    line(out, &all)
}

#[cfg(test)]
mod tests {
    use sereno_client::messages::Diagnostic;

    use super::*;
    use crate::output::testing::{console, written};

    fn reloaded(outcome: &str, refusal: &str, severities: &[&str]) -> Reloaded {
        let diagnostic = |severity: &&str| Diagnostic {
            severity: (*severity).into(),
            message: "there is no aggregation `meen`\x1b[2J".into(),
            path: "rules/a.yaml".into(),
            line: 2,
            column: 10,
            excerpt: "  - { agg: meen }".into(),
            hint: "did you mean `mean`?".into(),
        };
        Reloaded {
            outcome: outcome.into(),
            generation: 3,
            rules: 5,
            diagnostics: severities.iter().map(diagnostic).collect(),
            refusal: refusal.into(),
            ..Reloaded::default()
        }
    }

    fn told(reloaded: &Reloaded) -> String {
        let text = written(|console| plain(reloaded, console), console(100));
        let verdict = verdict(reloaded).map_or_else(|failure| failure.to_string(), |()| "good".into());
        format!("{text}--- {verdict}")
    }

    #[test]
    fn outcomes_are_told() {
        insta::assert_snapshot!(told(&reloaded("applied", "", &[])), @"
        applied: 5 rules, generation 3
        --- good
        ");
        insta::assert_snapshot!(told(&reloaded("applied", "", &["warning"])), @r"
        warning: there is no aggregation `meen`\u{1b}[2J
         --> rules/a.yaml:2:10
          |
        2 |   - { agg: meen }
          |          ^
          = hint: did you mean `mean`?

        applied: 5 rules, generation 3
        --- good
        ");
        insta::assert_snapshot!(told(&reloaded("partial", "", &["error", "warning"])), @r"
        error: there is no aggregation `meen`\u{1b}[2J
         --> rules/a.yaml:2:10
          |
        2 |   - { agg: meen }
          |          ^
          = hint: did you mean `mean`?

        warning: there is no aggregation `meen`\u{1b}[2J
         --> rules/a.yaml:2:10
          |
        2 |   - { agg: meen }
          |          ^
          = hint: did you mean `mean`?

        partial: 5 rules, generation 3
        --- error: the rule files have 1 error and 1 warning
          hint:  the last good version of what is wrong stays, and all else is in effect
        ");
        insta::assert_snapshot!(told(&reloaded("unchanged", "", &["error"])), @r"
        error: there is no aggregation `meen`\u{1b}[2J
         --> rules/a.yaml:2:10
          |
        2 |   - { agg: meen }
          |          ^
          = hint: did you mean `mean`?

        unchanged: 5 rules, generation 3
        --- error: the rule files have 1 error
          hint:  the last good version of what is wrong stays, and all else is in effect
        ");
        insta::assert_snapshot!(told(&reloaded("refused", "3 of 5 rules would go\x1b", &[])), @r"
        refused: 5 rules, generation 3
        --- error: the reload was refused; the previous 5 rules stay
          cause: 3 of 5 rules would go\u{1b}
          hint:  if that is what you want: `sereno reload --allow-removal`
        ");
        insta::assert_snapshot!(told(&reloaded("refused", "", &["error"])), @r"
        error: there is no aggregation `meen`\u{1b}[2J
         --> rules/a.yaml:2:10
          |
        2 |   - { agg: meen }
          |          ^
          = hint: did you mean `mean`?

        refused: 5 rules, generation 3
        --- error: the reload was refused; the previous 5 rules stay
          hint:  mend what is wrong, and reload again
        ");
        let json = |reloaded| written(|console| json(&reloaded, &mut console.out), console(100));
        insta::assert_snapshot!(json(reloaded("partial", "", &["error"])), @r#"{"schema_version":1,"outcome":"partial","generation":3,"rules":5,"refusal":null,"trigger":"","duration":0.0,"added":[],"removed":[],"changed":[],"pinned":null,"files":[],"diagnostics":[{"severity":"error","message":"there is no aggregation `meen`\u001b[2J","path":"rules/a.yaml","line":2,"column":10,"excerpt":"  - { agg: meen }","hint":"did you mean `mean`?"}]}"#);
        insta::assert_snapshot!(json(reloaded("refused", "so many", &[])), @r#"{"schema_version":1,"outcome":"refused","generation":3,"rules":5,"refusal":"so many","trigger":"","duration":0.0,"added":[],"removed":[],"changed":[],"pinned":null,"files":[],"diagnostics":[]}"#);
    }
}
