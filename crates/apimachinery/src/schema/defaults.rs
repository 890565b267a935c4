//! Checks of the defaults that a schema declares.

use serde_json::Value;

use super::{Schema, embedded, lists, prune, validate};
use crate::field::{ErrorList, FieldError, Path};

/// Brings the metadata of embedded objects inside defaults to the form in which it is stored, as in any object.
/// Defaults inside a default are not filled here: filling goes on below a default that has been put in.
pub(super) fn normalise(schema: &mut Schema) {
    if let Some(mut default) = schema.default.take() {
        // An error is reported by the check that follows.
        let _ = embedded::coerce(schema, &mut default);
        schema.default = Some(default);
    }
    schema.properties.values_mut().for_each(normalise);
    if let Some(super::Additional::Schema(additional)) = &mut schema.additional {
        normalise(additional);
    }
    if let Some(items) = &mut schema.items {
        normalise(items);
    }
}

/// What is wrong with the defaults of a schema.
pub(super) fn check(schema: &Schema, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, path, &mut errors);
    errors
}

fn node(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(default) = &schema.default {
        one(schema, default, &path.child("default"), errors);
    }
    if let Some(items) = &schema.items {
        node(items, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        node(property, &properties.key(name), errors);
    }
    if let Some(additional) = schema.additional_schema() {
        node(additional, &path.child("additionalProperties"), errors);
    }
}

fn one(schema: &Schema, default: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut pruned = default.clone();
    prune::value(schema, &mut pruned);
    if pruned != *default {
        errors.push(FieldError::invalid(
            path,
            default.clone(),
            "must not have unknown fields",
        ));
    }
    // What filling puts below the default counts as part of it.
    let mut filled = default.clone();
    super::default::fill(schema, &mut filled);
    errors.append(validate::value(schema, &filled, path));
    errors.append(embedded::validate_at(schema, &filled, path));
    errors.append(lists::validate_at(schema, &filled, path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(x: Value) -> Vec<String> {
        let raw = json!({"type": "object", "properties": {"x": x}});
        match Schema::parse(&raw, &Path::new("s")) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn defaults_must_be_valid_and_declared() {
        assert!(errors(json!({"type": "string", "default": "a"})).is_empty());
        assert_eq!(
            errors(json!({"type": "string", "default": 3})),
            [
                "s.properties[x].default: Invalid value: \"integer\": s.properties[x].default in body must be of type string: \"integer\""
            ]
        );
        assert_eq!(
            errors(json!({"type": "object", "default": {"y": 1}})),
            ["s.properties[x].default: Invalid value: {\"y\":1}: must not have unknown fields"]
        );
        assert!(
            errors(json!({"type": "string", "enum": ["a"], "default": "b"}))[0]
                .contains("Unsupported value: \"b\"")
        );
    }

    #[test]
    fn metadata_has_no_defaults() {
        let raw = json!({"type": "object", "properties": {"metadata": {
            "type": "object", "properties": {"name": {"type": "string", "default": "a"}},
        }}});
        let errors = Schema::parse(&raw, &Path::new("s")).unwrap_err();
        assert!(
            errors.to_string().contains(
                "s.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata"
            ),
            "{errors}"
        );
    }
}
