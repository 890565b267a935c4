//! `spec.sharing` of a definition: what of a kind is shared, and how clusters are kept from harming each other.

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Who shares the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharingScope {
    /// One set of objects for all clusters.
    Fleet,
    /// Each cluster has its own set.
    PerCluster,
}

/// What happens to the objects in a namespace that one cluster deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceDeletion {
    /// The cluster leaves; the objects stay for the others.
    Detach,
    /// The cluster's own objects go. Only for per-cluster kinds.
    HomeOnly,
    /// The cluster leaves; when every member of the fleet has left, the objects go. Only for fleet kinds.
    Cascade,
    /// Refused: the namespace hangs, visibly.
    Block,
}

/// To which owners an object may refer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerReferences {
    /// Only to kinds that the fleet shares.
    SharedOnly,
    /// To any kind of the cluster. Only for per-cluster kinds.
    LocalAllowed,
}

/// How clusters share a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Fleet or per cluster; can't change.
    pub scope: SharingScope,
    /// The namespace guard's policy.
    pub namespace_deletion: NamespaceDeletion,
    /// The garbage-collector guard's policy.
    pub owner_references: OwnerReferences,
}

const SCOPES: [(&str, SharingScope); 2] = [
    ("Fleet", SharingScope::Fleet),
    ("PerCluster", SharingScope::PerCluster),
];
const DELETIONS: [(&str, NamespaceDeletion); 4] = [
    ("Detach", NamespaceDeletion::Detach),
    ("HomeOnly", NamespaceDeletion::HomeOnly),
    ("Cascade", NamespaceDeletion::Cascade),
    ("Block", NamespaceDeletion::Block),
];
const OWNERS: [(&str, OwnerReferences); 2] = [
    ("SharedOnly", OwnerReferences::SharedOnly),
    ("LocalAllowed", OwnerReferences::LocalAllowed),
];

impl Sharing {
    /// A fleet kind with the default policies.
    pub const FLEET: Self = Self {
        scope: SharingScope::Fleet,
        namespace_deletion: NamespaceDeletion::Detach,
        owner_references: OwnerReferences::SharedOnly,
    };

    /// Reads `spec.sharing`; what is left out has its default, which depends on the scope.
    pub fn parse(spec: &Value) -> Result<Self, ErrorList> {
        let root = Path::new("spec");
        let path = root.child("sharing");
        let sharing = spec.get("sharing").unwrap_or(&Value::Null);
        let mut errors = ErrorList::new();

        let scope = pick(sharing, &path, "scope", &SCOPES, &mut errors);
        let scope = scope.unwrap_or(SharingScope::Fleet);
        let fleet = scope == SharingScope::Fleet;
        let deletion = pick(sharing, &path, "namespaceDeletion", &DELETIONS, &mut errors);
        let owners = pick(sharing, &path, "ownerReferences", &OWNERS, &mut errors);
        if fleet && deletion == Some(NamespaceDeletion::HomeOnly) {
            errors.push(FieldError::forbidden(
                &path.child("namespaceDeletion"),
                "HomeOnly needs the scope PerCluster: objects of a fleet kind have no home cluster",
            ));
        }
        if !fleet && deletion == Some(NamespaceDeletion::Cascade) {
            errors.push(FieldError::forbidden(
                &path.child("namespaceDeletion"),
                "Cascade needs the scope Fleet: a cluster's own objects go with its own namespace, which is HomeOnly",
            ));
        }
        if fleet && owners == Some(OwnerReferences::LocalAllowed) {
            errors.push(FieldError::forbidden(
                &path.child("ownerReferences"),
                "LocalAllowed needs the scope PerCluster: other clusters would collect the objects",
            ));
        }
        errors.into_result()?;
        Ok(Self {
            scope,
            namespace_deletion: deletion.unwrap_or(if fleet {
                NamespaceDeletion::Detach
            } else {
                NamespaceDeletion::HomeOnly
            }),
            owner_references: owners.unwrap_or(if fleet {
                OwnerReferences::SharedOnly
            } else {
                OwnerReferences::LocalAllowed
            }),
        })
    }

