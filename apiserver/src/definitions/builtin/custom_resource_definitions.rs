//! `CustomResourceDefinition`: the fleet's definitions as every tool of Kubernetes knows them.
//!
//! It is the same stored object as a `SharedResourceDefinition` of the same name, without what is about sharing: making
//! one here shares the kind as the defaults say, and a change here leaves alone what its `spec.sharing` says. It is only
//! served where no cluster's own definitions are (the server's own endpoint, and behind a control plane), because
//! every cluster serves that group itself.

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
