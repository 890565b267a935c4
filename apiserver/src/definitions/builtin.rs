//! Kinds that are there without being declared.

use std::sync::Arc;

use helium_apimachinery::crd::{Definition, DefinitionVersion, Names};
use helium_apimachinery::field::{ErrorList, Path};
use helium_apimachinery::lease;
use helium_apimachinery::resource::{PrinterColumn, Scope, ServedSubresource};
use helium_apimachinery::schema::Schema;
use serde_json::{Value, json};

use super::catalog::{Exposure, Resource, Special};
use super::sharing::Sharing;

/// Group of the fleet's own kinds.
pub const HELIUM_GROUP: &str = "helium.dev";
/// Group of the shared leases.
pub const LEASE_GROUP: &str = "coordination.helium.dev";
/// Group of leases as unmodified clients know it.
pub const KUBERNETES_LEASE_GROUP: &str = "coordination.k8s.io";
/// Plural name of the definitions.
pub const DEFINITIONS: &str = "sharedresourcedefinitions";
/// Kind of the definitions.
pub const DEFINITION_KIND: &str = "SharedResourceDefinition";

/// Plural name of the control planes.
pub const CONTROL_PLANES: &str = "controlplanes";
/// The control plane that all clusters share.
pub const FLEET: &str = "fleet";
/// The subresource that leads into a control plane. Kubernetes treats this name as long-running: watches through
/// an aggregator last only under it (API-server contract, section 5).
pub const PROXY: &str = "proxy";

/// All of them; namespaces only if they are to be served.
pub fn resources(serve_namespaces: bool) -> Result<Vec<Arc<Resource>>, ErrorList> {
    let mut resources = vec![
        builtin(
            definitions()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::Definition,
        ),
        builtin(
            control_planes()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::ControlPlane,
        ),
        builtin(
            lease::definition(LEASE_GROUP),
            Exposure::Shared,
            LEASE_GROUP,
            Special::Lease,
        ),
        builtin(
            lease::definition(KUBERNETES_LEASE_GROUP),
            Exposure::Direct,
            LEASE_GROUP,
            Special::Lease,
        ),
    ];
    if serve_namespaces {
        resources.push(builtin(
            namespaces()?,
            Exposure::Direct,
            "",
            Special::Namespace,
        ));
    }
    Ok(resources)
}

fn builtin(
    definition: Definition,
    exposure: Exposure,
    home: &str,
    special: Special,
) -> Arc<Resource> {
    let mut served = definition.served();
    if special == Special::ControlPlane {
        for served in &mut served {
            served.verbs = ["get", "list", "watch"].map(str::to_owned).to_vec();
            served.subresources.push(ServedSubresource {
                name: PROXY.to_owned(),
                kind: served.gvk.clone(),
                verbs: ["create", "delete", "get", "patch", "update"]
                    .map(str::to_owned)
                    .to_vec(),
            });
        }
    }
    Arc::new(Resource {
        served,
        fingerprint: format!("built-in {}/{}", definition.group, definition.names.plural),
        definition: Arc::new(definition),
        exposure,
        sharing: Sharing::FLEET,
        home_group: home.to_owned(),
        special,
        terminating: false,
    })
}

fn column(name: &str, type_: &str, json_path: &str, description: &str) -> PrinterColumn {
    PrinterColumn {
        name: name.to_owned(),
        type_: type_.to_owned(),
        description: description.to_owned(),
        json_path: json_path.to_owned(),
        ..PrinterColumn::default()
    }
}

fn version(name: &str, raw: Value, has_status: bool) -> Result<DefinitionVersion, ErrorList> {
    Ok(DefinitionVersion {
        name: name.to_owned(),
        served: true,
        storage: true,
        deprecation: None,
        schema: Schema::parse(&raw, &Path::ROOT)?,
        raw_schema: raw,
        has_status,
        scale: None,
        columns: Vec::new(),
        selectable_fields: Vec::new(),
    })
}

