//! The built-in kind Lease, as `coordination.k8s.io/v1` has it.
//!
//! It is a definition like any other, so leases are stored, watched and published the same way as every kind;
//! what its schema can't say is checked by [`validate`] (Kubernetes API reference, "Lease").

use serde_json::{Value, json};

use crate::crd::{Definition, DefinitionVersion, Names};
use crate::field::{ErrorList, FieldError, Path};
use crate::meta::Object;
use crate::names;
use crate::resource::{PrinterColumn, Scope};
use crate::schema::Schema;

/// The schema of a Lease.
fn raw_schema() -> Value {
    let time = |description: &str| json!({"type": "string", "format": "date-time", "nullable": true, "description": description});
    json!({
        "type": "object",
        "description": "Lease defines a lease concept.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "description": "spec contains the specification of the Lease.",
                "properties": {
                    "holderIdentity": {
                        "type": "string",
                        "description": "Who holds the lease; empty when it is free.",
                    },
                    "leaseDurationSeconds": {
                        "type": "integer", "format": "int32",
                        "description": "How long candidates wait, counted from the last renewal that they observed.",
                    },
                    "acquireTime": time("When the lease was acquired."),
                    "renewTime": time("When the holder last renewed the lease."),
                    "leaseTransitions": {
                        "type": "integer", "format": "int32",
                        "description": "How often the lease changed hands.",
                    },
                    "strategy": {
                        "type": "string",
                        "description": "How the holder is picked in a coordinated election.",
                    },
                    "preferredHolder": {
                        "type": "string",
                        "description": "To whom the holder should hand over.",
                    },
                },
            },
        },
    })
}

/// The definition of Lease in a group (`coordination.k8s.io` or another one), version v1.
pub fn definition(group: &str) -> Definition {
    let raw_schema = raw_schema();
    let schema = Schema::parse(&raw_schema, &Path::new("lease"))
        .expect("the schema above is structural, which a test shows");
    let column = |name: &str, type_: &str, json_path: &str, description: &str| PrinterColumn {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: json_path.to_owned(),
        description: description.to_owned(),
        ..PrinterColumn::default()
    };
    Definition {
        group: group.to_owned(),
        names: Names {
            plural: "leases".to_owned(),
            singular: "lease".to_owned(),
            kind: "Lease".to_owned(),
            list_kind: "LeaseList".to_owned(),
            ..Names::default()
        },
        scope: Scope::Namespaced,
        versions: vec![DefinitionVersion {
            name: "v1".to_owned(),
            served: true,
            storage: true,
            deprecation: None,
            schema,
            raw_schema,
            has_status: false,
            scale: None,
            columns: vec![
                column(
                    "Holder",
                    "string",
                    ".spec.holderIdentity",
                    "Who holds the lease",
                ),
                column(
                    "Cluster",
                    "string",
                    ".metadata.annotations.helium\\.dev/origin-cluster",
                    "The cluster through which the lease was last written",
                ),
                column(
                    "Token",
                    "string",
                    ".metadata.annotations.helium\\.dev/fencing-token",
                    "Fencing token of the holder's term",
                ),
                column("Age", "date", ".metadata.creationTimestamp", ""),
            ],
            selectable_fields: Vec::new(),
        }],
    }
}

/// The annotation with the fencing token of the lease's present term. Set by the server.
pub const TOKEN: &str = "helium.dev/fencing-token";

