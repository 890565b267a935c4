//! The shape of `metadata`: which members there are, and of which type.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::field::{FieldError, Path};

/// The type of a member.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Integer,
    Flag,
    Time,
    TextMap,
    TextList,
    Owners,
    ManagedFields,
    Anything,
}

/// The members of ObjectMeta (Kubernetes API reference, `meta/v1`).
const METADATA: [(&str, Shape); 15] = [
    ("name", Shape::Text),
    ("generateName", Shape::Text),
    ("namespace", Shape::Text),
    ("selfLink", Shape::Text),
    ("uid", Shape::Text),
    ("resourceVersion", Shape::Text),
    ("generation", Shape::Integer),
    ("creationTimestamp", Shape::Time),
    ("deletionTimestamp", Shape::Time),
    ("deletionGracePeriodSeconds", Shape::Integer),
    ("labels", Shape::TextMap),
    ("annotations", Shape::TextMap),
    ("ownerReferences", Shape::Owners),
    ("finalizers", Shape::TextList),
    ("managedFields", Shape::ManagedFields),
];

const OWNER: [(&str, Shape); 6] = [
    ("apiVersion", Shape::Text),
    ("kind", Shape::Text),
    ("name", Shape::Text),
    ("uid", Shape::Text),
    ("controller", Shape::Flag),
    ("blockOwnerDeletion", Shape::Flag),
];

const MANAGED: [(&str, Shape); 7] = [
    ("manager", Shape::Text),
    ("operation", Shape::Text),
    ("apiVersion", Shape::Text),
    ("time", Shape::Time),
    ("fieldsType", Shape::Text),
    ("fieldsV1", Shape::Anything),
    ("subresource", Shape::Text),
];

/// Checks the types of the members of `metadata` and brings it to the form in which it is stored: nulls and
/// empty members are dropped, and so are unknown ones, for each of which there is a message.
///
/// The error names the first member of the wrong type.
pub fn coerce_metadata(
    metadata: &mut Value,
    path: &Path<'_>,
) -> std::result::Result<Vec<String>, FieldError> {
    let mut unknown = Vec::new();
    match metadata {
        Value::Null => *metadata = Value::Object(Map::new()),
        Value::Object(members) => coerce_members(members, &METADATA, path, &mut unknown)?,
        other => {
            return Err(FieldError::invalid(
                path,
                other.clone(),
                "must be an object",
            ));
        }
    }
    Ok(unknown)
}

fn coerce_members(
    members: &mut Map<String, Value>,
    shapes: &[(&str, Shape)],
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> std::result::Result<(), FieldError> {
    let mut dropped = Vec::new();
    for (key, value) in members.iter_mut() {
        let child = path.child(key);
        match shapes.iter().find(|(name, _)| name == key) {
            None => {
                unknown.push(format!("unknown field \"{child}\""));
                dropped.push(key.clone());
            }
            Some((_, shape)) => {
                if value.is_null() || !coerce(value, *shape, &child, unknown)? {
                    dropped.push(key.clone());
                }
            }
        }
    }
    for key in dropped {
        members.remove(&key);
    }
    Ok(())
}

/// Checks one value; false means that it says nothing and is to be dropped.
fn coerce(
    value: &mut Value,
    shape: Shape,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> std::result::Result<bool, FieldError> {
    let wrong = |value: &Value, what: &str| Err(FieldError::invalid(path, value.clone(), what));
    match shape {
        Shape::Anything => Ok(true),
        Shape::Text => match value.as_str() {
            Some(text) => Ok(!text.is_empty()),
            None => wrong(value, "must be a string"),
        },
        Shape::Integer => match value.as_i64() {
            Some(_) => Ok(true),
            None => wrong(value, "must be an integer"),
        },
        Shape::Flag => match value.as_bool() {
            Some(_) => Ok(true),
            None => wrong(value, "must be a boolean"),
        },
        Shape::Time => match value.as_str().map(str::parse::<Timestamp>) {
            Some(Ok(_)) => Ok(true),
            _ => wrong(value, "must be a time of RFC 3339"),
        },
        Shape::TextMap => {
            let Some(map) = value.as_object_mut() else {
                return wrong(value, "must be a map of strings");
            };
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(_) => {}
                    // A null entry has always read as the empty string.
                    Value::Null => *value = Value::from(""),
                    other => {
                        return Err(FieldError::invalid(
                            &path.key(key),
                            other.clone(),
                            "must be a string",
                        ));
                    }
                }
            }
            Ok(!map.is_empty())
        }
        Shape::TextList => match value.as_array() {
            Some(list) if list.iter().all(Value::is_string) => Ok(!list.is_empty()),
            _ => wrong(value, "must be a list of strings"),
        },
        Shape::Owners => coerce_list(value, &OWNER, path, unknown),
        Shape::ManagedFields => coerce_list(value, &MANAGED, path, unknown),
    }
}

fn coerce_list(
    value: &mut Value,
    shapes: &[(&str, Shape)],
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> std::result::Result<bool, FieldError> {
    let Some(list) = value.as_array_mut() else {
        return Err(FieldError::invalid(
            path,
            value.clone(),
            "must be a list of objects",
        ));
    };
    for (index, entry) in list.iter_mut().enumerate() {
        let path = path.index(index);
        match entry {
            Value::Object(members) => coerce_members(members, shapes, &path, unknown)?,
            other => {
                return Err(FieldError::invalid(
                    &path,
                    other.clone(),
                    "must be an object",
                ));
            }
        }
    }
    Ok(!list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_clients_of_every_language_send_becomes_the_same() {
        let mut metadata = json!({
            "name": "a", "creationTimestamp": null, "labels": {}, "annotations": {"k": null},
            "generateName": "", "finalizers": [], "foo": 1,
            "ownerReferences": [{"name": "o", "controller": null, "bar": 1}],
        });
        let unknown = coerce_metadata(&mut metadata, &Path::new("metadata")).unwrap();
        assert_eq!(
            unknown,
            [
                "unknown field \"metadata.foo\"",
                "unknown field \"metadata.ownerReferences[0].bar\""
            ]
        );
        assert_eq!(
            metadata,
            json!({"name": "a", "annotations": {"k": ""}, "ownerReferences": [{"name": "o"}]})
        );
    }

    #[test]
    fn wrong_types_are_named() {
        for (metadata, message) in [
            (json!([]), "metadata: Invalid value: []: must be an object"),
            (
                json!({"labels": {"a": 1}}),
                "metadata.labels[a]: Invalid value: 1: must be a string",
            ),
            (
                json!({"generation": 1.5}),
                "metadata.generation: Invalid value: 1.5: must be an integer",
            ),
            (
                json!({"creationTimestamp": "now"}),
                "metadata.creationTimestamp: Invalid value: \"now\": must be a time of RFC 3339",
            ),
            (
                json!({"ownerReferences": [3]}),
                "metadata.ownerReferences[0]: Invalid value: 3: must be an object",
            ),
            (
                json!({"finalizers": [3]}),
                "metadata.finalizers: Invalid value: [3]: must be a list of strings",
            ),
        ] {
            let mut metadata = metadata;
            let error = coerce_metadata(&mut metadata, &Path::new("metadata")).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
