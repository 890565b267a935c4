//! `allOf`, `anyOf`, `oneOf` and `not`.
//!
//! When no alternative fits, the errors of the one that came closest (the fewest errors) are shown besides the
//! summary, so that a client sees what to change.

use serde_json::Value;

use super::validate::{name, node};
use super::{Junctors, Schema};
use crate::field::{ErrorList, FieldError, Path};
use crate::text::quote;

/// Checks a value against all junctors of a node.
pub(super) fn check(
    junctors: &Junctors,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let attempt = |schema: &Schema| {
        let mut found = ErrorList::new();
        node(schema, value, old, path, &mut found);
        found
    };
    let summary = |what: &str| {
        FieldError::invalid(
            &Path::ROOT,
            "",
            format!("{} must {what}", quote(&name(path))),
        )
    };
    if !junctors.any_of.is_empty() {
        let attempts: Vec<ErrorList> = junctors.any_of.iter().map(attempt).collect();
        if !attempts.iter().any(ErrorList::is_empty) {
            errors.push(summary("validate at least one schema (anyOf)"));
            closest(attempts, errors);
        }
    }
    if !junctors.one_of.is_empty() {
        let attempts: Vec<ErrorList> = junctors.one_of.iter().map(attempt).collect();
        match attempts.iter().filter(|attempt| attempt.is_empty()).count() {
            1 => {}
            0 => {
                errors.push(summary(
                    "validate one and only one schema (oneOf). Found none valid",
                ));
                closest(attempts, errors);
            }
            several => errors.push(summary(&format!(
                "validate one and only one schema (oneOf). Found {several} valid alternatives"
            ))),
        }
    }
    let failed: Vec<ErrorList> = junctors
        .all_of
        .iter()
        .map(attempt)
        .filter(|attempt| !attempt.is_empty())
        .collect();
    if !failed.is_empty() {
        let none = if failed.len() == junctors.all_of.len() {
            ". None validated"
        } else {
            ""
        };
        failed
            .into_iter()
            .for_each(|attempt| errors.append(attempt));
        errors.push(summary(&format!("validate all the schemas (allOf){none}")));
    }
    if junctors
        .not
        .as_deref()
        .is_some_and(|not| attempt(not).is_empty())
    {
        errors.push(summary("not validate the schema (not)"));
    }
}

fn closest(attempts: Vec<ErrorList>, errors: &mut ErrorList) {
    if let Some(best) = attempts.into_iter().min_by_key(ErrorList::len) {
        errors.append(best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: Value, value: Value) -> Vec<String> {
        let raw = json!({"type": "object", "properties": {"spec": spec}});
        let schema = Schema::parse(&raw, &Path::new("s")).unwrap();
        schema
            .validate(&json!({"spec": value}), None)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn alternatives_are_counted() {
        let spec = |junctor: &str| {
            json!({
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                junctor: [{"required": ["a"]}, {"required": ["b"]}],
            })
        };
        assert!(check(spec("oneOf"), json!({"a": ""})).is_empty());
        assert_eq!(
            check(spec("oneOf"), json!({})),
            [
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value",
            ]
        );
        assert_eq!(
            check(spec("oneOf"), json!({"a": "", "b": ""})),
            [
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
            ]
        );
        assert!(check(spec("anyOf"), json!({"a": "", "b": ""})).is_empty());
        assert_eq!(
            check(spec("anyOf"), json!({}))[0],
            "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)"
        );
        assert_eq!(
            check(spec("allOf"), json!({"a": ""})),
            [
                "spec.b: Required value",
                "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
            ]
        );
    }

    #[test]
    fn not_refuses_what_validates() {
        let spec = json!({
            "type": "object", "properties": {"a": {"type": "string"}}, "not": {"required": ["a"]},
        });
        assert!(check(spec.clone(), json!({})).is_empty());
        assert_eq!(
            check(spec, json!({"a": ""})),
            ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]
        );
    }
}
