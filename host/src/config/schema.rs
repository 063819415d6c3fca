//! The JSON Schema of `services.yaml`, for editors and other tools.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::RawFile;

/// The JSON Schema (draft 2020-12) of `services.yaml`: its keys, what they mean and what
/// they take. Kennel itself checks more than a schema can say.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RawFile>().to_value();
    tighten(&mut schema);
    schema
}

/// Closes every mapping of known keys, and lets `${VAR}` stand for any one word: the
/// generator has no switch for either.
fn tighten(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.remove("format");
            let pattern_free = map.get("pattern").is_some_and(|pattern| pattern == "");
            if pattern_free {
                map.remove("pattern");
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                // The lines are those of the source.
                *text = text.replace('\n', " ");
            }
            for value in map.values_mut() {
                tighten(value);
            }
            if is_typed_word(map) {
                let variable = json!({ "type": "string", "pattern": r"\$\{" });
                let mut outer = serde_json::Map::new();
                for key in ["description", "title", "default"] {
                    if let Some(value) = map.remove(key) {
                        outer.insert(key.to_owned(), value);
                    }
                }
                outer.insert("anyOf".to_owned(), json!([std::mem::take(map), variable]));
                *map = outer;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tighten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a schema is for a number or a truth value. Words with a pattern have the
/// variable in it.
fn is_typed_word(map: &serde_json::Map<String, Value>) -> bool {
    let word = |value: &Value| matches!(value.as_str(), Some("integer" | "number" | "boolean"));
    match map.get("type") {
        Some(Value::Array(types)) => {
            types.iter().any(word) && !types.iter().any(|name| name == "string")
        }
        Some(name) => word(name),
        None => false,
    }
}
