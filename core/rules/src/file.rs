//! A rule file as it is written: which keys there are, and where each stands. What the values mean together
//! (does the aggregation exist?) is checked in `compile`.
//!
//! One broken rule does not hide its neighbours: each is read on its own, and a file that is not YAML at all is told
//! apart from one with a few bad rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::units;
use sereno_runtime::yaml::{Options, Step, Tree};

/// Keys that people bring along from other systems, and what to write instead.
const FOREIGN_KEYS: &[(&str, &str)] = &[
    ("alert", "the name of a rule is its `id`"),
    ("name", "the name of a rule is its `id`"),
    ("expr", "write `metric`, `where`, `by`, `agg` and `window`, with `limit` or `below`; or a `script`"),
    ("query", "write `metric`, `where`, `by`, `agg` and `window`, with `limit` or `below`; or a `script`"),
    ("for", "not available yet: use a longer `window`, or a `script` that counts in `this`"),
    ("keep_firing_for", "not available yet: use a longer `window`, or a `script` that counts in `this`"),
    ("annotations", "write one text: `message: \"${labels.host}: ${fmt(v, 1)}\"`"),
    ("labels", "which series are meant is said by `where`, what tells instances apart by `by`"),
    ("severity", "write `level: info`, `warn` or `crit`"),
    ("interval", "how often a rule is evaluated is its `every`"),
    ("groups", "a file has `rules:` at its top, without groups"),
    ("threshold", "write `limit` (at least) or `below` (less than)"),
];

/// A rule as it is written. Every key may also stand under the file's `defaults:`, but for `id`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    pub id: Option<String>,
    pub metric: Option<String>,
    pub r#where: Option<BTreeMap<String, Value>>,
    pub by: Option<Value>,
    pub agg: Option<String>,
    pub across: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub window: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub every: Option<Duration>,
    pub limit: Option<Value>,
    pub below: Option<Value>,
    pub level: Option<String>,
    pub r#else: Option<f64>,
    pub script: Option<String>,
    pub params: Option<BTreeMap<String, Value>>,
    pub message: Option<String>,
    #[serde(deserialize_with = "some_duration")]
    pub reminder: Option<Duration>,
    pub mode: Option<Mode>,
}

/// Whether a rule is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Live,
    Off,
}

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
    let options = Options { environment: None, foreign_keys: FOREIGN_KEYS };
    match Tree::parse(path, text, options) {
        Ok(tree) => parse_tree(&Arc::new(tree)),
        Err(found) => RuleFile { entries: None, found },
    }
}

fn parse_tree(tree: &Arc<Tree>) -> RuleFile {
    let empty = tree.value(&[]).is_none_or(Value::is_null);
    let top = match tree.read::<Top>(&[]) {
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
    let defaults: Written = tree.read(&path)?;
    match defaults.id {
        Some(_) => {
            let error = tree.key_error(&[path[0], Step::Key("id")], "`defaults` cannot give an `id`");
            Err(error.hint("each rule has its own"))
        }
        None => Ok(defaults),
    }
}

fn entry(tree: &Arc<Tree>, index: usize, defaults: &Written, found: &mut Vec<Diagnostic>) -> Entry {
    let path = [Step::Key("rules"), Step::Index(index)];
    let id = tree.node(&[path[0], path[1], Step::Key("id")]).and_then(|node| node.text.clone());
    match tree.read::<Written>(&path) {
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

impl Written {
    /// What the rule does not say itself is what the defaults say.
    fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            id: self.id,
            metric: self.metric.or(defaults.metric),
            r#where: self.r#where.or(defaults.r#where),
            by: self.by.or(defaults.by),
            agg: self.agg.or(defaults.agg),
            across: self.across.or(defaults.across),
            window: self.window.or(defaults.window),
            every: self.every.or(defaults.every),
            limit: self.limit.or(defaults.limit),
            below: self.below.or(defaults.below),
            level: self.level.or(defaults.level),
            r#else: self.r#else.or(defaults.r#else),
            script: self.script.or(defaults.script),
            params: self.params.or(defaults.params),
            message: self.message.or(defaults.message),
            reminder: self.reminder.or(defaults.reminder),
            mode: self.mode.or(defaults.mode),
        }
    }
}

impl Located {
    /// An error about a key: at its value in the rule, or under `defaults`, or at the rule if it stands nowhere.
    pub fn error(&self, keys: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.tree.error(&self.resolve(keys), message)
    }

    /// The value of a key as it was written, when it is neither list nor block: `1.10` stays `1.10`.
    pub fn text(&self, keys: &[Step<'_>]) -> Option<&str> {
        self.tree.node(&self.resolve(keys)).and_then(|node| node.text.as_deref())
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
        let key = keys.first().map(std::slice::from_ref).unwrap_or_default();
        let elsewhere = self.tree.node(&self.own(key)).is_none() && self.tree.node(&inherited).is_some();
        if elsewhere { inherited } else { own }
    }
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    units::duration::deserialize(deserializer).map(Some)
}
