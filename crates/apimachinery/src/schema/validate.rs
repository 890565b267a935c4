//! Validation of values, in the words that clients of custom resources know.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{Additional, JsonType, ListType, Schema, formats, junctors};
use crate::field::{ErrorKind, ErrorList, FieldError, Path};

/// What is wrong with an object. Parts equal to those of `old` are not looked at.
pub(super) fn object(schema: &Schema, object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, object, old, &Path::ROOT, &mut errors);
    errors
}

/// What is wrong with a value that stands at a path.
pub(super) fn value(schema: &Schema, value: &Value, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, value, None, path, &mut errors);
    errors
}

/// The name of a path in messages; the root has none.
pub(super) fn name(path: &Path<'_>) -> String {
    let text = path.to_string();
    if text == "<nil>" { String::new() } else { text }
}

/// The word for the type of a value.
fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a float is a whole number that JSON can hold exactly.
fn is_whole(value: &Value) -> bool {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    value
        .as_f64()
        .is_some_and(|f| f.fract() == 0.0 && f.abs() <= EXACT)
}

fn invalid_type(path: &Path<'_>, wanted: &str, found: &str) -> FieldError {
    FieldError::type_invalid(
        path,
        found,
        format!(
            "{} in body must be of type {wanted}: \"{found}\"",
            name(path)
        ),
    )
}

/// Checks one value and everything below it.
pub(super) fn node(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() {
        let typed = schema.json_type.is_some() || schema.int_or_string;
        if typed && !schema.nullable {
            errors.push(invalid_type(path, wanted(schema), "null"));
        }
        allowed_values(schema, value, path, errors);
        return;
    }
    if !has_type(schema, value) {
        errors.push(invalid_type(path, wanted(schema), type_word(value)));
    }
    junctors::check(&schema.junctors, value, old, path, errors);
    match value {
        Value::String(text) => string(schema, text, path, errors),
        Value::Number(number) => numeric(schema, number, path, errors),
        Value::Array(list) => array(schema, list, old, path, errors),
        Value::Object(members) => map(schema, members, old, path, errors),
        _ => {}
    }
    allowed_values(schema, value, path, errors);
}

fn wanted(schema: &Schema) -> &'static str {
    if schema.int_or_string {
        "integer,string"
    } else {
        schema.json_type.map(JsonType::as_str).unwrap_or_default()
    }
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.is_i64() || value.is_u64() || is_whole(value);
    }
    match schema.json_type {
        None => true,
        Some(JsonType::Object) => value.is_object(),
        Some(JsonType::Array) => value.is_array(),
        Some(JsonType::String) => value.is_string(),
        Some(JsonType::Integer) => value.is_i64() || value.is_u64() || is_whole(value),
        Some(JsonType::Number) => value.is_number(),
        Some(JsonType::Boolean) => value.is_boolean(),
    }
}

/// A rule that isn't about the type: `<path> in body should …`.
fn rule(path: &Path<'_>, value: impl Into<Value>, what: &str) -> FieldError {
    FieldError::invalid(path, value, format!("{} in body should {what}", name(path)))
}

fn string(schema: &Schema, text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let checks = &schema.checks;
    let length = || u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(max) = checks.max_length
        && length() > max
    {
        errors.push(FieldError::too_long(
            path,
            usize::try_from(max).unwrap_or(usize::MAX),
        ));
    }
    if let Some(min) = checks.min_length
        && length() < min
    {
        errors.push(rule(path, text, &format!("be at least {min} chars long")));
    }
    if let Some(pattern) = &checks.pattern
        && !pattern.regex.is_match(text)
    {
        errors.push(rule(path, text, &format!("match '{}'", pattern.text)));
    }
    let may_have_format = matches!(schema.json_type, None | Some(JsonType::String));
    if may_have_format && !formats::is_valid(&checks.format, text) {
        errors.push(FieldError::type_invalid(
            path,
            text,
            format!(
                "{} in body must be of type {}: {}",
                name(path),
                checks.format,
                crate::text::quote(text)
            ),
        ));
    }
}

/// Compares numbers without losing digits of integers.
fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    let integer = |n: &Number| n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// A number as messages print it: without a fraction if it has none.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

