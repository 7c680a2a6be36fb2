//! `sereno man` and `sereno completions`: what a shell and its user want to know about the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::Cli;
use crate::console::Console;
use crate::{Exit, Failure, Stop};

pub(crate) const COMPLETIONS: &str = "\
Examples:
  sereno completions bash > ~/.local/share/bash-completion/completions/sereno
  sereno completions zsh > ~/.zfunc/_sereno
  sereno completions fish > ~/.config/fish/completions/sereno.fish";

const EXAMPLES: &str = "\
Examples:
  sereno man | man -l -
  sereno man ~/.local/share/man/man1";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder to write one page per command into
    folder: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<(), Stop> {
    let mut pages = Vec::new();
    collect(&command(), &mut pages)?;
    let Some(folder) = &args.folder else {
        return Ok(pages.iter().try_for_each(|(_, page)| console.out.write_all(page))?);
    };
    let failed = |path: &Path, error: &io::Error| {
        Failure::new(Exit::Negative, format!("failed to write `{}`", path.display())).cause(error.to_string())
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (name, page) in &pages {
        let path = folder.join(name);
        write(&path, page).map_err(|error| failed(&path, &error))?;
    }
    console.say(format_args!("{} pages in `{}`", pages.len(), folder.display()));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a page that is lost is written again")]
fn write(path: &Path, page: &[u8]) -> io::Result<()> {
    std::fs::write(path, page)
}

/// The whole command line, with the options that all commands share spread to them.
fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The page of a command and those of the commands below it.
fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render(&mut page)?;
    pages.push((man.get_filename(), page));
    command.get_subcommands().try_for_each(|command| collect(command, pages))
}

pub(crate) fn completions(shell: clap_complete::Shell, console: &mut Console) -> Result<(), Stop> {
    // To memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sereno", &mut script);
    Ok(console.out.write_all(&script)?)
}
