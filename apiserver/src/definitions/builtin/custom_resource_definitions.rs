//! `CustomResourceDefinition`: the fleet's definitions as every tool of Kubernetes knows them.
//!
//! It is the same stored object as a `SharedResourceDefinition` of the same name, without what is about sharing, and without the
//! keywords in its schemas that Kubernetes doesn't have: making
//! one here shares the kind as the defaults say, and a change here leaves alone what of it isn't shown. It is only
//! served where no cluster's own definitions are (the server's own endpoint, and behind a control plane), because
//! every cluster serves that group itself.

use std::collections::BTreeMap;

use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::meta::Object;
use helium_apimachinery::resource::Scope;
use serde_json::Value;

use super::definitions::definition_schema;
use helium_apimachinery::builtin::{column, version};

/// Group of definitions as Kubernetes has them.
pub(super) const GROUP: &str = "apiextensions.k8s.io";
/// Their plural name.
pub(super) const PLURAL: &str = "customresourcedefinitions";

/// What a `SharedResourceDefinition` has and a `CustomResourceDefinition` hasn't: a member of a member.
const HIDDEN: [(&str, &str); 2] = [("spec", "sharing"), ("status", "clusters")];

/// Keywords of schemas that Kubernetes doesn't have.
const KEYWORDS: [&str; 1] = ["x-helium-ignored"];

/// The kind.
pub(super) fn custom_resource_definitions() -> Result<Definition, ErrorList> {
    let mut raw = definition_schema();
    raw["description"] =
        "CustomResourceDefinition is a SharedResourceDefinition without what is about sharing."
            .into();
    for (part, member) in HIDDEN {
        if let Some(properties) = raw["properties"][part]["properties"].as_object_mut() {
            properties.remove(member);
        }
    }
    let mut v1 = version("v1", raw, true)?;
    v1.columns = vec![column(
        "Created At",
        "string",
        ".metadata.creationTimestamp",
        "When the definition was made",
    )];
    Ok(Definition {
        group: GROUP.to_owned(),
        names: Names {
            plural: PLURAL.to_owned(),
            singular: "customresourcedefinition".to_owned(),
            short_names: vec!["crd".to_owned(), "crds".to_owned()],
            kind: "CustomResourceDefinition".to_owned(),
            list_kind: "CustomResourceDefinitionList".to_owned(),
            categories: vec!["api-extensions".to_owned()],
        },
        scope: Scope::Cluster,
        versions: vec![v1],
    })
}

/// Takes away what this kind doesn't show.
pub(crate) fn hide(object: &mut Object) {
    for (part, member) in HIDDEN {
        object.with_value_mut(|value| {
            if let Some(part) = value.get_mut(part).and_then(Value::as_object_mut) {
                part.remove(member);
            }
        });
    }
    object.with_value_mut(|value| {
        for (_, schema) in schemas(value) {
            strip(schema);
        }
    });
}

/// The schemas of a definition, by version.
fn schemas(definition: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    let versions = definition
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut);
    versions.into_iter().flatten().filter_map(|version| {
        let name = version["name"].as_str().unwrap_or_default().to_owned();
        let schema = version.pointer_mut("/schema/openAPIV3Schema")?;
        Some((name, schema))
    })
}

/// The schemas below a schema, by a name that each has beside the others.
fn below(schema: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    let members = schema.as_object_mut().into_iter().flatten();
    members.flat_map(
        |(keyword, value)| -> Box<dyn Iterator<Item = (String, &mut Value)>> {
            match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => Box::new(
                    properties
                        .iter_mut()
                        .map(|(name, schema)| (format!("properties {name}"), schema)),
                ),
                ("items" | "additionalProperties", schema) => {
                    Box::new(std::iter::once((keyword.clone(), schema)))
                }
                _ => Box::new(std::iter::empty()),
            }
        },
    )
}

/// Takes our own keywords out of a schema.
fn strip(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut() {
        for keyword in KEYWORDS {
            members.remove(keyword);
        }
    }
    for (_, schema) in below(schema) {
        strip(schema);
    }
}