fn numeric(schema: &Schema, number: &Number, path: &Path<'_>, errors: &mut ErrorList) {
    let checks = &schema.checks;
    let mut bound = |limit: &Option<Number>, exclusive: bool, beyond: Ordering, words: &str| {
        let Some(limit) = limit else { return };
        let order = compare(number, limit);
        if order == Some(beyond) || (exclusive && order == Some(Ordering::Equal)) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let what = format!("be {words} than{or_equal} {}", number_text(limit));
            errors.push(rule(path, number.clone(), &what));
        }
    };
    bound(
        &checks.maximum,
        checks.exclusive_maximum,
        Ordering::Greater,
        "less",
    );
    bound(
        &checks.minimum,
        checks.exclusive_minimum,
        Ordering::Less,
        "greater",
    );
    if let Some(factor) = &checks.multiple_of {
        let quotient = number.as_f64().zip(factor.as_f64()).map(|(n, f)| n / f);
        if quotient.is_some_and(|q| q.fract() != 0.0) {
            let what = format!("be a multiple of {}", number_text(factor));
            errors.push(rule(path, number.clone(), &what));
        }
    }
    let fits = match (schema.json_type, checks.format.as_str()) {
        (Some(JsonType::Integer), "int32") => number
            .as_f64()
            .is_none_or(|f| f >= f64::from(i32::MIN) && f <= f64::from(i32::MAX)),
        (Some(JsonType::Integer), _) => number.is_i64() || number.is_f64(),
        _ => true,
    };
    if !fits {
        let format = if checks.format.is_empty() {
            "int64"
        } else {
            &checks.format
        };
        errors.push(FieldError::invalid(
            path,
            number.clone(),
            format!("Checked value must be of type integer with format {format}"),
        ));
    }
}

fn array(
    schema: &Schema,
    list: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if let Some(items) = &schema.items {
        for (index, value) in list.iter().enumerate() {
            let old = old.and_then(|old| counterpart(schema, value, old));
            node(items, value, old, &path.index(index), errors);
        }
    }
    let size = u64::try_from(list.len()).unwrap_or(u64::MAX);
    if let Some(min) = schema.checks.min_items
        && size < min
    {
        errors.push(rule(path, size, &format!("have at least {min} items")));
    }
    if let Some(max) = schema.checks.max_items
        && size > max
    {
        errors.push(too_many(path, size, max));
    }
}

/// The element of the old list that an element corresponds to: the one with the same keys. Elements of other
/// lists have no identity.
fn counterpart<'o>(schema: &Schema, value: &Value, old: &'o Value) -> Option<&'o Value> {
    if schema.list_type != Some(ListType::Map) {
        return None;
    }
    let same_keys = |old: &&Value| {
        schema
            .list_map_keys
            .iter()
            .all(|key| old.get(key) == value.get(key))
    };
    old.as_array()?.iter().find(same_keys)
}

fn too_many(path: &Path<'_>, size: u64, max: u64) -> FieldError {
    let unit = if max == 1 { "item" } else { "items" };
    FieldError::new(
        ErrorKind::TooMany,
        path,
        Some(size.into()),
        format!("must have at most {max} {unit}"),
    )
}

