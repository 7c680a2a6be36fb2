//! `sereno context`: servers by name, so that `--context prod` or `sereno context use prod` stands for an address and
//! the token that belongs to it.
//!
//! Invariants:
//! * a token is never copied: a context names the file that holds it;
//! * a token goes to the server of its own context and to no other, see [`resolve`](mod@resolve).

mod file;
mod resolve;

use std::io::{self, Write};
use std::path::{self, PathBuf};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::args::Globals;
use crate::console::Console;
use crate::{Environment, Exit, Failure, Stop};
use file::{Contexts, Entry};

pub(crate) use resolve::resolve;

const EXAMPLES: &str = "\
Examples:
  sereno context add prod --server metrics.example:5678 --token-file ~/.sereno-prod
  sereno context use prod
  sereno --context prod query cpu.load

Which server a command talks to, the first that is there:
  1. --server or --context
  2. SERENO_SERVER
  3. SERENO_CONTEXT
  4. the context in use
  5. 127.0.0.1:5678
The token: --token-file, then SERENO_TOKEN, then that of the context, if the server is that of the context.
Contexts are kept in $XDG_CONFIG_HOME/sereno/contexts.yaml, or in ~/.config.";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Remember the server of `--server`, and the token of `--token-file`, under a name
    #[command(
        override_usage = "sereno context add <NAME> --server <HOST:PORT> [--token-file <PATH>] [--replace]"
    )]
    Add {
        /// The name: letters, digits, `.`, `_` and `-`
        #[arg(value_parser = file::name)]
        name: String,
        /// Change the context if it is there already
        #[arg(long)]
        replace: bool,
    },
    /// Talk to the server of this context from now on
    Use {
        /// The context
        name: String,
    },
    /// Show all contexts
    #[command(visible_alias = "ls")]
    List {
        /// The form of the answer
        #[arg(short, long, value_name = "FORM")]
        output: Option<Form>,
    },
    /// Forget a context; its token file stays
    #[command(visible_alias = "rm")]
    Remove {
        /// The context
        name: String,
    },
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For eyes; the default on a terminal
    Table,
    /// One object
    Json,
    /// Name, server and token file, with tabs between; the default elsewhere
    Plain,
}

pub(crate) fn run(
    args: &Args,
    globals: &Globals,
    console: &mut Console,
    environment: Environment<'_>,
) -> Result<(), Stop> {
    let path = file::path(environment)?;
    let mut contexts = Contexts::load(&path)?;
    match &args.command {
        Command::Add { name, replace } => {
            add(&mut contexts, name, *replace, globals)?;
            contexts.store(&path)?;
            match contexts.current.as_ref() == Some(name) {
                true => console.say(format_args!("`{name}` is in use")),
                false => console.say(format_args!("`sereno context use {name}` makes it the one in use")),
            }
        }
        Command::Use { name } => {
            let server = contexts.find(name)?.server.clone();
            contexts.current = Some(name.clone());
            contexts.store(&path)?;
            console.say(format_args!("`{name}` is in use: `{server}`"));
        }
        Command::List { output } => list(&contexts, *output, console)?,
        Command::Remove { name } => {
            contexts.find(name)?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.take().filter(|current| current != name);
            contexts.store(&path)?;
        }
    }
    Ok(())
}

fn add(contexts: &mut Contexts, name: &str, replace: bool, globals: &Globals) -> Result<(), Failure> {
    let Some(server) = globals.address.clone() else {
        return Err(Failure::new(Exit::Usage, "which server does it stand for?")
            .hint(format!("`sereno context add {name} --server HOST:PORT`")));
    };
    if contexts.contexts.contains_key(name) && !replace {
        return Err(Failure::new(Exit::Usage, format!("there is a context `{name}` already"))
            .hint("`--replace` changes it"));
    }
    let token_file = globals.token_file.as_deref().map(absolute).transpose()?;
    // The only one is the one that is meant.
    if contexts.contexts.is_empty() {
        contexts.current = Some(name.to_owned());
    }
    contexts.contexts.insert(name.to_owned(), Entry { server, token_file });
    Ok(())
}

/// A context is used from any folder.
fn absolute(file: &path::Path) -> Result<PathBuf, Failure> {
    path::absolute(file).map_err(|error| Failure::of(Exit::Usage, &error))
}

fn list(contexts: &Contexts, form: Option<Form>, console: &mut Console) -> io::Result<()> {
    let by_terminal = if console.out_is_tty { Form::Table } else { Form::Plain };
    match form.unwrap_or(by_terminal) {
        Form::Table => table(contexts, console),
        Form::Json => json(contexts, &mut console.out),
        Form::Plain => contexts.contexts.iter().try_for_each(|(name, entry)| {
            writeln!(console.out, "{name}\t{}\t{}", entry.server, entry.token_file())
        }),
    }
}

fn table(contexts: &Contexts, console: &mut Console) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY.with_rounded_corners());
    table.set_header(["", "context", "server", "token file"]);
    for (name, entry) in &contexts.contexts {
        let mark = if contexts.current.as_ref() == Some(name) { "*" } else { "" };
        table.add_row([mark, name, &entry.server, &entry.token_file()]);
    }
    writeln!(console.out, "{table}")
}

fn json(contexts: &Contexts, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct List<'a> {
        schema_version: u32,
        contexts: Vec<Line<'a>>,
    }
    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        server: &'a str,
        token_file: Option<String>,
        current: bool,
    }
    let lines = contexts.contexts.iter().map(|(name, entry)| Line {
        name,
        server: &entry.server,
        token_file: entry.token_file.as_ref().map(|file| file.display().to_string()),
        current: contexts.current.as_ref() == Some(name),
    });
    serde_json::to_writer(&mut *out, &List { schema_version: 1, contexts: lines.collect() })?;
    out.write_all(b"\n")
}
