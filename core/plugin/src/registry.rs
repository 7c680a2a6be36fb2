//! Which kinds of plugins a server has: an explicit list, filled by hand, so that what is compiled in can be read in
//! one place and a test can choose a subset.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sereno_runtime::Diagnostic;
use sereno_runtime::diagnostic::suggest;
use sereno_runtime::yaml::{Step, Tree};

use crate::config::Config;
use crate::input::{Input, InputFactory};
use crate::settings::Settings;
use crate::sink::{Sink, SinkFactory};

/// Whether a plugin brings samples in or sends notifications out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It brings samples in.
    Input,
    /// It sends notifications out.
    Sink,
}

impl Role {
    /// `input` or `sink`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Sink => "sink",
        }
    }

    /// The section of the configuration: `inputs` or `sinks`.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Input => "inputs",
            Self::Sink => "sinks",
        }
    }
}

/// One line of the list of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Input or sink.
    pub role: Role,
    /// The word before the `/` of an instance's name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// The kinds of plugins that a server has.
#[derive(Default)]
pub struct Registry {
    inputs: BTreeMap<&'static str, Arc<dyn InputFactory>>,
    sinks: BTreeMap<&'static str, Arc<dyn SinkFactory>>,
    default_inputs: Vec<String>,
}

impl Registry {
    /// Adds a kind of input.
    ///
    /// # Errors
    /// There is one of that name already.
    pub fn add_input(&mut self, factory: impl InputFactory + 'static) -> Result<(), DuplicateKind> {
        let kind = factory.kind();
        match self.inputs.insert(kind, Arc::new(factory)) {
            Some(_) => Err(DuplicateKind { role: Role::Input, kind }),
            None => Ok(()),
        }
    }

    /// Adds a kind of sink.
    ///
    /// # Errors
    /// There is one of that name already.
    pub fn add_sink(&mut self, factory: impl SinkFactory + 'static) -> Result<(), DuplicateKind> {
        let kind = factory.kind();
        match self.sinks.insert(kind, Arc::new(factory)) {
            Some(_) => Err(DuplicateKind { role: Role::Sink, kind }),
            None => Ok(()),
        }
    }

    /// An input that runs, under its default settings, when the configuration has no key `plugins.inputs`.
    pub fn start_by_default(&mut self, instance: &str) {
        self.default_inputs.push(instance.to_owned());
    }

    /// All kinds: inputs, then sinks, each in order of their names.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let inputs = self.inputs.values().map(|f| (Role::Input, f.kind(), f.summary()));
        let sinks = self.sinks.values().map(|f| (Role::Sink, f.kind(), f.summary()));
        inputs.chain(sinks).map(|(role, name, summary)| Kind { role, name, summary }).collect()
    }

    /// The inputs that the section `plugins` of a configuration asks for, or without its key `inputs` those that
    /// start by default. Each is built once to see that it can be. No I/O.
    ///
    /// # Errors
    /// Every mistake, not only the first.
    pub fn inputs(&self, config: &Config, tree: &Tree) -> Result<Vec<InputInstance>, Vec<Diagnostic>> {
        let tree = Arc::new(tree.clone());
        let configured = config.inputs.as_ref().map(|inputs| inputs.keys().collect());
        let names: Vec<&String> = configured.unwrap_or_else(|| self.default_inputs.iter().collect());
        all(names.into_iter().map(|name| {
            let (factory, settings) = find(&self.inputs, Role::Input, name, &tree)?;
            let instance = InputInstance::new(name, settings, factory.clone());
            instance.build().map_err(|error| vec![error])?;
            Ok(instance)
        }))
    }

    /// The sinks that the section `plugins` of a configuration asks for. No I/O.
    ///
    /// # Errors
    /// Every mistake, not only the first.
    pub fn sinks(&self, config: &Config, tree: &Tree) -> Result<Vec<SinkInstance>, Vec<Diagnostic>> {
        let tree = Arc::new(tree.clone());
        all(config.sinks.keys().map(|name| {
            let (factory, settings) = find(&self.sinks, Role::Sink, name, &tree)?;
            let sink = factory.build(&settings).map_err(|error| vec![error])?;
            Ok(SinkInstance { name: name.clone(), sink })
        }))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}

/// An input of the configuration. It can be built again after it failed.
pub struct InputInstance {
    /// `kind/name`.
    pub name: String,
    settings: Settings,
    factory: Arc<dyn InputFactory>,
}

