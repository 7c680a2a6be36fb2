//! Strict YAML, the only place that reads it. What people get wrong silently elsewhere is an error here, with its
//! line and what to do: unknown and duplicate keys, tags (`env: !prod` is a trap), nested bombs, tabs, two documents.
//!
//! A text is read once into a tree that knows where everything stands ([`Tree`]); typed values are taken from the
//! tree or from a part of it, so one broken rule does not hide its neighbours, and checks that come later (does the
//! script exist?) can still point at the line.
//!
//! Numbers and `true`, `false`, `null` are those of YAML 1.2; `on`, `off`, `yes` and `no` are plain text.

mod explain;
mod tree;

use std::ops::Deref;
use std::path::Path;

use serde::de::DeserializeOwned;

pub use tree::{Node, Place, Step, Tree};

use crate::diagnostic::Diagnostic;

/// The largest file that is read.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How a file is read. The default is that of rule files: nothing is expanded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Where `${NAME}` and `${NAME:-default}` in values are looked up (`$$` stands for `$`); `None` leaves them alone.
    pub environment: Option<fn(&str) -> Option<String>>,
    /// Advice for unknown keys that people bring along from elsewhere, as (key, advice).
    pub foreign_keys: &'static [(&'static str, &'static str)],
}

impl Options {
    /// For the server's configuration: `${NAME}` stands for a variable of the process environment.
    #[must_use]
    pub fn with_environment() -> Self {
        Self { environment: Some(|name| std::env::var(name).ok()), ..Self::default() }
    }
}

/// A typed value and the text it came from.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The value.
    pub value: T,
    tree: Tree,
}

impl<T> Deref for Document<T> {
    type Target = Tree;
    fn deref(&self) -> &Tree {
        &self.tree
    }
}

