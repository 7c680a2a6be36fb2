//! A rule file as it is written: which keys there are, and where each stands. What the values mean together
//! (does the aggregation exist?) is checked in `compile`.
//!
//! One broken rule does not hide its neighbours: each is read on its own, and a file that is not YAML at all is told
//! apart from one with a few bad rules.

pub(crate) mod keys;
mod written;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::yaml::{Options, Step, Tree};

pub(crate) use written::{
    AbsentWritten, AggWritten, ExpectWritten, InputWritten, LevelWritten, ModeWritten, OnErrorWritten,
    OverrideWritten, SuppressedWritten, ThenWritten, WhileWritten, Written,
};

/// A rule as it is written, and where each of its keys stands.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub written: Written,
    tree: Arc<Tree>,
    index: usize,
}

/// One rule of a file.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Its keys could be read.
    Good(Box<Located>),
    /// They could not; the id, where at least that could be.
    Broken(Option<String>),
}

/// What one file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleFile {
    /// Its rules, in their order; `None` if the file cannot be read as a rule file at all.
    pub entries: Option<Vec<Entry>>,
    /// What is wrong.
    pub found: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Top {
    defaults: Option<Value>,
    rules: Option<Vec<Value>>,
}

/// Reads a rule file.
pub(crate) fn parse(path: &Path, text: &str) -> RuleFile {
    let options = Options { environment: None, foreign_keys: keys::FOREIGN };
    match Tree::parse(path, text, options) {
        Ok(tree) => parse_tree(&Arc::new(tree)),
        Err(found) => RuleFile { entries: None, found: found.into_iter().map(advised).collect() },
    }
}

fn parse_tree(tree: &Arc<Tree>) -> RuleFile {
    let empty = tree.value(&[]).is_none_or(Value::is_null);
    let top = match read::<Top>(tree, &[]) {
        _ if empty => Top::default(),
        Ok(top) => top,
        Err(error) => return RuleFile { entries: None, found: vec![error] },
    };
    let defaults = match top.defaults {
        Some(_) => match read_defaults(tree) {
            Ok(defaults) => defaults,
            Err(error) => return RuleFile { entries: None, found: vec![error] },
        },
        None => Written::default(),
    };
    let mut found = Vec::new();
    let count = top.rules.map_or(0, |rules| rules.len());
    let entries = (0..count).map(|index| entry(tree, index, &defaults, &mut found)).collect();
    RuleFile { entries: Some(entries), found }
}

fn read_defaults(tree: &Tree) -> Result<Written, Diagnostic> {
    let path = [Step::Key("defaults")];
    if let Some(error) = empty_key(tree, &path) {
        return Err(error);
    }
    let defaults: Written = read(tree, &path)?;
    for (key, given) in [("id", &defaults.id), ("renamed_from", &defaults.renamed_from)] {
        if given.is_some() {
            let error = tree.key_error(&[path[0], Step::Key(key)], format!("`defaults` cannot give `{key}`"));
            return Err(error.hint("each rule has its own"));
        }
    }
    Ok(defaults)
}

fn entry(tree: &Arc<Tree>, index: usize, defaults: &Written, found: &mut Vec<Diagnostic>) -> Entry {
    let path = [Step::Key("rules"), Step::Index(index)];
    let id = tree.node(&[path[0], path[1], Step::Key("id")]).and_then(|node| node.text.clone());
    let written = match empty_key(tree, &path) {
        Some(error) => Err(error),
        None => read::<Written>(tree, &path),
    };
    match written {
        Ok(written) => {
            let written = written.or(defaults);
            Entry::Good(Box::new(Located { written, tree: tree.clone(), index }))
        }
        Err(error) => {
            found.push(error);
            Entry::Broken(id)
        }
    }
}

