//! The JSON schema of a line. What derives itself stands at the types; here are the forms that are written by hand there as well.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{At, Content, Ending, Line};

impl Line<'_> {
    /// The schema of a line from elsewhere.
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Line<'static>).to_value();
        // One of the two says how the run ended.
        schema["anyOf"] = serde_json::json!([{ "required": ["exit"] }, { "required": ["outcome"] }]);
        schema
    }
}

/// Text, or an object with one key for bytes that are none.
fn text_or(key: &str, meaning: &str) -> Schema {
    json_schema!({
        "description": meaning,
        "oneOf": [
            { "type": "string" },
            { "type": "object", "properties": { key: { "type": "string" } }, "required": [key], "additionalProperties": false }
        ]
    })
}

impl JsonSchema for Content {
    fn schema_name() -> Cow<'static, str> {
        "Content".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        text_or("base64", "text, or bytes in base64")
    }
}

/// How an argument is written.
pub(super) fn argument(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": text_or("hex", "text, or bytes as hexadecimal digits") })
}

impl JsonSchema for At {
    fn schema_name() -> Cow<'static, str> {
        "At".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }] })
    }
}

impl JsonSchema for Ending {
    fn schema_name() -> Cow<'static, str> {
        "Ending".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, kind: &str| serde_json::json!({ "type": "object", "properties": { key: { "type": kind } }, "required": [key], "additionalProperties": false });
        json_schema!({
            "oneOf": [
                { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
                { "const": "timed_out" },
                one("signal", "integer"),
                one("not_started", "string")
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let error = Line::parse(r#"{"tool":"a","at":0,"exit":0,"?":1}"#).expect_err("an unknown key").to_string();
        let (_, known) = error.split_once("expected one of ").expect("names the known ones");
        let mut known: Vec<&str> = known.split(", ").map(|key| key.trim_matches('`')).collect();
        known.sort_unstable();
        let schema = Line::schema();
        let keys: Vec<&str> = schema["properties"].as_object().expect("keys").keys().map(String::as_str).collect();
        assert_eq!(keys, known);
        assert_eq!(schema["required"], serde_json::json!(["tool", "at"]));
        assert_eq!(schema["additionalProperties"], false);
        for (key, value) in schema["properties"].as_object().expect("keys") {
            assert!(value["description"].is_string(), "`{key}` is not described");
        }
    }
}
