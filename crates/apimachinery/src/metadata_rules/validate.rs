//! What may be wrong with metadata.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::GroupVersion;
use crate::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN, Object, OwnerReference};
use crate::names;
use crate::resource::Scope;
use crate::text::quote;

/// Most bytes that keys and values of all annotations may add up to: 256 KiB.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

const METADATA: Path<'static> = Path::new("metadata");
const IMMUTABLE: &str = "field is immutable";

/// What is wrong with the metadata of a new object. Names must be DNS-1123 subdomains.
pub fn validate_create(object: &Object, scope: Scope) -> ErrorList {
    validate_create_named(object, scope, names::dns1123_subdomain)
}

/// [`validate_create`] for a kind whose names have another rule.
pub fn validate_create_named(
    object: &Object,
    scope: Scope,
    name_rule: fn(&str) -> Vec<String>,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let generate_name = object.generate_name();
    if !generate_name.is_empty() {
        errors.append(invalid(
            &METADATA.child("generateName"),
            generate_name,
            names::generate_name_prefix(generate_name),
        ));
    }
    errors.append(name_errors(object.name(), &METADATA, name_rule));
    if scope.is_namespaced() {
        errors.append(namespace_errors(object.namespace(), &METADATA));
    } else if !object.namespace().is_empty() {
        errors.push(FieldError::forbidden(
            &METADATA.child("namespace"),
            "not allowed on this type",
        ));
    }
    errors.append(common_errors(object, &METADATA));
    errors
}

/// What is wrong with the metadata of an updated object.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.is_terminating() {
        errors.append(added_finalizers(new, old));
    }
    if new.resource_version().is_empty() {
        errors.push(FieldError::invalid(
            &METADATA.child("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    if new.generation() < old.generation() {
        errors.push(FieldError::invalid(
            &METADATA.child("generation"),
            new.generation(),
            "must not be decremented",
        ));
    }
    for member in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if new.meta(member) != old.meta(member) {
            let shown = new.meta(member).cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(
                &METADATA.child(member),
                shown,
                IMMUTABLE,
            ));
        }
    }
    errors.append(common_errors(new, &METADATA));
    errors
}

/// What is wrong with the metadata of an object that stands inside another one. `path` is the path of its
/// metadata. A name isn't required, and need only be a path segment.
pub fn validate_embedded(object: &Object, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    if !object.name().is_empty() {
        errors.append(invalid(
            &path.child("name"),
            object.name(),
            path_segment(object.name()),
        ));
    }
    if !object.namespace().is_empty() {
        errors.append(namespace_errors(object.namespace(), path));
    }
    errors.append(common_errors(object, path));
    errors
}

/// Warnings for the client about metadata: finalizers that may clash with others'. `old` is the object before
/// an update; what was there already is not warned about.
pub fn warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    let before = old.map(Object::finalizers).unwrap_or_default();
    let mut added: Vec<&str> = new
        .finalizers()
        .into_iter()
        .filter(|f| !before.contains(f))
        .collect();
    added.sort_unstable();
    added.dedup();
    let mut warnings = Vec::new();
    for finalizer in added {
        let shown = quote(finalizer);
        for message in names::qualified_name(finalizer) {
            warnings.push(format!("metadata.finalizers: {shown}: {message}"));
        }
        let standard = [FINALIZER_ORPHAN, FINALIZER_FOREGROUND].contains(&finalizer);
        if !finalizer.contains('/') && !standard {
            let how = if finalizer.contains('.') {
                " including a path (/)"
            } else {
                ""
            };
            warnings.push(format!(
                "metadata.finalizers: {shown}: prefer a domain-qualified finalizer name{how} to avoid accidental conflicts with other finalizer writers"
            ));
        }
    }
    warnings
}

/// Drops repeated owner references and returns the warning about them, if there were any.
pub fn dedup_owner_references(object: &mut Object) -> Option<String> {
    let list = object.meta("ownerReferences")?.as_array()?;
    let mut kept: Vec<Value> = Vec::with_capacity(list.len());
    let mut uids = Vec::new();
    for entry in list {
        if kept.contains(entry) {
            uids.push(
                entry
                    .get("uid")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            );
        } else {
            kept.push(entry.clone());
        }
    }
    if uids.is_empty() {
        return None;
    }
    object.set_meta("ownerReferences", kept);
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: [{}]",
        uids.join(" ")
    ))
}

