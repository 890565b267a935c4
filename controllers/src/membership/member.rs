//! The Member object: what is read of it, and what its own cluster keeps in it.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::ClusterName;

/// Annotation that names the labels that come from the agent's flags, so that a label whose flag goes away goes, and
/// labels of others stay.
const LABELS: &str = "helium.dev/member-labels";

/// What a cluster says of itself in the main part of its Member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Labels.
    pub(super) labels: BTreeMap<String, String>,
    /// PEM; `None` leaves what is there.
    pub(super) authorities: Option<String>,
}

/// The resource.
pub(super) fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("helium.dev", "v1", "Member"),
        "members",
    )
}

/// Whether a Member lists authorities: then the fleet is closed.
pub(super) fn has_authorities(member: &DynamicObject) -> bool {
    let pem = member.data.pointer("/spec/certificateAuthorities");
    pem.and_then(Value::as_str)
        .is_some_and(|pem| !pem.trim().is_empty())
}

/// Why a Member is shut out (empty if nobody has said that); `None` if it isn't.
pub(super) fn revoked(member: &DynamicObject) -> Option<String> {
    let spec = member.data.get("spec")?;
    let reason = spec["revokedReason"].as_str().unwrap_or_default();
    (spec["revoked"] == true).then(|| reason.to_owned())
}

/// The Member of a cluster that has none yet.
pub(super) fn new(cluster: &ClusterName, wanted: &Wanted) -> DynamicObject {
    let mut member = DynamicObject::new(cluster.as_str(), &resource());
    member.data = json!({});
    kept(&member, wanted).unwrap_or(member)
}

/// The Member as it should be, or `None` if it is so.
pub(super) fn kept(stored: &DynamicObject, wanted: &Wanted) -> Option<DynamicObject> {
    let mut member = stored.clone();
    let metadata = &mut member.metadata;
    let annotations = metadata.annotations.get_or_insert_default();
    let former = annotations.get(LABELS).cloned().unwrap_or_default();
    let labels = metadata.labels.get_or_insert_default();
    labels.retain(|key, _| wanted.labels.contains_key(key) || !former.split(',').any(|k| k == key));
    labels.extend(wanted.labels.clone());
    if wanted.labels.is_empty() {
        annotations.remove(LABELS);
    } else {
        let keys: BTreeSet<&str> = wanted.labels.keys().map(String::as_str).collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        annotations.insert(LABELS.to_owned(), keys.join(","));
    }
    // An empty map and none are the same.
    metadata.labels = metadata.labels.take().filter(|map| !map.is_empty());
    metadata.annotations = metadata.annotations.take().filter(|map| !map.is_empty());
    if let Some(pem) = &wanted.authorities {
        if !member.data["spec"].is_object() {
            member.data["spec"] = json!({});
        }
        member.data["spec"]["certificateAuthorities"] = pem.as_str().into();
    }
    (member != *stored).then_some(member)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A Member with some content.
    pub(in crate::membership) fn of(name: &str, content: &Value) -> DynamicObject {
        let mut member = json!({"apiVersion": "helium.dev/v1", "kind": "Member",
            "metadata": {"name": name, "uid": "1", "resourceVersion": "7"}});
        for part in ["spec", "status"] {
            if let Some(value) = content.get(part) {
                member[part] = value.clone();
            }
        }
        for (key, value) in content["metadata"].as_object().into_iter().flatten() {
            member["metadata"][key] = value.clone();
        }
        serde_json::from_value(member).unwrap()
    }

    fn wanted(labels: &[(&str, &str)], authorities: Option<&str>) -> Wanted {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Wanted {
            labels: labels.iter().map(owned).collect(),
            authorities: authorities.map(str::to_owned),
        }
    }

    #[test]
    fn labels_of_flags_come_and_go_and_those_of_others_stay() {
        let stored = of(
            "east",
            &json!({"metadata": {"labels": {"team": "a", "zone": "x"}}}),
        );
        let first = kept(&stored, &wanted(&[("region", "eu"), ("zone", "b")], None)).unwrap();
        let labels = first.metadata.labels.clone().unwrap();
        let pairs: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["region=eu", "team=a", "zone=b"]);
        assert_eq!(
            kept(&first, &wanted(&[("region", "eu"), ("zone", "b")], None)),
            None
        );

        let second = kept(&first, &wanted(&[("zone", "b")], None)).unwrap();
        let labels = second.metadata.labels.clone().unwrap();
        assert!(!labels.contains_key("region") && labels.contains_key("team"));
        let third = kept(&second, &wanted(&[], None)).unwrap();
        assert_eq!(third.metadata.labels.unwrap().len(), 1);
        assert_eq!(third.metadata.annotations, None);
        assert_eq!(kept(&stored, &wanted(&[], None)), None);
    }

    #[test]
    fn the_files_authorities_win_and_without_a_file_nothing_is_said() {
        let stored = of("east", &json!({"spec": {"certificateAuthorities": "old"}}));
        assert_eq!(kept(&stored, &wanted(&[], None)), None);
        assert_eq!(kept(&stored, &wanted(&[], Some("old"))), None);
        let changed = kept(&stored, &wanted(&[], Some("old and new"))).unwrap();
        assert_eq!(
            changed.data["spec"]["certificateAuthorities"],
            "old and new"
        );
        assert_eq!(changed.metadata.resource_version.as_deref(), Some("7"));
        let bare = of("east", &json!({}));
        assert!(!has_authorities(&bare));
        assert!(has_authorities(
            &kept(&bare, &wanted(&[], Some("PEM"))).unwrap()
        ));
    }

    #[test]
    fn a_new_member_carries_all_at_once() {
        let made = new(
            &"east".parse().unwrap(),
            &wanted(&[("a", "b")], Some("PEM")),
        );
        assert_eq!(made.metadata.name.as_deref(), Some("east"));
        assert!(has_authorities(&made));
        assert_eq!(made.metadata.labels.unwrap()["a"], "b");
        let bare = new(&"east".parse().unwrap(), &Wanted::default());
        assert_eq!(bare.types.unwrap().kind, "Member");
    }
}
