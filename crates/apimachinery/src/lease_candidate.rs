//! The built-in kind LeaseCandidate, as `coordination.k8s.io/v1beta1` has it: somebody who would hold a lease.
//!
//! In a coordinated election candidates don't take a lease, they stand for it; a coordinator picks one by a *strategy* and writes
//! its name into the lease (Kubernetes documentation, "Coordinated Leader Election"). The rules of its fields
//! are those of Kubernetes; the strategy [`PRIORITY`] and the annotation of the same name are ours.

use semver::Version;
use serde_json::{Value, json};

use crate::builtin::{self, column, text, time};
use crate::crd::{Definition, DefinitionVersion, Names};
use crate::field::{ErrorList, FieldError, Path};
use crate::meta::Object;
use crate::names;
use crate::resource::Scope;

/// The strategy that Kubernetes has: the oldest emulated version leads, so that nothing new is begun during an update.
pub const OLDEST_EMULATION_VERSION: &str = "OldestEmulationVersion";
/// Our own: the highest number in the annotation [`PRIORITY_ANNOTATION`] leads.
pub const PRIORITY: &str = "helium.dev/Priority";
/// A candidate's priority, a number above 0.
pub const PRIORITY_ANNOTATION: &str = "helium.dev/priority";

/// The definition of LeaseCandidate in a group; the first version is the stored one.
pub fn definition(group: &str, versions: &[&str]) -> Definition {
    Definition {
        group: group.to_owned(),
        names: Names {
            plural: "leasecandidates".to_owned(),
            singular: "leasecandidate".to_owned(),
            kind: "LeaseCandidate".to_owned(),
            list_kind: "LeaseCandidateList".to_owned(),
            ..Names::default()
        },
        scope: Scope::Namespaced,
        versions: versions
            .iter()
            .enumerate()
            .map(|(at, name)| version(name, at == 0))
            .collect(),
    }
}

fn version(name: &str, storage: bool) -> DefinitionVersion {
    let version = builtin::version(name, raw_schema(), false)
        .expect("the schema below is structural, which a test shows");
    DefinitionVersion {
        storage,
        columns: vec![
            column(
                "Lease",
                "string",
                ".spec.leaseName",
                "The lease that it stands for",
            ),
            column(
                "Strategy",
                "string",
                ".spec.strategy",
                "How the holder is picked",
            ),
            column(
                "Version",
                "string",
                ".spec.binaryVersion",
                "Version of its program",
            ),
            column(
                "Priority",
                "string",
                ".metadata.annotations.helium\\.dev/priority",
                "Priority of the candidate",
            ),
            column(
                "Cluster",
                "string",
                ".metadata.annotations.helium\\.dev/origin-cluster",
                "The cluster of the candidate",
            ),
            column(
                "Renewed",
                "date",
                ".spec.renewTime",
                "When it last showed that it is there",
            ),
            column("Age", "date", ".metadata.creationTimestamp", ""),
        ],
        ..version
    }
}

fn raw_schema() -> Value {
    json!({
        "type": "object",
        "description": "LeaseCandidate defines a candidate for a Lease object.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "description": "spec contains the specification of the candidate.",
                "properties": {
                    "leaseName": text("The lease that it stands for, in its own namespace. Can't change."),
                    "pingTime": time("When the coordinator last asked whether it is there; it answers by a later renewTime."),
                    "renewTime": time("When it last showed that it is there."),
                    "binaryVersion": text("Version of its program, such as 1.36.0."),
                    "emulationVersion": text("Version that its program behaves like; not above binaryVersion."),
                    "strategy": text("How the holder is picked: OldestEmulationVersion, or <domain>/<name>, such as helium.dev/Priority."),
                },
            },
        },
    })
}

/// A text of a candidate's spec; empty if it isn't there.
pub fn spec_text<'o>(candidate: &'o Object, field: &str) -> &'o str {
    candidate
        .get_path(&["spec", field])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A candidate's priority; `None` without a valid one.
pub fn priority(candidate: &Object) -> Option<i32> {
    let text = priority_text(candidate)?;
    text.parse().ok().filter(|priority| *priority > 0)
}

fn priority_text(candidate: &Object) -> Option<&str> {
    candidate
        .get_path(&["metadata", "annotations", PRIORITY_ANNOTATION])
        .and_then(Value::as_str)
}

