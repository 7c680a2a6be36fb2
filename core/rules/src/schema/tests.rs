//! The schema and the compiler hold each other to what they say.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};
use sereno_runtime::yaml::{Options, Tree};

use crate::compile::wrong::{WRONG, file_of};
use crate::file::keys;

/// As much of draft 7 as the schemas use. Gives where a value is refused, and by which word.
struct Validator<'a> {
    root: &'a Value,
}

/// Words that say something to people only.
const SILENT: [&str; 5] = ["$schema", "title", "description", "definitions", "examples"];

impl Validator<'_> {
    fn refusals(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Some(words) = schema.as_object() else {
            let refused = *schema == Value::Bool(false);
            return refused.then(|| format!("{at}: not allowed")).into_iter().collect();
        };
        words.iter().flat_map(|(word, wanted)| self.word(word, wanted, words, value, at)).collect()
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        self.refusals(schema, value, "").is_empty()
    }

    fn word(
        &self,
        word: &str,
        wanted: &Value,
        all: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let (object, array) = (value.as_object(), value.as_array());
        let list = || wanted.as_array().unwrap();
        let number = || wanted.as_f64().unwrap();
        let good = match word {
            _ if SILENT.contains(&word) => true,
            "$ref" => {
                return self.refusals(self.root.pointer(&wanted.as_str().unwrap()[1..]).unwrap(), value, at);
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|wanted| is_a(wanted.as_str().unwrap(), value)),
                wanted => is_a(wanted.as_str().unwrap(), value),
            },
            "const" => wanted == value,
            "enum" => list().contains(value),
            "anyOf" => list().iter().any(|schema| self.fits(schema, value)),
            "allOf" => return list().iter().flat_map(|schema| self.refusals(schema, value, at)).collect(),
            "not" => !self.fits(wanted, value),
            "pattern" => {
                value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text))
            }
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as f64 >= number()),
            "minimum" => value.as_f64().is_none_or(|value| value >= number()),
            "maximum" => value.as_f64().is_none_or(|value| value <= number()),
            "minItems" => array.is_none_or(|items| items.len() as f64 >= number()),
            "uniqueItems" => array
                .is_none_or(|items| items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))),
            "minProperties" => object.is_none_or(|keys| keys.len() as f64 >= number()),
            "maxProperties" => object.is_none_or(|keys| keys.len() as f64 <= number()),
            "required" => {
                object.is_none_or(|keys| list().iter().all(|key| keys.contains_key(key.as_str().unwrap())))
            }
            "propertyNames" => {
                object.is_none_or(|keys| keys.keys().all(|key| self.fits(wanted, &key.as_str().into())))
            }
            "items" => {
                let items = array.into_iter().flatten().enumerate();
                return items
                    .flat_map(|(index, item)| self.refusals(wanted, item, &format!("{at}/{index}")))
                    .collect();
            }
            "properties" | "additionalProperties" => {
                let known = all.get("properties").and_then(Value::as_object);
                let entries = object.into_iter().flatten();
                return entries
                    .filter_map(|(key, value)| match (word, known.and_then(|known| known.get(key))) {
                        ("properties", Some(schema)) => Some((key, schema, value)),
                        ("additionalProperties", None) => Some((key, wanted, value)),
                        _ => None,
                    })
                    .flat_map(|(key, schema, value)| self.refusals(schema, value, &format!("{at}/{key}")))
                    .collect();
            }
            other => panic!("the validator does not know `{other}`"),
        };
        if good { Vec::new() } else { vec![format!("{at}: {word}")] }
    }
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("there is no type `{other}`"),
    }
}

/// Where the schema of rule files refuses a text.
pub(crate) fn refusals_of_rules(text: &str) -> Vec<String> {
    refusals(&super::rules(), text).unwrap_or_default()
}

/// Where a schema refuses a text; `None` if it is no YAML in the first place.
fn refusals(schema: &str, text: &str) -> Option<Vec<String>> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let tree = Tree::parse(Path::new("a.yaml"), text, Options::default()).ok()?;
    let value = serde_json::to_value(tree.value(&[])).unwrap();
    Some(Validator { root: &schema }.refusals(&schema, &value, ""))
}

