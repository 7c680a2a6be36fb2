//! The command line, as clap reads it. The texts here are what `--help` shows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::parse::{self, When};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: no such metric, nothing in the period, a check that failed
  2  the command line means nothing
  3  no server there, or it went away
  4  the server refused
  5  the server did not answer in time";

/// Sends metrics to a Sereno server, queries it and watches its notifications.
#[derive(Debug, Parser)]
#[command(name = "sereno", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server, and how patiently.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// The server to talk to
    #[arg(long = "server", global = true, value_name = "HOST:PORT", env = "SERENO_SERVER", hide_env_values = true,
          default_value = "127.0.0.1:5678", value_parser = parse::address)]
    pub(crate) address: String,
    /// How long to wait for a connection, and for each answer
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = parse::span)]
    pub(crate) timeout: Duration,
    /// How often to try again, ever more slowly, while nobody listens there
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 4)]
    pub(crate) retries: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send one value of a metric; the server stamps the time
    Send(Send),
    /// Send a metric at a rate that changes, and tell how long the server took
    Ramp(Ramp),
    /// Ask for the aggregates of a metric, window by window
    Query(Query),
    /// Watch notifications until the server stops
    Monitor(Monitor),
    /// What the server stores, where, and in how many bytes a sample
    Storage(Storage),
    /// Work with rule files
    #[command(subcommand)]
    Rules(Rules),
    /// The same as `rules check`
    #[command(subcommand, hide = true)]
    Check(Check),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Send {
    /// The metric's name, at most 27 bytes
    #[arg(value_parser = parse::metric)]
    pub(crate) metric: String,
    /// A whole number from 0 to 4294967295
    #[arg(value_parser = parse::value, allow_negative_numbers = true)]
    pub(crate) value: u32,
}

/// How the rate goes from INITIAL to FINAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// It stays at INITIAL
    Constant,
    /// By equal steps
    Linear,
    /// By equal factors
    Exponential,
}

#[derive(Args, Debug)]
pub(crate) struct Ramp {
    /// How the rate goes from INITIAL to FINAL
    pub(crate) strategy: Strategy,
    /// The metric's name; its values are 1, 2, 3, …
    #[arg(value_parser = parse::metric)]
    pub(crate) metric: String,
    /// How long, like `60s`, `2m`, or plain seconds
    #[arg(value_parser = parse::span)]
    pub(crate) duration: Duration,
    /// Metrics per second at the start
    #[arg(value_parser = parse::rate)]
    pub(crate) initial: f64,
    /// Metrics per second at the end
    #[arg(value_parser = parse::rate, value_name = "FINAL")]
    pub(crate) last: f64,
}

/// The form of a query's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Numbered rows and a plot; the default on a terminal
    Table,
    /// One object
    Json,
    /// A header and numbered rows
    Csv,
    /// One value per line; the default elsewhere
    Plain,
}

#[derive(Args, Debug)]
pub(crate) struct Query {
    /// The metric's name
    #[arg(value_parser = parse::metric)]
    pub(crate) metric: String,
    /// `mean`, `min`, `max`, `count`, or any other aggregation that the server has
    #[arg(value_name = "AGG", value_parser = parse::aggregation)]
    pub(crate) aggregation: String,
    /// The length of a window, like `15s`, `1m`, or plain seconds; 0 asks for the values themselves
    #[arg(value_name = "WINDOW", value_parser = parse::window, allow_negative_numbers = true)]
    pub(crate) window_secs: f64,
    /// The start of the period: RFC 3339, Unix seconds, or `-1h`
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    pub(crate) start: Option<When>,
    /// The end of the period, inclusive
    #[arg(long, value_name = "TIME", value_parser = parse::when, allow_hyphen_values = true)]
    pub(crate) end: Option<When>,
    /// The last stretch of time until now, like `1h`
    #[arg(long, value_name = "TIME", value_parser = parse::span, conflicts_with_all = ["start", "end"])]
    pub(crate) last: Option<Duration>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM")]
    pub(crate) output: Option<Output>,
}

/// The form of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    /// A line: time and message
    Plain,
    /// An object per line
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Monitor {
    /// The form of a notification
    #[arg(short, long, value_name = "FORM", default_value = "plain")]
    pub(crate) output: Stream,
}

/// The form of the figures of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figures {
    /// For eyes
    Table,
    /// One object
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Storage {
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub(crate) output: Figures,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// Check rule files and scripts as the server would, without a server
    Check(Checked),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// Check rule files and scripts as the server would, without a server
    Rules(Checked),
}

#[derive(Args, Debug)]
pub(crate) struct Checked {
    /// Rule files, or folders of them
    #[arg(default_value = "config/rules")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folders of scripts
    #[arg(long, value_name = "PATH", default_value = "scripts")]
    pub(crate) scripts: Vec<PathBuf>,
}
