//! `SharedResourceDefinition`: declares a kind that all clusters serve.

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use serde_json::{Value, json};

use super::{DEFINITION_KIND, DEFINITIONS, HELIUM_GROUP};
use helium_apimachinery::builtin::{column, conditions, text, texts, version};

/// The kind.
pub(super) fn definitions() -> Result<Definition, ErrorList> {
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
pub(super) fn definition_schema() -> Value {
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
                text("What happens when a cluster deletes a namespace: Detach, HomeOnly, Cascade or Block."),
            "ownerReferences": text("Which owners objects may have: SharedOnly or LocalAllowed."),
            "clusters": {
                "type": "object",
                "description": "What clusters may do with objects of the kind.",
                "properties": {"writers": writers_schema()},
            },
        },
    })
}

fn writers_schema() -> Value {
    json!({
        "type": "array",
        "description": "Through which clusters objects may be written, and where; all of them everywhere, if absent.",
        "items": {
            "type": "object",
            "required": ["clusters", "namespaces"],
            "properties": {
                "clusters": texts("Names of clusters, or *."),
                "namespaces": texts("Namespaces of the objects, or *, which objects without a namespace need."),
            },
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
            "conditions": conditions("NamesAccepted, Established, Terminating or Registered."),
        },
    })
}
