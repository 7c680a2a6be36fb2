//! One generation of rules and scripts, and the one way to make one: start, reload and the offline check all call
//! [`load`], so what is accepted offline is accepted by the server.
//!
//! Invariants:
//! * a generation never changes; an evaluation keeps the one it began with;
//! * a rule that is broken now and was good before stays as it was, flagged stale, and the rest advances: no mistake
//!   in a file turns off an alert;
//! * the same files give the same generation, whatever the order in which they are found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sereno_runtime::Clock;
use sereno_runtime::diagnostic::Diagnostic;
use sereno_script::{Library, Limits, Source};

use crate::compile::compile;
use crate::file::{self, Entry, Located};
use crate::files::{Content, Files};
use crate::rule::{Condition, Rule};

/// What is active: rules, scripts, and what is wrong with them.
#[derive(Debug)]
pub struct Generation {
    /// Rises by one with every change that takes effect; the first is 1.
    pub number: u64,
    /// The rules by their ids.
    pub rules: BTreeMap<Arc<str>, Arc<Rule>>,
    /// The scripts.
    pub library: Library,
    /// The rules whose newest version, or whose script's, is broken, and which go on with the one before.
    pub stale: BTreeSet<Arc<str>>,
    /// What is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    pub(crate) files: Files,
}

/// What scripts are compiled with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
}

impl Generation {
    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Makes a generation of files. What is broken in them is taken from `previous`, where it was good.
pub(crate) fn load(files: Files, host: &Host, previous: Option<&Generation>) -> Generation {
    let mut found = Vec::new();
    let sources = sources(&files, previous, &mut found);
    let before = previous.map(|previous| &previous.library);
    let (library, mut script_findings) = Library::load(&sources, &host.limits, &host.clock, before);
    found.append(&mut script_findings);
    let mut builder =
        Builder { library: &library, previous, rules: BTreeMap::new(), broken: Broken::default(), found };
    for (path, content) in &files.rules {
        builder.file(path, content);
    }
    let Builder { mut rules, broken, mut found, .. } = builder;
    let mut stale = keep_last_good(&mut rules, &broken, previous);
    stale.extend(rules_on_stale_scripts(&rules, &library));
    found.extend(missing(&files));
    found.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
    let number = previous.map_or(1, |previous| previous.number + 1);
    Generation { number, rules, library, stale, diagnostics: found, files }
}

/// The scripts to compile. One that cannot be read counts as unchanged.
fn sources(files: &Files, previous: Option<&Generation>, found: &mut Vec<Diagnostic>) -> Vec<Source> {
    let mut sources = Vec::new();
    for (path, script) in &files.scripts {
        let text = match &script.content {
            Ok(text) => Some(text),
            Err(why) => {
                found.push(Diagnostic::error(&script.display, why.clone()));
                let before = previous.and_then(|previous| previous.files.scripts.get(path));
                before.and_then(|script| script.content.as_ref().ok())
            }
        };
        sources.extend(text.map(|text| Source {
            path: path.clone(),
            display: script.display.clone(),
            text: text.clone(),
        }));
    }
    sources
}

/// What could not be read.
#[derive(Default)]
struct Broken {
    ids: BTreeSet<Arc<str>>,
    /// Files with a rule whose id is not known, which may have been any that the file defined before.
    paths: BTreeSet<PathBuf>,
}

struct Builder<'a> {
    library: &'a Library,
    previous: Option<&'a Generation>,
    rules: BTreeMap<Arc<str>, Arc<Rule>>,
    broken: Broken,
    found: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn file(&mut self, path: &Path, content: &Content) {
        let text = match content {
            Ok(text) => text,
            Err(why) => {
                self.found.push(Diagnostic::error(path, why.clone()));
                self.broken.paths.insert(path.to_owned());
                return;
            }
        };
        let mut file = file::parse(path, text);
        self.found.append(&mut file.found);
        let Some(entries) = file.entries else {
            self.broken.paths.insert(path.to_owned());
            return;
        };
        for entry in entries {
            match entry {
                Entry::Good(written) => self.rule(path, &written),
                Entry::Broken(id) => self.broken(path, id.as_deref()),
            }
        }
    }

    fn rule(&mut self, path: &Path, written: &Located) {
        match compile(written, self.library, &mut self.found) {
            Some(rule) => self.add(rule, written),
            None => self.broken(path, written.written.id.as_deref()),
        }
    }

