//! Which server a command talks to, and with which token. Flags win over the environment, the environment over the
//! context in use, and that over the server on this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::file::{self, Contexts, Entry};
use crate::args::{Globals, Server};
use crate::console::Console;
use crate::{Environment, Exit, Failure, parse};

const DEFAULT_ADDRESS: &str = "127.0.0.1:5678";

/// The server that is meant. A token file that others can read is told to the user, and used.
pub(crate) fn resolve(
    globals: &Globals,
    console: &mut Console,
    environment: Environment<'_>,
) -> Result<Server, Failure> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let entry = if let Some(address) = &globals.address {
        Entry::of_address(address)
    } else if let Some(name) = &globals.context {
        named(name, environment)?
    } else if let Some(address) = set("SERENO_SERVER") {
        Entry::of_address(&parse::address(&address).map_err(|why| {
            Failure::new(Exit::Usage, format!("SERENO_SERVER is `{}`: {why}", address.escape_debug()))
        })?)
    } else if let Some(name) = set("SERENO_CONTEXT") {
        named(&name, environment)?
    } else {
        in_use(environment)?.unwrap_or_else(|| Entry::of_address(DEFAULT_ADDRESS))
    };
    let token = match (&globals.token_file, set("SERENO_TOKEN"), entry.token_file) {
        (Some(file), ..) => Some(read_token(file, console)?),
        (None, Some(token), _) => Some(token),
        (None, None, Some(file)) => Some(read_token(&file, console)?),
        (None, None, None) => None,
    };
    Ok(Server { address: entry.server, token, timeout: globals.timeout, retries: globals.retries })
}

fn named(name: &str, environment: Environment<'_>) -> Result<Entry, Failure> {
    Contexts::load(&file::path(environment)?)?.take(name)
}

/// The context in use, if there is one. Who has no home has none.
fn in_use(environment: Environment<'_>) -> Result<Option<Entry>, Failure> {
    let Ok(path) = file::path(environment) else { return Ok(None) };
    let contexts = Contexts::load(&path)?;
    contexts.current.clone().map(|name| contexts.take(&name)).transpose()
}

fn read_token(file: &Path, console: &mut Console) -> Result<String, Failure> {
    let failed = |why: String| {
        Failure::new(Exit::Usage, format!("failed to read the token in `{}`", file.display()))
            .cause(why)
            .hint("the file holds the token that `token_file` of the server's configuration has, and nothing else")
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_control) {
        return Err(failed("it is not one line of text".into()));
    }
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let file = file.display();
        console.say(format_args!("warning: others can read the token in `{file}`; `chmod 600 {file}`"));
    }
    Ok(token.to_owned())
}