/// Gives a changed schema the keywords that the stored one has in the same places.
fn give_back(schema: &mut Value, stored: &mut Value) {
    for keyword in KEYWORDS {
        if let (Some(members), Some(kept)) = (schema.as_object_mut(), stored.get(keyword)) {
            members.insert(keyword.to_owned(), kept.clone());
        }
    }
    let mut stored: BTreeMap<_, _> = below(stored).collect();
    for (place, schema) in below(schema) {
        if let Some(stored) = stored.get_mut(&place) {
            give_back(schema, stored);
        }
    }
}

/// Gives back to a changed object what was hidden of the stored one that it was made from.
pub(crate) fn restore(object: &mut Object, stored: &Object) {
    for (part, member) in HIDDEN {
        let Some(kept) = stored.get_path(&[part, member]).cloned() else {
            continue;
        };
        object.with_value_mut(|value| {
            if let Some(part) = value.get_mut(part).and_then(Value::as_object_mut) {
                part.insert(member.to_owned(), kept);
            }
        });
    }
    let mut stored = stored.as_value().clone();
    let mut stored: BTreeMap<_, _> = schemas(&mut stored).collect();
    object.with_value_mut(|value| {
        for (version, schema) in schemas(value) {
            if let Some(stored) = stored.get_mut(&version) {
                give_back(schema, stored);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hidden_comes_back_and_nothing_else() {
        let stored = json!({
            "spec": {"group": "g.io", "sharing": {"scope": "PerCluster"}},
            "status": {"storedVersions": ["v1"], "clusters": [{"name": "c1"}]},
        });
        let stored = Object::try_from(stored).unwrap();
        let mut shown = stored.clone();
        hide(&mut shown);
        assert_eq!(
            shown.as_value(),
            &json!({"spec": {"group": "g.io"}, "status": {"storedVersions": ["v1"]}})
        );
        shown.with_value_mut(|value| value["spec"]["sharing"] = json!({"scope": "Fleet"}));
        restore(&mut shown, &stored);
        assert_eq!(shown, stored);
        let mut without_status = Object::try_from(json!({"spec": {}})).unwrap();
        restore(&mut without_status, &stored);
        assert_eq!(
            without_status.as_value(),
            &json!({"spec": {"sharing": {"scope": "PerCluster"}}})
        );
    }

    #[test]
    fn keywords_that_kubernetes_does_not_have_are_hidden_where_they_are_and_come_back_there() {
        let schema = |why: Option<&str>| {
            let mut port = json!({"type": "integer"});
            if let Some(why) = why {
                port["x-helium-ignored"] = why.into();
            }
            json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "port": port.clone(), "list": {"type": "array", "items": port.clone()},
                "map": {"type": "object", "additionalProperties": port},
            }}}})
        };
        let definition = |schemas: &[(&str, Value)]| {
            let versions: Vec<_> = schemas
                .iter()
                .map(|(name, schema)| json!({"name": name, "schema": {"openAPIV3Schema": schema}}))
                .collect();
            Object::try_from(json!({"spec": {"versions": versions}})).unwrap()
        };
        let stored = definition(&[("v1", schema(Some("one"))), ("v2", schema(Some("two")))]);
        let mut shown = stored.clone();
        hide(&mut shown);
        assert_eq!(
            shown,
            definition(&[("v1", schema(None)), ("v2", schema(None))])
        );
        let mut changed = definition(&[("v2", schema(None)), ("v3", schema(None))]);
        restore(&mut changed, &stored);
        assert_eq!(
            changed,
            definition(&[("v2", schema(Some("two"))), ("v3", schema(None))])
        );
        restore(&mut shown, &stored);
        assert_eq!(shown, stored);
    }

    #[test]
    fn the_schema_knows_nothing_of_sharing() {
        let definition = custom_resource_definitions().unwrap();
        let raw = &definition.storage_version().raw_schema;
        assert!(
            raw.pointer("/properties/spec/properties/versions")
                .is_some()
        );
        assert!(raw.pointer("/properties/spec/properties/sharing").is_none());
        assert!(
            raw.pointer("/properties/status/properties/clusters")
                .is_none()
        );
    }
}
