//! The server's configuration: the sum of its parts', read strictly, with every relative path made relative to the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sereno_plugin::{InputInstance, Registry, SinkInstance};
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::yaml::{self, Options, Step};
use sereno_runtime::{Disk, units};

use crate::v2;

/// Everything in `server.yaml`. Only the files that `rules` names reload; these keys need a restart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Connections and the workers that serve them.
    pub server: Listen,
    /// How samples are kept.
    pub storage: sereno_storage::Config,
    /// What scripts may use up.
    pub scripts: Scripts,
    /// Where rules come from and how they are run.
    pub rules: sereno_rules::Config,
    /// What becomes of notifications.
    pub delivery: sereno_delivery::Config,
    /// Which plugins run.
    pub plugins: sereno_plugin::Config,
    /// What the server tells of itself.
    pub log: Log,
}

/// Section `server`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The address to listen on; port 0 takes a free one. Default `127.0.0.1:5678`.
    pub listen: SocketAddr,
    /// Whether protocol version 1, which knows no token, is served: `loopback` (only if `listen` is a loopback
    /// address), `on` or `off`. Default `loopback`.
    pub v1: V1,
    /// How many connections there may be at once; further ones are closed at once. Default 10,000.
    pub connections_max: usize,
    /// How many connections may wait for a worker of a stage. Default 1,024.
    pub queue_len_max: usize,
    /// Threads that read what a connection is for. Default 1.
    pub dispatchers: usize,
    /// Threads that serve sessions of protocol version 2; each serves any number of connections. Default 2.
    pub session_handlers: usize,
    /// A file with the tokens that open a session, one per line; none: whoever reaches the port may do everything.
    pub token_file: Option<PathBuf>,
    /// Bytes of requests and answers that one session may have under way before it is not read. Default 32 MiB.
    #[serde(with = "units::bytes")]
    pub in_flight_bytes: u64,
    /// Requests other than batches that one session may have under way. Default 64.
    pub in_flight_requests_max: usize,
    /// Series that one session may name in its batches. Default 1,048,576.
    pub dictionary_len_max: u32,
    /// Memory for everything that is under way in all sessions. Default 512 MiB, at least 32 MiB.
    #[serde(with = "units::bytes")]
    pub memory_max: u64,
    /// Threads that read metrics; each serves any number of connections. Default 2.
    pub metric_handlers: usize,
    /// Threads that read queries and write answers. Default 1.
    pub query_handlers: usize,
    /// Threads that execute queries. Default 2.
    pub query_workers: usize,
    /// Queries that may wait for a worker; further ones are told `server_unavailable`. Default 256.
    pub query_queue_len_max: usize,
    /// Threads that write to monitors. Default 1.
    pub monitor_handlers: usize,
    /// How long a client may take to say what it wants. Default 5 s.
    #[serde(with = "units::duration")]
    pub request_timeout: Duration,
    /// How long a query may take. Default 30 s.
    #[serde(with = "units::duration")]
    pub query_timeout: Duration,
    /// How many samples a query may decode, 16 bytes of memory each; rows of minutes and hours that stand for samples
    /// are free. Default 10,000,000.
    pub query_samples_max: u64,
    /// How many series a query may match. Default 100,000.
    pub query_series_max: usize,
    /// How many windows a range query may give for one group of series. Default 11,000: a point for each pixel of a
    /// large screen, and a week of minutes.
    pub query_points_max: usize,
    /// Threads that may work at one range query. Default 2.
    pub query_threads: usize,
    /// How long a shutdown may take in all. Default 5 s.
    #[serde(with = "units::duration")]
    pub shutdown_timeout: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5678)),
            v1: V1::Loopback,
            connections_max: 10_000,
            queue_len_max: 1_024,
            dispatchers: 1,
            session_handlers: 2,
            token_file: None,
            in_flight_bytes: 32 << 20,
            in_flight_requests_max: 64,
            dictionary_len_max: 1 << 20,
            memory_max: 512 << 20,
            metric_handlers: 2,
            query_handlers: 1,
            query_workers: 2,
            query_queue_len_max: 256,
            monitor_handlers: 1,
            request_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(30),
            query_samples_max: 10_000_000,
            query_series_max: 100_000,
            query_points_max: 11_000,
            query_threads: 2,
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl Listen {
    /// Whether version 1 is served on the address that is listened on.
    #[must_use]
    pub fn serves_v1(&self) -> bool {
        match self.v1 {
            V1::Loopback => self.listen.ip().is_loopback(),
            V1::On => true,
            V1::Off => false,
        }
    }
}

