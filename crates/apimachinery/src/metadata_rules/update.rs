//! What the server makes of the body of an update.

use serde_json::Value;

use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::{GroupKind, GroupResource};
use crate::meta::Object;
use crate::resource_version;
use crate::status::{Result, Status};

use super::check_preconditions;
use crate::options::Preconditions;

/// Which part of an object an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateTarget {
    /// The object; `status` is kept if there is a subresource for it.
    Main {
        /// Whether there is a `status` subresource.
        has_status: bool,
    },
    /// Only `status`; everything else, metadata included, stays as it is.
    Status,
}

/// Checks that a body is about the object of the URL, 400 otherwise, and fills its namespace.
pub fn check_identity(object: &mut Object, name: &str, namespace: &str) -> Result<()> {
    let refuse = |message: String| Err(Status::bad_request(message));
    if object.name().is_empty() {
        return refuse(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ));
    }
    if object.name() != name {
        return refuse(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            object.name()
        ));
    }
    if !namespace.is_empty() && !object.namespace().is_empty() && object.namespace() != namespace {
        return refuse(format!(
            "the namespace of the object ({}) does not match the namespace on the request ({namespace})",
            object.namespace()
        ));
    }
    object.set_namespace(namespace);
    Ok(())
}

/// Makes a decoded body the next version of `old`: keeps what clients can't change and sets the generation.
///
/// 409 for a uid or resourceVersion that isn't that of `old`; 422 without a resourceVersion.
pub fn prepare_update(
    new: &mut Object,
    old: &Object,
    target: UpdateTarget,
    resource: &GroupResource,
) -> Result<()> {
    let uid = Some(new.uid())
        .filter(|uid| !uid.is_empty())
        .map(str::to_owned);
    check_preconditions(
        &Preconditions {
            uid,
            resource_version: None,
        },
        old,
        resource,
    )?;
    if matches!(
        resource_version::parse(new.resource_version())?,
        None | Some(0)
    ) {
        let path = Path::new("metadata");
        let error = FieldError::invalid(
            &path.child("resourceVersion"),
            0,
            "must be specified for an update",
        );
        let kind = GroupKind::new(resource.group.clone(), old.kind());
        return Err(Status::invalid(&kind, old.name(), &ErrorList::from(error)));
    }
    if new.resource_version() != old.resource_version() {
        return Err(Status::object_modified(resource, old.name()));
    }
    match target {
        UpdateTarget::Main { has_status } => {
            keep_metadata(new, old);
            if has_status {
                match old.get("status") {
                    Some(status) => new.set("status", status.clone()),
                    None => {
                        new.remove("status");
                    }
                }
            }
            let grown = i64::from(content_differs(new, old));
            new.set_generation(old.generation() + grown);
        }
        UpdateTarget::Status => {
            let status = new.remove("status");
            let managed = new.remove_meta("managedFields");
            let (api_version, kind) = (new.api_version().to_owned(), new.kind().to_owned());
            *new = old.clone();
            new.set("apiVersion", api_version);
            new.set("kind", kind);
            if let Some(managed) = managed {
                new.set_meta("managedFields", managed);
            }
            match status {
                Some(status) => new.set("status", status),
                None => {
                    new.remove("status");
                }
            }
        }
    }
    Ok(())
}

/// Members of `metadata` that an update can't change, whatever it says.
fn keep_metadata(new: &mut Object, old: &Object) {
    new.remove_meta("selfLink");
    for member in ["uid", "creationTimestamp"] {
        if let Some(value) = old.meta(member) {
            new.set_meta(member, value.clone());
        }
    }
    if let Some(value) = old.meta("deletionTimestamp") {
        new.set_meta("deletionTimestamp", value.clone());
        if let (Some(grace), None) = (
            old.meta("deletionGracePeriodSeconds"),
            new.meta("deletionGracePeriodSeconds"),
        ) {
            new.set_meta("deletionGracePeriodSeconds", grace.clone());
        }
    }
}

/// Whether anything outside `metadata` differs.
fn content_differs(new: &Object, old: &Object) -> bool {
    fn members(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
        object.map().iter().filter(|(key, _)| *key != "metadata")
    }
    // Both maps iterate in the same order of keys only if they are sorted, so look each one up.
    members(new).count() != members(old).count()
        || members(new).any(|(key, value)| old.get(key) != Some(value))
}

/// Whether an update completes a deletion: it was pending, and no finalizer is left.
pub fn completes_deletion(new: &Object) -> bool {
    new.is_terminating() && new.finalizers().is_empty()
}

/// Whether an update changes nothing, so that nothing is written and the resourceVersion stays. Times in
/// `managedFields` don't count.
pub fn is_no_op(new: &Object, old: &Object) -> bool {
    !content_differs(new, old) && comparable_metadata(new) == comparable_metadata(old)
}

