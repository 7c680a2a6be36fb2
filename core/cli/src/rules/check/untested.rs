//! Rules that no test names: neither their ids nor their files stand in any `*_test.yaml` of the same folders.
//!
//! A look at words, not a run of the tests: what they reach is told by `sereno rules test`. So a rule in a file with a
//! test is taken for tested, and nothing is said against a rule whose test is somewhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sereno_rules::CheckedRule;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_runtime::{Disk as _, RealDisk};

/// How many rules a warning names.
const NAMED_MAX: usize = 5;
/// Folders nested deeper are not looked into; rule files are not found there either.
const DEPTH_MAX: usize = 16;

/// A warning for each file with such rules, at the first of them.
pub(super) fn rules(paths: &[PathBuf], rules: &[CheckedRule]) -> Vec<Diagnostic> {
    let mut words = BTreeSet::new();
    paths.iter().for_each(|path| collect(path, DEPTH_MAX, &mut words));
    let mut untested: BTreeMap<&Path, Vec<&CheckedRule>> = BTreeMap::new();
    let is_named = |rule: &CheckedRule| {
        let file = rule.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        words.contains(&*rule.id) || words.contains(file)
    };
    for rule in rules.iter().filter(|rule| !is_named(rule)) {
        untested.entry(&rule.path).or_default().push(rule);
    }
    untested.into_iter().map(|(path, rules)| warning(path, &rules)).collect()
}

fn warning(path: &Path, rules: &[&CheckedRule]) -> Diagnostic {
    let ids: Vec<String> = rules.iter().take(NAMED_MAX).map(|rule| format!("`{}`", rule.id)).collect();
    let more = rules.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = if rules.len() == 1 { "rule" } else { "rules" };
    let line = rules.iter().map(|rule| rule.line).min().unwrap_or(0);
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("rules");
    let warning = Diagnostic::warning(path, format!("no test names {what} {}{more}", ids.join(", ")));
    let hint =
        format!("write one into `{stem}_test.yaml` beside it; `sereno rules schema tests` tells its form");
    Diagnostic { line, ..warning }.hint(hint)
}

/// The words of all test files at or below a path, and the names of the files that tests stand beside.
fn collect(path: &Path, depth: usize, words: &mut BTreeSet<String>) {
    if let Ok(entries) = RealDisk.list(path) {
        if depth > 0 {
            entries.iter().for_each(|entry| collect(entry, depth - 1, words));
        }
        return;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A file that was named is looked at with the test beside it.
    let stem = [".yaml", ".yml"].into_iter().find_map(|end| name.strip_suffix(end));
    let Some(stem) = stem else { return };
    let (test, of) = match stem.strip_suffix("_test") {
        Some(of) => (path.to_owned(), of),
        None => (path.with_file_name(format!("{stem}_test.yaml")), stem),
    };
    if let Ok(text) = read(&test) {
        words.extend([format!("{of}.yaml"), format!("{of}.yml")]);
        let is_in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let split = text.split(|c: char| !is_in_word(c)).filter(|word| !word.is_empty());
        words.extend(split.map(|word| word.trim_end_matches(':').to_owned()));
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = RealDisk.read(path)?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}
