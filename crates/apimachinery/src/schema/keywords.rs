//! Rules between keywords of one node, and keywords that no schema has.

use serde_json::Value;

use super::{JsonType, ListType, Schema};
use crate::field::{ErrorList, FieldError, Path};

/// Keywords that a schema may have; the forbidden ones are among them because they are known.
const KNOWN: [&str; 45] = [
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "definitions",
    "dependencies",
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "id",
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
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
    "x-helium-ignored",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Paths of keywords that no schema has, in a schema as it was declared.
pub fn unknown_keywords(raw: &Value, path: &Path<'_>) -> Vec<String> {
    let mut found = Vec::new();
    collect_unknown(raw, path, &mut found);
    found
}

fn collect_unknown(raw: &Value, path: &Path<'_>, found: &mut Vec<String>) {
    let Some(members) = raw.as_object() else {
        return;
    };
    for (key, value) in members {
        let child = path.child(key);
        match key.as_str() {
            key if !KNOWN.contains(&key) => found.push(child.to_string()),
            "items" | "not" | "additionalProperties" => collect_unknown(value, &child, found),
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    // Strict decoding writes names of maps with a dot, unlike validation.
                    collect_unknown(value, &child.child(name), found);
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    collect_unknown(value, &child.index(index), found);
                }
            }
            _ => {}
        }
    }
}

/// Where a node stands, as far as its rules depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    root: bool,
    /// Why a default may not be here, if it may not.
    no_default: Option<&'static str>,
    inside_metadata: bool,
}

impl Place {
    /// The root of a schema.
    pub(super) const ROOT: Place = Place {
        root: true,
        no_default: None,
        inside_metadata: false,
    };
    const BELOW: Place = Place {
        root: false,
        ..Place::ROOT
    };
}