fn map(
    schema: &Schema,
    members: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let size = u64::try_from(members.len()).unwrap_or(u64::MAX);
    if let Some(min) = schema.checks.min_properties
        && size < min
    {
        errors.push(rule(path, size, &format!("have at least {min} properties")));
    }
    if let Some(max) = schema.checks.max_properties
        && size > max
    {
        errors.push(too_many(path, size, max));
    }
    for (name, value) in members {
        let old = old.and_then(|old| old.get(name));
        let declared = match (schema.properties.get(name), &schema.additional) {
            (Some(property), _) => property,
            (None, Some(Additional::Schema(additional))) => additional,
            _ => continue,
        };
        node(declared, value, old, &path.child(name), errors);
    }
    for name in &schema.checks.required {
        if !members.contains_key(name) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
}

fn allowed_values(schema: &Schema, value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(allowed) = &schema.checks.allowed else {
        return;
    };
    let same = |candidate: &Value| match (candidate, value) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Some(Ordering::Equal),
        (a, b) => a == b,
    };
    if allowed.is_empty() || allowed.iter().any(same) {
        return;
    }
    let shown: Vec<String> = allowed
        .iter()
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect();
    errors.push(FieldError::not_supported(path, value.clone(), &shown));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors_of(x: Value, value: Value, old: Option<Value>) -> Vec<String> {
        let raw = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": x}}}});
        let schema = Schema::parse(&raw, &Path::new("s")).unwrap();
        let old = old.map(|old| json!({"spec": {"x": old}}));
        schema
            .validate(&json!({"spec": {"x": value}}), old.as_ref())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn check(x: Value, value: Value) -> Vec<String> {
        errors_of(x, value, None)
    }

    #[test]
    fn types_are_demanded_in_known_words() {
        for (schema, value, error) in [
            (
                json!({"type": "integer"}),
                json!("a"),
                "spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\"",
            ),
            (
                json!({"type": "string"}),
                json!(3),
                "spec.x: Invalid value: \"integer\": spec.x in body must be of type string: \"integer\"",
            ),
            (
                json!({"type": "string"}),
                json!(1.5),
                "spec.x: Invalid value: \"number\": spec.x in body must be of type string: \"number\"",
            ),
            (
                json!({"type": "object"}),
                json!([]),
                "spec.x: Invalid value: \"array\": spec.x in body must be of type object: \"array\"",
            ),
            (
                json!({"type": "boolean"}),
                json!({}),
                "spec.x: Invalid value: \"object\": spec.x in body must be of type boolean: \"object\"",
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
            ),
            (
                json!({"type": "integer"}),
                json!(1.5),
                "spec.x: Invalid value: \"number\": spec.x in body must be of type integer: \"number\"",
            ),
            (
                json!({"type": "string"}),
                json!(null),
                "spec.x: Invalid value: \"null\": spec.x in body must be of type string: \"null\"",
            ),
        ] {
            assert_eq!(check(schema, value), [error]);
        }
        for (schema, value) in [
            (json!({"type": "integer"}), json!(1.0)),
            (json!({"type": "number"}), json!(1)),
            (json!({"type": "string", "nullable": true}), json!(null)),
            (json!({"x-kubernetes-int-or-string": true}), json!("5%")),
            (
                json!({"x-kubernetes-preserve-unknown-fields": true}),
                json!([1, "a"]),
            ),
        ] {
            assert!(check(schema, value).is_empty());
        }
    }

    #[test]
    fn values_are_restricted_in_known_words() {
        for (schema, value, error) in [
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                "spec.x: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (
                json!({"type": "integer", "maximum": 3}),
                json!(4),
                "spec.x: Invalid value: 4: spec.x in body should be less than or equal to 3",
            ),
            (
                json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
                json!(3),
                "spec.x: Invalid value: 3: spec.x in body should be less than 3",
            ),
            (
                json!({"type": "number", "minimum": 1.5}),
                json!(1),
                "spec.x: Invalid value: 1: spec.x in body should be greater than or equal to 1.5",
            ),
            (
                json!({"type": "integer", "multipleOf": 2}),
                json!(3),
                "spec.x: Invalid value: 3: spec.x in body should be a multiple of 2",
            ),
            (
                json!({"type": "string", "maxLength": 2}),
                json!("ééé"),
                "spec.x: Too long: may not be more than 2 bytes",
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("é"),
                "spec.x: Invalid value: \"é\": spec.x in body should be at least 2 chars long",
            ),
            (
                json!({"type": "string", "pattern": "^a+$"}),
                json!("b"),
                "spec.x: Invalid value: \"b\": spec.x in body should match '^a+$'",
            ),
            (
                json!({"type": "string", "format": "uuid"}),
                json!("b"),
                "spec.x: Invalid value: \"b\": spec.x in body must be of type uuid: \"b\"",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                "spec.x: Too many: 2: must have at most 1 item",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
                json!([]),
                "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
            ),
            (
                json!({"type": "object", "minProperties": 1}),
                json!({}),
                "spec.x: Invalid value: 0: spec.x in body should have at least 1 properties",
            ),
            (
                json!({"type": "object", "required": ["y"], "properties": {"y": {"type": "string"}}}),
                json!({}),
                "spec.x.y: Required value",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                json!(["a", 1]),
                "spec.x[1]: Invalid value: \"integer\": spec.x[1] in body must be of type string: \"integer\"",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"k": 1}),
                "spec.x.k: Invalid value: \"integer\": spec.x.k in body must be of type string: \"integer\"",
            ),
            (
                json!({"type": "integer", "format": "int32"}),
                json!(2147483648i64),
                "spec.x: Invalid value: 2147483648: Checked value must be of type integer with format int32",
            ),
        ] {
            assert_eq!(check(schema, value), [error]);
        }
        assert!(check(json!({"type": "string", "maxLength": 2}), json!("éé")).is_empty());
    }

    #[test]
    fn unchanged_parts_are_tolerated() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1},
        }});
        let old = json!({"a": "long", "b": "b"});
        assert!(
            errors_of(
                schema.clone(),
                json!({"a": "long", "b": "c"}),
                Some(old.clone())
            )
            .is_empty()
        );
        assert_eq!(
            errors_of(schema.clone(), json!({"a": "other", "b": "c"}), Some(old)),
            ["spec.x.a: Too long: may not be more than 1 byte"]
        );
        let list = json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {
                "k": {"type": "string"}, "v": {"type": "string", "maxLength": 1},
            }},
        });
        let old = json!([{"k": "1", "v": "long"}]);
        assert!(
            errors_of(
                list,
                json!([{"k": "2"}, {"k": "1", "v": "long"}]),
                Some(old)
            )
            .is_empty()
        );
    }
}
