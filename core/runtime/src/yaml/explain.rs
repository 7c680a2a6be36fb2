//! Serde's errors in words for the person who wrote the file.

use serde_path_to_error::Segment;

use super::tree::{Step, Tree};
use crate::diagnostic::{Diagnostic, suggest};

type Error = serde_path_to_error::Error<serde_yaml::Error>;

/// What `error` says about the part of `tree` under `base`.
pub(super) fn explain(tree: &Tree, base: &[Step<'_>], error: &Error) -> Diagnostic {
    let mut path = base.to_vec();
    path.extend(error.path().iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }));
    let message = error.inner().to_string();
    let words =
        |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_key(tree, &path, &words(rest));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let key = words(rest).concat();
        let hint = format!("add `{key}: …`");
        return tree.error(&path, format!("key `{key}` is missing")).hint(hint);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let words = words(rest);
        let (word, known) = words.split_first().map_or(("", &[][..]), |(word, known)| (word.as_str(), known));
        return tree.error(&path, format!("{} cannot be `{word}`", name(&path))).hint(suggest(
            word,
            "possible",
            known.iter().map(String::as_str),
        ));
    }
    let invalid = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match invalid.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            let (found, expected) = (found_in_words(found), expected_in_words(expected));
            tree.error(&path, format!("{} must be {expected}, not {found}", name(&path)))
        }
        None => tree.error(&path, format!("{}: {message}", name(&path))),
    }
}

fn unknown_key(tree: &Tree, path: &[Step<'_>], words: &[String]) -> Diagnostic {
    let Some((key, known)) = words.split_first() else {
        return tree.error(path, "unknown key");
    };
    let block = match path.split_last() {
        Some((Step::Key(last), block)) if last == key => block,
        _ => path,
    };
    let at = [block, &[Step::Key(key)]].concat();
    let hint = match tree.foreign_key(key) {
        Some(advice) => advice.to_owned(),
        None => suggest(key, "known keys", known.iter().map(String::as_str)),
    };
    tree.key_error(&at, format!("unknown key `{key}`")).hint(hint)
}

fn name(path: &[Step<'_>]) -> String {
    match path {
        [.., Step::Key(key)] => format!("`{key}`"),
        [.., Step::Key(key), Step::Index(_)] => format!("an item of `{key}`"),
        [.., Step::Index(_)] => "an item".to_owned(),
        [] => "the file".to_owned(),
    }
}

fn expected_in_words(expected: &str) -> String {
    match expected {
        "f32" | "f64" => "a number".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => "a whole number".into(),
        "a string" => "text".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list".into(),
        "a map" => "a block of keys".into(),
        _ if expected.starts_with("struct ") => "a block of keys".into(),
        _ => expected.into(),
    }
}

fn found_in_words(found: &str) -> String {
    let quoted = |text: &str| text.trim_matches(['"', '`']).to_owned();
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text `{}`", quoted(text)),
        Some(("integer", text)) => format!("the number `{}`", quoted(text)),
        Some(("floating", text)) => format!("the number `{}`", quoted(text.trim_start_matches("point "))),
        Some(("boolean", text)) => format!("`{}`", quoted(text)),
        Some(("unit", _)) => "empty".into(),
        _ => match found {
            "sequence" => "a list".into(),
            "map" => "a block of keys".into(),
            "null" => "empty".into(),
            _ => found.into(),
        },
    }
}
