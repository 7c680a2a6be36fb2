//! The script API is documented as a whole, and nothing is documented that is not there.

use std::collections::BTreeSet;

use crate::Limits;
use crate::engine;

const README: &str = include_str!("../../../../scripts/README.md");

/// What stands in code in the first column of the tables.
fn documented() -> BTreeSet<String> {
    let rows = README.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(name_and_arity)
        .collect()
}

/// `w.quantile(q)` as `quantile/2`, `s.value` as `.value`, `ratio(a, b)` as `ratio/2`.
fn name_and_arity(code: &str) -> String {
    let (receiver, rest) = match code.split_once('.') {
        Some((receiver, rest)) if receiver.len() == 1 => (1, rest),
        _ => (0, code),
    };
    match rest.split_once('(') {
        None => format!(".{rest}"),
        Some((name, arguments)) => {
            let arguments = arguments.split(')').next().unwrap_or_default();
            let count = arguments.split(',').filter(|argument| !argument.trim().is_empty()).count();
            format!("{name}/{}", count + receiver)
        }
    }
}

#[test]
fn the_readme_lists_what_there_is() {
    let engine = engine::build(&Limits::default());
    let registered = engine.collect_fn_metadata(
        None,
        |f| Some((f.metadata.name.to_string(), f.metadata.num_params)),
        false,
    );
    let registered: BTreeSet<String> = registered
        .into_iter()
        .filter(|(name, _)| name.starts_with(|c: char| c.is_alphabetic()))
        .filter(|(name, _)| !["sleep", "panic_in_a_test", "to_string", "to_debug"].contains(&name.as_str()))
        .map(|(name, arity)| match name.strip_prefix("get$") {
            Some(property) => format!(".{property}"),
            None => format!("{name}/{arity}"),
        })
        .collect();
    let missing: Vec<_> = registered.difference(&documented()).cloned().collect();
    let invented: Vec<_> = documented().difference(&registered).cloned().collect();
    assert_eq!((missing, invented), (vec![], vec![]), "(not in scripts/README.md, not in the engine)");
}