    /// The first of two rules of one id stands.
    fn add(&mut self, rule: Rule, written: &Located) {
        match self.rules.get(&rule.id) {
            Some(first) => {
                let error = written.error(
                    &[sereno_runtime::yaml::Step::Key("id")],
                    format!("rule `{}` is defined twice", rule.id),
                );
                let place = format!("{}:{}", first.path.display(), first.line);
                self.found
                    .push(error.hint(format!("the first one is at {place} and stays; rename this one")));
            }
            None => {
                self.rules.insert(rule.id.clone(), Arc::new(rule));
            }
        }
    }

    fn broken(&mut self, path: &Path, id: Option<&str>) {
        let known = |id: &&str| self.previous.is_some_and(|previous| previous.rules.contains_key(*id));
        match id.filter(known) {
            Some(id) => self.broken.ids.insert(id.into()),
            None => self.broken.paths.insert(path.to_owned()),
        };
    }
}

/// Puts back what was good before and is broken now. Gives the ids.
fn keep_last_good(
    rules: &mut BTreeMap<Arc<str>, Arc<Rule>>,
    broken: &Broken,
    previous: Option<&Generation>,
) -> BTreeSet<Arc<str>> {
    let mut kept = BTreeSet::new();
    for (id, rule) in previous.iter().flat_map(|previous| &previous.rules) {
        let lost = broken.ids.contains(id) || broken.paths.contains(&rule.path);
        if lost && !rules.contains_key(id) {
            rules.insert(id.clone(), rule.clone());
            kept.insert(id.clone());
        }
    }
    kept
}

fn rules_on_stale_scripts(rules: &BTreeMap<Arc<str>, Arc<Rule>>, library: &Library) -> BTreeSet<Arc<str>> {
    let stale: BTreeSet<&str> = library.stale().collect();
    let uses_stale = |rule: &Rule| {
        let script = match &rule.condition {
            Condition::Script { name, .. } => stale.contains(format!("rules/{name}").as_str()),
            Condition::Threshold { .. } => false,
        };
        script
            || rule
                .value()
                .is_some_and(|value| stale.contains(format!("aggregations/{}.rhai", value.agg).as_str()))
    };
    rules.iter().filter(|(_, rule)| uses_stale(rule)).map(|(id, _)| id.clone()).collect()
}

fn missing(files: &Files) -> Vec<Diagnostic> {
    let missing = files.missing.iter().map(|path| {
        Diagnostic::warning(path, "the path does not exist").hint("it is read as soon as it appears")
    });
    let unreadable = files
        .unreadable
        .iter()
        .map(|(path, why)| Diagnostic::error(path, format!("cannot be listed: {why}")));
    missing.chain(unreadable).collect()
}

#[cfg(test)]
mod tests {
    use sereno_runtime::SystemClock;

    use super::*;
    use crate::files::Script;

    fn host() -> Host {
        Host { limits: Limits::default(), clock: Arc::new(SystemClock::new()) }
    }

    fn files(texts: &[(&str, &str)]) -> Files {
        let mut files = Files::default();
        for (path, text) in texts {
            let content = Ok(Arc::from(*text));
            match path.strip_prefix("scripts/") {
                Some(place) => {
                    files.scripts.insert(place.into(), Script { display: path.into(), content });
                }
                None => {
                    files.rules.insert(path.into(), content);
                }
            }
        }
        files
    }

    /// What is said about one rule file.
    fn check(text: &str) -> String {
        let script = ("scripts/rules/odd.rhai", "fn check(s) { s.value > 4.0 }");
        let generation = load(files(&[("a.yaml", text), script]), &host(), None);
        let found: Vec<String> = generation.diagnostics.iter().map(ToString::to_string).collect();
        found.join("\n\n")
    }

    fn ids(generation: &Generation) -> String {
        let ids: Vec<String> = generation
            .rules
            .keys()
            .map(|id| format!("{id}{}", if generation.stale.contains(id) { " (stale)" } else { "" }))
            .collect();
        ids.join(", ")
    }

    const FOO: &str = "rules:\n  - { id: foo, metric: foo, agg: mean, window: 15s, limit: 10 }\n";

