//! `spec.sharing.clusters.writers` of a definition: through which clusters objects may be written, and where.
//!
//! Without it everybody may write everywhere. With it a write needs an entry that holds the cluster it comes through, and the
//! object's namespace; what has no namespace needs an entry for all of them (`*`). Reading is never restricted: who may
//! not read doesn't get the kind.

use std::sync::Arc;

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::names;
use serde_json::Value;

/// Stands for all names.
const ALL: &str = "*";

/// Who may write. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writers {
    /// `None`: everybody, everywhere.
    entries: Option<Arc<[Entry]>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    clusters: Names,
    namespaces: Names,
}

#[derive(Debug, PartialEq, Eq)]
enum Names {
    All,
    These(Vec<String>),
}

impl Names {
    /// Whether a name is among them; the empty one, for "none", only if all are.
    fn hold(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => !name.is_empty() && names.iter().any(|known| known == name),
        }
    }
}

impl Writers {
    /// Reads the policy of a definition's spec.
    pub fn parse(spec: &Value) -> Result<Self, ErrorList> {
        let (root, mut errors) = (Path::new("spec"), ErrorList::new());
        let (sharing, clusters) = (root.child("sharing"), "clusters");
        let clusters_path = sharing.child(clusters);
        let path = clusters_path.child("writers");
        let found = spec.pointer("/sharing/clusters/writers");
        let Some(found) = found.filter(|found| !found.is_null()) else {
            return Ok(Self::default());
        };
        let Some(list) = found.as_array() else {
            errors.push(FieldError::type_invalid(
                &path,
                found.clone(),
                "must be a list of {clusters, namespaces}",
            ));
            return Err(errors);
        };
        let namespaced = spec.get("scope").and_then(Value::as_str) != Some("Cluster");
        let mut entries = Vec::with_capacity(list.len());
        for (at, entry) in list.iter().enumerate() {
            let path = path.index(at);
            let clusters = parse_names(entry, &path, "clusters", &mut errors);
            let namespaces = parse_names(entry, &path, "namespaces", &mut errors);
            if let Names::These(named) = &namespaces
                && !namespaced
                && !named.is_empty()
            {
                let why = "objects of the kind have no namespace: write [\"*\"]";
                errors.push(FieldError::invalid(
                    &path.child("namespaces"),
                    named.clone(),
                    why,
                ));
            }
            entries.push(Entry {
                clusters,
                namespaces,
            });
        }
        errors.into_result()?;
        Ok(Self {
            entries: Some(entries.into()),
        })
    }

    /// Whether objects in a namespace (empty for those without) may be written through a cluster.
    #[must_use]
    pub fn allow(&self, cluster: &str, namespace: &str) -> bool {
        self.entries.as_deref().is_none_or(|entries| {
            entries
                .iter()
                .any(|entry| entry.clusters.hold(cluster) && entry.namespaces.hold(namespace))
        })
    }

    /// The clusters through which objects in a namespace may be written, for people.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Vec<&str> {
        let entries = self.entries.as_deref().unwrap_or_default().iter();
        let mut clusters: Vec<&str> = entries
            .filter(|entry| entry.namespaces.hold(namespace))
            .flat_map(|entry| match &entry.clusters {
                Names::All => vec![ALL],
                Names::These(names) => names.iter().map(String::as_str).collect(),
            })
            .collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters
    }
}

fn parse_names(entry: &Value, path: &Path<'_>, field: &str, errors: &mut ErrorList) -> Names {
    let path = path.child(field);
    let list = entry.get(field).and_then(Value::as_array);
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        let why = format!("name {field}, or all of them with [\"{ALL}\"]");
        errors.push(FieldError::required(&path, why));
        return Names::These(Vec::new());
    };
    let mut found = Vec::with_capacity(list.len());
    for (at, name) in list.iter().enumerate() {
        match name.as_str() {
            Some(ALL) => return Names::All,
            Some(name) if names::dns1123_label(name).is_empty() => found.push(name.to_owned()),
            _ => errors.push(FieldError::invalid(
                &path.index(at),
                name.clone(),
                format!("must be \"{ALL}\" or a name of lower-case letters, digits and '-'"),
            )),
        }
    }
    Names::These(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn writers(scope: &str, writers: Value) -> Result<Writers, String> {
        let spec = json!({"scope": scope, "sharing": {"clusters": {"writers": writers}}});
        Writers::parse(&spec).map_err(|errors| errors.to_string())
    }

    #[test]
    fn without_a_policy_everybody_writes_everywhere() {
        for spec in [json!({}), json!({"sharing": {"clusters": {}}})] {
            let anybody = Writers::parse(&spec).unwrap();
            assert!(anybody.allow("c1", "default") && anybody.allow("c1", ""));
        }
    }

    #[test]
    fn an_entry_holds_clusters_and_namespaces() {
        let policy = json!([
            {"clusters": ["eu-1"], "namespaces": ["team-a", "team-b"]},
            {"clusters": ["*"], "namespaces": ["open"]},
            {"clusters": ["us-1"], "namespaces": ["*"]},
        ]);
        let policy = writers("Namespaced", policy).unwrap();
        for (cluster, namespace, allowed) in [
            ("eu-1", "team-a", true),
            ("eu-1", "team-c", false),
            ("eu-2", "team-a", false),
            ("eu-2", "open", true),
            ("us-1", "anything", true),
            ("us-1", "", true),
            ("eu-1", "", false),
        ] {
            assert_eq!(
                policy.allow(cluster, namespace),
                allowed,
                "{cluster} {namespace}"
            );
        }
        assert_eq!(policy.of("team-a"), ["eu-1", "us-1"]);
        assert_eq!(policy.of("open"), ["*", "us-1"]);
    }

    #[test]
    fn an_empty_list_lets_nobody_write() {
        let nobody = writers("Namespaced", json!([])).unwrap();
        assert!(!nobody.allow("c1", "default"));
        assert!(nobody.of("default").is_empty());
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_place() {
        let cases = [
            (json!("eu-1"), "spec.sharing.clusters.writers"),
            (json!([{}]), "writers[0].clusters: Required value"),
            (
                json!([{"clusters": ["eu-1"]}]),
                "writers[0].namespaces: Required value: name namespaces, or all of them with [\"*\"]",
            ),
            (
                json!([{"clusters": ["EU"], "namespaces": ["*"]}]),
                "writers[0].clusters[0]: Invalid value: \"EU\"",
            ),
            (
                json!([{"clusters": ["*"], "namespaces": ["a.b"]}]),
                "writers[0].namespaces[0]",
            ),
        ];
        for (policy, wanted) in cases {
            let message = writers("Namespaced", policy).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
        let policy = json!([{"clusters": ["eu-1"], "namespaces": ["team-a"]}]);
        let message = writers("Cluster", policy).unwrap_err();
        assert!(
            message.contains("objects of the kind have no namespace"),
            "{message}"
        );
    }
}
