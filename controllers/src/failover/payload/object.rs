//! Names of objects, and whose they are.

use std::fmt;

use helium_failover::GroupName;
use helium_failover::kind::{GROUP_LABEL, OWNER_UID, payload_label};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Annotation of payload objects: the MultiCluster, as `namespace/name`, for people.
pub(super) const OWNER_NAME: &str = "helium.dev/failover-multicluster";

/// The MultiCluster that a payload belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its uid: another object of the same name is another owner.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// An object, as people name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it is in one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object with its resource: where it is, in the API of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// API group; empty for the core group.
    pub group: String,
    /// Version of it.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural name.
    pub resource: String,
    /// Namespace, if its kind is namespaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Its uid, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl Place {
    /// Whether both are the same object by name, whatever the version that it is written in.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.group, &self.resource, &self.namespace, &self.name)
            == (&other.group, &other.resource, &other.namespace, &other.name)
    }

    /// How people name it.
    #[must_use]
    pub fn object(&self) -> ObjectName {
        ObjectName {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Path of its collection.
    pub(super) fn collection(&self) -> String {
        collection(
            &self.group,
            &self.version,
            &self.resource,
            self.namespace.as_deref(),
        )
    }

    /// Path of the object.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

/// Path of a collection.
pub(super) fn collection(
    group: &str,
    version: &str,
    resource: &str,
    namespace: Option<&str>,
) -> String {
    let root = match group {
        "" => format!("/api/{version}"),
        _ => format!("/apis/{group}/{version}"),
    };
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{resource}"),
        None => format!("{root}/{resource}"),
    }
}

/// Whose an object is, seen from one MultiCluster in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// This group's, of this MultiCluster.
    Ours,
    /// This MultiCluster's, of another group: it has changed its callsign, and the old payload is still being stopped.
    OursElsewhere(String),
    /// Somebody else's: words that say whose.
    Foreign(String),
}

/// Judges by label and uid (P2).
pub(super) fn whose(object: &Value, group: &GroupName, owner_uid: &str) -> Whose {
    let label = object["metadata"]["labels"][GROUP_LABEL].as_str();
    let uid = object["metadata"]["annotations"][OWNER_UID].as_str();
    match (label, uid) {
        (Some(label), Some(uid)) if uid == owner_uid => {
            if label == payload_label(&group.namespace, &group.callsign) {
                Whose::Ours
            } else {
                Whose::OursElsewhere(label.to_owned())
            }
        }
        (Some(label), Some(uid)) => {
            let name = object["metadata"]["annotations"][OWNER_NAME].as_str();
            let name = name.unwrap_or("unknown");
            Whose::Foreign(format!(
                "it belongs to MultiCluster {name} (uid {uid}, group {label})"
            ))
        }
        _ => Whose::Foreign(holders(object)),
    }
}

/// Who made an object that carries no mark of ours: its owners and field managers.
fn holders(object: &Value) -> String {
    let list = |pointer: &str, word: &dyn Fn(&Value) -> Option<String>| -> Vec<String> {
        let entries = object.pointer(pointer).and_then(Value::as_array);
        let mut words: Vec<String> = entries.into_iter().flatten().filter_map(word).collect();
        words.dedup();
        words
    };
    let owners = list("/metadata/ownerReferences", &|owner| {
        Some(format!(
            "{} {}",
            owner["kind"].as_str()?,
            owner["name"].as_str()?
        ))
    });
    let managers = list("/metadata/managedFields", &|entry| {
        // A status says nothing about who made the object.
        if entry["subresource"].is_string() {
            return None;
        }
        entry["manager"].as_str().map(str::to_owned)
    });
    let mut words = Vec::new();
    if !owners.is_empty() {
        words.push(format!("it is owned by {}", owners.join(", ")));
    }
    if !managers.is_empty() {
        words.push(format!(
            "its fields were written by {}",
            managers.join(", ")
        ));
    }
    match words.is_empty() {
        true => "it carries no mark of a payload".to_owned(),
        false => words.join("; "),
    }
}

/// Text at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group() -> GroupName {
        GroupName {
            namespace: "shop".to_owned(),
            callsign: "web".to_owned(),
        }
    }

    fn marked(label: &str, uid: &str) -> Value {
        json!({"metadata": {"labels": {GROUP_LABEL: label},
            "annotations": {OWNER_UID: uid, OWNER_NAME: "shop/berlin"}}})
    }

    #[test]
    fn own_is_what_carries_both_marks() {
        assert_eq!(whose(&marked("shop.web", "1"), &group(), "1"), Whose::Ours);
        let Whose::OursElsewhere(label) = whose(&marked("shop.old", "1"), &group(), "1") else {
            panic!("another group's");
        };
        assert_eq!(label, "shop.old");
        let Whose::Foreign(words) = whose(&marked("shop.web", "2"), &group(), "1") else {
            panic!("another MultiCluster's");
        };
        assert_eq!(
            words,
            "it belongs to MultiCluster shop/berlin (uid 2, group shop.web)"
        );
    }

    #[test]
    fn a_foreign_object_is_described_by_who_made_it() {
        let made = json!({"metadata": {
            "ownerReferences": [{"kind": "Deployment", "name": "web"}],
            "managedFields": [{"manager": "kubectl-client-side-apply"}, {"manager": "kubectl-client-side-apply"},
                {"manager": "kube-controller-manager", "subresource": "status"}]}});
        let Whose::Foreign(words) = whose(&made, &group(), "1") else {
            panic!("foreign");
        };
        assert_eq!(
            words,
            "it is owned by Deployment web; its fields were written by kubectl-client-side-apply"
        );
        // A label alone is anybody's.
        let labelled = json!({"metadata": {"labels": {GROUP_LABEL: "shop.web"}}});
        let Whose::Foreign(words) = whose(&labelled, &group(), "1") else {
            panic!("foreign");
        };
        assert_eq!(words, "it carries no mark of a payload");
    }
}
