//! The file of the contexts: read strictly, replaced as a whole, for its owner alone.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sereno_runtime::yaml;

use crate::{Environment, Exit, Failure, parse};

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    /// The one in use.
    #[serde(default)]
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// `host:port`.
    pub(super) server: String,
    #[serde(default)]
    pub(super) token_file: Option<PathBuf>,
}

impl Entry {
    pub(super) fn of_address(address: &str) -> Self {
        Self { server: address.to_owned(), token_file: None }
    }

    pub(super) fn token_file(&self) -> String {
        self.token_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default()
    }
}

/// Where the file is.
pub(super) fn path(environment: Environment<'_>) -> Result<PathBuf, Failure> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let config = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| Path::new(&home).join(".config"));
    config.or_else(home).map(|config| config.join("sereno/contexts.yaml")).ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_CONFIG_HOME nor HOME says where contexts are kept")
            .hint("set one of them, or name the server with `--server HOST:PORT`")
    })
}

/// A name that needs no quotes, neither in a shell nor in the file.
pub(super) fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !text.is_empty() && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("a name is made of letters, digits, `.`, `_` and `-`".into()),
    }
}

impl Contexts {
    /// No file is no context.
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed("read", path, &error)),
        };
        let broken = |why: String| {
            Failure::new(Exit::Usage, format!("the contexts in `{}` cannot be read", path.display()))
                .cause(why)
                .hint("mend the file or remove it; `--server HOST:PORT` does without it")
        };
        let contexts = yaml::parse::<Self>(path, &text, yaml::Options::default()).map_err(|findings| {
            broken(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        for (name, entry) in &contexts.value.contexts {
            parse::address(&entry.server)
                .map_err(|why| broken(format!("the server of `{name}` is `{}`: {why}", entry.server)))?;
        }
        Ok(contexts.value)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Entry, Failure> {
        self.contexts.get(name).ok_or_else(|| self.unknown(name))
    }

    pub(super) fn take(mut self, name: &str) -> Result<Entry, Failure> {
        self.contexts.remove(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Failure {
        let names: Vec<_> = self.contexts.keys().map(|name| format!("`{name}`")).collect();
        let name = name.escape_debug();
        let failure = Failure::new(Exit::Usage, format!("there is no context `{name}`"));
        match names.is_empty() {
            true => failure.hint(format!("`sereno context add {name} --server HOST:PORT` makes one")),
            false => failure.hint(format!("there is {}", names.join(", "))),
        }
    }

    /// Replaces the file: after a crash the old one is there or the new one.
    pub(super) fn store(&self, path: &Path) -> Result<(), Failure> {
        self.replace(path).map_err(|error| failed("write", path, &error))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server's disk has no private files, and this one is the user's"
    )]
    fn replace(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A name of its own: two commands at once must not write into each other's.
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(self.to_yaml().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    }

    /// Texts are quoted as JSON does it, which YAML reads as well.
    fn to_yaml(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = String::from("# The servers that `sereno context` knows.\n");
        if let Some(current) = &self.current {
            text += &format!("current: {}\n", quoted(current));
        }
        text += if self.contexts.is_empty() { "contexts: {}\n" } else { "contexts:\n" };
        for (name, entry) in &self.contexts {
            text += &format!("  {}:\n    server: {}\n", quoted(name), quoted(&entry.server));
            if entry.token_file.is_some() {
                text += &format!("    token_file: {}\n", quoted(&entry.token_file()));
            }
        }
        text
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("failed to {what} the contexts in `{}`", path.display()))
        .cause(error.to_string())
}