/// A key without a value, which would otherwise count as one that is not there. Parameters may be nothing, and a level
/// about which a script decides needs nothing.
fn empty_key(tree: &Tree, path: &[Step<'_>]) -> Option<Diagnostic> {
    let deeper = |step| [path, &[step]].concat();
    match tree.value(path)? {
        Value::Mapping(keys) => keys.iter().find_map(|(key, value)| {
            let key = key.as_str()?;
            let path = deeper(Step::Key(key));
            match (key, value) {
                ("params", _) => None,
                ("levels", Value::Mapping(levels)) => levels
                    .keys()
                    .filter_map(Value::as_str)
                    .find_map(|level| empty_key(tree, &[&path[..], &[Step::Key(level)]].concat())),
                (_, Value::Null) => {
                    let error = tree.key_error(&path, format!("`{key}` has no value"));
                    let of_rule = matches!(path[..], [Step::Key("rules"), _, _] | [Step::Key("defaults"), _]);
                    Some(match keys::example(key).filter(|_| of_rule) {
                        Some(example) => error.hint(format!("like `{example}`; or remove it")),
                        None => error.hint("give it one, or remove it"),
                    })
                }
                _ => empty_key(tree, &path),
            }
        }),
        Value::Sequence(items) => {
            (0..items.len()).find_map(|index| empty_key(tree, &deeper(Step::Index(index))))
        }
        _ => None,
    }
}

/// The typed value of a part.
fn read<T: DeserializeOwned>(tree: &Tree, path: &[Step<'_>]) -> Result<T, Diagnostic> {
    tree.read(path).map_err(advised)
}

/// The same finding with advice: where it has none, how the key that it names is written.
fn advised(finding: Diagnostic) -> Diagnostic {
    if finding.hint.is_some() {
        return finding;
    }
    let named = finding.message.split('`').nth(1).and_then(keys::example);
    match named {
        Some(example) => finding.hint(format!("like `{example}`")),
        None if finding.message.starts_with("not YAML") => {
            finding.hint("check quotes, colons and indentation on this line and the one before")
        }
        None if finding.message.starts_with("the file must be") => {
            finding.hint("a rule file has `rules:` at its top, and the rules as a list below")
        }
        None => finding
            .hint("a rule is a block of keys, like `{ id: a, metric: m, agg: max, window: 1m, limit: 5 }`"),
    }
}

impl Located {
    /// An error about a key: at its value in the rule, or under `defaults`, or at the rule if it stands nowhere.
    pub fn error(&self, keys: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.tree.error(&self.resolve(keys), message)
    }

    /// The same, as a warning.
    pub fn warning(&self, keys: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.tree.warning(&self.resolve(keys), message)
    }

    /// An error about a key itself, rather than about its value.
    pub fn key_error(&self, keys: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.tree.key_error(&self.resolve(keys), message)
    }

    /// The value of a key as it was written, when it is neither list nor block: `1.10` stays `1.10`.
    pub fn text(&self, keys: &[Step<'_>]) -> Option<&str> {
        self.tree.node(&self.resolve(keys)).and_then(|node| node.text.as_deref())
    }

    /// The typed value of a key.
    pub fn read<T: DeserializeOwned>(&self, keys: &[Step<'_>]) -> Result<T, Diagnostic> {
        read(&self.tree, &self.resolve(keys))
    }

    /// Whether something stands there, in the rule or under the defaults of its file.
    pub fn has(&self, keys: &[Step<'_>]) -> bool {
        self.tree.node(&self.resolve(keys)).is_some()
    }

    /// Whether the rule itself has a key, rather than the defaults of its file.
    pub fn has_own(&self, key: &str) -> bool {
        self.has_own_at(&[Step::Key(key)])
    }

    /// The same, deeper within the rule.
    pub fn has_own_at(&self, keys: &[Step<'_>]) -> bool {
        self.tree.node(&self.own(keys)).is_some()
    }

    /// The line of the rule.
    pub fn line(&self) -> u32 {
        self.tree.at(&self.own(&[])).line
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.tree.path()
    }

    fn own<'a>(&self, keys: &[Step<'a>]) -> Vec<Step<'a>> {
        [&[Step::Key("rules"), Step::Index(self.index)], keys].concat()
    }

    fn resolve<'a>(&self, keys: &[Step<'a>]) -> Vec<Step<'a>> {
        let own = self.own(keys);
        let inherited = [&[Step::Key("defaults")], keys].concat();
        let elsewhere = self.tree.node(&own).is_none() && self.tree.node(&inherited).is_some();
        if elsewhere { inherited } else { own }
    }
}
