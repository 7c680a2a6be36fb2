//! One rule file, compiled: what a later generation takes over as it is while nothing that it was made of has changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::yaml::Step;
use sereno_script::Library;

use crate::compile::{Around, compile};
use crate::file::{self, Entry};
use crate::rule::Rule;

/// One rule file, compiled.
#[derive(Debug)]
pub(crate) struct Part {
    /// What it was made of.
    pub text: Arc<str>,
    /// Its good rules, in their order.
    pub rules: Vec<Arc<Rule>>,
    /// Its broken rules, by their ids where these could be read.
    pub broken: Vec<Option<String>>,
    /// Whether it is not a rule file at all.
    pub is_unreadable: bool,
    /// What is wrong.
    pub found: Vec<Diagnostic>,
    /// The aggregations that its rules use, and what they were.
    aggregations: BTreeMap<String, Option<u32>>,
    /// Whether any script may change what comes of it: it has rules with scripts, or something is wrong.
    needs_all_scripts: bool,
}

impl Part {
    pub fn compile(path: &Path, text: &Arc<str>, around: Around<'_>) -> Self {
        let library = around.library;
        let file = file::parse(path, text);
        let mut part = Self {
            text: text.clone(),
            rules: Vec::new(),
            broken: Vec::new(),
            is_unreadable: file.entries.is_none(),
            found: file.found,
            aggregations: BTreeMap::new(),
            needs_all_scripts: false,
        };
        for entry in file.entries.into_iter().flatten() {
            match entry {
                Entry::Good(written) => match compile(&written, around, &mut part.found) {
                    Some(rule) => part.rules.push(Arc::new(rule)),
                    None => part.broken.push(written.written.id.clone()),
                },
                Entry::Broken(id) => part.broken.push(id),
            }
        }
        part.needs_all_scripts =
            !part.found.is_empty() || part.rules.iter().any(|rule| rule.script().is_some());
        for value in part.rules.iter().flat_map(|rule| &rule.inputs).filter_map(|input| input.value.as_ref())
        {
            let place = place_of(&value.agg);
            let crc32 = library.crc32(&place);
            part.aggregations.insert(place, crc32);
        }
        part
    }

    /// Whether it would come out the same with other scripts, these.
    pub fn suits(&self, library: &Library) -> bool {
        !self.needs_all_scripts
            && self.aggregations.iter().all(|(place, crc32)| library.crc32(place) == *crc32)
    }
}

/// Where the script of an aggregation is in the tree of scripts.
pub(crate) fn place_of(aggregation: &str) -> String {
    format!("aggregations/{aggregation}.rhai")
}

/// That `rule` of this file has the id of `first`. Read again to find the place: it happens rarely, and keeping all
/// places would cost more than the rules.
pub(crate) fn defined_twice(rule: &Rule, text: &str, first: &Rule) -> Diagnostic {
    let message = format!("rule `{}` is defined twice", rule.id);
    let entries = file::parse(&rule.path, text).entries.into_iter().flatten();
    let written = entries.filter_map(|entry| match entry {
        Entry::Good(written) => Some(written),
        Entry::Broken(_) => None,
    });
    let error = written
        .filter(|written| written.line() == rule.line)
        .find(|written| written.written.id.as_deref() == Some(&*rule.id))
        .map_or_else(
            || Diagnostic::error(&rule.path, message.clone()).at(text, rule.line, 0, 0),
            |written| written.error(&[Step::Key("id")], message.clone()),
        );
    let place = format!("{}:{}", first.path.display(), first.line);
    error.hint(format!("the first one is at {place} and stays; rename this one"))
}