    /// Writes the defaults out into `spec.sharing`, so that what is stored says what holds.
    pub fn write(self, spec: &mut Value) {
        let Some(spec) = spec.as_object_mut() else {
            return;
        };
        let sharing = spec.entry("sharing").or_insert(Value::Null);
        if !sharing.is_object() {
            *sharing = Value::Object(serde_json::Map::new());
        }
        sharing["scope"] = word(&SCOPES, self.scope).into();
        sharing["namespaceDeletion"] = word(&DELETIONS, self.namespace_deletion).into();
        sharing["ownerReferences"] = word(&OWNERS, self.owner_references).into();
    }
}

fn word<T: PartialEq + Copy>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, candidate)| *candidate == value)
        .map_or("", |(word, _)| word)
}

fn pick<T: Copy>(
    sharing: &Value,
    path: &Path<'_>,
    field: &str,
    words: &[(&'static str, T)],
    errors: &mut ErrorList,
) -> Option<T> {
    let value = sharing.get(field).filter(|value| !value.is_null())?;
    let found = value
        .as_str()
        .and_then(|text| words.iter().find(|(word, _)| *word == text))
        .map(|(_, value)| *value);
    if found.is_none() {
        let supported: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        errors.push(FieldError::not_supported(
            &path.child(field),
            value.clone(),
            &supported,
        ));
    }
    found
}

/// Why a group can't be shared: it belongs to Kubernetes or to the fleet itself.
#[must_use]
pub(super) fn refused_group(group: &str) -> Option<&'static str> {
    let within = |suffix: &str| {
        group
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if within("k8s.io") || within("kubernetes.io") {
        Some("groups of Kubernetes are served by each cluster itself and can't be shared")
    } else if within("helium.dev") {
        Some("the group is reserved for the fleet's own kinds")
    } else if !group.contains('.') {
        Some("groups without a dot are Kubernetes' own; use a domain that you own")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_depend_on_the_scope() {
        assert_eq!(Sharing::parse(&json!({})).unwrap(), Sharing::FLEET);
        let own = Sharing::parse(&json!({"sharing": {"scope": "PerCluster"}})).unwrap();
        assert_eq!(own.namespace_deletion, NamespaceDeletion::HomeOnly);
        assert_eq!(own.owner_references, OwnerReferences::LocalAllowed);
    }

    #[test]
    fn unknown_words_and_impossible_pairs_are_refused() {
        let errors = Sharing::parse(&json!({"sharing": {"scope": "World"}})).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "spec.sharing.scope: Unsupported value: \"World\": supported values: \"Fleet\", \"PerCluster\""
        );
        let spec = json!({"sharing": {"namespaceDeletion": "HomeOnly", "ownerReferences": "LocalAllowed"}});
        assert_eq!(Sharing::parse(&spec).unwrap_err().len(), 2);
    }

    #[test]
    fn writing_out_makes_defaults_visible() {
        let mut spec = json!({});
        Sharing::FLEET.write(&mut spec);
        assert_eq!(
            spec,
            json!({"sharing": {"scope": "Fleet", "namespaceDeletion": "Detach", "ownerReferences": "SharedOnly"}})
        );
        assert_eq!(Sharing::parse(&spec).unwrap(), Sharing::FLEET);
    }

    #[test]
    fn groups_of_kubernetes_and_our_own_are_refused() {
        for group in [
            "",
            "apps",
            "k8s.io",
            "a.k8s.io",
            "kubernetes.io",
            "helium.dev",
            "coordination.helium.dev",
        ] {
            assert!(refused_group(group).is_some(), "{group}");
        }
        for group in ["example.com", "notk8s.io", "myhelium.dev"] {
            assert!(refused_group(group).is_none(), "{group}");
        }
    }
}