/// Who holds the lease; empty when it is free.
pub fn holder(lease: &Object) -> &str {
    lease
        .get_path(&["spec", "holderIdentity"])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether `new` is the beginning of a term: somebody holds the lease who didn't, or who lost it in between. A
/// renewal changes neither holder nor time of acquisition nor the count of transitions.
pub fn begins_term(old: Option<&Object>, new: &Object) -> bool {
    if holder(new).is_empty() {
        return false;
    }
    let Some(old) = old else {
        return true;
    };
    // Clients write a time that they don't know as null, or not at all.
    let said = |lease: &Object, field| {
        let value = lease.get_path(&["spec", field]).cloned();
        value.filter(|value| !value.is_null())
    };
    ["holderIdentity", "acquireTime", "leaseTransitions"]
        .into_iter()
        .any(|field| said(old, field) != said(new, field))
}

/// What is wrong with a lease beyond its schema.
pub fn validate(lease: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let root = Path::new("spec");
    let field = |key: &str| lease.get_path(&["spec", key]).filter(|v| !v.is_null());
    if let Some(seconds) = field("leaseDurationSeconds").and_then(Value::as_i64)
        && seconds <= 0
    {
        errors.push(FieldError::invalid(
            &root.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(transitions) = field("leaseTransitions").and_then(Value::as_i64)
        && transitions < 0
    {
        errors.push(FieldError::invalid(
            &root.child("leaseTransitions"),
            transitions,
            "must be greater than or equal to 0",
        ));
    }
    let strategy = field("strategy").and_then(Value::as_str);
    if let Some(strategy) = strategy {
        let messages = names::qualified_name(strategy);
        errors.extend(
            messages
                .into_iter()
                .map(|m| FieldError::invalid(&root.child("strategy"), strategy, m)),
        );
    }
    let preferred = field("preferredHolder")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !preferred.is_empty() && strategy.unwrap_or_default().is_empty() {
        errors.push(FieldError::forbidden(
            &root.child("preferredHolder"),
            "may only be specified when `strategy` is defined",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, acquired: &str, transitions: i64) -> Object {
        let mut lease = Object::default();
        lease.set(
            "spec",
            json!({"holderIdentity": holder, "acquireTime": acquired, "leaseTransitions": transitions}),
        );
        lease
    }

    #[test]
    fn a_term_begins_with_its_acquisition_and_not_with_a_renewal() {
        let free = held("", "", 0);
        let mine = held("a", "2026-01-01T00:00:00.000000Z", 1);
        let mut renewed = mine.clone();
        renewed.with_value_mut(|value| {
            value["spec"]["renewTime"] = json!("2026-01-01T00:00:05.000000Z")
        });
        assert!(begins_term(None, &mine) && begins_term(Some(&free), &mine));
        assert!(!begins_term(Some(&mine), &renewed));
        assert!(!begins_term(None, &free) && !begins_term(Some(&mine), &free));
        let mut unsaid = held("a", "", 1);
        unsaid.with_value_mut(|value| value["spec"]["acquireTime"] = Value::Null);
        let mut absent = unsaid.clone();
        absent.with_value_mut(|value| {
            value["spec"].as_object_mut().unwrap().remove("acquireTime");
        });
        assert!(!begins_term(Some(&unsaid), &absent) && !begins_term(Some(&absent), &unsaid));
        let theirs = held("b", "2026-01-01T00:00:00.000000Z", 1);
        let again = held("a", "2026-01-01T00:01:00.000000Z", 2);
        assert!(begins_term(Some(&mine), &theirs) && begins_term(Some(&mine), &again));
    }

    #[test]
    fn the_definition_is_valid_and_serves_leases() {
        let definition = definition("coordination.helium.dev");
        let served = definition.served();
        assert_eq!(
            served[0].gvk.to_string(),
            "coordination.helium.dev/v1, Kind=Lease"
        );
        assert!(served[0].scope.is_namespaced());
    }

    #[test]
    fn what_client_libraries_write_is_valid() {
        let definition = definition("coordination.k8s.io");
        let schema = &definition.storage_version().schema;
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "a", "namespace": "n"},
            "spec": {
                "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "acquireTime": "2026-11-21T10:00:00.123456Z", "renewTime": "2026-11-21T10:00:00.123456Z",
            },
        });
        assert!(schema.prune(&mut lease).is_empty());
        assert!(schema.validate(&lease, None).is_empty());
        assert!(validate(&Object::try_from(lease.clone()).unwrap()).is_empty());
        lease["spec"]["renewTime"] = "yesterday".into();
        lease["spec"]["acquireTime"] = Value::Null;
        assert_eq!(schema.validate(&lease, None).len(), 1);
    }

    #[test]
    fn durations_are_positive_and_hand_overs_need_a_strategy() {
        let lease = Object::try_from(json!({"spec": {
            "leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "x",
        }}))
        .unwrap();
        assert_eq!(
            validate(&lease).to_string(),
            "[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0, spec.preferredHolder: Forbidden: may only be specified when `strategy` is defined]"
        );
        let lease = Object::try_from(json!({"spec": {"strategy": "a b"}})).unwrap();
        assert_eq!(validate(&lease).len(), 1);
    }
}
