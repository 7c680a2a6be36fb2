//! Rules that stand in a test itself, as the text of a rule file whose lines are those of the test file: so what is
//! wrong in them is found by the one compiler there is, and pointed at where it stands.

use serde_yaml::{Mapping, Value};
use sereno_runtime::yaml::{Options, Step, Tree};

/// The text of a rule file with the rules at `at`. What cannot be cut out of the text, like rules in a block of one
/// line, is written anew, and then its lines say nothing.
pub(super) fn inline_rules(tree: &Tree, text: &str, at: &[Step<'_>], rules: &[Value]) -> String {
    let cut = cut_out(tree, text, at);
    let says_the_same = |cut: &String| {
        let read = Tree::parse(tree.path(), cut, Options::default()).ok();
        read.is_some_and(|read| {
            read.value(&[Step::Key("rules")]).and_then(Value::as_sequence).is_some_and(|read| read == rules)
        })
    };
    cut.filter(says_the_same).unwrap_or_else(|| written_anew(rules))
}

/// The lines of the key's value, all others empty.
fn cut_out(tree: &Tree, text: &str, at: &[Step<'_>]) -> Option<String> {
    let key = tree.node(at)?.key?;
    let column = key.column.checked_sub(1)? as usize;
    let mut cut = "\n".repeat(key.line.checked_sub(1)? as usize);
    let mut lines = text.lines().skip(key.line as usize - 1);
    let first = lines.next()?;
    let before: String = first.chars().take(column).collect();
    // `- rules:` begins an item of a list; nothing else may stand before the key.
    if !before.chars().all(|c| c == ' ' || c == '-') {
        return None;
    }
    let rest: String = first.chars().skip(column).collect();
    let (_, value) = rest.split_once(':')?;
    cut.push_str(&format!("{}rules:{value}\n", " ".repeat(column)));
    let inside = |line: &&str| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        line.trim().is_empty() || indent > column || (indent == column && line[indent..].starts_with("- "))
    };
    for line in lines.take_while(inside) {
        cut.push_str(line);
        cut.push('\n');
    }
    Some(cut)
}

fn written_anew(rules: &[Value]) -> String {
    let mut top = Mapping::new();
    top.insert("rules".into(), Value::Sequence(rules.to_vec()));
    // A value that was read from YAML can be written as YAML.
    serde_yaml::to_string(&top).unwrap_or_default()
}
