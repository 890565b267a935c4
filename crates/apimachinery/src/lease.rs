//! The built-in kind Lease, as `coordination.k8s.io/v1` has it.
//!
//! It is a definition like any other, so leases are stored, watched and published the same way as every kind;
//! what its schema can't say is checked by [`validate`] (Kubernetes API reference, "Lease").

use serde_json::{Value, json};

use crate::builtin::{column, time, version};
use crate::crd::{Definition, DefinitionVersion, Names};
use crate::field::{ErrorList, FieldError, Path};
use crate::meta::Object;
use crate::names;
use crate::resource::Scope;

/// The schema of a Lease.
fn raw_schema() -> Value {
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
    let v1 = version("v1", raw_schema(), false)
        .expect("the schema above is structural, which a test shows");
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
            ..v1
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

/// What becomes of a lease whose duration is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationPolicy {
    /// It is refused.
    Refuse,
    /// It gets the nearest duration that is allowed, and its writer a warning.
    Cap,
}

/// Which durations leases may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationLimits {
    /// The shortest, in seconds.
    pub min: i64,
    /// The longest, in seconds: for so long a holder that died keeps everybody waiting.
    pub max: i64,
    /// What becomes of the others.
    pub policy: DurationPolicy,
}

impl Default for DurationLimits {
    fn default() -> Self {
        Self {
            min: 1,
            max: 3600,
            policy: DurationPolicy::Refuse,
        }
    }
}

impl DurationLimits {
    /// Applies the limits to a lease that is written; returns a warning if it was changed. A lease that nobody holds may have any
    /// duration (client libraries give one up with a duration of one second), and one that had its duration before may keep it.
    pub fn apply(
        &self,
        lease: &mut Object,
        old: Option<&Object>,
    ) -> Result<Option<String>, FieldError> {
        let duration = |lease: &Object| {
            let value = lease.get_path(&["spec", "leaseDurationSeconds"]);
            value.and_then(Value::as_i64)
        };
        let Some(asked) = duration(lease) else {
            return Ok(None);
        };
        let allowed = asked.clamp(self.min, self.max);
        // What is below 1 is never a duration, and said so elsewhere.
        if allowed == asked || asked < 1 || holder(lease).is_empty() {
            return Ok(None);
        }
        if old.and_then(duration) == Some(asked) {
            return Ok(None);
        }
        let bounds = format!("from {} to {} seconds", self.min, self.max);
        match self.policy {
            DurationPolicy::Refuse => {
                let root = Path::new("spec");
                let why = format!(
                    "must be {bounds}, which are the limits of this server (--lease-duration-min, --lease-duration-max): for so long a holder that dies keeps everybody waiting"
                );
                Err(FieldError::invalid(
                    &root.child("leaseDurationSeconds"),
                    asked,
                    why,
                ))
            }
            DurationPolicy::Cap => {
                lease
                    .with_value_mut(|value| value["spec"]["leaseDurationSeconds"] = allowed.into());
                Ok(Some(format!(
                    "spec.leaseDurationSeconds: {asked} was changed to {allowed}: leases may last {bounds} here. A holder must stop within {allowed} seconds of its last renewal"
                )))
            }
        }
    }
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
    fn durations_out_of_bounds_are_refused_or_capped() {
        let limits = DurationLimits {
            min: 5,
            max: 60,
            policy: DurationPolicy::Refuse,
        };
        let lasting = |holder: &str, seconds: i64| {
            let mut lease = held(holder, "", 0);
            lease.with_value_mut(|value| value["spec"]["leaseDurationSeconds"] = seconds.into());
            lease
        };
        for (holder, seconds, fine) in [
            ("a", 5, true),
            ("a", 60, true),
            ("a", 4, false),
            ("a", 61, false),
            ("", 1, true),
        ] {
            let outcome = limits.apply(&mut lasting(holder, seconds), None);
            assert_eq!(outcome.is_ok(), fine, "{holder:?} {seconds}: {outcome:?}");
        }
        let error = limits.apply(&mut lasting("a", 7200), None).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "spec.leaseDurationSeconds: Invalid value: 7200: must be from 5 to 60 seconds"
            ),
            "{error}"
        );
        // It had it before there was a limit.
        assert_eq!(
            limits.apply(&mut lasting("a", 90), Some(&lasting("b", 90))),
            Ok(None)
        );
        assert_eq!(limits.apply(&mut held("a", "", 0), None), Ok(None));

        let capping = DurationLimits {
            policy: DurationPolicy::Cap,
            ..limits
        };
        for (asked, expected) in [(7200, 60), (1, 5)] {
            let mut lease = lasting("a", asked);
            let warning = capping.apply(&mut lease, None).unwrap().expect("a warning");
            assert!(
                warning.contains(&format!("{asked} was changed to {expected}")),
                "{warning}"
            );
            assert_eq!(lease, lasting("a", expected));
        }
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
