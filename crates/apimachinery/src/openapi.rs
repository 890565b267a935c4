//! OpenAPI documents of what is served: v3, one for each group and version, and v2, one for everything.
//!
//! Aggregators merge these documents with those of other servers, so the rules are strict:
//! 1. Every kind carries `x-kubernetes-group-version-kind`; the definitions of metadata don't, and have names of our
//!    own, so that no merge can mistake them for somebody else's.
//! 2. No `$ref` dangles: a document defines everything that it refers to.
//! 3. Only patches that are really understood are listed on PATCH, because kubectl chooses by that list; `dryRun` and
//!    `fieldValidation` are parameters of every write, because kubectl looks for them there.

mod components;
mod paths;
mod published;
mod v2;
mod v3;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gvk::GroupVersion;
use crate::resource::{ServedResource, ServedVersion};

/// The OpenAPI v3 document of one group and version.
pub fn v3_document(group_version: &GroupVersion, resources: &[ServedResource]) -> Value {
    v3::document(group_version, resources)
}

/// The root document `/openapi/v3`: a path for each group and version, with the hash of its document.
pub fn v3_root<'a>(documents: impl IntoIterator<Item = (&'a GroupVersion, &'a str)>) -> Value {
    let mut paths = serde_json::Map::new();
    for (group_version, hash) in documents {
        let path = paths::prefix(group_version);
        let url = format!("/openapi/v3{path}?hash={hash}");
        paths.insert(
            path.trim_start_matches('/').to_owned(),
            json!({"serverRelativeURL": url}),
        );
    }
    json!({"paths": paths})
}

/// The whole OpenAPI v2 document.
pub fn v2_document(versions: &[ServedVersion]) -> Value {
    v2::document(versions)
}

/// The hash of a document, for ETags and URLs: upper-case hex.
pub fn document_hash(document: &[u8]) -> String {
    Sha256::digest(document)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::resource::{Scope, ServedSubresource};
    use std::collections::BTreeSet;

    fn widgets() -> ServedResource {
        let gvk = GroupVersionKind::new("g.io", "v1", "Widget");
        ServedResource {
            subresources: vec![ServedSubresource::status(&gvk), ServedSubresource::scale()],
            selectable_fields: vec![".spec.color".into()],
            schema: Some(json!({
                "type": "object", "description": "A widget.",
                "properties": {
                    "spec": {"type": "object", "required": ["color"], "properties": {
                        "color": {"type": "string", "default": "red", "nullable": true},
                        "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            })),
            ..ServedResource::new(gvk, "widgets", Scope::Namespaced)
        }
    }

    fn galaxies() -> ServedResource {
        let gvk = GroupVersionKind::new("g.io", "v1", "Galaxy");
        ServedResource::new(gvk, "galaxies", Scope::Cluster)
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    fn assert_no_dangling(document: &Value) {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} dangles");
        }
    }

    fn operation_ids(document: &Value) -> Vec<String> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| operation.get("operationId"))
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_v3_document_of_a_sample_kind() {
        let group_version = GroupVersion::new("g.io", "v1");
        let document = v3_document(&group_version, &[widgets(), galaxies()]);
        assert_no_dangling(&document);
        let ids = operation_ids(&document);
        assert_eq!(
            ids.len(),
            ids.iter().collect::<BTreeSet<_>>().len(),
            "{ids:?}"
        );
        insta::assert_json_snapshot!("v3", v3_document(&group_version, &[widgets()]));
    }

    #[test]
    fn patches_and_write_parameters_are_what_kubectl_looks_for() {
        let document = v3_document(&GroupVersion::new("g.io", "v1"), &[widgets()]);
        let patch =
            &document["paths"]["/apis/g.io/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
        let types: Vec<&String> = patch["requestBody"]["content"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(
            types,
            [
                "application/json-patch+json",
                "application/merge-patch+json"
            ]
        );
        let names: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        assert!(
            names.contains(&"dryRun") && names.contains(&"fieldValidation"),
            "{names:?}"
        );
        assert_eq!(patch["x-kubernetes-action"], "patch");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    }

    #[test]
    fn the_v2_document_of_a_sample_kind() {
        let versions = [ServedVersion {
            group_version: GroupVersion::new("g.io", "v1"),
            resources: vec![widgets(), galaxies()],
        }];
        let document = v2_document(&versions);
        assert_no_dangling(&document);
        let text = document.to_string();
        for keyword in [
            "nullable",
            "anyOf",
            "\"default\":\"red\"",
            "components/schemas",
        ] {
            assert!(!text.contains(keyword), "{keyword} has no meaning in v2");
        }
        insta::assert_json_snapshot!("v2_definitions", document["definitions"]);
        insta::assert_json_snapshot!(
            "v2_path",
            document["paths"]["/apis/g.io/v1/namespaces/{namespace}/widgets/{name}"]
        );
    }

    #[test]
    fn only_kinds_carry_their_name() {
        let document = v3_document(&GroupVersion::new("g.io", "v1"), &[widgets()]);
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let is_kind = name.starts_with("io.g.v1.");
            let has_name = schema.get("x-kubernetes-group-version-kind").is_some();
            assert_eq!(is_kind, has_name, "{name}");
        }
    }

    #[test]
    fn the_root_links_each_document_with_its_hash() {
        let group_version = GroupVersion::new("g.io", "v1");
        let hash = document_hash(b"{}");
        assert_eq!(hash.len(), 64);
        let root = v3_root([(&group_version, hash.as_str())]);
        assert_eq!(
            root["paths"]["apis/g.io/v1"]["serverRelativeURL"],
            format!("/openapi/v3/apis/g.io/v1?hash={hash}")
        );
    }
}
