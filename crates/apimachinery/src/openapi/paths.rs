//! The operations of a resource, before they are written in one version of OpenAPI or the other.

use serde_json::{Map, Value, json};

use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::resource::{Scope, ServedResource};
use crate::{json, patch};

use super::components;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) json_type: &'static str,
    pub(super) description: &'static str,
}

const fn parameter(
    name: &'static str,
    json_type: &'static str,
    description: &'static str,
) -> Parameter {
    Parameter {
        name,
        json_type,
        description,
    }
}

pub(super) const PRETTY: Parameter =
    parameter("pretty", "string", "If 'true', the answer is indented.");
const DRY_RUN: Parameter = parameter(
    "dryRun",
    "string",
    "'All' does everything but the write itself.",
);
const FIELD_MANAGER: Parameter = parameter(
    "fieldManager",
    "string",
    "The name under which the changes are made.",
);
const FIELD_VALIDATION: Parameter = parameter(
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: Ignore, Warn or Strict.",
);
const RESOURCE_VERSION: Parameter = parameter(
    "resourceVersion",
    "string",
    "The version of the state asked for.",
);
const SELECTION: [Parameter; 9] = [
    parameter(
        "continue",
        "string",
        "The token of the last page, to get the next one.",
    ),
    parameter(
        "fieldSelector",
        "string",
        "Selects objects by their fields.",
    ),
    parameter(
        "labelSelector",
        "string",
        "Selects objects by their labels.",
    ),
    parameter("limit", "integer", "The size of a page."),
    RESOURCE_VERSION,
    parameter(
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant.",
    ),
    parameter(
        "timeoutSeconds",
        "integer",
        "When the server ends the call, in seconds.",
    ),
    parameter(
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the present state.",
    ),
    parameter(
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send bookmarks.",
    ),
];
const WATCH: Parameter = parameter(
    "watch",
    "boolean",
    "Watch for changes instead of returning a list.",
);
const DELETE: [Parameter; 3] = [
    parameter(
        "gracePeriodSeconds",
        "integer",
        "Seconds of grace before the deletion.",
    ),
    parameter(
        "orphanDependents",
        "boolean",
        "Older form of propagationPolicy.",
    ),
    parameter(
        "propagationPolicy",
        "string",
        "Orphan, Background or Foreground.",
    ),
];

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) id: String,
    pub(super) description: String,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) kind: GroupVersionKind,
    pub(super) parameters: Vec<Parameter>,
    /// The component that the body holds.
    pub(super) body: Option<String>,
    /// The component that a success returns.
    pub(super) answer: String,
    /// Codes of success.
    pub(super) codes: &'static [u16],
}

impl Operation {
    /// The media types of its body.
    pub(super) fn media_types(&self) -> &'static [&'static str] {
        match self.method {
            Method::Patch => &patch::MEDIA_TYPES,
            Method::Get | Method::Put | Method::Post | Method::Delete => &json::MEDIA_TYPES,
        }
    }

    /// Its answers by code; those of success have `answer` under `member`.
    pub(super) fn responses(&self, member: &str, answer: &Value) -> Map<String, Value> {
        let success = self.codes.iter().map(|code| {
            let description = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            let response = json!({"description": description, member: answer});
            (code.to_string(), response)
        });
        success
            .chain([("401".to_owned(), json!({"description": "Unauthorized"}))])
            .collect()
    }
}

/// A path with its operations. `parameters` are those inside the path.
#[derive(Clone, Debug)]
pub(super) struct PathItem {
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) operations: Vec<Operation>,
}

/// The URL path of a group and version.
pub(super) fn prefix(group_version: &GroupVersion) -> String {
    if group_version.group.is_empty() {
        format!("/api/{}", group_version.version)
    } else {
        format!("/apis/{group_version}")
    }
}

/// Every path of a resource.
pub(super) fn of(resource: &ServedResource) -> Vec<PathItem> {
    let prefix = prefix(&resource.group_version());
    let plural = &resource.plural;
    let namespaced = resource.scope == Scope::Namespaced;
    let base = if namespaced {
        format!("{prefix}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{prefix}/{plural}")
    };
    let namespace = parameter("namespace", "string", "The namespace of the object.");
    let name = parameter("name", "string", "The name of the object.");
    let outer: Vec<Parameter> = namespaced.then_some(namespace).into_iter().collect();
    let inner: Vec<Parameter> = std::iter::once(name).chain(outer.iter().copied()).collect();
    let builder = Builder {
        resource,
        namespaced,
    };
    let mut items = vec![
        PathItem {
            path: base.clone(),
            parameters: outer,
            operations: builder.collection(),
        },
        PathItem {
            path: format!("{base}/{{name}}"),
            parameters: inner.clone(),
            operations: builder.object(),
        },
    ];
    for subresource in &resource.subresources {
        items.push(PathItem {
            path: format!("{base}/{{name}}/{}", subresource.name),
            parameters: inner.clone(),
            operations: builder.subresource(
                &subresource.name,
                &subresource.kind,
                &subresource.verbs,
            ),
        });
    }
    if namespaced && builder.has("list") {
        items.push(PathItem {
            path: format!("{prefix}/{plural}"),
            parameters: Vec::new(),
            operations: vec![builder.list("ForAllNamespaces")],
        });
    }
    items.retain(|item| !item.operations.is_empty());
    items
}

