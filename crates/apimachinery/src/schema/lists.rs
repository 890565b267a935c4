//! Uniqueness in lists of type `set` and `map`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Additional, ListType, Schema};
use crate::field::{ErrorList, FieldError, Path};

/// Repeated elements in the lists of an object.
pub(super) fn validate(schema: &Schema, object: &Value) -> ErrorList {
    validate_at(schema, object, &Path::ROOT)
}

/// Repeated elements in the lists of a value that stands at a path.
pub(super) fn validate_at(schema: &Schema, value: &Value, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, value, path, &mut errors);
    errors
}

fn node(schema: &Schema, value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(property), _) => node(property, value, &path.child(name), errors),
                    (None, Some(Additional::Schema(additional))) => {
                        node(additional, value, &path.key(name), errors);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            match schema.list_type {
                Some(ListType::Set) => {
                    for index in repeated(list.iter().map(ToString::to_string)) {
                        errors.push(FieldError::duplicate(
                            &path.index(index),
                            list[index].clone(),
                        ));
                    }
                }
                Some(ListType::Map) => list_map(schema, list, path, errors),
                _ => {}
            }
            if let Some(items) = &schema.items {
                for (index, value) in list.iter().enumerate() {
                    node(items, value, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn list_map(schema: &Schema, list: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(index) = list
        .iter()
        .position(|value| !value.is_object() && !value.is_null())
    {
        errors.push(FieldError::invalid(
            &path.index(index),
            list[index].clone(),
            "must be an object for an array of list-type map",
        ));
        return;
    }
    let keys: Vec<Value> = list
        .iter()
        .map(|value| {
            let keys: Map<String, Value> = schema
                .list_map_keys
                .iter()
                .filter_map(|key| Some((key.clone(), value.get(key)?.clone())))
                .collect();
            Value::Object(keys)
        })
        .collect();
    for index in repeated(keys.iter().map(ToString::to_string)) {
        errors.push(FieldError::duplicate(
            &path.index(index),
            keys[index].clone(),
        ));
    }
}

/// The indices at which something occurs for the second time.
fn repeated(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut indices = Vec::new();
    for (index, text) in texts.enumerate() {
        let times = seen.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            indices.push(index);
        }
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(x: Value, value: Value) -> Vec<String> {
        let raw = json!({"type": "object", "properties": {"x": x}});
        let schema = Schema::parse(&raw, &Path::new("s")).unwrap();
        schema
            .validate(&json!({"x": value}), None)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn sets_have_no_repeated_elements() {
        let set =
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
        assert!(check(set.clone(), json!(["a", "b"])).is_empty());
        assert_eq!(
            check(set, json!(["a", "b", "a", "a"])),
            ["x[2]: Duplicate value: \"a\""]
        );
    }

    #[test]
    fn list_maps_have_no_repeated_keys() {
        let map = json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
            "items": {"type": "object", "required": ["k", "p"], "properties": {
                "k": {"type": "string"}, "p": {"type": "integer"}, "v": {"type": "string"},
            }},
        });
        assert!(check(map.clone(), json!([{"k": "a", "p": 1}, {"k": "a", "p": 2}])).is_empty());
        assert_eq!(
            check(
                map,
                json!([{"k": "a", "p": 1, "v": "x"}, {"k": "a", "p": 1, "v": "y"}])
            ),
            ["x[1]: Duplicate value: {\"k\":\"a\",\"p\":1}"]
        );
    }
}