/// A few of the longest frames.
const MEMORY_MIN: u64 = 32 << 20;

/// When protocol version 1 is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum V1 {
    /// If the server listens on a loopback address.
    Loopback,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Section `scripts`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scripts {
    /// What scripts may use up.
    pub limits: sereno_script::Limits,
}

/// Section `log`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `auto` (for humans on a terminal, else JSON), `human` or `json`. Default `auto`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter like `info,sereno_rules=debug`. The variable
    /// `SERENO_LOG` overrides it. Default `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".into() }
    }
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For humans on a terminal, else JSON.
    Auto,
    /// For humans.
    Human,
    /// One JSON object per line.
    Json,
}

/// A configuration that can be started.
#[derive(Debug)]
pub struct Loaded {
    /// With every path resolved.
    pub config: Config,
    /// The inputs it asks for.
    pub inputs: Vec<InputInstance>,
    /// The sinks it asks for.
    pub sinks: Vec<SinkInstance>,
    /// The log of notifications; `None` for its default place in the storage directory.
    pub notification_log: Option<PathBuf>,
}

/// Reads a configuration file and builds its plugins. Starts nothing.
///
/// # Errors
/// Every mistake that can be told at once, each with its place and a hint.
pub fn load(disk: &dyn Disk, path: &Path, registry: &Registry) -> Result<Loaded, Vec<Diagnostic>> {
    let bytes = disk.read(path).map_err(|error| {
        let message = format!("failed to read the configuration: {error}");
        vec![Diagnostic::error(path, message).hint("name an existing file with `--config FILE`")]
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| vec![Diagnostic::error(path, "the configuration is not UTF-8 text")])?;
    let document = yaml::parse::<Option<Config>>(path, &text, Options::with_environment())?;
    let mut config = document.value.clone().unwrap_or_default();
    let mut found = check_counts(&document, &config.server);
    let (inputs, sinks) =
        (registry.inputs(&config.plugins, &document), registry.sinks(&config.plugins, &document));
    let (inputs, sinks) = match (inputs, sinks) {
        (Ok(inputs), Ok(sinks)) if found.is_empty() => (inputs, sinks),
        (inputs, sinks) => {
            found.extend(inputs.err().into_iter().chain(sinks.err()).flatten());
            return Err(found);
        }
    };
    let notification_log = resolve_paths(&mut config, path.parent().unwrap_or(Path::new("")));
    if let Some(file) = &config.server.token_file
        && let Err(error) = v2::check_tokens(disk, file)
    {
        let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
        let place = [Step::Key("server"), Step::Key("token_file")];
        return Err(vec![document.error(&place, format!("{error}{why}"))]);
    }
    Ok(Loaded { config, inputs, sinks, notification_log })
}

fn check_counts(document: &yaml::Document<Option<Config>>, server: &Listen) -> Vec<Diagnostic> {
    let counts = [
        ("connections_max", server.connections_max),
        ("dispatchers", server.dispatchers),
        ("session_handlers", server.session_handlers),
        ("in_flight_requests_max", server.in_flight_requests_max),
        ("dictionary_len_max", server.dictionary_len_max as usize),
        ("metric_handlers", server.metric_handlers),
        ("query_handlers", server.query_handlers),
        ("query_workers", server.query_workers),
        ("query_threads", server.query_threads),
        ("monitor_handlers", server.monitor_handlers),
    ];
    let zero = counts.into_iter().filter(|(_, count)| *count == 0);
    let at = |key, message: String| document.error(&[Step::Key("server"), Step::Key(key)], message);
    let mut found: Vec<_> =
        zero.map(|(key, _)| at(key, format!("`{key}` is 0, but must be at least 1"))).collect();
    if server.memory_max < MEMORY_MIN {
        found.push(at("memory_max", "`memory_max` is too small, but must be at least `32MiB`".into()));
    }
    found
}

/// Makes relative paths relative to the folder of the file; gives the log of notifications, if one is named.
fn resolve_paths(config: &mut Config, folder: &Path) -> Option<PathBuf> {
    let in_folder = |path: &mut PathBuf| *path = folder.join(&*path);
    in_folder(&mut config.storage.directory);
    config.server.token_file.iter_mut().for_each(in_folder);
    config.rules.paths.iter_mut().for_each(in_folder);
    config.rules.scripts.iter_mut().for_each(in_folder);
    config.delivery.log_file.as_ref().map(|path| folder.join(path))
}

#[cfg(test)]
mod tests {
    use sereno_runtime::RealDisk;

    use super::*;

    fn read(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
        load(&RealDisk, path, &crate::builtin_plugins())
    }

    #[test]
    fn the_shipped_file_equals_the_defaults() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/server.yaml");
        let Loaded { config, inputs, notification_log, .. } = read(&shipped).expect("it loads");
        let mut defaults = Config::default();
        resolve_paths(&mut defaults, shipped.parent().expect("a folder"));
        assert_eq!(config.server, defaults.server);
        assert_eq!(config.storage, defaults.storage);
        assert_eq!(config.scripts, defaults.scripts);
        assert_eq!(config.rules, defaults.rules);
        assert_eq!(config.delivery, defaults.delivery);
        assert_eq!(config.log, defaults.log);
        assert_eq!(notification_log, None);
        assert_eq!(inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["host/main"]);
    }

    #[test]
    fn every_key_is_explained() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        let text =
            |name| String::from_utf8(RealDisk.read(&folder.join(name)).expect("the file")).expect("text");
        let (shipped, explained) = (text("server.yaml"), text("README.md"));
        let keys =
            shipped.lines().filter_map(|line| line.trim_start().trim_start_matches("# ").split_once(": "));
        let keys =
            keys.map(|(key, _)| key).filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let missing: Vec<_> = keys.filter(|key| !explained.contains(&format!("`{key}`"))).collect();
        assert_eq!(missing, [""; 0], "keys of server.yaml that config/README.md does not explain");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server.yaml");
        let errors = |text: &str| {
            sereno_runtime::disk::replace(&RealDisk, &path, text.as_bytes()).expect("written");
            let found = read(&path).expect_err("refused");
            found
                .iter()
                .map(|d| format!("{}:{} {}", d.line, d.column, d.message))
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert!(errors("server:\n  lisen: 127.0.0.1:1\n").starts_with("2:3 unknown"));
        assert!(errors("log:\n  level: info\n  level: warn\n").contains("3:3"));
        assert!(
            errors("server:\n  dispatchers: 0\n").ends_with("`dispatchers` is 0, but must be at least 1")
        );
        assert!(errors("server:\n  memory_max: 1MiB\n").starts_with("2:"));
        assert!(errors("server:\n  token_file: none\n").starts_with("2:15 failed to read the tokens"));
        assert!(errors("storage:\n  sync_interval: 200\n").contains("2:"));
        assert!(
            errors("server: { listen: '${SERENO_NO_SUCH_VARIABLE}' }\n").contains("SERENO_NO_SUCH_VARIABLE")
        );
    }
}
