//! Structurality: every value has a known schema, and logic only restricts values.

use super::{Additional, JsonType, Junctors, Schema};
use crate::field::{ErrorList, FieldError, Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps a schema from being structural, sorted by text.
pub(super) fn check(schema: &Schema, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, Level::Root, path, &mut errors);
    completeness(&schema.junctors, schema, path, path, &mut errors);
    let mut sorted: Vec<FieldError> = errors.into_iter().collect();
    sorted.sort_by_cached_key(FieldError::to_string);
    sorted.into_iter().collect()
}

fn type_text(schema: &Schema) -> &'static str {
    schema.json_type.map(JsonType::as_str).unwrap_or_default()
}

fn node(schema: &Schema, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    if schema.json_type == Some(JsonType::Array) && schema.items.is_none() {
        errors.push(FieldError::required(
            &path.child("items"),
            "must be specified",
        ));
    }
    if let Some(items) = &schema.items {
        node(items, Level::Item, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        node(property, Level::Field, &properties.key(name), errors);
    }
    if let Some(additional) = &schema.additional {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&path, "must not be used at the root"));
        }
        if schema.embedded_resource {
            errors.push(FieldError::forbidden(
                &path,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
        if let Additional::Schema(additional) = additional {
            node(additional, Level::Field, &path, errors);
        }
    }
    extensions(schema, path, errors);
    types(schema, level, path, errors);
    metadata(schema, level, path, errors);

    let any_of_is_int_or_string = is_int_or_string(&schema.junctors.any_of);
    let first_all_of_is_int_or_string = schema
        .junctors
        .all_of
        .first()
        .is_some_and(|first| is_int_or_string(&first.junctors.any_of));
    junctors(
        &schema.junctors,
        any_of_is_int_or_string,
        first_all_of_is_int_or_string,
        path,
        errors,
    );
}

fn extensions(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    if schema.int_or_string && schema.preserve_unknown {
        errors.push(FieldError::invalid(
            &path.child("x-kubernetes-preserve-unknown-fields"),
            true,
            "must be false if x-kubernetes-int-or-string is true",
        ));
    }
    if schema.int_or_string && schema.embedded_resource {
        errors.push(FieldError::invalid(
            &path.child("x-kubernetes-embedded-resource"),
            true,
            "must be false if x-kubernetes-int-or-string is true",
        ));
    }
    if schema.embedded_resource && !schema.preserve_unknown && schema.properties.is_empty() {
        errors.push(FieldError::required(
            &path.child("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ));
    }
}

fn types(schema: &Schema, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("type");
    let found = schema.json_type;
    if schema.embedded_resource && found != Some(JsonType::Object) {
        const DETAIL: &str = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match found {
            None => FieldError::required(&path, DETAIL),
            Some(found) => FieldError::invalid(&path, found.as_str(), DETAIL),
        });
    } else if found.is_none() && !schema.int_or_string && !schema.preserve_unknown {
        errors.push(FieldError::required(
            &path,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        ));
    }
    if level == Level::Root && found.is_some_and(|found| found != JsonType::Object) {
        errors.push(FieldError::invalid(
            &path,
            type_text(schema),
            "must be object at the root",
        ));
    }
}

/// apiVersion, kind and metadata belong to the server; a schema may only restrict names.
fn metadata(schema: &Schema, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    let is_resource = level == Level::Root || schema.embedded_resource;
    let properties = path.child("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(property) = schema.properties.get(name).filter(|_| is_resource)
            && property.json_type != Some(JsonType::String)
        {
            errors.push(FieldError::invalid(
                &properties.key(name).child("type"),
                type_text(property),
                "must be string",
            ));
        }
    }
    let Some(metadata) = schema.properties.get("metadata") else {
        return;
    };
    let path = properties.key("metadata");
    if is_resource && metadata.json_type != Some(JsonType::Object) {
        errors.push(FieldError::invalid(
            &path.child("type"),
            type_text(metadata),
            "must be object",
        ));
    }
    if level == Level::Root {
        let only_names = metadata
            .properties
            .keys()
            .all(|k| k == "name" || k == "generateName");
        let mut rest = metadata.clone();
        rest.json_type = None;
        rest.default = None;
        if only_names {
            rest.properties.clear();
        }
        if rest != Schema::empty() {
            errors.push(FieldError::forbidden(
                &path,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            ));
        }
    }
}

/// Exactly `[{type: integer}, {type: string}]`.
fn is_int_or_string(alternatives: &[Schema]) -> bool {
    let only = |json_type| Schema {
        json_type: Some(json_type),
        ..Schema::empty()
    };
    matches!(alternatives, [a, b] if *a == only(JsonType::Integer) && *b == only(JsonType::String))
}

fn junctors(
    junctors: &Junctors,
    skip_any_of: bool,
    skip_first_all_of_any_of: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if !skip_any_of {
        let path = path.child("anyOf");
        for (index, schema) in junctors.any_of.iter().enumerate() {
            nested(schema, false, &path.index(index), errors);
        }
    }
    let all_of = path.child("allOf");
    for (index, schema) in junctors.all_of.iter().enumerate() {
        nested(
            schema,
            index == 0 && skip_first_all_of_any_of,
            &all_of.index(index),
            errors,
        );
    }
    let one_of = path.child("oneOf");
    for (index, schema) in junctors.one_of.iter().enumerate() {
        nested(schema, false, &one_of.index(index), errors);
    }
    if let Some(not) = &junctors.not {
        nested(not, false, &path.child("not"), errors);
    }
}

/// A node under a junctor: it may restrict values, and nothing else.
fn nested(schema: &Schema, skip_any_of: bool, path: &Path<'_>, errors: &mut ErrorList) {
    junctors(&schema.junctors, skip_any_of, false, path, errors);
    if let Some(items) = &schema.items {
        nested(items, false, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        nested(property, false, &properties.key(name), errors);
    }
    for (key, present, detail) in [
        (
            "type",
            schema.json_type.is_some(),
            "must be empty to be structural",
        ),
        (
            "additionalProperties",
            schema.additional.is_some(),
            "must be undefined to be structural",
        ),
        (
            "default",
            schema.default.is_some(),
            "must be undefined to be structural",
        ),
        (
            "title",
            !schema.title.is_empty(),
            "must be empty to be structural",
        ),
        (
            "description",
            !schema.description.is_empty(),
            "must be empty to be structural",
        ),
        (
            "nullable",
            schema.nullable,
            "must be false to be structural",
        ),
        (
            "x-kubernetes-preserve-unknown-fields",
            schema.preserve_unknown,
            "must be false to be structural",
        ),
        (
            "x-kubernetes-embedded-resource",
            schema.embedded_resource,
            "must be false to be structural",
        ),
        (
            "x-kubernetes-int-or-string",
            schema.int_or_string,
            "must be false to be structural",
        ),
        (
            "x-kubernetes-list-map-keys",
            !schema.list_map_keys.is_empty(),
            "must be empty to be structural",
        ),
        (
            "x-kubernetes-list-type",
            schema.list_type.is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-map-type",
            schema.map_type.is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-validations",
            !schema.rules.is_empty(),
            "must be empty to be structural",
        ),
    ] {
        if present {
            errors.push(FieldError::forbidden(&path.child(key), detail));
        }
    }
    if schema.properties.contains_key("metadata") {
        errors.push(FieldError::forbidden(
            &properties.key("metadata"),
            "must not be specified in a nested context",
        ));
    }
}

/// What junctors talk about must be declared outside of them too.
fn completeness(
    junctors: &Junctors,
    schema: &Schema,
    schema_path: &Path<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if let Some(not) = &junctors.not {
        nested_completeness(not, Some(schema), schema_path, &path.child("not"), errors);
    }
    for (key, list) in [
        ("allOf", &junctors.all_of),
        ("anyOf", &junctors.any_of),
        ("oneOf", &junctors.one_of),
    ] {
        let path = path.child(key);
        for (index, nested) in list.iter().enumerate() {
            nested_completeness(
                nested,
                Some(schema),
                schema_path,
                &path.index(index),
                errors,
            );
        }
    }
}

fn nested_completeness(
    nested: &Schema,
    schema: Option<&Schema>,
    schema_path: &Path<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let Some(schema) = schema else {
        errors.push(FieldError::required(
            schema_path,
            format!("because it is defined in {path}"),
        ));
        return;
    };
    completeness(&nested.junctors, schema, schema_path, path, errors);
    if let Some(items) = &nested.items {
        nested_completeness(
            items,
            schema.items.as_deref(),
            &schema_path.child("items"),
            &path.child("items"),
            errors,
        );
    }
    let schema_properties = schema_path.child("properties");
    let properties = path.child("properties");
    for (name, property) in &nested.properties {
        nested_completeness(
            property,
            schema.properties.get(name),
            &schema_properties.key(name),
            &properties.key(name),
            errors,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn errors(raw: Value) -> Vec<String> {
        match Schema::parse(&raw, &Path::new("s")) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    fn with_x(x: Value) -> Value {
        json!({"type": "object", "properties": {"x": x}})
    }

    #[test]
    fn every_value_needs_a_type() {
        assert_eq!(
            errors(json!({})),
            ["s.type: Required value: must not be empty at the root"]
        );
        assert_eq!(
            errors(json!({"type": "array", "items": {"type": "string"}})),
            ["s.type: Invalid value: \"array\": must be object at the root"]
        );
        assert_eq!(
            errors(with_x(json!({}))),
            ["s.properties[x].type: Required value: must not be empty for specified object fields"]
        );
        assert_eq!(
            errors(with_x(json!({"type": "array", "items": {}}))),
            [
                "s.properties[x].items.type: Required value: must not be empty for specified array items"
            ]
        );
        assert_eq!(
            errors(with_x(json!({"type": "array"}))),
            ["s.properties[x].items: Required value: must be specified"]
        );
        assert!(errors(with_x(json!({"x-kubernetes-int-or-string": true}))).is_empty());
        assert!(
            errors(with_x(
                json!({"x-kubernetes-preserve-unknown-fields": true})
            ))
            .is_empty()
        );
    }

    #[test]
    fn junctors_only_restrict_what_is_declared() {
        assert_eq!(
            errors(json!({"type": "object", "anyOf": [{"properties": {"y": {"minimum": 1}}}]})),
            ["s.properties[y]: Required value: because it is defined in s.anyOf[0].properties[y]"]
        );
        assert_eq!(
            errors(with_x(
                json!({"type": "string", "oneOf": [{"type": "string"}], "not": {"default": 1}})
            )),
            [
                "s.properties[x].not.default: Forbidden: must be undefined to be structural",
                "s.properties[x].oneOf[0].type: Forbidden: must be empty to be structural",
            ]
        );
        let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
        assert!(
            errors(with_x(
                json!({"x-kubernetes-int-or-string": true, "anyOf": int_or_string})
            ))
            .is_empty()
        );
        assert!(
            errors(with_x(json!({
                "x-kubernetes-int-or-string": true,
                "allOf": [{"anyOf": int_or_string}, {"pattern": "x"}],
            })))
            .is_empty()
        );
    }

    #[test]
    fn metadata_may_only_restrict_names() {
        let metadata = |m: Value| json!({"type": "object", "properties": {"metadata": m}});
        assert!(errors(metadata(json!({"type": "object"}))).is_empty());
        assert!(
            errors(metadata(json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}})))
                .is_empty()
        );
        assert_eq!(
            errors(metadata(
                json!({"type": "object", "properties": {"labels": {"type": "object"}}})
            )),
            [
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
            ]
        );
    }

    #[test]
    fn forbidden_keywords_are_named() {
        assert_eq!(
            errors(with_x(
                json!({"type": "string", "$ref": "#/x", "uniqueItems": true, "additionalProperties": false})
            )),
            [
                "s.properties[x].$ref: Forbidden: $ref is not supported",
                "s.properties[x].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
                "s.properties[x].additionalProperties: Forbidden: additionalProperties cannot be set to false",
            ]
        );
        assert_eq!(
            errors(with_x(json!({"type": "text"})))[0],
            "s.properties[x].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""
        );
        assert!(
            errors(with_x(json!({"type": "string", "pattern": "("})))[0]
                .contains("must be a valid regular expression")
        );
    }

    #[test]
    fn list_maps_need_keys_that_are_there() {
        let list = |items: Value| {
            with_x(json!({
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": items,
            }))
        };
        assert!(
            errors(list(json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}})))
                .is_empty()
        );
        assert_eq!(
            errors(list(
                json!({"type": "object", "properties": {"k": {"type": "string"}}})
            )),
            [
                "s.properties[x].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ]
        );
        assert_eq!(
            errors(list(json!({"type": "object"}))),
            [
                "s.properties[x].x-kubernetes-list-map-keys: Invalid value: [\"k\"]: entries must all be names of item properties"
            ]
        );
        assert_eq!(
            errors(with_x(
                json!({"type": "string", "x-kubernetes-list-type": "set"})
            )),
            [
                "s.properties[x].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"
            ]
        );
    }
}
