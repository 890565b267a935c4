//! Defaulting: what is missing is filled, and nulls that may not be go.

use serde_json::Value;

use super::Schema;

/// Drops nulls that are neither allowed nor replaced by a default.
pub(super) fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                let declared = schema
                    .properties
                    .get(name)
                    .or_else(|| schema.additional_schema());
                !declared.is_some_and(|s| value.is_null() && !s.nullable && s.default.is_none())
            });
            for (name, value) in members.iter_mut() {
                let declared = schema
                    .properties
                    .get(name)
                    .or_else(|| schema.additional_schema());
                if let Some(declared) = declared {
                    drop_nulls(declared, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                list.iter_mut().for_each(|value| drop_nulls(items, value));
            }
        }
        _ => {}
    }
}

/// Puts defaults where a value is missing, or null where null isn't allowed.
pub(super) fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, property) in &schema.properties {
                if let Some(default) = &property.default {
                    match members.get_mut(name) {
                        None => {
                            members.insert(name.clone(), default.clone());
                        }
                        Some(value) => replace_null(property, value),
                    }
                }
            }
            for (name, value) in members.iter_mut() {
                if let Some(property) = schema.properties.get(name) {
                    fill(property, value);
                } else if let Some(additional) = schema.additional_schema() {
                    replace_null(additional, value);
                    fill(additional, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                for value in list {
                    replace_null(items, value);
                    fill(items, value);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(schema: &Schema, value: &mut Value) {
    if let Some(default) = schema
        .default
        .as_ref()
        .filter(|_| value.is_null() && !schema.nullable)
    {
        *value = default.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::json;

    fn defaulted(spec_schema: Value, spec: Value) -> Value {
        let raw = json!({"type": "object", "properties": {"spec": spec_schema}});
        let schema = Schema::parse(&raw, &Path::new("s")).unwrap();
        let mut object = json!({"spec": spec});
        schema.default(&mut object);
        object["spec"].clone()
    }

    #[test]
    fn defaults_fill_what_is_missing_and_go_deeper() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "o": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
            "p": {"type": "object", "properties": {"c": {"type": "string", "default": "y"}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "boolean", "default": true}}}},
        }});
        assert_eq!(
            defaulted(schema.clone(), json!({"l": [{}, {"d": false}]})),
            json!({"a": "x", "o": {"b": 3}, "l": [{"d": true}, {"d": false}]})
        );
        assert_eq!(defaulted(schema, json!({"p": {}}))["p"], json!({"c": "y"}));
    }

    #[test]
    fn nulls_become_defaults_or_go_unless_they_are_allowed() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "string"},
            "c": {"type": "string", "nullable": true},
            "d": {"type": "string", "nullable": true, "default": "z"},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        assert_eq!(
            defaulted(
                schema,
                json!({"a": null, "b": null, "c": null, "d": null, "m": {"k": null}, "u": null})
            ),
            json!({"a": "x", "c": null, "d": null, "m": {}, "u": null})
        );
    }
}
