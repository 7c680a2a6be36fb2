//! The command line as a whole: the commands and what holds for all of them. What a command takes is in its module.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::{
    alerts, check, context, info, labels, man, monitor, parse, query, ramp, rules, send, series, storage, top,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: no such metric, nothing in the period, lines not stored, a bad check
  2  the command line means nothing
  3  no server there, or it went away
  4  the server refused
  5  the server did not answer in time";

/// Sends metrics to a Sereno server, queries it and watches its notifications.
#[derive(Debug, Parser)]
#[command(name = "sereno", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command that talks to a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct Globals {
    /// The server to talk to [env: SERENO_SERVER] [default: that of the context in use, else 127.0.0.1:5678]
    #[arg(long = "server", global = true, value_name = "HOST:PORT", value_parser = parse::address)]
    pub(crate) address: Option<String>,
    /// The context whose server and token are meant, see `sereno context` [env: SERENO_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "address")]
    pub(crate) context: Option<String>,
    /// The file that holds the server's token; SERENO_TOKEN may hold the token itself
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to wait for a connection, and for each answer
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = parse::span)]
    pub(crate) timeout: Duration,
    /// How often to try again, ever more slowly, while nobody listens there
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 4)]
    pub(crate) retries: u32,
}

impl Globals {
    /// Whether the command line itself says which server is meant.
    pub(crate) const fn names_server(&self) -> bool {
        self.address.is_some() || self.context.is_some()
    }
}

/// Which server, and how patiently.
#[derive(Clone)]
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send samples, from the command line, files or standard input
    Send(send::Args),
    /// Send a metric at a rate that changes, and tell how long the server took
    Ramp(ramp::Args),
    /// Ask for samples or their aggregates, window by window
    Query(query::Args),
    /// Which series there are
    #[command(visible_alias = "ls")]
    Series(series::Args),
    /// Which labels there are, and which values they have
    Labels(labels::Args),
    /// Which metrics there are
    #[command(visible_alias = "metrics")]
    Names(labels::Names),
    /// Watch notifications, the alerts that fire first
    Monitor(monitor::Args),
    /// A server at a glance, renewed every second
    Top(top::Args),
    /// Which alerts fire
    #[command(visible_alias = "alert")]
    Alerts(alerts::Args),
    /// The rules of the server, and rule files
    #[command(subcommand, visible_alias = "rule")]
    Rules(rules::Command),
    /// The same as `rules reload`
    Reload(rules::ReloadArgs),
    /// How the server is
    Info(info::Args),
    /// What the server stores, where, and in how many bytes a sample
    Storage(storage::Args),
    /// Check everything in a folder: the configuration, rules, scripts and tests
    Check(check::Args),
    /// The same as `rules test`
    #[command(subcommand, hide = true)]
    Test(check::Test),
    /// Remember servers by name
    #[command(visible_aliases = ["contexts", "ctx"])]
    Context(context::Args),
    /// Print the completions of a shell
    #[command(after_help = man::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual pages of all commands, or write them into a folder
    Man(man::Args),
}
