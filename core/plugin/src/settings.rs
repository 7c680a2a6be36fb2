//! The settings of one plugin instance, as they stand in the configuration.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sereno_runtime::Diagnostic;
use sereno_runtime::yaml::{Options, Step, Tree};

/// The settings of one instance: read, but not yet understood, for only the plugin knows their type. They remember
/// where they stand, so that whatever is wrong with them points at its line.
#[derive(Clone, Debug)]
pub struct Settings {
    tree: Arc<Tree>,
    at: Vec<String>,
}

impl Settings {
    /// The part of a document under the keys `at`. A key without a value (`host/main:`) means all defaults.
    pub(crate) fn at(tree: &Arc<Tree>, at: &[&str]) -> Result<Self, Vec<Diagnostic>> {
        let settings = Self { tree: tree.clone(), at: at.iter().map(|key| (*key).to_owned()).collect() };
        match tree.value(&settings.steps(None)) {
            Some(value) if !value.is_null() => Ok(settings),
            _ => Self::parse_as(tree.path(), "{}"),
        }
    }

    /// Settings written as YAML, for tests: `"every: 5s"`, `"{}"`.
    ///
    /// # Errors
    /// It is not YAML.
    pub fn parse(yaml: &str) -> Result<Self, Vec<Diagnostic>> {
        Self::parse_as(Path::new("settings"), yaml)
    }

    fn parse_as(path: &Path, yaml: &str) -> Result<Self, Vec<Diagnostic>> {
        let tree = Tree::parse(path, yaml, Options::default())?;
        Ok(Self { tree: Arc::new(tree), at: Vec::new() })
    }

    /// Reads them as the plugin's own type, which should `deny_unknown_fields` and have defaults.
    ///
    /// # Errors
    /// What does not fit, at its line, with the nearest known key where a key is unknown.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        self.tree.read(&self.steps(None))
    }

    /// An error about the value of a key: ``settings.error("every", "`every` must be at least 1s")``.
    #[must_use]
    pub fn error(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        self.tree.error(&self.steps(Some(key)), message)
    }

    fn steps<'a>(&'a self, key: Option<&'a str>) -> Vec<Step<'a>> {
        self.at.iter().map(String::as_str).chain(key).map(Step::Key).collect()
    }
}