/// Checks a node and everything below it.
pub(super) fn check(schema: &Schema, path: &Path<'_>, place: Place, errors: &mut ErrorList) {
    if place.root && schema.nullable {
        errors.push(FieldError::forbidden(
            &path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    if let (Some(_), Some(reason)) = (&schema.default, place.no_default) {
        errors.push(FieldError::forbidden(
            &path.child("default"),
            format!("must not be set {reason}"),
        ));
    }
    if place.inside_metadata && schema.embedded_resource {
        errors.push(FieldError::forbidden(
            &path.child("x-kubernetes-embedded-resource"),
            "must not be used inside of resource meta",
        ));
    }
    if !schema.properties.is_empty() && schema.additional_schema().is_some() {
        errors.push(FieldError::forbidden(
            &path.child("additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    map_type(schema, path, errors);
    list_type(schema, path, errors);
    rules(schema, path, errors);
    descend(schema, path, place, errors);
}

fn descend(schema: &Schema, path: &Path<'_>, place: Place, errors: &mut ErrorList) {
    let inherited = Place {
        root: false,
        ..place
    };
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        let mut below = inherited;
        let meta = matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        if meta && (place.root || schema.embedded_resource) {
            below.inside_metadata = true;
            if place.root {
                below.no_default = Some(match name.as_str() {
                    "apiVersion" => "in top-level apiVersion",
                    "kind" => "in top-level kind",
                    _ => "in top-level metadata",
                });
            }
        }
        check(property, &properties.key(name), below, errors);
    }
    if let Some(additional) = schema.additional_schema() {
        let mut below = inherited;
        if place.inside_metadata {
            below.no_default = Some("inside additionalProperties applying to object metadata");
        }
        check(
            additional,
            &path.child("additionalProperties"),
            below,
            errors,
        );
    }
    if let Some(items) = &schema.items {
        check(items, &path.child("items"), inherited, errors);
    }
    let junctors = &schema.junctors;
    for (key, list) in [
        ("allOf", &junctors.all_of),
        ("anyOf", &junctors.any_of),
        ("oneOf", &junctors.one_of),
    ] {
        let path = path.child(key);
        for (index, nested) in list.iter().enumerate() {
            check(nested, &path.index(index), Place::BELOW, errors);
        }
    }
    if let Some(not) = &junctors.not {
        check(not, &path.child("not"), Place::BELOW, errors);
    }
}

/// A type that an extension demands.
fn demand_type(
    schema: &Schema,
    json_type: JsonType,
    extension: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let path = path.child("type");
    let detail = format!("must be {} if {extension} is specified", json_type.as_str());
    match schema.json_type {
        None => errors.push(FieldError::required(&path, detail)),
        Some(found) if found != json_type => {
            errors.push(FieldError::invalid(&path, found.as_str(), detail));
        }
        Some(_) => {}
    }
}

fn map_type(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    if schema.map_type.is_some() {
        demand_type(
            schema,
            JsonType::Object,
            "x-kubernetes-map-type",
            path,
            errors,
        );
    }
}

fn list_type(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if schema.list_type.is_some() {
        demand_type(
            schema,
            JsonType::Array,
            "x-kubernetes-list-type",
            path,
            errors,
        );
    }
    if !schema.list_map_keys.is_empty() && schema.list_type != Some(ListType::Map) {
        let path = path.child("x-kubernetes-list-type");
        const DETAIL: &str = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match schema.list_type {
            None => FieldError::required(&path, DETAIL),
            Some(ListType::Set) => FieldError::invalid(&path, "set", DETAIL),
            Some(_) => FieldError::invalid(&path, "atomic", DETAIL),
        });
    }
    match schema.list_type {
        Some(ListType::Set) => set_items(schema, path, errors),
        Some(ListType::Map) => {
            if schema.list_map_keys.is_empty() {
                errors.push(FieldError::required(
                    &keys_path,
                    "must not be empty if x-kubernetes-list-type is map",
                ));
            }
            map_items(schema, path, errors);
        }
        _ => {}
    }
}

/// Elements of a set are atomic and not null.
fn set_items(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(items) = &schema.items else { return };
    let path = path.child("items");
    const DETAIL: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    match items.json_type {
        Some(JsonType::Array) if matches!(items.list_type, Some(ListType::Set | ListType::Map)) => {
            errors.push(FieldError::invalid(
                &path.child("x-kubernetes-list-type"),
                Value::Null,
                DETAIL,
            ));
        }
        Some(JsonType::Object) if items.map_type.as_deref() != Some("atomic") => {
            errors.push(FieldError::invalid(
                &path.child("x-kubernetes-map-type"),
                Value::Null,
                DETAIL,
            ));
        }
        _ => {}
    }
    if items.nullable {
        errors.push(FieldError::forbidden(
            &path.child("nullable"),
            "cannot be nullable when x-kubernetes-list-type is set",
        ));
    }
}

/// Elements of a list map are objects whose keys are scalars that are always there.
fn map_items(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    let items_path = path.child("items");
    let Some(items) = &schema.items else {
        errors.push(FieldError::required(
            &items_path,
            "must have a schema if x-kubernetes-list-type is map",
        ));
        return;
    };
    if items.json_type != Some(JsonType::Object) {
        errors.push(FieldError::invalid(
            &items_path.child("type"),
            items.json_type.map(JsonType::as_str).unwrap_or_default(),
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
        return;
    }
    if items.nullable {
        errors.push(FieldError::forbidden(
            &items_path.child("nullable"),
            "cannot be nullable when x-kubernetes-list-type is map",
        ));
    }
    let shown = || Value::from(schema.list_map_keys.clone());
    let properties = items_path.child("properties");
    for (index, key) in schema.list_map_keys.iter().enumerate() {
        let at = properties.key(key);
        let Some(property) = items.properties.get(key) else {
            errors.push(FieldError::invalid(
                &keys_path,
                shown(),
                "entries must all be names of item properties",
            ));
            continue;
        };
        if let Some(found @ (JsonType::Array | JsonType::Object)) = property.json_type {
            errors.push(FieldError::invalid(
                &at.child("type"),
                found.as_str(),
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            ));
        }
        if property.nullable {
            errors.push(FieldError::forbidden(
                &at.child("nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ));
        }
        if property.default.is_none() && !items.checks.required.contains(key) {
            errors.push(FieldError::required(
                &at.child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
        if schema.list_map_keys[..index].contains(key) {
            errors.push(FieldError::invalid(
                &keys_path,
                shown(),
                "must not contain duplicate entries",
            ));
        }
    }
}

/// The shape of `x-kubernetes-validations`; the expressions themselves aren't compiled.
fn rules(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("x-kubernetes-validations");
    for (index, rule) in schema.rules.iter().enumerate() {
        let path = path.index(index);
        let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
        let (expression, message) = (text("rule").trim(), text("message").trim());
        if expression.is_empty() {
            errors.push(FieldError::required(
                &path.child("rule"),
                "rule is not specified",
            ));
        } else if message.is_empty() && !text("message").is_empty() {
            errors.push(FieldError::invalid(
                &path.child("message"),
                text("message"),
                "must be non-empty if specified",
            ));
        } else if message.contains(['\n', '\r']) {
            errors.push(FieldError::invalid(
                &path.child("message"),
                text("message"),
                "must not contain line breaks",
            ));
        } else if expression.contains(['\n', '\r']) && message.is_empty() {
            errors.push(FieldError::required(
                &path.child("message"),
                "message must be specified if rule contains line breaks",
            ));
        }
        const REASONS: [&str; 4] = [
            "FieldValueDuplicate",
            "FieldValueForbidden",
            "FieldValueInvalid",
            "FieldValueRequired",
        ];
        if !text("reason").is_empty() && !REASONS.contains(&text("reason")) {
            errors.push(FieldError::not_supported(
                &path.child("reason"),
                text("reason"),
                &REASONS,
            ));
        }
    }
}
