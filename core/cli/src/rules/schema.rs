//! `sereno rules schema`: the JSON Schema of rule files and test files, for editors.

use std::io::Write;

use crate::Stop;
use crate::console::Console;

const EXAMPLES: &str = "\
An editor with the YAML language server checks a file while it is written, if the first line is
  # yaml-language-server: $schema=rules.schema.json

Examples:
  sereno rules schema > rules.schema.json
  sereno rules schema tests > tests.schema.json";

/// Which files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Rule files
    #[default]
    Rules,
    /// Test files
    Tests,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which files
    #[arg(value_name = "FILES", default_value = "rules")]
    what: What,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<(), Stop> {
    let schema = match args.what {
        What::Rules => sereno_rules::schema::rules(),
        What::Tests => sereno_rules::schema::tests(),
    };
    Ok(writeln!(console.out, "{}", schema.trim_end())?)
}
