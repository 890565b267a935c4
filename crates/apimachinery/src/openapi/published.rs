//! Declared schemas as they are published.

use serde_json::{Map, Value};

use super::components::Dialect;

/// Keywords that OpenAPI v2 understands, or whose readers do.
const V2_KEYWORDS: [&str; 29] = [
    "additionalProperties",
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];

/// Keywords that only OpenAPI v3 has.
const V3_KEYWORDS: [&str; 7] = [
    "allOf",
    "anyOf",
    "default",
    "not",
    "nullable",
    "oneOf",
    "x-kubernetes-validations",
];

/// Copies a declared schema, without what the dialect doesn't know. Embedded objects get `metadata` as theirs.
pub(super) fn schema(declared: &Value, dialect: Dialect, metadata: &Value) -> Value {
    let Some(declared) = declared.as_object() else {
        return declared.clone();
    };
    let says = |key: &str| declared.get(key) == Some(&Value::Bool(true));
    let mut published = Map::new();
    for (key, value) in declared {
        let known = V2_KEYWORDS.contains(&key.as_str())
            || (dialect == Dialect::V3 && V3_KEYWORDS.contains(&key.as_str()));
        if !known || value.is_null() {
            continue;
        }
        let value = match key.as_str() {
            "properties" => each(value, dialect, metadata),
            "items" | "additionalProperties" | "not" => schema(value, dialect, metadata),
            "allOf" | "anyOf" | "oneOf" => value
                .as_array()
                .map(|list| {
                    list.iter()
                        .map(|nested| schema(nested, dialect, metadata))
                        .collect()
                })
                .unwrap_or_default(),
            _ => value.clone(),
        };
        published.insert(key.clone(), value);
    }
    if dialect == Dialect::V2 {
        // Readers of v2 take a type literally, so a value that may have another one has none.
        if says("nullable") || says("x-kubernetes-int-or-string") {
            published.remove("type");
        }
        if says("nullable") {
            published.remove("properties");
            published.remove("items");
        }
    }
    if says("x-kubernetes-embedded-resource") {
        let properties = published
            .entry("properties")
            .or_insert_with(|| Value::Object(Map::new()));
        for key in ["apiVersion", "kind"] {
            if properties.get(key).is_none() {
                properties[key] = serde_json::json!({"type": "string"});
            }
        }
        properties["metadata"] = metadata.clone();
    }
    Value::Object(published)
}

fn each(properties: &Value, dialect: Dialect, metadata: &Value) -> Value {
    let published: Map<String, Value> = properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, declared)| (name.clone(), schema(declared, dialect, metadata)))
        .collect();
    Value::Object(published)
}
