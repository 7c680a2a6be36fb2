//! `sereno rules functions`: what scripts may call.

use std::io::{self, Write};

use serde::Serialize;
use sereno_rules::FunctionDoc;

use crate::console::{Color, Console};
use crate::output::Report;
use crate::output::SCHEMA_VERSION;
use crate::{Exit, Failure, Stop};

const EXAMPLES: &str = "\
Examples:
  sereno rules functions
  sereno rules functions quantile
  sereno rules functions -o json | jq -r '.functions[].signature'";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those with this text in their names
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

#[derive(Serialize)]
struct All<'a> {
    schema_version: u32,
    functions: Vec<Function<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    section: &'a str,
    receiver: Option<&'a str>,
    name: &'a str,
    signature: &'a str,
    doc: &'a str,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<(), Stop> {
    let all = sereno_rules::functions();
    let wanted =
        |function: &&FunctionDoc| args.text.as_ref().is_none_or(|text| function.name.contains(text.as_str()));
    let functions: Vec<_> = all.iter().filter(wanted).map(function).collect();
    if functions.is_empty() {
        let text = args.text.as_deref().unwrap_or_default();
        let hint = sereno_runtime::diagnostic::suggest(
            text,
            "functions",
            all.iter().map(|function| function.name.as_str()),
        );
        return Err(Failure::new(Exit::Negative, format!("no function has `{text}` in its name"))
            .hint(hint)
            .into());
    }
    Ok(args.output.print(&All { schema_version: SCHEMA_VERSION, functions }, console, tell)?)
}

fn function(doc: &FunctionDoc) -> Function<'_> {
    let FunctionDoc { section, receiver, name, signature, doc, .. } = doc;
    Function { section, receiver: receiver.as_deref(), name, signature, doc }
}

/// A heading for each section; below the call what it gives, as wide as the terminal.
fn tell(all: &All<'_>, console: &mut Console) -> io::Result<()> {
    let mut section = None;
    for function in &all.functions {
        if section != Some(function.section) {
            let blank = if section.is_some() { "\n" } else { "" };
            let heading =
                if console.color { Color::Blue.paint(function.section) } else { function.section.to_owned() };
            writeln!(console.out, "{blank}{heading}")?;
            section = Some(function.section);
        }
        writeln!(console.out, "  {}", function.signature)?;
        for line in wrapped(function.doc, console.width.saturating_sub(6).max(20)) {
            writeln!(console.out, "      {line}")?;
        }
    }
    Ok(())
}

/// Words in lines of at most so many characters; a longer word has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn functions_are_told_section_by_section() {
        let function =
            |section, signature, doc| Function { section, receiver: None, name: "x", signature, doc };
        let functions = vec![
            function(
                "Windows",
                "w.mean()",
                "the mean of all samples, and nothing where there is none of them at all",
            ),
            function("Windows", "w.sum()", ""),
            function("Numbers", "abs(x)", "x, or -x"),
        ];
        let all = All { schema_version: 1, functions };
        insta::assert_snapshot!(written(|console| tell(&all, console), console(40)), @"
        Windows
          w.mean()
              the mean of all samples, and
              nothing where there is none of
              them at all
          w.sum()

        Numbers
          abs(x)
              x, or -x
        ");
    }
}