fn invalid(path: &Path<'_>, value: &str, messages: Vec<String>) -> ErrorList {
    messages
        .into_iter()
        .map(|message| FieldError::invalid(path, value, message))
        .collect()
}

fn name_errors(name: &str, path: &Path<'_>, check: fn(&str) -> Vec<String>) -> ErrorList {
    let path = path.child("name");
    if name.is_empty() {
        FieldError::required(&path, "name or generateName is required").into()
    } else {
        invalid(&path, name, check(name))
    }
}

fn namespace_errors(namespace: &str, path: &Path<'_>) -> ErrorList {
    let path = path.child("namespace");
    if namespace.is_empty() {
        FieldError::required(&path, "").into()
    } else {
        invalid(&path, namespace, names::dns1123_label(namespace))
    }
}

/// Messages for a name that can't be a part of a URL.
fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"]
        .into_iter()
        .filter(|part| name.contains(part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// What holds for every object: labels, annotations, owners, finalizers, generation.
fn common_errors(object: &Object, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    if object.generation() < 0 {
        errors.push(FieldError::invalid(
            &path.child("generation"),
            object.generation(),
            "must be greater than or equal to 0",
        ));
    }
    if let Some(labels) = object.labels() {
        errors.append(label_errors(labels, &path.child("labels")));
    }
    if let Some(annotations) = object.annotations() {
        errors.append(annotation_errors(annotations, &path.child("annotations")));
    }
    errors.append(owner_errors(object, &path.child("ownerReferences")));
    errors.append(finalizer_errors(
        &object.finalizers(),
        &path.child("finalizers"),
    ));
    errors
}

fn label_errors(labels: &Map<String, Value>, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        errors.append(invalid(path, key, names::qualified_name(key)));
        errors.append(invalid(path, value, names::label_value(value)));
    }
    errors
}

fn annotation_errors(annotations: &Map<String, Value>, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in annotations {
        // Annotation keys may have upper case in their prefix.
        errors.append(invalid(
            path,
            key,
            names::qualified_name(&key.to_lowercase()),
        ));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
    errors
}

fn owner_errors(object: &Object, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    for owner in object.owner_references() {
        errors.append(one_owner_errors(&owner, path));
        if owner.controller {
            let this = format!("{}/{}", owner.kind, owner.name);
            match &controller {
                Some(first) => errors.push(FieldError::invalid(
                    path,
                    object.meta("ownerReferences").cloned().unwrap_or(Value::Null),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                )),
                None => controller = Some(this),
            }
        }
    }
    errors
}

fn one_owner_errors(owner: &OwnerReference, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let version = GroupVersion::parse(&owner.api_version).unwrap_or_default();
    if version.version.is_empty() {
        errors.push(FieldError::invalid(
            &path.child("apiVersion"),
            owner.api_version.as_str(),
            "version must not be empty",
        ));
    }
    for (member, text) in [
        ("kind", &owner.kind),
        ("name", &owner.name),
        ("uid", &owner.uid),
    ] {
        if text.is_empty() {
            errors.push(FieldError::invalid(
                &path.child(member),
                "",
                "must not be empty",
            ));
        }
    }
    if version == GroupVersion::new("", "v1") && owner.kind == "Event" {
        let shown = serde_json::json!({
            "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
        });
        let banned = version.with_kind("Event");
        errors.push(FieldError::invalid(
            path,
            shown,
            format!("{banned} is disallowed from being an owner"),
        ));
    }
    errors
}

fn finalizer_errors(finalizers: &[&str], path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for finalizer in finalizers {
        errors.append(invalid(path, finalizer, names::qualified_name(finalizer)));
    }
    if finalizers.contains(&FINALIZER_ORPHAN) && finalizers.contains(&FINALIZER_FOREGROUND) {
        let shown: Vec<Value> = finalizers.iter().map(|f| Value::from(*f)).collect();
        errors.push(FieldError::invalid(
            path,
            shown,
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors
}

fn added_finalizers(new: &Object, old: &Object) -> ErrorList {
    let before: HashSet<&str> = old.finalizers().into_iter().collect();
    let mut added: Vec<String> = new
        .finalizers()
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .map(quote)
        .collect();
    added.sort();
    added.dedup();
    if added.is_empty() {
        return ErrorList::new();
    }
    FieldError::forbidden(
        &METADATA.child("finalizers"),
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        ),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(metadata: Value) -> Object {
        Object::try_from(json!({"metadata": metadata})).unwrap()
    }

    fn create_errors(metadata: Value) -> String {
        validate_create(&object(metadata), Scope::Cluster).to_string()
    }

    #[test]
    fn names_and_namespaces_are_checked() {
        assert_eq!(create_errors(json!({"name": "a"})), "[]");
        assert_eq!(
            create_errors(json!({})),
            "metadata.name: Required value: name or generateName is required"
        );
        assert!(
            create_errors(json!({"name": "A"}))
                .starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain")
        );
        assert_eq!(
            create_errors(json!({"name": "a", "namespace": "n"})),
            "metadata.namespace: Forbidden: not allowed on this type"
        );
        let errors = validate_create(&object(json!({"name": "a"})), Scope::Namespaced);
        assert_eq!(errors.to_string(), "metadata.namespace: Required value");
    }

    #[test]
    fn labels_annotations_and_finalizers_are_checked() {
        assert!(
            create_errors(json!({"name": "a", "labels": {"k": "a b"}}))
                .starts_with("metadata.labels: Invalid value: \"a b\": a valid label must be")
        );
        assert!(
            create_errors(json!({"name": "a", "annotations": {"a b": ""}}))
                .starts_with("metadata.annotations: Invalid value: \"a b\": name part")
        );
        assert_eq!(
            create_errors(json!({"name": "a", "annotations": {"X.io/B": "any text"}})),
            "[]"
        );
        assert_eq!(
            create_errors(json!({"name": "a", "annotations": {"k": "x".repeat(ANNOTATIONS_MAX)}})),
            "metadata.annotations: Too long: may not be more than 262144 bytes"
        );
        assert_eq!(
            create_errors(json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]})),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set"
        );
    }

    #[test]
    fn owners_are_checked() {
        let owner = |kind: &str, controller: bool| json!({"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "controller": controller});
        assert_eq!(
            create_errors(
                json!({"name": "a", "ownerReferences": [{"apiVersion": "g.io/", "name": "x"}]})
            ),
            "[metadata.ownerReferences.apiVersion: Invalid value: \"g.io/\": version must not be empty, metadata.ownerReferences.kind: Invalid value: \"\": must not be empty, metadata.ownerReferences.uid: Invalid value: \"\": must not be empty]"
        );
        assert!(
            create_errors(json!({"name": "a", "ownerReferences": [owner("Event", false)]}))
                .ends_with("/v1, Kind=Event is disallowed from being an owner")
        );
        assert!(
            create_errors(
                json!({"name": "a", "ownerReferences": [owner("A", true), owner("B", true)]})
            )
            .ends_with("Found \"true\" in references for A/o and B/o")
        );
    }

    #[test]
    fn updates_keep_identity_and_add_no_finalizers_while_deleting() {
        let metadata = json!({
            "name": "a", "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["g.io/a"],
        });
        let old = object(metadata.clone());
        let mut new = object(metadata);
        new.set_finalizers(&["g.io/a", "g.io/c", "g.io/b"]);
        assert_eq!(
            validate_update(&new, &old).to_string(),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"g.io/b\", \"g.io/c\"}"
        );
        new.set_finalizers::<&str>(&[]);
        assert!(validate_update(&new, &old).is_empty());
        new.set_name("b");
        assert_eq!(
            validate_update(&new, &old).to_string(),
            "metadata.name: Invalid value: \"b\": field is immutable"
        );
    }

    #[test]
    fn unqualified_finalizers_and_repeated_owners_are_warned_about() {
        let mut o = object(json!({
            "finalizers": ["orphan", "mine", "g.io", "g.io/x"],
            "ownerReferences": [{"uid": "u"}, {"uid": "v"}, {"uid": "u"}],
        }));
        let warned = warnings(&o, None);
        assert_eq!(
            warned,
            [
                "metadata.finalizers: \"g.io\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers",
                "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers",
            ]
        );
        assert!(warnings(&o, Some(&o)).is_empty());
        assert!(
            dedup_owner_references(&mut o)
                .unwrap()
                .ends_with("observed: [u]")
        );
        assert_eq!(o.owner_references().len(), 2);
        assert_eq!(dedup_owner_references(&mut o), None);
    }

    #[test]
    fn embedded_objects_need_no_name() {
        let path = Path::new("spec");
        let path = path.child("metadata");
        assert!(validate_embedded(&object(json!({})), &path).is_empty());
        assert_eq!(
            validate_embedded(&object(json!({"name": "a/b"})), &path).to_string(),
            "spec.metadata.name: Invalid value: \"a/b\": may not contain '/'"
        );
    }
}
