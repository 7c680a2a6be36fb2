//! JSON Schemas (draft 7) of rule files and of the tests of rules, for editors: completion, texts, and the mistakes that
//! can be seen without knowing scripts, expressions and the other rules. What the schema refuses the server refuses too,
//! and what the server takes the schema takes: tests hold both against each other.
//!
//! Not here: what the keys mean together (`compile`).

mod rules;
#[cfg(test)]
mod tests;
mod trials;

use serde_json::{Value, json};
#[cfg(test)]
pub(crate) use tests::refusals_of_rules;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
/// A number with its unit, or several: `1h30m`. What the units are is for the server to say.
const DURATION: &str = r"^\s*(0\s+)*(0|([0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+\s*)+)$";

/// The schema of rule files.
#[must_use]
pub fn rules() -> String {
    printed(&rules::schema())
}

/// The schema of tests of rules (`*_test.yaml`).
#[must_use]
pub fn tests() -> String {
    printed(&trials::schema())
}

fn printed(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// A key with its text.
fn key(schema: Value, text: &str) -> Value {
    // Beside a `$ref` nothing else is looked at.
    let mut schema = if schema.get("$ref").is_some() { json!({ "allOf": [schema] }) } else { schema };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), text.into());
    }
    schema
}

/// What is used in many places, by its name.
fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn definitions() -> Value {
    json!({
        "duration": { "anyOf": [{ "type": "string", "pattern": DURATION }, { "const": 0 }] },
        // A text, or what YAML reads instead of one where it looks like a number or a truth value.
        "scalar": { "type": ["string", "number", "boolean"] },
        "labels": map_of(shared("scalar")),
        "conditions": map_of(json!({
            "anyOf": [shared("scalar"), { "type": "array", "minItems": 1, "items": shared("scalar") }],
        })),
        "level": one_of(&["info", "warn", "crit", "warning", "critical"]),
        "mode": one_of(&["live", "shadow", "off"]),
        "limit": { "type": ["string", "number"] },
        "levels": rules::levels(),
        "input": block(rules::reads()),
        "rule": rules::rule(),
    })
}

/// A block that has these keys and no other.
fn block(keys: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": keys })
}

fn map_of(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn list_of(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "enum": words })
}
