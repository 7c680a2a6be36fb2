//! Why an input gave up.

use std::error::Error;

/// What an input could not do, and why. It ends up in the server's log, so it names the thing: the address, the
/// file, the command.
///
/// ```
/// # use sereno_plugin::PluginError;
/// let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
/// let error = PluginError::caused("failed to bind `0.0.0.0:8125`", source);
/// assert_eq!(error.to_string(), "failed to bind `0.0.0.0:8125`: address in use");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{what}{}", cause(source.as_deref()))]
pub struct PluginError {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PluginError {
    /// A failure without a deeper cause.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// A failure and what caused it.
    #[must_use]
    pub fn caused(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

/// The chain of causes on the same line: the log has one line per failure.
fn cause(source: Option<&(dyn Error + Send + Sync)>) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn Error> = source.map(|source| source as &dyn Error);
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