/// Reads a whole file as one value. `path` is for the messages only. Cost: linear in the text.
///
/// # Errors
/// Every finding that keeps the value from being built; at least one.
pub fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    options: Options,
) -> Result<Document<T>, Vec<Diagnostic>> {
    let tree = Tree::parse(path, text, options)?;
    let value = tree.read(&[]).map_err(|diagnostic| vec![diagnostic])?;
    Ok(Document { value, tree })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Config {
        name: String,
        #[serde(default)]
        limit: Option<f64>,
        #[serde(default, with = "crate::units::duration")]
        window: Duration,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        #[serde(default)]
        nested: Vec<Nested>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Nested {
        #[serde(default)]
        port: u16,
        #[serde(default)]
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Live,
        Off,
    }

    fn lookup(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("5678".into()),
            "WHO" => Some("a: b\n# c".into()),
            _ => None,
        }
    }

    fn check(text: &str) -> String {
        let options =
            Options { environment: Some(lookup), foreign_keys: &[("expr", "use `metric` and `agg`")] };
        match parse::<Config>(Path::new("a.yaml"), text, options) {
            Ok(document) => format!("{:?}", document.value),
            Err(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"),
        }
    }

    #[test]
    fn unknown_keys_point_at_themselves() {
        insta::assert_snapshot!(check("name: a\nnested:\n  - mode: off\n    prot: 1\n"), @r"
        error: unknown key `prot`
         --> a.yaml:4:5
          |
        4 |     prot: 1
          |     ^^^^
          = hint: did you mean `port`?
        ");
        insta::assert_snapshot!(check("name: a\nexpr: up == 0\n"), @r"
        error: unknown key `expr`
         --> a.yaml:2:1
          |
        2 | expr: up == 0
          | ^^^^
          = hint: use `metric` and `agg`
        ");
        insta::assert_snapshot!(check("name: a\nzebra: 1\n"), @r"
        error: unknown key `zebra`
         --> a.yaml:2:1
          |
        2 | zebra: 1
          | ^^^^^
          = hint: known keys: `name`, `limit`, `window`, `labels`, `nested`
        ");
    }

    #[test]
    fn wrong_values_say_what_is_wanted() {
        insta::assert_snapshot!(check("name: a\nlimit: high\n"), @r"
        error: `limit` must be a number, not the text `high`
         --> a.yaml:2:8
          |
        2 | limit: high
          |        ^^^^
        ");
        insta::assert_snapshot!(check("name: a\nwindow: 15\n"), @r"
        error: `window` must be a duration (a duration needs a unit: `15s`, `15m`, …), not the text `15`
         --> a.yaml:2:9
          |
        2 | window: 15
          |         ^^
        ");
        insta::assert_snapshot!(check("name: a\nnested: [{ mode: offf }]\n"), @r"
        error: `mode` cannot be `offf`
         --> a.yaml:2:18
          |
        2 | nested: [{ mode: offf }]
          |                  ^^^^
          = hint: did you mean `off`?
        ");
        insta::assert_snapshot!(check("name: a\nnested: [{ port: 70000 }]\n"), @r"
        error: `port` must be a whole number, not the number `70000`
         --> a.yaml:2:18
          |
        2 | nested: [{ port: 70000 }]
          |                  ^^^^^
        ");
        insta::assert_snapshot!(check("limit: 1\n"), @r"
        error: key `name` is missing
         --> a.yaml:1:1
          |
        1 | limit: 1
          | ^
          = hint: add `name: …`
        ");
        insta::assert_snapshot!(check("name: [a]\n"), @r"
        error: `name` must be text, not a list
         --> a.yaml:1:7
          |
        1 | name: [a]
          |       ^
        ");
        insta::assert_snapshot!(check(""), @r"
        error: key `name` is missing
         --> a.yaml
          = hint: add `name: …`
        ");
    }

    #[test]
    fn traps_are_closed() {
        insta::assert_snapshot!(check("name: a\nlimit: 1\nlimit: 2\nlabels: { a: b, a: c }\n"), @r"
        error: key `limit` is given twice
         --> a.yaml:3:1
          |
        3 | limit: 2
          | ^^^^^
          = hint: the first one is on line 2; remove one of them

        error: key `a` is given twice
         --> a.yaml:4:17
          |
        4 | labels: { a: b, a: c }
          |                 ^
          = hint: the first one is on line 4; remove one of them
        ");
        insta::assert_snapshot!(check("name: a\nlabels: { env: !prod }\n"), @r#"
        error: `!prod` is a YAML tag
         --> a.yaml:2:16
          |
        2 | labels: { env: !prod }
          |                ^
          = hint: a value that begins with `!` needs quotes: `"!prod"`
        "#);
        insta::assert_snapshot!(check("name: a\nlabels:\n\tenv: b\n"), @r"
        error: a tab indents this line
         --> a.yaml:3:1
          |
        3 |  env: b
          | ^
          = hint: indent with spaces
        ");
        insta::assert_snapshot!(check("name: a\n---\nname: b\n"), @r"
        error: a second document begins here
         --> a.yaml:3:1
          |
        3 | name: b
          | ^
          = hint: one file holds one document; remove the `---`
        ");
        insta::assert_snapshot!(check("name: \"a\nlimit: 2"), @r#"
        error: not YAML: invalid indentation in quoted scalar
         --> a.yaml:1:7
          |
        1 | name: "a
          |       ^
        "#);
        insta::assert_snapshot!(check(&"[".repeat(200)), @r"
        error: nested deeper than 64 levels
         --> a.yaml:1:66
          |
        1 | [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
          |                                                                  ^
        ");
    }

    #[test]
    fn anchors_may_be_used_but_not_multiplied() {
        insta::assert_snapshot!(check("name: &n a\nlabels: { copy: *n }\n"), @r#"Config { name: "a", limit: None, window: 0ns, labels: {"copy": "a"}, nested: [] }"#);
        insta::assert_snapshot!(check("name: a\nnested:\n  - &x { port: 1 }\n  - <<: *x\n"), @r"
        error: `<<` merges blocks in other programs, not here
         --> a.yaml:4:5
          |
        4 |   - <<: *x
          |     ^^
          = hint: write the keys out; rule files have `defaults:` for what all rules share
        ");
        let mut bomb = String::from("name: a\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        insta::assert_snapshot!(check(&bomb).lines().next().unwrap(), @"error: the file has more than 200000 values");
    }

    #[test]
    fn the_environment_fills_values_and_nothing_else() {
        insta::assert_snapshot!(
            check("name: \"${WHO}\"\nlabels: { a: \"$${PORT}\", b: \"${NONE:-x y}\" }\nnested:\n  - port: ${PORT}\n"),
            @r#"Config { name: "a: b\n# c", limit: None, window: 0ns, labels: {"a": "${PORT}", "b": "x y"}, nested: [Nested { port: 5678, mode: None }] }"#
        );
        insta::assert_snapshot!(check("name: ${NONE}\n"), @r"
        error: the environment variable `NONE` is not set
         --> a.yaml:1:7
          |
        1 | name: ${NONE}
          |       ^^^^^^^
          = hint: set the variable, or give a default: `${NAME:-default}`
        ");
        insta::assert_snapshot!(check("name: ${NONE\n"), @r"
        error: `${` is not closed by `}`
         --> a.yaml:1:7
          |
        1 | name: ${NONE
          |       ^^^^^^
          = hint: set the variable, or give a default: `${NAME:-default}`
        ");
    }

    #[test]
    fn scalars_are_those_of_yaml_1_2() {
        let read = |text: &str| {
            format!(
                "{:?}",
                parse::<serde_yaml::Value>(Path::new("a"), text, Options::default()).unwrap().value
            )
        };
        assert_eq!(
            read("[1, -2, 0x10, 1.5, 1e3, .inf, ~, true, on, 007, 1.2.3, '5', inf]"),
            "Sequence [Number(1), Number(-2), Number(16), Number(1.5), Number(1000.0), Number(.inf), Null, Bool(true), \
             String(\"on\"), String(\"007\"), String(\"1.2.3\"), String(\"5\"), String(\"inf\")]"
        );
    }

    #[test]
    fn later_checks_find_their_line() {
        let document = parse::<serde_yaml::Value>(
            Path::new("a.yaml"),
            "rules:\n  - { id: a, agg: maen }\n",
            Options::default(),
        )
        .unwrap();
        let path = [Step::Key("rules"), Step::Index(0), Step::Key("agg")];
        assert_eq!(document.at(&path), Place { line: 2, column: 19, length: 4 });
        insta::assert_snapshot!(document.error(&path, "unknown aggregation `maen`").hint("did you mean `mean`?"), @r"
        error: unknown aggregation `maen`
         --> a.yaml:2:19
          |
        2 |   - { id: a, agg: maen }
          |                   ^^^^
          = hint: did you mean `mean`?
        ");
    }
}
