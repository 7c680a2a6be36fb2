//! The reference of all that a script may call: what the engine has registered, with the words of `scripts/README.md`.
//!
//! The engine decides what there is; a test sees to it that the page says neither more nor less.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use rhai::{Array, Engine, FLOAT, INT, ImmutableString, Map};

use crate::lint::Type;

const README: &str = include_str!("../../../scripts/README.md");
/// The section of what comes with the language.
const LANGUAGE: &str = "Of the language";

/// A function, method or property.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionDoc {
    /// Where it belongs: a heading of `scripts/README.md`.
    pub section: String,
    /// What it is asked of, for methods and properties: `Window`, `Instance`, …
    pub receiver: Option<String>,
    /// Its name.
    pub name: String,
    /// How it is written: `w.quantile(q)`.
    pub signature: String,
    /// What it gives, and what it takes for an error.
    pub doc: String,
}

/// What tells one function from another: what it is asked of, its name, and how many arguments it takes besides;
/// `None` for a property.
type Key = (Option<Type>, String, Option<usize>);

/// Everything, in the order of the page, then what comes with the language.
pub(crate) fn reference(engine: &Engine) -> Vec<FunctionDoc> {
    let there = registered(engine);
    let mut told = BTreeSet::new();
    let mut docs = Vec::new();
    for row in rows() {
        let Some(key) = key_of(&row.code).filter(|key| there.contains(key)) else { continue };
        docs.push(FunctionDoc {
            section: row.section,
            receiver: key.0.map(|receiver| receiver.as_name().to_owned()),
            name: key.1.clone(),
            signature: row.code,
            doc: row.doc,
        });
        told.insert(key);
    }
    docs.extend(there.difference(&told).map(|(receiver, name, _)| FunctionDoc {
        section: String::new(),
        receiver: receiver.map(|receiver| receiver.as_name().to_owned()),
        name: name.clone(),
        signature: name.clone(),
        doc: String::new(),
    }));
    docs.extend(of_the_language(engine));
    docs
}

/// A row of a table of the page.
struct TableRow {
    section: String,
    code: String,
    doc: String,
}

fn rows() -> Vec<TableRow> {
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in README.lines() {
        if line.starts_with('#') {
            section = line.trim_start_matches('#').trim().replace('`', "");
        }
        let Some((code, doc)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else {
            continue;
        };
        let doc = doc.trim_end_matches('|').trim().to_owned();
        rows.push(TableRow { section: section.clone(), code: code.to_owned(), doc });
    }
    rows
}

/// `w.quantile(q)` is `quantile` of a window with one argument, `s.value` a property.
fn key_of(code: &str) -> Option<Key> {
    let path = code.split('(').next()?;
    let (receiver, name) = match path.split_once('.') {
        Some((letter, name)) => (Some(Type::ALL.into_iter().find(|kind| kind.letter() == letter)?), name),
        None => (None, path),
    };
    let arguments = code.split_once('(').map(|(_, arguments)| arguments.trim_end_matches(')'));
    let count = |arguments: &str| arguments.split(',').filter(|argument| !argument.trim().is_empty()).count();
    Some((receiver, name.to_owned(), arguments.map(count)))
}

/// What the engine has besides what comes with the language.
fn registered(engine: &Engine) -> BTreeSet<Key> {
    let all = engine.collect_fn_metadata(
        None,
        |f| Some((f.metadata.name.to_string(), f.metadata.param_types.to_vec())),
        false,
    );
    all.into_iter().filter(|(name, _)| is_public(name)).map(|(name, types)| key(&name, &types)).collect()
}

fn is_public(name: &str) -> bool {
    let hidden = ["sleep", "panic_in_a_test", "to_string", "to_debug"];
    name.starts_with(char::is_alphabetic) && !hidden.contains(&name)
}

fn key(name: &str, types: &[TypeId]) -> Key {
    let receiver = types.first().and_then(|first| Type::ALL.into_iter().find(|kind| kind.id() == *first));
    match name.strip_prefix("get$") {
        Some(property) => (receiver, property.to_owned(), None),
        None => (receiver, name.to_owned(), Some(types.len() - usize::from(receiver.is_some()))),
    }
}

/// What comes with the language, once for each name and number of arguments of each kind of value.
fn of_the_language(engine: &Engine) -> Vec<FunctionDoc> {
    let describe = |f: rhai::FuncInfo<'_>| {
        let comments: Vec<String> = f.metadata.comments.iter().map(ToString::to_string).collect();
        let infos = f.metadata.params_info.iter().take(f.metadata.num_params);
        let names: Vec<String> =
            infos.map(|info| info.split(':').next().unwrap_or("_").trim().to_owned()).collect();
        Some((f.metadata.name.to_string(), f.metadata.param_types.to_vec(), names, comments.join("\n")))
    };
    let ours = registered(engine);
    let mut docs: BTreeMap<(String, Option<&str>, usize), FunctionDoc> = BTreeMap::new();
    for (name, types, names, comments) in engine.collect_fn_metadata(None, describe, true) {
        let is_ours = ours.contains(&key(&name, &types));
        if is_ours || !name.starts_with(char::is_alphabetic) || name.contains('$') || name == "sleep" {
            continue;
        }
        let receiver = types.first().and_then(|first| value_name(*first));
        let doc = FunctionDoc {
            section: LANGUAGE.to_owned(),
            receiver: receiver.map(str::to_owned),
            name: name.clone(),
            signature: format!("{name}({})", names.join(", ")),
            doc: first_sentence(&comments),
        };
        let entry = docs.entry((name, receiver, types.len())).or_insert_with(|| doc.clone());
        if entry.doc.is_empty() {
            *entry = doc;
        }
    }
    docs.into_values().collect()
}

/// What a value of the language is called.
fn value_name(kind: TypeId) -> Option<&'static str> {
    let names = [
        (TypeId::of::<INT>(), "number"),
        (TypeId::of::<FLOAT>(), "number"),
        (TypeId::of::<ImmutableString>(), "text"),
        (TypeId::of::<char>(), "text"),
        (TypeId::of::<Array>(), "array"),
        (TypeId::of::<Map>(), "map"),
    ];
    names.into_iter().find(|(id, _)| *id == kind).map(|(_, name)| name)
}

/// Of a comment with its slashes.
fn first_sentence(comments: &str) -> String {
    let lines = comments.lines().map(|line| line.trim_start_matches('/').trim());
    let paragraph: Vec<&str> =
        lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    let text = paragraph.join(" ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What the page tells of, and what there is.
    pub(crate) fn told_and_there(engine: &Engine) -> (BTreeSet<String>, BTreeSet<String>) {
        let show = |(receiver, name, arguments): Key| {
            let receiver = receiver.map_or_else(String::new, |receiver| format!("{}.", receiver.letter()));
            format!("{receiver}{name}{}", arguments.map_or_else(String::new, |count| format!("/{count}")))
        };
        let told = rows().into_iter().map(|row| key_of(&row.code).map_or(row.code, show));
        (told.collect(), registered(engine).into_iter().map(show).collect())
    }
}
