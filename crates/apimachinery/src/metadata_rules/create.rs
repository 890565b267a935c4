//! What the server makes of the body of a create.

use jiff::Timestamp;
use rand::RngCore;
use uuid::Uuid;

use crate::meta::{Object, time_text};
use crate::names;
use crate::resource::Scope;
use crate::resource_version;
use crate::status::{Result, Status};

/// How often a create whose name was generated and is taken is tried with another name.
pub const NAME_TRIES: usize = 8;

/// What a create needs to know besides the object.
#[derive(Clone, Copy, Debug)]
pub struct CreateContext<'a> {
    /// Whether the resource is namespaced.
    pub scope: Scope,
    /// The namespace of the URL, or empty.
    pub namespace: &'a str,
    /// Whether there is a `status` subresource, so that `status` is dropped.
    pub has_status: bool,
    /// The time of day.
    pub now: Timestamp,
    /// A fresh UUID (version 4).
    pub uid: Uuid,
}

/// Makes a decoded body a new object: namespace from the URL (400 on a mismatch), a generated name if there is
/// only `generateName`, uid, creationTimestamp, generation 1; what only the server sets is wiped. 400 when a
/// resourceVersion is given.
///
/// If the generated name turns out to be taken, call [`regenerate_name`] and try again, [`NAME_TRIES`] times in all.
pub fn prepare_create(
    object: &mut Object,
    context: &CreateContext<'_>,
    random: &mut dyn RngCore,
) -> Result<()> {
    let namespace = if context.scope.is_namespaced() {
        context.namespace
    } else {
        ""
    };
    if object.namespace() != namespace {
        if !object.namespace().is_empty() && !namespace.is_empty() {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object.set_namespace(namespace);
    }
    if resource_version::parse(object.resource_version())?.is_some_and(|v| v != 0) {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    for member in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        object.remove_meta(member);
    }
    if context.has_status {
        object.remove("status");
    }
    if object.name().is_empty() && !object.generate_name().is_empty() {
        regenerate_name(object, random);
    }
    object.set_meta("uid", context.uid.to_string());
    object.set_meta("creationTimestamp", time_text(context.now));
    object.set_generation(1);
    Ok(())
}

/// Gives a (new) generated name to an object with `generateName`.
pub fn regenerate_name(object: &mut Object, random: &mut dyn RngCore) {
    let name = names::generate_name(object.generate_name(), random);
    object.set_name(&name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use serde_json::{Value, json};

    fn prepared(value: Value, scope: Scope) -> Result<Object> {
        let mut object = Object::try_from(value).unwrap();
        let context = CreateContext {
            scope,
            namespace: "n",
            has_status: true,
            now: "2026-01-02T03:04:05.9Z".parse().unwrap(),
            uid: Uuid::nil(),
        };
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        prepare_create(&mut object, &context, &mut random).map(|()| object)
    }

    #[test]
    fn the_server_sets_what_is_its_own() {
        let object = prepared(
            json!({
                "metadata": {
                    "name": "a", "uid": "mine", "generation": 7, "selfLink": "/x",
                    "creationTimestamp": "2020-01-01T00:00:00Z",
                    "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3,
                },
                "spec": {}, "status": {"x": 1},
            }),
            Scope::Namespaced,
        )
        .unwrap();
        assert_eq!(
            object.as_value(),
            &json!({
                "metadata": {
                    "name": "a", "namespace": "n", "uid": "00000000-0000-0000-0000-000000000000",
                    "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z",
                },
                "spec": {},
            })
        );
    }

    #[test]
    fn namespaces_follow_the_url() {
        let status =
            prepared(json!({"metadata": {"namespace": "m"}}), Scope::Namespaced).unwrap_err();
        assert_eq!(status.code(), 400);
        let object = prepared(json!({"metadata": {"namespace": "m"}}), Scope::Cluster).unwrap();
        assert_eq!(object.namespace(), "");
    }

    #[test]
    fn a_version_cannot_be_given() {
        let status = prepared(
            json!({"metadata": {"resourceVersion": "5"}}),
            Scope::Cluster,
        )
        .unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (
                400,
                "resourceVersion should not be set on objects to be created"
            )
        );
        let object = prepared(
            json!({"metadata": {"resourceVersion": "0"}}),
            Scope::Cluster,
        )
        .unwrap();
        assert_eq!(object.resource_version(), "");
    }

    #[test]
    fn names_are_generated_only_when_missing() {
        let object = prepared(
            json!({"metadata": {"generateName": "web-"}}),
            Scope::Cluster,
        )
        .unwrap();
        assert!(object.name().starts_with("web-") && object.name().len() == 9);
        let object = prepared(
            json!({"metadata": {"generateName": "web-", "name": "a"}}),
            Scope::Cluster,
        )
        .unwrap();
        assert_eq!(object.name(), "a");
    }
}