fn definitions() -> Result<Definition, ErrorList> {
    let mut v1 = version("v1", definition_schema(), true)?;
    v1.columns = vec![
        column("Group", "string", ".spec.group", "API group of the kind"),
        column("Kind", "string", ".spec.names.kind", "Kind of the objects"),
        column(
            "Sharing",
            "string",
            ".spec.sharing.scope",
            "Who shares the objects",
        ),
        column(
            "Established",
            "string",
            ".status.conditions[?(@.type==\"Established\")].status",
            "Whether the kind is served",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: DEFINITIONS.to_owned(),
            singular: "sharedresourcedefinition".to_owned(),
            short_names: vec!["srd".to_owned()],
            kind: DEFINITION_KIND.to_owned(),
            list_kind: "SharedResourceDefinitionList".to_owned(),
            categories: vec!["api-extensions".to_owned()],
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}

fn control_planes() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "description": "ControlPlane is a whole API behind its subresource proxy: <server>/apis/helium.dev/v1/controlplanes/fleet/proxy \
            is a server URL for any client, with the cluster's own credentials.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "What is behind it.",
                "properties": {"description": text("What people should know of it.")},
            },
        },
    });
    let mut v1 = version("v1", raw, false)?;
    v1.columns = vec![
        column(
            "Description",
            "string",
            ".spec.description",
            "What is behind it",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: CONTROL_PLANES.to_owned(),
            singular: "controlplane".to_owned(),
            short_names: Vec::new(),
            kind: "ControlPlane".to_owned(),
            list_kind: "ControlPlaneList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}

fn namespaces() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let mut v1 = version("v1", raw, false)?;
    v1.columns = vec![
        column(
            "Status",
            "string",
            ".status.phase",
            "The status of the namespace",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: String::new(),
        names: Names {
            plural: "namespaces".to_owned(),
            singular: "namespace".to_owned(),
            short_names: vec!["ns".to_owned()],
            kind: "Namespace".to_owned(),
            list_kind: "NamespaceList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

fn names_schema(description: &str, required: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": description,
        "properties": {
            "plural": text("Plural name: the segment of the URL."),
            "singular": text("Singular name; the kind in lower case by default."),
            "shortNames": texts("Short names for people."),
            "kind": text("Kind of the objects, in CamelCase."),
            "listKind": text("Kind of lists; the kind with List by default."),
            "categories": texts("Groups of resources that it belongs to, such as all."),
        },
    });
    if required {
        schema["required"] = json!(["plural", "kind"]);
    }
    schema
}

/// The spec of a CustomResourceDefinition, and `sharing`.
fn definition_schema() -> Value {
    json!({
        "type": "object",
        "description": "SharedResourceDefinition declares a kind that all clusters of the fleet serve.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "description": "What is served: the spec of a CustomResourceDefinition, and how it is shared.",
                "required": ["group", "names", "scope", "versions"],
                "properties": {
                    "group": text("API group, such as example.com. Whole groups are shared."),
                    "scope": {
                        "type": "string",
                        "description": "Whether objects live in namespaces.",
                        "enum": ["Cluster", "Namespaced"],
                    },
                    "names": names_schema("Names of the resource.", true),
                    "preserveUnknownFields": {"type": "boolean", "description": "Only false is allowed."},
                    "conversion": conversion_schema(),
                    "versions": {
                        "type": "array",
                        "description": "The versions; exactly one is the stored one.",
                        "items": version_schema(),
                    },
                    "sharing": sharing_schema(),
                },
            },
            "status": status_schema(),
        },
    })
}

fn conversion_schema() -> Value {
    json!({
        "type": "object",
        "description": "How objects become another version; only None is supported.",
        "properties": {
            "strategy": text("None: only apiVersion changes."),
            "webhook": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    })
}

fn version_schema() -> Value {
    json!({
        "type": "object",
        "required": ["name", "served", "storage"],
        "properties": {
            "name": text("Name of the version, such as v1."),
            "served": {"type": "boolean", "description": "Whether clients may use it."},
            "storage": {"type": "boolean", "description": "Whether objects are stored in it."},
            "deprecated": {"type": "boolean", "description": "Whether clients are warned."},
            "deprecationWarning": text("The warning, if not the usual one."),
            "schema": {
                "type": "object",
                "properties": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "The structural schema of the objects.",
                        "x-kubernetes-preserve-unknown-fields": true,
                    },
                },
            },
            "subresources": {
                "type": "object",
                "properties": {
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "scale": {
                        "type": "object",
                        "required": ["specReplicasPath", "statusReplicasPath"],
                        "properties": {
                            "specReplicasPath": text("Path of the wanted number, under .spec."),
                            "statusReplicasPath": text("Path of the actual number, under .status."),
                            "labelSelectorPath": text("Path of the selector as text."),
                        },
                    },
                },
            },
            "additionalPrinterColumns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "type", "jsonPath"],
                    "properties": {
                        "name": text("Heading."),
                        "type": text("string, integer, number, boolean or date."),
                        "format": text("OpenAPI format."),
                        "description": text("For people."),
                        "priority": {"type": "integer", "format": "int32"},
                        "jsonPath": text("Where the cell comes from."),
                    },
                },
            },
            "selectableFields": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["jsonPath"],
                    "properties": {"jsonPath": text("Path that field selectors may use.")},
                },
            },
        },
    })
}

fn sharing_schema() -> Value {
    json!({
        "type": "object",
        "description": "How clusters share the kind.",
        "properties": {
            "scope": text("Fleet: one set of objects for all clusters. PerCluster: each has its own."),
            "namespaceDeletion":
                text("What happens when a cluster deletes a namespace: Detach, HomeOnly or Block."),
            "ownerReferences": text("Which owners objects may have: SharedOnly or LocalAllowed."),
            "clusters": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    })
}

/// What each cluster's agent says of the definition.
fn clusters_schema() -> Value {
    json!({
        "type": "array",
        "description": "What has become of it in each cluster, as that cluster's agent sees it.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name", "registered", "available"],
            "properties": {
                "name": text("Name of the cluster."),
                "registered": {
                    "type": "boolean",
                    "description": "Whether the cluster's API server hands the group on to the fleet.",
                },
                "available": {
                    "type": "boolean",
                    "description": "Whether it finds the fleet's server there.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "Generation of the definition that this is about.",
                },
                "reason": text("One word that says why it isn't registered or available."),
                "message": text("Why, for people."),
            },
        },
    })
}

fn status_schema() -> Value {
    json!({
        "type": "object",
        "description": "What has become of the definition.",
        "properties": {
            "acceptedNames": names_schema("The names that are served.", false),
            "storedVersions": texts("Versions in which objects may be stored."),
            "observedGeneration": {"type": "integer", "format": "int64"},
            "clusters": clusters_schema(),
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status"],
                    "properties": {
                        "type": text("NamesAccepted, Established, Terminating or Registered."),
                        "status": text("True, False or Unknown."),
                        "reason": text("One word that says why."),
                        "message": text("Why, for people."),
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                        "observedGeneration": {"type": "integer", "format": "int64"},
                    },
                },
            },
        },
    })
}
