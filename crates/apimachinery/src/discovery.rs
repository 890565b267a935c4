//! Discovery documents: which groups, versions and resources there are.
//!
//! Both forms are made from the same description: the legacy lists (`APIGroupList`, `APIGroup`,
//! `APIResourceList`) and the aggregated `APIGroupDiscoveryList` (v2, and v2beta1 for older clients). A version without
//! resources is listed with an empty list: it is known, and there is nothing in it. Every `responseKind` is filled,
//! since old clients crash without one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::gvk::{GroupVersion, GroupVersionKind, version_priority};
use crate::resource::{ServedResource, ServedSubresource, ServedVersion};

/// Versions by group, the preferred version of each group first.
fn by_group(versions: &[ServedVersion]) -> BTreeMap<&str, Vec<&ServedVersion>> {
    let mut groups: BTreeMap<&str, Vec<&ServedVersion>> = BTreeMap::new();
    for version in versions {
        groups
            .entry(&version.group_version.group)
            .or_default()
            .push(version);
    }
    for list in groups.values_mut() {
        list.sort_by(|a, b| version_priority(&b.group_version.version, &a.group_version.version));
    }
    groups
}

/// The members that an `APIGroup` has inside a list.
fn group_members(name: &str, versions: &[&ServedVersion]) -> Map<String, Value> {
    let entry = |version: &&ServedVersion| {
        json!({
            "groupVersion": version.group_version.to_string(),
            "version": version.group_version.version,
        })
    };
    let entries: Vec<Value> = versions.iter().map(entry).collect();
    let mut members = Map::new();
    members.insert("name".into(), name.into());
    members.insert(
        "preferredVersion".into(),
        entries.first().cloned().unwrap_or_default(),
    );
    members.insert("versions".into(), entries.into());
    members
}

/// `APIGroupList` of `/apis`. Versions of a group are sorted by priority.
pub fn group_list(versions: &[ServedVersion]) -> Value {
    let groups: Vec<Value> = by_group(versions)
        .into_iter()
        .map(|(name, versions)| Value::Object(group_members(name, &versions)))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `APIGroup` of `/apis/<group>`, if there is any version of it.
pub fn group(name: &str, versions: &[ServedVersion]) -> Option<Value> {
    let groups = by_group(versions);
    let mut members = group_members(name, groups.get(name)?);
    members.insert("kind".into(), "APIGroup".into());
    members.insert("apiVersion".into(), "v1".into());
    Some(Value::Object(members))
}

/// `APIResourceList` of `/apis/<group>/<version>`, if there is such a version.
pub fn resource_list(group_version: &GroupVersion, versions: &[ServedVersion]) -> Option<Value> {
    let version = versions
        .iter()
        .find(|version| version.group_version == *group_version)?;
    let mut resources = Vec::new();
    for resource in &version.resources {
        resources.push(legacy_resource(resource));
        resources.extend(
            resource
                .subresources
                .iter()
                .map(|sub| legacy_subresource(resource, sub)),
        );
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version.to_string(),
        "resources": resources,
    }))
}

fn legacy_resource(resource: &ServedResource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.scope.is_namespaced(),
        "kind": resource.gvk.kind,
        "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    entry
}

fn legacy_subresource(resource: &ServedResource, subresource: &ServedSubresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name),
        "singularName": "",
        "namespaced": resource.scope.is_namespaced(),
        "kind": subresource.kind.kind,
        "verbs": subresource.verbs,
    });
    // Group and version are said only where they differ from those of the list.
    if subresource.kind.group_version() != resource.group_version() {
        entry["group"] = subresource.kind.group.as_str().into();
        entry["version"] = subresource.kind.version.as_str().into();
    }
    entry
}

fn add_names(entry: &mut Value, resource: &ServedResource) {
    for (key, names) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !names.is_empty() {
            entry[key] = names.clone().into();
        }
    }
}

/// `APIGroupDiscoveryList` of `/apis`. `form` is `v2` or `v2beta1`, which differ only in their name.
pub fn aggregated(form: &str, versions: &[ServedVersion]) -> Value {
    let items: Vec<Value> = by_group(versions)
        .into_iter()
        .map(|(name, versions)| {
            let mut metadata = json!({"creationTimestamp": null});
            if !name.is_empty() {
                metadata["name"] = name.into();
            }
            let versions: Vec<Value> = versions.into_iter().map(aggregated_version).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_version(version: &ServedVersion) -> Value {
    let resources: Vec<Value> = version.resources.iter().map(aggregated_resource).collect();
    json!({
        "version": version.group_version.version,
        "freshness": "Current",
        "resources": resources,
    })
}

fn response_kind(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn aggregated_resource(resource: &ServedResource) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind(&resource.gvk),
        "scope": resource.scope.as_str(),
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    if !resource.subresources.is_empty() {
        entry["subresources"] = resource
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": response_kind(&sub.kind),
                    "verbs": sub.verbs,
                })
            })
            .collect();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Scope;

    fn versions() -> Vec<ServedVersion> {
        let resource = |version: &str| {
            let gvk = GroupVersionKind::new("g.io", version, "Widget");
            ServedResource {
                short_names: vec!["wd".into()],
                categories: vec!["all".into()],
                subresources: vec![ServedSubresource::status(&gvk), ServedSubresource::scale()],
                ..ServedResource::new(gvk, "widgets", Scope::Namespaced)
            }
        };
        ["v1beta1", "v1"]
            .map(|version| ServedVersion {
                group_version: GroupVersion::new("g.io", version),
                resources: vec![resource(version)],
            })
            .into_iter()
            .chain([ServedVersion {
                group_version: GroupVersion::new("gone.io", "v1"),
                resources: Vec::new(),
            }])
            .collect()
    }

    #[test]
    fn legacy_documents() {
        insta::assert_json_snapshot!("group_list", group_list(&versions()));
        insta::assert_json_snapshot!("group", group("g.io", &versions()).unwrap());
        let v1 = GroupVersion::new("g.io", "v1");
        insta::assert_json_snapshot!("resource_list", resource_list(&v1, &versions()).unwrap());
        assert_eq!(group("other.io", &versions()), None);
        assert_eq!(
            resource_list(&GroupVersion::new("g.io", "v2"), &versions()),
            None
        );
        let gone = resource_list(&GroupVersion::new("gone.io", "v1"), &versions()).unwrap();
        assert_eq!(gone["resources"], json!([]));
    }

    #[test]
    fn the_aggregated_document_fills_every_response_kind() {
        let document = aggregated("v2", &versions());
        insta::assert_json_snapshot!("aggregated", document);
        let text = document.to_string();
        assert_eq!(text.matches("responseKind").count(), 6);
        assert_eq!(
            aggregated("v2beta1", &versions())["apiVersion"],
            "apidiscovery.k8s.io/v2beta1"
        );
    }
}
