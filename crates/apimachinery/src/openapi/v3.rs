//! Writing OpenAPI v3.

use serde_json::{Map, Value, json};

use super::components::{self, Dialect};
use super::paths::{self, Method, Operation, Parameter, PathItem};
use crate::gvk::GroupVersion;
use crate::json;
use crate::resource::ServedResource;

/// The document of a group and version.
pub(super) fn document(group_version: &GroupVersion, resources: &[ServedResource]) -> Value {
    let mut all_paths = Map::new();
    let mut schemas = Map::new();
    for resource in resources {
        components::add(resource, Dialect::V3, &mut schemas);
        for item in paths::of(resource) {
            all_paths.insert(item.path.clone(), path_item(&item, group_version));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Helium", "version": group_version.version},
        "paths": all_paths,
        "components": {"schemas": schemas},
    })
}

fn path_item(item: &PathItem, group_version: &GroupVersion) -> Value {
    let in_path = item.parameters.iter().map(|p| {
        json!({
            "name": p.name, "in": "path", "description": p.description, "required": true,
            "schema": {"type": p.json_type, "uniqueItems": true},
        })
    });
    let parameters: Vec<Value> = in_path.chain([query(&paths::PRETTY)]).collect();
    let mut members = Map::new();
    members.insert("parameters".to_owned(), parameters.into());
    for operation in &item.operations {
        members.insert(
            operation.method.as_str().to_owned(),
            write_operation(operation, group_version),
        );
    }
    Value::Object(members)
}

fn query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": "query", "description": parameter.description,
        "schema": {"type": parameter.json_type, "uniqueItems": true},
    })
}

fn write_operation(operation: &Operation, group_version: &GroupVersion) -> Value {
    let answer = content(&operation.answer, &json::MEDIA_TYPES);
    let kind = &operation.kind;
    let mut written = json!({
        "tags": [group_version.to_string().replace(['.', '/'], "_")],
        "description": operation.description,
        "operationId": operation.id,
        "parameters": operation.parameters.iter().map(query).collect::<Vec<_>>(),
        "responses": operation.responses("content", &answer),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group, "version": kind.version, "kind": kind.kind,
        },
    });
    if let Some(body) = &operation.body {
        written["requestBody"] = json!({"content": content(body, operation.media_types())});
        if operation.method != Method::Delete {
            written["requestBody"]["required"] = true.into();
        }
    }
    written
}

/// A component in each of some media types.
fn content(component: &str, media_types: &[&str]) -> Value {
    let schema = json!({"schema": Dialect::V3.reference(component)});
    let of_type = |media_type: &&str| ((*media_type).to_owned(), schema.clone());
    media_types
        .iter()
        .map(of_type)
        .collect::<Map<_, _>>()
        .into()
}