#[test]
fn the_schema_sees_the_mistakes_that_can_be_seen_without_scripts() {
    let schema = super::rules();
    for (keys, seen) in WRONG {
        if let Some(refusals) = refusals(&schema, &file_of(keys)) {
            assert_eq!(!refusals.is_empty(), *seen, "{keys}: {refusals:?}");
        }
    }
}

#[test]
fn every_key_is_in_the_schema_with_a_text() {
    let schema: Value = serde_json::from_str(&super::rules()).unwrap();
    let known = schema.pointer("/definitions/rule/properties").and_then(Value::as_object).unwrap();
    let documented: Vec<&str> = keys::of_rules().collect();
    let mut in_schema: Vec<&str> = known.keys().map(String::as_str).collect();
    let mut documented_sorted = documented.clone();
    documented_sorted.sort_unstable();
    in_schema.sort_unstable();
    assert_eq!(in_schema, documented_sorted);
    for (key, schema) in known {
        assert!(schema["description"].as_str().is_some_and(|text| text.ends_with('.')), "{key}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_shipped_schemas_are_these() {
    for (path, schema) in
        [("config/rules.schema.json", super::rules()), ("config/rules_test.schema.json", super::tests())]
    {
        assert!(shipped(path) == schema, "{path} is out of date: write it anew with `sereno rules schema`");
    }
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => yaml_files(&path, found),
            path if path.extension().is_some_and(|extension| extension == "yaml") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn shipped_files_name_their_schema_and_keep_to_it() {
    let mut files = Vec::new();
    for folder in ["config/rules", "config/examples", "scripts", "core/rules/tests/stories"] {
        yaml_files(&root().join(folder), &mut files);
    }
    assert!(files.len() >= 2);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let of_tests = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("_test"));
        let (schema, name) = match of_tests {
            true => (super::tests(), "config/rules_test.schema.json"),
            false => (super::rules(), "config/rules.schema.json"),
        };
        assert_eq!(refusals(&schema, &text), Some(Vec::new()), "{}", path.display());
        // Stories of the engine are not shipped.
        if path.starts_with(root().join("core")) {
            continue;
        }
        let named =
            text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let named = named.unwrap_or_else(|| panic!("{} does not name its schema", path.display()));
        let named = path.parent().unwrap().join(named).canonicalize().unwrap();
        assert_eq!(named, root().join(name).canonicalize().unwrap(), "{}", path.display());
    }
}

#[test]
fn a_test_file_has_its_own_schema() {
    let told = |text: &str| refusals(&super::tests(), text).unwrap();
    let good = "tests:\n\
                \x20 - name: fires\n\
                \x20   rules: [ { id: a, metric: m, agg: max, window: 1m, limit: 5 } ]\n\
                \x20   series: { m: 97x12 _x6, n: [ { for: 2m, every: 10s, v: 97 }, { at: 5m, v: 1 } ] }\n\
                \x20   steps: [ { at: 50s, reload: b.yaml }, { at: 90s, restart: true, for: 3m }, { at: 2m, late: { m: { 60s: 12 } } } ]\n\
                \x20   expect: [ { at: 60s..70s, kind: firing, level: crit, instance: { host: a }, value: 97, message: \"~load\" } ]\n\
                \x20   never: [ closed, { kind: firing, level: warn } ]\n\
                \x20   sinks: { pager: [ { kind: firing, at: 130s } ] }\n\
                \x20   health: { a: ok }\n\
                aggregations:\n\
                \x20 - { name: apdex, params: { satisfied: 0.3 }, window: 1m, every: 1s, samples: 0.1x58 2, expect: { score: 0.99 } }\n";
    assert_eq!(told(good), Vec::<String>::new());
    assert_eq!(told("tests: [ { name: a, expct: [] } ]").len(), 2, "an unknown key, and nothing expected");
    assert_eq!(told("tests: [ { name: a, expect: [ { kind: fired } ] } ]"), ["/tests/0/expect/0/kind: enum"]);
}
