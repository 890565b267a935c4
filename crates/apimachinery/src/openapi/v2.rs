//! Writing OpenAPI v2.

use serde_json::{Map, Value, json};

use super::components::{self, Dialect};
use super::paths::{self, Method, Operation, Parameter, PathItem};
use crate::gvk::GroupVersion;
use crate::json;
use crate::resource::ServedVersion;

/// The document of everything that is served.
pub(super) fn document(versions: &[ServedVersion]) -> Value {
    let mut all_paths = Map::new();
    let mut definitions = Map::new();
    for version in versions {
        for resource in &version.resources {
            components::add(resource, Dialect::V2, &mut definitions);
            for item in paths::of(resource) {
                all_paths.insert(item.path.clone(), path_item(&item, &version.group_version));
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Helium", "version": "v1"},
        "paths": all_paths,
        "definitions": definitions,
    })
}

fn path_item(item: &PathItem, group_version: &GroupVersion) -> Value {
    let in_path = item.parameters.iter().map(|p| {
        json!({
            "name": p.name, "in": "path", "description": p.description, "required": true,
            "type": p.json_type, "uniqueItems": true,
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
        "type": parameter.json_type, "uniqueItems": true,
    })
}

fn write_operation(operation: &Operation, group_version: &GroupVersion) -> Value {
    let body = operation.body.iter().map(|body| {
        json!({
            "name": "body", "in": "body", "required": operation.method != Method::Delete,
            "schema": Dialect::V2.reference(body),
        })
    });
    let parameters: Vec<Value> = body.chain(operation.parameters.iter().map(query)).collect();
    let answer = Dialect::V2.reference(&operation.answer);
    let kind = &operation.kind;
    json!({
        "tags": [group_version.to_string().replace(['.', '/'], "_")],
        "description": operation.description,
        "operationId": operation.id,
        "consumes": operation.media_types(),
        "produces": json::MEDIA_TYPES,
        "schemes": ["https"],
        "parameters": parameters,
        "responses": operation.responses("schema", &answer),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group, "version": kind.version, "kind": kind.kind,
        },
    })
}
