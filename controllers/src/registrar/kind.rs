//! A kind that the fleet shares, as far as a cluster has to know of it.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

/// Who gets rights on a group's kinds without being named: which of the cluster's own roles ours are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// `view`, `edit` and `admin` are each extended: the kinds are users' own.
    All,
    /// Only `view` is: a write concerns the whole fleet, as one to a definition does, and is granted by name.
    ViewOnly,
    /// Only `view` is, and there is nothing to write.
    ReadOnly,
    /// None is: even to look at it is granted by name.
    Nobody,
}

/// A version of a kind that is served.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedVersion {
    /// Such as `v1beta1`.
    pub name: String,
    /// All that discovery and OpenAPI tell of it; only compared and hashed.
    pub content: Value,
}

/// A kind that all clusters are to serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// API group.
    pub group: String,
    /// Plural name: the resource.
    pub plural: String,
    /// Subresources that exist in any version, sorted: `scale`, `status`.
    pub subresources: Vec<String>,
    /// The versions that clients may use.
    pub versions: Vec<ServedVersion>,
    /// Who gets rights on it.
    pub aggregation: Aggregation,
}

/// A `SharedResourceDefinition` whose kind is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Name of the object.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether it is being deleted: its kind is served until its objects are gone, so that what holds them can
    /// still be settled.
    pub terminating: bool,
    /// What it declares.
    pub kind: Kind,
}

impl Definition {
    /// Reads a stored definition; `None` unless the fleet serves its kind (its status says `Established`).
    #[must_use]
    pub fn parse(object: &DynamicObject) -> Option<Self> {
        let spec = object.data.get("spec")?;
        let conditions = object.data.pointer("/status/conditions")?.as_array()?;
        let established = conditions
            .iter()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
        if !established {
            return None;
        }
        let served: Vec<&Value> = spec["versions"]
            .as_array()?
            .iter()
            .filter(|version| version["served"] == true)
            .collect();
        let mut subresources: Vec<String> = served
            .iter()
            .filter_map(|version| version["subresources"].as_object())
            .flat_map(|subresources| subresources.keys().cloned())
            .collect();
        subresources.sort();
        subresources.dedup();
        let versions = served
            .iter()
            .filter_map(|version| {
                Some(ServedVersion {
                    name: version["name"].as_str()?.to_owned(),
                    content: json!([spec["names"], spec["scope"], version]),
                })
            })
            .collect();
        Some(Self {
            name: object.name_any(),
            generation: object.metadata.generation.unwrap_or_default(),
            terminating: object.metadata.deletion_timestamp.is_some(),
            kind: Kind {
                group: spec["group"].as_str()?.to_owned(),
                plural: spec["names"]["plural"].as_str()?.to_owned(),
                subresources,
                versions,
                aggregation: Aggregation::All,
            },
        })
    }
}

/// The kinds that every control plane serves without being told: those of the fleet itself, and shared leases.
#[must_use]
pub fn built_in() -> Vec<Kind> {
    let kind = |group: &str, plural: &str, subresources: &[&str], aggregation| Kind {
        group: group.to_owned(),
        plural: plural.to_owned(),
        subresources: subresources.iter().map(|&name| name.to_owned()).collect(),
        versions: vec![ServedVersion {
            name: "v1".to_owned(),
            content: Value::from("built-in"),
        }],
        aggregation,
    };
    vec![
        kind(
            "helium.dev",
            "sharedresourcedefinitions",
            &["status"],
            Aggregation::ViewOnly,
        ),
        kind("helium.dev", "members", &["status"], Aggregation::ViewOnly),
        // The way into a control plane, its subresource proxy, is granted by name, too.
        kind("helium.dev", "controlplanes", &[], Aggregation::ReadOnly),
        // What is stored of a token opens nothing; but who may come when is nobody's business.
        kind("helium.dev", "jointokens", &["status"], Aggregation::Nobody),
        kind(
            "helium.dev",
            "failovergroups",
            &["status"],
            Aggregation::ViewOnly,
        ),
        kind("coordination.helium.dev", "leases", &[], Aggregation::All),
    ]
}
