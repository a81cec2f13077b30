//! The JSON Schema of the configuration: for editors, for the reference page, and for `shape`.

use super::raw::Config;
use serde_json::Value;

/// The schema as a value.
pub fn config_schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    without_null(&mut schema);
    schema
}

/// An absent key is simply not typed: null is neither a default nor an alternative worth offering.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The schema as it stands in `schemas/config.schema.json`.
pub fn config_schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&config_schema()).expect("a schema is plain JSON");
    text.push('\n');
    text
}