struct Builder<'r> {
    resource: &'r ServedResource,
    namespaced: bool,
}

impl Builder<'_> {
    fn has(&self, verb: &str) -> bool {
        self.resource.verbs.iter().any(|v| v == verb)
    }

    /// `listGIoV1NamespacedWidget` and the like: unique among all operations of a document.
    fn id(&self, verb: &str, suffix: &str) -> String {
        let gvk = &self.resource.gvk;
        let namespaced = if self.namespaced && suffix != "ForAllNamespaces" {
            "Namespaced"
        } else {
            ""
        };
        let collection = if verb == "deleteCollection" {
            "delete"
        } else {
            verb
        };
        let middle = if verb == "deleteCollection" {
            "Collection"
        } else {
            ""
        };
        format!(
            "{collection}{}{}{middle}{namespaced}{}{suffix}",
            camel(&gvk.group),
            camel(&gvk.version),
            gvk.kind
        )
    }

    fn operation(
        &self,
        method: Method,
        verb: &str,
        action: &'static str,
        what: &str,
        parameters: &[Parameter],
    ) -> Operation {
        Operation {
            method,
            id: self.id(verb, ""),
            description: format!("{what} {}", self.resource.gvk.kind),
            action,
            kind: self.resource.gvk.clone(),
            parameters: parameters.to_vec(),
            body: None,
            answer: components::kind_name(&self.resource.gvk),
            codes: &[200],
        }
    }

    fn list(&self, suffix: &str) -> Operation {
        let mut parameters = SELECTION.to_vec();
        parameters.push(WATCH);
        Operation {
            id: self.id("list", suffix),
            answer: components::list_name(self.resource),
            ..self.operation(
                Method::Get,
                "list",
                "list",
                "list objects of kind",
                &parameters,
            )
        }
    }

    fn collection(&self) -> Vec<Operation> {
        let kind = components::kind_name(&self.resource.gvk);
        let mut operations = Vec::new();
        if self.has("list") {
            operations.push(self.list(""));
        }
        if self.has("create") {
            let parameters = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
            operations.push(Operation {
                body: Some(kind),
                codes: &[200, 201, 202],
                ..self.operation(Method::Post, "create", "post", "create a", &parameters)
            });
        }
        if self.has("deletecollection") {
            let parameters: Vec<Parameter> = SELECTION
                .into_iter()
                .chain(DELETE)
                .chain([DRY_RUN])
                .collect();
            operations.push(Operation {
                body: Some(components::DELETE_OPTIONS.to_owned()),
                answer: components::STATUS.to_owned(),
                ..self.operation(
                    Method::Delete,
                    "deleteCollection",
                    "deletecollection",
                    "delete objects of kind",
                    &parameters,
                )
            });
        }
        operations
    }

    fn object(&self) -> Vec<Operation> {
        let kind = components::kind_name(&self.resource.gvk);
        let write = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let mut operations = Vec::new();
        if self.has("get") {
            let parameters = [RESOURCE_VERSION];
            operations.push(self.operation(Method::Get, "read", "get", "read the", &parameters));
        }
        if self.has("update") {
            operations.push(Operation {
                body: Some(kind),
                codes: &[200, 201],
                ..self.operation(Method::Put, "replace", "put", "replace the", &write)
            });
        }
        if self.has("patch") {
            operations.push(Operation {
                body: Some(components::PATCH.to_owned()),
                ..self.operation(Method::Patch, "patch", "patch", "change the", &write)
            });
        }
        if self.has("delete") {
            let parameters: Vec<Parameter> = DELETE.into_iter().chain([DRY_RUN]).collect();
            operations.push(Operation {
                body: Some(components::DELETE_OPTIONS.to_owned()),
                answer: components::STATUS.to_owned(),
                codes: &[200, 202],
                ..self.operation(Method::Delete, "delete", "delete", "delete a", &parameters)
            });
        }
        operations
    }

    /// Reads and writes of a subresource. Connections (`proxy`) have no schema and aren't described.
    fn subresource(&self, name: &str, kind: &GroupVersionKind, verbs: &[String]) -> Vec<Operation> {
        let Some(component) = components::subresource_name(self.resource, kind) else {
            return Vec::new();
        };
        let write = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let suffix = camel(name);
        let mut operations = Vec::new();
        for (verb, method, id, action, body) in [
            ("get", Method::Get, "read", "get", None),
            (
                "update",
                Method::Put,
                "replace",
                "put",
                Some(component.clone()),
            ),
            (
                "patch",
                Method::Patch,
                "patch",
                "patch",
                Some(components::PATCH.to_owned()),
            ),
        ] {
            if !verbs.iter().any(|v| v == verb) {
                continue;
            }
            let parameters: &[Parameter] = if verb == "get" {
                &[RESOURCE_VERSION]
            } else {
                &write
            };
            let description = format!("{verb} {name} of the");
            operations.push(Operation {
                id: self.id(id, &suffix),
                kind: kind.clone(),
                body,
                answer: component.clone(),
                ..self.operation(method, id, action, &description, parameters)
            });
        }
        operations
    }
}

/// `coordination.helium.dev` as `CoordinationHeliumDev`.
fn camel(text: &str) -> String {
    text.split(['.', '-'])
        .map(|part| {
            let mut chars = part.chars();
            chars.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(chars).collect::<String>()
            })
        })
        .collect()
}