fn comparable_metadata(object: &Object) -> serde_json::Map<String, Value> {
    let mut metadata = object.metadata().cloned().unwrap_or_default();
    metadata.remove("resourceVersion");
    if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAIN: UpdateTarget = UpdateTarget::Main { has_status: true };

    fn old() -> Object {
        Object::try_from(json!({
            "apiVersion": "g.io/v1", "kind": "Widget",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"x": "y"},
            },
            "spec": {"a": 1}, "status": {"s": 1},
        }))
        .unwrap()
    }

    fn update(change: impl FnOnce(&mut Object), target: UpdateTarget) -> Result<Object> {
        let mut new = old();
        change(&mut new);
        prepare_update(
            &mut new,
            &old(),
            target,
            &GroupResource::new("g.io", "widgets"),
        )
        .map(|()| new)
    }

    #[test]
    fn generation_grows_with_content_and_not_with_metadata_or_status() {
        let same = update(|_| {}, MAIN).unwrap();
        assert!(is_no_op(&same, &old()));
        let spec = update(|o| o.set("spec", json!({"a": 2})), MAIN).unwrap();
        assert_eq!(spec.generation(), 4);
        let label = update(|o| o.set_meta("labels", json!({})), MAIN).unwrap();
        assert_eq!(label.generation(), 3);
        assert!(!is_no_op(&label, &old()));
        let status = update(|o| o.set("status", json!({"s": 2})), MAIN).unwrap();
        assert_eq!(
            (status.generation(), &status.as_value()["status"]),
            (3, &json!({"s": 1}))
        );
        let forged = update(|o| o.set_generation(99), MAIN).unwrap();
        assert_eq!(forged.generation(), 3);
        let without = UpdateTarget::Main { has_status: false };
        let status = update(|o| o.set("status", json!({"s": 2})), without).unwrap();
        assert_eq!(
            (status.generation(), &status.as_value()["status"]),
            (4, &json!({"s": 2}))
        );
    }

    #[test]
    fn a_status_update_changes_only_the_status() {
        let new = update(
            |o| {
                o.set("spec", json!({"a": 9}));
                o.set_meta("labels", json!({"other": "label"}));
                o.set("status", json!({"s": 2}));
            },
            UpdateTarget::Status,
        )
        .unwrap();
        let mut expected = old();
        expected.set("status", json!({"s": 2}));
        assert_eq!(new, expected);
    }

    #[test]
    fn identity_and_times_are_kept() {
        let new = update(
            |o| {
                o.remove_meta("uid");
                o.set_meta("creationTimestamp", "2000-01-01T00:00:00Z");
            },
            MAIN,
        )
        .unwrap();
        assert!(is_no_op(&new, &old()));
    }

    #[test]
    fn another_uid_or_version_is_a_conflict_and_none_is_invalid() {
        let status = update(|o| o.set_meta("uid", "v"), MAIN).unwrap_err();
        assert_eq!(
            status.message(),
            "Operation cannot be fulfilled on widgets.g.io \"a\": Precondition failed: UID in precondition: v, UID in object meta: u"
        );
        let status = update(|o| o.set_resource_version("4"), MAIN).unwrap_err();
        assert_eq!(
            status,
            Status::object_modified(&GroupResource::new("g.io", "widgets"), "a")
        );
        let status = update(|o| o.set_resource_version(""), MAIN).unwrap_err();
        assert_eq!(
            status.message(),
            "Widget.g.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        );
        let status = update(|o| o.set_resource_version("x"), MAIN).unwrap_err();
        assert_eq!(status.code(), 400);
    }

    #[test]
    fn bodies_must_be_about_the_object_of_the_url() {
        check_identity(&mut old(), "a", "n").unwrap();
        assert_eq!(
            check_identity(&mut old(), "b", "n").unwrap_err().message(),
            "the name of the object (a) does not match the name on the URL (b)"
        );
        assert_eq!(
            check_identity(&mut old(), "a", "m").unwrap_err().message(),
            "the namespace of the object (n) does not match the namespace on the request (m)"
        );
        let mut unnamed = Object::default();
        assert_eq!(
            check_identity(&mut unnamed, "a", "").unwrap_err().code(),
            400
        );
    }

    #[test]
    fn removing_the_last_finalizer_completes_a_deletion() {
        let mut object = old();
        assert!(!completes_deletion(&object));
        object.set_meta("deletionTimestamp", "2026-01-01T00:00:00Z");
        assert!(completes_deletion(&object));
        object.set_finalizers(&["g.io/x"]);
        assert!(!completes_deletion(&object));
    }

    #[test]
    fn times_of_managed_fields_are_no_change() {
        let with_time = |time: &str| {
            let mut o = old();
            o.set_meta("managedFields", json!([{"manager": "m", "time": time}]));
            o
        };
        assert!(is_no_op(
            &with_time("2026-01-01T00:00:00Z"),
            &with_time("2026-01-02T00:00:00Z")
        ));
    }
}
