//! The definitions that operations refer to: kinds, their lists, and metadata under names of our own.

use serde_json::{Map, Value, json};

use super::published;
use crate::gvk::GroupVersionKind;
use crate::resource::ServedResource;

/// Prefix of definitions that are the same for every kind.
const META: &str = "dev.helium.meta.v1.";
pub(super) const STATUS: &str = "dev.helium.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "dev.helium.meta.v1.DeleteOptions";
pub(super) const PATCH: &str = "dev.helium.meta.v1.Patch";
const OBJECT_META: &str = "dev.helium.meta.v1.ObjectMeta";
const LIST_META: &str = "dev.helium.meta.v1.ListMeta";
const SCALE: &str = "dev.helium.meta.v1.Scale";

/// Which version of OpenAPI a definition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// A reference to a definition.
    pub(super) fn reference(self, name: &str) -> Value {
        json!({"$ref": match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }})
    }

    /// A reference with a description, which v3 allows only around it.
    fn described(self, name: &str, description: &str) -> Value {
        match self {
            Self::V2 => {
                let mut reference = self.reference(name);
                reference["description"] = description.into();
                reference
            }
            Self::V3 => json!({"description": description, "allOf": [self.reference(name)]}),
        }
    }
}

/// The name of a kind's definition: the group backwards, so `io.g.v1.Widget`.
pub(super) fn kind_name(kind: &GroupVersionKind) -> String {
    let mut parts: Vec<&str> = kind
        .group
        .split('.')
        .filter(|part| !part.is_empty())
        .collect();
    parts.reverse();
    parts.push(&kind.version);
    parts.push(&kind.kind);
    parts.join(".")
}

fn list_kind(resource: &ServedResource) -> GroupVersionKind {
    resource
        .gvk
        .group_version()
        .with_kind(resource.list_kind.clone())
}

/// The name of the definition of a kind's list.
pub(super) fn list_name(resource: &ServedResource) -> String {
    kind_name(&list_kind(resource))
}

/// The definition for the kind of a subresource, if there is one: the kind itself, or Scale, which is
/// somebody else's kind and so has no name of its own here.
pub(super) fn subresource_name(
    resource: &ServedResource,
    kind: &GroupVersionKind,
) -> Option<String> {
    if *kind == resource.gvk {
        Some(kind_name(kind))
    } else {
        is_scale(kind).then(|| SCALE.to_owned())
    }
}

fn is_scale(kind: &GroupVersionKind) -> bool {
    kind.group == "autoscaling" && kind.version == "v1" && kind.kind == "Scale"
}

fn kind_extension(kind: &GroupVersionKind) -> Value {
    json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}])
}

/// Adds the definitions of a resource, and those that they refer to.
pub(super) fn add(resource: &ServedResource, dialect: Dialect, all: &mut Map<String, Value>) {
    all.insert(kind_name(&resource.gvk), kind(resource, dialect));
    if resource.verbs.iter().any(|verb| verb == "list") {
        all.insert(list_name(resource), list(resource, dialect));
    }
    if resource
        .subresources
        .iter()
        .any(|subresource| is_scale(&subresource.kind))
    {
        all.insert(SCALE.to_owned(), scale(dialect));
    }
    if all.contains_key(STATUS) {
        return;
    }
    for (name, definition) in meta(dialect) {
        all.insert(format!("{META}{name}"), definition);
    }
}

const API_VERSION: &str = "The version of the schema of this object, such as group/version.";
const KIND: &str = "The kind of this object, in CamelCase.";

fn kind(resource: &ServedResource, dialect: Dialect) -> Value {
    let declared = resource.schema.as_ref().unwrap_or(&Value::Null);
    let metadata = dialect.described(OBJECT_META, "Metadata of the object.");
    let mut schema = published::schema(declared, dialect, &metadata);
    if !schema.is_object() {
        schema = json!({"x-kubernetes-preserve-unknown-fields": true});
    }
    schema["type"] = "object".into();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    properties["kind"] = json!({"type": "string", "description": KIND});
    properties["metadata"] = metadata;
    schema["x-kubernetes-group-version-kind"] = kind_extension(&resource.gvk);
    if !resource.selectable_fields.is_empty() {
        schema["x-kubernetes-selectable-fields"] = resource
            .selectable_fields
            .iter()
            .map(|path| json!({"fieldPath": path.trim_start_matches('.')}))
            .collect();
    }
    schema
}

fn list(resource: &ServedResource, dialect: Dialect) -> Value {
    json!({
        "type": "object",
        "description": format!("A list of {}.", resource.gvk.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": dialect.described(LIST_META, "Metadata of the list."),
            "items": {
                "type": "array",
                "description": format!("The objects of kind {}.", resource.gvk.kind),
                "items": dialect.reference(&kind_name(&resource.gvk)),
            },
        },
        "x-kubernetes-group-version-kind": kind_extension(&list_kind(resource)),
    })
}

fn scale(dialect: Dialect) -> Value {
    let replicas = || json!({"type": "integer", "format": "int32"});
    json!({
        "type": "object",
        "description": "An object seen as something with a number of replicas.",
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": dialect.described(OBJECT_META, "Metadata of the object."),
            "spec": {"type": "object", "properties": {"replicas": replicas()}},
            "status": {
                "type": "object",
                "required": ["replicas"],
                "properties": {"replicas": replicas(), "selector": {"type": "string"}},
            },
        },
    })
}