/// What is wrong with a candidate beyond its schema. Its name is checked with its metadata: see
/// [`names::config_map_key`].
pub fn validate(candidate: &Object, old: Option<&Object>) -> ErrorList {
    let mut errors = ErrorList::new();
    let root = Path::new("spec");
    let required = |field: &str| FieldError::required(&root.child(field), "");
    let text = |field: &str| spec_text(candidate, field);

    if text("leaseName").is_empty() {
        errors.push(required("leaseName"));
    } else if let Some(old) = old
        && spec_text(old, "leaseName") != text("leaseName")
    {
        let path = root.child("leaseName");
        errors.push(FieldError::invalid(
            &path,
            text("leaseName"),
            "field is immutable",
        ));
    }
    let mut version = |field: &str| {
        let parsed = Version::parse(text(field)).ok();
        if parsed.is_none() && !text(field).is_empty() {
            errors.push(FieldError::invalid(
                &root.child(field),
                text(field),
                "must be a valid semantic version",
            ));
        }
        parsed
    };
    let emulated = version("emulationVersion");
    let binary = version("binaryVersion");
    if text("binaryVersion").is_empty() {
        errors.push(required("binaryVersion"));
    }
    if let (Some(emulated), Some(binary)) = (&emulated, &binary)
        && binary < emulated
    {
        errors.push(FieldError::invalid(
            &root.child("binaryVersion"),
            text("binaryVersion"),
            "must be greater than or equal to `emulationVersion`",
        ));
    }
    match text("strategy") {
        "" => errors.push(required("strategy")),
        OLDEST_EMULATION_VERSION => {
            if text("emulationVersion").is_empty() {
                errors.push(FieldError::required(
                    &root.child("emulationVersion"),
                    "must be specified when `strategy` is 'OldestEmulationVersion'",
                ));
            }
        }
        strategy if !strategy.contains('/') => errors.push(FieldError::not_supported(
            &root.child("strategy"),
            strategy,
            &[OLDEST_EMULATION_VERSION, PRIORITY],
        )),
        strategy => errors.extend(
            names::qualified_name(strategy)
                .into_iter()
                .map(|why| FieldError::invalid(&root.child("strategy"), strategy, why)),
        ),
    }
    if let Some(text) = priority_text(candidate)
        && priority(candidate).is_none()
    {
        let metadata = Path::new("metadata");
        let annotations = metadata.child("annotations");
        errors.push(FieldError::invalid(
            &annotations.key(PRIORITY_ANNOTATION),
            text,
            format!("must be a number from 1 to {}", i32::MAX),
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Object {
        Object::try_from(json!({
            "apiVersion": "coordination.k8s.io/v1beta1", "kind": "LeaseCandidate",
            "metadata": {"name": "Node_1.a", "namespace": "n"},
            "spec": {
                "leaseName": "leader", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0",
                "strategy": "OldestEmulationVersion", "renewTime": "2026-11-21T10:00:00.123456Z",
            },
        }))
        .unwrap()
    }

    fn with(field: &str, value: &str) -> String {
        let mut candidate = candidate();
        candidate.with_value_mut(|object| object["spec"][field] = value.into());
        validate(&candidate, None).to_string()
    }

    #[test]
    fn what_client_libraries_write_is_valid() {
        let definition = definition("coordination.k8s.io", &["v1beta1", "v1alpha2"]);
        let schema = &definition.storage_version().schema;
        let mut value = candidate().as_value().clone();
        assert!(schema.prune(&mut value).is_empty());
        assert!(schema.validate(&value, None).is_empty());
        assert!(validate(&candidate(), None).is_empty());
        assert_eq!(definition.served()[0].gvk.version, "v1beta1");
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (field, value, expected) in [
            ("leaseName", "", "spec.leaseName: Required value"),
            (
                "binaryVersion",
                "1.36",
                "spec.binaryVersion: Invalid value: \"1.36\": must be a valid semantic version",
            ),
            (
                "binaryVersion",
                "1.34.9",
                "must be greater than or equal to `emulationVersion`",
            ),
            (
                "emulationVersion",
                "",
                "must be specified when `strategy` is 'OldestEmulationVersion'",
            ),
            ("strategy", "", "spec.strategy: Required value"),
            (
                "strategy",
                "Newest",
                "supported values: \"OldestEmulationVersion\", \"helium.dev/Priority\"",
            ),
            ("strategy", "a/b/c", "a valid label key"),
        ] {
            let errors = with(field, value);
            assert!(errors.contains(expected), "{field}={value:?}: {errors}");
        }
        assert_eq!(with("strategy", PRIORITY), "[]");
        assert_eq!(with("strategy", "example.com/Mine"), "[]");
    }

    #[test]
    fn a_candidate_stands_for_one_lease() {
        let mut other = candidate();
        other.with_value_mut(|object| object["spec"]["leaseName"] = "else".into());
        assert_eq!(
            validate(&other, Some(&candidate())).to_string(),
            "spec.leaseName: Invalid value: \"else\": field is immutable"
        );
    }

    #[test]
    fn a_priority_is_a_number_above_zero() {
        let mut ranked = candidate();
        assert_eq!(priority(&ranked), None);
        for (text, expected) in [
            ("7", Some(7)),
            ("0", None),
            ("-1", None),
            ("x", None),
            ("2147483648", None),
        ] {
            ranked.set_meta("annotations", json!({PRIORITY_ANNOTATION: text}));
            assert_eq!(priority(&ranked), expected, "{text}");
            assert_eq!(
                validate(&ranked, None).is_empty(),
                expected.is_some(),
                "{text}"
            );
        }
    }
}
