//! Strategic merge patch, as far as the built-in kinds that are served (Namespace and Lease) need it.
//!
//! It is a merge patch in which some lists merge too, and in which directives can stand: members whose names begin with
//! `$` (Kubernetes documentation, "Use strategic merge patch to update an object using kubectl patch"). Which lists merge
//! is a property of a kind's Go type; in these two kinds it is the two of every object's metadata.

use serde_json::{Map, Value};

use super::merge;
use crate::status::{Result, Status};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
/// Orders a list that merges; the order of finalizers and owners means nothing, so it is passed over.
const SET_ORDER: &str = "$setElementOrder/";
/// What tells the owners of an object apart.
const OWNER_KEY: &str = "uid";

/// Merges a patch into an object: 400 for a directive that makes no sense.
pub(super) fn apply(document: &mut Value, patch: &Map<String, Value>) -> Result<()> {
    map(document, patch, "")
}

/// Merges into the map that stands under `name` (empty for the object itself).
fn map(document: &mut Value, patch: &Map<String, Value>, name: &str) -> Result<()> {
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(members) = document else {
        return Ok(());
    };
    match directive(patch)? {
        Some("replace") => members.clear(),
        Some("delete") => {
            members.clear();
            return Ok(());
        }
        _ => {}
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        let keys = list(keys, RETAIN_KEYS)?;
        members.retain(|member, _| keys.iter().any(|key| key == member));
    }
    for (member, change) in patch {
        if let Some(target) = member.strip_prefix(DELETE_FROM) {
            let gone = list(change, DELETE_FROM)?;
            if let Some(Value::Array(items)) = members.get_mut(target) {
                items.retain(|item| !gone.contains(item));
            }
        } else if member == PATCH || member == RETAIN_KEYS || member.starts_with(SET_ORDER) {
        } else if member.starts_with('$') {
            return Err(malformed(member));
        } else if change.is_null() {
            members.remove(member);
        } else {
            let document = members.entry(member.clone()).or_insert(Value::Null);
            match (change, name, member.as_str()) {
                (Value::Object(patch), _, member) => map(document, patch, member)?,
                (Value::Array(items), "metadata", "finalizers") => union(document, items),
                (Value::Array(items), "metadata", "ownerReferences") => owners(document, items)?,
                (change, ..) => merge::apply(document, change),
            }
        }
    }
    Ok(())
}

/// What `$patch` says; merging is the default.
fn directive(patch: &Map<String, Value>) -> Result<Option<&str>> {
    match patch.get(PATCH) {
        None => Ok(None),
        Some(Value::String(text)) if ["merge", "replace", "delete"].contains(&text.as_str()) => {
            Ok(Some(text))
        }
        Some(_) => Err(malformed(PATCH)),
    }
}

/// Adds what isn't there yet.
fn union(document: &mut Value, items: &[Value]) {
    let mut present = take_list(document);
    for item in items {
        if !present.contains(item) {
            present.push(item.clone());
        }
    }
    *document = present.into();
}

/// Merges owners with those of the same uid.
fn owners(document: &mut Value, items: &[Value]) -> Result<()> {
    let mut present = take_list(document);
    for item in items {
        let patch = item
            .as_object()
            .ok_or_else(|| malformed("ownerReferences"))?;
        let directive = directive(patch)?;
        if directive == Some("replace") {
            // Stands for the whole list: what else is listed is what it shall be.
            present.clear();
            continue;
        }
        let key = patch.get(OWNER_KEY).ok_or_else(|| {
            Status::bad_request(format!(
                "ownerReferences: a patch of an owner needs its {OWNER_KEY}"
            ))
        })?;
        let at = present
            .iter()
            .position(|owner| owner.get(OWNER_KEY) == Some(key));
        match (at, directive) {
            (Some(at), Some("delete")) => {
                present.remove(at);
            }
            (None, Some("delete")) => {}
            (Some(at), _) => map(&mut present[at], patch, "")?,
            (None, _) => {
                let mut owner = Value::Null;
                map(&mut owner, patch, "")?;
                present.push(owner);
            }
        }
    }
    *document = present.into();
    Ok(())
}

/// Takes a list out of its place; anything else counts as an empty one.
fn take_list(document: &mut Value) -> Vec<Value> {
    match document.take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}
fn list<'v>(value: &'v Value, directive: &str) -> Result<&'v Vec<Value>> {
    value.as_array().ok_or_else(|| malformed(directive))
}

fn malformed(directive: &str) -> Status {
    Status::bad_request(format!(
        "error decoding patch: {directive:?} is not understood in a strategic merge patch"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(mut document: Value, patch: Value) -> Result<Value> {
        apply(&mut document, patch.as_object().unwrap())?;
        Ok(document)
    }

    #[test]
    fn it_merges_maps_and_replaces_other_lists() {
        let namespace = json!({
            "metadata": {"name": "a", "labels": {"x": "1", "y": "2"}},
            "spec": {"finalizers": ["kubernetes"]},
        });
        let patch = json!({"metadata": {"labels": {"x": null, "z": "3"}}, "spec": {"finalizers": ["other"]}});
        let expected = json!({
            "metadata": {"name": "a", "labels": {"y": "2", "z": "3"}},
            "spec": {"finalizers": ["other"]},
        });
        assert_eq!(applied(namespace, patch), Ok(expected));
    }

    #[test]
    fn finalizers_are_added_and_taken_out_one_by_one() {
        let object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {
            "finalizers": ["b", "c"],
            "$setElementOrder/finalizers": ["b", "c"],
            "$deleteFromPrimitiveList/finalizers": ["a"],
        }});
        // Whichever of the two stands first.
        let left = json!({"metadata": {"finalizers": ["b", "c"]}});
        assert_eq!(applied(object, patch), Ok(left));
    }

    #[test]
    fn owners_are_known_by_their_uid() {
        let object = json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]}});
        let patch = json!({"metadata": {"ownerReferences": [
            {"uid": "1", "name": "c"}, {"uid": "2", "$patch": "delete"}, {"uid": "3", "name": "d"},
        ]}});
        let merged = json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "c"}, {"uid": "3", "name": "d"}]}});
        assert_eq!(applied(object.clone(), patch), Ok(merged));
        let whole = json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, {"uid": "9"}]}});
        let replaced = json!({"metadata": {"ownerReferences": [{"uid": "9"}]}});
        assert_eq!(applied(object.clone(), whole), Ok(replaced));
        let unknown = json!({"metadata": {"ownerReferences": [{"name": "c"}]}});
        assert_eq!(applied(object, unknown).unwrap_err().code(), 400);
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        let object = json!({"spec": {"a": 1, "b": 2}});
        let replace = json!({"spec": {"$patch": "replace", "c": 3}});
        assert_eq!(
            applied(object.clone(), replace),
            Ok(json!({"spec": {"c": 3}}))
        );
        let delete = json!({"spec": {"$patch": "delete"}});
        assert_eq!(applied(object.clone(), delete), Ok(json!({"spec": {}})));
        let retain = json!({"spec": {"$retainKeys": ["b"], "b": 4}});
        assert_eq!(
            applied(object.clone(), retain),
            Ok(json!({"spec": {"b": 4}}))
        );
        for wrong in [
            json!({"$patch": "explode"}),
            json!({"spec": {"$retainKeys": "a"}}),
            json!({"$other": 1}),
        ] {
            assert_eq!(applied(object.clone(), wrong).unwrap_err().code(), 400);
        }
    }
}