impl InputInstance {
    /// An instance outside any configuration, for tests.
    #[must_use]
    pub fn new(name: &str, settings: Settings, factory: Arc<dyn InputFactory>) -> Self {
        Self { name: name.to_owned(), settings, factory }
    }

    /// Builds it afresh. No I/O.
    ///
    /// # Errors
    /// What is wrong with its settings.
    pub fn build(&self) -> Result<Box<dyn Input>, Diagnostic> {
        self.factory.build(&self.settings)
    }
}

impl fmt::Debug for InputInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputInstance").field("name", &self.name).field("settings", &self.settings).finish()
    }
}

/// A sink of the configuration, built.
pub struct SinkInstance {
    /// `kind/name`.
    pub name: String,
    /// The sink itself.
    pub sink: Box<dyn Sink>,
}

impl fmt::Debug for SinkInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkInstance").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Two plugins of one role claim the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kind `{kind}` is registered twice among the {}", role.section())]
pub struct DuplicateKind {
    /// Input or sink.
    pub role: Role,
    /// The kind.
    pub kind: &'static str,
}

/// The factory of an instance, and its settings.
fn find<'a, F>(
    kinds: &'a BTreeMap<&'static str, F>,
    role: Role,
    instance: &str,
    tree: &Arc<Tree>,
) -> Result<(&'a F, Settings), Vec<Diagnostic>> {
    let at = ["plugins", role.section(), instance];
    let steps = at.map(Step::Key);
    let Some(kind) = kind_of(instance) else {
        let message = format!("`{instance}` does not name an instance");
        let hint = "write `kind/name` with letters, digits, `_` and `-`, for example `host/main`";
        return Err(vec![tree.key_error(&steps, message).hint(hint)]);
    };
    let Some(factory) = kinds.get(kind) else {
        let message = format!("no {} is called `{kind}`", role.as_str());
        let hint = suggest(kind, "this server has", kinds.keys().copied());
        return Err(vec![tree.key_error(&steps, message).hint(hint)]);
    };
    Ok((factory, Settings::at(tree, &at)?))
}

fn kind_of(instance: &str) -> Option<&str> {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    instance.split_once('/').filter(|(kind, name)| is_word(kind) && is_word(name)).map(|(kind, _)| kind)
}

fn all<T>(results: impl Iterator<Item = Result<T, Vec<Diagnostic>>>) -> Result<Vec<T>, Vec<Diagnostic>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(item) => good.push(item),
            Err(found) => bad.extend(found),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sereno_runtime::yaml;

    use super::*;
    use crate::still::StillInput;

    #[derive(serde::Deserialize)]
    struct Whole {
        plugins: Config,
    }

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.add_input(StillInput).unwrap();
        registry.start_by_default("still/main");
        registry
    }

    fn inputs(text: &str) -> String {
        let document = yaml::parse::<Whole>(Path::new("a.yaml"), text, yaml::Options::default()).unwrap();
        match registry().inputs(&document.value.plugins, &document) {
            Ok(instances) => {
                instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>().join(" ")
            }
            Err(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"),
        }
    }

    #[test]
    fn defaults_run_unless_the_configuration_says_which() {
        assert_eq!(inputs("plugins: {}"), "still/main");
        assert_eq!(inputs("plugins: { inputs: {} }"), "");
        assert_eq!(inputs("plugins: { inputs: { still/b: , still/a: {} } }"), "still/a still/b");
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_a_way_out() {
        let text = "\
plugins:
  inputs:
    still: {}
    stil/a: {}
    still/a: { evry: 1s }
    still/b: { every: 0s }
";
        insta::assert_snapshot!(inputs(text), @r"
        error: no input is called `stil`
         --> a.yaml:4:5
          |
        4 |     stil/a: {}
          |     ^^^^^^
          = hint: did you mean `still`?

        error: `still` does not name an instance
         --> a.yaml:3:5
          |
        3 |     still: {}
          |     ^^^^^
          = hint: write `kind/name` with letters, digits, `_` and `-`, for example `host/main`

        error: unknown key `evry`
         --> a.yaml:5:16
          |
        5 |     still/a: { evry: 1s }
          |                ^^^^
          = hint: did you mean `every`?

        error: `every` must be more than 0s
         --> a.yaml:6:23
          |
        6 |     still/b: { every: 0s }
          |                       ^^
        ");
    }

    #[test]
    fn a_kind_is_registered_once() {
        let error = registry().add_input(StillInput).unwrap_err();
        assert_eq!(error.to_string(), "the kind `still` is registered twice among the inputs");
    }
}
