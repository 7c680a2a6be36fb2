//! What the log looks like and how much it tells.

use std::io::{self, IsTerminal as _};

use sereno_server::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging to stderr. The variable `SERENO_LOG` overrides the configured level.
pub fn start(log: &Log) -> io::Result<()> {
    let level = std::env::var("SERENO_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&level).map_err(|error| {
        io::Error::other(format!("`{level}` is no level and no filter ({error}); try `info` or `debug`"))
    })?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour);
    let json = match log.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let started = match json {
        true => subscriber.json().flatten_event(true).try_init(),
        false => subscriber.try_init(),
    };
    started.map_err(io::Error::other)
}