/// Definitions that every kind needs, without their prefix.
fn meta(dialect: Dialect) -> Vec<(&'static str, Value)> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let time = |description: &str| json!({"type": "string", "format": "date-time", "description": description});
    let texts = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    let integer = |description: &str| json!({"type": "integer", "format": "int64", "description": description});
    let flag = |description: &str| json!({"type": "boolean", "description": description});
    let list_of = |name: &str, description: &str| {
        json!({
            "type": "array", "description": description,
            "items": dialect.reference(&format!("{META}{name}")),
        })
    };
    let object = |description: &str, properties: Value| json!({"type": "object", "description": description, "properties": properties});
    vec![
        (
            "ObjectMeta",
            object(
                "Metadata that every stored object has.",
                json!({
                    "name": text("Name, unique among the objects of its kind and namespace."),
                    "generateName": text("Prefix of a name that the server completes."),
                    "namespace": text("Namespace of the object."),
                    "selfLink": text("Not used any more."),
                    "uid": text("Identity of the object in time and space; set by the server."),
                    "resourceVersion": text("Version of the object, for optimistic concurrency and watches."),
                    "generation": integer("Counts changes of the wanted state; set by the server."),
                    "creationTimestamp": time("When the object was created; set by the server."),
                    "deletionTimestamp": time("When the deletion was requested; set by the server."),
                    "deletionGracePeriodSeconds": integer("Seconds of grace of the deletion; set by the server."),
                    "labels": texts("Keys and values to select objects by."),
                    "annotations": texts("Keys and values of any kind."),
                    "finalizers": {
                        "type": "array", "items": {"type": "string"},
                        "description": "What must happen before the object goes.",
                        "x-kubernetes-list-type": "set",
                    },
                    "ownerReferences": list_of("OwnerReference", "Objects on which this one depends."),
                    "managedFields": list_of("ManagedFieldsEntry", "Who manages which fields."),
                }),
            ),
        ),
        (
            "OwnerReference",
            json!({
                "type": "object",
                "description": "An object that owns another one.",
                "required": ["apiVersion", "kind", "name", "uid"],
                "properties": {
                    "apiVersion": text("API version of the owner."),
                    "kind": text("Kind of the owner."),
                    "name": text("Name of the owner."),
                    "uid": text("UID of the owner."),
                    "controller": flag("Whether the owner is the managing controller."),
                    "blockOwnerDeletion": flag("Whether the owner's foreground deletion waits for this object."),
                },
            }),
        ),
        (
            "ManagedFieldsEntry",
            object(
                "The fields that one manager manages.",
                json!({
                    "manager": text("Name of the manager."),
                    "operation": text("Apply or Update."),
                    "apiVersion": text("Version to which the fields belong."),
                    "time": time("When the entry last changed."),
                    "fieldsType": text("FieldsV1."),
                    "fieldsV1": {"type": "object", "description": "The set of fields."},
                    "subresource": text("The subresource through which the fields were written."),
                }),
            ),
        ),
        (
            "ListMeta",
            object(
                "Metadata of a list.",
                json!({
                    "resourceVersion": text("Version of the state that the list shows."),
                    "continue": text("Token to get the next page, if there is one."),
                    "remainingItemCount": integer("How many objects follow, if that is known."),
                    "selfLink": text("Not used any more."),
                }),
            ),
        ),
        (
            "Status",
            object(
                "The outcome of a call.",
                json!({
                    "apiVersion": text(API_VERSION),
                    "kind": text(KIND),
                    "metadata": dialect.described(LIST_META, "Metadata of the answer."),
                    "status": text("Success or Failure."),
                    "message": text("What happened, for people."),
                    "reason": text("What happened, for machines."),
                    "details": dialect.described("dev.helium.meta.v1.StatusDetails", "What it is about."),
                    "code": {"type": "integer", "format": "int32", "description": "The HTTP status code."},
                }),
            ),
        ),
        (
            "StatusDetails",
            object(
                "What the outcome of a call is about.",
                json!({
                    "name": text("Name of the object."),
                    "group": text("Group of the resource."),
                    "kind": text("The resource."),
                    "uid": text("UID of the object."),
                    "causes": list_of("StatusCause", "The single causes of a failure."),
                    "retryAfterSeconds": {
                        "type": "integer", "format": "int32", "description": "When to try again, in seconds.",
                    },
                }),
            ),
        ),
        (
            "StatusCause",
            object(
                "One cause of a failure.",
                json!({
                    "reason": text("The cause, for machines."),
                    "message": text("The cause, for people."),
                    "field": text("The field concerned."),
                }),
            ),
        ),
        (
            "DeleteOptions",
            object(
                "Options of a deletion.",
                json!({
                    "apiVersion": text(API_VERSION),
                    "kind": text(KIND),
                    "dryRun": {"type": "array", "items": {"type": "string"}, "description": "'All' or nothing."},
                    "gracePeriodSeconds": integer("Seconds of grace before the deletion."),
                    "orphanDependents": flag("Older form of propagationPolicy."),
                    "propagationPolicy": text("Orphan, Background or Foreground."),
                    "preconditions": dialect.described(
                        "dev.helium.meta.v1.Preconditions", "What must be true of the object.",
                    ),
                }),
            ),
        ),
        (
            "Preconditions",
            object(
                "What must be true of an object for a write to happen.",
                json!({
                    "uid": text("Its UID."),
                    "resourceVersion": text("Its resourceVersion."),
                }),
            ),
        ),
        // A patch is a map or a list, so it has no type.
        (
            "Patch",
            json!({"description": "A patch in one of the formats that are understood."}),
        ),
    ]
}