    #[test]
    fn good_files_give_no_findings() {
        assert_eq!(check(FOO), "");
        assert_eq!(check(""), "");
        assert_eq!(
            check(
                "defaults: { every: 10s, by: [host], where: { env: [prod, \"~stag.*\"], code: 503 } }\n\
                 rules:\n\
                 \x20 - { id: late, metric: \"job.*\", agg: max, window: 1h, limit: 26h, level: warning, message: \"${labels.host}\" }\n\
                 \x20 - { id: full, metric: disk.free, agg: min, window: 1m, below: 10GiB, else: 0, mode: off }\n\
                 \x20 - { id: odd, metric: m, script: odd.rhai, agg: mean, params: { a: 1 }, message: \"${params.a}\" }\n"
            ),
            ""
        );
    }

    #[test]
    fn mistakes_in_a_rule_show_their_line_and_what_to_do() {
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: maen, window: 15s, lmit: 10 }\n"), @"
        error: unknown key `lmit`
         --> a.yaml:2:49
          |
        2 |   - { id: a, metric: m, agg: maen, window: 15s, lmit: 10 }
          |                                                 ^^^^
          = hint: did you mean `limit`?
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: maen, window: 15s, limit: 10 }\n"), @"
        error: there is no aggregation `maen`
         --> a.yaml:2:30
          |
        2 |   - { id: a, metric: m, agg: maen, window: 15s, limit: 10 }
          |                              ^^^^
          = hint: did you mean `mean`?
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, script: od.rhai }\n"), @"
        error: there is no rule script `od.rhai`
         --> a.yaml:2:33
          |
        2 |   - { id: a, metric: m, script: od.rhai }
          |                                 ^^^^^^^
          = hint: did you mean `odd.rhai`?
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a b, agg: mean, limit: 80%, by: host }\n"), @r#"
        error: the rule has no `metric`
         --> a.yaml:2:5
          |
        2 |   - { id: a b, agg: mean, limit: 80%, by: host }
          |     ^
          = hint: add `metric: …`, the series to read; `*` and `?` stand for any characters

        error: the rule has no `window`
         --> a.yaml:2:5
          |
        2 |   - { id: a b, agg: mean, limit: 80%, by: host }
          |     ^
          = hint: add `window: …`, how far back the aggregation reads

        error: `a b` cannot be an id
         --> a.yaml:2:11
          |
        2 |   - { id: a b, agg: mean, limit: 80%, by: host }
          |           ^^^
          = hint: 1 to 100 of the letters a-z, A-Z, digits, `_`, `.` and `-`

        error: `limit` must be a number, a duration or a size
         --> a.yaml:2:34
          |
        2 |   - { id: a b, agg: mean, limit: 80%, by: host }
          |                                  ^^^
          = hint: write the number alone: `80`

        error: `by` must be a list of label names
         --> a.yaml:2:43
          |
        2 |   - { id: a b, agg: mean, limit: 80%, by: host }
          |                                           ^^^^
          = hint: write `by: [host]`, or `by: "*"` for one instance per series
        "#);
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 15s }\n"), @"
        error: the rule has no `limit`
         --> a.yaml:2:5
          |
        2 |   - { id: a, metric: m, agg: mean, window: 15s }
          |     ^
          = hint: add `limit: …` (fires at or over it), `below: …` (fires under it), or a `script`
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 15, limit: 10 }\n"), @"
        error: `window` must be a duration (a duration needs a unit: `15s`, `15m`, …), not the text `15`
         --> a.yaml:2:44
          |
        2 |   - { id: a, metric: m, agg: mean, window: 15, limit: 10 }
          |                                            ^^
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: mean, window: 100ms, limit: 10 }\n"), @"
        error: 100ms between two ticks is too short
         --> a.yaml:2:44
          |
        2 |   - { id: a, metric: m, agg: mean, window: 100ms, limit: 10 }
          |                                            ^^^^^
          = hint: give `every` at least 250ms
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: last, across: sun, window: 1m, limit: 10 }\n"), @"
        error: `sun` does not join series; `across` is `sum`, `mean`, `min`, `max`, `count` or `pool`
         --> a.yaml:2:44
          |
        2 |   - { id: a, metric: m, agg: last, across: sun, window: 1m, limit: 10 }
          |                                            ^^^
          = hint: leave it out for the usual one
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { code: \"~(\" } }\n"), @r#"
        error: `(` is not a regular expression
         --> a.yaml:2:72
          |
        2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { code: "~(" } }
          |                                                                        ^^^^^
          = hint: unclosed group
        "#);
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { env: !prod } }\n"), @r#"
        error: `!prod` is a YAML tag
         --> a.yaml:2:71
          |
        2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, where: { env: !prod } }
          |                                                                       ^
          = hint: a value that begins with `!` needs quotes: `"!prod"`
        "#);
    }

    #[test]
    fn messages_are_checked_when_they_are_loaded() {
        insta::assert_snapshot!(
            check("rules:\n  - id: a\n    metric: m\n    agg: max\n    window: 1m\n    limit: 1\n    by: [host]\n    message: \"${labels.hots} is ${v}\"\n"),
            @r#"
        error: the rule has no `labels.hots`
         --> a.yaml:8:15
          |
        8 |     message: "${labels.hots} is ${v}"
          |               ^^^^^^^^^^^^^^
          = hint: its instances have the labels of `by`: add `hots` there
        "#
        );
    }

    #[test]
    fn keys_of_other_systems_are_explained() {
        insta::assert_snapshot!(check("groups:\n  - name: x\n"), @"
        error: unknown key `groups`
         --> a.yaml:1:1
          |
        1 | groups:
          | ^^^^^^
          = hint: a file has `rules:` at its top, without groups
        ");
        insta::assert_snapshot!(check("rules:\n  - alert: Foo\n    expr: up == 0\n"), @"
        error: unknown key `alert`
         --> a.yaml:2:5
          |
        2 |   - alert: Foo
          |     ^^^^^
          = hint: the name of a rule is its `id`
        ");
        insta::assert_snapshot!(check("rules:\n  - { id: a, metric: m, agg: max, window: 1m, limit: 1, for: 5m }\n"), @"
        error: unknown key `for`
         --> a.yaml:2:57
          |
        2 |   - { id: a, metric: m, agg: max, window: 1m, limit: 1, for: 5m }
          |                                                         ^^^
          = hint: not available yet: use a longer `window`, or a `script` that counts in `this`
        ");
    }

    #[test]
    fn an_id_belongs_to_one_rule() {
        let generation = load(files(&[("a.yaml", FOO), ("b.yaml", FOO)]), &host(), None);
        assert_eq!(ids(&generation), "foo");
        insta::assert_snapshot!(generation.diagnostics[0], @"
        error: rule `foo` is defined twice
         --> b.yaml:2:11
          |
        2 |   - { id: foo, metric: foo, agg: mean, window: 15s, limit: 10 }
          |           ^^^
          = hint: the first one is at a.yaml:2 and stays; rename this one
        ");
    }

    #[test]
    fn what_breaks_stays_as_it_was_and_the_rest_advances() {
        let bar = "rules:\n  - { id: bar, metric: bar, agg: max, window: 15s, limit: 10 }\n  - { id: baz, metric: b, agg: max, window: 15s, limit: 1 }\n";
        let first = load(files(&[("a.yaml", FOO), ("b.yaml", bar)]), &host(), None);
        assert_eq!(ids(&first), "bar, baz, foo");
        // One rule of a file is broken: its neighbour advances.
        let edited = bar
            .replace("agg: max, window: 15s, limit: 10", "agg: mx, window: 15s, limit: 10")
            .replace("limit: 1 ", "limit: 2 ");
        let second = load(files(&[("a.yaml", FOO), ("b.yaml", &edited)]), &host(), Some(&first));
        assert_eq!(ids(&second), "bar (stale), baz, foo");
        assert!(Arc::ptr_eq(&first.rules["bar"], &second.rules["bar"]));
        assert!(matches!(second.rules["baz"].condition, Condition::Threshold { limit: 2.0, .. }));
        // The whole file is broken: all its rules stay. What is taken out of a good file goes.
        let third = load(files(&[("a.yaml", "rules: []"), ("b.yaml", "rules: [")]), &host(), Some(&second));
        assert_eq!(ids(&third), "bar (stale), baz (stale)");
        let fourth = load(files(&[("b.yaml", bar)]), &host(), Some(&third));
        assert_eq!((ids(&fourth).as_str(), fourth.number), ("bar, baz", 4));
    }

    #[test]
    fn an_id_that_cannot_be_read_loses_no_rule() {
        let first = load(files(&[("a.yaml", FOO)]), &host(), None);
        let second = load(files(&[("a.yaml", &FOO.replace("id:", "ib:"))]), &host(), Some(&first));
        assert_eq!(ids(&second), "foo (stale)");
    }
}
