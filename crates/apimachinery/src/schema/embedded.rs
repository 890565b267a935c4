//! Objects inside objects (`x-kubernetes-embedded-resource`): they have an apiVersion, a kind and metadata.

use serde_json::Value;

use super::{Additional, Schema};
use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::GroupVersion;
use crate::json::coerce_metadata;
use crate::meta::Object;
use crate::metadata_rules::validate_embedded;
use crate::names;

/// Checks and normalises the metadata of every embedded object.
pub(super) fn coerce(schema: &Schema, value: &mut Value) -> Result<Vec<String>, FieldError> {
    let mut unknown = Vec::new();
    coerce_node(schema, value, &Path::ROOT, &mut unknown)?;
    Ok(unknown)
}

fn coerce_node(
    schema: &Schema,
    value: &mut Value,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let child = path.child(name);
                if schema.embedded_resource {
                    match name.as_str() {
                        "apiVersion" | "kind" if !value.is_string() => {
                            return Err(FieldError::invalid(
                                &child,
                                value.clone(),
                                "must be a string",
                            ));
                        }
                        "metadata" => unknown.extend(coerce_metadata(value, &child)?),
                        _ => {}
                    }
                }
                match (schema.properties.get(name), &schema.additional) {
                    (Some(property), _) => coerce_node(property, value, &child, unknown)?,
                    (None, Some(Additional::Schema(additional))) => {
                        coerce_node(additional, value, &child, unknown)?;
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                for (index, value) in list.iter_mut().enumerate() {
                    coerce_node(items, value, &path.index(index), unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// What is wrong with the embedded objects of an object.
pub(super) fn validate(schema: &Schema, object: &Value) -> ErrorList {
    validate_at(schema, object, &Path::ROOT)
}

/// What is wrong with the embedded objects of a value that stands at a path.
pub(super) fn validate_at(schema: &Schema, value: &Value, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, value, path, &mut errors);
    errors
}

fn node(schema: &Schema, value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match value {
        Value::Object(members) => {
            if schema.embedded_resource {
                one(value, path, errors);
            }
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
            if let Some(items) = &schema.items {
                for (index, value) in list.iter().enumerate() {
                    node(items, value, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn one(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for member in ["apiVersion", "kind"] {
        let path = path.child(member);
        match value.get(member) {
            None => errors.push(FieldError::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&path, "", "must not be empty"));
            }
            Some(Value::String(text)) if member == "apiVersion" => {
                if let Err(error) = GroupVersion::parse(text) {
                    errors.push(FieldError::invalid(&path, text.as_str(), error.to_string()));
                }
            }
            Some(Value::String(kind)) => {
                let messages = names::dns1035_label(&kind.to_lowercase());
                if !messages.is_empty() {
                    errors.push(FieldError::invalid(
                        &path,
                        kind.as_str(),
                        format!(
                            "may have mixed case, but should otherwise match: {}",
                            messages.join(",")
                        ),
                    ));
                }
            }
            Some(other) => {
                errors.push(FieldError::invalid(
                    &path,
                    other.clone(),
                    "must be a string",
                ));
            }
        }
    }
    if let Ok(object) = Object::try_from(value.clone()) {
        errors.append(validate_embedded(&object, &path.child("metadata")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        let raw = json!({"type": "object", "properties": {"e": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
        }}});
        Schema::parse(&raw, &Path::new("s")).unwrap()
    }

    #[test]
    fn embedded_objects_say_what_they_are() {
        let errors = schema().validate(&json!({"e": {}}), None).to_string();
        assert_eq!(
            errors,
            "[e.apiVersion: Required value, e.kind: Required value]"
        );
        let errors = schema()
            .validate(&json!({"e": {"apiVersion": "a/b/c", "kind": "a_b"}}), None)
            .to_string();
        assert!(errors.contains(
            "e.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"
        ));
        assert!(errors.contains("e.kind: Invalid value: \"a_b\": may have mixed case"));
        let good = json!({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}});
        assert!(schema().validate(&good, None).is_empty());
    }

    #[test]
    fn their_metadata_is_normalised() {
        let mut object = json!({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": null, "x": 1}}});
        let unknown = schema().coerce(&mut object).unwrap();
        assert_eq!(unknown, ["unknown field \"e.metadata.x\""]);
        assert_eq!(object["e"]["metadata"], json!({}));
        let error = schema()
            .coerce(&mut json!({"e": {"metadata": {"name": 1}}}))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "e.metadata.name: Invalid value: 1: must be a string"
        );
    }
}
